//! The BPE model: converts a word to its tokens.
//!
//! A word starts as a sequence of symbols, one per byte or character, which are then merged.

use std::ops::Range;
use std::sync::OnceLock;

use crate::byte_alphabet::{byte_to_char, char_to_byte};
use crate::error::{Error, Result};
use crate::joins::Joins;
use crate::limits;
use crate::merge::{self, Merges, Symbol};
use crate::vocab::Vocab;

/// The options of a [`Bpe`]; the names are those of tokenizer.json.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BpeOptions {
    /// The token for unknown characters.
    pub unk_token: Option<String>,
    /// Whether adjacent unknown characters share one unknown token.
    pub fuse_unk: bool,
    /// Whether unknown characters become byte tokens, such as `<0x41>`.
    pub byte_fallback: bool,
    /// Whether a word in the vocabulary is one token, regardless of the merges.
    pub ignore_merges: bool,
    /// Prefix of symbols that are not at the start of a word.
    pub continuing_subword_prefix: String,
    /// Suffix of the symbol at the end of a word.
    pub end_of_word_suffix: String,
}

impl BpeOptions {
    fn has_no_affixes(&self) -> bool {
        self.continuing_subword_prefix.is_empty() && self.end_of_word_suffix.is_empty()
    }
}

/// A vocabulary and its merges.
#[derive(Debug, Clone)]
pub struct Bpe {
    vocab: Vocab,
    merges: Merges,
    options: BpeOptions,
    unk: Option<u32>,
    /// The id of each byte's character in the byte alphabet.
    byte_ids: Vec<Option<u32>>,
    /// The ids of `<0x00>` to `<0xFF>`.
    fallback_ids: Vec<Option<u32>>,
    /// `byte_ids`, if every byte has one and words have no prefix or suffix.
    all_byte_ids: Option<Box<[u32; 256]>>,
    /// Whether no merge crosses the boundary in front of a [`SPACE_MARK`] that follows another character.
    splits_at_space_marks: bool,
    joins: OnceLock<Option<Joins>>,
}

/// SentencePiece's character for a space.
const SPACE_MARK: char = '▁';

/// A word from the pre-tokenizer.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Word<'w> {
    /// Characters as in the vocabulary.
    Text(&'w str),
    /// Bytes, which the vocabulary writes in the byte alphabet.
    Bytes(&'w [u8]),
}

impl Word<'_> {
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Word::Text(text) => text.as_bytes(),
            Word::Bytes(bytes) => bytes,
        }
    }
}

impl Bpe {
    /// A model of these parts.
    ///
    /// # Errors
    /// [`Error::UnknownToken`] if the unknown token is not in the vocabulary, [`Error::TooLarge`] if the prefix or
    /// suffix is too long.
    pub fn new(vocab: Vocab, merges: Merges, options: BpeOptions) -> Result<Bpe> {
        limits::check_marker("continuing_subword_prefix", &options.continuing_subword_prefix)?;
        limits::check_marker("end_of_word_suffix", &options.end_of_word_suffix)?;
        let unk = match &options.unk_token {
            None => None,
            Some(token) => Some(vocab.id(token).ok_or_else(|| Error::UnknownToken {
                used_by: "unk_token".to_owned(),
                token: token.clone(),
            })?),
        };
        let byte_ids: Vec<_> =
            (0..=255).map(|byte| vocab.id(byte_to_char(byte).encode_utf8(&mut [0; 4]))).collect();
        let fallback_ids = (0..=255u8).map(|byte| vocab.id(&format!("<0x{byte:02X}>"))).collect();
        let splits_at_space_marks = splits_at_space_marks(&vocab, &merges, &options);
        let all: Option<Vec<u32>> = byte_ids.iter().copied().collect();
        let all_byte_ids = all.and_then(|ids| ids.try_into().ok()).filter(|_| options.has_no_affixes());
        let joins = OnceLock::new();
        Ok(Bpe {
            vocab,
            merges,
            options,
            unk,
            byte_ids,
            fallback_ids,
            all_byte_ids,
            splits_at_space_marks,
            joins,
        })
    }

