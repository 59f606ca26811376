//! Panels of the formats with 32 weights a block: Q8_0, Q4_0, Q4_1, Q5_0, Q5_1.
//!
//! Every one of them is `weight = d·q + m` with `q` a small integer and `d`, `m` shared by 32 inputs
//! (`m` is `-8·d` in Q4_0, `-16·d` in Q5_0 and `-128·d` in Q8_0, whose signed bytes are stored 128 higher). `d·q` has
//! few enough significant bits to be exact in `f32`, so the fused multiply-add below rounds as often as separate
//! operations would: at most once.
//!
//! The integers of one output are packed along the inputs into 32-bit words (four bytes or eight nibbles,
//! the first input lowest), and the words of sixteen outputs are neighbours. A shift and a mask then turn one load into
//! sixteen integers, one in each lane, already 32 bits wide.

use super::{Block, IntegerBlock};
use crate::simd::{LANES, Lanes, Precision, Tile};

/// What a group of 16 or 32 inputs shares: one scale and one offset an output.
pub(crate) struct ScaleOffset<S: Lanes> {
    pub(crate) scale: S::F,
    pub(crate) offset: S::F,
}

impl<S: Lanes> Clone for ScaleOffset<S> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<S: Lanes> Copy for ScaleOffset<S> {}

/// 16 × 32 weights of Q8_0: `d·(q - 128)`.
#[derive(Clone, Copy)]
pub(crate) struct BlockQ8_0 {
    /// Scales, half precision.
    d: [u16; LANES],
    /// Word `w` of an output: inputs `4w..4w+4`, a byte each.
    q: [[u32; LANES]; 8],
}

/// 16 × 32 weights of Q4_0: `d·(q - 8)`.
#[derive(Clone, Copy)]
pub(crate) struct BlockQ4_0 {
    d: [u16; LANES],
    q: Nibbles,
}

/// 16 × 32 weights of Q4_1: `d·q + m`.
#[derive(Clone, Copy)]
pub(crate) struct BlockQ4_1 {
    d: [u16; LANES],
    m: [u16; LANES],
    q: Nibbles,
}

/// 16 × 32 weights of Q5_0: `d·(q - 16)`.
#[derive(Clone, Copy)]
pub(crate) struct BlockQ5_0 {
    d: [u16; LANES],
    q: Nibbles,
    high: HighBits,
}

/// 16 × 32 weights of Q5_1: `d·q + m`.
#[derive(Clone, Copy)]
pub(crate) struct BlockQ5_1 {
    d: [u16; LANES],
    m: [u16; LANES],
    q: Nibbles,
    high: HighBits,
}

/// The low four bits of 32 inputs. Word `w` of an output: inputs `8w..8w+8`, byte `b` of it `8w + b` in the low nibble
/// and `8w + 4 + b` in the high one, so that a shift and a mask give four inputs a byte each.
pub(super) type Nibbles = [[u32; LANES]; 4];

/// The fifth bit of 32 inputs: bit `8b + w` of an output's word belongs to input `4w + b`.
pub(super) type HighBits = [u32; LANES];

impl Block for BlockQ8_0 {
    const K: usize = 32;
    const GROUP: usize = 32;
    const WORD: usize = 4;
    const PANELS: usize = 2;
    type Scales<S: Lanes> = ScaleOffset<S>;

    fn pack(rows: [&[u8]; LANES]) -> Self {
        let mut q = [[0; LANES]; 8];
        for (w, words) in q.iter_mut().enumerate() {
            *words = rows.map(|row| word(&row[2 + 4 * w..]) ^ 0x8080_8080);
        }
        BlockQ8_0 { d: rows.map(|row| half(row, 0)), q }
    }
    #[inline(always)]
    fn scales<S: Lanes>(&self, s: S, _: usize) -> ScaleOffset<S> {
        centred(s, &self.d, -128.0)
    }
    #[inline(always)]
    fn weights<S: Lanes>(&self, s: S, scales: ScaleOffset<S>, k: usize) -> S::F {
        let q = s.bits(s.load_words(&self.q[k / 4]), 8 * (k % 4) as u32, 255);
        s.mul_add(scales.scale, s.to_f32(q), scales.offset)
    }
}

/// What the four other formats have in common.
macro_rules! nibble_block {
    () => {
        const K: usize = 32;
        const GROUP: usize = 32;
        const WORD: usize = 8;
        const PANELS: usize = 2;
        type Scales<S: Lanes> = ScaleOffset<S>;

        #[inline(always)]
        fn weights<S: Lanes>(&self, s: S, scales: ScaleOffset<S>, k: usize) -> S::F {
            s.mul_add(scales.scale, s.to_f32(self.integers(s, k)), scales.offset)
        }
    };
}

