//! The model: a word goes in, its tokens come out.
//!
//! A word is first written as the smallest tokens there are, one for each byte or character, then those are merged.

use std::ops::Range;
use std::sync::OnceLock;

use crate::byte_alphabet::{byte_to_char, char_to_byte};
use crate::error::{Error, Result};
use crate::joins::Joins;
use crate::limits;
use crate::merge::{self, Merges, Symbol};
use crate::vocab::Vocab;

/// What a [`Bpe`] is made from, besides its vocabulary and merges; the names are those of tokenizer.json.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BpeOptions {
    /// The token for characters that have none.
    pub unk_token: Option<String>,
    /// Whether neighbouring unknown characters share one unknown token.
    pub fuse_unk: bool,
    /// Whether characters without a token are written as byte tokens, `<0x41>`.
    pub byte_fallback: bool,
    /// Whether a word that is a token as a whole is that token, whatever the merges say.
    pub ignore_merges: bool,
    /// Marks symbols that are not at the start of a word.
    pub continuing_subword_prefix: String,
    /// Marks the symbol at the end of a word.
    pub end_of_word_suffix: String,
}

impl BpeOptions {
    fn writes_no_marks(&self) -> bool {
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
    /// The id of each byte's character of the byte alphabet.
    byte_ids: Vec<Option<u32>>,
    /// The ids of `<0x00>` to `<0xFF>`.
    fallback_ids: Vec<Option<u32>>,
    /// The same where every byte has one and words are written without marks for their ends.
    all_byte_ids: Option<Box<[u32; 256]>>,
    /// Whether nothing is ever merged across the front of a [`MARK`] that follows another character.
    parts_at_marks: bool,
    joins: OnceLock<Option<Joins>>,
}

/// What SentencePiece writes for a space.
const MARK: char = '▁';

/// A word as the pre-tokenizer leaves it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Word<'w> {
    /// Characters of the vocabulary's own kind.
    Text(&'w str),
    /// Bytes, to be written in the byte alphabet.
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
    /// Puts a model together.
    ///
    /// # Errors
    /// [`Error::UnknownToken`] where the unknown token is not in the vocabulary, [`Error::TooLarge`] where prefix or suffix
    /// is absurdly long.
    pub fn new(vocab: Vocab, merges: Merges, options: BpeOptions) -> Result<Bpe> {
        limits::check_mark("continuing_subword_prefix", &options.continuing_subword_prefix)?;
        limits::check_mark("end_of_word_suffix", &options.end_of_word_suffix)?;
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
        let parts_at_marks = parts_at_marks(&vocab, &merges, &options);
        let all: Option<Vec<u32>> = byte_ids.iter().copied().collect();
        let all_byte_ids = all.and_then(|ids| ids.try_into().ok()).filter(|_| options.writes_no_marks());
        let joins = OnceLock::new();
        Ok(Bpe { vocab, merges, options, unk, byte_ids, fallback_ids, all_byte_ids, parts_at_marks, joins })
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

    /// The token for one byte of a byte-level model, or the byte token of one with byte fallback.
    pub(crate) fn byte_token(&self, byte: u8, byte_level: bool) -> Option<u32> {
        let ids = if byte_level { &self.byte_ids } else { &self.fallback_ids };
        ids[usize::from(byte)]
    }

    /// Cuts a word where nothing can be merged across. SentencePiece models take a whole text for one word; in parts it
    /// is merged faster, and parts that come again need not be merged again.
    pub(crate) fn independent_parts(&self, word: &str) -> impl Iterator<Item = Range<usize>> {
        let mut start = 0;
        std::iter::from_fn(move || {
            let rest = &word[start..];
            if rest.is_empty() {
                return None;
            }
            let letters = if self.parts_at_marks { rest.find(|c| c != MARK) } else { None };
            let end = letters.and_then(|at| Some(at + rest[at..].find(MARK)?));
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

    /// Whether every word of bytes can be written as tokens of single bytes, which [`Bpe::push_ids`] needs.
    pub(crate) fn knows_all_bytes(&self) -> bool {
        self.all_byte_ids.is_some()
    }

    /// Which neighbouring characters a token can join, `None` where that cannot be told.
    pub(crate) fn joins(&self) -> Option<&Joins> {
        self.joins.get_or_init(|| Joins::new(&self.vocab, &self.merges)).as_ref()
    }

    /// The same if it has been found out before.
    pub(crate) fn known_joins(&self) -> Option<&Joins> {
        self.joins.get()?.as_ref()
    }

    /// Appends the ids that [`Bpe::tokens`] gives for a word of bytes; a piece of a word is never a token as a whole.
    pub(crate) fn push_ids(&self, bytes: &[u8], is_piece: bool, ids: &mut Vec<u32>) {
        let whole = if is_piece { None } else { self.whole(Word::Bytes(bytes)) };
        if let Some(symbol) = whole {
            return ids.push(symbol.id);
        }
        let mut row = [0; merge::IN_PLACE];
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

    /// The whole word as one token, where `ignore_merges` allows it.
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

    /// The word before any merge.
    pub(crate) fn symbols(&self, word: Word<'_>) -> Vec<Symbol> {
        if let (Word::Bytes(bytes), true) = (word, self.options.writes_no_marks()) {
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

    /// The symbols of `(character, start, end)`, with everything that can befall a character that has no token.
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

    /// Writes a character with the marks of its place in the word.
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

    /// Byte tokens for a character, where there is one for each of its bytes.
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

fn parts_at_marks(vocab: &Vocab, merges: &Merges, options: &BpeOptions) -> bool {
    if !options.writes_no_marks()
        || options.ignore_merges
        || vocab.id(MARK.encode_utf8(&mut [0; 4])).is_none()
    {
        return false;
    }
    !merges.join_before(MARK, vocab)
}

/// The byte that a byte token such as `<0x0A>` stands for.
pub(crate) fn byte_of_fallback(token: &str) -> Option<u8> {
    let hex = token.strip_prefix("<0x")?.strip_suffix('>')?;
    if hex.len() != 2 {
        return None;
    }
    u8::from_str_radix(hex, 16).ok()
}

/// The bytes of a token in the byte alphabet; a token with characters outside of it stands for itself.
pub(crate) fn alphabet_bytes(token: &str) -> Vec<u8> {
    let bytes: Option<Vec<u8>> = token.chars().map(char_to_byte).collect();
    bytes.unwrap_or_else(|| token.as_bytes().to_vec())
}
