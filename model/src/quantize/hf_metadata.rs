//! Translates `config.json` and the tokenizer's files to llama.cpp's keys.

use std::path::Path;

use glassbox_tensor::Tensor;
use glassbox_tensor::file::gguf::{Array, Value};
use glassbox_tokenizer::GgufVocab;

use super::unsupported;
use crate::error::Error;
use crate::families;
use crate::load::Checkpoint;
use crate::metadata::MetadataWriter;

/// A checkpoint's metadata as a GGUF has them.
pub(super) struct Description {
    pub(super) metadata: Vec<(String, Value)>,
    /// Metadata that are stored as tensors.
    pub(super) tensors: Vec<(String, Tensor)>,
    pub(super) notes: Vec<String>,
}

pub(super) fn describe(checkpoint: &Checkpoint) -> Result<Description, Error> {
    let path = checkpoint.path();
    let mut keys = families::to_gguf(checkpoint.config());
    if !keys.problems.is_empty() {
        return Err(unsupported(path, keys.problems));
    }
    keys.general("general.name", Value::String(name(path)));
    let divisors = keys.rope_divisors.take();
    let divisors = divisors.map(|divisors| Tensor::from_f32([divisors.len()], divisors)).transpose()?;
    let tensors = divisors.map(|tensor| ("rope_freqs.weight".to_owned(), tensor)).into_iter().collect();
    let notes = tokenizer(&mut keys, checkpoint)?;
    Ok(Description { metadata: keys.metadata, tensors, notes })
}

/// The name of the folder.
fn name(path: &Path) -> String {
    let full = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    full.file_name().map_or_else(|| "model".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// Adds the tokenizer and the chat template. Returns notes for the user, a sentence each.
fn tokenizer(keys: &mut MetadataWriter, checkpoint: &Checkpoint) -> Result<Vec<String>, Error> {
    let Some(tokenizer) = checkpoint.tokenizer()? else {
        keys.general("tokenizer.ggml.model", Value::String("none".to_owned()));
        return Ok(vec!["the checkpoint has no tokenizer, so the new file has none".to_owned()]);
    };
    let described = GgufVocab::describe(&tokenizer, checkpoint.config().vocab_size);
    let vocab = described.map_err(|source| Error::Tokenizer { path: checkpoint.path().into(), source })?;
    let text = |text: &str| Value::String(text.to_owned());
    keys.general("tokenizer.ggml.model", text(&vocab.model));
    if let Some(pre) = &vocab.pre {
        keys.general("tokenizer.ggml.pre", text(pre));
    }
    let texts: Vec<&str> = vocab.tokens.iter().collect();
    keys.general("tokenizer.ggml.tokens", Value::Array(Array::from_strings(&texts)));
    if let Some(kinds) = &vocab.token_types {
        keys.general("tokenizer.ggml.token_type", Value::Array(Array::from_i32(kinds)));
    }
    if let Some(scores) = &vocab.scores {
        keys.general("tokenizer.ggml.scores", Value::Array(Array::from_f32(scores)));
    }
    if let Some(merges) = &vocab.merges {
        keys.general("tokenizer.ggml.merges", Value::Array(Array::from_strings(merges)));
    }
    let ends = &checkpoint.generation().eos_ids;
    let eos = if vocab.add_eos == Some(true) { vocab.eos } else { ends.first().copied().or(vocab.eos) };
    let mut more = ends.iter().copied().filter(|end| Some(*end) != eos);
    let ids = [
        ("bos_token_id", vocab.bos),
        ("eos_token_id", eos),
        ("eot_token_id", more.next()),
        ("eom_token_id", more.next()),
        ("unknown_token_id", vocab.unk),
    ];
    for (name, id) in ids {
        if let Some(id) = id {
            keys.general(&format!("tokenizer.ggml.{name}"), Value::U32(id));
        }
    }
    let flags = [
        ("add_bos_token", vocab.add_bos),
        ("add_eos_token", vocab.add_eos),
        ("add_space_prefix", vocab.add_space_prefix),
    ];
    for (name, flag) in flags {
        if let Some(flag) = flag {
            keys.general(&format!("tokenizer.ggml.{name}"), Value::Bool(flag));
        }
    }
    if let Some(template) = checkpoint.chat_template()? {
        keys.general("tokenizer.chat_template", text(template.source()));
    }
    Ok(Vec::new())
}
