//! The buffers of a forward pass, kept from one to the next.

use glassbox_tensor::ops::Rotation;

use crate::config::Config;

/// Room for the activations of some tokens. Which value is where is said by the forward pass.
pub(crate) struct Scratch {
    sizes: Sizes,
    /// Where each token stands in its text, `[tokens]`.
    pub(crate) positions: Vec<usize>,
    /// The residual stream, `[tokens, d_model]`.
    pub(crate) x: Vec<f32>,
    /// What a norm made of it, `[tokens, d_model]`.
    pub(crate) normed: Vec<f32>,
    /// `[tokens, n_heads, head_dim]`
    pub(crate) q: Vec<f32>,
    /// `[tokens, n_kv_heads, head_dim]`
    pub(crate) k: Vec<f32>,
    /// `[tokens, n_kv_heads, head_dim]`
    pub(crate) v: Vec<f32>,
    /// `[tokens, n_heads, head_dim]`
    pub(crate) z: Vec<f32>,
    /// What attention or the feed-forward layer adds to the residual stream, `[tokens, d_model]`.
    pub(crate) out: Vec<f32>,
    /// The feed-forward layer's neurons, `[tokens, d_ff]`.
    pub(crate) hidden: Vec<f32>,
    /// The ungated half of a gated feed-forward layer, `[tokens, d_ff]`.
    pub(crate) up: Vec<f32>,
    /// The angles of rotary positions.
    pub(crate) rotation: Option<Rotation>,
}

struct Sizes {
    d_model: usize,
    queries: usize,
    keys: usize,
    d_ff: usize,
}

impl Scratch {
    pub(crate) fn new(config: &Config) -> Scratch {
        let sizes = Sizes {
            d_model: config.d_model,
            queries: config.n_heads * config.head_dim,
            keys: config.n_kv_heads * config.head_dim,
            d_ff: config.d_ff,
        };
        let rotation = config.rope.as_ref().map(|rope| rope.rotation(config.head_dim));
        let none = Vec::new;
        Scratch {
            sizes,
            positions: Vec::new(),
            x: none(),
            normed: none(),
            q: none(),
            k: none(),
            v: none(),
            z: none(),
            out: none(),
            hidden: none(),
            up: none(),
            rotation,
        }
    }

    /// Makes every buffer as long as tokens at these positions need.
    pub(crate) fn fit(&mut self, positions: impl Iterator<Item = usize>) {
        self.positions.clear();
        self.positions.extend(positions);
        let tokens = self.positions.len();
        let Sizes { d_model, queries, keys, d_ff } = self.sizes;
        for buffer in [&mut self.x, &mut self.normed, &mut self.out] {
            buffer.resize(tokens * d_model, 0.0);
        }
        for buffer in [&mut self.q, &mut self.z] {
            buffer.resize(tokens * queries, 0.0);
        }
        for buffer in [&mut self.k, &mut self.v] {
            buffer.resize(tokens * keys, 0.0);
        }
        self.hidden.resize(tokens * d_ff, 0.0);
        // The families with rotary positions are those with a gate.
        if let Some(rotation) = &mut self.rotation {
            self.up.resize(tokens * d_ff, 0.0);
            rotation.extend_to(self.positions.iter().max().map_or(0, |last| last + 1));
        }
    }
}
