//! The embedding: a row of a table for each token.

use super::Float;

/// `x[r] = table[ids[r]]`
pub fn forward<F: Float>(table: &[F], d: usize, ids: &[u32]) -> Vec<F> {
    ids.iter().flat_map(|&id| &table[id as usize * d..][..d]).copied().collect()
}

/// Each row of `dx` belongs to the row of the table it was taken from: `dtable[ids[r]] += dx[r]`.
pub fn backward<F: Float>(d: usize, ids: &[u32], dx: &[F], dtable: &mut [F]) {
    for (&id, dx) in ids.iter().zip(dx.chunks_exact(d)) {
        for (to, &dx) in dtable[id as usize * d..][..d].iter_mut().zip(dx) {
            *to += dx;
        }
    }
}
