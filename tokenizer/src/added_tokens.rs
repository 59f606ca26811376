//! Added tokens: strings that are matched in the text before it is split and merged.
//!
//! They are special tokens (`<|im_end|>`, `</s>`) and words that were given their own token. Matching is
//! leftmost-longest: the longest token at the leftmost position.

use std::ops::Range;

use crate::error::{Result, Warning};
use crate::hash::Map;
use crate::limits;
use crate::normalize::Normalizer;
use crate::text::Piece;
use crate::unicode::is_word;
use crate::vocab::Vocab;

/// A token that is matched as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddedToken {
    /// Its id.
    pub id: u32,
    /// Its text.
    pub content: String,
    /// Whether it matches only if no word character is adjacent.
    pub single_word: bool,
    /// Whether it absorbs the white space to its left.
    pub lstrip: bool,
    /// Whether it absorbs the white space to its right.
    pub rstrip: bool,
    /// Whether it is normalized and matched in the normalized text.
    pub normalized: bool,
    /// Whether it is a special token: matched only if requested, and omitted from decoded text if requested.
    pub special: bool,
}

impl AddedToken {
    /// A special token, matched exactly as written.
    pub fn special(id: u32, content: impl Into<String>) -> AddedToken {
        AddedToken {
            id,
            content: content.into(),
            single_word: false,
            lstrip: false,
            rstrip: false,
            normalized: false,
            special: true,
        }
    }
}

/// All added tokens of a tokenizer.
#[derive(Debug, Clone, Default)]
pub struct AddedTokens {
    tokens: Map<u32, AddedToken>,
    ids: Map<Box<str>, u32>,
    /// The tokens that the normalizer changes, as it writes them.
    normalized: Map<u32, Box<str>>,
    in_raw_text: Matcher,
    in_normalized_text: Matcher,
}

/// A part of a text: an added token, or the text between two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub token: Option<u32>,
    pub range: Range<usize>,
}

impl AddedTokens {
    /// Collects the tokens. As in the reference, a token in the vocabulary has its id there, and the others are
    /// numbered from the end of the vocabulary. A warning reports ids that differ from those in `list`.
    pub(crate) fn new(
        list: Vec<AddedToken>,
        vocab: &Vocab,
        normalizers: &[Normalizer],
        warnings: &mut Vec<Warning>,
    ) -> Result<AddedTokens> {
        let mut added = AddedTokens::default();
        added.add(list, vocab, normalizers, &mut |token, used| {
            let (token, in_file) = (token.content.clone(), token.id);
            warnings.push(Warning::AddedTokenId { token, in_file, used });
        })?;
        Ok(added)
    }

    /// Adds tokens, or replaces the properties of known ones. A token in the vocabulary has its id there; the others
    /// get the ids behind the vocabulary and behind the tokens added so far. `renumbered` is told of each token whose
    /// id differs from the one it came with, and of that id.
    pub(crate) fn add(
        &mut self,
        list: Vec<AddedToken>,
        vocab: &Vocab,
        normalizers: &[Normalizer],
        renumbered: &mut dyn FnMut(&AddedToken, u32),
    ) -> Result<()> {
        let behind_vocab = u32::try_from(vocab.len()).unwrap_or(u32::MAX);
        let highest = self.tokens.keys().max();
        let mut next = highest.map_or(behind_vocab, |highest| highest.saturating_add(1).max(behind_vocab));
        for mut token in list.into_iter().filter(|token| !token.content.is_empty()) {
            limits::check_marker("added_tokens.content", &token.content)?;
            let known = self.ids.get(&*token.content).copied().or_else(|| vocab.id(&token.content));
            let id = known.unwrap_or_else(|| {
                next = next.saturating_add(1);
                next - 1
            });
            if id != token.id {
                renumbered(&token, id);
                token.id = id;
            }
            if let Some(before) = self.tokens.get(&id) {
                token.special |= before.special;
            }
            if token.normalized {
                let mut piece = Piece::new(&token.content, 0);
                for normalizer in normalizers {
                    piece = normalizer.apply(piece)?;
                }
                // As in the reference, it stays if the token is added again without it.
                if piece.as_str() != token.content {
                    self.normalized.insert(id, piece.as_str().into());
                }
            }
            self.ids.insert(token.content.clone().into(), id);
            self.tokens.insert(id, token);
        }
        self.build_matchers();
        Ok(())
    }

    fn build_matchers(&mut self) {
        (self.in_raw_text, self.in_normalized_text) = (Matcher::default(), Matcher::default());
        let mut sorted: Vec<&AddedToken> = self.tokens.values().collect();
        sorted.sort_by_key(|token| (!token.special, token.id));
        for token in sorted {
            if token.normalized {
                let text = self.normalized.get(&token.id).map_or(token.content.as_str(), |text| text);
                self.in_normalized_text.insert(text, token.id, token.special);
            } else {
                self.in_raw_text.insert(&token.content, token.id, token.special);
            }
        }
    }

    /// The token of an id.
    pub fn get(&self, id: u32) -> Option<&AddedToken> {
        self.tokens.get(&id)
    }

    /// The id of a token.
    pub fn id(&self, content: &str) -> Option<u32> {
        self.ids.get(content).copied()
    }

