//! GPT-2's two files: `vocab.json` with the ids, `merges.txt` with one merge per line.

use serde_json::Value;

use super::json::Node;
use crate::added_tokens::AddedToken;
use crate::bpe::{Bpe, BpeOptions};
use crate::decode::{DecodeStep, Decoder};
use crate::error::{Error, Result};
use crate::merge::Merges;
use crate::pretokenize::{PreTokenizer, Step};
use crate::template::Template;
use crate::tokenizer::{Parts, Tokenizer};
use crate::vocab::Vocab;

/// GPT-2's only special token, which both begins and ends a sequence.
const END_OF_TEXT: &str = "<|endoftext|>";

impl Tokenizer {
    /// Builds a tokenizer from the contents of `vocab.json` and `merges.txt`, with GPT-2's pre-tokenizer.
    ///
    /// If the vocabulary has `<|endoftext|>`, it is the special token that begins and ends sequences.
    pub fn from_gpt2_files(vocab_json: &str, merges_txt: &str) -> Result<Tokenizer> {
        let value: Value = serde_json::from_str(vocab_json).map_err(Error::Json)?;
        let root = Node { value: &value, path: "vocab".to_owned() };
        let vocab = super::hf_json::vocab(&root)?;
        let merges = parse_merges(merges_txt, &vocab)?;
        let end = vocab.id(END_OF_TEXT);
        let mut tokenizer = Tokenizer::new(Parts {
            normalizers: Vec::new(),
            pre_tokenizer: PreTokenizer::new(vec![Step::byte_level()]),
            model: Bpe::new(vocab, merges, BpeOptions::default())?,
            added_tokens: end.map(|id| AddedToken::special(id, END_OF_TEXT)).into_iter().collect(),
            template: Template::default(),
            decoder: Some(Decoder::new(vec![DecodeStep::ByteLevel])),
        })?;
        tokenizer.set_bos_id(end);
        tokenizer.set_eos_id(end);
        Ok(tokenizer)
    }
}

/// Parses lines of `left right`. Lines that begin with `#version` and empty lines at the end are skipped.
fn parse_merges(text: &str, vocab: &Vocab) -> Result<Merges> {
    let lines = text.trim_end_matches(['\n', '\r']).lines().enumerate();
    let mut merges = Merges::default();
    for (rank, (number, line)) in lines.filter(|(_, line)| !line.starts_with("#version")).enumerate() {
        let pair = line.split_once(' ').filter(|(_, right)| !right.contains(' '));
        let Some((left, right)) = pair else {
            return Err(Error::Line {
                file: "merges",
                line: number + 1,
                expected: "two tokens separated by one space",
                found: line.chars().take(80).collect(),
            });
        };
        super::add_merge(&mut merges, vocab, rank, left, right, 0)?;
    }
    Ok(merges)
}
