//! Which part of a prompt is whose: the messages' contents, and what the template wrote, such as a system prompt of its
//! own.
//!
//! The template is rendered once more with a marker in place of each content. Where the markers are, the contents are;
//! if filling them in does not give the prompt, the template treats contents specially and nothing is said.

use std::ops::Range;

use glassbox_model::chat::Message;
use glassbox_tokenizer::{EncodeOptions, Special, Token};

use super::{ChatPrompts, Guard, Turn};

/// The role of a system prompt that no message has.
const INSERTED: &str = "system (inserted by the template)";

/// A rendered conversation.
pub(super) struct Contents<'a> {
    pub(super) prompts: &'a ChatPrompts<'a>,
    pub(super) guard: &'a Guard,
    pub(super) rendered: &'a str,
    pub(super) answer: bool,
}

/// The marker of message `i`.
fn marker(i: usize) -> Option<char> {
    char::from_u32(0xf_0000 + u32::try_from(i).ok()?).filter(|c| *c < '\u{ffffe}')
}

fn marker_at(text: &str) -> Option<(usize, usize, usize)> {
    let (at, c) = text.char_indices().find(|(_, c)| ('\u{f0000}'..'\u{ffffe}').contains(c))?;
    Some((at, at + c.len_utf8(), c as usize - 0xf_0000))
}

impl Contents<'_> {
    /// Adds to each turn the tokens of its messages, and separates a system prompt that the template inserted.
    pub(super) fn mark(&self, mut turns: Vec<Turn>, tokens: &[Token]) -> Vec<Turn> {
        let Some(spans) = self.spans() else { return turns };
        let place = |at: usize| self.guard.restored_len(&self.rendered[..at]);
        let spans: Vec<Range<usize>> = spans.iter().map(|span| place(span.start)..place(span.end)).collect();
        for turn in &mut turns {
            let inside = |span: &&Range<usize>| {
                let start = tokens.partition_point(|token| token.range.end <= span.start);
                !span.is_empty() && turn.tokens.contains(&start)
            };
            let own: Vec<&Range<usize>> = spans.iter().filter(inside).collect();
            if let (Some(first), Some(last)) = (own.first(), own.last()) {
                let start = tokens.partition_point(|token| token.range.end <= first.start);
                let end = tokens.partition_point(|token| token.range.start < last.end);
                turn.message = Some(start..end.min(turn.tokens.end));
            }
        }
        if let Some(end) = self.inserted() {
            let end = tokens.partition_point(|token| token.range.start < place(end));
            if let Some(first) = turns.first_mut().filter(|first| first.tokens.end > end && end > 0) {
                first.tokens.start = end;
                turns.insert(0, Turn { role: INSERTED.to_owned(), tokens: 0..end, message: None });
            }
        }
        turns
    }

    fn render(&self, roles: &[&str], answer: bool) -> Option<String> {
        let messages =
            roles.iter().enumerate().map(|(i, role)| Some(Message::new(*role, marker(i)?.to_string())));
        self.prompts.template.render(&messages.collect::<Option<Vec<_>>>()?, answer).ok()
    }

    /// The contents in the rendered text, in its order.
    fn spans(&self) -> Option<Vec<Range<usize>>> {
        if marker_at(self.rendered).is_some() {
            return None;
        }
        let messages = &self.guard.messages;
        let roles: Vec<&str> = messages.iter().map(|message| message.role.as_str()).collect();
        let marked = self.render(&roles, self.answer)?;
        let mut spans = Vec::new();
        let (mut at, mut rest) = (0, marked.as_str());
        loop {
            let next = marker_at(rest);
            let literal = &rest[..next.map_or(rest.len(), |(at, ..)| at)];
            at += self.rendered[at..].starts_with(literal).then_some(literal.len())?;
            let Some((_, after, message)) = next else { break };
            rest = &rest[after..];
            let following = &rest[..marker_at(rest).map_or(rest.len(), |(at, ..)| at)];
            let content = messages.get(message)?.content.as_str();
            // Templates trim contents.
            let forms = [content, content.trim(), content.trim_start(), content.trim_end()];
            let fits = |form: &&&str| {
                let after = self.rendered[at..].strip_prefix(**form);
                after.is_some_and(|after| after.starts_with(following))
            };
            let length = forms.iter().find(fits)?.len();
            spans.push(at..at + length);
            at += length;
        }
        (at == self.rendered.len()).then_some(spans)
    }

    /// The end of a system prompt that the template inserted before the first turn: what stands there and not before
    /// the second turn, unless it is only special tokens.
    fn inserted(&self) -> Option<usize> {
        if self.guard.messages.first()?.role != "user" {
            return None;
        }
        let probe = self.render(&["user", "assistant", "user"], false)?;
        let parts: Vec<&str> = probe.split(|c| ('\u{f0000}'..'\u{ffffe}').contains(&c)).collect();
        let [head, _, between, _] = parts[..] else { return None };
        if !self.rendered.starts_with(head) {
            return None;
        }
        let same = head.chars().rev().zip(between.chars().rev()).take_while(|(a, b)| a == b);
        let header = &head[head.len() - same.map(|(c, _)| c.len_utf8()).sum::<usize>()..];
        let end = head.len() - header.len();
        let options = EncodeOptions { special: Special::Parse, add_special_tokens: false };
        let encode = |text: &str| self.prompts.tokenizer.encode_with_offsets(text, &options).ok();
        let is_special = |token: &&Token| self.prompts.tokenizer.is_special(token.id);
        let is_text = |token: &Token| !is_special(&token) && !head[token.range.clone()].trim().is_empty();
        if !encode(&head[..end])?.iter().any(is_text) {
            return None;
        }
        // The header of a turn may begin with the token that ends the turn before.
        let tokens = encode(header)?;
        let special: Vec<&Token> = tokens.iter().filter(is_special).collect();
        let closed = if special.len() > 1 { special[0].range.end } else { 0 };
        let rest = &header[closed..];
        Some(end + closed + if closed > 0 { rest.len() - rest.trim_start().len() } else { 0 })
    }
}
