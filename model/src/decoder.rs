//! The decoder, from token ids to the vectors that the next tokens are read from.
//!
//! Tokens enter as ids and are looked up as one vector each. Each block adds to these vectors twice. At the end the last
//! vector is compared with the vector of every token in the vocabulary, and the best match is the likeliest next token:
//! the *unembedding*, which comes after this pass ([`Vocabulary::unembed`]).
//!
//! Every family is this one loop; [`families`](crate::families) says how each fills it in.

use glassbox_tensor::{PackedMatrix, ops};

use crate::block::{Block, Pass};
use crate::hooks::{HookPoint, Observer};
use crate::linear::Linear;
use crate::norm::Norm;
use crate::scratch::Scratch;
use crate::vocabulary::Vocabulary;

/// The parameters of a decoder.
pub struct Decoder {
    /// The vectors of the tokens.
    pub vocabulary: Vocabulary,
    /// `[context_length, d_model]`: a vector for each position, with learned positions.
    pub positions: Option<PackedMatrix>,
    /// The blocks, in order.
    pub blocks: Vec<Block>,
    /// The norm in front of the unembedding.
    pub final_norm: Norm,
}

impl Decoder {
    /// Runs the tokens `ids`, each following those in the cache of its sequence. Leaves the normed final vectors
    /// `[tokens, d_model]` in `scratch.normed`.
    pub(crate) fn forward<O: Observer>(
        &self,
        pass: &mut Pass<'_, '_, O>,
        ids: &[u32],
        scratch: &mut Scratch,
    ) {
        scratch.fit(pass.sequences.positions());

        // x [tokens, d_model] = what each token is (+ where it stands)
        self.vocabulary.embed(ids, &mut scratch.x);
        pass.see_stream(HookPoint::Embed, &mut scratch.x);
        if let Some(table) = &self.positions {
            let rows = scratch.out.chunks_exact_mut(table.inputs());
            scratch.positions.iter().zip(rows).for_each(|(&position, out)| table.row(position, out));
            pass.see_stream(HookPoint::PositionEmbed, &mut scratch.out);
            ops::add(pass.team, &mut scratch.x, &scratch.out);
        }

        for (layer, block) in self.blocks.iter().enumerate() {
            pass.hooks.layer = Some(layer);
            block.forward(pass, scratch);
        }
        pass.hooks.layer = None;

        self.final_norm.forward(pass.team, &scratch.x, &mut scratch.normed);
        pass.see_stream(HookPoint::FinalNorm, &mut scratch.normed);
    }

    /// The linear layers of all blocks, with the share of the tokens that use each.
    pub(crate) fn linears(&self) -> impl Iterator<Item = (&Linear, f64)> {
        self.blocks.iter().flat_map(|block| {
            let Block { attention, mlp, .. } = block;
            let layer = &attention.layer;
            let attention = [&layer.q, &layer.k, &layer.v, &layer.out].map(|linear| (linear, 1.0));
            attention.into_iter().chain(mlp.layer.linears())
        })
    }
}
