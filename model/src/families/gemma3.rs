//! Gemma 3: Llama, except
//!
//! - embeddings are multiplied by `√d_model`;
//! - there are norms also after each layer, and q/k norms; Hugging Face stores their weights as `w − 1`;
//! - most layers have a sliding window, every sixth attends to all positions; each kind has its own rotary embedding;
//! - scores are divided by the square root of a configured number instead of `head_dim`, and the gate is GELU.
//!
//! Gemma Team, "Gemma 3 technical report" (2025).

use glassbox_tensor::file::gguf;
use glassbox_tensor::ops::Activation;
use serde_json::{Map, Value, json};

use super::gguf_names::GGUF;
use super::{Family, Reads, hf, hf_rope, llama};
use crate::config::{Config, NormPlacement, Sizes};
use crate::error::Error;
use crate::fields::Fields;
use crate::metadata::{Metadata, MetadataWriter};
use crate::names::Names;
use crate::rope::{RopeConfig, RopeScaling};
use crate::spec::Role;

/// Indices of the rotary embeddings of layers without and with a window.
const GLOBAL: usize = 0;
const LOCAL: usize = 1;

/// One of this many layers attends to all positions.
const PATTERN: usize = 6;

/// The default base of the local rotary embedding.
const LOCAL_THETA: f32 = 10_000.0;

pub(super) const FAMILY: Family = Family {
    name: "gemma3",
    model_type: "gemma3_text",
    architecture: "gemma3",
    activation: ("hidden_activation", "gelu_pytorch_tanh"),
    reads: Reads { partial_rotary: false, rope_by_layer_type: true, experts: false },
    from_hf,
    to_hf,
    from_gguf,
    to_gguf,
    new: None,
    hf: Names {
        norm_offset: 1.0,
        lists: &[
            &[
                (Role::AttentionPostNorm, "model.layers.{layer}.post_attention_layernorm"),
                (Role::MlpNorm, "model.layers.{layer}.pre_feedforward_layernorm"),
                (Role::MlpPostNorm, "model.layers.{layer}.post_feedforward_layernorm"),
            ],
            llama::HF_LIST,
        ],
        ..llama::FAMILY.hf
    },
    gguf: GGUF,
    ..llama::FAMILY
};

/// `config` with each layer's window and rotary embedding.
fn layered(config: Config, global: RopeConfig, local: RopeConfig, windows: Vec<Option<usize>>) -> Config {
    let rope_of = |window: &Option<usize>| Some(if window.is_some() { LOCAL } else { GLOBAL });
    Config {
        embedding_scale: (config.d_model as f32).sqrt(),
        norm_placement: NormPlacement::Around,
        qk_norm: true,
        ropes: vec![global, local],
        rope_of_layer: windows.iter().map(rope_of).collect(),
        windows,
        ..config
    }
}

/// A window for all layers but every `pattern`-th.
fn windows(n_layers: usize, pattern: usize, window: usize) -> Vec<Option<usize>> {
    let slides = |layer: usize| pattern == 0 || !(layer + 1).is_multiple_of(pattern);
    (0..hf::listed(n_layers)).map(|layer| slides(layer).then_some(window)).collect()
}

fn from_hf(fields: &Fields) -> Result<Config, Error> {
    let sizes = hf::sizes(fields, 131_072)?;
    let sizes = Sizes {
        n_kv_heads: hf::kv_heads(fields, sizes.n_heads, 4)?,
        head_dim: fields.maybe_size(&["head_dim"])?.unwrap_or(256),
        ..sizes
    };
    let window = fields.maybe_size(&["sliding_window"])?.unwrap_or(4096);
    let keys = ["sliding_window_pattern", "_sliding_window_pattern"];
    let windows = match hf::windows_by_type(fields, sizes.n_layers, Some(window))? {
        Some(windows) => {
            fields.superseded(&keys);
            windows
        }
        None => windows(sizes.n_layers, fields.maybe_size(&keys)?.unwrap_or(PATTERN), window),
    };
    let [global, local] = ropes(fields, &sizes)?;
    let bias = fields.flag("attention_bias")?.unwrap_or(false);
    let config = Config {
        family: FAMILY.name,
        tied: fields.flag("tie_word_embeddings")?.unwrap_or(true),
        norm_epsilon: fields.number("rms_norm_eps")?.unwrap_or(1e-6),
        qkv_bias: bias,
        attention_out_bias: bias,
        score_divisor: fields.number("query_pre_attn_scalar")?.unwrap_or(256.0).sqrt(),
        activation: hf::activation(fields, &FAMILY)?,
        ..llama::new(sizes)
    };
    Ok(layered(config, global, local, windows))
}

