//! The tokenizer and the chat template in a GGUF's metadata.

use glassbox_tensor::file::gguf::Gguf;
use glassbox_tokenizer::GgufVocab;

use crate::chat::{self, ChatTemplate, SpecialTokens};
use crate::error::Error;

/// Reads the tokenizer's metadata; `None` if there are none.
pub(crate) fn vocabulary(file: &Gguf) -> Result<Option<GgufVocab>, Error> {
    if file.value("tokenizer.ggml.model").is_none() || file.get_str("tokenizer.ggml.model")? == "none" {
        return Ok(None);
    }
    let has = |key: &str| file.value(key).is_some();
    let texts = |key: &str| -> Result<Vec<String>, Error> {
        Ok(file.get_str_array(key)?.into_iter().map(str::to_owned).collect())
    };
    let id = |name: &str| maybe_id(file, name);
    let flag = |name: &str| -> Result<Option<bool>, Error> {
        let key = format!("tokenizer.ggml.{name}");
        Ok(if has(&key) { Some(file.get_bool(&key)?) } else { None })
    };
    Ok(Some(GgufVocab {
        model: file.get_str("tokenizer.ggml.model")?.to_owned(),
        pre: has("tokenizer.ggml.pre")
            .then(|| file.get_str("tokenizer.ggml.pre"))
            .transpose()?
            .map(str::to_owned),
        tokens: file.get_str_array("tokenizer.ggml.tokens")?.into_iter().collect(),
        scores: has("tokenizer.ggml.scores")
            .then(|| file.get_f32_array("tokenizer.ggml.scores"))
            .transpose()?,
        token_types: has("tokenizer.ggml.token_type")
            .then(|| file.get_i32_array("tokenizer.ggml.token_type"))
            .transpose()?,
        merges: has("tokenizer.ggml.merges").then(|| texts("tokenizer.ggml.merges")).transpose()?,
        bos: id("bos_token_id")?,
        eos: id("eos_token_id")?,
        unk: id("unknown_token_id")?,
        pad: id("padding_token_id")?,
        add_bos: flag("add_bos_token")?,
        add_eos: flag("add_eos_token")?,
        add_space_prefix: flag("add_space_prefix")?,
    }))
}

/// The tokens that end a sequence or a chat turn.
pub(crate) fn eos_ids(file: &Gguf) -> Result<Vec<u32>, Error> {
    let mut ids = Vec::new();
    for name in ["eos_token_id", "eot_token_id", "eom_token_id"] {
        ids.extend(maybe_id(file, name)?);
    }
    ids.dedup();
    Ok(ids)
}

/// The chat template, with the bos and eos tokens that it may use.
pub(crate) fn chat_template(file: &Gguf) -> Result<Result<Option<ChatTemplate>, chat::Error>, Error> {
    let key = "tokenizer.chat_template";
    if file.value(key).is_none() {
        return Ok(Ok(None));
    }
    let source = file.get_str(key)?;
    let tokens = if file.value("tokenizer.ggml.tokens").is_some() {
        file.get_str_array("tokenizer.ggml.tokens")?
    } else {
        Vec::new()
    };
    let token = |name| Ok::<_, Error>(maybe_id(file, name)?.and_then(|id| tokens.get(id as usize).copied()));
    let special = SpecialTokens::new(token("bos_token_id")?, token("eos_token_id")?);
    Ok(ChatTemplate::of_gguf(source, special).map(Some))
}

fn maybe_id(file: &Gguf, name: &str) -> Result<Option<u32>, Error> {
    let key = format!("tokenizer.ggml.{name}");
    Ok(if file.value(&key).is_some() { Some(file.get_u32(&key)?) } else { None })
}
