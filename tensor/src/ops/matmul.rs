//! The linear layer's product `y = x · Wᵀ`.

use std::cell::RefCell;

use super::{operations, with_scratch};
use crate::activations::Activations;
use crate::kernels::inputs::{self, InputBlock, InputPrecision, Quantize};
use crate::kernels::integer::{self, IntegerMatmul, rows_side_by_side};
use crate::kernels::matmul::{self, MANY_ROWS, Matmul};
use crate::pool::Team;
use crate::pool::parts::{Cut, OutputTile, SideBySide};
use crate::simd::{Int8, Int16, LANES};
use crate::weights::{PackedMatrix, Panels, with_blocks, with_integer_blocks};

/// Rows that a thread keeps to itself, at least: each group of rows has to unpack the weights anew.
const GROUP_ROWS: usize = 128;

/// The same for integers where each thread then has a tile, which unpacks the weights in any case. Each thread then
/// reads all weights, but the arithmetic of so many rows takes longer than the reading.
const FEW_GROUP_ROWS: usize = integer::ROWS;

/// Rows of a multiple of so many inputs, 4096 bytes, lie in the same few places of a first-level cache: too few for the
/// rows of a tile.
const ALIASING: usize = 1024;

thread_local! {
    /// A scratch buffer for such rows, with a stride that avoids this.
    static APART: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
    /// A scratch buffer for unpacked weights.
    static UNPACKED: RefCell<Vec<[f32; LANES]>> = const { RefCell::new(Vec::new()) };
}

/// Parts per thread, so that a thread that is done early can help another.
const PARTS_A_THREAD: usize = 4;

/// `out = x · Wᵀ`: `x` is `[rows, inputs]`, `weight` is `[outputs, inputs]`, `out` is `[rows, outputs]`.
///
/// With [`Activations::F32`], and for weights that are not quantised, each output adds up its inputs in order,
/// `sum = x·w + sum` rounded once a step, from zero; quantised weights are used with their exact `f32` value. With
/// other activations the inputs are quantised to integers first, see
/// [`reference::matmul_integers`](crate::reference::matmul_integers).
///
/// # Panics
/// If `x` and `out` are not as many rows of inputs and outputs.
pub fn matmul(team: &Team<'_>, x: &[f32], weight: &PackedMatrix, out: &mut [f32]) {
    matmul_each(team, x, [(weight, out)]);
}

/// Several [`matmul`]s of the same `x`, which is prepared once and split over the team as one job.
///
/// # Panics
/// As [`matmul`], and if the matrices differ in their inputs.
pub fn matmul_each<const N: usize>(team: &Team<'_>, x: &[f32], products: [(&PackedMatrix, &mut [f32]); N]) {
    let Some(inputs) = products.first().map(|(weight, _)| weight.inputs()) else { return };
    assert!(
        products.iter().all(|(weight, _)| weight.inputs() == inputs),
        "matmul: matrices of the same inputs"
    );
    let rows = super::rows_of("matmul's x", x.len(), inputs);
    let weights = products.each_ref().map(|&(weight, _)| weight);
    let mut outs = products.map(|(weight, out)| {
        assert_eq!(out.len(), rows * weight.outputs(), "matmul: outputs for every row");
        OutputTile::new(out, rows, weight.outputs(), weight.outputs())
    });
    operations(team).matmul(x, &weights, &mut outs);
}

/// The products by the kernels.
pub(super) fn share_out(team: &Team<'_>, x: &[f32], weights: &[&PackedMatrix], outs: &mut [OutputTile<'_>]) {
    let inputs = weights.first().map_or(1, |weight| weight.inputs());
    let job = Job { x, rows: x.len() / inputs, inputs, weights };
    let integers = weights.iter().any(|weight| weight.is_quantized());
    match if integers { team.activations() } else { Activations::F32 } {
        Activations::F32 => job.run_with_floats(team, outs),
        Activations::Int8 => job.run_with_integers::<Int8>(team, outs),
        Activations::Int16 => job.run_with_integers::<Int16>(team, outs),
    }
}

/// How a job is cut into parts.
struct Shares {
    /// Groups of rows.
    groups: usize,
    /// Rows are cut at multiples of it.
    tile: usize,
    /// Panels are cut at multiples of it.
    together: usize,
}

/// Not generic over the number of matrices: the kernels below are compiled once.
struct Job<'a> {
    /// `[rows, inputs]`
    x: &'a [f32],
    rows: usize,
    inputs: usize,
    weights: &'a [&'a PackedMatrix],
}

