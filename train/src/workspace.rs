//! The memory of a step: what the forward pass leaves for the backward pass, and scratch buffers that both share.

use glassbox_model::Config;

use crate::plan::Block;

/// Everything a pass writes besides the gradients. Kept from step to step.
#[derive(Debug, Default)]
pub(crate) struct Workspace {
    /// The residual stream in front of each block and behind the last, each `[sequences · tokens, d_model]`.
    pub(crate) streams: Vec<Vec<f32>>,
    /// One a block; only one if blocks are recomputed.
    pub(crate) kept: Vec<Kept>,
    pub(crate) scratch: Scratch,
}

/// What the backward pass needs of a block and could only get by computing the block again.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// `[sequences · tokens, (n_heads + 2 · n_kv_heads) · head_dim]`
    pub(crate) qkv: Vec<f32>,
    /// Queries and keys in front of their norms, `[sequences · tokens, (n_heads + n_kv_heads) · head_dim]`; empty without
    /// such norms.
    pub(crate) qk: Vec<f32>,
    /// The largest score and the sum of each softmax: `[sequences, n_heads, tokens]`
    pub(crate) peaks: Vec<[f32; 2]>,
    /// `[sequences · tokens, n_heads · head_dim]`
    pub(crate) z: Vec<f32>,
    /// Attention's result in front of its post norm, `[sequences · tokens, d_model]`; empty without such a norm.
    pub(crate) attention_result: Vec<f32>,
    /// The stream that attention has been added to, `[sequences · tokens, d_model]`.
    pub(crate) mid: Vec<f32>,
    /// In front of the activation, `[sequences · tokens, d_ff]`.
    pub(crate) before: Vec<f32>,
    /// What activations are multiplied by, `[sequences · tokens, d_ff]`; empty without a gate.
    pub(crate) gated: Vec<f32>,
    /// The feed-forward layer's result in front of its post norm, `[sequences · tokens, d_model]`; empty without such a norm.
    pub(crate) mlp_result: Vec<f32>,
}

/// Buffers that are free again after each layer.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// `[sequences · tokens, d_model]`
    pub(crate) normed: Vec<f32>,
    /// `[sequences · tokens, d_ff]`
    pub(crate) hidden: Vec<f32>,
    /// The derivative by the stream, `[sequences · tokens, d_model]`.
    pub(crate) dx: Vec<f32>,
    /// The derivative by a normed stream, `[sequences · tokens, d_model]`.
    pub(crate) dnormed: Vec<f32>,
    /// The derivative by the heads' results, `[sequences · tokens, n_heads · head_dim]`.
    pub(crate) dz: Vec<f32>,
    /// The derivative by queries, keys and values or by the feed-forward layer's neurons.
    pub(crate) dwide: Vec<f32>,
    /// The derivative by what a branch adds to the stream, and by its layer's result, `[sequences · tokens, d_model]`.
    pub(crate) dbranch: [Vec<f32>; 2],
    /// The derivative by the stream behind a block, `[sequences · tokens, d_model]`, with a parallel residual.
    pub(crate) dout: Vec<f32>,
    /// Vectors of heads, side by side.
    pub(crate) heads: [Vec<f32>; 2],
    /// Some rows of the final norm's results.
    pub(crate) picked: Vec<f32>,
    /// Some rows of logits.
    pub(crate) logits: Vec<f32>,
}

impl Workspace {
    /// Makes every buffer of the forward pass as long as `sequences` sequences of `tokens` tokens need it. `block` is one of
    /// the network's blocks, which are alike.
    pub(crate) fn fit(
        &mut self,
        config: &Config,
        block: &Block,
        sequences: usize,
        tokens: usize,
        recompute: bool,
    ) {
        let rows = sequences * tokens;
        let Config { d_model, d_ff, n_layers, n_heads, n_kv_heads, head_dim, .. } = *config;
        self.streams.resize_with(n_layers + 1, Vec::new);
        self.streams.iter_mut().for_each(|stream| stream.resize(rows * d_model, 0.0));
        self.kept.resize_with(if recompute { 1 } else { n_layers }, Kept::default);
        let or_empty = |needed: bool, len: usize| if needed { rows * len } else { 0 };
        for kept in &mut self.kept {
            kept.qkv.resize(rows * (n_heads + 2 * n_kv_heads) * head_dim, 0.0);
            kept.qk.resize(or_empty(block.qk_norms.is_some(), (n_heads + n_kv_heads) * head_dim), 0.0);
            kept.peaks.resize(sequences * n_heads * tokens, [0.0; 2]);
            kept.z.resize(rows * n_heads * head_dim, 0.0);
            kept.attention_result.resize(or_empty(block.attention_post_norm.is_some(), d_model), 0.0);
            kept.mid.resize(rows * d_model, 0.0);
            kept.before.resize(rows * d_ff, 0.0);
            kept.gated.resize(or_empty(block.mlp_gated.is_some(), d_ff), 0.0);
            kept.mlp_result.resize(or_empty(block.mlp_post_norm.is_some(), d_model), 0.0);
        }
        self.scratch.normed.resize(rows * d_model, 0.0);
        self.scratch.hidden.resize(rows * d_ff, 0.0);
    }

    /// The same for the backward pass.
    pub(crate) fn fit_backward(&mut self, config: &Config, rows: usize) {
        let heads = config.n_heads * config.head_dim;
        self.scratch.dx.resize(rows * config.d_model, 0.0);
        self.scratch.dnormed.resize(rows * config.d_model, 0.0);
        self.scratch.dz.resize(rows * heads, 0.0);
    }
}
