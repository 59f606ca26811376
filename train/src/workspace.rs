//! The memory of a step: activations saved for the backward pass, and scratch buffers.

use glassbox_model::Config;

use crate::plan::BlockPlan;

/// Everything a pass writes besides the gradients. Saved from step to step.
#[derive(Debug, Default)]
pub(crate) struct Workspace {
    /// The residual stream before each block and after the last, each `[sequences · tokens, d_model]`.
    pub(crate) streams: Vec<Vec<f32>>,
    /// One per block; only one with gradient checkpointing.
    pub(crate) saved: Vec<Saved>,
    pub(crate) scratch: Scratch,
}

/// The activations of a block that are saved for its backward pass.
#[derive(Debug, Default)]
pub(crate) struct Saved {
    /// `[sequences · tokens, (n_heads + 2 · n_kv_heads) · head_dim]`
    pub(crate) qkv: Vec<f32>,
    /// Queries and keys before their norms, `[sequences · tokens, (n_heads + n_kv_heads) · head_dim]`; empty without
    /// q/k norms.
    pub(crate) qk: Vec<f32>,
    /// Row maxima and sums of the softmax: `[sequences, n_heads, tokens]`
    pub(crate) softmax_stats: Vec<[f32; 2]>,
    /// `[sequences · tokens, n_heads · head_dim]`
    pub(crate) z: Vec<f32>,
    /// The output of attention before its post norm, `[sequences · tokens, d_model]`; empty without a post norm.
    pub(crate) attention_result: Vec<f32>,
    /// The residual stream after attention (resid_mid), `[sequences · tokens, d_model]`.
    pub(crate) mid: Vec<f32>,
    /// The input of the activation function, `[sequences · tokens, d_ff]`.
    pub(crate) before: Vec<f32>,
    /// The factor of the activations, `[sequences · tokens, d_ff]`; empty unless the MLP is gated.
    pub(crate) gated: Vec<f32>,
    /// The output of the MLP before its post norm, `[sequences · tokens, d_model]`; empty without a post norm.
    pub(crate) mlp_result: Vec<f32>,
}

/// Scratch buffers, free after each layer.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// `[sequences · tokens, d_model]`
    pub(crate) normed: Vec<f32>,
    /// `[sequences · tokens, d_ff]`
    pub(crate) hidden: Vec<f32>,
    /// The gradient of the residual stream, `[sequences · tokens, d_model]`.
    pub(crate) dx: Vec<f32>,
    /// The gradient of a norm's output, `[sequences · tokens, d_model]`.
    pub(crate) dnormed: Vec<f32>,
    /// The gradient of the heads' outputs, `[sequences · tokens, n_heads · head_dim]`.
    pub(crate) dz: Vec<f32>,
    /// The gradient of queries, keys and values, or of the MLP's hidden vector.
    pub(crate) dwide: Vec<f32>,
    /// The gradients of a branch's output after and before its post norm, `[sequences · tokens, d_model]`.
    pub(crate) dbranch: [Vec<f32>; 2],
    /// The gradient of the stream after a block with a parallel residual, `[sequences · tokens, d_model]`.
    pub(crate) dout: Vec<f32>,
    /// Queries or keys of all heads: input and output of a q/k norm, or their gradients.
    pub(crate) heads: [Vec<f32>; 2],
    /// The rows of the final norm's output in a chunk.
    pub(crate) picked: Vec<f32>,
    /// The logits of a chunk.
    pub(crate) logits: Vec<f32>,
}

impl Workspace {
    /// Resizes the buffers of the forward pass for `sequences` sequences of `tokens` tokens. `block` is any of the
    /// network's blocks; all have the same parts.
    pub(crate) fn fit(
        &mut self,
        config: &Config,
        block: &BlockPlan,
        sequences: usize,
        tokens: usize,
        recompute: bool,
    ) {
        let rows = sequences * tokens;
        let Config { d_model, d_ff, n_layers, n_heads, n_kv_heads, head_dim, .. } = *config;
        self.streams.resize_with(n_layers + 1, Vec::new);
        self.streams.iter_mut().for_each(|stream| stream.resize(rows * d_model, 0.0));
        self.saved.resize_with(if recompute { 1 } else { n_layers }, Saved::default);
        let or_empty = |needed: bool, len: usize| if needed { rows * len } else { 0 };
        for saved in &mut self.saved {
            saved.qkv.resize(rows * (n_heads + 2 * n_kv_heads) * head_dim, 0.0);
            saved.qk.resize(or_empty(block.qk_norms.is_some(), (n_heads + n_kv_heads) * head_dim), 0.0);
            saved.softmax_stats.resize(sequences * n_heads * tokens, [0.0; 2]);
            saved.z.resize(rows * n_heads * head_dim, 0.0);
            saved.attention_result.resize(or_empty(block.attention_post_norm.is_some(), d_model), 0.0);
            saved.mid.resize(rows * d_model, 0.0);
            saved.before.resize(rows * d_ff, 0.0);
            saved.gated.resize(or_empty(block.mlp_gated.is_some(), d_ff), 0.0);
            saved.mlp_result.resize(or_empty(block.mlp_post_norm.is_some(), d_model), 0.0);
        }
        self.scratch.normed.resize(rows * d_model, 0.0);
        self.scratch.hidden.resize(rows * d_ff, 0.0);
    }

    /// Resizes the buffers of the backward pass.
    pub(crate) fn fit_backward(&mut self, config: &Config, rows: usize) {
        let heads = config.n_heads * config.head_dim;
        self.scratch.dx.resize(rows * config.d_model, 0.0);
        self.scratch.dnormed.resize(rows * config.d_model, 0.0);
        self.scratch.dz.resize(rows * heads, 0.0);
    }
}
