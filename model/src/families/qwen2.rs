//! Qwen 2 and 2.5: Llama, except that queries, keys and values have biases, and that some layers may have a sliding
//! window.
//!
//! Yang et al., "Qwen2 technical report" (2024).

use serde_json::{Map, Value, json};

use super::gguf_names::GGUF;
use super::{Family, hf, llama};
use crate::config::{Config, Sizes};
use crate::error::Error;
use crate::fields::Fields;
use crate::metadata::Metadata;

pub(super) const FAMILY: Family = Family {
    name: "qwen2",
    model_type: "qwen2",
    architecture: "qwen2",
    from_hf,
    to_hf,
    from_gguf,
    new: None,
    gguf: GGUF,
    ..llama::FAMILY
};

fn from_hf(fields: &Fields) -> Result<Config, Error> {
    let sizes = hf::sizes(fields, 32_768)?;
    let sizes = Sizes { n_kv_heads: hf::kv_heads(fields, sizes.n_heads, 32)?, ..sizes };
    Ok(Config {
        qkv_bias: true,
        windows: windows(fields, sizes.n_layers)?,
        ..llama::from_hf_with(fields, &FAMILY, sizes)?
    })
}

/// Layers from `max_window_layers` on have the window, if `use_sliding_window` is set; `layer_types` takes precedence.
pub(super) fn windows(fields: &Fields, n_layers: usize) -> Result<Vec<Option<usize>>, Error> {
    fields.superseded(&["sliding_window", "max_window_layers"]);
    let used = fields.flag("use_sliding_window")?.unwrap_or(false);
    let unsaid = if fields.has("sliding_window") { None } else { Some(4096) };
    let window = if used { fields.maybe_size(&["sliding_window"])?.or(unsaid) } else { None };
    if let Some(windows) = hf::windows_by_type(fields, n_layers, window)? {
        return Ok(windows);
    }
    let full = fields.maybe_count("max_window_layers")?.unwrap_or(28);
    Ok((0..hf::listed(n_layers)).map(|layer| window.filter(|_| layer >= full)).collect())
}

fn to_hf(config: &Config) -> Map<String, Value> {
    hf::with(llama::to_hf_with(config, "Qwen2ForCausalLM"), window_keys(config))
}

/// The keys for [`windows`].
pub(super) fn window_keys(config: &Config) -> Value {
    let window = config.windows.iter().copied().flatten().next();
    let types = hf::layer_types(config);
    json!({ "use_sliding_window": window.is_some(), "sliding_window": window, "layer_types": types })
}

fn from_gguf(metadata: &Metadata<'_>) -> Result<Config, Error> {
    llama::from_gguf_with(metadata, &FAMILY)
}
