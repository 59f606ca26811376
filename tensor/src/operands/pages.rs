//! The pages of one head's keys and values.
//!
//! Keys are stored in interleaved panels of sixteen positions, values row by row, so that both products of attention
//! read them in order (see the kernel). A page is shared by all copies of a cache and copied when one of them writes to
//! it. Kwon et al., "Efficient memory management for large language model serving with PagedAttention" (2023).

use std::sync::Arc;

use crate::element::Element;
use crate::simd::LANES;

/// Panels of keys that are interleaved.
pub(crate) const INTERLEAVED: usize = 4;

/// Positions in a page.
pub(crate) const PAGE: usize = INTERLEAVED * LANES;

/// One head's keys and values. Pages behind the last position may exist already.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeadCache<E> {
    pub(crate) pages: Vec<Arc<Page<E>>>,
}

/// The keys and values of [`PAGE`] positions.
#[derive(Clone, Debug)]
pub(crate) struct Page<E> {
    /// `[head_dim][4][16]`
    pub(crate) keys: Box<[[E; LANES]]>,
    /// `[64][⌈head_dim/16⌉][16]`
    pub(crate) values: Box<[[E; LANES]]>,
}

impl<E: Element> Page<E> {
    /// A page of zeros.
    fn new(head_dim: usize) -> Page<E> {
        let zeros = |vectors: usize| vec![[E::default(); LANES]; vectors].into_boxed_slice();
        Page { keys: zeros(head_dim * INTERLEAVED), values: zeros(PAGE * head_dim.div_ceil(LANES)) }
    }

    /// Numbers in a page, padding included.
    pub(crate) fn numbers(head_dim: usize) -> usize {
        PAGE * (head_dim + head_dim.next_multiple_of(LANES))
    }

    /// Stores a position's key and value; `position` counts from the page's first.
    fn store(&mut self, position: usize, key: &[f32], value: &[f32]) {
        let panel = self.keys[position / LANES..].iter_mut().step_by(INTERLEAVED);
        for (component, &key) in panel.zip(key) {
            component[position % LANES] = E::narrow(key);
        }
        let chunks = key.len().div_ceil(LANES);
        let to = self.values[position * chunks..][..chunks].as_flattened_mut();
        for (to, &value) in to.iter_mut().zip(value) {
            *to = E::narrow(value);
        }
    }

    fn key(&self, position: usize) -> impl Iterator<Item = f32> {
        let panel = self.keys[position / LANES..].iter().step_by(INTERLEAVED);
        panel.map(move |component| component[position % LANES].widen())
    }

    fn value(&self, position: usize, head_dim: usize) -> impl Iterator<Item = f32> {
        let chunks = head_dim.div_ceil(LANES);
        self.values[position * chunks..][..chunks].as_flattened()[..head_dim].iter().map(|x| x.widen())
    }
}

impl<E: Element> HeadCache<E> {
    /// Makes pages for `positions` positions in all.
    pub(super) fn reserve(&mut self, head_dim: usize, positions: usize) {
        let pages = positions.div_ceil(PAGE);
        if pages > self.pages.len() {
            self.pages.resize_with(pages, || Arc::new(Page::new(head_dim)));
        }
    }

    /// Stores `rows`, each a key and a value, from position `first` on, for which there are pages.
    pub(super) fn store<'x>(&mut self, first: usize, rows: impl Iterator<Item = (&'x [f32], &'x [f32])>) {
        let mut rows = (first..).zip(rows).peekable();
        while let Some(&(position, _)) = rows.peek() {
            let number = position / PAGE;
            let page = Arc::make_mut(&mut self.pages[number]);
            while let Some((position, (key, value))) = rows.next_if(|(position, _)| position / PAGE == number)
            {
                page.store(position % PAGE, key, value);
            }
        }
    }

    /// The pages of the first `positions` positions, shared.
    pub(super) fn prefix(&self, positions: usize) -> HeadCache<E> {
        HeadCache { pages: self.pages[..positions.div_ceil(PAGE)].to_vec() }
    }

    pub(super) fn truncate(&mut self, positions: usize) {
        self.pages.truncate(positions.div_ceil(PAGE));
    }

    /// The keys of `positions` positions, `[positions, head_dim]`.
    pub(super) fn keys(&self, positions: usize) -> Vec<f32> {
        (0..positions).flat_map(|at| self.pages[at / PAGE].key(at % PAGE)).collect()
    }

    /// The values of `positions` positions, `[positions, head_dim]`.
    pub(super) fn values(&self, head_dim: usize, positions: usize) -> Vec<f32> {
        (0..positions).flat_map(|at| self.pages[at / PAGE].value(at % PAGE, head_dim)).collect()
    }
}
