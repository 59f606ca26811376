//! From a conversation to token ids: the checkpoint's template writes the text, and its special tokens are read as such,
//! but those that stand in a message are not.
//!
//! Someone who types `<|im_start|>system` must not become the system. So the texts of special tokens within messages are
//! taken out before the template sees them, each replaced by a character of a private-use plane that no message has.
//! Afterwards the text is cut at these characters: what is between them is encoded with special tokens, and what they
//! stand for is encoded as plain text. Messages without such texts, that is nearly all, are rendered and encoded
//! unchanged, so that their ids are those of the reference. A template that itself puts a special token together from
//! parts of messages is beyond this.

use std::ops::Range;

use anyhow::anyhow;
use glassbox_model::chat::{ChatTemplate, Message};
use glassbox_tokenizer::{EncodeOptions, Special, Token, Tokenizer};

/// Writes prompts of a chat.
pub(crate) struct ChatPrompts<'a> {
    pub(crate) template: &'a ChatTemplate,
    pub(crate) tokenizer: &'a Tokenizer,
}

/// A conversation as the model is to read it.
pub(crate) struct ChatPrompt {
    /// The text.
    pub(crate) text: String,
    /// Its tokens, with the bytes of the text behind each.
    pub(crate) tokens: Vec<Token>,
    /// Whose words they are, in order; a stretch of several messages where the template mixes them.
    pub(crate) turns: Vec<Turn>,
}

/// A stretch of a prompt.
pub(crate) struct Turn {
    /// The role or roles.
    pub(crate) role: String,
    /// Which of the prompt's tokens.
    pub(crate) tokens: Range<usize>,
}

impl ChatPrompt {
    /// The ids.
    pub(crate) fn ids(&self) -> Vec<u32> {
        self.tokens.iter().map(|token| token.id).collect()
    }
}

impl ChatPrompts<'_> {
    /// The prompt of `messages`; with `answer`, up to where the assistant's words begin.
    pub(crate) fn prompt(&self, messages: &[Message], answer: bool) -> anyhow::Result<ChatPrompt> {
        let guard = self.guard(messages)?;
        let rendered = self.template.render(&guard.messages, answer)?;
        let (text, tokens) = self.encode(&rendered, &guard)?;
        let turns = self.turns(&guard, &rendered, answer, &tokens);
        Ok(ChatPrompt { text, tokens, turns })
    }

    /// Takes the texts of special tokens out of messages.
    fn guard(&self, messages: &[Message]) -> anyhow::Result<Guard> {
        let mut guard = Guard { messages: Vec::with_capacity(messages.len()), taken: Vec::new() };
        let mut free =
            ('\u{100000}'..='\u{10fffd}').filter(|&c| !messages.iter().any(|m| m.content.contains(c)));
        for message in messages {
            let content = &message.content;
            let options = EncodeOptions { special: Special::Parse, add_special_tokens: false };
            let mut kept = String::with_capacity(content.len());
            let mut at = 0;
            for token in self.tokenizer.encode_with_offsets(content, &options)? {
                if self.tokenizer.is_special(token.id) && !token.range.is_empty() {
                    let mark = guard.mark(&content[token.range.clone()], &mut free)?;
                    kept.push_str(&content[at..token.range.start]);
                    kept.push(mark);
                    at = token.range.end;
                }
            }
            kept.push_str(&content[at..]);
            guard.messages.push(Message::new(message.role.as_str(), kept));
        }
        Ok(guard)
    }

    /// Encodes a rendered text, and gives it with what was taken out put back.
    fn encode(&self, rendered: &str, guard: &Guard) -> anyhow::Result<(String, Vec<Token>)> {
        let mut text = String::with_capacity(rendered.len());
        let mut tokens = Vec::new();
        let mut add = |piece: &str, special| -> anyhow::Result<()> {
            let options = EncodeOptions { special, add_special_tokens: false };
            for token in self.tokenizer.encode_with_offsets(piece, &options)? {
                let range = text.len() + token.range.start..text.len() + token.range.end;
                tokens.push(Token { id: token.id, range });
            }
            text.push_str(piece);
            Ok(())
        };
        let mut rest = rendered;
        while let Some((at, mark, literal)) = guard.first(rest) {
            add(&rest[..at], Special::Parse)?;
            add(literal, Special::AsText)?;
            rest = &rest[at + mark.len_utf8()..];
        }
        add(rest, Special::Parse)?;
        Ok((text, tokens))
    }

    /// Whose words are where: a message ends where the text of the messages up to it ends, if the whole text begins so.
    fn turns(&self, guard: &Guard, rendered: &str, answer: bool, tokens: &[Token]) -> Vec<Turn> {
        let mut turns: Vec<Turn> = Vec::new();
        let mut roles: Vec<&str> = Vec::new();
        let mut end_turn = |roles: &mut Vec<&str>, end: usize| {
            let start = turns.last().map_or(0, |turn| turn.tokens.end);
            if !roles.is_empty() && end > start {
                turns.push(Turn { role: roles.join("+"), tokens: start..end });
                roles.clear();
            }
        };
        for (i, message) in guard.messages.iter().enumerate() {
            roles.push(&message.role);
            let so_far = self.template.render(&guard.messages[..=i], false);
            if let Some(so_far) = so_far.ok().filter(|so_far| rendered.starts_with(so_far.as_str())) {
                let end = guard.restored_len(&so_far);
                end_turn(&mut roles, tokens.partition_point(|token| token.range.start < end));
            }
        }
        if answer {
            roles.push("assistant");
        }
        end_turn(&mut roles, tokens.len());
        turns
    }
}

/// Messages without special tokens in them, and what was taken out.
struct Guard {
    messages: Vec<Message>,
    /// The character that stands for each text.
    taken: Vec<(char, String)>,
}

impl Guard {
    /// The character that stands for `literal`.
    fn mark(&mut self, literal: &str, free: &mut impl Iterator<Item = char>) -> anyhow::Result<char> {
        if let Some((mark, _)) = self.taken.iter().find(|(_, known)| known == literal) {
            return Ok(*mark);
        }
        let mark =
            free.next().ok_or_else(|| anyhow!("the messages use every private-use character there is"))?;
        self.taken.push((mark, literal.to_owned()));
        Ok(mark)
    }

    /// The first mark in a text: where it is and what it stands for.
    fn first(&self, text: &str) -> Option<(usize, char, &str)> {
        let found = self
            .taken
            .iter()
            .filter_map(|(mark, literal)| Some((text.find(*mark)?, *mark, literal.as_str())));
        found.min_by_key(|(at, ..)| *at)
    }

    /// The length of a text with what was taken out put back.
    fn restored_len(&self, text: &str) -> usize {
        let grown = self.taken.iter().map(|(mark, literal)| {
            text.matches(*mark).count() as isize * (literal.len() as isize - mark.len_utf8() as isize)
        });
        text.len().saturating_add_signed(grown.sum())
    }
}
