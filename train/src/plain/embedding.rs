//! The embedding: a row of a matrix for each token.

use super::Float;

/// `x[r] = table[ids[r]]`
pub fn forward<F: Float>(table: &[F], d: usize, ids: &[u32]) -> Vec<F> {
    ids.iter().flat_map(|&id| &table[id as usize * d..][..d]).copied().collect()
}

/// The gradient of each table row is the sum over the tokens that read it: `dtable[ids[r]] += dx[r]`.
pub fn backward<F: Float>(d: usize, ids: &[u32], dx: &[F], dtable: &mut [F]) {
    for (&id, dx) in ids.iter().zip(dx.chunks_exact(d)) {
        for (to, &dx) in dtable[id as usize * d..][..d].iter_mut().zip(dx) {
            *to += dx;
        }
    }
}
