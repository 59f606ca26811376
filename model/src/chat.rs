//! Chat templates: render messages with roles as the text format that a chat model was trained on.
//!
//! A chat model recognises turns only by markers in the text, such as `<|im_start|>user`. Each checkpoint has a Jinja
//! template that writes them. This module renders it as `apply_chat_template` of HF transformers does: the same text,
//! byte for byte, or an error with its position. There is no fallback to another template, because a prompt in the
//! wrong format silently degrades a model's answers.
//!
//! ```
//! use glassbox_model::chat::{ChatTemplate, Message, SpecialTokens};
//!
//! let source = "{% for message in messages %}\
//!     {{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}\
//!     {% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
//! let template = ChatTemplate::parse("chatml", source, SpecialTokens::default())?;
//! let text = template.render(&[Message::new("user", "Hello!")], true)?;
//! assert_eq!(text, "<|im_start|>user\nHello!<|im_end|>\n<|im_start|>assistant\n");
//! # Ok::<(), glassbox_model::chat::Error>(())
//! ```
//!
//! Templates may use all of Jinja, with loop controls, `namespace` and slices, as jinja2's sandbox runs it; Python's
//! methods of strings, lists, dicts and numbers; `raise_exception`, `strftime_now`, and `tojson` in Python's format;
//! `bos_token`, `eos_token` and the tokenizer's other special tokens; `messages`, `tools`, `documents` and the caller's
//! variables. `{% generation %}` marks the assistant's messages for training ([`ChatTemplate::render_generations`]);
//! the text is as without it. What is not supported is refused with its name.
//!
//! A template is an untrusted program. Its steps and the bytes it makes count against a budget that grows with the
//! conversation, and its run time is limited to a few seconds. It cannot read files.

mod budget;
mod choose;
mod conversation;
mod error;

use std::ops::Range;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

pub use choose::SpecialTokens;
pub use conversation::{Conversation, field, fields};
pub use error::Error;
use glassbox_jinja::{Data, MARKS, Template};
pub use glassbox_jinja::{Data as Value, ValueKind};

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The role. Templates support `system`, `user` and `assistant`, some also `tool` and others.
    pub role: String,
    /// The message's text.
    pub content: String,
}

impl Message {
    /// A message with this role and text.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Message {
        Message { role: role.into(), content: content.into() }
    }

    fn data(&self) -> Data {
        let text = |text: &str| Data::Str(text.into());
        Data::Object(vec![("role".into(), text(&self.role)), ("content".into(), text(&self.content))])
    }
}

/// The input of a template: the messages and other variables.
#[derive(Clone, Debug)]
pub struct ChatInput {
    variables: Vec<(String, Data)>,
    bytes: usize,
}

impl ChatInput {
    /// Input with these messages; `add_generation_prompt` requests the header of the assistant's turn.
    pub fn new(messages: &[Message], add_generation_prompt: bool) -> ChatInput {
        let bytes = messages.iter().map(|message| message.role.len() + message.content.len() + 64).sum();
        let variables = vec![
            ("messages".to_owned(), Data::List(messages.iter().map(Message::data).collect())),
            ("tools".to_owned(), Data::Null),
            ("documents".to_owned(), Data::Null),
            ("add_generation_prompt".to_owned(), Data::Bool(add_generation_prompt)),
        ];
        ChatInput { variables, bytes }
    }

    /// Input with the variables of a JSON object: `messages`, and `tools`, `documents`, `enable_thinking` or others
    /// that the template uses. Keys keep their order, which matters if a template prints them.
    pub fn from_json(json: &str, add_generation_prompt: bool) -> Result<ChatInput, Error> {
        let invalid = |message: String| Error::Json { name: "chat".to_owned(), message };
        let data: Data = serde_json::from_str(json).map_err(|error| invalid(error.to_string()))?;
        let Data::Object(variables) = data else {
            return Err(invalid("expected an object with `messages`".to_owned()));
        };
        let mut input = ChatInput::new(&[], add_generation_prompt);
        input.bytes += json.len();
        for (name, value) in variables {
            input.set(&name, value);
        }
        Ok(input)
    }

    /// Sets a variable such as `tools` from JSON text.
    pub fn set_json(&mut self, name: &str, json: &str) -> Result<(), Error> {
        let value: Data = serde_json::from_str(json)
            .map_err(|error| Error::Json { name: name.to_owned(), message: error.to_string() })?;
        self.bytes += json.len();
        self.set(name, value);
        Ok(())
    }

    fn set(&mut self, name: &str, value: Data) {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value));
    }
}

