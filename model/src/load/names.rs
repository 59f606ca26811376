//! What each parameter is called in the three ways of naming them.

use glassbox_tensor::file::TensorInfo;

/// How a file names its tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Naming {
    /// Hugging Face, GPT-2.
    HfGpt2,
    /// Hugging Face, Llama and its kin.
    HfLlama,
    /// llama.cpp.
    Gguf,
}

/// A part of the model that has a weight, and perhaps a bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Embedding,
    Positions,
    NormFinal,
    Unembedding,
    Norm1,
    Qkv,
    Q,
    K,
    V,
    QNorm,
    KNorm,
    AttentionOut,
    Norm2,
    MlpGate,
    MlpUp,
    MlpDown,
}

/// How many rows of [`NAMES`] stand outside the blocks: the first ones.
const OUTSIDE_BLOCKS: usize = 4;

/// Part, Hugging Face's GPT-2, Hugging Face's Llama, GGUF. Parts of a block follow the block's prefix.
const NAMES: [(Part, &str, &str, &str); 16] = [
    (Part::Embedding, "transformer.wte", "model.embed_tokens", "token_embd"),
    (Part::Positions, "transformer.wpe", "", "position_embd"),
    (Part::NormFinal, "transformer.ln_f", "model.norm", "output_norm"),
    (Part::Unembedding, "lm_head", "lm_head", "output"),
    (Part::Norm1, "ln_1", "input_layernorm", "attn_norm"),
    (Part::Qkv, "attn.c_attn", "", "attn_qkv"),
    (Part::Q, "", "self_attn.q_proj", "attn_q"),
    (Part::K, "", "self_attn.k_proj", "attn_k"),
    (Part::V, "", "self_attn.v_proj", "attn_v"),
    (Part::QNorm, "", "self_attn.q_norm", "attn_q_norm"),
    (Part::KNorm, "", "self_attn.k_norm", "attn_k_norm"),
    (Part::AttentionOut, "attn.c_proj", "self_attn.o_proj", "attn_output"),
    (Part::Norm2, "ln_2", "post_attention_layernorm", "ffn_norm"),
    (Part::MlpGate, "", "mlp.gate_proj", "ffn_gate"),
    (Part::MlpUp, "mlp.c_fc", "mlp.up_proj", "ffn_up"),
    (Part::MlpDown, "mlp.c_proj", "mlp.down_proj", "ffn_down"),
];

impl Part {
    /// Every part that a model of `n_layers` blocks may have, each with the block it is in.
    pub(crate) fn all(n_layers: usize) -> impl Iterator<Item = (Part, Option<usize>)> {
        let (outside, inside) = NAMES.split_at(OUTSIDE_BLOCKS);
        let blocks = (0..n_layers).flat_map(move |layer| inside.iter().map(move |row| (row.0, Some(layer))));
        outside.iter().map(|row| (row.0, None)).chain(blocks)
    }
}

impl Naming {
    /// The name of a part's tensor; `kind` is `weight` or `bias`, `layer` says which block's part it is.
    pub(crate) fn name(self, part: Part, layer: Option<usize>, kind: &str) -> String {
        let row = NAMES.iter().find(|row| row.0 == part).expect("every part has a row");
        let (name, block) = match self {
            Naming::HfGpt2 => (row.1, "transformer.h."),
            Naming::HfLlama => (row.2, "model.layers."),
            Naming::Gguf => (row.3, "blk."),
        };
        match layer {
            Some(layer) => format!("{block}{layer}.{name}.{kind}"),
            None => format!("{name}.{kind}"),
        }
    }

    /// The same without the prefix, if the file is one whose names are `bare`.
    pub(crate) fn name_in(self, bare: bool, part: Part, layer: Option<usize>, kind: &str) -> String {
        let name = self.name(part, layer, kind);
        match name.strip_prefix(self.prefix()) {
            Some(short) if bare => short.to_string(),
            _ => name,
        }
    }

    /// Whether none of the names has the prefix.
    pub(crate) fn is_bare(self, tensors: &[TensorInfo]) -> bool {
        !tensors.iter().any(|tensor| tensor.name.starts_with(self.prefix()))
    }

    /// Whether models named in this way have such a part.
    pub(crate) fn has(self, part: Part) -> bool {
        !NAMES.iter().any(|row| {
            let name = match self {
                Naming::HfGpt2 => row.1,
                Naming::HfLlama => row.2,
                Naming::Gguf => row.3,
            };
            row.0 == part && name.is_empty()
        })
    }

    /// Hugging Face's GPT-2 stores its linear layers as `[inputs, outputs]`.
    pub(crate) fn is_stored_transposed(self, part: Part) -> bool {
        self == Naming::HfGpt2 && matches!(part, Part::Qkv | Part::AttentionOut | Part::MlpUp | Part::MlpDown)
    }

    /// What checkpoints saved without the head leave out in front of every name but the head's.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Naming::HfGpt2 => "transformer.",
            Naming::HfLlama => "model.",
            Naming::Gguf => "",
        }
    }

    /// Whether a tensor holds nothing that a forward pass needs: tables that old files stored along.
    pub(crate) fn is_table(self, name: &str) -> bool {
        match self {
            Naming::HfGpt2 => name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias"),
            Naming::HfLlama => name.ends_with("rotary_emb.inv_freq"),
            Naming::Gguf => name == "rope_freqs.weight" || name.ends_with(".attn_rot_embd.weight"),
        }
    }
}
