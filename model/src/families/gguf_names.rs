//! llama.cpp's tensor names, the same for every architecture.

use crate::names::{NameList, Names};
use crate::spec::Role;

/// The names, for pages that fuse or rename some.
pub(super) const LIST: NameList = &[
    (Role::Embedding, "token_embd"),
    (Role::Positions, "position_embd"),
    (Role::AttentionNorm, "blk.{layer}.attn_norm"),
    (Role::Q, "blk.{layer}.attn_q"),
    (Role::K, "blk.{layer}.attn_k"),
    (Role::V, "blk.{layer}.attn_v"),
    (Role::QNorm, "blk.{layer}.attn_q_norm"),
    (Role::KNorm, "blk.{layer}.attn_k_norm"),
    (Role::AttentionOut, "blk.{layer}.attn_output"),
    (Role::AttentionPostNorm, "blk.{layer}.post_attention_norm"),
    (Role::MlpNorm, "blk.{layer}.ffn_norm"),
    (Role::Gate, "blk.{layer}.ffn_gate"),
    (Role::Up, "blk.{layer}.ffn_up"),
    (Role::Down, "blk.{layer}.ffn_down"),
    (Role::MlpPostNorm, "blk.{layer}.post_ffw_norm"),
    (Role::FinalNorm, "output_norm"),
    (Role::Unembedding, "output"),
];

/// Queries, keys and values in one tensor.
pub(super) const FUSED_QKV: NameList = &[
    (Role::Q, "blk.{layer}.attn_qkv"),
    (Role::K, "blk.{layer}.attn_qkv"),
    (Role::V, "blk.{layer}.attn_qkv"),
];

/// One tensor for each parameter.
pub(super) const GGUF: Names =
    Names { tables: &["rope_freqs.weight", ".attn_rot_embd.weight"], ..Names::plain(&[LIST]) };
