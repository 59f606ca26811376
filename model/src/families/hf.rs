//! The keys of `config.json` that families share: old and new names, defaults, activation functions, windows.

use glassbox_tensor::ops::Activation;
use serde_json::{Map, Value, json};

use super::{Family, hf_rope};
use crate::config::{Config, MAX_LAYERS, Sizes};
use crate::error::Error;
use crate::fields::Fields;
use crate::rope::RopeConfig;

/// Unsupported settings that would change the results.
pub(super) fn unsupported_parts(fields: &Fields, family: &Family) -> Result<Vec<String>, Error> {
    let mut parts = Vec::new();
    if fields.get("quantization_config").is_some() {
        parts.push("quantization_config (weights quantised by another tool)".to_string());
    }
    if fields.flag("add_cross_attention")?.unwrap_or(false) {
        parts.push("add_cross_attention".to_string());
    }
    for key in ["attn_logit_softcapping", "final_logit_softcapping"] {
        if fields.number(key)?.is_some() {
            parts.push(key.to_string());
        }
    }
    if fields.flag("use_bidirectional_attention")?.unwrap_or(false) {
        parts.push("use_bidirectional_attention".to_string());
    }
    parts.extend(hf_rope::unsupported_parts(fields, family.reads)?);
    let (key, default) = family.activation;
    let name = fields.text(key)?.unwrap_or(default);
    if activation_named(name).is_none() {
        let known = "gelu, gelu_new, gelu_pytorch_tanh, quick_gelu, silu, relu, relu2";
        parts.push(format!("{key} {name:?} (supported: {known})"));
    }
    Ok(parts)
}

/// The activation function. [`unsupported_parts`] has checked that it is supported.
pub(super) fn activation(fields: &Fields, family: &Family) -> Result<Activation, Error> {
    let (key, default) = family.activation;
    let name = fields.text(key)?.unwrap_or(default);
    activation_named(name).ok_or_else(|| fields.wrong(key, "an activation function", name))
}

fn activation_named(name: &str) -> Option<Activation> {
    Some(match name {
        "gelu" | "gelu_python" => Activation::GeluErf,
        "gelu_new" | "gelu_pytorch_tanh" | "gelu_python_tanh" | "gelu_fast" | "gelu_accurate" => {
            Activation::GeluTanh
        }
        "quick_gelu" => Activation::GeluQuick,
        "silu" | "swish" => Activation::Silu,
        "relu" => Activation::Relu,
        "relu2" => Activation::ReluSquared,
        _ => return None,
    })
}

/// The name that [`activation`] reads back.
pub(super) fn activation_name(activation: Activation) -> &'static str {
    match activation {
        Activation::GeluErf => "gelu",
        Activation::GeluTanh => "gelu_new",
        Activation::GeluQuick => "quick_gelu",
        Activation::Silu => "silu",
        Activation::Relu => "relu",
        Activation::ReluSquared => "relu2",
    }
}

/// Reads the sizes from Llama's keys. `context_length` is the default; `head_dim` defaults to `d_model / n_heads` and
/// `n_kv_heads` to `n_heads`.
pub(super) fn sizes(fields: &Fields, context_length: usize) -> Result<Sizes, Error> {
    let d_model = fields.size(&["hidden_size"])?;
    let n_heads = fields.size(&["num_attention_heads"])?;
    Ok(Sizes {
        vocab_size: fields.size(&["vocab_size"])?,
        context_length: fields.maybe_size(&["max_position_embeddings"])?.unwrap_or(context_length),
        d_model,
        n_layers: fields.size(&["num_hidden_layers"])?,
        n_heads,
        n_kv_heads: fields.maybe_size(&["num_key_value_heads"])?.unwrap_or(n_heads),
        head_dim: fields.maybe_size(&["head_dim"])?.unwrap_or(d_model / n_heads),
        d_ff: fields.size(&["intermediate_size"])?,
    })
}

/// The number of key-value heads: `null` means `n_heads`, a missing key means `default`.
pub(super) fn kv_heads(fields: &Fields, n_heads: usize, default: usize) -> Result<usize, Error> {
    let fallback = if fields.has("num_key_value_heads") { n_heads } else { default };
    Ok(fields.maybe_size(&["num_key_value_heads"])?.unwrap_or(fallback))
}

/// One rotary embedding for all layers.
pub(super) fn rope(fields: &Fields, dims: usize, context_length: usize) -> Result<Vec<RopeConfig>, Error> {
    Ok(vec![hf_rope::read(fields, dims, context_length as f32)?])
}

/// The window of each layer according to `layer_types`; `None` without that key.
pub(super) fn windows_by_type(
    fields: &Fields,
    n_layers: usize,
    window: Option<usize>,
) -> Result<Option<Vec<Option<usize>>>, Error> {
    let Some(types) = fields.get("layer_types") else { return Ok(None) };
    fields.superseded(&["sliding_window"]);
    let layers = listed(n_layers);
    let types = types.as_array().filter(|types| types.len() == layers).ok_or_else(|| {
        fields.wrong("layer_types", &format!("a list of {layers} types of attention"), &types.to_string())
    })?;
    let window_of = |kind: &Value| match kind.as_str() {
        Some("full_attention" | "attention") => Ok(None),
        Some("sliding_attention") if window.is_some() => Ok(window),
        Some("sliding_attention") => Err(fields.wrong(
            "sliding_window",
            "a number of tokens, since layer_types names a window",
            "nothing",
        )),
        _ => Err(fields.wrong("layer_types", "full_attention or sliding_attention", &kind.to_string())),
    };
    types.iter().map(window_of).collect::<Result<_, _>>().map(Some)
}

/// The type of each layer's attention, as in `layer_types`.
pub(super) fn layer_types(config: &Config) -> Vec<&'static str> {
    let kind = |window: &Option<usize>| if window.is_some() { "sliding_attention" } else { "full_attention" };
    config.windows.iter().map(kind).collect()
}

/// The number of layers, limited for allocation. [`Config::contradictions`] reports numbers above the limit.
pub(super) fn listed(n_layers: usize) -> usize {
    n_layers.min(MAX_LAYERS)
}

/// The sizes as Llama's keys of a new `config.json`.
pub(super) fn size_keys(config: &Config) -> Map<String, Value> {
    object(json!({
        "vocab_size": config.vocab_size,
        "max_position_embeddings": config.context_length,
        "hidden_size": config.d_model,
        "intermediate_size": config.d_ff,
        "num_hidden_layers": config.n_layers,
        "num_attention_heads": config.n_heads,
        "num_key_value_heads": config.n_kv_heads,
        "head_dim": config.head_dim,
        "hidden_act": activation_name(config.activation),
        "tie_word_embeddings": config.tied,
    }))
}

/// `value` as the object it is.
pub(super) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// `keys` and `more`; `more` takes precedence.
pub(super) fn with(mut keys: Map<String, Value>, more: Value) -> Map<String, Value> {
    keys.extend(object(more));
    keys
}

/// The shortest decimal of an `f32`: 1e-5 instead of 0.000009999999747378752.
pub(super) fn tidy(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}
