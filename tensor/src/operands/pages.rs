//! The pages of one head's keys and values.
//!
//! Keys are stored in interleaved panels of sixteen positions, values row by row, so that both products of attention
//! read them in order (see the kernel). A page is a handle: copies of a cache share its numbers, which are copied when
//! one of them writes to it. Kwon et al., "Efficient memory management for large language model serving with
//! PagedAttention" (2023).

use std::sync::Arc;

use crate::element::Element;
use crate::quant::f16::f16_to_f32;
use crate::quant::q8_0;
use crate::simd::LANES;

/// Panels of keys that are interleaved.
pub(crate) const INTERLEAVED: usize = 4;

/// Positions in a page.
pub(crate) const PAGE: usize = INTERLEAVED * LANES;

/// Components of a key or value that share a scale.
pub(crate) const SCALED: usize = 32;

/// One head's keys and values. Pages behind the last position may exist already.
#[derive(Clone, Debug)]
pub(crate) struct HeadCache<P> {
    pub(crate) pages: Vec<P>,
}

/// The keys and values of [`PAGE`] positions of one head; a position counts from the page's first. A clone shares them
/// until one of the two stores.
pub(crate) trait Page: Clone + Send + Sync {
    /// A page of zeros.
    fn new(head_dim: usize) -> Self;
    /// Bytes of a page, padding included.
    fn bytes(head_dim: usize) -> usize;
    /// Stores a position's key and value, both `[head_dim]`.
    fn store(&mut self, position: usize, key: &[f32], value: &[f32]);
    /// The key, `[head_dim]`.
    fn key(&self, position: usize, head_dim: usize) -> Vec<f32>;
    /// The value, `[head_dim]`.
    fn value(&self, position: usize, head_dim: usize) -> Vec<f32>;
}

/// A page of floating-point numbers.
#[derive(Clone, Debug)]
pub(crate) struct FloatPage<E> {
    /// The keys, then the values, in one piece: kernels find them without another pointer on the way.
    vectors: Arc<[[E; LANES]]>,
    /// Vectors of keys.
    keys: usize,
}

impl<E> FloatPage<E> {
    /// `[head_dim][4][16]`
    #[inline(always)]
    pub(crate) fn keys(&self) -> &[[E; LANES]] {
        &self.vectors[..self.keys]
    }

    /// `[64][⌈head_dim/16⌉][16]`
    #[inline(always)]
    pub(crate) fn values(&self) -> &[[E; LANES]] {
        &self.vectors[self.keys..]
    }

    /// Whether two pages are one in memory.
    #[cfg(test)]
    pub(super) fn is_shared_with(&self, other: &FloatPage<E>) -> bool {
        Arc::ptr_eq(&self.vectors, &other.vectors)
    }
}

/// A page in [Q8_0](crate::quant::q8_0): signed bytes, and a scale for every 32 components of a key or value.
#[derive(Clone, Debug)]
pub(crate) struct Q8Page(pub(crate) Arc<Q8Numbers>);

/// The numbers of a [`Q8Page`].
#[derive(Clone, Debug)]
pub(crate) struct Q8Numbers {
    /// `[head_dim][4][16]`
    pub(crate) keys: Box<[[i8; LANES]]>,
    /// `[⌈head_dim/32⌉][4][16]`, rounded to half precision.
    pub(crate) key_scales: Box<[[f32; LANES]]>,
    /// `[64][⌈head_dim/16⌉][16]`
    pub(crate) values: Box<[[i8; LANES]]>,
    /// `[64][⌈head_dim/32⌉]`, rounded to half precision.
    pub(crate) value_scales: Box<[f32]>,
}

/// The vectors of the panel with a position's key, a component each.
fn panel<T>(vectors: &[[T; LANES]], position: usize) -> impl Iterator<Item = &T> {
    vectors[position / LANES..].iter().step_by(INTERLEAVED).map(move |vector| &vector[position % LANES])
}

fn panel_mut<T>(vectors: &mut [[T; LANES]], position: usize) -> impl Iterator<Item = &mut T> {
    vectors[position / LANES..]
        .iter_mut()
        .step_by(INTERLEAVED)
        .map(move |vector| &mut vector[position % LANES])
}

/// A position's value in `[64][⌈head_dim/16⌉][16]`, padding included.
fn row<T>(values: &[[T; LANES]], position: usize) -> &[T] {
    let chunks = values.len() / PAGE;
    values[position * chunks..][..chunks].as_flattened()
}

fn row_mut<T>(values: &mut [[T; LANES]], position: usize) -> &mut [T] {
    let chunks = values.len() / PAGE;
    values[position * chunks..][..chunks].as_flattened_mut()
}

fn zeros<T: Clone + Default>(len: usize) -> Box<[T]> {
    vec![T::default(); len].into_boxed_slice()
}

impl<E: Element> Page for FloatPage<E> {
    fn new(head_dim: usize) -> FloatPage<E> {
        let (keys, values) = (head_dim * INTERLEAVED, PAGE * head_dim.div_ceil(LANES));
        FloatPage { vectors: std::iter::repeat_n([E::default(); LANES], keys + values).collect(), keys }
    }

    fn bytes(head_dim: usize) -> usize {
        PAGE * (head_dim + head_dim.next_multiple_of(LANES)) * size_of::<E>()
    }

