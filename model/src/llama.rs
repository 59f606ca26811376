//! Llama and its kin (SmolLM2, Mistral, Qwen 2, Qwen 3): GPT-2 with four parts exchanged.
//!
//! Read [`gpt2`](crate::gpt2) first. What differs:
//! - **RMS norm** instead of layer norm: no mean is taken off, no bias added.
//! - **Rotary positions**: no vector is added to the stream; queries and keys are turned by their position.
//! - **Grouped queries**: several heads share one key-value head, so the cache is smaller.
//! - **A gated feed-forward layer**: `silu(gate) · up` in place of `gelu(in)`.
//!
//! The rest is optional parts: biases (Qwen 2), a norm on queries and keys (Qwen 3), a sliding window (Mistral).
//!
//! Touvron et al., "Llama 2" (2023); Shazeer, "GLU variants improve transformer" (2020).

use glassbox_tensor::Team;
use glassbox_tensor::ops::{self, Activation, Attention};

use crate::attend::attend;
use crate::config::Config;
use crate::layers::{Linear, RmsNorm, Vocabulary, forward_each};
use crate::observe::{Observer, Place, Watch};
use crate::scratch::Scratch;
use crate::texts::{LayerCaches, Texts};

/// The parameters of a Llama.
pub struct Llama {
    /// A vector for each token, and the way back.
    pub vocabulary: Vocabulary,
    /// The blocks, in order.
    pub blocks: Vec<Block>,
    /// The norm in front of the unembedding.
    pub norm_final: RmsNorm,
}

/// One block: attention, then feed-forward, each reading a normed copy of the stream.
pub struct Block {
    /// In front of attention.
    pub norm1: RmsNorm,
    /// What each token asks for, `n_heads` times.
    pub q: Linear,
    /// What each token offers to be found by, `n_kv_heads` times.
    pub k: Linear,
    /// What each token hands over when it is found, `n_kv_heads` times.
    pub v: Linear,
    /// Norms each head's query, weight `[head_dim]` (Qwen 3).
    pub q_norm: Option<RmsNorm>,
    /// Norms each head's key, weight `[head_dim]` (Qwen 3).
    pub k_norm: Option<RmsNorm>,
    /// From the heads' results back to the stream.
    pub attention_out: Linear,
    /// The number of heads, the scale of the scores, the window.
    pub attention: Attention,
    /// In front of the feed-forward layer.
    pub norm2: RmsNorm,
    /// `d_ff` questions to each vector, `d_model → d_ff`: the activation of each is the factor by which its answer counts.
    pub gate: Linear,
    /// The answers, `d_model → d_ff`.
    pub up: Linear,
    /// The gate's activation function.
    pub activation: Activation,
    /// What the counted answers add to the stream: `d_ff → d_model`.
    pub down: Linear,
}

impl Llama {
    /// Runs the tokens `ids`, which follow those in the cache of their text: usually there is one text. Leaves the
    /// normed final vectors `[tokens, d_model]` in `scratch.normed`.
    pub(crate) fn forward<O: Observer>(
        &self,
        team: &Team<'_>,
        config: &Config,
        ids: &[u32],
        texts: &mut Texts<'_, '_>,
        scratch: &mut Scratch,
        watch: &mut Watch<'_, O>,
    ) {
        let (tokens, stream) = (ids.len(), [config.d_model, 1]);
        scratch.fit(texts.positions());

        self.vocabulary.embed(ids, &mut scratch.x);
        watch.rows(Place::Embed, tokens, stream, &mut scratch.x);

        for (layer, block) in self.blocks.iter().enumerate() {
            watch.layer = Some(layer);
            watch.rows(Place::ResidPre, tokens, stream, &mut scratch.x);
            block.attention(team, config, &mut texts.layer(layer), scratch, tokens, watch);
            ops::add(team, &mut scratch.x, &scratch.out);
            watch.rows(Place::ResidMid, tokens, stream, &mut scratch.x);
            block.feed_forward(team, config, scratch, tokens, watch);
            ops::add(team, &mut scratch.x, &scratch.out);
            watch.rows(Place::ResidPost, tokens, stream, &mut scratch.x);
        }
        watch.layer = None;

        self.norm_final.forward(team, &scratch.x, &mut scratch.normed);
        watch.rows(Place::NormFinal, tokens, stream, &mut scratch.normed);
    }
}