    /// The text that a token is decoded from: what the normalizer makes of it, if it is matched in normalized text.
    pub(crate) fn decoded(&self, id: u32) -> Option<&str> {
        let normalized = self.normalized.get(&id).map(|text| &**text);
        normalized.or_else(|| self.tokens.get(&id).map(|token| token.content.as_str()))
    }

    /// Whether decoding without special tokens omits this text of a token: whether a special token is written so.
    pub(crate) fn omits(&self, decoded: &str) -> bool {
        self.id(decoded).and_then(|id| self.get(id)).is_some_and(|token| token.special)
    }

    /// All tokens, sorted by id.
    pub fn sorted(&self) -> Vec<&AddedToken> {
        let mut all: Vec<_> = self.tokens.values().collect();
        all.sort_by_key(|token| token.id);
        all
    }

    /// Splits a text at the tokens that are matched in raw text, or at those matched in normalized text.
    pub(crate) fn split(&self, text: &str, normalized: bool, parse_special: bool) -> Vec<Part> {
        let matcher = if normalized { &self.in_normalized_text } else { &self.in_raw_text };
        if matcher.ends.is_empty() || (!matcher.has_ordinary && !parse_special) {
            let all = Part { token: None, range: 0..text.len() };
            return Vec::from_iter((!text.is_empty()).then_some(all));
        }
        let mut parts = Vec::new();
        let mut done = 0;
        let mut from = 0;
        // The white space after a token. It is scanned once, even if there are tokens in it.
        let mut white = 0..0;
        while let Some((found, id)) = matcher.find(text, from) {
            from = found.end;
            let Some(token) = self.tokens.get(&id) else { continue };
            let touches_word = text[..found.start].chars().next_back().is_some_and(is_word)
                || text[found.end..].chars().next().is_some_and(is_word);
            if (token.special && !parse_special) || (token.single_word && touches_word) {
                continue;
            }
            let mut range = found;
            if token.rstrip {
                if !(white.start..=white.end).contains(&range.end) {
                    let rest = &text[range.end..];
                    white = range.end..range.end + rest.len() - rest.trim_start().len();
                }
                range.end = white.end;
            }
            if token.lstrip {
                let before = &text[done.min(range.start)..range.start];
                // White space that an earlier token has absorbed is not available.
                range.start = (range.start - before.len() + before.trim_end().len()).max(done).min(range.end);
            }
            if done < range.start {
                parts.push(Part { token: None, range: done..range.start });
            }
            done = range.end;
            parts.push(Part { token: Some(id), range });
        }
        if done < text.len() {
            parts.push(Part { token: None, range: done..text.len() });
        }
        parts
    }
}

/// A trie of bytes for leftmost-longest matching of many strings.
#[derive(Debug, Clone, Default)]
struct Matcher {
    /// Maps `(node, byte)` to the next node; the root is 0.
    edges: Map<(u32, u8), u32>,
    ends: Map<u32, u32>,
    first_bytes: Vec<bool>,
    /// The first character of all strings, if they share it and it is ASCII.
    only_first: Option<char>,
    /// Whether any string is not a special token.
    has_ordinary: bool,
}

impl Matcher {
    fn insert(&mut self, text: &str, id: u32, special: bool) {
        let Some(&first) = text.as_bytes().first() else { return };
        self.has_ordinary |= !special;
        let only = self.ends.is_empty() || self.only_first == Some(char::from(first));
        self.only_first = (only && first.is_ascii()).then(|| char::from(first));
        self.first_bytes.resize(256, false);
        self.first_bytes[usize::from(first)] = true;
        let node = text.bytes().fold(0, |node, byte| {
            let fresh = self.edges.len() as u32 + 1;
            *self.edges.entry((node, byte)).or_insert(fresh)
        });
        self.ends.entry(node).or_insert(id);
    }

    fn find(&self, text: &str, from: usize) -> Option<(Range<usize>, u32)> {
        if self.ends.is_empty() {
            return None;
        }
        let first = |at: &usize| self.first_bytes[usize::from(text.as_bytes()[*at])];
        let mut next = from;
        std::iter::from_fn(|| {
            let at = match self.only_first {
                Some(only) => next + text[next..].find(only)?,
                None => (next..text.len()).find(first)?,
            };
            next = at + 1;
            Some(at)
        })
        .find_map(|start| {
            let mut node = 0;
            let mut longest = None;
            for (at, &byte) in text.as_bytes().iter().enumerate().skip(start) {
                let Some(&next) = self.edges.get(&(node, byte)) else { break };
                node = next;
                if let Some(&id) = self.ends.get(&node) {
                    longest = Some((start..at + 1, id));
                }
            }
            longest
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matching_is_leftmost_longest() {
        let mut matcher = Matcher::default();
        for (id, text) in ["ab", "abcd", "bcdef", "é"].iter().enumerate() {
            matcher.insert(text, id as u32, false);
        }
        assert_eq!(matcher.find("xabcdef", 0), Some((1..5, 1)));
        assert_eq!(matcher.find("xabcdef", 2), Some((2..7, 2)));
        assert_eq!(matcher.find("abcé", 1), Some((3..5, 3)));
        assert_eq!(matcher.find("abcé", 4), None);
    }
}
