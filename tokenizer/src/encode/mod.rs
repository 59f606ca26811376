//! Encoding: all steps in their order.
//!
//! ```text
//! text ─ added tokens cut out ─ normalized ─ cut into words ─ each word merged ─ template around it ─► ids
//! ```

mod parallel;
pub(crate) mod raw;

use std::ops::Range;

use self::raw::Words;
use crate::bpe::Word;
use crate::error::{Error, Result};
use crate::hash::Map;
use crate::merge::Symbol;
use crate::text::Piece;
use crate::tokenizer::Tokenizer;

/// What to make of special tokens that stand in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Special {
    /// They are text like any other: right for text from outside, which must not be able to forge a role.
    #[default]
    AsText,
    /// They are the tokens that they name: right for a rendered chat template.
    Parse,
}

/// How to encode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EncodeOptions {
    /// What to make of special tokens that stand in the text.
    pub special: Special,
    /// Whether to put the tokens around the text that the model expects, such as the beginning of the sequence.
    pub add_special_tokens: bool,
}

/// A token and the bytes of the original text behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The token's id.
    pub id: u32,
    /// The bytes of the text. Empty for a token that was added around or into the text.
    pub range: Range<usize>,
}

/// Where a token came from.
enum Place<'p> {
    /// From these bytes of a piece of text.
    In(&'p Piece<'p>, Range<usize>),
    /// From these bytes of the whole, which are no text.
    At(Range<usize>),
}

impl Place<'_> {
    fn range(self) -> Range<usize> {
        match self {
            Place::In(piece, range) => piece.origin(range),
            Place::At(range) => range,
        }
    }
}

impl Tokenizer {
    /// The ids of a text.
    ///
    /// Characters that have no token become the unknown token, or nothing where there is none, as in the reference; in
    /// byte-level tokenizers there are no such characters.
    ///
    /// # Errors
    /// [`Error::Search`] where a regular expression of the tokenizer gives up on the text. Tokenizers whose patterns are
    /// all known ones ([`patterns`](crate::patterns)) never fail.
    pub fn encode(&self, text: &str, options: &EncodeOptions) -> Result<Vec<u32>> {
        let ids = match self.raw().cuts() {
            Some(_) => self.ids_of_raw(text, options),
            None => self.ids(text.as_bytes(), options)?,
        };
        Ok(self.with_template(ids, options))
    }

