//! The tokenizer: its parts and its public methods, except encoding.

use std::borrow::Cow;

use crate::added_tokens::{AddedToken, AddedTokens};
use crate::bpe::{Bpe, alphabet_bytes, byte_of_fallback};
use crate::decode::{Decoder, Decoding};
use crate::encode::raw::Raw;
use crate::encode::{EncodeOptions, Special};
use crate::error::{Result, Warning};
use crate::limits;
use crate::normalize::Normalizer;
use crate::pretokenize::PreTokenizer;
use crate::stream::StreamDecoder;
use crate::template::Template;

/// The parts of a tokenizer.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Rewrite the text.
    pub normalizers: Vec<Normalizer>,
    /// Splits the text into words.
    pub pre_tokenizer: PreTokenizer,
    /// Merges each word.
    pub model: Bpe,
    /// Matched as a whole in the text.
    pub added_tokens: Vec<AddedToken>,
    /// The special tokens added around the text.
    pub template: Template,
    /// Converts tokens to text; without one, tokens are joined with spaces.
    pub decoder: Option<Decoder>,
}

/// A tokenizer: converts text to ids and back.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    normalizers: Vec<Normalizer>,
    pre_tokenizer: PreTokenizer,
    model: Bpe,
    added: AddedTokens,
    template: Template,
    decoder: Option<Decoder>,
    bos: Option<u32>,
    eos: Option<u32>,
    warnings: Vec<Warning>,
    splits_special: bool,
    raw: Raw,
}

impl Tokenizer {
    /// A tokenizer of these parts.
    ///
    /// # Errors
    /// [`Error::TooLarge`](crate::Error::TooLarge) if the steps could make a text grow beyond the limit.
    pub fn new(parts: Parts) -> Result<Tokenizer> {
        limits::check_growth("normalizer", parts.normalizers.iter().map(Normalizer::growth))?;
        limits::check_growth("pre_tokenizer", parts.pre_tokenizer.steps().iter().map(|step| step.growth()))?;
        let decoding = parts.decoder.iter().flat_map(|decoder| decoder.steps());
        limits::check_growth("decoder", decoding.map(|step| step.growth()))?;
        let mut warnings = Vec::new();
        let added =
            AddedTokens::new(parts.added_tokens, parts.model.vocab(), &parts.normalizers, &mut warnings)?;
        let keeps_text = parts.normalizers.is_empty() && parts.model.has_all_bytes();
        let raw = Raw::new(parts.pre_tokenizer.cuts().filter(|_| keeps_text));
        Ok(Tokenizer {
            normalizers: parts.normalizers,
            pre_tokenizer: parts.pre_tokenizer,
            model: parts.model,
            added,
            template: parts.template,
            decoder: parts.decoder,
            bos: None,
            eos: None,
            warnings,
            splits_special: false,
            raw,
        })
    }

