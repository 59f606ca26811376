//! The cached keys and values of a layer.

use super::pages::{FloatPage, HeadCache, PAGE, Page, Q8Page};
use crate::cache_format::CacheFormat;
use crate::pool::Team;

/// The keys and values of every position so far, for one layer.
///
/// They lie in pages of 64 positions. Copies share their pages until one of them changes a page, so a prefix that
/// several sequences have in common is in memory once.
#[derive(Clone, Debug)]
pub struct KeyValues {
    head_dim: usize,
    positions: usize,
    heads: Heads,
}

/// The key-value heads, in the format of the cache.
#[derive(Clone, Debug)]
pub(crate) enum Heads {
    F32(Vec<HeadCache<FloatPage<f32>>>),
    /// The bits of halves.
    F16(Vec<HeadCache<FloatPage<u16>>>),
    Q8(Vec<HeadCache<Q8Page>>),
}

/// Runs `$body` with `$heads` bound to the heads, whatever their number format.
macro_rules! with_heads {
    ($all:expr, $heads:ident => $body:expr) => {
        match $all {
            Heads::F32($heads) => $body,
            Heads::F16($heads) => $body,
            Heads::Q8($heads) => $body,
        }
    };
}
pub(crate) use with_heads;

impl KeyValues {
    /// Positions in a page.
    pub const PAGE: usize = PAGE;

    /// An empty cache for `kv_heads` heads of `head_dim` components.
    pub fn new(kv_heads: usize, head_dim: usize, format: CacheFormat) -> KeyValues {
        let heads = match format {
            CacheFormat::F32 => Heads::F32(vec![HeadCache::default(); kv_heads]),
            CacheFormat::F16 => Heads::F16(vec![HeadCache::default(); kv_heads]),
            CacheFormat::Q8_0 => Heads::Q8(vec![HeadCache::default(); kv_heads]),
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

    /// Bytes of `positions` cached positions, in whole pages.
    pub fn bytes_for(kv_heads: usize, head_dim: usize, format: CacheFormat, positions: usize) -> usize {
        let page = match format {
            CacheFormat::F32 => FloatPage::<f32>::bytes(head_dim),
            CacheFormat::F16 => FloatPage::<u16>::bytes(head_dim),
            CacheFormat::Q8_0 => Q8Page::bytes(head_dim),
        };
        positions.div_ceil(PAGE) * kv_heads * page
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
            // Appending a single position is faster on one thread.
            let piece = if added == 1 { heads.len().max(1) } else { 1 };
            team.run_on_pieces(heads, piece, |i, heads| {
                for (h, head) in (i * piece..).zip(heads) {
                    let rows = (0..added).map(|row| {
                        let from = row * width + h * head_dim;
                        (&keys[from..][..head_dim], &values[from..][..head_dim])
                    });
                    head.grow(head_dim, positions + added);
                    head.store(positions, rows);
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
        with_heads!(&self.heads, heads => heads[head].keys(self.head_dim, self.positions))
    }

    /// The values of one head, `[positions, head_dim]`.
    pub(crate) fn values(&self, head: usize) -> Vec<f32> {
        with_heads!(&self.heads, heads => heads[head].values(self.head_dim, self.positions))
    }

    /// The first `positions` positions, or all if there are fewer. The pages are shared, not copied.
    pub fn prefix(&self, positions: usize) -> KeyValues {
        let (head_dim, positions) = (self.head_dim, positions.min(self.positions));
        let heads = match &self.heads {
            Heads::F32(heads) => Heads::F32(heads.iter().map(|head| head.prefix(positions)).collect()),
            Heads::F16(heads) => Heads::F16(heads.iter().map(|head| head.prefix(positions)).collect()),
            Heads::Q8(heads) => Heads::Q8(heads.iter().map(|head| head.prefix(positions)).collect()),
        };
        KeyValues { head_dim, positions, heads }
    }

    /// Removes all positions from `positions` on.
    pub fn truncate(&mut self, positions: usize) {
        if positions >= self.positions {
            return;
        }
        self.positions = positions;
        with_heads!(&mut self.heads, heads => heads.iter_mut().for_each(|head| head.truncate(positions)));
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::{Engine, Pool};

    /// `positions` keys of two components, which begin with `from`.
    fn numbers(from: usize, positions: usize) -> Vec<f32> {
        (2 * from..2 * (from + positions)).map(|x| x as f32).collect()
    }

    #[test]
    fn copies_share_their_pages_until_one_of_them_writes() {
        let pool = Pool::new(1, Engine::Reference).unwrap();
        let append = |cache: &mut KeyValues, x: &[f32]| pool.enter(|team| cache.append(team, x, x));
        let pages = |cache: &KeyValues| match &cache.heads {
            Heads::F32(heads) => heads[0].pages.clone(),
            Heads::F16(_) | Heads::Q8(_) => unreachable!("an f32 cache"),
        };
        let mut cache = KeyValues::new(1, 2, CacheFormat::F32);
        append(&mut cache, &numbers(0, 100));
        let mut copy = cache.prefix(70);
        assert!(pages(&cache).iter().zip(pages(&copy)).all(|(a, b)| a.is_shared_with(&b)));
        append(&mut copy, &numbers(1000, 1));
        assert!(pages(&cache)[0].is_shared_with(&pages(&copy)[0]), "a full page stays shared");
        assert!(!pages(&cache)[1].is_shared_with(&pages(&copy)[1]), "the page written to is copied");
        append(&mut cache, &numbers(100, 30));
        for (cache, expected) in
            [(&cache, numbers(0, 130)), (&copy, [numbers(0, 70), numbers(1000, 1)].concat())]
        {
            assert_eq!(cache.keys(0), expected);
            assert_eq!(cache.values(0), expected);
        }
    }
}