impl Block for BlockQ4_0 {
    nibble_block!();

    fn pack(rows: [&[u8]; LANES]) -> Self {
        BlockQ4_0 { d: rows.map(|row| half(row, 0)), q: pack_split_nibbles(rows.map(|row| &row[2..])) }
    }
    #[inline(always)]
    fn scales<S: Lanes>(&self, s: S, _: usize) -> ScaleOffset<S> {
        centred(s, &self.d, -8.0)
    }
}

impl Block for BlockQ4_1 {
    nibble_block!();

    fn pack(rows: [&[u8]; LANES]) -> Self {
        let q = pack_split_nibbles(rows.map(|row| &row[4..]));
        BlockQ4_1 { d: rows.map(|row| half(row, 0)), m: rows.map(|row| half(row, 2)), q }
    }
    #[inline(always)]
    fn scales<S: Lanes>(&self, s: S, _: usize) -> ScaleOffset<S> {
        ScaleOffset { scale: s.load_f16(&self.d), offset: s.load_f16(&self.m) }
    }
}

impl Block for BlockQ5_0 {
    nibble_block!();

    fn pack(rows: [&[u8]; LANES]) -> Self {
        let q = pack_split_nibbles(rows.map(|row| &row[6..]));
        BlockQ5_0 { d: rows.map(|row| half(row, 0)), q, high: rows.map(|row| spread_bits(word(&row[2..]))) }
    }
    #[inline(always)]
    fn scales<S: Lanes>(&self, s: S, _: usize) -> ScaleOffset<S> {
        centred(s, &self.d, -16.0)
    }
}

impl Block for BlockQ5_1 {
    nibble_block!();

    fn pack(rows: [&[u8]; LANES]) -> Self {
        BlockQ5_1 {
            d: rows.map(|row| half(row, 0)),
            m: rows.map(|row| half(row, 2)),
            q: pack_split_nibbles(rows.map(|row| &row[8..])),
            high: rows.map(|row| spread_bits(word(&row[4..]))),
        }
    }
    #[inline(always)]
    fn scales<S: Lanes>(&self, s: S, _: usize) -> ScaleOffset<S> {
        ScaleOffset { scale: s.load_f16(&self.d), offset: s.load_f16(&self.m) }
    }
}

/// The part of [`IntegerBlock`] that differs in nothing but the largest integer.
macro_rules! integer_block {
    ($largest:literal) => {
        const LARGEST: u32 = $largest;

        #[inline(always)]
        fn scale_offset<S: Lanes>(&self, s: S, group: usize) -> ScaleOffset<S> {
            self.scales(s, group)
        }
        #[inline(always)]
        fn dot<S: Tile, P: Precision, const N: usize, const R: usize>(
            s: S,
            weights: &[[S::I; 4]; N],
            inputs: [&[P::Words; N]; R],
        ) -> [S::I; R] {
            P::dot::<S, N, $largest, R>(s, weights, inputs)
        }
    };
}
pub(super) use integer_block;

impl IntegerBlock for BlockQ8_0 {
    integer_block!(255);

    #[inline(always)]
    fn words<S: Lanes>(&self, s: S, _: usize) -> [[S::I; 4]; 2] {
        eight_words(s, &self.q)
    }
}

impl IntegerBlock for BlockQ4_0 {
    integer_block!(15);

    #[inline(always)]
    fn words<S: Lanes>(&self, s: S, _: usize) -> [[S::I; 4]; 2] {
        nibble_words(s, &self.q)
    }
}

impl IntegerBlock for BlockQ4_1 {
    integer_block!(15);

    #[inline(always)]
    fn words<S: Lanes>(&self, s: S, _: usize) -> [[S::I; 4]; 2] {
        nibble_words(s, &self.q)
    }
}

impl IntegerBlock for BlockQ5_0 {
    integer_block!(31);

    #[inline(always)]
    fn words<S: Lanes>(&self, s: S, _: usize) -> [[S::I; 4]; 2] {
        five_bit_words(s, &self.q, &self.high)
    }
}

impl IntegerBlock for BlockQ5_1 {
    integer_block!(31);

    #[inline(always)]
    fn words<S: Lanes>(&self, s: S, _: usize) -> [[S::I; 4]; 2] {
        five_bit_words(s, &self.q, &self.high)
    }
}

/// The words of 32 inputs. A loop rather than a closure, which would be compiled outside of the kernel.
#[inline(always)]
pub(crate) fn eight_words<S: Lanes>(s: S, from: &[[u32; LANES]; 8]) -> [[S::I; 4]; 2] {
    let mut words = [[s.load_words(&[0; LANES]); 4]; 2];
    for (word, from) in words.as_flattened_mut().iter_mut().zip(from) {
        *word = s.load_words(from);
    }
    words
}

