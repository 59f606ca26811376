//! Panels of the "K" formats: Q4_K, Q5_K, Q6_K, super-blocks of 256 weights with quantised scales.
//!
//! The integers are laid out as in [`small_blocks`](super::small_blocks). A group's scale is the super-block's
//! half-precision `d` times a small integer, exact in `f32`; so is its product with `q`. The value of a
//! weight is therefore rounded at most once, like there.

use super::small_blocks::{
    HighBits, Nibbles, ScaleOffset, eight, five_bit_words, five_bits, half, integer_block, join_nibbles,
    nibble_words, nibbles,
};
use super::{Block, IntegerBlock};
use crate::simd::{LANES, Lanes, Precision, Tile};

/// Groups of 32 in a super-block of 256.
const GROUPS: usize = 8;

/// The scales of Q4_K and Q5_K: group `g` has scale `d·scales[g]` and offset `-dmin·mins[g]`.
#[derive(Clone, Copy)]
struct GroupScales {
    d: [u16; LANES],
    dmin: [u16; LANES],
    scales: [[u8; LANES]; GROUPS],
    mins: [[u8; LANES]; GROUPS],
}

/// 16 × 256 weights of Q4_K: `scale·q + offset`, `q` of four bits.
#[derive(Clone, Copy)]
pub(crate) struct BlockQ4K {
    scales: GroupScales,
    q: [Nibbles; GROUPS],
}

/// 16 × 256 weights of Q5_K: `scale·q + offset`, `q` of five bits.
#[derive(Clone, Copy)]
pub(crate) struct BlockQ5K {
    scales: GroupScales,
    q: [Nibbles; GROUPS],
    high: [HighBits; GROUPS],
}

/// 16 × 256 weights of Q6_K: `d·scales[k/16]·(q - 32)`, `q` of six bits.
#[derive(Clone, Copy)]
pub(crate) struct BlockQ6K {
    d: [u16; LANES],
    scales: [[i8; LANES]; 16],
    /// The low four bits.
    q: [Nibbles; GROUPS],
    /// The two high bits. Word `i` of an output: bits `8b + 2w` and the next belong to input `16i + 4w + b`.
    high: [[u32; LANES]; 16],
}

impl Block for BlockQ4K {
    const K: usize = 256;
    const GROUP: usize = 32;
    const WORD: usize = 8;
    const PANELS: usize = 2;
    type Scales<S: Lanes> = ScaleOffset<S>;

    fn pack(rows: [&[u8]; LANES]) -> Self {
        BlockQ4K { scales: GroupScales::pack(rows), q: pack_nibbles(rows.map(|row| &row[16..])) }
    }
    #[inline(always)]
    fn scales<S: Lanes>(&self, s: S, group: usize) -> ScaleOffset<S> {
        self.scales.group(s, group)
    }
    #[inline(always)]
    fn weights<S: Lanes>(&self, s: S, scales: ScaleOffset<S>, k: usize) -> S::F {
        s.mul_add(scales.scale, s.to_f32(nibbles(s, &self.q[k / 32], k % 32)), scales.offset)
    }
}

impl Block for BlockQ5K {
    const K: usize = 256;
    const GROUP: usize = 32;
    const WORD: usize = 8;
    const PANELS: usize = 2;
    type Scales<S: Lanes> = ScaleOffset<S>;

    fn pack(rows: [&[u8]; LANES]) -> Self {
        let mut high = [[0; LANES]; GROUPS];
        for (lane, row) in rows.iter().enumerate() {
            // Byte j of the high bits: bit g belongs to input 32g + j.
            for (j, &bits) in row[16..48].iter().enumerate() {
                for (group, words) in high.iter_mut().enumerate() {
                    words[lane] |= u32::from(bits >> group & 1) << (j % 4 * 8 + j / 4);
                }
            }
        }
        BlockQ5K { scales: GroupScales::pack(rows), q: pack_nibbles(rows.map(|row| &row[48..])), high }
    }
    #[inline(always)]
    fn scales<S: Lanes>(&self, s: S, group: usize) -> ScaleOffset<S> {
        self.scales.group(s, group)
    }
    #[inline(always)]
    fn weights<S: Lanes>(&self, s: S, scales: ScaleOffset<S>, k: usize) -> S::F {
        let q = five_bits(s, &self.q[k / 32], &self.high[k / 32], k % 32);
        s.mul_add(scales.scale, s.to_f32(q), scales.offset)
    }
}

impl Block for BlockQ6K {
    const K: usize = 256;
    const GROUP: usize = 16;
    const WORD: usize = 8;
    const PANELS: usize = 2;
    type Scales<S: Lanes> = ScaleOffset<S>;

