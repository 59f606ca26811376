//! Mistral: Llama, except for a sliding attention window.
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
    Ok(Config {
        windows: vec![window; hf::listed(sizes.n_layers)],
        ..llama::from_hf_with(fields, &FAMILY, sizes)?
    })
}

fn to_hf(config: &Config) -> Map<String, Value> {
    let window = config.windows.first().copied().flatten();
    hf::with(llama::to_hf_with(config, "MistralForCausalLM"), json!({ "sliding_window": window }))
}
