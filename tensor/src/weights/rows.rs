//! Single rows of a packed matrix: one lane of a panel, as `f32` or as the integers it is stored in.

use super::{Block, IntegerBlock, ScaleOffset};
use crate::simd::{Kernel, LANES, Lanes, Level};

/// One output's weights as integers: `w = scale · q + offset`.
#[derive(Clone, Debug)]
pub struct IntegerRow {
    /// The integers, one for each input.
    pub q: Vec<u8>,
    /// The scale and the offset of each group.
    pub groups: Vec<(f32, f32)>,
}

/// Takes lane `row % 16` out of panel `row / 16`.
pub(super) fn unpack_row<B: Block>(blocks: &[B], row: usize, out: &mut [f32]) {
    let per_panel = out.len() / B::K;
    let panel = &blocks[row / LANES * per_panel..][..per_panel];
    for (block, out) in panel.iter().zip(out.chunks_exact_mut(B::K)) {
        Level::Scalar.run(LaneOf { block, lane: row % LANES, out });
    }
}

struct LaneOf<'a, B> {
    block: &'a B,
    lane: usize,
    out: &'a mut [f32],
}

impl<B: Block> Kernel for LaneOf<'_, B> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, s: S) {
        let mut weights = [0.0; LANES];
        for (group, out) in self.out.chunks_exact_mut(B::GROUP).enumerate() {
            let scales = self.block.scales(s, group);
            for (i, out) in out.iter_mut().enumerate() {
                s.store(self.block.weights(s, scales, group * B::GROUP + i), &mut weights);
                *out = weights[self.lane];
            }
        }
    }
}

/// The integers and scales of lane `row % 16` of panel `row / 16`.
pub(super) fn integer_row<B: IntegerBlock>(blocks: &[B], row: usize, inputs: usize) -> IntegerRow {
    let per_panel = inputs / B::K;
    let mut out = IntegerRow { q: Vec::with_capacity(inputs), groups: Vec::new() };
    for block in &blocks[row / LANES * per_panel..][..per_panel] {
        Level::Scalar.run(IntegersOf { block, lane: row % LANES, out: &mut out });
    }
    out
}

struct IntegersOf<'a, B> {
    block: &'a B,
    lane: usize,
    out: &'a mut IntegerRow,
}

impl<B: IntegerBlock> Kernel for IntegersOf<'_, B> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, s: S) {
        let lane = |x: S::F| s.to_array(x)[self.lane];
        for i in 0..B::K / 32 {
            for word in self.block.words(s, i).as_flattened() {
                self.out
                    .q
                    .extend([0, 8, 16, 24].map(|shift| lane(s.to_f32(s.bits(*word, shift, 255))) as u8));
            }
        }
        for group in 0..B::K / B::GROUP {
            let ScaleOffset { scale, offset } = self.block.scale_offset(s, group);
            self.out.groups.push((lane(scale), lane(offset)));
        }
    }
}
