//! Encoding: runs all steps in order.
//!
//! ```text
//! text ─ match added tokens ─ normalize ─ split into words ─ merge each word ─ add special tokens ─► ids
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

/// How to treat special tokens in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Special {
    /// As ordinary text. Use this for untrusted text, which must not be able to forge a role.
    #[default]
    AsText,
    /// As special tokens. Use this for a rendered chat template.
    Parse,
}

/// Options of encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EncodeOptions {
    /// How to treat special tokens in the text.
    pub special: Special,
    /// Whether to add the special tokens that the model expects around the text, such as beginning of sequence.
    pub add_special_tokens: bool,
}

/// A token and its byte range in the original text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The token's id.
    pub id: u32,
    /// The byte range. Empty for a token that was added to the text.
    pub range: Range<usize>,
}

/// The source of a token.
enum Source<'p> {
    /// A range of a piece of text.
    Text(&'p Piece<'p>, Range<usize>),
    /// A range of the input that is not UTF-8.
    Bytes(Range<usize>),
}

impl Source<'_> {
    fn range(self) -> Range<usize> {
        match self {
            Source::Text(piece, range) => piece.origin(range),
            Source::Bytes(range) => range,
        }
    }
}

impl Tokenizer {
    /// The ids of a text.
    ///
    /// Unknown characters become the unknown token or, without one, nothing, as in the reference. Byte-level tokenizers
    /// have no unknown characters.
    ///
    /// # Errors
    /// [`Error::Search`] if a regular expression of the tokenizer fails on the text. Tokenizers that only use
    /// [`patterns`](crate::patterns) never fail.
    pub fn encode(&self, text: &str, options: &EncodeOptions) -> Result<Vec<u32>> {
        let ids = match self.raw().cuts() {
            Some(_) => self.ids_of_raw(text, options),
            None => self.ids(text.as_bytes(), options)?,
        };
        Ok(self.with_template(ids, options))
    }

    /// The tokens of a text with their byte ranges. If normalization rewrote the text, several tokens of one character
    /// share its range. White space that the tokenizer drops belongs to no token.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_with_offsets(&self, text: &str, options: &EncodeOptions) -> Result<Vec<Token>> {
        self.encode_bytes_with_offsets(text.as_bytes(), options)
    }

    /// The ids of bytes that need not be UTF-8.
    ///
    /// Valid UTF-8 is encoded as text. Each invalid byte becomes the token of that byte, and no merge crosses it.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`], and [`Error::NoByteToken`] if an invalid byte has no token.
    pub fn encode_bytes(&self, bytes: &[u8], options: &EncodeOptions) -> Result<Vec<u32>> {
        if let Ok(text) = str::from_utf8(bytes) {
            return self.encode(text, options);
        }
        Ok(self.with_template(self.ids(bytes, options)?, options))
    }

    fn with_template(&self, ids: Vec<u32>, options: &EncodeOptions) -> Vec<u32> {
        if options.add_special_tokens { self.template().apply(ids, |id, _| id) } else { ids }
    }

    /// The ids of bytes, by the general steps.
    fn ids(&self, bytes: &[u8], options: &EncodeOptions) -> Result<Vec<u32>> {
        let mut ids = Vec::with_capacity(bytes.len() / 3 + 2);
        self.each_token(bytes, options, &mut |id, _| ids.push(id))?;
        Ok(ids)
    }

    /// The ids of a text, for tokenizers that do not rewrite it.
    fn ids_of_raw(&self, text: &str, options: &EncodeOptions) -> Vec<u32> {
        let cuts = self.raw().cuts().unwrap_or_default();
        let cache = self.raw().take_cache();
        let ids = Vec::with_capacity(text.len() / 3 + 2);
        let mut words = Words { model: self.model(), text, cache, ids };
        self.raw_parts(text, options).iter().for_each(|part| words.part(cuts, part));
        self.raw().keep_cache(words.cache);
        words.ids
    }

    /// As [`Tokenizer::encode_bytes`], with the byte range of each token.
    ///
    /// # Errors
    /// As [`Tokenizer::encode_bytes`].
    pub fn encode_bytes_with_offsets(&self, bytes: &[u8], options: &EncodeOptions) -> Result<Vec<Token>> {
        let mut tokens = Vec::with_capacity(bytes.len() / 3 + 2);
        self.each_token(bytes, options, &mut |id, source| tokens.push(Token { id, range: source.range() }))?;
        let end = bytes.len();
        let around = |id, after_text| Token { id, range: if after_text { end..end } else { 0..0 } };
        Ok(if options.add_special_tokens { self.template().apply(tokens, around) } else { tokens })
    }

    fn each_token(
        &self,
        bytes: &[u8],
        options: &EncodeOptions,
        emit: &mut dyn FnMut(u32, Source<'_>),
    ) -> Result<()> {
        let mut words = MergedWords::default();
        let mut at = 0;
        for chunk in bytes.utf8_chunks() {
            self.segments(chunk.valid(), at, options, &mut |segment| match segment {
                Segment::Added(id, piece) => emit(id, Source::Text(&piece, 0..piece.as_str().len())),
                Segment::Word(piece) => words.tokens(self, piece.as_str(), |symbol| {
                    emit(symbol.id, Source::Text(&piece, symbol.start..symbol.end));
                }),
            })?;
            at += chunk.valid().len();
            for &byte in chunk.invalid() {
                let token = self.model().byte_token(byte, self.is_byte_level()).or(self.model().unk_id());
                emit(token.ok_or(Error::NoByteToken { byte, at })?, Source::Bytes(at..at + 1));
                at += 1;
            }
        }
        Ok(())
    }

    /// Splits a text, which starts at byte `start` of the input, into added tokens and words.
    pub(crate) fn segments<'t>(
        &self,
        text: &'t str,
        start: usize,
        options: &EncodeOptions,
        emit: &mut dyn FnMut(Segment<'t>),
    ) -> Result<()> {
        let parse = self.parses_special(options);
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

    /// A word, or a part of one, as input of the model.
    pub(crate) fn word<'w>(&self, text: &'w str) -> Word<'w> {
        if self.pre_tokenizer().leaves_bytes_raw() { Word::Bytes(text.as_bytes()) } else { Word::Text(text) }
    }
}

/// A part of a text: an added token or a word.
pub(crate) enum Segment<'t> {
    Added(u32, Piece<'t>),
    Word(Piece<'t>),
}

/// A cache of the merged words of one text.
#[derive(Default)]
struct MergedWords {
    known: Map<Box<str>, Box<[Symbol]>>,
}

impl MergedWords {
    /// Maximum length of a cached word in bytes; longer words rarely repeat.
    const MAX_BYTES: usize = 64;
    /// Maximum number of cached words, so that memory is bounded.
    const MAX_WORDS: usize = 1 << 16;

    fn tokens(&mut self, tokenizer: &Tokenizer, word: &str, mut emit: impl FnMut(Symbol)) {
        for part in tokenizer.model().independent_parts(word) {
            let shifted = |symbol: &Symbol| Symbol {
                start: symbol.start + part.start,
                end: symbol.end + part.start,
                ..*symbol
            };
            let text = &word[part.clone()];
            if let Some(symbols) = self.known.get(text) {
                symbols.iter().map(shifted).for_each(&mut emit);
                continue;
            }
            let symbols = tokenizer.model().tokens(tokenizer.word(text));
            symbols.iter().map(shifted).for_each(&mut emit);
            if text.len() <= MergedWords::MAX_BYTES && self.known.len() < MergedWords::MAX_WORDS {
                self.known.insert(text.into(), symbols.into());
            }
        }
    }
}
