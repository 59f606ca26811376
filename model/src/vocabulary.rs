//! Embedding and unembedding: the vectors of all tokens at the input and the output of the model.

use glassbox_tensor::{PackedMatrix, Team};

use crate::adapter::AdapterRows;
use crate::linear::{Product, forward_products};
use crate::spec::{Role, Site};

/// Embedding and unembedding.
pub struct Vocabulary {
    /// `[vocab_size, d_model]`: row `id` is the vector of token `id`.
    pub embedding: PackedMatrix,
    /// `[vocab_size, d_model]`; `None` if tied to the embedding.
    pub unembedding: Option<PackedMatrix>,
    /// Factor of the embedding's rows.
    pub scale: f32,
}

impl Vocabulary {
    /// Writes the embeddings of `ids` to `out`, `[ids.len(), d_model]`, with the rows' adapters.
    pub(crate) fn embed(&self, adapters: &AdapterRows<'_>, ids: &[u32], out: &mut [f32]) {
        adapters.embed(Role::Embedding, &self.embedding, ids.iter().map(|&id| id as usize), out);
        if self.scale != 1.0 {
            out.iter_mut().for_each(|x| *x *= self.scale);
        }
    }

    /// Computes the logits: `x` is `[rows, d_model]`, `logits` is `[rows, vocab_size]`, with the rows' adapters.
    pub(crate) fn unembed(&self, team: &Team<'_>, adapters: &AdapterRows<'_>, x: &[f32], logits: &mut [f32]) {
        let (site, weight) = (Site::outside(Role::Unembedding), self.unembedding());
        forward_products(team, adapters, x, [Product { site, weight, bias: None, out: logits }]);
    }

    /// The unembedding matrix, `[vocab_size, d_model]`.
    pub fn unembedding(&self) -> &PackedMatrix {
        self.unembedding.as_ref().unwrap_or(&self.embedding)
    }

    /// Bytes in memory.
    pub fn size_bytes(&self) -> usize {
        self.embedding.size_bytes() + self.unembedding.as_ref().map_or(0, PackedMatrix::size_bytes)
    }
}
