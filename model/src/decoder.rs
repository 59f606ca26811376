//! The decoder: from token ids to the final normed vectors, `[tokens, d_model]`.
//!
//! Each token id selects a row of the embedding matrix: the start of its residual stream. Each block adds to the stream
//! twice, once from attention and once from the MLP. After the final norm, the *unembedding*
//! ([`Vocabulary::unembedding`]) takes the dot product with a vector for every token of the vocabulary: the logits.
//!
//! All families share this loop; [`families`](crate::families) describes their differences.

use glassbox_tensor::{PackedMatrix, ops};

use crate::block::Block;
use crate::config::Config;
use crate::hooks::{HookPoint, Observer};
use crate::linear::Linear;
use crate::norm::Norm;
use crate::pass::Pass;
use crate::scratch::Scratch;
use crate::spec::{Role, Site};
use crate::vocabulary::Vocabulary;

/// Where a forward pass starts.
#[derive(Clone, Copy)]
pub(crate) enum Start<'a> {
    /// At the embedding of these tokens.
    Ids(&'a [u32]),
    /// At block `layer`, with the residual stream that enters it, `[tokens, d_model]`. The blocks before it are not
    /// computed, and their caches are not filled.
    Stream {
        /// The first block to compute.
        layer: usize,
        /// `[tokens, d_model]`
        x: &'a [f32],
    },
}

impl Start<'_> {
    /// Number of tokens.
    pub(crate) fn tokens(self, config: &Config) -> usize {
        match self {
            Start::Ids(ids) => ids.len(),
            Start::Stream { x, .. } => x.len() / config.d_model,
        }
    }
}

/// The parameters of a decoder.
pub struct Decoder {
    /// Embedding and unembedding.
    pub vocabulary: Vocabulary,
    /// Position embeddings, `[context_length, d_model]`, if they are learned.
    pub positions: Option<PackedMatrix>,
    /// The blocks, in order.
    pub blocks: Vec<Block>,
    /// The norm before the unembedding.
    pub final_norm: Norm,
}

impl Decoder {
    /// Runs tokens that follow those in the caches of their sequences. Leaves the final normed vectors,
    /// `[tokens, d_model]`, in `scratch.normed`.
    pub(crate) fn forward<O: Observer>(
        &self,
        pass: &mut Pass<'_, '_, O>,
        start: Start<'_>,
        scratch: &mut Scratch,
    ) {
        scratch.fit(pass.sequences.positions());
        let first = match start {
            Start::Ids(ids) => {
                self.embed(pass, ids, scratch);
                0
            }
            Start::Stream { layer, x } => {
                scratch.x.copy_from_slice(x);
                layer
            }
        };

        for (layer, block) in self.blocks.iter().enumerate().skip(first) {
            pass.hooks.layer = Some(layer);
            block.forward(pass, scratch);
        }
        pass.hooks.layer = None;

        let site = Site::outside(Role::FinalNorm);
        pass.adapters.norm(pass.team, site, &self.final_norm, &scratch.x, &mut scratch.normed);
        pass.see_stream(HookPoint::FinalNorm, &mut scratch.normed);
    }

    /// Starts the residual stream of the tokens `ids` in `scratch.x`.
    fn embed<O: Observer>(&self, pass: &mut Pass<'_, '_, O>, ids: &[u32], scratch: &mut Scratch) {
        // x [tokens, d_model] = embedding (+ position embedding)
        self.vocabulary.embed(&pass.adapters, ids, &mut scratch.x);
        pass.see_stream(HookPoint::Embed, &mut scratch.x);
        if let Some(table) = &self.positions {
            let positions = scratch.positions.iter().copied();
            pass.adapters.embed(Role::Positions, table, positions, &mut scratch.out);
            pass.see_stream(HookPoint::PositionEmbed, &mut scratch.out);
            ops::add(pass.team, &mut scratch.x, &scratch.out);
        }
    }

    /// The norm at a site, if there is one.
    pub(crate) fn norm(&self, site: Site) -> Option<&Norm> {
        if site.role == Role::FinalNorm {
            return Some(&self.final_norm);
        }
        let Block { attention, mlp, .. } = self.blocks.get(site.layer?)?;
        match site.role {
            Role::AttentionNorm => attention.pre.as_ref(),
            Role::AttentionPostNorm => attention.post.as_ref(),
            Role::QNorm => attention.layer.q_norm.as_ref(),
            Role::KNorm => attention.layer.k_norm.as_ref(),
            Role::MlpNorm => mlp.pre.as_ref(),
            Role::MlpPostNorm => mlp.post.as_ref(),
            _ => None,
        }
    }

    /// The linear layers of all blocks, each with the fraction of tokens that use it.
    pub(crate) fn linears(&self) -> impl Iterator<Item = (&Linear, f64)> {
        self.blocks.iter().flat_map(|block| {
            let Block { attention, mlp, .. } = block;
            let layer = &attention.layer;
            let attention = [&layer.q, &layer.k, &layer.v, &layer.out].map(|linear| (linear, 1.0));
            attention.into_iter().chain(mlp.layer.linears())
        })
    }
}
