//! What a checkpoint says about its shape, whatever file it says it in.
//!
//! The same numbers have other names elsewhere:
//!
//! | here | nanoGPT | llama2.c | Hugging Face (GPT-2; Llama) | GGUF |
//! |---|---|---|---|---|
//! | `vocab_size` | `vocab_size` | `vocab_size` | `vocab_size` | `vocab_size` |
//! | `context_length` | `block_size` | `seq_len` | `n_positions`; `max_position_embeddings` | `context_length` |
//! | `d_model` | `n_embd` | `dim` | `n_embd`; `hidden_size` | `embedding_length` |
//! | `n_layers` | `n_layer` | `n_layers` | `n_layer`; `num_hidden_layers` | `block_count` |
//! | `n_heads` | `n_head` | `n_heads` | `n_head`; `num_attention_heads` | `attention.head_count` |
//! | `n_kv_heads` | | `n_kv_heads` | `num_key_value_heads` | `attention.head_count_kv` |
//! | `head_dim` | | `head_size` | `head_dim` | `attention.key_length` |
//! | `d_ff` | | `hidden_dim` | `n_inner`; `intermediate_size` | `feed_forward_length` |

use std::fmt;

use glassbox_tensor::CacheFormat;
use glassbox_tensor::ops::{Activation, KeyValues};

use crate::rope::RopeConfig;

/// The families of transformers that run here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// GPT-2: learned positions, layer norm, one projection for queries, keys and values.
    Gpt2,
    /// Llama 1 to 3, SmolLM2 and their kin: rotary positions, RMS norm, a gated feed-forward layer.
    Llama,
    /// Mistral: Llama with a sliding window.
    Mistral,
    /// Qwen 2 and 2.5: Llama with biases on queries, keys and values.
    Qwen2,
    /// Qwen 3: Llama with a norm on every query and key.
    Qwen3,
}

impl Family {
    /// All families.
    pub const ALL: [Family; 5] = [Family::Gpt2, Family::Llama, Family::Mistral, Family::Qwen2, Family::Qwen3];

    /// The name in `config.json` (`model_type`) and in GGUF (`general.architecture`).
    pub fn name(self) -> &'static str {
        match self {
            Family::Gpt2 => "gpt2",
            Family::Llama => "llama",
            Family::Mistral => "mistral",
            Family::Qwen2 => "qwen2",
            Family::Qwen3 => "qwen3",
        }
    }

    /// The family of that name, if it is one that runs here.
    pub fn from_name(name: &str) -> Option<Family> {
        Family::ALL.into_iter().find(|family| family.name() == name)
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Many times the layers of any model there is, and few enough that a list of them is nothing.
pub(crate) const MAX_LAYERS: usize = 1 << 12;

/// The shape of a transformer and the choices that its family leaves open.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Which family.
    pub family: Family,
    /// Tokens in the vocabulary.
    pub vocab_size: usize,
    /// The longest text the model was made for, in tokens.
    pub context_length: usize,
    /// Components of the vector that stands for a token.
    pub d_model: usize,
    /// Blocks.
    pub n_layers: usize,
    /// Attention heads a block.
    pub n_heads: usize,
    /// Heads with keys and values of their own; each is shared by `n_heads / n_kv_heads` query heads.
    pub n_kv_heads: usize,
    /// Components of a head's query, key and value.
    pub head_dim: usize,
    /// Hidden neurons of a feed-forward layer.
    pub d_ff: usize,
    /// What the norms add to the variance.
    pub norm_epsilon: f32,
    /// The feed-forward layer's activation function.
    pub activation: Activation,
    /// Whether the unembedding is the embedding.
    pub tied: bool,
    /// Whether scores are divided by `√head_dim` (all but some GPT-2s).
    pub scale_scores: bool,
    /// Whether scores are also divided by the layer's number, counted from 1 (some GPT-2s).
    pub scale_scores_by_layer: bool,
    /// Whether the projections to queries, keys and values have biases.
    pub qkv_bias: bool,
    /// Whether the projection of the heads' results has a bias.
    pub attention_out_bias: bool,
    /// Whether the feed-forward layer's projections have biases.
    pub mlp_bias: bool,
    /// Whether queries and keys are normed, head by head.
    pub qk_norm: bool,
    /// For each layer how many positions back it sees, itself included; `None`: all.
    pub windows: Vec<Option<usize>>,
    /// The rotary embedding; `None` with learned positions.
    pub rope: Option<RopeConfig>,
}

impl Config {
    /// What scores are multiplied by in layer `layer`.
    pub fn score_scale(&self, layer: usize) -> f32 {
        let by_dim = if self.scale_scores { (self.head_dim as f32).sqrt() } else { 1.0 };
        let by_layer = if self.scale_scores_by_layer { (layer + 1) as f32 } else { 1.0 };
        1.0 / (by_dim * by_layer)
    }

    /// Bytes the key-value cache takes when it holds `positions` positions.
    pub fn cache_bytes(&self, format: CacheFormat, positions: usize) -> usize {
        let layer = KeyValues::bytes_for(self.n_kv_heads, self.head_dim, format, positions);
        self.n_layers.saturating_mul(layer)
    }

    /// The relations that must hold between the numbers, as sentences about those that do not.
    pub fn contradictions(&self) -> Vec<String> {
        let sizes = [
            ("vocab_size", self.vocab_size),
            ("context_length", self.context_length),
            ("d_model", self.d_model),
            ("n_layers", self.n_layers),
            ("n_heads", self.n_heads),
            ("n_kv_heads", self.n_kv_heads),
            ("head_dim", self.head_dim),
            ("d_ff", self.d_ff),
        ];
        // Far above any model there is, and low enough that no product of two of them overflows.
        let limit = 1 << 28;
        let query_len = self.n_heads.saturating_mul(self.head_dim);
        let mut wrong: Vec<String> = sizes
            .iter()
            .filter(|(_, size)| *size == 0 || *size > limit)
            .map(|(name, size)| format!("{name} is {size}, expected 1 to {limit}"))
            .collect();
        if self.n_layers > MAX_LAYERS {
            wrong.push(format!("n_layers is {}, expected at most {MAX_LAYERS}", self.n_layers));
        }
        if query_len > limit {
            wrong.push(format!(
                "{} heads of {} components, expected at most {limit} in all",
                self.n_heads, self.head_dim
            ));
        }
        if !self.n_heads.is_multiple_of(self.n_kv_heads.max(1)) {
            wrong.push(format!(
                "{} query heads cannot share {} key-value heads evenly",
                self.n_heads, self.n_kv_heads
            ));
        }
        if self.family == Family::Gpt2 && self.n_kv_heads != self.n_heads {
            wrong.push(format!(
                "a gpt2 has a key-value head for each of its {} query heads, found {}",
                self.n_heads, self.n_kv_heads
            ));
        }
        if self.family == Family::Gpt2 && query_len != self.d_model {
            wrong.push(format!("d_model {} is not divisible by {} heads", self.d_model, self.n_heads));
        }
        if self.rope.is_some() && !self.head_dim.is_multiple_of(2) {
            wrong.push(format!("rotary positions need an even head_dim, found {}", self.head_dim));
        }
        if !(self.norm_epsilon > 0.0 && self.norm_epsilon < 1.0) {
            wrong.push(format!("the norms' epsilon is {}, expected 0 to 1", self.norm_epsilon));
        }
        wrong
    }
}