impl Block {
    /// `out = attention(norm1(x))`: tokens exchange information.
    fn attention<O: Observer>(
        &self,
        team: &Team<'_>,
        config: &Config,
        caches: &mut LayerCaches<'_, '_>,
        scratch: &mut Scratch,
        tokens: usize,
        watch: &mut Watch<'_, O>,
    ) {
        let Scratch { positions, x, normed, q, k, v, z, out, rotation, .. } = scratch;
        let (n_heads, n_kv_heads, head_dim) = (config.n_heads, config.n_kv_heads, config.head_dim);

        self.norm1.forward(team, x, normed);
        watch.rows(Place::Norm1, tokens, [config.d_model, 1], normed);
        forward_each(team, normed, [(&self.q, q), (&self.k, k), (&self.v, v)]);
        // z is free until attention fills it.
        norm_heads(team, self.q_norm.as_ref(), q, z);
        norm_heads(team, self.k_norm.as_ref(), k, z);
        watch.rows(Place::Q, tokens, [n_heads, head_dim], q);
        watch.rows(Place::K, tokens, [n_kv_heads, head_dim], k);
        watch.rows(Place::V, tokens, [n_kv_heads, head_dim], v);

        if let Some(rotation) = rotation {
            ops::rotate(team, q, n_heads, head_dim, rotation, positions);
            ops::rotate(team, k, n_kv_heads, head_dim, rotation, positions);
            watch.rows(Place::RotQ, tokens, [n_heads, head_dim], q);
            watch.rows(Place::RotK, tokens, [n_kv_heads, head_dim], k);
        }

        caches.append(team, k, v);
        attend(team, self.attention, q, caches, z, tokens, watch);
        watch.rows(Place::Z, tokens, [n_heads, head_dim], z);

        self.attention_out.forward(team, z, out);
        watch.rows(Place::AttentionOut, tokens, [config.d_model, 1], out);
    }

    /// `out = down(activation(gate(norm2(x))) · up(norm2(x)))`: each token alone answers `d_ff` questions.
    fn feed_forward<O: Observer>(
        &self,
        team: &Team<'_>,
        config: &Config,
        scratch: &mut Scratch,
        tokens: usize,
        watch: &mut Watch<'_, O>,
    ) {
        let Scratch { x, normed, hidden, up, out, .. } = scratch;

        self.norm2.forward(team, x, normed);
        watch.rows(Place::Norm2, tokens, [config.d_model, 1], normed);
        forward_each(team, normed, [(&self.gate, hidden), (&self.up, up)]);
        watch.rows(Place::MlpPre, tokens, [config.d_ff, 1], hidden);
        watch.rows(Place::MlpPreLinear, tokens, [config.d_ff, 1], up);
        ops::gate(team, self.activation, hidden, up);
        watch.rows(Place::MlpPost, tokens, [config.d_ff, 1], hidden);
        self.down.forward(team, hidden, out);
        watch.rows(Place::MlpOut, tokens, [config.d_model, 1], out);
    }
}

/// Norms every head of `x` in place, if there is a norm. `spare` is a buffer at least as long as `x`.
fn norm_heads(team: &Team<'_>, norm: Option<&RmsNorm>, x: &mut [f32], spare: &mut [f32]) {
    if let Some(norm) = norm {
        let spare = &mut spare[..x.len()];
        norm.forward(team, x, spare);
        x.copy_from_slice(spare);
    }
}
