//! The configuration of a decoder: its sizes, and the choices of its family.
//!
//! The sizes have other names elsewhere:
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

/// A limit far above any model, so that a list with an entry per layer stays small.
pub(crate) const MAX_LAYERS: usize = 1 << 12;

/// The configuration of a decoder. Families differ only in the values of these fields.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The family's name, one of [`families::ALL`](crate::families::ALL).
    pub family: &'static str,
    /// Number of tokens in the vocabulary.
    pub vocab_size: usize,
    /// Maximum sequence length in tokens.
    pub context_length: usize,
    /// Width of the residual stream.
    pub d_model: usize,
    /// Number of blocks.
    pub n_layers: usize,
    /// Query heads per block.
    pub n_heads: usize,
    /// Key-value heads per block; each serves `n_heads / n_kv_heads` query heads.
    pub n_kv_heads: usize,
    /// Dimension of a head's query, key and value.
    pub head_dim: usize,
    /// Hidden width of the MLP; with experts, of each expert.
    pub d_ff: usize,
    /// Factor of the embeddings (Gemma: `√d_model`).
    pub embedding_scale: f32,
    /// Whether a learned position embedding is added to each token's embedding (GPT-2).
    pub learned_positions: bool,
    /// Whether the unembedding is tied to the embedding.
    pub tied: bool,
    /// The kind of all norms.
    pub norm: NormKind,
    /// The norms' ε, added to the variance.
    pub norm_epsilon: f32,
    /// The placement of the norms in a block.
    pub norm_placement: NormPlacement,
    /// How a block's two branches join the residual stream.
    pub residual: Residual,
    /// Whether the projections to queries, keys and values have biases.
    pub qkv_bias: bool,
    /// Whether attention's output projection has a bias.
    pub attention_out_bias: bool,
    /// Whether each head's queries and keys are normed.
    pub qk_norm: bool,
    /// Divisor of the scores, usually `√head_dim`.
    pub score_divisor: f32,
    /// Whether scores are also divided by the layer's number, counted from 1 (some GPT-2 models).
    pub scale_scores_by_layer: bool,
    /// For each layer, the attention window in positions, including the query's own; `None`: all earlier positions.
    pub windows: Vec<Option<usize>>,
    /// The rotary embeddings; empty with learned positions.
    pub ropes: Vec<RopeConfig>,
    /// For each layer, the index in [`Config::ropes`] of its rotary embedding.
    pub rope_of_layer: Vec<Option<usize>>,
    /// The kind of MLP.
    pub mlp: MlpKind,
    /// Whether the MLP's linear layers have biases.
    pub mlp_bias: bool,
    /// The MLP's activation function.
    pub activation: Activation,
}

/// The sizes of a decoder.
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
    /// RMS norm: scales to root mean square 1, then applies a weight.
    Rms,
    /// Layer norm: scales to mean 0 and variance 1, then applies a weight and a bias.
    Layer,
}

/// The placement of the norms in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormPlacement {
    /// Before each layer: `x + layer(norm(x))`.
    Before,
    /// Before and after each layer: `x + norm(layer(norm(x)))`.
    Around,
}

/// How a block's two branches join the residual stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Residual {
    /// The MLP reads the stream after attention: `x += attention(x); x += mlp(x)`.
    Sequential,
    /// Both read the same stream: `x += attention(x) + mlp(x)`.
    Parallel,
}

/// A kind of MLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MlpKind {
    /// `down(activation(up(x)))`
    Plain,
    /// `down(activation(gate(x)) · up(x))`
    Gated,
    /// A mixture of experts: several gated MLPs, of which a router selects `top_k` for each token.
    Experts {
        /// Number of experts.
        count: usize,
        /// Experts per token.
        top_k: usize,
    },
}

impl Config {
    /// The factor of the scores in layer `layer`.
    pub fn score_scale(&self, layer: usize) -> f32 {
        let by_layer = if self.scale_scores_by_layer { (layer + 1) as f32 } else { 1.0 };
        1.0 / (self.score_divisor * by_layer)
    }

    /// The rotary embedding of layer `layer`, if it has one.
    pub fn rope(&self, layer: usize) -> Option<&RopeConfig> {
        self.ropes.get((*self.rope_of_layer.get(layer)?)?)
    }

    /// Size of a KV cache of `positions` positions, in bytes.
    pub fn cache_bytes(&self, format: CacheFormat, positions: usize) -> usize {
        let layer = KeyValues::bytes_for(self.n_kv_heads, self.head_dim, format, positions);
        self.n_layers.saturating_mul(layer)
    }

    /// Checks the values and their relations; returns one sentence per problem.
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
        // Far above any model, and low enough that no product of two sizes overflows.
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
                "{} heads of dimension {}: expected at most {limit} components together",
                self.n_heads, self.head_dim
            ));
        }
        if !self.n_heads.is_multiple_of(self.n_kv_heads.max(1)) {
            wrong.push(format!(
                "n_heads {} is not a multiple of n_kv_heads {}",
                self.n_heads, self.n_kv_heads
            ));
        }
        if !(self.norm_epsilon > 0.0 && self.norm_epsilon < 1.0) {
            wrong.push(format!("norm_epsilon is {}, expected between 0 and 1", self.norm_epsilon));
        }
        if !(self.score_divisor > 0.0 && self.score_divisor.is_finite()) {
            wrong.push(format!("score_divisor is {}, expected a positive number", self.score_divisor));
        }
        for rope in &self.ropes {
            let (dims, head_dim) = (rope.dims, self.head_dim);
            if dims == head_dim && !dims.is_multiple_of(2) {
                wrong.push(format!("rotary embedding: expected an even head_dim, found {head_dim}"));
            } else if !dims.is_multiple_of(2) || !(2..=head_dim).contains(&dims) {
                wrong.push(format!(
                    "rotary embedding: expected an even number of rotated components up to {head_dim}, found {dims}"
                ));
            }
        }
        if let MlpKind::Experts { count, top_k } = self.mlp
            && !(1..=MAX_EXPERTS).contains(&count) | !(1..=count).contains(&top_k)
        {
            wrong.push(format!("{top_k} of {count} experts per token, expected 1 to {MAX_EXPERTS} experts"));
        }
        wrong
    }
}

/// A limit far above any model, so that a list of experts stays small.
const MAX_EXPERTS: usize = 1 << 10;
