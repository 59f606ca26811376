//! What attention remembers of a layer: the keys and values of every position.

use crate::simd::LANES;

/// The keys and values of every position so far, for one layer.
///
/// Keys are kept in panels of sixteen positions, values row by row, so that both products of attention
/// read them in order (see the kernel). Memory grows with the positions.
#[derive(Clone, Debug)]
pub struct KeyValues {
    pub(super) head_dim: usize,
    pub(super) positions: usize,
    pub(super) heads: Vec<HeadCache>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct HeadCache {
    /// `[⌈positions/16⌉][head_dim][16]`
    pub(super) keys: Vec<[f32; LANES]>,
    /// `[positions][⌈head_dim/16⌉][16]`
    pub(super) values: Vec<[f32; LANES]>,
}

impl KeyValues {
    /// An empty cache for `kv_heads` heads of `head_dim` components.
    pub fn new(kv_heads: usize, head_dim: usize) -> KeyValues {
        KeyValues { head_dim, positions: 0, heads: vec![HeadCache::default(); kv_heads] }
    }

    /// How many positions are cached.
    pub fn positions(&self) -> usize {
        self.positions
    }

    /// Bytes that `positions` positions take.
    pub fn bytes_for(kv_heads: usize, head_dim: usize, positions: usize) -> usize {
        let keys = positions.next_multiple_of(LANES) * head_dim;
        let values = positions * head_dim.next_multiple_of(LANES);
        kv_heads * (keys + values) * size_of::<f32>()
    }

    /// Makes room for `positions` positions in all, so that appending up to there takes no more memory.
    pub fn reserve(&mut self, positions: usize) {
        let chunks = self.head_dim.div_ceil(LANES);
        for head in &mut self.heads {
            for (cache, len) in [
                (&mut head.keys, positions.div_ceil(LANES) * self.head_dim),
                (&mut head.values, positions * chunks),
            ] {
                cache.reserve_exact(len.saturating_sub(cache.len()));
            }
        }
    }

    /// Appends the keys and values of some positions, both `[positions, kv_heads, head_dim]`.
    ///
    /// # Panics
    /// If the lengths differ or are no whole positions.
    pub fn append(&mut self, keys: &[f32], values: &[f32]) {
        assert_eq!(keys.len(), values.len(), "a value for each key");
        let width = self.heads.len() * self.head_dim;
        let added = super::rows_of("the cache", keys.len(), width);
        let chunks = self.head_dim.div_ceil(LANES);
        for (h, head) in self.heads.iter_mut().enumerate() {
            let total = self.positions + added;
            grow(&mut head.keys, total.div_ceil(LANES) * self.head_dim);
            grow(&mut head.values, total * chunks);
            for row in 0..added {
                let (position, from) = (self.positions + row, row * width + h * self.head_dim);
                let panel = &mut head.keys[position / LANES * self.head_dim..][..self.head_dim];
                for (d, &key) in keys[from..][..self.head_dim].iter().enumerate() {
                    panel[d][position % LANES] = key;
                }
                let to = head.values[position * chunks..][..chunks].as_flattened_mut();
                to[..self.head_dim].copy_from_slice(&values[from..][..self.head_dim]);
            }
        }
        self.positions += added;
    }

    /// The keys of one head, `[positions, head_dim]`, taken out of their panels.
    pub(super) fn keys(&self, head: usize) -> Vec<f32> {
        let key = |position: usize| {
            let panel = &self.heads[head].keys[position / LANES * self.head_dim..][..self.head_dim];
            panel.iter().map(move |sixteen| sixteen[position % LANES])
        };
        (0..self.positions).flat_map(key).collect()
    }

    /// The values of one head, one `[head_dim]` a position.
    pub(super) fn values(&self, head: usize) -> impl Iterator<Item = &[f32]> {
        let chunks = self.head_dim.div_ceil(LANES).max(1);
        self.heads[head].values.chunks_exact(chunks).map(|value| &value.as_flattened()[..self.head_dim])
    }

    /// Forgets all positions from `positions` on.
    pub fn truncate(&mut self, positions: usize) {
        if positions >= self.positions {
            return;
        }
        self.positions = positions;
        let chunks = self.head_dim.div_ceil(LANES);
        for head in &mut self.heads {
            head.keys.truncate(positions.div_ceil(LANES) * self.head_dim);
            head.values.truncate(positions * chunks);
        }
    }
}

/// Lengthens with zeros, taking an eighth more memory than asked for, so that most steps take none.
fn grow(cache: &mut Vec<[f32; LANES]>, len: usize) {
    if len > cache.capacity() {
        cache.reserve_exact(len - cache.len() + len / 8);
    }
    cache.resize(len, [0.0; LANES]);
}
