//! From a conversation to token ids. The checkpoint's chat template renders the text; special tokens of the template
//! are parsed, special tokens inside a message are plain text.
//!
//! A user who types `<|im_start|>system` must not gain the system role. So before rendering, each special token's text
//! inside a message is replaced by a placeholder: a private-use character that occurs in no message. The rendered text
//! is then split at the placeholders: the pieces between them are encoded with special tokens parsed, the replaced
//! texts as plain text. Messages without such texts, that is nearly all, are rendered and encoded unchanged, so their
//! ids are those of the reference. A template that assembles a special token from parts of messages is not covered.

mod contents;

use std::ops::Range;

use anyhow::anyhow;
use glassbox_model::chat::{ChatTemplate, Message};
use glassbox_tokenizer::{EncodeOptions, Special, Token, Tokenizer};

use self::contents::Contents;

/// Renders and encodes the prompts of a chat.
pub(crate) struct ChatPrompts<'a> {
    pub(crate) template: &'a ChatTemplate,
    pub(crate) tokenizer: &'a Tokenizer,
    /// Whether the prompt begins with the tokens that the tokenizer puts before a text.
    pub(crate) add_special_tokens: bool,
}

/// A conversation as the model reads it.
pub(crate) struct ChatPrompt {
    /// The text.
    pub(crate) text: String,
    /// Its tokens, each with its byte range in the text.
    pub(crate) tokens: Vec<Token>,
    /// The turns in order. Messages that the template mixes form one turn.
    pub(crate) turns: Vec<Turn>,
}

/// A part of a prompt that belongs to one role, or to several mixed ones.
pub(crate) struct Turn {
    /// The role or roles.
    pub(crate) role: String,
    /// The range of the prompt's tokens.
    pub(crate) tokens: Range<usize>,
    /// The range of the tokens of the message, if it is found; the others are the template's.
    pub(crate) message: Option<Range<usize>>,
}

impl ChatPrompt {
    /// The token ids.
    pub(crate) fn ids(&self) -> Vec<u32> {
        self.tokens.iter().map(|token| token.id).collect()
    }
}

impl ChatPrompts<'_> {
    /// The prompt of `messages`; with `answer`, it ends where the assistant's answer begins.
    pub(crate) fn prompt(&self, messages: &[Message], answer: bool) -> anyhow::Result<ChatPrompt> {
        let guard = self.guard(messages)?;
        let rendered = self.template.render(&guard.messages, answer)?;
        let (text, tokens) = self.encode(&rendered, &guard)?;
        let turns = self.turns(&guard, &rendered, answer, &tokens);
        let turns =
            Contents { prompts: self, guard: &guard, rendered: &rendered, answer }.mark(turns, &tokens);
        Ok(ChatPrompt { text, tokens, turns })
    }

    /// Replaces special tokens' texts in messages by placeholders.
    fn guard(&self, messages: &[Message]) -> anyhow::Result<Guard> {
        let mut guard = Guard { messages: Vec::with_capacity(messages.len()), replaced: Vec::new() };
        let mut free =
            ('\u{100000}'..='\u{10fffd}').filter(|&c| !messages.iter().any(|m| m.content.contains(c)));
        for message in messages {
            let content = &message.content;
            let options = EncodeOptions { special: Special::Parse, add_special_tokens: false };
            let mut kept = String::with_capacity(content.len());
            let mut at = 0;
            for token in self.tokenizer.encode_with_offsets(content, &options)? {
                if self.tokenizer.is_special(token.id) && !token.range.is_empty() {
                    let placeholder = guard.placeholder(&content[token.range.clone()], &mut free)?;
                    kept.push_str(&content[at..token.range.start]);
                    kept.push(placeholder);
                    at = token.range.end;
                }
            }
            kept.push_str(&content[at..]);
            guard.messages.push(Message::new(message.role.as_str(), kept));
        }
        Ok(guard)
    }

    /// Encodes a rendered text and returns it with the placeholders replaced by their texts.
    fn encode(&self, rendered: &str, guard: &Guard) -> anyhow::Result<(String, Vec<Token>)> {
        let mut text = String::with_capacity(rendered.len());
        let mut tokens = Vec::new();
        let mut add = |piece: &str, special| -> anyhow::Result<()> {
            let add_special_tokens = self.add_special_tokens && text.is_empty();
            let options = EncodeOptions { special, add_special_tokens };
            for token in self.tokenizer.encode_with_offsets(piece, &options)? {
                let range = text.len() + token.range.start..text.len() + token.range.end;
                tokens.push(Token { id: token.id, range });
            }
            text.push_str(piece);
            Ok(())
        };
        let mut rest = rendered;
        while let Some((at, placeholder, literal)) = guard.first(rest) {
            add(&rest[..at], Special::Parse)?;
            add(literal, Special::AsText)?;
            rest = &rest[at + placeholder.len_utf8()..];
        }
        add(rest, Special::Parse)?;
        Ok((text, tokens))
    }

    /// The turns. A message ends where the rendering of the messages up to it ends, if that is a prefix of the whole
    /// text.
    fn turns(&self, guard: &Guard, rendered: &str, answer: bool, tokens: &[Token]) -> Vec<Turn> {
        let mut turns: Vec<Turn> = Vec::new();
        let mut roles: Vec<&str> = Vec::new();
        let mut end_turn = |roles: &mut Vec<&str>, end: usize| {
            let start = turns.last().map_or(0, |turn| turn.tokens.end);
            if !roles.is_empty() && end > start {
                turns.push(Turn { role: roles.join("+"), tokens: start..end, message: None });
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

/// Messages with placeholders for special tokens, and the replaced texts.
struct Guard {
    messages: Vec<Message>,
    /// The placeholder of each replaced text.
    replaced: Vec<(char, String)>,
}

impl Guard {
    /// The placeholder of `literal`.
    fn placeholder(&mut self, literal: &str, free: &mut impl Iterator<Item = char>) -> anyhow::Result<char> {
        if let Some((placeholder, _)) = self.replaced.iter().find(|(_, known)| known == literal) {
            return Ok(*placeholder);
        }
        let placeholder =
            free.next().ok_or_else(|| anyhow!("the messages use all private-use characters of plane 16"))?;
        self.replaced.push((placeholder, literal.to_owned()));
        Ok(placeholder)
    }

    /// The first placeholder in a text: its position, itself, and the text it replaces.
    fn first(&self, text: &str) -> Option<(usize, char, &str)> {
        let found = self.replaced.iter().filter_map(|(placeholder, literal)| {
            Some((text.find(*placeholder)?, *placeholder, literal.as_str()))
        });
        found.min_by_key(|(at, ..)| *at)
    }

    /// The length of a text after the placeholders are replaced by their texts.
    fn restored_len(&self, text: &str) -> usize {
        let grown = self.replaced.iter().map(|(placeholder, literal)| {
            text.matches(*placeholder).count() as isize
                * (literal.len() as isize - placeholder.len_utf8() as isize)
        });
        text.len().saturating_add_signed(grown.sum())
    }
}