/// The four-bit integers of 32 inputs, a byte each.
#[inline(always)]
pub(super) fn nibble_words<S: Lanes>(s: S, q: &Nibbles) -> [[S::I; 4]; 2] {
    let mut words = [[s.load_words(&[0; LANES]); 4]; 2];
    for (pair, q) in words.as_flattened_mut().as_chunks_mut::<2>().0.iter_mut().zip(q) {
        let both = s.load_words(q);
        *pair = [s.bits(both, 0, 0x0f0f_0f0f), s.bits(both, 4, 0x0f0f_0f0f)];
    }
    words
}

/// The five-bit integers of 32 inputs, a byte each.
#[inline(always)]
pub(super) fn five_bit_words<S: Lanes>(s: S, q: &Nibbles, high: &HighBits) -> [[S::I; 4]; 2] {
    let high = s.load_words(high);
    let mut words = nibble_words(s, q);
    for (w, word) in words.as_flattened_mut().iter_mut().enumerate() {
        *word = s.or(*word, s.shift_left(s.bits(high, w as u32, 0x0101_0101), 4));
    }
    words
}

impl BlockQ4_0 {
    #[inline(always)]
    fn integers<S: Lanes>(&self, s: S, k: usize) -> S::I {
        nibbles(s, &self.q, k)
    }
}

impl BlockQ4_1 {
    #[inline(always)]
    fn integers<S: Lanes>(&self, s: S, k: usize) -> S::I {
        nibbles(s, &self.q, k)
    }
}

impl BlockQ5_0 {
    #[inline(always)]
    fn integers<S: Lanes>(&self, s: S, k: usize) -> S::I {
        five_bits(s, &self.q, &self.high, k)
    }
}

impl BlockQ5_1 {
    #[inline(always)]
    fn integers<S: Lanes>(&self, s: S, k: usize) -> S::I {
        five_bits(s, &self.q, &self.high, k)
    }
}

/// The four-bit integers of input `k` of 32.
#[inline(always)]
pub(super) fn nibbles<S: Lanes>(s: S, q: &Nibbles, k: usize) -> S::I {
    s.bits(s.load_words(&q[k / 8]), (k % 4 * 8 + k % 8 / 4 * 4) as u32, 15)
}

/// The five-bit integers of input `k` of 32.
#[inline(always)]
pub(super) fn five_bits<S: Lanes>(s: S, q: &Nibbles, high: &HighBits, k: usize) -> S::I {
    let fifth = s.bits(s.load_words(high), (k % 4 * 8 + k / 4) as u32, 1);
    s.or(nibbles(s, q, k), s.shift_left(fifth, 4))
}

/// `d·(q + centre)` as `d·q + centre·d`: both products are exact.
#[inline(always)]
fn centred<S: Lanes>(s: S, d: &[u16; LANES], centre: f32) -> ScaleOffset<S> {
    let scale = s.load_f16(d);
    ScaleOffset { scale, offset: s.mul(scale, s.splat(centre)) }
}

/// Sixteen bytes a row, byte `j` holding input `j` low and input `j + 16` high, to nibble words.
fn pack_split_nibbles(rows: [&[u8]; LANES]) -> Nibbles {
    let low = |row: &[u8], from: usize| join_nibbles(eight(&row[from..]));
    let high = |row: &[u8], from: usize| join_nibbles(eight(&row[from..]) >> 4);
    [
        rows.map(|row| low(row, 0)),
        rows.map(|row| low(row, 8)),
        rows.map(|row| high(row, 0)),
        rows.map(|row| high(row, 8)),
    ]
}

/// The low nibbles of eight bytes in one word of [`Nibbles`].
#[inline(always)]
pub(super) fn join_nibbles(bytes: u64) -> u32 {
    let nibbles = bytes & 0x0f0f_0f0f_0f0f_0f0f;
    (nibbles | nibbles >> 28) as u32
}

/// Bit `k` for input `k`, as [`HighBits`] has them.
pub(super) fn spread_bits(bits: u32) -> u32 {
    (0..32).fold(0, |word, k| word | (bits >> k & 1) << (k % 4 * 8 + k / 4))
}

/// The first eight bytes, little-endian.
#[inline(always)]
pub(super) fn eight(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(*bytes.first_chunk().expect("eight bytes of a block"))
}

/// The first four bytes, little-endian.
#[inline(always)]
fn word(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(*bytes.first_chunk().expect("four bytes of a block"))
}

/// The half-precision number's bits at byte `at`.
#[inline(always)]
pub(super) fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(*bytes[at..].first_chunk().expect("two bytes of a block"))
}