    fn store(&mut self, position: usize, key: &[f32], value: &[f32]) {
        let (keys, values) = Arc::make_mut(&mut self.vectors).split_at_mut(self.keys);
        panel_mut(keys, position).zip(key).for_each(|(to, &key)| *to = E::narrow(key));
        row_mut(values, position).iter_mut().zip(value).for_each(|(to, &value)| *to = E::narrow(value));
    }

    fn key(&self, position: usize, _: usize) -> Vec<f32> {
        panel(self.keys(), position).map(|key| key.widen()).collect()
    }

    fn value(&self, position: usize, head_dim: usize) -> Vec<f32> {
        row(self.values(), position)[..head_dim].iter().map(|value| value.widen()).collect()
    }
}

impl Page for Q8Page {
    fn new(head_dim: usize) -> Q8Page {
        let scales = head_dim.div_ceil(SCALED);
        Q8Page(Arc::new(Q8Numbers {
            keys: zeros(head_dim * INTERLEAVED),
            key_scales: zeros(scales * INTERLEAVED),
            values: zeros(PAGE * head_dim.div_ceil(LANES)),
            value_scales: zeros(PAGE * scales),
        }))
    }

    fn bytes(head_dim: usize) -> usize {
        let scales = 2 * head_dim.div_ceil(SCALED) * size_of::<f32>();
        PAGE * (head_dim + head_dim.next_multiple_of(LANES) + scales)
    }

    fn store(&mut self, position: usize, key: &[f32], value: &[f32]) {
        let Q8Numbers { keys, key_scales, values, value_scales } = Arc::make_mut(&mut self.0);
        let mut to = panel_mut(keys, position);
        for (scale, x) in panel_mut(key_scales, position).zip(key.chunks(SCALED)) {
            *scale = quantize(x, to.by_ref().take(x.len()));
        }
        let scales = value_scales.len() / PAGE;
        let mut to = row_mut(values, position).iter_mut();
        for (scale, x) in value_scales[position * scales..].iter_mut().zip(value.chunks(SCALED)) {
            *scale = quantize(x, to.by_ref().take(x.len()));
        }
    }

    fn key(&self, position: usize, _: usize) -> Vec<f32> {
        let scales: Vec<f32> = panel(&self.0.key_scales, position).copied().collect();
        dequantize(panel(&self.0.keys, position), &scales)
    }

    fn value(&self, position: usize, head_dim: usize) -> Vec<f32> {
        let scales = self.0.value_scales.len() / PAGE;
        let bytes = row(&self.0.values, position)[..head_dim].iter();
        dequantize(bytes, &self.0.value_scales[position * scales..])
    }
}

/// Writes the signed bytes of at most [`SCALED`] numbers, and returns their scale. With a NaN among them the scale is
/// NaN; larger numbers than the largest scale allows become the largest.
fn quantize<'b>(x: &[f32], bytes: impl Iterator<Item = &'b mut i8>) -> f32 {
    let largest = 127.0 * f16_to_f32(LARGEST_HALF);
    let mut padded = [0.0; SCALED];
    padded.iter_mut().zip(x).for_each(|(to, x)| *to = x.clamp(-largest, largest));
    let block = q8_0::quantize(&padded).unwrap_or([0; 34]);
    bytes.zip(&block[2..]).for_each(|(to, &byte)| *to = byte as i8);
    match x.iter().any(|x| x.is_nan()) {
        true => f32::NAN,
        false => f16_to_f32(u16::from_le_bytes([block[0], block[1]])),
    }
}

/// The bits of the largest finite half.
const LARGEST_HALF: u16 = 0x7bff;

/// The numbers of some signed bytes; their products with a scale are exact.
fn dequantize<'b>(bytes: impl Iterator<Item = &'b i8>, scales: &[f32]) -> Vec<f32> {
    bytes.enumerate().map(|(i, &byte)| f32::from(byte) * scales[i / SCALED]).collect()
}

impl<P> Default for HeadCache<P> {
    fn default() -> HeadCache<P> {
        HeadCache { pages: Vec::new() }
    }
}

impl<P: Page> HeadCache<P> {
    /// Makes pages for `positions` positions in all.
    pub(super) fn grow(&mut self, head_dim: usize, positions: usize) {
        let pages = positions.div_ceil(PAGE);
        if pages > self.pages.len() {
            self.pages.resize_with(pages, || P::new(head_dim));
        }
    }

    /// Stores `rows`, each a key and a value, from position `first` on, for which there are pages.
    pub(super) fn store<'x>(&mut self, first: usize, rows: impl Iterator<Item = (&'x [f32], &'x [f32])>) {
        for (position, (key, value)) in (first..).zip(rows) {
            self.pages[position / PAGE].store(position % PAGE, key, value);
        }
    }

    /// The pages of the first `positions` positions, shared.
    pub(super) fn prefix(&self, positions: usize) -> HeadCache<P> {
        HeadCache { pages: self.pages[..positions.div_ceil(PAGE)].to_vec() }
    }

    pub(super) fn truncate(&mut self, positions: usize) {
        self.pages.truncate(positions.div_ceil(PAGE));
    }

    /// The keys of `positions` positions, `[positions, head_dim]`.
    pub(super) fn keys(&self, head_dim: usize, positions: usize) -> Vec<f32> {
        (0..positions).flat_map(|at| self.pages[at / PAGE].key(at % PAGE, head_dim)).collect()
    }

    /// The values of `positions` positions, `[positions, head_dim]`.
    pub(super) fn values(&self, head_dim: usize, positions: usize) -> Vec<f32> {
        (0..positions).flat_map(|at| self.pages[at / PAGE].value(at % PAGE, head_dim)).collect()
    }
}
