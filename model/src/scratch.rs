//! The scratch buffers of a forward pass, reused from pass to pass.

use glassbox_tensor::ops::Rotation;

use crate::config::{Config, MlpKind, Residual};

/// Scratch buffers for the activations of the tokens of a pass.
pub(crate) struct Scratch {
    sizes: RowSizes,
    /// The position of each token in its sequence, `[tokens]`.
    pub(crate) positions: Vec<usize>,
    /// The residual stream, `[tokens, d_model]`.
    pub(crate) x: Vec<f32>,
    /// The input of a layer: the normed residual stream, `[tokens, d_model]`.
    pub(crate) normed: Vec<f32>,
    /// `[tokens, n_heads, head_dim]`
    pub(crate) q: Vec<f32>,
    /// `[tokens, n_kv_heads, head_dim]`
    pub(crate) k: Vec<f32>,
    /// `[tokens, n_kv_heads, head_dim]`
    pub(crate) v: Vec<f32>,
    /// `[tokens, n_heads, head_dim]`
    pub(crate) z: Vec<f32>,
    /// The output of a branch, `[tokens, d_model]`.
    pub(crate) out: Vec<f32>,
    /// The output of attention, with a parallel residual, `[tokens, d_model]`.
    pub(crate) attention_out: Vec<f32>,
    /// The hidden vector of the MLP, `[tokens, d_ff]`.
    pub(crate) hidden: Vec<f32>,
    /// The linear factor of a gated MLP, `[tokens, d_ff]`.
    pub(crate) gated: Vec<f32>,
    /// The angles of each rotary embedding.
    pub(crate) rotations: Vec<Rotation>,
}

/// Elements per token of each buffer.
struct RowSizes {
    d_model: usize,
    attention_out: usize,
    queries: usize,
    keys: usize,
    hidden: usize,
    gated: usize,
}

impl Scratch {
    pub(crate) fn new(config: &Config) -> Scratch {
        let parallel = config.residual == Residual::Parallel;
        let sizes = RowSizes {
            d_model: config.d_model,
            attention_out: if parallel { config.d_model } else { 0 },
            queries: config.n_heads * config.head_dim,
            keys: config.n_kv_heads * config.head_dim,
            hidden: if matches!(config.mlp, MlpKind::Experts { .. }) { 0 } else { config.d_ff },
            gated: if config.mlp == MlpKind::Gated { config.d_ff } else { 0 },
        };
        Scratch {
            sizes,
            positions: Vec::new(),
            x: Vec::new(),
            normed: Vec::new(),
            q: Vec::new(),
            k: Vec::new(),
            v: Vec::new(),
            z: Vec::new(),
            out: Vec::new(),
            attention_out: Vec::new(),
            hidden: Vec::new(),
            gated: Vec::new(),
            rotations: config.ropes.iter().map(|rope| rope.rotation()).collect(),
        }
    }

    /// Resizes every buffer for tokens at these positions.
    pub(crate) fn fit(&mut self, positions: impl Iterator<Item = usize>) {
        self.positions.clear();
        self.positions.extend(positions);
        let tokens = self.positions.len();
        let sizes = &self.sizes;
        for (buffer, size) in [
            (&mut self.x, sizes.d_model),
            (&mut self.normed, sizes.d_model),
            (&mut self.q, sizes.queries),
            (&mut self.k, sizes.keys),
            (&mut self.v, sizes.keys),
            (&mut self.z, sizes.queries),
            (&mut self.out, sizes.d_model),
            (&mut self.attention_out, sizes.attention_out),
            (&mut self.hidden, sizes.hidden),
            (&mut self.gated, sizes.gated),
        ] {
            buffer.resize(tokens * size, 0.0);
        }
        let end = self.positions.iter().max().map_or(0, |last| last + 1);
        self.rotations.iter_mut().for_each(|rotation| rotation.extend_to(end));
    }
}
