//! Which adjacent characters a merge can join. Between two characters that none can join, a word is split into pieces
//! that are merged independently.
//!
//! A merge of `left` and `right` joins two characters if `left` ends with the first character, or with some of its last
//! bytes, and `right` begins with the second, or with some of its first bytes. All merges are inserted into a Bloom
//! filter by these ends; a query reads up to four bits. The answer "joined" may be wrong, which only costs time; "not
//! joined" is always right.
//!
//! Chinese gains most: its words are whole clauses, which rarely repeat, but few adjacent characters can be joined, and
//! the pieces repeat often. Two ASCII characters always count as joined.

use std::ops::Range;

use crate::byte_alphabet::char_to_byte;
use crate::hash::{Map, map};
use crate::merge::Merges;
use crate::vocab::Vocab;

/// The pairs of characters that a merge can join.
#[derive(Debug, Clone)]
pub(crate) struct Joins {
    bits: Vec<u64>,
    /// Indexed by the last byte of the first character and the first byte of the second: whether a merge joins parts of
    /// such characters.
    parts: Vec<bool>,
    /// Length of the longest token that is split into pieces; longer tokens are never split.
    pub max_split_token: usize,
}

/// A character's UTF-8 bytes, the first one in the highest place.
pub(crate) type Packed = u32;

/// Tag for a partial character, of which one byte is known. No complete character begins with this byte.
const PARTIAL: Packed = 0xff00_0000;

impl Joins {
    /// The joins of a byte-level vocabulary; `None` if a merge's result is not the concatenation of its halves.
    pub(crate) fn new(vocab: &Vocab, merges: &Merges) -> Option<Joins> {
        let size = (merges.len() * 64).next_power_of_two().clamp(1 << 12, 1 << 21);
        let mut joins = Joins { bits: vec![0; size / 64], parts: vec![false; 1 << 16], max_split_token: 0 };
        let tokens = TokenBytes::of(vocab);
        for ((left, right), merge) in merges.all() {
            let (left, right, result) = (tokens.get(left)?, tokens.get(right)?, tokens.get(merge.result)?);
            if result.strip_prefix(left) != Some(right) {
                return None;
            }
            if let (Some(before), Some(after)) = (last(left), first(right)) {
                joins.insert(before, after);
            }
        }
        let split = tokens.all().filter(|bytes| {
            let mut pieces = 0;
            if let (false, Ok(text)) = (bytes.is_ascii(), str::from_utf8(bytes)) {
                joins.each_piece(text, 0..text.len(), |_| pieces += 1);
            }
            pieces > 1
        });
        joins.max_split_token = split.map(|bytes| bytes.len()).max().unwrap_or(0);
        Some(joins)
    }

    /// Calls `emit` with the pieces of `text[range]`, in order.
    #[inline]
    pub(crate) fn each_piece(&self, text: &str, range: Range<usize>, mut emit: impl FnMut(Range<usize>)) {
        let bytes = &text.as_bytes()[..range.end];
        if range.is_empty() {
            return;
        }
        let mut start = range.start;
        let (mut before, mut at) = next_char(bytes, start);
        while at < range.end {
            let (after, end) = next_char(bytes, at);
            if !self.joined(before, after) {
                emit(start..at);
                start = at;
            }
            (before, at) = (after, end);
        }
        emit(start..range.end);
    }

    #[inline]
    fn joined(&self, before: Packed, after: Packed) -> bool {
        if before < 0x80 && after < 0x80 {
            return true;
        }
        let (part, lead) = (part_of_end(before), part_of_start(after));
        self.has(before, after)
            || self.parts[part_index(part, lead)]
                && (self.has(before, lead) || self.has(part, after) || self.has(part, lead))
    }

    #[inline]
    fn has(&self, before: Packed, after: Packed) -> bool {
        let (word, bit) = self.bit(before, after);
        self.bits[word] & bit != 0
    }

    fn insert(&mut self, before: Packed, after: Packed) {
        if before >= PARTIAL || after >= PARTIAL {
            let lead = if after >= PARTIAL { after } else { part_of_start(after) };
            self.parts[part_index(part_of_end(before), lead)] = true;
        }
        let (word, bit) = self.bit(before, after);
        self.bits[word] |= bit;
    }

    #[inline]
    fn bit(&self, before: Packed, after: Packed) -> (usize, u64) {
        let key = u64::from(before) << 32 | u64::from(after);
        let hash = (key ^ key >> 29).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        ((hash as usize / 64) & (self.bits.len() - 1), 1 << (hash & 63))
    }
}

/// The bytes of all tokens of a byte-level vocabulary, concatenated.
struct TokenBytes {
    bytes: Vec<u8>,
    ranges: Map<u32, Range<usize>>,
}

