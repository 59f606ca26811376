//! The tokenizer of a GGUF file, from its metadata.
//!
//! This crate does not read GGUF containers. The caller fills in a [`GgufVocab`] from the keys `tokenizer.ggml.*`.

use super::gguf_pre::{self, PreRule};
use crate::added_tokens::AddedToken;
use crate::bpe::{Bpe, BpeOptions};
use crate::decode::{DecodeStep, Decoder};
use crate::error::{Error, Result, Warning};
use crate::merge::{Merges, Pieces};
use crate::normalize::Normalizer;
use crate::pretokenize::{Pattern, PreTokenizer};
use crate::template::Template;
use crate::token_list::TokenList;
use crate::tokenizer::{Parts, Tokenizer};
use crate::vocab::Vocab;

/// The tokenizer metadata of a GGUF; the doc of each field is its key.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GgufVocab {
    /// `tokenizer.ggml.model`: `gpt2` is byte-level BPE, `llama` is SentencePiece BPE.
    pub model: String,
    /// `tokenizer.ggml.pre`
    pub pre: Option<String>,
    /// `tokenizer.ggml.tokens`
    pub tokens: TokenList,
    /// `tokenizer.ggml.scores`
    pub scores: Option<Vec<f32>>,
    /// `tokenizer.ggml.token_type`
    pub token_types: Option<Vec<i32>>,
    /// `tokenizer.ggml.merges`
    pub merges: Option<Vec<String>>,
    /// `tokenizer.ggml.bos_token_id`
    pub bos: Option<u32>,
    /// `tokenizer.ggml.eos_token_id`
    pub eos: Option<u32>,
    /// `tokenizer.ggml.unknown_token_id`
    pub unk: Option<u32>,
    /// `tokenizer.ggml.padding_token_id`
    pub pad: Option<u32>,
    /// `tokenizer.ggml.add_bos_token`
    pub add_bos: Option<bool>,
    /// `tokenizer.ggml.add_eos_token`
    pub add_eos: Option<bool>,
    /// `tokenizer.ggml.add_space_prefix`
    pub add_space_prefix: Option<bool>,
}

/// The values of `tokenizer.ggml.token_type`.
pub(crate) mod kind {
    pub(crate) const NORMAL: i32 = 1;
    pub(crate) const UNKNOWN: i32 = 2;
    pub(crate) const CONTROL: i32 = 3;
    pub(crate) const USER_DEFINED: i32 = 4;
    pub(crate) const UNUSED: i32 = 5;
    pub(crate) const BYTE: i32 = 6;
}

/// SentencePiece's character for a space.
pub(crate) const MARK: &str = "▁";

impl GgufVocab {
    /// Builds the tokenizer.
    ///
    /// # Errors
    /// For an unsupported `model`, lists of different lengths, ids without a token, and merges that do not match the
    /// vocabulary. An unknown `pre` is only a [`Warning`].
    pub fn load(self) -> Result<Tokenizer> {
        self.check_lengths()?;
        let (bos, eos) = (self.check_id("bos", self.bos)?, self.check_id("eos", self.eos)?);
        self.check_id("unk", self.unk)?;
        self.check_id("pad", self.pad)?;
        let (add_bos, add_eos) = (self.add_bos, self.add_eos);
        let (mut tokenizer, adds_bos) = match self.model.as_str() {
            "gpt2" => self.byte_level()?,
            "llama" => (self.sentence_piece()?, true),
            _ => {
                return Err(Error::Unsupported {
                    part: "tokenizer.ggml.model".to_owned(),
                    found: self.model,
                    supported: "gpt2 (byte-level BPE), llama (SentencePiece BPE)",
                });
            }
        };
        for (wanted, id, setting) in [(add_bos, bos, "add_bos_token"), (add_eos, eos, "add_eos_token")] {
            if wanted == Some(true) && id.is_none() {
                let setting = format!("tokenizer.ggml.{setting}");
                tokenizer.warn([Warning::Ignored { setting, reason: "the file does not name this token" }]);
            }
        }
        let before = bos.filter(|_| add_bos.unwrap_or(adds_bos));
        let after = eos.filter(|_| add_eos.unwrap_or(false));
        tokenizer.set_template(Template::around(Vec::from_iter(before), Vec::from_iter(after)));
        tokenizer.set_bos_id(bos);
        tokenizer.set_eos_id(eos);
        Ok(tokenizer)
    }

    fn check_lengths(&self) -> Result<()> {
        let expected = self.tokens.len();
        let check = |lists, found: Option<usize>| match found {
            Some(found) if found != expected => Err(Error::Lengths { lists, expected, found }),
            _ => Ok(()),
        };
        check("tokenizer.ggml.tokens and tokenizer.ggml.scores", self.scores.as_ref().map(Vec::len))?;
        check("tokenizer.ggml.tokens and tokenizer.ggml.token_type", self.token_types.as_ref().map(Vec::len))
    }

    fn check_id(&self, used_by: &str, id: Option<u32>) -> Result<Option<u32>> {
        match id {
            Some(id) if id as usize >= self.tokens.len() => {
                Err(Error::UnknownId { used_by: format!("tokenizer.ggml.{used_by}_token_id"), id })
            }
            id => Ok(id),
        }
    }

    fn kind(&self, id: usize) -> i32 {
        self.token_types.as_ref().map_or(kind::NORMAL, |kinds| kinds[id])
    }

