//! The vocabulary's vectors: a token's row enters the model, and at its end every row is scored.

use glassbox_tensor::{PackedMatrix, Team, ops};

/// Embedding and unembedding.
pub struct Vocabulary {
    /// `[vocab_size, d_model]`: row `id` is the vector of token `id`.
    pub embedding: PackedMatrix,
    /// `[vocab_size, d_model]`; `None` if it is the embedding.
    pub unembedding: Option<PackedMatrix>,
    /// What the rows of the embedding are multiplied by.
    pub scale: f32,
}

impl Vocabulary {
    /// Writes the vectors of `ids` to `out`, `[ids.len(), d_model]`.
    pub fn embed(&self, ids: &[u32], out: &mut [f32]) {
        for (&id, out) in ids.iter().zip(out.chunks_exact_mut(self.embedding.inputs())) {
            self.embedding.row(id as usize, out);
            if self.scale != 1.0 {
                out.iter_mut().for_each(|x| *x *= self.scale);
            }
        }
    }

    /// One score for every token: `x` is `[rows, d_model]`, `logits` is `[rows, vocab_size]`.
    pub fn unembed(&self, team: &Team<'_>, x: &[f32], logits: &mut [f32]) {
        ops::matmul(team, x, self.unembedding(), logits);
    }

    /// The matrix that scores every token, `[vocab_size, d_model]`.
    pub fn unembedding(&self) -> &PackedMatrix {
        self.unembedding.as_ref().unwrap_or(&self.embedding)
    }

    /// Bytes in memory.
    pub fn size_bytes(&self) -> usize {
        self.embedding.size_bytes() + self.unembedding.as_ref().map_or(0, PackedMatrix::size_bytes)
    }
}