impl Job<'_> {
    /// Calls `part(matrix, tile)` until every panel of all matrices has met all rows.
    fn run(
        &self,
        team: &Team<'_>,
        Shares { groups, tile, together }: Shares,
        outs: &mut [OutputTile<'_>],
        part: impl Fn(&PackedMatrix, OutputTile<'_>) + Sync,
    ) {
        let panels: usize = outs.iter().map(|out| out.panels().len()).sum();
        // With few rows memory is the limit, and a thread reads fastest what lies in one piece.
        let parts = if self.rows <= integer::ROWS { 1 } else { PARTS_A_THREAD };
        let shares = (parts * team.threads()).div_ceil(groups).min(panels.div_ceil(together));
        let (rows, panels) = (Cut::new(self.rows, tile, groups), Cut::new(panels, together, shares));
        team.run_on_parts(SideBySide::new(outs, rows, panels), |_, tiles| {
            tiles.for_each(|(matrix, tile)| part(self.weights[matrix], tile));
        });
    }

    /// Into how many groups the rows are cut. A thread keeps to rows of its own where there are enough, `least` for
    /// each: the next operation then finds them near its core. A group is at most one block of rows, `mc`.
    fn groups(&self, team: &Team<'_>, least: usize, mc: usize) -> usize {
        (self.rows / least).clamp(1, team.threads()).max(self.rows.div_ceil(mc))
    }

    fn run_with_floats(&self, team: &Team<'_>, outs: &mut [OutputTile<'_>]) {
        // Panels go side by side in fours while few rows are multiplied, else in twos.
        let together = if self.rows < MANY_ROWS { 4 } else { 2 };
        let mut run = |x: &[f32], x_stride| {
            let groups = self.groups(team, GROUP_ROWS, matmul::MC);
            let shares = Shares { groups, tile: matmul::ROWS, together };
            self.run(team, shares, outs, |weight, out| self.floats(team, x, x_stride, weight, out));
        };
        if self.rows < matmul::ROWS || !self.inputs.is_multiple_of(ALIASING) {
            return run(self.x, self.inputs);
        }
        let stride = self.inputs + LANES;
        with_scratch(&APART, self.rows * stride, |x| {
            team.run_on_pieces(x, stride, |row, out| {
                out[..self.inputs].copy_from_slice(&self.x[row * self.inputs..][..self.inputs]);
            });
            run(x, stride);
        });
    }

    fn run_with_integers<P: InputPrecision>(&self, team: &Team<'_>, outs: &mut [OutputTile<'_>]) {
        P::with_scratch(|x| {
            let few = self.rows <= integer::ROWS * team.threads();
            let groups = self.groups(team, if few { FEW_GROUP_ROWS } else { GROUP_ROWS }, integer::MC);
            let tile_rows = rows_side_by_side(self.rows);
            let (blocks, tiles) = (self.inputs / inputs::BLOCK, self.rows.div_ceil(tile_rows));
            let len = tiles * blocks * tile_rows;
            if x.len() < len {
                x.resize(len, InputBlock::default());
            }
            let x = &mut x[..len];
            // A tile is one part. A single tile is split by inputs, except that of a single row, for which sharing
            // costs more than it saves.
            let shares = if tiles == 1 && self.rows > 1 { team.threads() } else { 1 };
            let share = match shares {
                1 => blocks,
                _ => blocks.div_ceil(shares).next_multiple_of(inputs::span_blocks::<P>()),
            };
            team.run_on_pieces(x, share.max(1) * tile_rows, |i, out| {
                let (tile, first) = if shares == 1 { (i, 0) } else { (0, i * share) };
                let rows = tile * tile_rows..self.rows.min((tile + 1) * tile_rows);
                let (x, inputs) = (&self.x[rows.start * self.inputs..rows.end * self.inputs], self.inputs);
                team.level().run(Quantize { x, inputs, tile_rows, first, out });
            });
            let x = &*x;
            let shares = Shares { groups, tile: tile_rows, together: 1 };
            self.run(team, shares, outs, |weight, out| {
                let inputs = self.inputs;
                with_integer_blocks!(&weight.panels,
                    blocks => team.level().run(IntegerMatmul { x, tile_rows, inputs, blocks, out }),
                    self.floats(team, self.x, inputs, weight, out));
            });
        });
    }

    /// `x` is `[rows, x_stride]`.
    fn floats(
        &self,
        team: &Team<'_>,
        x: &[f32],
        x_stride: usize,
        weight: &PackedMatrix,
        out: OutputTile<'_>,
    ) {
        let inputs = self.inputs;
        UNPACKED.with_borrow_mut(|scratch| {
            scratch.resize(matmul::SCRATCH, [0.0; LANES]);
            with_blocks!(&weight.panels, blocks => {
                team.level().run(Matmul { x, x_stride, inputs, blocks, scratch, out });
            });
        });
    }
}
