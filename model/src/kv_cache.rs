//! The key-value cache: the keys and values of every token so far, for every layer.
//!
//! A token's key and value never change once computed, since attention is causal. With the cache a new token costs one
//! token's computation instead of the whole sequence's.

use glassbox_tensor::CacheFormat;
use glassbox_tensor::ops::KeyValues;

use crate::config::Config;

/// The cached keys and values of all layers.
#[derive(Clone, Debug)]
pub struct KvCache {
    /// One per layer; all have the same number of positions between forward passes.
    pub layers: Vec<KeyValues>,
}

impl KvCache {
    /// An empty cache for a model.
    pub fn new(config: &Config, format: CacheFormat) -> KvCache {
        let layer = KeyValues::new(config.n_kv_heads, config.head_dim, format);
        KvCache { layers: vec![layer; config.n_layers] }
    }

    /// Number of tokens in the cache. A pass may skip the first layers, so the last one counts.
    pub fn positions(&self) -> usize {
        self.layers.last().map_or(0, KeyValues::positions)
    }

    /// The first `positions` tokens' keys and values, or all if there are fewer; shared until one of the two changes.
    pub fn prefix(&self, positions: usize) -> KvCache {
        KvCache { layers: self.layers.iter().map(|layer| layer.prefix(positions)).collect() }
    }

    /// Removes all tokens from position `positions` on.
    pub fn truncate(&mut self, positions: usize) {
        self.layers.iter_mut().for_each(|layer| layer.truncate(positions));
    }
}
