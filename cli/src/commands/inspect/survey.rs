//! Describes a checkpoint by its headers, supported or not.

use std::collections::BTreeMap;
use std::path::Path;

use glassbox_model::{Checkpoint, Config, Error};
use glassbox_tensor::CacheFormat;
use glassbox_tensor::file::TensorInfo;
use glassbox_tensor::file::gguf::Gguf;
use glassbox_tensor::file::safetensors::SafeTensors;
use serde::Serialize;
use serde_json::Value;

use crate::model_source::Found;

/// The description; `--json` writes it as it is.
#[derive(Serialize)]
pub(crate) struct Report {
    pub(crate) path: String,
    pub(crate) container: &'static str,
    pub(crate) name: Option<String>,
    pub(crate) family: Option<String>,
    pub(crate) runs: bool,
    pub(crate) sizes: Option<Sizes>,
    pub(crate) parameters: usize,
    pub(crate) formats: Vec<FormatShare>,
    pub(crate) memory: Memory,
    pub(crate) tokenizer: Part,
    pub(crate) chat_template: Part,
    /// The tokens that end a generation or a turn.
    pub(crate) end_tokens: Vec<EndToken>,
    /// What the files say that has no effect, or another effect than they say.
    pub(crate) warnings: Vec<String>,
    pub(crate) unsupported: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tensors: Option<Vec<TensorRow>>,
}

#[derive(Serialize)]
pub(crate) struct Sizes {
    pub(crate) vocab_size: usize,
    pub(crate) context_length: usize,
    pub(crate) d_model: usize,
    pub(crate) n_layers: usize,
    pub(crate) n_heads: usize,
    pub(crate) n_kv_heads: usize,
    pub(crate) head_dim: usize,
    pub(crate) d_ff: usize,
    pub(crate) tied: bool,
    pub(crate) sliding_window: Option<usize>,
}

#[derive(Serialize)]
pub(crate) struct FormatShare {
    pub(crate) format: String,
    pub(crate) tensors: usize,
    pub(crate) parameters: usize,
    pub(crate) bytes: usize,
    /// Fraction of all bytes.
    pub(crate) share: f64,
}

#[derive(Serialize)]
pub(crate) struct Memory {
    pub(crate) weights_bytes: usize,
    /// The number format of the cache: `f32` or `f16`.
    pub(crate) cache_format: &'static str,
    pub(crate) cache_bytes_per_1024_tokens: Option<usize>,
    pub(crate) cache_bytes_full_context: Option<usize>,
}

/// A token that ends a generation or a turn.
#[derive(Serialize)]
pub(crate) struct EndToken {
    pub(crate) id: u32,
    /// Its text, if there is a tokenizer.
    pub(crate) token: Option<String>,
}

/// A part other than the weights.
#[derive(Serialize)]
pub(crate) struct Part {
    /// `ok`, `none` or `error`.
    pub(crate) status: &'static str,
    pub(crate) detail: String,
    pub(crate) warnings: Vec<String>,
}

#[derive(Serialize)]
pub(crate) struct TensorRow {
    pub(crate) name: String,
    pub(crate) format: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: usize,
}

/// Describes a checkpoint from its headers; `cache` is the format of the KV cache.
pub(crate) fn of(found: &Found, cache: CacheFormat) -> anyhow::Result<Report> {
    let mut report = match found {
        Found::BuiltIn => of_checkpoint(&found.open()?, cache),
        Found::At(path) => match Checkpoint::open(path) {
            Ok(checkpoint) => of_checkpoint(&checkpoint, cache),
            Err(error) => of_files(path, error)?,
        },
    };
    report.memory.cache_format = cache.name();
    Ok(report)
}

/// The description of a checkpoint of a known family.
fn of_checkpoint(checkpoint: &Checkpoint, cache: CacheFormat) -> Report {
    let config = checkpoint.config();
    let container = if checkpoint.gguf().is_some() { "GGUF" } else { "safetensors" };
    let mut report = of_tensors(checkpoint.path(), container, checkpoint.tensors());
    report.name = checkpoint.gguf().and_then(|file| general(file, "general.name"));
    report.family = Some(config.family.to_string());
    report.sizes = Some(sizes(config));
    report.memory.cache_bytes_per_1024_tokens = Some(config.cache_bytes(cache, 1024));
    report.memory.cache_bytes_full_context = Some(config.cache_bytes(cache, config.context_length));
    report.warnings = checkpoint.warnings().iter().map(ToString::to_string).collect();
    let tokenizer = checkpoint.tokenizer();
    let usable = tokenizer.as_ref().ok().and_then(Option::as_ref);
    let token = |id| usable.and_then(|tokenizer| tokenizer.id_to_token(id)).map(str::to_owned);
    let ends = checkpoint.end_ids(usable).into_iter();
    report.end_tokens = ends.map(|id| EndToken { id, token: token(id) }).collect();
    report.tokenizer = match &tokenizer {
        Ok(Some(tokenizer)) => Part {
            status: "ok",
            detail: format!("{} tokens", tokenizer.vocab_size()),
            warnings: tokenizer.warnings().iter().map(ToString::to_string).collect(),
        },
        Ok(None) => Part::none("none; give token ids with --ids"),
        Err(error) => Part::broken(error),
    };
    report.chat_template = match checkpoint.chat_template() {
        Ok(Some(template)) => Part { status: "ok", detail: template.name().to_owned(), warnings: Vec::new() },
        Ok(None) => Part::none("none"),
        Err(error) => Part::broken(&error),
    };
    report.unsupported = checkpoint.problems();
    report.runs = report.unsupported.is_empty();
    report
}

