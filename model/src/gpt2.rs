//! GPT-2, from token ids to the vector that the next token is read from. **Start here.**
//!
//! A text enters as token ids and is looked up as one vector a token. Each block then adds to these
//! vectors twice: attention lets tokens exchange information, the feed-forward layer works on each token
//! alone. Nothing is ever overwritten, only added, so one vector runs through the whole model like a
//! stream: the *residual stream* `x`. At the end its last vector is compared with the vector of every
//! token in the vocabulary, and the best match is the likeliest next token: the *unembedding*, which comes after this
//! pass ([`Vocabulary::unembed`]).
//!
//! Attention works in `n_heads` *heads*. Each has its own `head_dim` components of every query, key and value, and
//! computes `z = softmax(scale · q·kᵀ) · v`, where a token sees itself and those before it (`attend.rs`). So the keys and
//! values of a token never change once they are computed: they stay in the *cache* of their text, and a pass runs new
//! tokens only.
//!
//! `team` is the threads, and `watch.rows(…)` shows a value to whoever looks on: skip it at first.
//!
//! Radford et al., "Language models are unsupervised multitask learners" (2019).

use glassbox_tensor::ops::{self, Activation, Attention};
use glassbox_tensor::{PackedMatrix, Team};

use crate::attend::attend;
use crate::config::Config;
use crate::layers::{LayerNorm, Linear, Vocabulary, forward_each};
use crate::observe::{Observer, Place, Watch};
use crate::scratch::Scratch;
use crate::texts::{LayerCaches, Texts};

/// The parameters of a GPT-2.
pub struct Gpt2 {
    /// A vector for each token, and the way back.
    pub vocabulary: Vocabulary,
    /// `[context_length, d_model]`: a vector for each position.
    pub positions: PackedMatrix,
    /// The blocks, in order.
    pub blocks: Vec<Block>,
    /// The norm in front of the unembedding.
    pub norm_final: LayerNorm,
}

/// One block: attention, then feed-forward, each reading a normed copy of the stream.
pub struct Block {
    /// In front of attention.
    pub norm1: LayerNorm,
    /// What each token asks for: `d_model → n_heads · head_dim`.
    pub q: Linear,
    /// What each token offers to be found by: `d_model → n_heads · head_dim`.
    pub k: Linear,
    /// What each token hands over when it is found: `d_model → n_heads · head_dim`.
    pub v: Linear,
    /// From the heads' results back to the stream: `n_heads · head_dim → d_model`.
    pub attention_out: Linear,
    /// The number of heads and the scale of the scores.
    pub attention: Attention,
    /// In front of the feed-forward layer.
    pub norm2: LayerNorm,
    /// `d_ff` questions to each vector: `d_model → d_ff`.
    pub mlp_in: Linear,
    /// How strongly a question counts as answered with yes.
    pub activation: Activation,
    /// What each yes adds to the stream: `d_ff → d_model`.
    pub mlp_out: Linear,
}

impl Gpt2 {
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
        // What a token has in the stream; with heads the shape has two dimensions.
        let (tokens, row) = (ids.len(), [config.d_model, 1]);
        scratch.fit(texts.positions());

        // x [tokens, d_model] = what the token is + where it stands
        self.vocabulary.embed(ids, &mut scratch.x);
        watch.rows(Place::Embed, tokens, row, &mut scratch.x);
        for (&position, out) in scratch.positions.iter().zip(scratch.out.chunks_exact_mut(config.d_model)) {
            self.positions.row(position, out);
        }
        watch.rows(Place::PositionEmbed, tokens, row, &mut scratch.out);
        ops::add(team, &mut scratch.x, &scratch.out);

        for (layer, block) in self.blocks.iter().enumerate() {
            watch.layer = Some(layer);
            watch.rows(Place::ResidPre, tokens, row, &mut scratch.x);
            block.attention(team, config, &mut texts.layer(layer), scratch, tokens, watch);
            ops::add(team, &mut scratch.x, &scratch.out);
            watch.rows(Place::ResidMid, tokens, row, &mut scratch.x);
            block.feed_forward(team, config, scratch, tokens, watch);
            ops::add(team, &mut scratch.x, &scratch.out);
            watch.rows(Place::ResidPost, tokens, row, &mut scratch.x);
        }
        watch.layer = None;

        self.norm_final.forward(team, &scratch.x, &mut scratch.normed);
        watch.rows(Place::NormFinal, tokens, row, &mut scratch.normed);
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
        // x, normed, out: [tokens, d_model]; q, k, v, z: [tokens, n_heads, head_dim]
        let Scratch { x, normed, q, k, v, z, out, .. } = scratch;
        let heads = [config.n_heads, config.head_dim];

        self.norm1.forward(team, x, normed);
        watch.rows(Place::Norm1, tokens, [config.d_model, 1], normed);
        forward_each(team, normed, [(&self.q, q), (&self.k, k), (&self.v, v)]);
        watch.rows(Place::Q, tokens, heads, q);
        watch.rows(Place::K, tokens, heads, k);
        watch.rows(Place::V, tokens, heads, v);

        caches.append(team, k, v);
        attend(team, self.attention, q, caches, z, tokens, watch);
        watch.rows(Place::Z, tokens, heads, z);

        self.attention_out.forward(team, z, out);
        watch.rows(Place::AttentionOut, tokens, [config.d_model, 1], out);
    }

    /// `out = mlp(norm2(x))`: each token alone answers `d_ff` questions.
    fn feed_forward<O: Observer>(
        &self,
        team: &Team<'_>,
        config: &Config,
        scratch: &mut Scratch,
        tokens: usize,
        watch: &mut Watch<'_, O>,
    ) {
        // x, normed, out: [tokens, d_model]; hidden: [tokens, d_ff]
        let Scratch { x, normed, hidden, out, .. } = scratch;

        self.norm2.forward(team, x, normed);
        watch.rows(Place::Norm2, tokens, [config.d_model, 1], normed);
        self.mlp_in.forward(team, normed, hidden);
        watch.rows(Place::MlpPre, tokens, [config.d_ff, 1], hidden);
        ops::activate(team, self.activation, hidden);
        watch.rows(Place::MlpPost, tokens, [config.d_ff, 1], hidden);
        self.mlp_out.forward(team, hidden, out);
        watch.rows(Place::MlpOut, tokens, [config.d_model, 1], out);
    }
}
