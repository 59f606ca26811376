//! Hugging Face's `tokenizer.json`: one file with all parts of a tokenizer.

use serde_json::Value;

use super::hf_steps;
use super::json::Node;
use crate::added_tokens::AddedToken;
use crate::bpe::{Bpe, BpeOptions};
use crate::error::{Error, Result, Warning};
use crate::merge::Merges;
use crate::pretokenize::PreTokenizer;
use crate::tokenizer::{Parts, Tokenizer};
use crate::vocab::Vocab;

impl Tokenizer {
    /// Builds a tokenizer from the contents of a `tokenizer.json` with a BPE model.
    ///
    /// # Errors
    /// [`Error::Json`] for invalid JSON, [`Error::Key`] for a part that is missing or of the wrong type,
    /// [`Error::Unsupported`] for a part of an unsupported type, and errors for merges that do not match the
    /// vocabulary.
    pub fn from_json(json: &str) -> Result<Tokenizer> {
        let value: Value = serde_json::from_str(json).map_err(Error::Json)?;
        Tokenizer::from_value(&value)
    }

    pub(super) fn from_value(value: &Value) -> Result<Tokenizer> {
        let root = Node::root(value);
        root.object()?;
        let mut warnings = Vec::new();
        let model = model(&root.get("model"), &mut warnings)?;
        for setting in ["truncation", "padding"] {
            if !root.get(setting).is_null() {
                let reason = "texts are neither truncated nor padded";
                warnings.push(Warning::Ignored { setting: setting.to_owned(), reason });
            }
        }
        let mut tokenizer = Tokenizer::new(Parts {
            normalizers: hf_steps::normalizers(&root.get("normalizer"))?,
            pre_tokenizer: PreTokenizer::new(hf_steps::pre_tokenizers(&root.get("pre_tokenizer"))?),
            model,
            added_tokens: added_tokens(&root.get("added_tokens"))?,
            template: hf_steps::template(&root.get("post_processor"))?,
            decoder: hf_steps::decoder(&root.get("decoder"))?,
        })?;
        tokenizer.warn(warnings);
        Ok(tokenizer)
    }
}

fn model(node: &Node<'_>, warnings: &mut Vec<Warning>) -> Result<Bpe> {
    node.object()?;
    // Old files have no type; merges identify BPE then.
    let is_bpe = match node.get("type").value {
        Value::Null => !node.get("merges").is_null(),
        value => value == "BPE",
    };
    if !is_bpe {
        return Err(node.unsupported("BPE"));
    }
    let dropout = node.get("dropout");
    if dropout.value.as_f64().unwrap_or(0.0) != 0.0 {
        let reason = "dropout is for training; encoding is always deterministic";
        warnings.push(Warning::Ignored { setting: dropout.path, reason });
    }
    let options = BpeOptions {
        unk_token: if node.get("unk_token").is_null() {
            None
        } else {
            Some(node.get("unk_token").text()?.to_owned())
        },
        fuse_unk: node.get("fuse_unk").bool_or(false)?,
        byte_fallback: node.get("byte_fallback").bool_or(false)?,
        ignore_merges: node.get("ignore_merges").bool_or(false)?,
        continuing_subword_prefix: node.get("continuing_subword_prefix").text_or_empty()?.to_owned(),
        end_of_word_suffix: node.get("end_of_word_suffix").text_or_empty()?.to_owned(),
    };
    let vocab = vocab(&node.get("vocab"))?;
    let merges = merges(&node.get("merges"), &vocab, options.continuing_subword_prefix.len())?;
    Bpe::new(vocab, merges, options)
}

/// Parses `{"token": id, …}`, which is also the format of `vocab.json`.
pub(super) fn vocab(node: &Node<'_>) -> Result<Vocab> {
    let entries = node.object()?;
    let mut vocab = Vocab::with_capacity(entries.len());
    for (token, id) in entries {
        match id.as_u64().and_then(|id| u32::try_from(id).ok()) {
            Some(id) => vocab.insert(token.as_str(), id),
            None => return Err(node.get(token).id().err().unwrap_or_else(|| node.expected("ids"))),
        }
    }
    Ok(vocab)
}

/// Parses `["left right", …]` or `[["left", "right"], …]`.
fn merges(node: &Node<'_>, vocab: &Vocab, prefix_length: usize) -> Result<Merges> {
    let list = node.value.as_array().ok_or_else(|| node.expected("a list of merges"))?;
    let mut merges = Merges::with_capacity(list.len());
    let is_merge = |value: &&Value| !value.as_str().is_some_and(|line| line.starts_with("#version"));
    for (rank, value) in list.iter().filter(is_merge).enumerate() {
        let pair = match value {
            Value::String(line) => line.split_once(' ').filter(|(_, right)| !right.contains(' ')),
            Value::Array(pair) => match &pair[..] {
                [left, right] => left.as_str().zip(right.as_str()),
                _ => None,
            },
            _ => None,
        };
        let (left, right) = pair.ok_or_else(|| {
            Node { value, path: format!("{}[{rank}]", node.path) }
                .expected("two tokens, as a list or separated by one space")
        })?;
        super::add_merge(&mut merges, vocab, rank, left, right, prefix_length)?;
    }
    Ok(merges)
}

fn added_tokens(node: &Node<'_>) -> Result<Vec<AddedToken>> {
    if node.is_null() {
        return Ok(Vec::new());
    }
    let token = |node: Node<'_>| {
        let special = node.get("special").bool_or(false)?;
        Ok(AddedToken {
            id: node.get("id").id()?,
            content: node.get("content").text()?.to_owned(),
            single_word: node.get("single_word").bool_or(false)?,
            lstrip: node.get("lstrip").bool_or(false)?,
            rstrip: node.get("rstrip").bool_or(false)?,
            normalized: node.get("normalized").bool_or(!special)?,
            special,
        })
    };
    node.list()?.map(token).collect()
}
