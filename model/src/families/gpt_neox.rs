//! GPT-NeoX (Pythia): Llama, except
//!
//! - parallel residual: attention and MLP read the same residual stream (optional);
//! - layer norms, with biases, and biases on the linear layers;
//! - partial rotary embedding: only the first components of each head are rotated;
//! - an MLP without a gate, with GELU;
//! - a key-value head per query head; Hugging Face stores the three projections as one matrix, head by head.
//!
//! Black et al., "GPT-NeoX-20B" (2022).

use glassbox_tensor::file::gguf;
use glassbox_tensor::ops::Activation;
use serde_json::{Map, Value, json};

use super::gguf_names::{FUSED_QKV, GGUF, LIST};
use super::{Family, Reads, hf, hf_rope, llama};
use crate::config::{Config, MlpKind, NormKind, Residual, Sizes};
use crate::error::Error;
use crate::fields::Fields;
use crate::metadata::{Metadata, MetadataWriter};
use crate::names::{Fused, Names};
use crate::spec::Role;

const QKV: &[Role] = &[Role::Q, Role::K, Role::V];

/// The default fraction of each head that is rotated.
const ROTARY_SHARE: f32 = 0.25;

pub(super) const FAMILY: Family = Family {
    name: "gpt_neox",
    model_type: "gpt_neox",
    architecture: "gptneox",
    activation: ("hidden_act", "gelu"),
    reads: Reads { partial_rotary: true, rope_by_layer_type: false, experts: false },
    from_hf,
    to_hf,
    from_gguf,
    to_gguf,
    contradictions,
    new: None,
    hf: Names {
        prefix: "gpt_neox.",
        fused: &[Fused { roles: QKV, by_head: true }],
        tables: &[".attention.bias", ".attention.masked_bias", ".rotary_emb.inv_freq"],
        ..Names::plain(&[&[
            (Role::Embedding, "gpt_neox.embed_in"),
            (Role::AttentionNorm, "gpt_neox.layers.{layer}.input_layernorm"),
            (Role::Q, "gpt_neox.layers.{layer}.attention.query_key_value"),
            (Role::K, "gpt_neox.layers.{layer}.attention.query_key_value"),
            (Role::V, "gpt_neox.layers.{layer}.attention.query_key_value"),
            (Role::AttentionOut, "gpt_neox.layers.{layer}.attention.dense"),
            (Role::MlpNorm, "gpt_neox.layers.{layer}.post_attention_layernorm"),
            (Role::Up, "gpt_neox.layers.{layer}.mlp.dense_h_to_4h"),
            (Role::Down, "gpt_neox.layers.{layer}.mlp.dense_4h_to_h"),
            (Role::FinalNorm, "gpt_neox.final_layer_norm"),
            (Role::Unembedding, "embed_out"),
        ]])
    },
    // llama.cpp does not load a GPT-NeoX without an unembedding of its own.
    gguf: Names {
        always_unembedding: true,
        fused: &[Fused { roles: QKV, by_head: false }],
        lists: &[FUSED_QKV, LIST],
        ..GGUF
    },
    ..llama::FAMILY
};

/// The configuration before optional settings.
fn shape(sizes: Sizes) -> Config {
    Config {
        family: FAMILY.name,
        norm: NormKind::Layer,
        residual: Residual::Parallel,
        qkv_bias: true,
        attention_out_bias: true,
        mlp: MlpKind::Plain,
        mlp_bias: true,
        activation: Activation::GeluErf,
        ..llama::new(sizes)
    }
}

/// The residual of `use_parallel_residual`.
fn residual(parallel: Option<bool>) -> Residual {
    if parallel.unwrap_or(true) { Residual::Parallel } else { Residual::Sequential }
}

fn from_hf(fields: &Fields) -> Result<Config, Error> {
    let sizes = hf::sizes(fields, 2048)?;
    // The family has no grouped-query attention, and head_dim is always d_model / n_heads.
    let sizes = Sizes { n_kv_heads: sizes.n_heads, head_dim: sizes.d_model / sizes.n_heads, ..sizes };
    let keys = ["partial_rotary_factor", "rotary_pct"];
    let dims = hf_rope::partial_dims(fields, &keys, ROTARY_SHARE, sizes.head_dim)?;
    let rope_fields = hf_rope::rope_fields(fields)?;
    let theta = fields.number("rotary_emb_base")?.unwrap_or(10_000.0);
    let rope = hf_rope::read_told(fields, rope_fields.as_ref(), dims, sizes.context_length as f32, theta)?;
    let bias = fields.flag("attention_bias")?.unwrap_or(true);
    Ok(Config {
        tied: fields.flag("tie_word_embeddings")?.unwrap_or(false),
        norm_epsilon: fields.number("layer_norm_eps")?.unwrap_or(1e-5),
        residual: residual(fields.flag("use_parallel_residual")?),
        qkv_bias: bias,
        attention_out_bias: bias,
        ropes: vec![rope],
        activation: hf::activation(fields, &FAMILY)?,
        ..shape(sizes)
    })
}

fn to_hf(config: &Config) -> Map<String, Value> {
    let rope = &config.ropes[0];
    let share = hf::tidy(rope.dims as f32 / config.head_dim as f32);
    let mut rope_keys = hf_rope::keys(rope);
    rope_keys["rope_parameters"]["partial_rotary_factor"] = share.into();
    let keys = hf::with(hf::size_keys(config), rope_keys);
    hf::with(
        keys,
        json!({
            "architectures": ["GPTNeoXForCausalLM"],
            "layer_norm_eps": hf::tidy(config.norm_epsilon),
            "use_parallel_residual": config.residual == Residual::Parallel,
            "attention_bias": config.qkv_bias,
            "rotary_pct": share,
            "rotary_emb_base": hf::tidy(rope.theta),
        }),
    )
}

fn from_gguf(metadata: &Metadata<'_>) -> Result<Config, Error> {
    let sizes = metadata.sizes()?;
    let dims = metadata.maybe_size("rope.dimension_count")?.unwrap_or(sizes.head_dim);
    Ok(Config {
        tied: !metadata.has_tensor("output.weight"),
        norm_epsilon: metadata.number("attention.layer_norm_epsilon")?,
        residual: residual(metadata.flag("use_parallel_residual")?),
        qkv_bias: metadata.has_tensor("blk.0.attn_qkv.bias"),
        attention_out_bias: metadata.has_tensor("blk.0.attn_output.bias"),
        ropes: vec![metadata.rope(dims, sizes.context_length as f32)?],
        ..shape(sizes)
    })
}

fn to_gguf(config: &Config, keys: &mut MetadataWriter) {
    keys.number("attention.layer_norm_epsilon", config.norm_epsilon);
    keys.own("use_parallel_residual", gguf::Value::Bool(config.residual == Residual::Parallel));
    // llama.cpp uses the tanh approximation of GELU, whichever of the two a model was trained with.
    keys.implied_activation(config, Activation::GeluErf);
    keys.implied_score_scale(config);
    keys.refuse(!config.qkv_bias, || "attention without biases".to_owned());
    keys.one_rope(config);
}

fn contradictions(config: &Config) -> Vec<String> {
    let (heads, kv_heads, d_model) = (config.n_heads, config.n_kv_heads, config.d_model);
    let mut wrong = Vec::new();
    if kv_heads != heads {
        wrong.push(format!(
            "gpt_neox: expected as many key-value heads as query heads, {heads}, found {kv_heads}"
        ));
    }
    if heads.saturating_mul(config.head_dim) != d_model {
        wrong.push(format!("d_model {d_model} is not divisible by {heads} heads"));
    }
    wrong
}
