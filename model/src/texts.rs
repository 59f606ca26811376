//! Whose rows are whose: a forward pass runs the next tokens of one text or of several, and each text has a cache of
//! its own.
//!
//! A row knows of other rows only through attention, and attention looks into one text's cache. So embedding, norms,
//! matrix products and feed-forward layers take all rows together, reading every weight once for all texts, and no
//! text's result depends on the others.

use glassbox_tensor::Team;
use glassbox_tensor::ops::KeyValues;

use crate::kv_cache::KvCache;

/// A text's share of a forward pass.
pub(crate) struct Text<'a> {
    /// What it remembers.
    pub(crate) cache: &'a mut KvCache,
    /// How many tokens are new.
    pub(crate) rows: usize,
}

/// The texts of a forward pass, in the order of their rows.
pub(crate) struct Texts<'s, 'a>(pub(crate) &'s mut [Text<'a>]);

impl<'a> Texts<'_, 'a> {
    /// Where each row stands in its text, `[rows]`.
    pub(crate) fn positions(&self) -> impl Iterator<Item = usize> {
        self.0.iter().flat_map(|text| {
            let first = text.cache.positions();
            first..first + text.rows
        })
    }

    /// What the texts remember of layer `layer`.
    pub(crate) fn layer<'t>(&'t mut self, layer: usize) -> LayerCaches<'t, 'a> {
        LayerCaches { texts: &mut *self.0, layer }
    }
}

/// The keys and values of one layer, of every text.
pub(crate) struct LayerCaches<'t, 'a> {
    texts: &'t mut [Text<'a>],
    layer: usize,
}

impl LayerCaches<'_, '_> {
    /// Appends the new rows' keys and values, both `[rows, n_kv_heads, head_dim]`, to the caches of their texts.
    pub(crate) fn append(&mut self, team: &Team<'_>, k: &[f32], v: &[f32]) {
        let width = k.len() / self.texts.iter().map(|text| text.rows).sum::<usize>().max(1);
        let mut first = 0;
        for text in &mut *self.texts {
            let rows = first * width..(first + text.rows) * width;
            text.cache.layers[self.layer].append(team, &k[rows.clone()], &v[rows]);
            first += text.rows;
        }
    }

    /// The cache, if there is one text only.
    pub(crate) fn only(&self) -> Option<&KeyValues> {
        match &*self.texts {
            [text] => Some(&text.cache.layers[self.layer]),
            _ => None,
        }
    }

    /// Each text's cache and how many of the rows are its own.
    pub(crate) fn each(&self) -> Vec<(&KeyValues, usize)> {
        self.texts.iter().map(|text| (&text.cache.layers[self.layer], text.rows)).collect()
    }
}
