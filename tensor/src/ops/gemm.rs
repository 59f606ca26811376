//! `C = A · B` for matrices as they lie in memory, and the sum of a matrix's rows.

use super::operations;
use crate::kernels::gemm::{Factor, GemmPart, MC, PackPanels, ROWS};
use crate::operands::{Gemm, Start, View, ViewMut};
use crate::pool::Team;
use crate::pool::parts::{Cut, Grid, OutputTile};
use crate::simd::LANES;

/// `out = start + a · b + bias`: `a` is `[m, k]`, `b` is `[k, n]`, `bias` is `[n]`, and `out` is `[m, n]`.
///
/// Each output starts where `start` says and adds up its products in order of `k`,
/// `sum = a·b + sum` rounded once a step; the bias comes last.
///
/// # Panics
/// If the shapes do not fit, or a matrix has neither rows nor columns that are neighbours in memory.
pub fn gemm(team: &Team<'_>, product: Gemm<'_>, out: ViewMut<'_>) {
    check(product, &out);
    operations(team).gemm(product, out);
}

#[track_caller]
fn check(Gemm { a, b, start, bias }: Gemm<'_>, out: &ViewMut<'_>) {
    assert_eq!(a.columns, b.rows, "gemm: columns of A and rows of B");
    assert_eq!(out.shape(), [a.rows, b.columns], "gemm: shape of the output");
    assert!(bias.is_none_or(|bias| bias.len() == b.columns), "gemm: a bias for each column");
    if let Start::At(view) = start {
        assert_eq!(view.shape(), out.shape(), "gemm: shape of the start");
        assert!(view.column_stride == 1, "gemm: the columns of the start are not neighbours in memory");
    }
    for (name, matrix) in [("A", a), ("B", b)] {
        let fits = matrix.column_stride == 1 || matrix.row_stride == 1;
        assert!(fits, "gemm: neither rows nor columns of {name} are neighbours in memory");
    }
}

/// The product by the kernels.
pub(super) fn share_out(team: &Team<'_>, Gemm { a, b, start, bias }: Gemm<'_>, out: ViewMut<'_>) {
    let (rows, panels) = (a.rows, b.columns.div_ceil(LANES));
    if rows == 0 || panels == 0 {
        return;
    }
    // Packing a matrix as a whole pays if more than one block of rows will use it.
    let mut packed = Vec::new();
    let mut factor = Factor::View(b);
    if b.column_stride != 1 || (a.column_stride == 1 && rows > MC) {
        packed.resize(panels * b.rows, [0.0; LANES]);
        team.run_on_pieces(&mut packed, (PACK_PANELS * b.rows).max(1), |i, out| {
            let panels = i * PACK_PANELS..panels.min((i + 1) * PACK_PANELS);
            team.level().run(PackPanels { b, panels, out });
        });
        factor = Factor::Packed { panels: &packed, k: b.rows };
    }
    let matrix = OutputTile::new(out.data, rows, b.columns, out.row_stride);
    // Cut the longer side, so that what all parts read is the smaller matrix.
    let (mut row_share, mut column_share) = (rows, b.columns);
    if rows >= b.columns {
        let parts = rows.div_ceil(MC).next_multiple_of(2 * team.threads());
        row_share = rows.div_ceil(parts).next_multiple_of(ROWS);
    } else {
        column_share = panels.div_ceil(2 * team.threads()).next_multiple_of(2) * LANES;
    }
    let grid = Grid::new(matrix, Cut::every(rows, row_share), Cut::every(b.columns, column_share));
    team.run_on_parts(grid, |_, out| team.level().run(GemmPart { a, b: factor, start, bias, out }));
}

/// Panels of `B` that one part packs.
const PACK_PANELS: usize = 4;

/// `out[c] ← out[c] + Σ_r x[r][c]`, rows in order: the gradient of a bias. `x` is `[rows, columns]`, `out` is
/// `[columns]`.
///
/// # Panics
/// If the shapes do not fit, or the columns of `x` are not neighbours in memory.
pub fn add_columns(team: &Team<'_>, x: View<'_>, out: &mut [f32]) {
    assert_eq!(x.columns, out.len(), "add_columns: a sum for each column");
    assert!(x.column_stride == 1, "add_columns: the columns of x are not neighbours in memory");
    team.run_on_pieces(out, 4 * LANES, |i, out| {
        // Some vectors of sums stay in registers. One addition a row and column, so every level has these bits.
        for row in 0..x.rows {
            let x = &x.line(row)[i * 4 * LANES..][..out.len()];
            out.iter_mut().zip(x).for_each(|(sum, &x)| *sum += x);
        }
    });
}
