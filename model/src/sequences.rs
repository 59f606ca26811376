//! The sequences of a forward pass: it computes the next tokens of one or several sequences, each with its own cache.
//!
//! Rows interact only in attention, and attention reads only the cache of the row's sequence. So embedding, norms and
//! linear layers process all rows together and read every weight once, and no sequence's result depends on the others.

use glassbox_tensor::Team;
use glassbox_tensor::ops::KeyValues;

use crate::adapter::{Adapter, AdapterRows};
use crate::kv_cache::KvCache;

/// A sequence in a forward pass.
pub(crate) struct Sequence<'a> {
    /// Its keys and values so far.
    pub(crate) cache: &'a mut KvCache,
    /// Its adapter, if any.
    pub(crate) adapter: Option<&'a Adapter>,
    /// Number of new tokens.
    pub(crate) rows: usize,
}

/// The sequences of a forward pass, in the order of their rows.
pub(crate) struct Sequences<'p, 's>(pub(crate) &'p mut [Sequence<'s>]);

impl<'s> Sequences<'_, 's> {
    /// The position of each row in its sequence, `[rows]`.
    pub(crate) fn positions(&self) -> impl Iterator<Item = usize> {
        self.0.iter().flat_map(|sequence| {
            let first = sequence.cache.positions();
            first..first + sequence.rows
        })
    }

    /// The adapter of each row.
    pub(crate) fn adapters(&self) -> AdapterRows<'s> {
        AdapterRows::new(self.0.iter().map(|sequence| (sequence.rows, sequence.adapter)))
    }

    /// The caches of layer `layer`.
    pub(crate) fn layer<'t>(&'t mut self, layer: usize) -> LayerCaches<'t, 's> {
        LayerCaches { sequences: &mut *self.0, layer }
    }
}

/// The keys and values of one layer, of every sequence.
pub(crate) struct LayerCaches<'t, 's> {
    sequences: &'t mut [Sequence<'s>],
    layer: usize,
}

impl LayerCaches<'_, '_> {
    /// Appends the new rows' keys and values, both `[rows, n_kv_heads, head_dim]`, to the caches of their sequences.
    pub(crate) fn append(&mut self, team: &Team<'_>, k: &[f32], v: &[f32]) {
        let width = k.len() / self.sequences.iter().map(|sequence| sequence.rows).sum::<usize>().max(1);
        let mut first = 0;
        for sequence in &mut *self.sequences {
            let rows = first * width..(first + sequence.rows) * width;
            sequence.cache.layers[self.layer].append(team, &k[rows.clone()], &v[rows]);
            first += sequence.rows;
        }
    }

    /// The cache, if there is only one sequence.
    pub(crate) fn only(&self) -> Option<&KeyValues> {
        match &*self.sequences {
            [sequence] => Some(&sequence.cache.layers[self.layer]),
            _ => None,
        }
    }

    /// Each sequence's cache and number of rows.
    pub(crate) fn each(&self) -> Vec<(&KeyValues, usize)> {
        let layer = self.layer;
        self.sequences.iter().map(|sequence| (&sequence.cache.layers[layer], sequence.rows)).collect()
    }
}