    /// The text of ids. Bytes that are not UTF-8 become `�`; ids without a token are skipped.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> String {
        let mut stream = self.stream(skip_special);
        let mut text = String::with_capacity(ids.len() * 4);
        for &id in ids {
            text.push_str(&stream.push(id));
        }
        text.push_str(&stream.finish());
        text
    }

    /// The exact bytes of ids.
    pub fn decode_bytes(&self, ids: &[u32], skip_special: bool) -> Vec<u8> {
        let mut stream = StreamDecoder::new(self, self.decoding(true), skip_special);
        let mut bytes: Vec<u8> = ids.iter().flat_map(|&id| stream.push_bytes(id)).collect();
        bytes.extend(stream.finish_bytes());
        bytes
    }

    /// A decoder that takes ids one by one.
    pub fn stream(&self, skip_special: bool) -> StreamDecoder<'_> {
        StreamDecoder::new(self, self.decoding(false), skip_special)
    }

    pub(crate) fn decoding(&self, raw: bool) -> Decoding<'_> {
        Decoding::new(self.decoder.as_ref(), raw)
    }

    /// The bytes of a single token, possibly with incomplete characters. `None` if no token has this id.
    pub fn token_bytes(&self, id: u32) -> Option<Cow<'_, [u8]>> {
        let token = self.decoded_token(id)?;
        let Some(decoder) = &self.decoder else { return Some(Cow::Borrowed(token.as_bytes())) };
        if decoder.is_byte_level() {
            return Some(Cow::Owned(alphabet_bytes(token)));
        }
        if let (true, Some(byte)) = (decoder.has_byte_tokens(), byte_of_fallback(token)) {
            return Some(Cow::Owned(vec![byte]));
        }
        Some(match decoder.space_mark() {
            Some(mark) if token.contains(mark) => Cow::Owned(token.replace(mark, " ").into_bytes()),
            _ => Cow::Borrowed(token.as_bytes()),
        })
    }

    /// The token of an id as it is in the vocabulary. In byte-level models, tokens are written in the
    /// [byte alphabet](crate::byte_alphabet).
    pub fn id_to_token(&self, id: u32) -> Option<&str> {
        let added = self.added.get(id).map(|token| token.content.as_str());
        added.or_else(|| self.model.vocab().token(id))
    }

    /// The token of an id as decoders get it: added tokens that are matched in normalized text are normalized.
    pub(crate) fn decoded_token(&self, id: u32) -> Option<&str> {
        self.added.decoded(id).or_else(|| self.model.vocab().token(id))
    }

    /// Adds tokens, or gives known ones other properties. Their ids are ignored: a token in the vocabulary keeps its
    /// id, and the others are numbered from the end.
    ///
    /// # Errors
    /// [`Error::TooLarge`](crate::Error::TooLarge) for a token that is too long, and the errors of normalizing it.
    pub fn add_tokens(&mut self, tokens: Vec<AddedToken>) -> Result<()> {
        self.added.add(tokens, self.model.vocab(), &self.normalizers, &mut |_, _| {})
    }

    /// Whether special tokens in a text are always encoded as ordinary text, even with
    /// [`Special::Parse`](crate::Special::Parse).
    pub fn splits_special(&self) -> bool {
        self.splits_special
    }

    /// Sets [`Tokenizer::splits_special`].
    pub fn set_splits_special(&mut self, splits: bool) {
        self.splits_special = splits;
    }

    /// Whether special tokens in a text are parsed.
    pub(crate) fn parses_special(&self, options: &EncodeOptions) -> bool {
        options.special == Special::Parse && !self.splits_special
    }

    /// The id of a token, given as it is in the vocabulary.
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        self.added.id(token).or_else(|| self.model.vocab().id(token))
    }

    /// The highest id plus one: the number of rows of a table indexed by id.
    pub fn vocab_size(&self) -> usize {
        let added = self.added.sorted().last().map(|token| token.id);
        let highest = self.model.vocab().max_id().max(added);
        highest.map_or(0, |id| id as usize + 1)
    }

    /// Whether an id is a special token.
    pub fn is_special(&self, id: u32) -> bool {
        self.added.get(id).is_some_and(|token| token.special)
    }

    /// The added tokens.
    pub fn added_tokens(&self) -> &AddedTokens {
        &self.added
    }

    /// The beginning-of-sequence id, if the file names one or [`set_bos_id`](Tokenizer::set_bos_id) was called.
    pub fn bos_id(&self) -> Option<u32> {
        self.bos
    }

    /// The end-of-sequence id, if the file names one or [`set_eos_id`](Tokenizer::set_eos_id) was called.
    pub fn eos_id(&self) -> Option<u32> {
        self.eos
    }

    /// Sets the beginning-of-sequence id. This does not affect encoding; see [`Tokenizer::set_template`].
    pub fn set_bos_id(&mut self, id: Option<u32>) {
        self.bos = id;
    }

    /// Sets the end-of-sequence id. This does not affect encoding; see [`Tokenizer::set_template`].
    pub fn set_eos_id(&mut self, id: Option<u32>) {
        self.eos = id;
    }

    /// The tokens that [`EncodeOptions::add_special_tokens`](crate::EncodeOptions::add_special_tokens) adds around a
    /// text.
    pub fn template(&self) -> &Template {
        &self.template
    }

    /// Sets the tokens that [`EncodeOptions::add_special_tokens`](crate::EncodeOptions::add_special_tokens) adds around
    /// a text.
    pub fn set_template(&mut self, template: Template) {
        self.template = template;
    }

    /// Problems found in the tokenizer's file. Show them to the user.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    pub(crate) fn raw(&self) -> &Raw {
        &self.raw
    }

    pub(crate) fn warn(&mut self, warnings: impl IntoIterator<Item = Warning>) {
        self.warnings.extend(warnings);
    }

    /// Whether the vocabulary is written in the [byte alphabet](crate::byte_alphabet), so that it can encode every
    /// text.
    pub fn is_byte_level(&self) -> bool {
        let by_normalizer = self.normalizers.iter().any(|step| matches!(step, Normalizer::ByteLevel));
        by_normalizer || self.pre_tokenizer.is_byte_level()
    }

    /// The steps that rewrite the text.
    pub fn normalizers(&self) -> &[Normalizer] {
        &self.normalizers
    }

    /// The steps that split the text into words.
    pub fn pre_tokenizer(&self) -> &PreTokenizer {
        &self.pre_tokenizer
    }

    /// The vocabulary and its merges.
    pub fn model(&self) -> &Bpe {
        &self.model
    }

    /// The steps that convert tokens to text.
    pub fn decoder(&self) -> Option<&Decoder> {
        self.decoder.as_ref()
    }
}
