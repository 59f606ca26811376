//! GPT-2: Llama, except
//!
//! - a learned position embedding is added to the token embedding, instead of rotary embedding;
//! - layer norms, with biases, and a bias on every linear layer;
//! - an MLP without a gate, with GELU;
//! - a key-value head per query head; the three projections are stored as one matrix. Hugging Face stores the matrices
//!   of linear layers as `[inputs, outputs]`.
//!
//! Radford et al., "Language models are unsupervised multitask learners" (2019).

use glassbox_tensor::ops::Activation;
use serde_json::{Map, Value, json};

use super::gguf_names::{FUSED_QKV, GGUF, LIST};
use super::{Family, Reads, hf, llama};
use crate::config::{Config, MlpKind, NormKind, Sizes};
use crate::error::Error;
use crate::fields::Fields;
use crate::metadata::{Metadata, MetadataWriter};
use crate::names::{Fused, Names};
use crate::spec::Role;

const FUSED: &[Fused] = &[Fused { roles: &[Role::Q, Role::K, Role::V], by_head: false }];

pub(super) const FAMILY: Family = Family {
    name: "gpt2",
    model_type: "gpt2",
    architecture: "gpt2",
    recognises: |_| true,
    activation: ("activation_function", "gelu_new"),
    reads: Reads { partial_rotary: false, rope_by_layer_type: false, experts: false },
    from_hf,
    to_hf,
    from_gguf,
    to_gguf,
    contradictions,
    new: Some(new),
    hf: Names {
        prefix: "transformer.",
        fused: FUSED,
        transposed: true,
        tables: &[".attn.bias", ".attn.masked_bias"],
        ..Names::plain(&[&[
            (Role::Embedding, "transformer.wte"),
            (Role::Positions, "transformer.wpe"),
            (Role::AttentionNorm, "transformer.h.{layer}.ln_1"),
            (Role::Q, "transformer.h.{layer}.attn.c_attn"),
            (Role::K, "transformer.h.{layer}.attn.c_attn"),
            (Role::V, "transformer.h.{layer}.attn.c_attn"),
            (Role::AttentionOut, "transformer.h.{layer}.attn.c_proj"),
            (Role::MlpNorm, "transformer.h.{layer}.ln_2"),
            (Role::Up, "transformer.h.{layer}.mlp.c_fc"),
            (Role::Down, "transformer.h.{layer}.mlp.c_proj"),
            (Role::FinalNorm, "transformer.ln_f"),
            (Role::Unembedding, "lm_head"),
        ]])
    },
    hf_others: &[],
    gguf: Names { fused: FUSED, lists: &[FUSED_QKV, LIST], ..GGUF },
};

fn new(sizes: Sizes) -> Config {
    Config {
        family: FAMILY.name,
        learned_positions: true,
        norm: NormKind::Layer,
        qkv_bias: true,
        attention_out_bias: true,
        ropes: Vec::new(),
        rope_of_layer: vec![None; hf::listed(sizes.n_layers)],
        mlp: MlpKind::Plain,
        mlp_bias: true,
        activation: Activation::GeluTanh,
        ..llama::new(sizes)
    }
}

fn from_hf(fields: &Fields) -> Result<Config, Error> {
    let d_model = fields.size(&["n_embd", "hidden_size"])?;
    let n_heads = fields.size(&["n_head", "num_attention_heads"])?;
    let sizes = Sizes {
        vocab_size: fields.size(&["vocab_size"])?,
        context_length: fields.size(&["n_positions", "n_ctx", "max_position_embeddings"])?,
        d_model,
        n_layers: fields.size(&["n_layer", "num_hidden_layers"])?,
        n_heads,
        n_kv_heads: n_heads,
        head_dim: d_model / n_heads,
        d_ff: fields.maybe_size(&["n_inner"])?.unwrap_or(d_model.saturating_mul(4)),
    };
    let scaled = fields.flag("scale_attn_weights")?.unwrap_or(true);
    Ok(Config {
        tied: fields.flag("tie_word_embeddings")?.unwrap_or(true),
        norm_epsilon: fields.number("layer_norm_epsilon")?.unwrap_or(1e-5),
        activation: hf::activation(fields, &FAMILY)?,
        score_divisor: if scaled { (sizes.head_dim as f32).sqrt() } else { 1.0 },
        scale_scores_by_layer: fields.flag("scale_attn_by_inverse_layer_idx")?.unwrap_or(false),
        ..new(sizes)
    })
}

fn to_hf(config: &Config) -> Map<String, Value> {
    hf::object(json!({
        "architectures": ["GPT2LMHeadModel"],
        "vocab_size": config.vocab_size,
        "n_positions": config.context_length,
        "n_embd": config.d_model,
        "n_layer": config.n_layers,
        "n_head": config.n_heads,
        "n_inner": config.d_ff,
        "activation_function": hf::activation_name(config.activation),
        "layer_norm_epsilon": hf::tidy(config.norm_epsilon),
        "scale_attn_weights": config.score_divisor != 1.0,
        "scale_attn_by_inverse_layer_idx": config.scale_scores_by_layer,
        "tie_word_embeddings": config.tied,
    }))
}

fn from_gguf(metadata: &Metadata<'_>) -> Result<Config, Error> {
    Ok(Config {
        tied: !metadata.has_tensor("output.weight"),
        norm_epsilon: metadata.number("attention.layer_norm_epsilon")?,
        ..new(metadata.sizes()?)
    })
}

fn to_gguf(config: &Config, keys: &mut MetadataWriter) {
    keys.number("attention.layer_norm_epsilon", config.norm_epsilon);
    keys.implied_activation(config, Activation::GeluTanh);
    keys.implied_score_scale(config);
}

fn contradictions(config: &Config) -> Vec<String> {
    let mut wrong = Vec::new();
    let (heads, kv_heads) = (config.n_heads, config.n_kv_heads);
    if kv_heads != heads {
        wrong.push(format!(
            "gpt2: expected as many key-value heads as query heads, {heads}, found {kv_heads}"
        ));
    }
    if heads.saturating_mul(config.head_dim) != config.d_model {
        wrong.push(format!("d_model {} is not divisible by {heads} heads", config.d_model));
    }
    wrong
}
