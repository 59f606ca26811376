//! The shape of a decoder and the choices its family makes, whatever file they come from.
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

use glassbox_tensor::CacheFormat;
use glassbox_tensor::ops::{Activation, KeyValues};

use crate::rope::RopeConfig;

/// Far more layers than any model has, and few enough that a list of them is small.
pub(crate) const MAX_LAYERS: usize = 1 << 12;

/// The shape of a decoder. Families differ in the values of these fields and in nothing else.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The family's name, one of [`families::ALL`](crate::families::ALL).
    pub family: &'static str,
    /// Tokens in the vocabulary.
    pub vocab_size: usize,
    /// The longest sequence the model was made for, in tokens.
    pub context_length: usize,
    /// Components of the residual stream.
    pub d_model: usize,
    /// Blocks.
    pub n_layers: usize,
    /// Query heads per block.
    pub n_heads: usize,
    /// Key-value heads per block; each serves `n_heads / n_kv_heads` query heads.
    pub n_kv_heads: usize,
    /// Components of a head's query, key and value.
    pub head_dim: usize,
    /// Neurons of a feed-forward layer; with experts, of each expert.
    pub d_ff: usize,
    /// What embeddings are multiplied by (Gemma: `√d_model`).
    pub embedding_scale: f32,
    /// Whether the vector of a learned position is added to each embedding (GPT-2).
    pub learned_positions: bool,
    /// Whether the unembedding is the embedding.
    pub tied: bool,
    /// The kind of all norms.
    pub norm: NormKind,
    /// What the norms add to the variance.
    pub norm_epsilon: f32,
    /// Where the norms of a block stand.
    pub norm_placement: NormPlacement,
    /// How a block's two branches join the residual stream.
    pub residual: Residual,
    /// Whether the projections to queries, keys and values have biases.
    pub qkv_bias: bool,
    /// Whether attention's output projection has a bias.
    pub attention_out_bias: bool,
    /// Whether queries and keys are normed, head by head.
    pub qk_norm: bool,
    /// What scores are divided by, usually `√head_dim`.
    pub score_divisor: f32,
    /// Whether scores are also divided by the layer's number, counted from 1 (some GPT-2s).
    pub scale_scores_by_layer: bool,
    /// For each layer how many positions a query attends to, its own included; `None`: all before it.
    pub windows: Vec<Option<usize>>,
    /// The rotary embeddings; empty with learned positions.
    pub ropes: Vec<RopeConfig>,
    /// For each layer which of [`Config::ropes`] turns its queries and keys.
    pub rope_of_layer: Vec<Option<usize>>,
    /// The feed-forward layer's kind.
    pub mlp: MlpKind,
    /// Whether the feed-forward layer's projections have biases.
    pub mlp_bias: bool,
    /// The feed-forward layer's activation function.
    pub activation: Activation,
}

/// The numbers that every decoder has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// As [`Config::vocab_size`].
    pub vocab_size: usize,
    /// As [`Config::context_length`].
    pub context_length: usize,
    /// As [`Config::d_model`].
    pub d_model: usize,
    /// As [`Config::n_layers`].
    pub n_layers: usize,
    /// As [`Config::n_heads`].
    pub n_heads: usize,
    /// As [`Config::n_kv_heads`].
    pub n_kv_heads: usize,
    /// As [`Config::head_dim`].
    pub head_dim: usize,
    /// As [`Config::d_ff`].
    pub d_ff: usize,
}

/// A kind of norm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormKind {
    /// Root mean square 1, then a weight for each component.
    Rms,
    /// Mean 0 and variance 1, then a weight and a bias for each component.
    Layer,
}

/// Where the norms of a block stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormPlacement {
    /// In front of each layer: `x + layer(norm(x))`.
    Before,
    /// In front of each layer and behind it: `x + norm(layer(norm(x)))`.
    Around,
}

/// How a block's two branches join the residual stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Residual {
    /// The feed-forward layer reads what attention has added to: `x += attention(x); x += mlp(x)`.
    Sequential,
    /// Both read the same stream: `x += attention(x) + mlp(x)`.
    Parallel,
}

/// A kind of feed-forward layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MlpKind {
    /// `down(activation(up(x)))`
    Plain,
    /// `down(activation(gate(x)) · up(x))`
    Gated,
    /// Several gated layers, of which a router picks some for each token.
    Experts {
        /// How many there are.
        count: usize,
        /// How many a token uses.
        top_k: usize,
    },
}

impl Config {
    /// What scores are multiplied by in layer `layer`.
    pub fn score_scale(&self, layer: usize) -> f32 {
        let by_layer = if self.scale_scores_by_layer { (layer + 1) as f32 } else { 1.0 };
        1.0 / (self.score_divisor * by_layer)
    }

    /// The rotary embedding of layer `layer`, if it has one.
    pub fn rope(&self, layer: usize) -> Option<&RopeConfig> {
        self.ropes.get((*self.rope_of_layer.get(layer)?)?)
    }

    /// Bytes that the key-value cache takes when it holds `positions` positions.
    pub fn cache_bytes(&self, format: CacheFormat, positions: usize) -> usize {
        let layer = KeyValues::bytes_for(self.n_kv_heads, self.head_dim, format, positions);
        self.n_layers.saturating_mul(layer)
    }

    /// Every relation between the numbers that must hold and does not, a sentence each.
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
        if !(self.norm_epsilon > 0.0 && self.norm_epsilon < 1.0) {
            wrong.push(format!("the norms' epsilon is {}, expected 0 to 1", self.norm_epsilon));
        }
        if !(self.score_divisor > 0.0 && self.score_divisor.is_finite()) {
            wrong.push(format!("scores are divided by {}, expected a positive number", self.score_divisor));
        }
        for rope in &self.ropes {
            let (dims, head_dim) = (rope.dims, self.head_dim);
            if dims == head_dim && !dims.is_multiple_of(2) {
                wrong.push(format!("rotary positions need an even head_dim, found {head_dim}"));
            } else if !dims.is_multiple_of(2) || !(2..=head_dim).contains(&dims) {
                wrong.push(format!(
                    "rotary positions turn {dims} of {head_dim} components, expected an even number of them"
                ));
            }
        }
        if let MlpKind::Experts { count, top_k } = self.mlp
            && !(1..=MAX_EXPERTS).contains(&count) | !(1..=count).contains(&top_k)
        {
            wrong.push(format!("{top_k} of {count} experts for each token, expected 1 to {MAX_EXPERTS}"));
        }
        wrong
    }
}

/// More experts than any model has, and few enough that a list of them is small.
const MAX_EXPERTS: usize = 1 << 10;
