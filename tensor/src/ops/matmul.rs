//! The linear layer's product `y = x · Wᵀ`.

use std::cell::RefCell;

use super::with_room;
use crate::activations::Activations;
use crate::kernels::inputs::{self, InputBlock, Int8, Int16, Precision, Quantize};
use crate::kernels::integer::{IntegerMatmul, TILE_ROWS, rows_side_by_side};
use crate::kernels::matmul::{self, MANY_ROWS, Matmul};
use crate::pool::Team;
use crate::pool::parts::{Cut, OutputTile, SideBySide};
use crate::reference;
use crate::simd::LANES;
use crate::weights::{PackedMatrix, Panels, with_blocks, with_integer_blocks};

/// Rows that a thread keeps to itself, at least: each group of rows has to take the weights apart anew.
const GROUP_ROWS: usize = 128;

/// The same for integers where each thread then has a tile, which takes the weights apart in any case. They are read once
/// for each thread, not once for all; but the arithmetic of so many rows takes longer than the reading.
const FEW_GROUP_ROWS: usize = TILE_ROWS;

/// Rows of a multiple of so many inputs, 4096 bytes, lie in the same few places of a first-level cache: too few for the
/// rows of a tile.
const ALIASING: usize = 1024;

thread_local! {
    /// A thread's room for such rows, some way apart.
    static APART: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
    /// A thread's room for unpacked weights.
    static UNPACKED: RefCell<Vec<[f32; LANES]>> = const { RefCell::new(Vec::new()) };
}

/// Into how many parts a thread's share is cut, so that others can help it.
const PARTS_A_THREAD: usize = 4;

/// `out = x · Wᵀ`: `x` is `[rows, inputs]`, `weight` is `[outputs, inputs]`, `out` is `[rows, outputs]`.
///
/// With [`Activations::F32`], and for weights that are not quantised, each output adds up its inputs in order,
/// `sum = x·w + sum` rounded once a step, from zero; quantised weights take part with their exact `f32` value. With other
/// activations the inputs are rounded to integers first, see [`reference::matmul_integers`].
///
/// # Panics
/// If `x` and `out` are not as many rows of inputs and outputs.
pub fn matmul(team: &Team<'_>, x: &[f32], weight: &PackedMatrix, out: &mut [f32]) {
    matmul_each(team, x, [(weight, out)]);
}

