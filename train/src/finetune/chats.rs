//! Chats as training sequences: the model reads the whole chat, and only the assistant's messages count in the loss.
//!
//! The checkpoint's chat template renders the text. If it marks what the assistant generates with `{% generation %}`,
//! those ranges are learnt, as with `return_assistant_tokens_mask` in transformers. Otherwise an answer is what the
//! rendering of the chat up to it adds to the rendering of the chat before it with a generation prompt. Then the header
//! of an answer does not count; the answer does, including tool calls and the token that ends it.
//!
//! Some templates render earlier turns differently when later ones follow: they leave out earlier reasoning. Such a
//! chat gives a sequence for each answer, which ends with it, as the model saw it when it generated the answer.

use std::ops::Range;

use glassbox_model::chat::{ChatTemplate, Conversation, Value, ValueKind, field, fields};
use glassbox_tokenizer::{EncodeOptions, Special, Token, Tokenizer};

use super::sequences::TrainingSequence;

/// Renders and encodes chats.
pub(super) struct Chats<'a> {
    pub(super) template: &'a ChatTemplate,
    pub(super) tokenizer: &'a Tokenizer,
}

impl Chats<'_> {
    /// The sequences of a chat: one, or one for each answer. `learnt` says which messages are learnt.
    ///
    /// # Errors
    /// What is wrong with the chat, or why its answers cannot be located.
    pub(super) fn encode(
        &self,
        conversation: &Conversation,
        learnt: &[bool],
    ) -> Result<Vec<TrainingSequence>, String> {
        let is_answer =
            |message: &Value| field(message, "role").is_some_and(|role| role.as_str() == Some("assistant"));
        let answers: Vec<usize> =
            (0..conversation.messages.len()).filter(|&i| is_answer(&conversation.messages[i])).collect();
        if answers.is_empty() {
            return Err("no message has the role assistant, so there is nothing to train on".into());
        }
        self.check(conversation)?;
        if self.template.marks_generations() {
            return Ok(vec![self.marked(conversation, &answers, learnt)?]);
        }
        let render = |count: usize, answer: bool| self.render(conversation, count, answer);
        let whole = render(conversation.messages.len(), false)?;
        let learnt: Vec<usize> = answers.into_iter().filter(|&i| learnt[i]).collect();
        let mut parts = Vec::new();
        for i in learnt {
            let until = render(i + 1, false)?;
            parts.push((self.answer(conversation, i, &until)?, until));
        }
        if parts.iter().all(|(_, until)| whole.starts_with(until.as_str())) {
            let ranges: Vec<Range<usize>> = parts.into_iter().map(|(range, _)| range).collect();
            return Ok(vec![self.sequence(&whole, &ranges, true)?]);
        }
        parts.iter().map(|(range, until)| self.sequence(until, std::slice::from_ref(range), true)).collect()
    }

    fn render(&self, conversation: &Conversation, count: usize, answer: bool) -> Result<String, String> {
        self.template.render_input(&conversation.input(count, answer)).map_err(|error| error.to_string())
    }

    /// The range of message `i` in `until`, the rendering up to it.
    fn answer(&self, conversation: &Conversation, i: usize, until: &str) -> Result<Range<usize>, String> {
        let before = match self.render(conversation, i, true) {
            // Many templates cannot render an empty chat.
            Err(_) if i == 0 => String::new(),
            before => before?,
        };
        // A generation prompt may begin the answer, such as with an opening tag that a finished answer lacks.
        let common: usize =
            before.chars().zip(until.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum();
        if common < before.len() {
            let without_prompt = if i == 0 { String::new() } else { self.render(conversation, i, false)? };
            if common < without_prompt.len() {
                return Err(format!(
                    "the chat template renders the turns before message {} differently when it follows, so the \
                     answer cannot be located",
                    i + 1
                ));
            }
        }
        Ok(common..until.len())
    }

    /// The sequence of a chat whose template marks what is generated.
    fn marked(
        &self,
        conversation: &Conversation,
        answers: &[usize],
        learnt: &[bool],
    ) -> Result<TrainingSequence, String> {
        let input = conversation.input(conversation.messages.len(), false);
        let rendered = self.template.render_generations(&input);
        let (text, mut ranges) = rendered.map_err(|error| error.to_string())?;
        if answers.iter().any(|&i| !learnt[i]) {
            if ranges.len() != answers.len() {
                return Err(format!(
                    "the chat template marks {} generated ranges in a chat with {} answers, so those that are not to \
                     be learnt cannot be located",
                    ranges.len(),
                    answers.len()
                ));
            }
            let mut answers = answers.iter();
            ranges.retain(|_| answers.next().is_some_and(|&i| learnt[i]));
        }
        self.sequence(&text, &ranges, false)
    }

    /// The tokens of a text; those that have a character of one of the ranges count in the loss. With `trim`, white
    /// space that the template adds after the token that ends an answer does not, since the model never generates it.
    fn sequence(&self, text: &str, ranges: &[Range<usize>], trim: bool) -> Result<TrainingSequence, String> {
        let tokens = self.tokens(text)?;
        let mut in_loss = vec![false; tokens.len()];
        for range in ranges.iter().filter(|range| !range.is_empty()) {
            let first = tokens.partition_point(|token| token.range.end <= range.start);
            let count = tokens[first..].iter().take_while(|token| token.range.start < range.end).count();
            let answer = &tokens[first..first + count];
            let special = answer.iter().rposition(|token| self.tokenizer.is_special(token.id));
            let ends = special.filter(|&end| {
                let after = text.get(answer[end].range.end..range.end);
                trim && after.is_some_and(|after| after.trim().is_empty())
            });
            in_loss[first..first + ends.map_or(count, |end| end + 1)].fill(true);
        }
        Ok(TrainingSequence { ids: tokens.iter().map(|token| token.id).collect(), in_loss })
    }

    fn tokens(&self, text: &str) -> Result<Vec<Token>, String> {
        let options = EncodeOptions { special: Special::Parse, add_special_tokens: false };
        self.tokenizer.encode_with_offsets(text, &options).map_err(|error| error.to_string())
    }

    /// Refuses texts with special tokens, and answers that the template would render as nothing.
    fn check(&self, conversation: &Conversation) -> Result<(), String> {
        let mut texts = Vec::new();
        let variables = conversation.variables.iter().map(|(_, value)| value);
        conversation.messages.iter().chain(variables).for_each(|value| strings(value, &mut texts));
        for text in texts {
            let text = text.as_str().unwrap_or("");
            if let Some(token) = self.tokens(text)?.iter().find(|token| self.tokenizer.is_special(token.id)) {
                let name = self.tokenizer.id_to_token(token.id).unwrap_or_default();
                return Err(format!(
                    "a message contains the special token {name}, which would end or forge a turn"
                ));
            }
        }
        for (i, message) in conversation.messages.iter().enumerate() {
            let has = |key: &str| field(message, key).filter(|value| value.is_true()).is_some();
            if !has("content") && has("tool_calls") && !self.template.mentions("tool_calls") {
                return Err(format!(
                    "message {} has tool_calls and no content, but the chat template does not render tool_calls: the \
                     model would learn an empty answer",
                    i + 1
                ));
            }
        }
        Ok(())
    }

    /// The names in a chat that the template does not read, each once.
    pub(super) fn unread(&self, conversation: &Conversation) -> Vec<String> {
        let read = |name: &str| {
            // Reasoning is passed under all of its names.
            let aliases = ["reasoning_content", "thinking", "reasoning"];
            let names = if aliases.contains(&name) { &aliases[..] } else { &[name][..] };
            names.iter().any(|name| self.template.mentions(name))
        };
        let mut names: Vec<String> = Vec::new();
        let mut add = |name: String| {
            if !names.contains(&name) {
                names.push(name);
            }
        };
        for (name, value) in &conversation.variables {
            if !value.is_none() && !read(name) {
                add(name.clone());
            }
        }
        for message in &conversation.messages {
            for (name, value) in fields(message) {
                if !["role", "content", "weight"].contains(&name.as_str()) && !value.is_none() && !read(&name)
                {
                    add(format!("{name} of a message"));
                }
            }
        }
        names
    }
}

/// All texts in a value.
fn strings(value: &Value, texts: &mut Vec<Value>) {
    match value.kind() {
        ValueKind::String => texts.push(value.clone()),
        ValueKind::Seq => value.try_iter().into_iter().flatten().for_each(|item| strings(&item, texts)),
        ValueKind::Map => fields(value).iter().for_each(|(_, item)| strings(item, texts)),
        _ => {}
    }
}
