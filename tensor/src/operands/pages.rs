//! The pages of one head's keys and values.
//!
//! Keys are stored in interleaved panels of sixteen positions, values row by row, so that both products of attention
//! read them in order (see the kernel). A page is shared by all copies of a cache and copied when one of them writes to
//! it. Kwon et al., "Efficient memory management for large language model serving with PagedAttention" (2023).

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
    pub(crate) pages: Vec<Arc<P>>,
}

/// The keys and values of [`PAGE`] positions of one head; a position counts from the page's first.
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
    /// `[head_dim][4][16]`
    pub(crate) keys: Box<[[E; LANES]]>,
    /// `[64][⌈head_dim/16⌉][16]`
    pub(crate) values: Box<[[E; LANES]]>,
}

/// A page in [Q8_0](crate::quant::q8_0): signed bytes, and a scale for every 32 components of a key or value.
#[derive(Clone, Debug)]
pub(crate) struct Q8Page {
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
        FloatPage { keys: zeros(head_dim * INTERLEAVED), values: zeros(PAGE * head_dim.div_ceil(LANES)) }
    }

    fn bytes(head_dim: usize) -> usize {
        PAGE * (head_dim + head_dim.next_multiple_of(LANES)) * size_of::<E>()
    }

    fn store(&mut self, position: usize, key: &[f32], value: &[f32]) {
        panel_mut(&mut self.keys, position).zip(key).for_each(|(to, &key)| *to = E::narrow(key));
        row_mut(&mut self.values, position)
            .iter_mut()
            .zip(value)
            .for_each(|(to, &value)| *to = E::narrow(value));
    }

    fn key(&self, position: usize, _: usize) -> Vec<f32> {
        panel(&self.keys, position).map(|key| key.widen()).collect()
    }

    fn value(&self, position: usize, head_dim: usize) -> Vec<f32> {
        row(&self.values, position)[..head_dim].iter().map(|value| value.widen()).collect()
    }
}

impl Page for Q8Page {
    fn new(head_dim: usize) -> Q8Page {
        let scales = head_dim.div_ceil(SCALED);
        Q8Page {
            keys: zeros(head_dim * INTERLEAVED),
            key_scales: zeros(scales * INTERLEAVED),
            values: zeros(PAGE * head_dim.div_ceil(LANES)),
            value_scales: zeros(PAGE * scales),
        }
    }

    fn bytes(head_dim: usize) -> usize {
        let scales = 2 * head_dim.div_ceil(SCALED) * size_of::<f32>();
        PAGE * (head_dim + head_dim.next_multiple_of(LANES) + scales)
    }

    fn store(&mut self, position: usize, key: &[f32], value: &[f32]) {
        let mut to = panel_mut(&mut self.keys, position);
        for (scale, x) in panel_mut(&mut self.key_scales, position).zip(key.chunks(SCALED)) {
            *scale = quantize(x, to.by_ref().take(x.len()));
        }
        let scales = self.value_scales.len() / PAGE;
        let mut to = row_mut(&mut self.values, position).iter_mut();
        for (scale, x) in self.value_scales[position * scales..].iter_mut().zip(value.chunks(SCALED)) {
            *scale = quantize(x, to.by_ref().take(x.len()));
        }
    }

    fn key(&self, position: usize, _: usize) -> Vec<f32> {
        let scales: Vec<f32> = panel(&self.key_scales, position).copied().collect();
        dequantize(panel(&self.keys, position), &scales)
    }

    fn value(&self, position: usize, head_dim: usize) -> Vec<f32> {
        let scales = self.value_scales.len() / PAGE;
        dequantize(row(&self.values, position)[..head_dim].iter(), &self.value_scales[position * scales..])
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
    pub(super) fn reserve(&mut self, head_dim: usize, positions: usize) {
        let pages = positions.div_ceil(PAGE);
        if pages > self.pages.len() {
            self.pages.resize_with(pages, || Arc::new(P::new(head_dim)));
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
