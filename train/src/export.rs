//! Writes a model as a Hugging Face directory, which other programs can load.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use glassbox_model::{Config, families};
use glassbox_tensor::Tensor;
use glassbox_tensor::file::safetensors::{self, SafeTensors};
use glassbox_tokenizer::Tokenizer;
use serde_json::{Value, json};

use crate::Network;
use crate::files;
use crate::run_error::RunError;

/// What a model directory contains besides the parameters.
pub struct Description<'a> {
    /// The tokenizer, if the model has one; without it no tokenizer is written.
    pub tokenizer: Option<&'a Tokenizer>,
    /// The Jinja template that renders a chat as one text.
    pub chat_template: Option<&'a str>,
    /// The end-of-sequence tokens.
    pub eos_ids: &'a [u32],
}

/// Writes a model with these parameters, which have Hugging Face's names: `config.json`, `generation_config.json`,
/// `tokenizer.json`, `tokenizer_config.json` and `model.safetensors`. Each file is replaced atomically; the weights are
/// written last.
///
/// # Errors
/// [`RunError::File`] or [`RunError::Tensor`] if the folder cannot be written.
pub fn write_directory(
    folder: &Path,
    config: &Config,
    parameters: Vec<(String, Tensor)>,
    description: &Description<'_>,
) -> Result<(), RunError> {
    let Description { tokenizer, chat_template, eos_ids } = *description;
    let failed = |path: &Path, source| RunError::File { path: path.to_path_buf(), source };
    fs::create_dir_all(folder).map_err(|source| failed(folder, source))?;
    let bos_id = tokenizer.and_then(Tokenizer::bos_id);
    let generation = json!({ "bos_token_id": bos_id, "eos_token_id": ids(eos_ids) });
    let mut texts = vec![
        ("config.json", pretty(&config_json(config, bos_id, eos_ids))),
        ("generation_config.json", pretty(&generation)),
    ];
    if let Some(tokenizer) = tokenizer {
        texts.push(("tokenizer_config.json", pretty(&tokenizer_config(config, tokenizer, chat_template))));
        texts.push(("tokenizer.json", tokenizer.to_json()));
    }
    for (name, text) in texts {
        let path = folder.join(name);
        files::write(&path, text).map_err(|source| failed(&path, source))?;
    }
    let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    Ok(safetensors::write(folder.join("model.safetensors"), &metadata, parameters)?)
}

/// The parameters as a safetensors file in memory.
pub(crate) fn in_memory(network: &Network) -> Result<SafeTensors, RunError> {
    let mut bytes = Vec::new();
    safetensors::write_to(&mut bytes, "the parameters", &BTreeMap::new(), network.parameters().named("")?)?;
    Ok(SafeTensors::from_bytes("the parameters", bytes)?)
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default() + "\n"
}

/// JSON for one id, several, or none.
fn ids(ids: &[u32]) -> Value {
    match ids {
        [] => Value::Null,
        [id] => (*id).into(),
        ids => ids.into(),
    }
}

fn tokenizer_config(config: &Config, tokenizer: &Tokenizer, chat_template: Option<&str>) -> Value {
    let token = |id: Option<u32>| id.and_then(|id| tokenizer.id_to_token(id));
    let mut tokenizer_config = json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": token(tokenizer.bos_id()),
        "eos_token": token(tokenizer.eos_id()),
        "model_max_length": config.context_length,
        "clean_up_tokenization_spaces": false,
    });
    if let Some(template) = chat_template {
        tokenizer_config["chat_template"] = template.into();
    }
    tokenizer_config
}

/// `config.json` with the family's keys.
fn config_json(config: &Config, bos_id: Option<u32>, eos_ids: &[u32]) -> Value {
    let mut keys = families::to_hf(config);
    for (key, value) in [
        ("bos_token_id", bos_id.into()),
        ("eos_token_id", ids(eos_ids)),
        ("dtype", "float32".into()),
        ("torch_dtype", "float32".into()),
    ] {
        keys.insert(key.to_owned(), value);
    }
    Value::Object(keys)
}

/// Whether `config.json` can express this configuration, so that [`write_directory`] can write it.
pub fn can_export(config: &Config) -> bool {
    families::can_write_hf(config)
}