/// The global and the local rotary embedding. Current files describe both in `rope_parameters`; older ones have
/// `rope_theta` and `rope_scaling` for the global and `rope_local_base_freq` for the local one.
fn ropes(fields: &Fields, sizes: &Sizes) -> Result<[RopeConfig; 2], Error> {
    let (dims, context) = (sizes.head_dim, sizes.context_length as f32);
    fields.superseded(&["rope_local_base_freq"]);
    let rope_fields = hf_rope::rope_fields(fields)?;
    let of_type = |layer_type: &str| match &rope_fields {
        Some(rope_fields) if rope_fields.has_objects() => rope_fields.object(layer_type),
        _ => Ok(None),
    };
    let global = match of_type("full_attention")? {
        Some(rope_fields) => hf_rope::read_told(fields, Some(&rope_fields), dims, context, 1e6)?,
        None => hf_rope::read_told(
            fields,
            rope_fields.as_ref().filter(|rope_fields| !rope_fields.has_objects()),
            dims,
            context,
            1e6,
        )?,
    };
    let local = match of_type("sliding_attention")? {
        Some(rope_fields) => hf_rope::read_told(fields, Some(&rope_fields), dims, context, LOCAL_THETA)?,
        None => {
            let theta = fields.number("rope_local_base_freq")?.unwrap_or(LOCAL_THETA);
            if theta.is_nan() || theta <= 1.0 {
                return Err(fields.wrong("rope_local_base_freq", "a number above 1", &theta.to_string()));
            }
            RopeConfig { theta, dims, scaling: RopeScaling::Default }
        }
    };
    Ok([global, local])
}

fn to_hf(config: &Config) -> Map<String, Value> {
    let parameters = |rope: usize| hf_rope::keys(&config.ropes[rope])["rope_parameters"].clone();
    hf::with(
        hf::size_keys(config),
        json!({
            "architectures": ["Gemma3ForCausalLM"],
            "hidden_activation": hf::activation_name(config.activation),
            "rms_norm_eps": hf::tidy(config.norm_epsilon),
            "query_pre_attn_scalar": hf::tidy((config.score_divisor * config.score_divisor).round()),
            "attention_bias": config.qkv_bias,
            "sliding_window": config.windows.iter().copied().flatten().next(),
            "layer_types": hf::layer_types(config),
            "rope_parameters": { "full_attention": parameters(GLOBAL), "sliding_attention": parameters(LOCAL) },
        }),
    )
}

fn from_gguf(metadata: &Metadata<'_>) -> Result<Config, Error> {
    let config = llama::from_gguf_with(metadata, &FAMILY)?;
    let (n_layers, dims) = (config.n_layers, config.head_dim);
    let window = config.windows.iter().copied().flatten().next();
    let by_layer = config.windows.iter().any(|each| *each != window);
    let windows = match (window, metadata.window_pattern(hf::listed(n_layers))?) {
        (Some(_), None) if by_layer => config.windows.clone(),
        (Some(window), Some(slides)) => slides.into_iter().map(|slides| slides.then_some(window)).collect(),
        (Some(window), None) => windows(n_layers, PATTERN, window),
        (None, _) => vec![None; hf::listed(n_layers)],
    };
    let global = config.ropes[GLOBAL].clone();
    let theta = metadata.maybe_positive("rope.freq_base_swa")?.unwrap_or(LOCAL_THETA);
    let local = RopeConfig { theta, dims, scaling: RopeScaling::Default };
    let config = Config { activation: Activation::GeluTanh, ..config };
    Ok(layered(config, global, local, windows))
}

fn to_gguf(config: &Config, keys: &mut MetadataWriter) {
    keys.number("attention.layer_norm_rms_epsilon", config.norm_epsilon);
    keys.head_dim(config);
    keys.implied_activation(config, Activation::GeluTanh);
    keys.implied_score_scale(config);
    // Omit what all published models have, as llama.cpp's converter does.
    if let Some(window) = config.windows.iter().copied().flatten().next() {
        keys.size("attention.sliding_window", window);
        if windows(config.n_layers, PATTERN, window) != config.windows {
            let slides = config.windows.iter().map(|window| gguf::Value::Bool(window.is_some()));
            let slides = gguf::Array::new(gguf::ValueType::Bool, &slides.collect::<Vec<_>>());
            slides.into_iter().for_each(|slides| {
                keys.own("attention.sliding_window_pattern", gguf::Value::Array(slides));
            });
        }
    }
    if config.ropes[LOCAL].theta != LOCAL_THETA {
        keys.number("rope.freq_base_swa", config.ropes[LOCAL].theta);
    }
    keys.refuse(config.ropes[LOCAL].scaling != RopeScaling::Default, || {
        "a scaled local rotary embedding".to_owned()
    });
    keys.rope(&config.ropes[GLOBAL]);
}