    /// The added tokens. If the file has no token types, they are `bos` and `eos`.
    fn added_tokens(&self) -> Vec<AddedToken> {
        if self.token_types.is_none() {
            let ends = [self.bos, self.eos].into_iter().flatten();
            let added = ends.filter_map(|id| Some(AddedToken::special(id, self.tokens.get(id as usize)?)));
            return added.collect();
        }
        let added = self.tokens.iter().zip(0u32..).filter_map(|(content, id)| {
            let special = match self.kind(id as usize) {
                kind::CONTROL | kind::UNKNOWN => true,
                kind::USER_DEFINED => false,
                _ => return None,
            };
            Some(AddedToken { special, ..AddedToken::special(id, content) })
        });
        added.collect()
    }

    /// The tokenizer, and whether `bos` is added by default.
    fn byte_level(mut self) -> Result<(Tokenizer, bool)> {
        let (PreRule { steps, normalizers, ignore_merges, add_bos }, warning) = match self.pre.as_deref() {
            None => (gguf_pre::default_rule()?, Some(Warning::MissingPre)),
            Some(pre) => match gguf_pre::rule(pre)? {
                Some(rule) => (rule, None),
                None => (gguf_pre::default_rule()?, Some(Warning::UnknownPre { pre: pre.to_owned() })),
            },
        };
        let added_tokens = self.added_tokens();
        let vocab = Vocab::of_list(std::mem::take(&mut self.tokens));
        let missing = || Error::Key {
            key: "tokenizer.ggml.merges".to_owned(),
            expected: "the list of merges of a gpt2 model",
            found: "nothing".to_owned(),
        };
        let merges = parse_merges(self.merges.as_deref().ok_or_else(missing)?, &vocab)?;
        let options = BpeOptions { ignore_merges, ..BpeOptions::default() };
        let mut tokenizer = Tokenizer::new(Parts {
            normalizers,
            pre_tokenizer: PreTokenizer::new(steps),
            model: Bpe::new(vocab, merges, options)?,
            added_tokens,
            template: Template::default(),
            decoder: Some(Decoder::new(vec![DecodeStep::ByteLevel])),
        })?;
        tokenizer.warn(warning);
        Ok((tokenizer, add_bos))
    }

    /// Replaces spaces by marks in user-defined tokens that are runs of spaces, since they are matched in normalized
    /// text. llama.cpp's converter writes spaces there; the model's own tokenizer has marks.
    fn write_marks(&mut self) {
        let is_run = |&(id, token): &(usize, &str)| is_spaces(token) && self.kind(id) == kind::USER_DEFINED;
        let runs = self.tokens.iter().enumerate().filter(is_run);
        let with_marks: Vec<_> = runs.map(|(id, token)| (id, token.replace(' ', MARK))).collect();
        self.tokens.replace(&with_marks);
    }

    /// SentencePiece BPE: the whole text is one word, and the pair whose token has the highest score is merged first.
    fn sentence_piece(mut self) -> Result<Tokenizer> {
        let missing = || Error::Key {
            key: "tokenizer.ggml.scores".to_owned(),
            expected: "the token scores of a llama model",
            found: "nothing".to_owned(),
        };
        let scores = self.scores.take().ok_or_else(missing)?;
        let unk = self.unk.and_then(|id| self.tokens.get(id as usize)).map(str::to_owned);
        self.write_marks();
        let added_tokens = self.added_tokens();
        let score = |(id, score): (u32, f32)| match self.kind(id as usize) {
            kind::NORMAL => Some((id, score)),
            // A user-defined token is always merged, regardless of its score: llama.cpp's converter writes -1000.
            kind::USER_DEFINED => Some((id, f32::INFINITY)),
            _ => None,
        };
        let scores = (0..).zip(scores).filter_map(score).collect();
        let vocab = Vocab::of_list(std::mem::take(&mut self.tokens));
        let merges = Merges::of_pieces(Pieces::new(vocab.clone(), scores)?);
        let space_prefix = self.add_space_prefix.unwrap_or(true);
        let space = || Pattern::text(" ");
        let mut normalizers = vec![Normalizer::Replace { pattern: space(), content: MARK.to_owned() }];
        let mut decoding = vec![
            DecodeStep::Replace { pattern: Pattern::text(MARK), content: " ".to_owned() },
            DecodeStep::ByteFallback,
            DecodeStep::Fuse,
        ];
        if space_prefix {
            normalizers.insert(0, Normalizer::Prepend(MARK.to_owned()));
            decoding.push(DecodeStep::Strip { content: ' ', start: 1, stop: 0 });
        }
        let options =
            BpeOptions { unk_token: unk, fuse_unk: true, byte_fallback: true, ..BpeOptions::default() };
        Tokenizer::new(Parts {
            normalizers,
            pre_tokenizer: PreTokenizer::default(),
            model: Bpe::new(vocab, merges, options)?,
            added_tokens,
            template: Template::default(),
            decoder: Some(Decoder::new(decoding)),
        })
    }
}

/// Whether a token is a run of spaces.
fn is_spaces(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|byte| byte == b' ')
}

/// Parses merges written as `left right`, the lowest rank first.
fn parse_merges(lines: &[String], vocab: &Vocab) -> Result<Merges> {
    let mut merges = Merges::with_capacity(lines.len());
    for (rank, line) in lines.iter().enumerate() {
        // The left token may begin with a space in vocabularies that are not written in the byte alphabet.
        let split = line.char_indices().skip(1).find(|&(_, c)| c == ' ');
        let (left, right) = match split {
            Some((at, _)) => (&line[..at], &line[at + 1..]),
            None => {
                return Err(Error::Line {
                    file: "tokenizer.ggml.merges",
                    line: rank + 1,
                    expected: "two tokens separated by a space",
                    found: line.clone(),
                });
            }
        };
        super::add_merge(&mut merges, vocab, rank, left, right, 0)?;
    }
    Ok(merges)
}