    /// The tokens of a text with the bytes that each stands for. Several tokens of one character share its bytes where
    /// the text was normalized; white space that the tokenizer drops belongs to no token.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_with_offsets(&self, text: &str, options: &EncodeOptions) -> Result<Vec<Token>> {
        self.encode_bytes_with_offsets(text.as_bytes(), options)
    }

    /// The ids of bytes that need not be UTF-8.
    ///
    /// Valid stretches are encoded as text. Each byte between them becomes the token of that single byte: it is merged
    /// with nothing, and nothing reaches across it.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`], and [`Error::NoByteToken`] where no token stands for an invalid byte.
    pub fn encode_bytes(&self, bytes: &[u8], options: &EncodeOptions) -> Result<Vec<u32>> {
        if let Ok(text) = str::from_utf8(bytes) {
            return self.encode(text, options);
        }
        Ok(self.with_template(self.ids(bytes, options)?, options))
    }

    fn with_template(&self, ids: Vec<u32>, options: &EncodeOptions) -> Vec<u32> {
        if options.add_special_tokens { self.template().apply(ids, |id, _| id) } else { ids }
    }

    /// The ids of bytes, by the steps that know every case.
    fn ids(&self, bytes: &[u8], options: &EncodeOptions) -> Result<Vec<u32>> {
        let mut ids = Vec::with_capacity(bytes.len() / 3 + 2);
        self.each_token(bytes, options, &mut |id, _| ids.push(id))?;
        Ok(ids)
    }

    /// The ids of a text that no step rewrites.
    fn ids_of_raw(&self, text: &str, options: &EncodeOptions) -> Vec<u32> {
        let cuts = self.raw().cuts().unwrap_or_default();
        let cache = self.raw().take_cache();
        let ids = Vec::with_capacity(text.len() / 3 + 2);
        let mut words = Words { model: self.model(), text, cache, ids };
        self.raw_parts(text, options).iter().for_each(|part| words.part(cuts, part));
        self.raw().keep_cache(words.cache);
        words.ids
    }

    /// As [`Tokenizer::encode_bytes`], with the bytes that each token stands for.
    ///
    /// # Errors
    /// As [`Tokenizer::encode_bytes`].
    pub fn encode_bytes_with_offsets(&self, bytes: &[u8], options: &EncodeOptions) -> Result<Vec<Token>> {
        let mut tokens = Vec::with_capacity(bytes.len() / 3 + 2);
        self.each_token(bytes, options, &mut |id, place| tokens.push(Token { id, range: place.range() }))?;
        let end = bytes.len();
        let around = |id, behind| Token { id, range: if behind { end..end } else { 0..0 } };
        Ok(if options.add_special_tokens { self.template().apply(tokens, around) } else { tokens })
    }

    fn each_token(
        &self,
        bytes: &[u8],
        options: &EncodeOptions,
        emit: &mut dyn FnMut(u32, Place<'_>),
    ) -> Result<()> {
        let mut words = Merged::default();
        let mut at = 0;
        for chunk in bytes.utf8_chunks() {
            self.segments(chunk.valid(), at, options, &mut |segment| match segment {
                Segment::Added(id, piece) => emit(id, Place::In(&piece, 0..piece.as_str().len())),
                Segment::Word(piece) => words.tokens(self, piece.as_str(), |symbol| {
                    emit(symbol.id, Place::In(&piece, symbol.start..symbol.end));
                }),
            })?;
            at += chunk.valid().len();
            for &byte in chunk.invalid() {
                let token = self.model().byte_token(byte, self.is_byte_level()).or(self.model().unk_id());
                emit(token.ok_or(Error::NoByteToken { byte, at })?, Place::At(at..at + 1));
                at += 1;
            }
        }
        Ok(())
    }

    /// Cuts a text that begins at byte `start` of the whole into added tokens and words.
    pub(crate) fn segments<'t>(
        &self,
        text: &'t str,
        start: usize,
        options: &EncodeOptions,
        emit: &mut dyn FnMut(Segment<'t>),
    ) -> Result<()> {
        let parse = options.special == Special::Parse;
        let whole = Piece::new(text, start);
        for part in self.added_tokens().split(text, false, parse) {
            let mut piece = whole.slice(part.range);
            if let Some(id) = part.token {
                emit(Segment::Added(id, piece));
                continue;
            }
            for normalizer in self.normalizers() {
                piece = normalizer.apply(piece)?;
            }
            for part in self.added_tokens().split(piece.as_str(), true, parse) {
                let piece = piece.slice(part.range);
                match part.token {
                    Some(id) => emit(Segment::Added(id, piece)),
                    None => self.pre_tokenizer().words(piece, &mut |word| emit(Segment::Word(word)))?,
                }
            }
        }
        Ok(())
    }

    /// The model's view of a word, or of a part of one.
    pub(crate) fn word<'w>(&self, text: &'w str) -> Word<'w> {
        if self.pre_tokenizer().leaves_bytes_raw() { Word::Bytes(text.as_bytes()) } else { Word::Text(text) }
    }
}

/// A part of a text on its way through the tokenizer.
pub(crate) enum Segment<'t> {
    Added(u32, Piece<'t>),
    Word(Piece<'t>),
}

/// The words of one text that were merged already: text repeats itself.
#[derive(Default)]
struct Merged {
    known: Map<Box<str>, Box<[Symbol]>>,
}

impl Merged {
    /// Longer words hardly come twice.
    const LONGEST: usize = 64;
    /// Words kept, so that memory stays bounded.
    const MOST: usize = 1 << 16;

    fn tokens(&mut self, tokenizer: &Tokenizer, word: &str, mut emit: impl FnMut(Symbol)) {
        for part in tokenizer.model().independent_parts(word) {
            let placed = |symbol: &Symbol| Symbol {
                start: symbol.start + part.start,
                end: symbol.end + part.start,
                ..*symbol
            };
            let text = &word[part.clone()];
            if let Some(symbols) = self.known.get(text) {
                symbols.iter().map(placed).for_each(&mut emit);
                continue;
            }
            let symbols = tokenizer.model().tokens(tokenizer.word(text));
            symbols.iter().map(placed).for_each(&mut emit);
            if text.len() <= Merged::LONGEST && self.known.len() < Merged::MOST {
                self.known.insert(text.into(), symbols.into());
            }
        }
    }
}
