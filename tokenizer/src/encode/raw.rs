//! Encoding a text that no step rewrites: its words are looked up, and merged where they are new.
//!
//! The steps are those of `Tokenizer::each_token` and so are the ids; what is left out is whatever is not needed to have ids
//! alone: pieces that know their origin, rows of symbols, allocations for a word.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use super::{EncodeOptions, Special};
use crate::bpe::Bpe;
use crate::pretokenize::raw::{Cut, each_word};
use crate::tokenizer::Tokenizer;
use crate::word_cache::{Few, Key, WordCache};

/// Shorter texts merge their words whole, unless it is known where words fall apart: finding out takes some milliseconds,
/// once.
const LONG_TEXT: usize = 1 << 15;

/// What encoding needs that keeps the text as it is.
#[derive(Debug, Default)]
pub(crate) struct Raw {
    /// The cuts, `None` where some step rewrites the text.
    cuts: Option<Vec<Cut>>,
    /// Caches that nobody uses now: one for every thread that has encoded at the same time.
    caches: Mutex<Vec<WordCache>>,
}

impl Clone for Raw {
    fn clone(&self) -> Raw {
        Raw { cuts: self.cuts.clone(), caches: Mutex::default() }
    }
}

/// A text is encoded in these: an added token, or text between two.
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
    /// The added tokens of a text and what stands between them, where no normalizer rewrites it.
    pub(super) fn raw_parts(&self, text: &str, options: &EncodeOptions) -> Vec<Part> {
        let parse = options.special == Special::Parse;
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

/// Encodes ranges of one text, one after the other.
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
        if word.len() <= Key::LONGEST {
            let key = Key::new(self.text.as_bytes(), word.start, word.end);
            if !self.known(key) {
                self.new_word(word, Some(key));
            }
        } else {
            self.new_word(word, None);
        }
    }

    /// Appends the tokens of a short word if they are known.
    #[inline(always)]
    fn known(&mut self, key: Key) -> bool {
        let Some(&few) = self.cache.get(key) else { return false };
        self.push(few);
        true
    }

    #[inline(always)]
    fn push(&mut self, few: Few) {
        // One wide store, whatever the number.
        let length = self.ids.len() + few.count as usize;
        self.ids.extend_from_slice(&few.ids);
        self.ids.truncate(length);
    }

    #[inline(never)]
    fn new_word(&mut self, word: Range<usize>, key: Option<Key>) {
        let joins = match self.text.as_bytes()[word.clone()].is_ascii() {
            true => None,
            false if self.text.len() < LONG_TEXT => self.model.known_joins(),
            false => self.model.joins(),
        };
        let Some(joins) = joins.filter(|joins| joins.longest_divided < word.len()) else {
            return self.merge(word, key, false);
        };
        let begin = self.ids.len();
        let mut is_divided = false;
        joins.each_piece(self.text, word.clone(), |piece| {
            if piece.len() == word.len() {
                return self.merge(piece, key, false);
            }
            is_divided = true;
            self.piece(piece);
        });
        if let (Some(key), true) = (key, is_divided) {
            self.cache.insert(key, &self.ids[begin..]);
        }
    }

    /// A part of a word that nothing is merged across the ends of.
    #[inline(always)]
    fn piece(&mut self, piece: Range<usize>) {
        let bytes = &self.text.as_bytes()[piece.clone()];
        if let &[first, second, third] = bytes
            && first >= 0xe0
        {
            let few = self.cache.character([first, second, third]);
            if few.count == 0 {
                return self.new_character(piece);
            }
            return self.push(few);
        }
        if piece.len() > Key::LONGEST {
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
            Some(key) if ids.len() <= Few::MOST => self.cache.insert(key, ids),
            _ => self.cache.insert_long(bytes, is_piece, ids),
        }
    }
}
