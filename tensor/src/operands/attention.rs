//! The numbers that describe an attention layer, and which cached positions each query attends to.

use std::ops::Range;

use super::KeyValues;

/// The fixed numbers of an attention layer.
#[derive(Clone, Copy, Debug)]
pub struct Attention {
    /// Query heads; a multiple of the cache's key-value heads, which consecutive queries share.
    pub n_heads: usize,
    /// What scores are multiplied by, usually `1/√head_dim`.
    pub scale: f32,
    /// How many positions back a query attends to, its own included; `None`: all of them.
    pub window: Option<usize>,
}

/// The shape of one attention: a layer, a cache and some queries at its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AttentionShape {
    pub(crate) layer: Attention,
    pub(crate) kv_heads: usize,
    pub(crate) head_dim: usize,
    /// Cached positions.
    pub(crate) positions: usize,
    /// Tokens with queries, the last of the positions.
    pub(crate) rows: usize,
    /// Query heads that share a key-value head.
    pub(crate) group: usize,
}

impl AttentionShape {
    /// For queries of `q_len` elements in all.
    ///
    /// # Panics
    /// If they are not whole rows, there are more rows than cached positions, or the query heads are not a multiple of
    /// the key-value heads.
    pub(crate) fn new(layer: Attention, cache: &KeyValues, q_len: usize) -> AttentionShape {
        let (kv_heads, head_dim, positions) = (cache.kv_heads(), cache.head_dim(), cache.positions());
        let width = layer.n_heads * head_dim;
        assert!(
            width > 0 && q_len.is_multiple_of(width),
            "attention: length {q_len} of the queries is not a multiple of n_heads · head_dim = {width}"
        );
        let rows = q_len / width;
        assert!(rows <= positions, "attention: {rows} queries, but {positions} cached positions");
        assert!(
            kv_heads > 0 && layer.n_heads.is_multiple_of(kv_heads),
            "attention: {} query heads are not a multiple of {kv_heads} key-value heads",
            layer.n_heads,
        );
        AttentionShape { layer, kv_heads, head_dim, positions, rows, group: layer.n_heads / kv_heads }
    }

    /// Elements of `[n_heads, rows, positions]`: the scores of all queries.
    pub(crate) fn scores(&self) -> usize {
        self.layer.n_heads * self.rows * self.positions
    }

    /// The positions that the query of row `row` attends to.
    pub(crate) fn visible(&self, row: usize) -> Range<usize> {
        let end = self.positions - self.rows + row + 1;
        self.layer.window.map_or(0, |window| end.saturating_sub(window))..end
    }
}