    /// The vocabulary.
    pub fn vocab(&self) -> &Vocab {
        &self.vocab
    }

    /// The merges.
    pub fn merges(&self) -> &Merges {
        &self.merges
    }

    /// The options.
    pub fn options(&self) -> &BpeOptions {
        &self.options
    }

    /// The id of the unknown token.
    pub fn unk_id(&self) -> Option<u32> {
        self.unk
    }

    /// The token of a single byte: in byte-level models its character, otherwise its byte token.
    pub(crate) fn byte_token(&self, byte: u8, byte_level: bool) -> Option<u32> {
        let ids = if byte_level { &self.byte_ids } else { &self.fallback_ids };
        ids[usize::from(byte)]
    }

    /// Splits a word at boundaries that no merge crosses. To SentencePiece models a whole text is one word; its parts
    /// are merged faster, and the results for repeated parts are reused.
    pub(crate) fn independent_parts(&self, word: &str) -> impl Iterator<Item = Range<usize>> {
        let mut start = 0;
        std::iter::from_fn(move || {
            let rest = &word[start..];
            if rest.is_empty() {
                return None;
            }
            let letters = if self.splits_at_space_marks { rest.find(|c| c != SPACE_MARK) } else { None };
            let end = letters.and_then(|at| Some(at + rest[at..].find(SPACE_MARK)?));
            start += end.unwrap_or(rest.len());
            Some(start - end.unwrap_or(rest.len())..start)
        })
    }

    /// The tokens of a word.
    pub(crate) fn tokens(&self, word: Word<'_>) -> Vec<Symbol> {
        if let Some(symbol) = self.whole(word) {
            return vec![symbol];
        }
        let mut symbols = self.symbols(word);
        merge::fast(&mut symbols, &self.merges);
        symbols
    }

    /// Whether every byte has a token of its own, which [`Bpe::push_ids`] needs.
    pub(crate) fn has_all_bytes(&self) -> bool {
        self.all_byte_ids.is_some()
    }

    /// Which adjacent characters a merge can join, `None` if that cannot be determined.
    pub(crate) fn joins(&self) -> Option<&Joins> {
        self.joins.get_or_init(|| Joins::new(&self.vocab, &self.merges)).as_ref()
    }

    /// As [`Bpe::joins`], if it has been computed before.
    pub(crate) fn known_joins(&self) -> Option<&Joins> {
        self.joins.get()?.as_ref()
    }

    /// Appends the ids of [`Bpe::tokens`] for a word of bytes. For a piece of a word, `ignore_merges` does not apply.
    pub(crate) fn push_ids(&self, bytes: &[u8], is_piece: bool, ids: &mut Vec<u32>) {
        let whole = if is_piece { None } else { self.whole(Word::Bytes(bytes)) };
        if let Some(symbol) = whole {
            return ids.push(symbol.id);
        }
        let mut row = [0; merge::MAX_IN_PLACE];
        match (row.get_mut(..bytes.len()), &self.all_byte_ids) {
            (Some(row), Some(byte_ids)) => {
                row.iter_mut().zip(bytes).for_each(|(id, &byte)| *id = byte_ids[usize::from(byte)]);
                let count = merge::in_place(row, &self.merges);
                ids.extend_from_slice(&row[..count]);
            }
            _ => {
                let mut symbols = self.symbols(Word::Bytes(bytes));
                merge::fast(&mut symbols, &self.merges);
                ids.extend(symbols.iter().map(|symbol| symbol.id));
            }
        }
    }

    /// The whole word as one token, if `ignore_merges` applies.
    pub(crate) fn whole(&self, word: Word<'_>) -> Option<Symbol> {
        if !self.options.ignore_merges {
            return None;
        }
        let id = match word {
            Word::Text(text) => self.vocab.id(text)?,
            Word::Bytes(bytes) => self.vocab.id(&crate::byte_alphabet::encode(bytes))?,
        };
        Some(Symbol { id, start: 0, end: word.bytes().len() })
    }

