//! `config.json`, in the keys of Hugging Face transformers (old and new), with its defaults.

mod rope;

use glassbox_tensor::ops::Activation;

use super::json::Fields;
use crate::config::{Config, Family, MAX_LAYERS};
use crate::error::Error;

/// Reads a model's configuration.
pub(crate) fn read(fields: &Fields) -> Result<Config, Error> {
    let name =
        fields.text("model_type")?.ok_or_else(|| fields.wrong("model_type", "a family's name", "nothing"))?;
    let Some(family) = Family::from_name(name) else {
        return Err(Error::UnknownFamily { path: fields.path.clone(), found: name.into() });
    };
    let mut unsupported = unsupported_parts(fields, family)?;
    let (key, unsaid) =
        if family == Family::Gpt2 { ("activation_function", "gelu_new") } else { ("hidden_act", "silu") };
    let name = fields.text(key)?.unwrap_or(unsaid);
    let activation = activation(name);
    if activation.is_none() {
        let known = "gelu, gelu_new, gelu_pytorch_tanh, quick_gelu, silu, relu, relu2";
        unsupported.push(format!("{key} {name:?} (there are {known})"));
    }
    let (Some(activation), true) = (activation, unsupported.is_empty()) else {
        return Err(Error::Unsupported { path: fields.path.clone(), parts: unsupported });
    };
    let config =
        if family == Family::Gpt2 { gpt2(fields, activation)? } else { llama(fields, family, activation)? };
    let problems = config.contradictions();
    if problems.is_empty() {
        Ok(config)
    } else {
        Err(Error::Contradiction { path: fields.path.clone(), problems })
    }
}

/// Settings that would change the results and are not followed here.
fn unsupported_parts(fields: &Fields, family: Family) -> Result<Vec<String>, Error> {
    let mut parts = Vec::new();
    if fields.get("quantization_config").is_some() {
        parts.push("quantization_config (weights quantised by another tool)".to_string());
    }
    if fields.flag("add_cross_attention")?.unwrap_or(false) {
        parts.push("add_cross_attention".to_string());
    }
    if family != Family::Gpt2 {
        parts.extend(rope::unsupported_parts(fields)?);
    }
    Ok(parts)
}

fn gpt2(fields: &Fields, activation: Activation) -> Result<Config, Error> {
    let d_model = fields.size(&["n_embd", "hidden_size"])?;
    let n_heads = fields.size(&["n_head", "num_attention_heads"])?;
    let n_layers = fields.size(&["n_layer", "num_hidden_layers"])?;
    Ok(Config {
        family: Family::Gpt2,
        vocab_size: fields.size(&["vocab_size"])?,
        context_length: fields.size(&["n_positions", "n_ctx", "max_position_embeddings"])?,
        d_model,
        n_layers,
        n_heads,
        n_kv_heads: n_heads,
        head_dim: d_model / n_heads,
        d_ff: fields.maybe_size(&["n_inner"])?.unwrap_or(d_model.saturating_mul(4)),
        norm_epsilon: fields.number("layer_norm_epsilon")?.unwrap_or(1e-5),
        activation,
        tied: fields.flag("tie_word_embeddings")?.unwrap_or(true),
        scale_scores: fields.flag("scale_attn_weights")?.unwrap_or(true),
        scale_scores_by_layer: fields.flag("scale_attn_by_inverse_layer_idx")?.unwrap_or(false),
        qkv_bias: true,
        attention_out_bias: true,
        mlp_bias: true,
        qk_norm: false,
        windows: vec![None; checked_layers(n_layers)],
        rope: None,
    })
}

