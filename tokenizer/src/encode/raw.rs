//! Encoding for tokenizers that do not rewrite the text: words are looked up in a cache and merged if they are new.
//!
//! The steps and the ids are those of `Tokenizer::each_token`, without everything that ids alone do not need: origins
//! of pieces, lists of symbols, allocations per word.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use super::EncodeOptions;
use crate::bpe::Bpe;
use crate::pretokenize::raw::{Cut, each_word};
use crate::tokenizer::Tokenizer;
use crate::word_cache::{Key, ShortIds, WordCache};

/// Texts from this length on split words into pieces by [`Bpe::joins`], which takes a few milliseconds to compute once;
/// shorter texts do so only if it has been computed.
const LONG_TEXT: usize = 1 << 15;

/// The state for encoding without rewriting.
#[derive(Debug, Default)]
pub(crate) struct Raw {
    /// The cuts, `None` if a step rewrites the text.
    cuts: Option<Vec<Cut>>,
    /// Unused caches: one for each thread that has encoded at the same time.
    caches: Mutex<Vec<WordCache>>,
}

impl Clone for Raw {
    fn clone(&self) -> Raw {
        Raw { cuts: self.cuts.clone(), caches: Mutex::default() }
    }
}

/// A part of a text: an added token, or the text between two.
pub(super) enum Part {
    Added(u32),
    Text(Range<usize>),
}

impl Raw {
    pub(crate) fn new(cuts: Option<Vec<Cut>>) -> Raw {
        Raw { cuts, caches: Mutex::default() }
    }

    pub(super) fn cuts(&self) -> Option<&[Cut]> {
        self.cuts.as_deref()
    }

    pub(super) fn take_cache(&self) -> WordCache {
        let kept = self.caches.lock().unwrap_or_else(PoisonError::into_inner).pop();
        kept.unwrap_or_else(WordCache::new)
    }

    pub(super) fn keep_cache(&self, cache: WordCache) {
        self.caches.lock().unwrap_or_else(PoisonError::into_inner).push(cache);
    }
}

impl Tokenizer {
    /// The added tokens of a text and the text between them, without normalization.
    pub(super) fn raw_parts(&self, text: &str, options: &EncodeOptions) -> Vec<Part> {
        let parse = self.parses_special(options);
        let mut parts = Vec::new();
        for outer in self.added_tokens().split(text, false, parse) {
            if let Some(id) = outer.token {
                parts.push(Part::Added(id));
                continue;
            }
            let start = outer.range.start;
            let inner = self.added_tokens().split(&text[outer.range], true, parse);
            parts.extend(inner.into_iter().map(|part| match part.token {
                Some(id) => Part::Added(id),
                None => Part::Text(start + part.range.start..start + part.range.end),
            }));
        }
        parts
    }
}

/// Encodes ranges of a text in sequence.
pub(super) struct Words<'a> {
    pub model: &'a Bpe,
    pub text: &'a str,
    pub cache: WordCache,
    pub ids: Vec<u32>,
}

impl Words<'_> {
    pub(super) fn part(&mut self, cuts: &[Cut], part: &Part) {
        match part {
            Part::Added(id) => self.ids.push(*id),
            Part::Text(range) => each_word(cuts, self.text, range.clone(), &mut |word| self.word(word)),
        }
    }

    #[inline(always)]
    fn word(&mut self, word: Range<usize>) {
        if word.len() <= Key::MAX_BYTES {
            let key = Key::new(self.text.as_bytes(), word.start, word.end);
            if !self.known(key) {
                self.new_word(word, Some(key));
            }
        } else {
            self.new_word(word, None);
        }
    }

    /// Appends the tokens of a short word, if they are cached.
    #[inline(always)]
    fn known(&mut self, key: Key) -> bool {
        let Some(&short) = self.cache.get(key) else { return false };
        self.push(short);
        true
    }

    #[inline(always)]
    fn push(&mut self, short: ShortIds) {
        // One wide store for any number of ids.
        let length = self.ids.len() + short.count as usize;
        self.ids.extend_from_slice(&short.ids);
        self.ids.truncate(length);
    }

    #[inline(never)]
    fn new_word(&mut self, word: Range<usize>, key: Option<Key>) {
        let joins = match self.text.as_bytes()[word.clone()].is_ascii() {
            true => None,
            false if self.text.len() < LONG_TEXT => self.model.known_joins(),
            false => self.model.joins(),
        };
        let Some(joins) = joins.filter(|joins| joins.max_split_token < word.len()) else {
            return self.merge(word, key, false);
        };
        let begin = self.ids.len();
        let mut is_split = false;
        joins.each_piece(self.text, word.clone(), |piece| {
            if piece.len() == word.len() {
                return self.merge(piece, key, false);
            }
            is_split = true;
            self.piece(piece);
        });
        if let (Some(key), true) = (key, is_split) {
            self.cache.insert(key, &self.ids[begin..]);
        }
    }

    /// Encodes a piece of a word, whose ends no merge crosses.
    #[inline(always)]
    fn piece(&mut self, piece: Range<usize>) {
        let bytes = &self.text.as_bytes()[piece.clone()];
        if let &[first, second, third] = bytes
            && first >= 0xe0
        {
            let short = self.cache.character([first, second, third]);
            if short.count == 0 {
                return self.new_character(piece);
            }
            return self.push(short);
        }
        if piece.len() > Key::MAX_BYTES {
            return self.merge(piece, None, true);
        }
        let key = Key::new(self.text.as_bytes(), piece.start, piece.end);
        let key = if self.model.options().ignore_merges { key.of_piece() } else { key };
        if !self.known(key) {
            self.merge(piece, Some(key), true);
        }
    }

    #[inline(never)]
    fn new_character(&mut self, piece: Range<usize>) {
        let bytes = &self.text.as_bytes()[piece];
        let begin = self.ids.len();
        self.model.push_ids(bytes, true, &mut self.ids);
        if let Ok(bytes) = bytes.try_into() {
            self.cache.insert_character(bytes, &self.ids[begin..]);
        }
    }

    #[inline(never)]
    fn merge(&mut self, word: Range<usize>, key: Option<Key>, is_piece: bool) {
        let is_piece = is_piece && self.model.options().ignore_merges;
        let bytes = &self.text.as_bytes()[word];
        if let Some(ids) = self.cache.get_long(bytes, is_piece) {
            return self.ids.extend_from_slice(ids);
        }
        let begin = self.ids.len();
        self.model.push_ids(bytes, is_piece, &mut self.ids);
        let ids = &self.ids[begin..];
        match key {
            Some(key) if ids.len() <= ShortIds::MAX => self.cache.insert(key, ids),
            _ => self.cache.insert_long(bytes, is_piece, ids),
        }
    }
}