    /// The initial symbols of a word, before any merge.
    pub(crate) fn symbols(&self, word: Word<'_>) -> Vec<Symbol> {
        if let (Word::Bytes(bytes), true) = (word, self.options.has_no_affixes()) {
            let row = bytes.iter().zip(0..).map(|(&byte, start)| {
                self.byte_ids[usize::from(byte)].map(|id| Symbol { id, start, end: start + 1 })
            });
            if let Some(row) = row.collect() {
                return row;
            }
        }
        match word {
            Word::Text(text) => {
                self.char_symbols(text.char_indices().map(|(at, c)| (c, at, at + c.len_utf8())))
            }
            Word::Bytes(bytes) => self
                .char_symbols(bytes.iter().enumerate().map(|(at, &byte)| (byte_to_char(byte), at, at + 1))),
        }
    }

    /// The symbols of `(character, start, end)`, including the handling of unknown characters.
    fn char_symbols(&self, chars: impl Iterator<Item = (char, usize, usize)>) -> Vec<Symbol> {
        let mut row = Vec::new();
        let mut unknown: Option<Symbol> = None;
        let mut written = String::new();
        let mut chars = chars.enumerate().peekable();
        while let Some((number, (c, start, end))) = chars.next() {
            self.write(c, number == 0, chars.peek().is_none(), &mut written);
            if let Some(id) = self.vocab.id(&written) {
                row.extend(unknown.take());
                row.push(Symbol { id, start, end });
                continue;
            }
            if self.options.byte_fallback
                && let Some(bytes) = self.byte_symbols(written.as_bytes(), start, end)
            {
                row.extend(bytes);
                continue;
            }
            let Some(id) = self.unk else { continue };
            match &mut unknown {
                Some(unknown) if self.options.fuse_unk => unknown.end = end,
                _ => row.extend(unknown.replace(Symbol { id, start, end })),
            }
        }
        row.extend(unknown);
        row
    }

    /// Writes a character with the prefix or suffix of its position in the word.
    fn write(&self, c: char, is_first: bool, is_last: bool, written: &mut String) {
        written.clear();
        if !is_first {
            written.push_str(&self.options.continuing_subword_prefix);
        }
        written.push(c);
        if is_last {
            written.push_str(&self.options.end_of_word_suffix);
        }
    }

    /// The byte tokens of a character, if each of its bytes has one.
    fn byte_symbols(&self, written: &[u8], start: usize, end: usize) -> Option<Vec<Symbol>> {
        let symbol = |(at, &byte): (usize, &u8)| {
            let first = (start + at).min(end);
            self.fallback_ids[usize::from(byte)].map(|id| Symbol {
                id,
                start: first,
                end: (first + 1).min(end),
            })
        };
        written.iter().enumerate().map(symbol).collect()
    }
}

fn splits_at_space_marks(vocab: &Vocab, merges: &Merges, options: &BpeOptions) -> bool {
    if !options.has_no_affixes()
        || options.ignore_merges
        || vocab.id(SPACE_MARK.encode_utf8(&mut [0; 4])).is_none()
    {
        return false;
    }
    !merges.join_before(SPACE_MARK, vocab)
}

/// The byte of a byte token such as `<0x0A>`.
pub(crate) fn byte_of_fallback(token: &str) -> Option<u8> {
    let hex = token.strip_prefix("<0x")?.strip_suffix('>')?;
    if hex.len() != 2 {
        return None;
    }
    u8::from_str_radix(hex, 16).ok()
}

/// The bytes of a token in the byte alphabet. A token with characters outside the alphabet is its own UTF-8 bytes.
pub(crate) fn alphabet_bytes(token: &str) -> Vec<u8> {
    let bytes: Option<Vec<u8>> = token.chars().map(char_to_byte).collect();
    bytes.unwrap_or_else(|| token.as_bytes().to_vec())
}
