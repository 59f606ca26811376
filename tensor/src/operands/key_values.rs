//! The cached keys and values of a layer.

use crate::cache_format::CacheFormat;
use crate::element::Element;
use crate::pool::Team;
use crate::simd::LANES;

/// Panels of keys that are interleaved.
pub(crate) const INTERLEAVED: usize = 4;

/// The keys and values of every position so far, for one layer.
///
/// Keys are stored in interleaved panels of sixteen positions, values row by row, so that both products of attention
/// read them in order (see the kernel). Memory grows with the number of positions.
#[derive(Clone, Debug)]
pub struct KeyValues {
    head_dim: usize,
    positions: usize,
    heads: Heads,
}

/// The key-value heads, in the format of the cache.
#[derive(Clone, Debug)]
pub(crate) enum Heads {
    F32(Vec<HeadCache<f32>>),
    /// The bits of halves.
    F16(Vec<HeadCache<u16>>),
}

/// Runs `$body` with `$heads` bound to the heads, whatever their number format.
macro_rules! with_heads {
    ($all:expr, $heads:ident => $body:expr) => {
        match $all {
            Heads::F32($heads) => $body,
            Heads::F16($heads) => $body,
        }
    };
}
pub(crate) use with_heads;

/// One head's keys and values.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeadCache<E> {
    /// `[⌈positions/64⌉][head_dim][4][16]`
    pub(crate) keys: Vec<[E; LANES]>,
    /// `[positions][⌈head_dim/16⌉][16]`
    pub(crate) values: Vec<[E; LANES]>,
}

impl KeyValues {
    /// An empty cache for `kv_heads` heads of `head_dim` components.
    pub fn new(kv_heads: usize, head_dim: usize, format: CacheFormat) -> KeyValues {
        let heads = match format {
            CacheFormat::F32 => Heads::F32(vec![HeadCache::default(); kv_heads]),
            CacheFormat::F16 => Heads::F16(vec![HeadCache::default(); kv_heads]),
        };
        KeyValues { head_dim, positions: 0, heads }
    }

    /// How many positions are cached.
    pub fn positions(&self) -> usize {
        self.positions
    }

    /// Components of a head.
    pub fn head_dim(&self) -> usize {
        self.head_dim
    }

    /// How many heads there are.
    pub fn kv_heads(&self) -> usize {
        with_heads!(&self.heads, heads => heads.len())
    }

    /// Bytes of `positions` cached positions.
    pub fn bytes_for(kv_heads: usize, head_dim: usize, format: CacheFormat, positions: usize) -> usize {
        let keys = positions.next_multiple_of(INTERLEAVED * LANES) * head_dim;
        let values = positions * head_dim.next_multiple_of(LANES);
        kv_heads * (keys + values) * format.bytes()
    }

    /// Reserves memory for `positions` positions in all, so that appending up to there allocates nothing.
    pub fn reserve(&mut self, positions: usize) {
        let head_dim = self.head_dim;
        with_heads!(&mut self.heads, heads => heads.iter_mut().for_each(|head| head.reserve(head_dim, positions)));
    }

    /// Appends the keys and values of some positions, both `[positions, kv_heads, head_dim]`, rounded to the cache's
    /// format.
    ///
    /// # Panics
    /// If the lengths differ, or are not a multiple of a position's.
    pub fn append(&mut self, team: &Team<'_>, keys: &[f32], values: &[f32]) {
        assert_eq!(keys.len(), values.len(), "append: lengths of keys and values");
        let (head_dim, positions) = (self.head_dim, self.positions);
        let width = self.kv_heads() * head_dim;
        let added = crate::shape::rows_of("the cached keys", keys.len(), width);
        with_heads!(&mut self.heads, heads => {
            // Appending a single position is faster than sharing it out.
            let piece = if added == 1 { heads.len().max(1) } else { 1 };
            team.run_on_pieces(heads, piece, |i, heads| {
                for (h, head) in (i * piece..).zip(heads) {
                    head.grow(head_dim, positions + added);
                    for row in 0..added {
                        let from = row * width + h * head_dim;
                        head.store(positions + row, &keys[from..][..head_dim], &values[from..][..head_dim]);
                    }
                }
            });
        });
        self.positions += added;
    }

    /// The heads, for kernels.
    pub(crate) fn heads(&self) -> &Heads {
        &self.heads
    }

    /// The keys of one head, `[positions, head_dim]`, copied out of their panels.
    pub(crate) fn keys(&self, head: usize) -> Vec<f32> {
        with_heads!(&self.heads, heads => heads[head].all_keys(self.head_dim, self.positions))
    }

