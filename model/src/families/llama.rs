//! Llama 1 to 3, SmolLM2 and relatives: the decoder that the other pages refer to.
//!
//! RMS norms before both layers, rotary embedding, grouped-query attention, a gated MLP with SiLU.
//!
//! Touvron et al., "Llama 2" (2023); Shazeer, "GLU variants improve transformer" (2020).

use glassbox_tensor::ops::Activation;
use serde_json::{Map, Value, json};

use super::gguf_names::GGUF;
use super::{Family, Reads, hf, hf_rope};
use crate::config::{Config, MlpKind, NormKind, NormPlacement, Residual, Sizes};
use crate::error::Error;
use crate::fields::Fields;
use crate::metadata::{Metadata, MetadataWriter};
use crate::names::{NameList, Names};
use crate::rope::{RopeConfig, RopeScaling};
use crate::spec::Role;

/// Hugging Face's names.
pub(super) const HF_LIST: NameList = &[
    (Role::Embedding, "model.embed_tokens"),
    (Role::AttentionNorm, "model.layers.{layer}.input_layernorm"),
    (Role::Q, "model.layers.{layer}.self_attn.q_proj"),
    (Role::K, "model.layers.{layer}.self_attn.k_proj"),
    (Role::V, "model.layers.{layer}.self_attn.v_proj"),
    (Role::QNorm, "model.layers.{layer}.self_attn.q_norm"),
    (Role::KNorm, "model.layers.{layer}.self_attn.k_norm"),
    (Role::AttentionOut, "model.layers.{layer}.self_attn.o_proj"),
    (Role::MlpNorm, "model.layers.{layer}.post_attention_layernorm"),
    (Role::Gate, "model.layers.{layer}.mlp.gate_proj"),
    (Role::Up, "model.layers.{layer}.mlp.up_proj"),
    (Role::Down, "model.layers.{layer}.mlp.down_proj"),
    (Role::FinalNorm, "model.norm"),
    (Role::Unembedding, "lm_head"),
];

pub(super) const FAMILY: Family = Family {
    name: "llama",
    model_type: "llama",
    architecture: "llama",
    recognises: |_| true,
    activation: ("hidden_act", "silu"),
    reads: Reads { partial_rotary: false, rope_by_layer_type: false, experts: false },
    from_hf,
    to_hf,
    from_gguf,
    to_gguf,
    contradictions: |_| Vec::new(),
    new: Some(new),
    hf: Names { prefix: "model.", tables: &["rotary_emb.inv_freq"], ..Names::plain(&[HF_LIST]) },
    hf_others: &[],
    gguf: Names { interleaved_heads: true, ..GGUF },
};

/// A Llama with these sizes and the usual settings.
pub(super) fn new(sizes: Sizes) -> Config {
    let Sizes { vocab_size, context_length, d_model, n_layers, n_heads, n_kv_heads, head_dim, d_ff } = sizes;
    let listed = hf::listed(n_layers);
    Config {
        family: FAMILY.name,
        vocab_size,
        context_length,
        d_model,
        n_layers,
        n_heads,
        n_kv_heads,
        head_dim,
        d_ff,
        embedding_scale: 1.0,
        learned_positions: false,
        tied: true,
        norm: NormKind::Rms,
        norm_epsilon: 1e-5,
        norm_placement: NormPlacement::Before,
        residual: Residual::Sequential,
        qkv_bias: false,
        attention_out_bias: false,
        qk_norm: false,
        score_divisor: (head_dim as f32).sqrt(),
        scale_scores_by_layer: false,
        windows: vec![None; listed],
        ropes: vec![RopeConfig { theta: 10_000.0, dims: head_dim, scaling: RopeScaling::Default }],
        rope_of_layer: vec![Some(0); listed],
        mlp: MlpKind::Gated,
        mlp_bias: false,
        activation: Activation::Silu,
    }
}

/// Reads Llama's keys except the sizes from the `config.json` of any family that has them.
pub(super) fn from_hf_with(fields: &Fields, family: &Family, sizes: Sizes) -> Result<Config, Error> {
    Ok(Config {
        family: family.name,
        tied: fields.flag("tie_word_embeddings")?.unwrap_or(false),
        norm_epsilon: fields.number("rms_norm_eps")?.unwrap_or(1e-6),
        ropes: hf::rope(fields, sizes.head_dim, sizes.context_length)?,
        activation: hf::activation(fields, family)?,
        ..new(sizes)
    })
}

fn from_hf(fields: &Fields) -> Result<Config, Error> {
    let bias = fields.flag("attention_bias")?.unwrap_or(false);
    Ok(Config {
        qkv_bias: bias,
        attention_out_bias: bias,
        mlp_bias: fields.flag("mlp_bias")?.unwrap_or(false),
        ..from_hf_with(fields, &FAMILY, hf::sizes(fields, 2048)?)?
    })
}

/// Writes Llama's keys, for any family that has them.
pub(super) fn to_hf_with(config: &Config, architecture: &str) -> Map<String, Value> {
    let keys = hf::with(
        hf::size_keys(config),
        json!({ "architectures": [architecture], "rms_norm_eps": hf::tidy(config.norm_epsilon) }),
    );
    match config.ropes.first() {
        Some(rope) => hf::with(keys, hf_rope::keys(rope)),
        None => keys,
    }
}

fn to_hf(config: &Config) -> Map<String, Value> {
    hf::with(
        to_hf_with(config, "LlamaForCausalLM"),
        json!({ "attention_bias": config.qkv_bias, "mlp_bias": config.mlp_bias }),
    )
}

/// Reads Llama's metadata, for any family that has them.
pub(super) fn from_gguf_with(metadata: &Metadata<'_>, family: &Family) -> Result<Config, Error> {
    let sizes = metadata.sizes()?;
    Ok(Config {
        family: family.name,
        tied: !metadata.has_tensor("output.weight"),
        norm_epsilon: metadata.number("attention.layer_norm_rms_epsilon")?,
        qkv_bias: metadata.has_tensor("blk.0.attn_q.bias"),
        attention_out_bias: metadata.has_tensor("blk.0.attn_output.bias"),
        mlp_bias: metadata.has_tensor("blk.0.ffn_down.bias"),
        windows: metadata.windows(hf::listed(sizes.n_layers))?,
        ropes: vec![metadata.rope(sizes.head_dim, sizes.context_length as f32)?],
        ..new(sizes)
    })
}

fn from_gguf(metadata: &Metadata<'_>) -> Result<Config, Error> {
    from_gguf_with(metadata, &FAMILY)
}

/// Writes Llama's metadata, for any family that has them.
pub(super) fn to_gguf(config: &Config, keys: &mut MetadataWriter) {
    keys.number("attention.layer_norm_rms_epsilon", config.norm_epsilon);
    keys.head_dim(config);
    keys.implied_activation(config, Activation::Silu);
    keys.implied_score_scale(config);
    keys.one_window(config);
    keys.one_rope(config);
}
