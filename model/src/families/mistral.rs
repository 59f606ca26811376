//! Mistral: Llama, except for a sliding attention window in all layers, or in those that `layer_types` names
//! (Ministral).
//!
//! llama.cpp has no architecture of that name: in a GGUF, Mistral is `llama`.
//!
//! Jiang et al., "Mistral 7B" (2023).

use serde_json::{Map, Value, json};

use super::{Family, hf, llama};
use crate::config::{Config, Sizes};
use crate::error::Error;
use crate::fields::Fields;

pub(super) const FAMILY: Family = Family {
    name: "mistral",
    model_type: "mistral",
    recognises: |_| false,
    from_hf,
    to_hf,
    new: None,
    ..llama::FAMILY
};

fn from_hf(fields: &Fields) -> Result<Config, Error> {
    let sizes = hf::sizes(fields, 131_072)?;
    let sizes = Sizes { n_kv_heads: hf::kv_heads(fields, sizes.n_heads, 8)?, ..sizes };
    let unsaid = if fields.has("sliding_window") { None } else { Some(4096) };
    let window = fields.maybe_size(&["sliding_window"])?.or(unsaid);
    // With this key, transformers reads a Mistral as a Ministral, which knows it.
    let windows = hf::windows_by_type(fields, sizes.n_layers, window)?;
    Ok(Config {
        windows: windows.unwrap_or_else(|| vec![window; hf::listed(sizes.n_layers)]),
        ..llama::from_hf_with(fields, &FAMILY, sizes)?
    })
}

fn to_hf(config: &Config) -> Map<String, Value> {
    let keys = llama::to_hf_with(config, "MistralForCausalLM");
    let first = config.windows.first().copied().flatten();
    if config.windows.iter().all(|window| *window == first) {
        return hf::with(keys, json!({ "sliding_window": first }));
    }
    let window = config.windows.iter().copied().flatten().next();
    hf::with(keys, json!({ "sliding_window": window, "layer_types": hf::layer_types(config) }))
}
