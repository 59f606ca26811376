//! Panels of plain numbers: `f32`, `f16`, `bf16`. A block is one input, its sixteen weights are neighbours.

use super::Block;
use crate::simd::{LANES, Lanes};

/// Sixteen `f32`.
pub(crate) type BlockF32 = [f32; LANES];

/// Sixteen half-precision numbers.
#[derive(Clone, Copy)]
pub(crate) struct BlockF16([u16; LANES]);

/// Sixteen bfloat16 numbers.
#[derive(Clone, Copy)]
pub(crate) struct BlockBf16([u16; LANES]);

macro_rules! one_input_a_block {
    () => {
        const K: usize = 1;
        const GROUP: usize = 1;
        const WORD: usize = 1;
        const PANELS: usize = 4;
        type Scales<S: Lanes> = ();

        #[inline(always)]
        fn scales<S: Lanes>(&self, _: S, _: usize) {}
    };
}

impl Block for BlockF32 {
    one_input_a_block!();

    fn pack(rows: [&[u8]; LANES]) -> Self {
        rows.map(|row| f32::from_le_bytes([row[0], row[1], row[2], row[3]]))
    }
    #[inline(always)]
    fn weights<S: Lanes>(&self, s: S, (): (), _: usize) -> S::F {
        s.load(self)
    }
    #[inline(always)]
    fn as_floats(blocks: &[Self]) -> Option<&[[f32; LANES]]> {
        Some(blocks)
    }
}

impl Block for BlockF16 {
    one_input_a_block!();

    fn pack(rows: [&[u8]; LANES]) -> Self {
        BlockF16(rows.map(|row| u16::from_le_bytes([row[0], row[1]])))
    }
    #[inline(always)]
    fn weights<S: Lanes>(&self, s: S, (): (), _: usize) -> S::F {
        s.load_f16(&self.0)
    }
}

impl Block for BlockBf16 {
    one_input_a_block!();

    fn pack(rows: [&[u8]; LANES]) -> Self {
        BlockBf16(rows.map(|row| u16::from_le_bytes([row[0], row[1]])))
    }
    #[inline(always)]
    fn weights<S: Lanes>(&self, s: S, (): (), _: usize) -> S::F {
        s.load_bf16(&self.0)
    }
}
