//! Attention patterns: the matrix of one head, and the rows of all heads for other views.
//!
//! For each head, attention is a weighted graph over the tokens, with an edge from each token to itself and to each
//! earlier token. The weights of a token's edges sum to 1. Vig, "A multiscale visualization of attention in the
//! transformer model" (2019).

use crate::hooks::{HookPoint, Observed, Observer, ViewError, check};
use crate::runtime::Runtime;

/// The attention pattern of one head.
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionPattern {
    /// The number of tokens.
    pub tokens: usize,
    /// `[tokens, tokens]`: each row has one token's attention weights.
    pub weights: Vec<f32>,
}

impl AttentionPattern {
    /// The pattern of head `head` of layer `layer` over `ids`.
    ///
    /// # Errors
    /// [`ViewError::OutOfRange`] for a layer or head, or errors of [`Session::feed`](crate::Session::feed).
    pub fn of(
        model: &Runtime,
        ids: &[u32],
        layer: usize,
        head: usize,
    ) -> Result<AttentionPattern, ViewError> {
        check("layer", layer, model.config.n_layers)?;
        check("head", head, model.config.n_heads)?;
        let mut weights = vec![0.0; ids.len() * ids.len()];
        let mut copy =
            |query: usize, row: &[f32]| weights[query * ids.len()..][..row.len()].copy_from_slice(row);
        let mut rows = PatternRows {
            layer: Some(layer),
            each: |_, of, query, row: &[f32]| {
                if of == head {
                    copy(query, row);
                }
            },
        };
        model.session(usize::MAX).feed_observed(ids, &mut rows)?;
        Ok(AttentionPattern { tokens: ids.len(), weights })
    }

    /// The attention weights of the token at `query` on each token up to itself.
    ///
    /// # Panics
    /// If `query` is out of range.
    pub fn row(&self, query: usize) -> &[f32] {
        &self.weights[query * self.tokens..][..=query]
    }
}

/// Calls `each(layer, head, query, row)` for every row of every pattern, of one layer or of all; a row ends with the
/// token itself.
pub(super) struct PatternRows<F> {
    pub(super) layer: Option<usize>,
    pub(super) each: F,
}

impl<F: FnMut(usize, usize, usize, &[f32]) + Send> Observer for PatternRows<F> {
    fn wants(&self, point: HookPoint, layer: Option<usize>) -> bool {
        point == HookPoint::Pattern && (self.layer.is_none() || self.layer == layer)
    }

    fn see(&mut self, observed: Observed<'_>) {
        let [_, tokens, positions] = observed.shape;
        for (i, row) in observed.values.chunks_exact(positions).enumerate() {
            let (head, query) = (i / tokens, observed.first_position + i % tokens);
            (self.each)(observed.layer.unwrap_or(0), head, query, &row[..=query]);
        }
    }
}
