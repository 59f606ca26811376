//! Qwen 3: Llama, except that each head's queries and keys are normed before rotation, and that some layers may have a
//! sliding window.
//!
//! Yang et al., "Qwen3 technical report" (2025).

use serde_json::{Map, Value, json};

use super::gguf_names::GGUF;
use super::{Family, hf, llama, qwen2};
use crate::config::{Config, Sizes};
use crate::error::Error;
use crate::fields::Fields;
use crate::metadata::Metadata;

pub(super) const FAMILY: Family = Family {
    name: "qwen3",
    model_type: "qwen3",
    architecture: "qwen3",
    from_hf,
    to_hf,
    from_gguf,
    new: None,
    gguf: GGUF,
    ..llama::FAMILY
};

fn from_hf(fields: &Fields) -> Result<Config, Error> {
    let sizes = hf::sizes(fields, 32_768)?;
    let sizes = Sizes {
        n_kv_heads: hf::kv_heads(fields, sizes.n_heads, 32)?,
        head_dim: fields.maybe_size(&["head_dim"])?.unwrap_or(128),
        ..sizes
    };
    let bias = fields.flag("attention_bias")?.unwrap_or(false);
    Ok(Config {
        qkv_bias: bias,
        attention_out_bias: bias,
        qk_norm: true,
        windows: qwen2::windows(fields, sizes.n_layers)?,
        ..llama::from_hf_with(fields, &FAMILY, sizes)?
    })
}

fn to_hf(config: &Config) -> Map<String, Value> {
    let keys = hf::with(llama::to_hf_with(config, "Qwen3ForCausalLM"), qwen2::window_keys(config));
    hf::with(keys, json!({ "attention_bias": config.qkv_bias }))
}

fn from_gguf(metadata: &Metadata<'_>) -> Result<Config, Error> {
    Ok(Config { qk_norm: true, ..llama::from_gguf_with(metadata, &FAMILY)? })
}
