//! Mixtral: Mistral, except that each MLP is a mixture of experts, of which a router selects a few for each token.
//!
//! llama.cpp has no architecture of that name: in a GGUF, Mixtral is `llama` with experts.
//!
//! Jiang et al., "Mixtral of experts" (2024).

use serde_json::{Map, Value, json};

use super::gguf_names::LIST;
use super::{Family, Reads, hf, llama};
use crate::config::{Config, MlpKind, Sizes};
use crate::error::Error;
use crate::fields::Fields;
use crate::metadata::{Metadata, MetadataWriter};
use crate::names::{Fused, Names};
use crate::spec::Role;

pub(super) const FAMILY: Family = Family {
    name: "mixtral",
    model_type: "mixtral",
    recognises: |metadata| matches!(metadata.maybe_size("expert_count"), Ok(Some(_))),
    reads: Reads { partial_rotary: false, rope_by_layer_type: false, experts: true },
    from_hf,
    to_hf,
    from_gguf,
    to_gguf,
    new: None,
    hf: Names {
        lists: &[
            &[
                (Role::Router, "model.layers.{layer}.block_sparse_moe.gate"),
                (Role::Gate, "model.layers.{layer}.block_sparse_moe.experts.{expert}.w1"),
                (Role::Up, "model.layers.{layer}.block_sparse_moe.experts.{expert}.w3"),
                (Role::Down, "model.layers.{layer}.block_sparse_moe.experts.{expert}.w2"),
            ],
            llama::HF_LIST,
        ],
        ..llama::FAMILY.hf
    },
    // As transformers 5 has them in memory, and saves them on request.
    hf_others: &[Names {
        lists: &[
            &[
                (Role::Router, "model.layers.{layer}.mlp.gate"),
                (Role::Gate, "model.layers.{layer}.mlp.experts.gate_up_proj$"),
                (Role::Up, "model.layers.{layer}.mlp.experts.gate_up_proj$"),
                (Role::Down, "model.layers.{layer}.mlp.experts.down_proj$"),
            ],
            llama::HF_LIST,
        ],
        fused: &[Fused { roles: &[Role::Gate, Role::Up], by_head: false }],
        stacked_experts: true,
        ..llama::FAMILY.hf
    }],
    gguf: Names {
        lists: &[
            &[
                (Role::Router, "blk.{layer}.ffn_gate_inp"),
                (Role::Gate, "blk.{layer}.ffn_gate_exps"),
                (Role::Up, "blk.{layer}.ffn_up_exps"),
                (Role::Down, "blk.{layer}.ffn_down_exps"),
            ],
            LIST,
        ],
        stacked_experts: true,
        ..llama::FAMILY.gguf
    },
    ..llama::FAMILY
};

fn from_hf(fields: &Fields) -> Result<Config, Error> {
    let sizes = hf::sizes(fields, 131_072)?;
    let sizes = Sizes { n_kv_heads: hf::kv_heads(fields, sizes.n_heads, 8)?, ..sizes };
    let mut config = llama::from_hf_with(fields, &FAMILY, sizes)?;
    config.mlp = MlpKind::Experts {
        count: fields.maybe_size(&["num_local_experts"])?.unwrap_or(8),
        top_k: fields.maybe_size(&["num_experts_per_tok"])?.unwrap_or(2),
    };
    config.windows = vec![fields.maybe_size(&["sliding_window"])?; hf::listed(sizes.n_layers)];
    Ok(config)
}

fn to_hf(config: &Config) -> Map<String, Value> {
    let MlpKind::Experts { count, top_k } = config.mlp else { return Map::new() };
    hf::with(
        llama::to_hf_with(config, "MixtralForCausalLM"),
        json!({
            "num_local_experts": count,
            "num_experts_per_tok": top_k,
            "sliding_window": config.windows.first().copied().flatten(),
        }),
    )
}

fn from_gguf(metadata: &Metadata<'_>) -> Result<Config, Error> {
    let mlp = MlpKind::Experts {
        count: metadata.size("expert_count")?,
        top_k: metadata.size("expert_used_count")?,
    };
    Ok(Config { mlp, mlp_bias: false, ..llama::from_gguf_with(metadata, &FAMILY)? })
}

fn to_gguf(config: &Config, keys: &mut MetadataWriter) {
    llama::to_gguf(config, keys);
    if let MlpKind::Experts { count, top_k } = config.mlp {
        keys.size("expert_count", count);
        keys.size("expert_used_count", top_k);
    }
}