/// A parsed chat template.
#[derive(Clone, Debug)]
pub struct ChatTemplate {
    name: String,
    source: String,
    /// As given.
    original: String,
    tokens: SpecialTokens,
    parsed: Template,
    seconds: Option<i64>,
}

impl ChatTemplate {
    /// Parses a template. `name` identifies it in errors.
    pub fn parse(name: &str, source: &str, tokens: SpecialTokens) -> Result<ChatTemplate, Error> {
        if source.len() > budget::LONGEST {
            let limit = budget::LONGEST;
            return Err(Error::TooLong { template: name.to_owned(), bytes: source.len(), limit });
        }
        let original = source.to_owned();
        let source = source.replace("\r\n", "\n").replace('\r', "\n");
        let parsed = budget::run(name, {
            let (name, source) = (name.to_owned(), source.clone());
            move || Template::parse(&source).map_err(|fault| Error::of(&name, &source, &fault))
        })?;
        Ok(ChatTemplate { name: name.to_owned(), source, original, tokens, parsed, seconds: None })
    }

    /// Sets the time of `strftime_now`, in seconds since 1970 in the desired time zone. By default it is the current
    /// time in UTC.
    #[must_use]
    pub fn at_time(mut self, seconds: i64) -> ChatTemplate {
        self.seconds = Some(seconds);
        self
    }

    /// Renders messages; `add_generation_prompt` adds the header of the assistant's turn.
    pub fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String, Error> {
        self.render_input(&ChatInput::new(messages, add_generation_prompt))
    }

    /// Renders messages and variables.
    pub fn render_input(&self, input: &ChatInput) -> Result<String, Error> {
        self.render_with(input, false)
    }

    /// Whether the template marks what the assistant generates, with `{% generation %}`.
    pub fn marks_generations(&self) -> bool {
        self.parsed.marks_generations()
    }

    /// As [`ChatTemplate::render_input`], with the byte ranges that the template marks as generated, in order.
    ///
    /// # Errors
    /// As [`ChatTemplate::render_input`]; [`Error::Json`] if the text contains one of the two characters that mark the
    /// ranges on the way, which stand for no text in Unicode.
    pub fn render_generations(&self, input: &ChatInput) -> Result<(String, Vec<Range<usize>>), Error> {
        let text = self.render_input(input)?;
        if !self.marks_generations() {
            return Ok((text, Vec::new()));
        }
        if text.contains(MARKS) {
            let message = "the text contains U+10FFFE or U+10FFFF".to_owned();
            return Err(Error::Json { name: "messages".to_owned(), message });
        }
        let marked = self.render_with(input, true)?;
        Ok((text, between_marks(&marked)))
    }

    /// Whether the template's source has this name, as a word.
    pub fn mentions(&self, name: &str) -> bool {
        let word = |c: char| c.is_alphanumeric() || c == '_';
        self.original.match_indices(name).any(|(at, _)| {
            let before = self.original[..at].chars().next_back();
            !before.is_some_and(word) && !self.original[at + name.len()..].starts_with(word)
        })
    }

    /// Renders; with `marked`, the output of generation blocks is between [`MARKS`].
    fn render_with(&self, input: &ChatInput, marked: bool) -> Result<String, Error> {
        let fuel = budget::fuel(self.source.len(), input.bytes);
        let seconds = self.seconds.unwrap_or_else(now);
        let (template, input) = (self.clone(), input.clone());
        budget::run(&self.name, move || {
            // As in transformers, the caller's variables take precedence over special tokens.
            let tokens =
                template.tokens.iter().map(|(name, token)| (name.to_owned(), Data::Str(token.into())));
            let variables: Vec<_> = tokens.chain(input.variables).collect();
            let rendered = template.parsed.render(&variables, fuel, seconds, marked);
            rendered.map_err(|fault| Error::of(&template.name, &template.source, &fault))
        })
    }

    /// The name given to [`ChatTemplate::parse`].
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The source, with `\n` line ends.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The source as it was given.
    pub fn original(&self) -> &str {
        &self.original
    }

    /// The special tokens available to the template.
    pub fn tokens(&self) -> &SpecialTokens {
        &self.tokens
    }
}

/// The ranges between the marks in an output, counted without the marks. A mark without its partner is ignored.
fn between_marks(marked: &str) -> Vec<Range<usize>> {
    let (mut ranges, mut start, mut len) = (Vec::new(), None, 0);
    for c in marked.chars() {
        if c == MARKS[0] {
            start = Some(len);
        } else if c == MARKS[1] {
            ranges.extend(start.take().map(|start| start..len));
        } else {
            len += c.len_utf8();
        }
    }
    ranges
}

fn now() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_secs() as i64,
        Err(before) => -(before.duration().as_secs() as i64),
    }
}