    fn pack(rows: [&[u8]; LANES]) -> Self {
        let mut block = BlockQ6K {
            d: rows.map(|row| half(row, 208)),
            scales: [[0; LANES]; 16],
            q: [[[0; LANES]; 4]; GROUPS],
            high: [[0; LANES]; 16],
        };
        for (lane, row) in rows.iter().enumerate() {
            for k in 0..256 {
                // Each half of 128 inputs is four runs of 32: the low bits of runs 0 and 1 (low nibbles)
                // and 2 and 3 (high nibbles) share 64 bytes, the high bits of all four share 32.
                let (half, run, j) = (k / 128, k % 128 / 32, k % 32);
                let low = row[64 * half + 32 * (run % 2) + j] >> (4 * (run / 2)) & 15;
                let high = row[128 + 32 * half + j] >> (2 * run) & 3;
                block.q[k / 32][k % 32 / 8][lane] |= u32::from(low) << (k % 4 * 8 + k % 8 / 4 * 4);
                block.high[k / 16][lane] |= u32::from(high) << (k % 4 * 8 + k % 16 / 4 * 2);
            }
            for (group, scales) in block.scales.iter_mut().enumerate() {
                scales[lane] = row[192 + group] as i8;
            }
        }
        block
    }
    #[inline(always)]
    fn scales<S: Lanes>(&self, s: S, group: usize) -> ScaleOffset<S> {
        let scale = s.mul(s.load_f16(&self.d), s.to_f32(s.load_i8(&self.scales[group])));
        ScaleOffset { scale, offset: s.mul(scale, s.splat(-32.0)) }
    }
    #[inline(always)]
    fn weights<S: Lanes>(&self, s: S, scales: ScaleOffset<S>, k: usize) -> S::F {
        let high = s.bits(s.load_words(&self.high[k / 16]), (k % 4 * 8 + k % 16 / 4 * 2) as u32, 3);
        let q = s.or(nibbles(s, &self.q[k / 32], k % 32), s.shift_left(high, 4));
        s.mul_add(scales.scale, s.to_f32(q), scales.offset)
    }
}

impl IntegerBlock for BlockQ4K {
    integer_block!(15);

    #[inline(always)]
    fn words<S: Lanes>(&self, s: S, i: usize) -> [[S::I; 4]; 2] {
        nibble_words(s, &self.q[i])
    }
}

impl IntegerBlock for BlockQ5K {
    integer_block!(31);

    #[inline(always)]
    fn words<S: Lanes>(&self, s: S, i: usize) -> [[S::I; 4]; 2] {
        five_bit_words(s, &self.q[i], &self.high[i])
    }
}

impl IntegerBlock for BlockQ6K {
    integer_block!(63);

    #[inline(always)]
    fn words<S: Lanes>(&self, s: S, i: usize) -> [[S::I; 4]; 2] {
        let mut words = nibble_words(s, &self.q[i]);
        for (half, words) in words.iter_mut().enumerate() {
            let high = s.load_words(&self.high[2 * i + half]);
            for (w, word) in words.iter_mut().enumerate() {
                *word = s.or(*word, s.shift_left(s.bits(high, 2 * w as u32, 0x0303_0303), 4));
            }
        }
        words
    }
}

impl GroupScales {
    /// Reads `d`, `dmin` and the twelve bytes that hold eight scales and eight minimums of six bits.
    fn pack(rows: [&[u8]; LANES]) -> Self {
        let mut out = GroupScales {
            d: rows.map(|row| half(row, 0)),
            dmin: rows.map(|row| half(row, 2)),
            scales: [[0; LANES]; GROUPS],
            mins: [[0; LANES]; GROUPS],
        };
        for (lane, row) in rows.iter().enumerate() {
            let packed = &row[4..16];
            for group in 0..GROUPS {
                let (scale, min) = if group < 4 {
                    (packed[group] & 63, packed[group + 4] & 63)
                } else {
                    let (both, scale_top, min_top) = (packed[group + 4], packed[group - 4], packed[group]);
                    (both & 15 | scale_top >> 6 << 4, both >> 4 | min_top >> 6 << 4)
                };
                (out.scales[group][lane], out.mins[group][lane]) = (scale, min);
            }
        }
        out
    }

    #[inline(always)]
    fn group<S: Lanes>(&self, s: S, group: usize) -> ScaleOffset<S> {
        let minus_dmin = s.mul(s.load_f16(&self.dmin), s.splat(-1.0));
        ScaleOffset {
            scale: s.mul(s.load_f16(&self.d), s.to_f32(s.load_u8(&self.scales[group]))),
            offset: s.mul(minus_dmin, s.to_f32(s.load_u8(&self.mins[group]))),
        }
    }
}

/// 128 bytes a row, each run of 32 bytes holding group `2i` low and group `2i + 1` high, to nibble words.
fn pack_nibbles(rows: [&[u8]; LANES]) -> [Nibbles; GROUPS] {
    let mut q = [[[0; LANES]; 4]; GROUPS];
    for (group, words) in q.iter_mut().enumerate() {
        for (w, words) in words.iter_mut().enumerate() {
            let at = group / 2 * 32 + 8 * w;
            *words = rows.map(|row| join_nibbles(eight(&row[at..]) >> (4 * (group % 2))));
        }
    }
    q
}