impl TokenBytes {
    fn of(vocab: &Vocab) -> TokenBytes {
        let mut tokens = TokenBytes { bytes: Vec::new(), ranges: map(vocab.len()) };
        for (id, token) in vocab.all() {
            let start = tokens.bytes.len();
            let known = token.chars().all(|c| char_to_byte(c).map(|byte| tokens.bytes.push(byte)).is_some());
            if known {
                tokens.ranges.insert(id, start..tokens.bytes.len());
            } else {
                tokens.bytes.truncate(start);
            }
        }
        tokens
    }

    /// The bytes of a token, `None` if it is not written in the byte alphabet.
    fn get(&self, id: u32) -> Option<&[u8]> {
        Some(&self.bytes[self.ranges.get(&id)?.clone()])
    }

    fn all(&self) -> impl Iterator<Item = &[u8]> {
        self.ranges.values().map(|range| &self.bytes[range.clone()])
    }
}

#[inline]
fn part_index(part: Packed, lead: Packed) -> usize {
    (part as usize & 0xff) << 8 | lead as usize & 0xff
}

#[inline]
fn part_of_end(character: Packed) -> Packed {
    PARTIAL | character & 0xff
}

#[inline]
fn part_of_start(character: Packed) -> Packed {
    PARTIAL | character >> ((31 - character.max(1).leading_zeros()) & !7)
}

/// The character at `at` and its end. The bytes are UTF-8.
#[inline]
fn next_char(bytes: &[u8], at: usize) -> (Packed, usize) {
    let length = length_by_lead(bytes[at]);
    if let Some(&four) = bytes[at..].first_chunk() {
        return (u32::from_be_bytes(four) >> (32 - 8 * length), at + length);
    }
    let end = (at + length).min(bytes.len());
    (bytes[at..end].iter().fold(0, |packed, &byte| packed << 8 | u32::from(byte)), end)
}

/// The length of a character, from its first byte.
#[inline]
fn length_by_lead(byte: u8) -> usize {
    1 + usize::from(byte >= 0xc0) + usize::from(byte >= 0xe0) + usize::from(byte >= 0xf0)
}

const fn is_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

/// The last character of a token, possibly partial; `None` if no character of a text can end there.
fn last(token: &[u8]) -> Option<Packed> {
    let end = *token.last()?;
    match token.iter().rposition(|&byte| !is_continuation(byte)) {
        None => Some(PARTIAL | u32::from(end)),
        Some(start) => {
            let (packed, end) = next_char(token, start);
            (end == token.len() && end - start == length_by_lead(token[start])).then_some(packed)
        }
    }
}

/// The first character of a token, possibly partial; `None` if no character of a text can begin there.
fn first(token: &[u8]) -> Option<Packed> {
    let lead = *token.first().filter(|&&byte| !is_continuation(byte))?;
    let (packed, end) = next_char(token, 0);
    Some(if end == length_by_lead(lead) { packed } else { PARTIAL | u32::from(lead) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{EncodeOptions, TrainOptions, Trainer};

    #[test]
    fn merges_that_do_not_concatenate_have_no_joins() {
        let mut vocab = Vocab::default();
        ["a", "b", "ab", "c"].iter().zip(0..).for_each(|(&token, id)| vocab.insert(token, id));
        let mut merges = Merges::default();
        merges.insert(0, 1, crate::merge::Merge { rank: 0, result: 2 });
        assert!(Joins::new(&vocab, &merges).is_some());
        merges.insert(1, 0, crate::merge::Merge { rank: 1, result: 3 });
        assert!(Joins::new(&vocab, &merges).is_none());
    }

    proptest! {
        #[test]
        fn the_pieces_of_a_word_are_merged_as_in_the_word(
            corpus in prop::collection::vec("[éèàß中文国人ab😀😁]{1,6}", 1..20),
            word in "[éèàß中文国人abc😀😁]{1,20}",
        ) {
            let mut trainer = Trainer::new(TrainOptions { vocab_size: 256 + 80, ..TrainOptions::default() });
            // Pairs that occur twice are learnt.
            trainer.feed(&(corpus.join(" ") + " " + &corpus.join(" "))).unwrap();
            let tokenizer = trainer.train().unwrap();
            let joins = tokenizer.model().joins().expect("merges that join their halves");
            let (mut pieces, mut at) = (Vec::new(), 0);
            joins.each_piece(&word, 0..word.len(), |piece| {
                assert_eq!(std::mem::replace(&mut at, piece.end), piece.start);
                tokenizer.model().push_ids(&word.as_bytes()[piece], true, &mut pieces);
            });
            assert_eq!(at, word.len());
            let mut whole = Vec::new();
            tokenizer.model().push_ids(word.as_bytes(), true, &mut whole);
            prop_assert_eq!(&pieces, &whole);
            let tokens = tokenizer.encode_with_offsets(&word, &EncodeOptions::default()).unwrap();
            prop_assert!(tokens.iter().map(|token| token.id).eq(tokenizer.encode(&word, &EncodeOptions::default()).unwrap()));
        }
    }
}