fn llama(fields: &Fields, family: Family, activation: Activation) -> Result<Config, Error> {
    let d_model = fields.size(&["hidden_size"])?;
    let n_heads = fields.size(&["num_attention_heads"])?;
    let n_layers = fields.size(&["num_hidden_layers"])?;
    let kv_heads_unsaid = match family {
        _ if fields.has("num_key_value_heads") => n_heads,
        Family::Mistral => 8,
        Family::Qwen2 | Family::Qwen3 => 32,
        _ => n_heads,
    };
    let head_dim_unsaid = if family == Family::Qwen3 { 128 } else { d_model / n_heads };
    let context_unsaid = match family {
        Family::Mistral => 131_072,
        Family::Qwen2 | Family::Qwen3 => 32_768,
        _ => 2048,
    };
    let attention_bias = match family {
        Family::Llama | Family::Qwen3 => fields.flag("attention_bias")?.unwrap_or(false),
        _ => false,
    };
    let context_length = fields.maybe_size(&["max_position_embeddings"])?.unwrap_or(context_unsaid);
    Ok(Config {
        family,
        vocab_size: fields.size(&["vocab_size"])?,
        context_length,
        d_model,
        n_layers,
        n_heads,
        n_kv_heads: fields.maybe_size(&["num_key_value_heads"])?.unwrap_or(kv_heads_unsaid),
        head_dim: fields.maybe_size(&["head_dim"])?.unwrap_or(head_dim_unsaid),
        d_ff: fields.size(&["intermediate_size"])?,
        norm_epsilon: fields.number("rms_norm_eps")?.unwrap_or(1e-6),
        activation,
        tied: fields.flag("tie_word_embeddings")?.unwrap_or(false),
        scale_scores: true,
        scale_scores_by_layer: false,
        qkv_bias: attention_bias || family == Family::Qwen2,
        attention_out_bias: attention_bias,
        mlp_bias: family == Family::Llama && fields.flag("mlp_bias")?.unwrap_or(false),
        qk_norm: family == Family::Qwen3,
        windows: windows(fields, family, n_layers)?,
        rope: Some(rope::read(fields, context_length as f32)?),
    })
}

/// The number of layers as a length that may be allocated; an absurd one is reported by
/// [`Config::contradictions`].
fn checked_layers(n_layers: usize) -> usize {
    n_layers.min(MAX_LAYERS)
}

/// How far back each layer sees.
fn windows(fields: &Fields, family: Family, n_layers: usize) -> Result<Vec<Option<usize>>, Error> {
    let layers = checked_layers(n_layers);
    let window = match family {
        Family::Mistral if !fields.has("sliding_window") => Some(4096),
        Family::Mistral => return Ok(vec![fields.maybe_size(&["sliding_window"])?; layers]),
        Family::Qwen2 | Family::Qwen3 => {
            let used = fields.flag("use_sliding_window")?.unwrap_or(false);
            let unsaid = if fields.has("sliding_window") { None } else { Some(4096) };
            if used { fields.maybe_size(&["sliding_window"])?.or(unsaid) } else { None }
        }
        _ => None,
    };
    if family == Family::Mistral {
        return Ok(vec![window; layers]);
    }
    if !matches!(family, Family::Qwen2 | Family::Qwen3) {
        return Ok(vec![None; layers]);
    }
    let Some(types) = fields.get("layer_types") else {
        let full = fields.maybe_count("max_window_layers")?.unwrap_or(28);
        return Ok((0..layers).map(|layer| window.filter(|_| layer >= full)).collect());
    };
    let types = types.as_array().filter(|types| types.len() == layers).ok_or_else(|| {
        fields.wrong("layer_types", &format!("a list of {layers} kinds of attention"), &types.to_string())
    })?;
    types
        .iter()
        .map(|kind| match kind.as_str() {
            Some("full_attention" | "attention") => Ok(None),
            Some("sliding_attention") if window.is_some() => Ok(window),
            Some("sliding_attention") => Err(fields.wrong(
                "sliding_window",
                "a number of tokens, since layer_types names a window",
                "nothing",
            )),
            _ => Err(fields.wrong("layer_types", "full_attention or sliding_attention", &kind.to_string())),
        })
        .collect()
}

fn activation(name: &str) -> Option<Activation> {
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