/// Several [`matmul`]s of the same `x`, which is prepared once and shared out as one piece of work.
///
/// # Panics
/// As [`matmul`], and if the matrices differ in their inputs.
pub fn matmul_each<const N: usize>(team: &Team<'_>, x: &[f32], products: [(&PackedMatrix, &mut [f32]); N]) {
    let Some(inputs) = products.first().map(|(weight, _)| weight.inputs()) else { return };
    assert!(products.iter().all(|(weight, _)| weight.inputs() == inputs), "matrices of the same inputs");
    let rows = super::rows_of("matmul's input", x.len(), inputs);
    let integers = products.iter().any(|(weight, _)| weight.is_quantized());
    if team.is_reference() {
        return products.into_iter().for_each(|(weight, out)| plain(team.activations(), x, weight, out));
    }
    let weights = products.each_ref().map(|&(weight, _)| weight);
    let mut outs = products.map(|(weight, out)| {
        let outputs = weight.outputs();
        assert_eq!(out.len(), rows * outputs, "matmul: outputs for every row");
        OutputTile::new(out, rows, outputs, outputs)
    });
    let job = Job { x, rows, inputs, weights: &weights };
    job.compute(team, if integers { team.activations() } else { Activations::F32 }, &mut outs);
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
    /// `outs` are `[rows, outputs]`, one for each matrix.
    fn compute(&self, team: &Team<'_>, activations: Activations, outs: &mut [OutputTile<'_>]) {
        match activations {
            Activations::F32 => self.run_with_floats(team, outs),
            Activations::Int8 => self.run_with_integers::<Int8>(team, outs),
            Activations::Int16 => self.run_with_integers::<Int16>(team, outs),
        }
    }

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
        let parts = if self.rows <= TILE_ROWS { 1 } else { PARTS_A_THREAD };
        let shares = (parts * team.threads()).div_ceil(groups).min(panels.div_ceil(together));
        let (rows, panels) = (Cut::new(self.rows, tile, groups), Cut::new(panels, together, shares));
        team.run_on_parts(SideBySide::new(outs, rows, panels), |_, tiles| {
            tiles.for_each(|(matrix, tile)| part(self.weights[matrix], tile));
        });
    }

    /// Into how many groups the rows are cut. A thread keeps to rows of its own where there are enough, `least` for each:
    /// the next operation then finds them near its core.
    fn groups(&self, team: &Team<'_>, least: usize) -> usize {
        (self.rows / least).clamp(1, team.threads())
    }

    fn run_with_floats(&self, team: &Team<'_>, outs: &mut [OutputTile<'_>]) {
        // Panels go side by side in fours while few rows are multiplied, else in twos.
        let together = if self.rows < MANY_ROWS { 4 } else { 2 };
        let mut run = |x: &[f32], x_step| {
            let shares = Shares { groups: self.groups(team, GROUP_ROWS), tile: matmul::TILE_ROWS, together };
            self.run(team, shares, outs, |weight, out| self.floats(team, x, x_step, weight, out));
        };
        if self.rows < matmul::TILE_ROWS || !self.inputs.is_multiple_of(ALIASING) {
            return run(self.x, self.inputs);
        }
        let step = self.inputs + LANES;
        with_room(&APART, self.rows * step, |room| {
            team.run_on_pieces(room, step, |row, out| {
                out[..self.inputs].copy_from_slice(&self.x[row * self.inputs..][..self.inputs]);
            });
            run(room, step);
        });
    }

    fn run_with_integers<P: Precision>(&self, team: &Team<'_>, outs: &mut [OutputTile<'_>]) {
        P::with_room(|room| {
            let few = self.rows <= TILE_ROWS * team.threads();
            let groups = self.groups(team, if few { FEW_GROUP_ROWS } else { GROUP_ROWS });
            let tile_rows = rows_side_by_side(self.rows);
            let (blocks, tiles) = (self.inputs / inputs::BLOCK, self.rows.div_ceil(tile_rows));
            let len = tiles * blocks * tile_rows;
            if room.len() < len {
                room.resize(len, InputBlock::default());
            }
            let room = &mut room[..len];
            // A tile is a piece of work. The only one is shared out, but for a single row, which takes less time than that.
            let shares = if tiles == 1 && self.rows > 1 { team.threads() } else { 1 };
            let share =
                if shares == 1 { blocks } else { blocks.div_ceil(shares).next_multiple_of(P::SPAN_BLOCKS) };
            team.run_on_pieces(room, share.max(1) * tile_rows, |i, out| {
                let (tile, first) = if shares == 1 { (i, 0) } else { (0, i * share) };
                let rows = tile * tile_rows..self.rows.min((tile + 1) * tile_rows);
                let (x, inputs) = (&self.x[rows.start * self.inputs..rows.end * self.inputs], self.inputs);
                team.level().run(Quantize { x, inputs, tile_rows, first, out });
            });
            let x = &*room;
            let shares = Shares { groups, tile: tile_rows, together: 1 };
            self.run(team, shares, outs, |weight, out| {
                let inputs = self.inputs;
                with_integer_blocks!(&weight.panels,
                    blocks => team.level().run(IntegerMatmul { x, tile_rows, inputs, blocks, out }),
                    self.floats(team, self.x, inputs, weight, out));
            });
        });
    }

    /// `x` is `[rows, x_step]`.
    fn floats(&self, team: &Team<'_>, x: &[f32], x_step: usize, weight: &PackedMatrix, out: OutputTile<'_>) {
        let inputs = self.inputs;
        UNPACKED.with_borrow_mut(|room| {
            room.resize(matmul::ROOM, [0.0; LANES]);
            with_blocks!(&weight.panels, blocks => {
                team.level().run(Matmul { x, x_step, inputs, blocks, room, out });
            });
        });
    }
}

/// The same by the reference, one output's weights at a time.
fn plain(activations: Activations, x: &[f32], weight: &PackedMatrix, out: &mut [f32]) {
    let (inputs, outputs) = (weight.inputs(), weight.outputs());
    assert_eq!(out.len(), x.len() / inputs * outputs, "matmul: outputs for every row");
    let mut row = vec![0.0; inputs];
    let mut column = vec![0.0; x.len() / inputs];
    let x_integers = reference::IntegerInputs::round(activations, x, inputs);
    for output in 0..outputs {
        match (&x_integers, weight.integer_row(output)) {
            (Some(x), Some(weight)) => reference::matmul_integers(x, &weight, &mut column),
            _ => {
                weight.row(output, &mut row);
                reference::matmul(x, &row, inputs, &mut column);
            }
        }
        for (out, &value) in out.iter_mut().skip(output).step_by(outputs).zip(&column) {
            *out = value;
        }
    }
}