/// The description of files that are not a checkpoint of a known family, as far as they can be read.
fn of_files(path: &Path, error: Error) -> anyhow::Result<Report> {
    let mut report = if path.is_dir() {
        let Ok(file) = SafeTensors::open(path) else { return Err(error.into()) };
        let config = std::fs::read(path.join("config.json")).ok();
        let config: Option<Value> = config.and_then(|text| serde_json::from_slice(&text).ok());
        let mut report = of_tensors(path, "safetensors", file.tensors());
        report.family = config.and_then(|config| Some(config.get("model_type")?.as_str()?.to_owned()));
        report
    } else {
        let Ok(file) = Gguf::open(path) else { return Err(error.into()) };
        let mut report = of_tensors(path, "GGUF", file.tensors());
        report.family = general(&file, "general.architecture");
        report.name = general(&file, "general.name");
        report
    };
    let reasons = match error {
        Error::Unsupported { parts, .. } => parts,
        Error::Contradiction { problems, .. } | Error::Tensors { problems, .. } => problems,
        Error::UnknownFamily { found, .. } => vec![format!("the family {found:?}")],
        other => vec![other.to_string()],
    };
    report.unsupported.splice(0..0, reasons);
    Ok(report)
}

/// The part of the description that follows from the list of tensors.
fn of_tensors(path: &Path, container: &'static str, tensors: &[TensorInfo]) -> Report {
    let mut formats: BTreeMap<&str, FormatShare> = BTreeMap::new();
    let mut unsupported = Vec::new();
    let mut total = 0;
    let mut parameters = 0;
    for tensor in tensors {
        let name = tensor.element.name();
        if is_table(&tensor.name) {
            continue;
        }
        if tensor.element.format().is_none() {
            unsupported.push(format!("tensor {} in the format {name}", tensor.name));
        }
        let share = formats.entry(name).or_insert_with(|| FormatShare {
            format: name.to_owned(),
            tensors: 0,
            parameters: 0,
            bytes: 0,
            share: 0.0,
        });
        share.tensors += 1;
        share.parameters += tensor.shape.elements();
        share.bytes += tensor.bytes.len();
        parameters += tensor.shape.elements();
        total += tensor.bytes.len();
    }
    let mut formats: Vec<FormatShare> = formats.into_values().collect();
    formats.iter_mut().for_each(|share| share.share = share.bytes as f64 / total.max(1) as f64);
    formats.sort_by_key(|share| std::cmp::Reverse(share.bytes));
    let row = |tensor: &TensorInfo| TensorRow {
        name: tensor.name.clone(),
        format: tensor.element.name().to_owned(),
        shape: tensor.shape.dims().to_vec(),
        bytes: tensor.bytes.len(),
    };
    Report {
        path: path.display().to_string(),
        container,
        name: None,
        family: None,
        runs: false,
        sizes: None,
        parameters,
        memory: Memory {
            weights_bytes: total,
            cache_format: CacheFormat::default().name(),
            cache_bytes_per_1024_tokens: None,
            cache_bytes_full_context: None,
        },
        formats,
        tokenizer: Part::none("not checked"),
        chat_template: Part::none("not checked"),
        end_tokens: Vec::new(),
        warnings: Vec::new(),
        unsupported,
        tensors: Some(tensors.iter().map(row).collect()),
    }
}

/// Whether a tensor is a constant table that some checkpoints store, not a learned parameter.
fn is_table(name: &str) -> bool {
    [".attn.bias", ".attn.masked_bias", "rotary_emb.inv_freq"].iter().any(|table| name.ends_with(table))
        || name == "rope_freqs.weight"
}

fn sizes(config: &Config) -> Sizes {
    Sizes {
        vocab_size: config.vocab_size,
        context_length: config.context_length,
        d_model: config.d_model,
        n_layers: config.n_layers,
        n_heads: config.n_heads,
        n_kv_heads: config.n_kv_heads,
        head_dim: config.head_dim,
        d_ff: config.d_ff,
        tied: config.tied,
        sliding_window: config.windows.iter().copied().flatten().min(),
    }
}

fn general(file: &Gguf, key: &str) -> Option<String> {
    file.get_str(key).ok().map(str::to_owned)
}

impl Part {
    fn none(detail: &str) -> Part {
        Part { status: "none", detail: detail.to_owned(), warnings: Vec::new() }
    }

    fn broken(error: &Error) -> Part {
        Part { status: "error", detail: error.to_string(), warnings: Vec::new() }
    }
}
