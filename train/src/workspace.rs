//! The memory of a step: what the forward pass leaves for the backward pass, and room that both share.

use glassbox_model::Config;

/// Everything a pass writes besides the gradients. Kept from step to step.
#[derive(Debug, Default)]
pub(crate) struct Workspace {
    /// The residual stream in front of each block and behind the last, each `[texts · tokens, d_model]`.
    pub(crate) streams: Vec<Vec<f32>>,
    /// One a block; only one if blocks are recomputed.
    pub(crate) kept: Vec<Kept>,
    pub(crate) room: Room,
}

/// What the backward pass needs of a block and could only get by computing the block again.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// `[texts · tokens, (n_heads + 2 · n_kv_heads) · head_dim]`
    pub(crate) qkv: Vec<f32>,
    /// The largest score and the sum of each softmax: `[texts, n_heads, tokens]`
    pub(crate) peaks: Vec<[f32; 2]>,
    /// `[texts · tokens, n_heads · head_dim]`
    pub(crate) z: Vec<f32>,
    /// The stream between attention and feed-forward, `[texts · tokens, d_model]`.
    pub(crate) mid: Vec<f32>,
    /// In front of the activation, `[texts · tokens, d_ff]`.
    pub(crate) before: Vec<f32>,
    /// What activations are multiplied by, `[texts · tokens, d_ff]`; empty without a gate.
    pub(crate) up: Vec<f32>,
}

/// Buffers that are free again after each layer.
#[derive(Debug, Default)]
pub(crate) struct Room {
    /// `[texts · tokens, d_model]`
    pub(crate) normed: Vec<f32>,
    /// `[texts · tokens, d_ff]`
    pub(crate) hidden: Vec<f32>,
    /// The derivative by the stream, `[texts · tokens, d_model]`.
    pub(crate) dx: Vec<f32>,
    /// The derivative by a normed stream, `[texts · tokens, d_model]`.
    pub(crate) dnormed: Vec<f32>,
    /// The derivative by the heads' results, `[texts · tokens, n_heads · head_dim]`.
    pub(crate) dz: Vec<f32>,
    /// The derivative by queries, keys and values or by the feed-forward layer's neurons.
    pub(crate) dwide: Vec<f32>,
    /// `dx` with what dropout left out left out; empty without dropout.
    pub(crate) dropped: Vec<f32>,
    /// Some rows of the final norm's results.
    pub(crate) picked: Vec<f32>,
    /// Some rows of logits.
    pub(crate) logits: Vec<f32>,
}

impl Workspace {
    /// Makes every buffer of the forward pass as long as `texts` texts of `tokens` tokens need it.
    pub(crate) fn fit(&mut self, config: &Config, gated: bool, texts: usize, tokens: usize, recompute: bool) {
        let rows = texts * tokens;
        self.streams.resize_with(config.n_layers + 1, Vec::new);
        self.streams.iter_mut().for_each(|stream| stream.resize(rows * config.d_model, 0.0));
        self.kept.resize_with(if recompute { 1 } else { config.n_layers }, Kept::default);
        for kept in &mut self.kept {
            let heads = config.n_heads * config.head_dim;
            kept.qkv.resize(rows * (heads + 2 * config.n_kv_heads * config.head_dim), 0.0);
            kept.peaks.resize(texts * config.n_heads * tokens, [0.0; 2]);
            kept.z.resize(rows * heads, 0.0);
            kept.mid.resize(rows * config.d_model, 0.0);
            kept.before.resize(rows * config.d_ff, 0.0);
            kept.up.resize(if gated { rows * config.d_ff } else { 0 }, 0.0);
        }
        self.room.normed.resize(rows * config.d_model, 0.0);
        self.room.hidden.resize(rows * config.d_ff, 0.0);
    }

    /// The same for the backward pass.
    pub(crate) fn fit_backward(&mut self, config: &Config, rows: usize) {
        let heads = config.n_heads * config.head_dim;
        self.room.dx.resize(rows * config.d_model, 0.0);
        self.room.dnormed.resize(rows * config.d_model, 0.0);
        self.room.dz.resize(rows * heads, 0.0);
    }
}
