//! The linear layer's product `y = x · Wᵀ`.

use std::ops::Range;

use crate::activations::Activations;
use crate::kernels::columns::Columns;
use crate::kernels::inputs::{self, InputBlock, Int8, Int16, Precision, Quantize};
use crate::kernels::integer::{IntegerMatmul, TILE_ROWS, rows_side_by_side};
use crate::kernels::matmul::{MANY_ROWS, Matmul};
use crate::pool::Team;
use crate::reference;
use crate::simd::LANES;
use crate::weights::{PackedMatrix, Panels, with_blocks, with_integer_blocks};

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
    let products = products.map(|(weight, out)| Product::new(weight, out, rows));
    let job = Job { x, rows, inputs, products: &products };
    job.compute(team, if integers { team.activations() } else { Activations::F32 });
}

/// One of the matrices and where its results go.
struct Product<'a> {
    weight: &'a PackedMatrix,
    out: Columns<'a>,
    panels: usize,
}

impl<'a> Product<'a> {
    fn new(weight: &'a PackedMatrix, out: &'a mut [f32], rows: usize) -> Product<'a> {
        let outputs = weight.outputs();
        Product { weight, out: Columns::new(out, rows, outputs), panels: outputs.div_ceil(LANES) }
    }
}

/// Not generic over the number of products: the kernels below are compiled once.
struct Job<'a> {
    /// `[rows, inputs]`
    x: &'a [f32],
    rows: usize,
    inputs: usize,
    products: &'a [Product<'a>],
}

impl Job<'_> {
    fn compute(&self, team: &Team<'_>, activations: Activations) {
        match activations {
            Activations::F32 => self.run(team, false, |product, panels| self.floats(team, product, panels)),
            Activations::Int8 => self.run_with_integers::<Int8>(team),
            Activations::Int16 => self.run_with_integers::<Int16>(team),
        }
    }

    /// Shares out the panels of all matrices.
    fn run(&self, team: &Team<'_>, integers: bool, part: impl Fn(&Product<'_>, Range<usize>) + Sync) {
        let panels: usize = self.products.iter().map(|product| product.panels).sum();
        // A share's panels go side by side in fours while few rows are multiplied, else in twos, but for integers.
        let together = match self.rows {
            _ if integers => 1,
            ..MANY_ROWS => 4,
            _ => 2,
        };
        // With few rows memory is the limit, and a thread reads fastest what lies in one piece.
        let share = match self.rows {
            ..=TILE_ROWS => panels.div_ceil(team.threads()).next_multiple_of(together),
            _ => team.share(panels, together),
        };
        let parts = |product: &Product<'_>| product.panels.div_ceil(share);
        team.run(self.products.iter().map(parts).sum(), |mut i| {
            for product in self.products {
                if i < parts(product) {
                    return part(product, i * share..product.panels.min((i + 1) * share));
                }
                i -= parts(product);
            }
        });
    }

    fn run_with_integers<P: Precision>(&self, team: &Team<'_>) {
        P::with_room(|room| {
            let tile_rows = rows_side_by_side(self.rows);
            let (groups, tiles) = (self.inputs / inputs::GROUP, self.rows.div_ceil(tile_rows));
            let len = tiles * groups * tile_rows;
            if room.len() < len {
                room.resize(len, InputBlock::default());
            }
            let room = &mut room[..len];
            // A tile is a piece of work, or is shared out if it is the only one and large enough.
            let shares = if tiles == 1 && self.rows > 1 { 2 * team.threads() } else { 1 };
            let share = groups.div_ceil(shares).max(1);
            team.run_on_pieces(room, share * tile_rows, |i, out| {
                let (tile, first) = if shares == 1 { (i, 0) } else { (0, i * share) };
                let rows = tile * tile_rows..self.rows.min((tile + 1) * tile_rows);
                let (x, inputs) = (&self.x[rows.start * self.inputs..rows.end * self.inputs], self.inputs);
                team.level().run(Quantize { x, inputs, tile_rows, first, out });
            });
            let x = &*room;
            self.run(team, true, |product, panels| {
                let (rows, inputs, out) = (self.rows, self.inputs, &product.out);
                let (first, last) = (panels.start, panels.end);
                with_integer_blocks!(&product.weight.panels,
                    blocks => team.level().run(IntegerMatmul { x, rows, inputs, blocks, first, last, out }),
                    self.floats(team, product, panels));
            });
        });
    }

    fn floats(&self, team: &Team<'_>, product: &Product<'_>, panels: Range<usize>) {
        let (x, rows, inputs, out) = (self.x, self.rows, self.inputs, &product.out);
        let (first, last) = (panels.start, panels.end);
        with_blocks!(&product.weight.panels, blocks => {
            team.level().run(Matmul { x, rows, inputs, blocks, first, last, out });
        });
    }
}

/// The same by the reference, one output's weights at a time.
fn plain(activations: Activations, x: &[f32], weight: &PackedMatrix, out: &mut [f32]) {
    let (inputs, outputs) = (weight.inputs(), weight.outputs());
    assert_eq!(out.len(), x.len() / inputs * outputs, "matmul: outputs for every row");
    let mut row = vec![0.0; inputs];
    let mut column = vec![0.0; x.len() / inputs];
    let x_integers = reference::IntegerInputs::round(activations, x);
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