    /// The values of one head, `[positions, head_dim]`.
    pub(crate) fn values(&self, head: usize) -> Vec<f32> {
        with_heads!(&self.heads, heads => heads[head].all_values(self.head_dim))
    }

    /// A copy of the first `positions` positions, or of all if there are fewer.
    pub fn prefix(&self, positions: usize) -> KeyValues {
        let (head_dim, positions) = (self.head_dim, positions.min(self.positions));
        let heads = match &self.heads {
            Heads::F32(heads) => {
                Heads::F32(heads.iter().map(|head| head.prefix(head_dim, positions)).collect())
            }
            Heads::F16(heads) => {
                Heads::F16(heads.iter().map(|head| head.prefix(head_dim, positions)).collect())
            }
        };
        KeyValues { head_dim, positions, heads }
    }

    /// Removes all positions from `positions` on.
    pub fn truncate(&mut self, positions: usize) {
        if positions >= self.positions {
            return;
        }
        self.positions = positions;
        let head_dim = self.head_dim;
        with_heads!(&mut self.heads, heads => heads.iter_mut().for_each(|head| head.truncate(head_dim, positions)));
    }
}

impl<E: Element> HeadCache<E> {
    fn reserve(&mut self, head_dim: usize, positions: usize) {
        let (keys, values) = lengths(head_dim, positions);
        self.keys.reserve_exact(keys.saturating_sub(self.keys.len()));
        self.values.reserve_exact(values.saturating_sub(self.values.len()));
    }

    /// Grows with zeros.
    fn grow(&mut self, head_dim: usize, positions: usize) {
        let (keys, values) = lengths(head_dim, positions);
        grow(&mut self.keys, keys);
        grow(&mut self.values, values);
    }

    fn store(&mut self, position: usize, key: &[f32], value: &[f32]) {
        let head_dim = key.len();
        let panel = self.keys[first_of_panel(head_dim, position)..].iter_mut().step_by(INTERLEAVED);
        for (component, &key) in panel.zip(key) {
            component[position % LANES] = E::narrow(key);
        }
        let chunks = head_dim.div_ceil(LANES);
        let to = self.values[position * chunks..][..chunks].as_flattened_mut();
        for (to, &value) in to.iter_mut().zip(value) {
            *to = E::narrow(value);
        }
    }

    fn all_keys(&self, head_dim: usize, positions: usize) -> Vec<f32> {
        let key = |position: usize| {
            let panel = self.keys[first_of_panel(head_dim, position)..].iter().step_by(INTERLEAVED);
            panel.take(head_dim).map(move |component| component[position % LANES].widen())
        };
        (0..positions).flat_map(key).collect()
    }

    fn all_values(&self, head_dim: usize) -> Vec<f32> {
        let values = self.values.chunks_exact(head_dim.div_ceil(LANES).max(1));
        values.flat_map(|value| value.as_flattened()[..head_dim].iter().map(|x| x.widen())).collect()
    }

    fn prefix(&self, head_dim: usize, positions: usize) -> HeadCache<E> {
        let (keys, values) = lengths(head_dim, positions);
        HeadCache { keys: self.keys[..keys].to_vec(), values: self.values[..values].to_vec() }
    }

    fn truncate(&mut self, head_dim: usize, positions: usize) {
        let (keys, values) = lengths(head_dim, positions);
        self.keys.truncate(keys);
        self.values.truncate(values);
    }
}

/// Lengths of the keys and of the values of `positions` positions, in vectors of sixteen.
fn lengths(head_dim: usize, positions: usize) -> (usize, usize) {
    let keys = positions.div_ceil(INTERLEAVED * LANES) * head_dim * INTERLEAVED;
    (keys, positions * head_dim.div_ceil(LANES))
}

/// The first vector of the panel with a position's key; the others follow, [`INTERLEAVED`] apart.
fn first_of_panel(head_dim: usize, position: usize) -> usize {
    let (group, member) = (position / (INTERLEAVED * LANES), position / LANES % INTERLEAVED);
    group * head_dim * INTERLEAVED + member
}

/// Grows to `len` with zeros, and allocates an eighth more than needed, so that most tokens allocate nothing.
fn grow<E: Element>(cache: &mut Vec<[E; LANES]>, len: usize) {
    if len > cache.capacity() {
        cache.reserve_exact(len - cache.len() + len / 8);
    }
    cache.resize(len, [E::default(); LANES]);
}
