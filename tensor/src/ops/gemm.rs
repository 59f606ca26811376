//! `C = A · B` for matrices as they lie in memory, and the sum of a matrix's rows.

use crate::kernels::gemm::{Factor, Gemm, PackPanels, ROW_BLOCK, ROWS, Start, View};
use crate::pool::Team;
use crate::pool::parts::{Cut, Grid, OutputTile};
use crate::reference;
use crate::simd::LANES;

/// `out = start + a · b + bias`: `a` is `[m, k]`, `b` is `[k, n]`, `bias` is `[n]`, and `out` is the first `n`
/// columns of `m` rows that begin `out_step` elements apart.
///
/// Each output starts where `start` says and adds up its products in order of `k`,
/// `sum = a·b + sum` rounded once a step; the bias comes last.
///
/// # Panics
/// If the shapes do not fit, or a matrix has neither its rows nor its columns side by side.
pub fn gemm(
    team: &Team<'_>,
    a: View<'_>,
    b: View<'_>,
    start: Start<'_>,
    bias: Option<&[f32]>,
    out: &mut [f32],
    out_step: usize,
) {
    assert_eq!(a.columns, b.rows, "gemm: as many columns of A as rows of B");
    assert!(a.is_whole() && b.is_whole(), "gemm: the matrices lie inside their slices");
    assert!(bias.is_none_or(|bias| bias.len() == b.columns), "gemm: a bias for each column");
    if let Start::At(view) = start {
        let fits = (view.rows, view.columns, view.column_step) == (a.rows, b.columns, 1);
        assert!(fits && view.is_whole(), "gemm: a start for each output");
    }
    assert!(a.column_step == 1 || a.row_step == 1, "gemm: A has its rows or its columns side by side");
    if team.is_reference() {
        return reference::gemm(a, b, start, bias, out, out_step);
    }
    assert!(b.column_step == 1 || b.row_step == 1, "gemm: B has its rows or its columns side by side");
    let (rows, panels) = (a.rows, b.columns.div_ceil(LANES));
    if rows == 0 || panels == 0 {
        return;
    }
    // Packing a matrix pays if more than one block of rows will use it.
    let mut packed = Vec::new();
    let mut factor = Factor::View(b);
    if b.column_step != 1 || (a.column_step == 1 && rows > ROW_BLOCK) {
        packed.resize(panels * b.rows, [0.0; LANES]);
        team.run_on_pieces(&mut packed, (PACK_PANELS * b.rows).max(1), |i, out| {
            let panels = i * PACK_PANELS..panels.min((i + 1) * PACK_PANELS);
            team.level().run(PackPanels { b, panels, out });
        });
        factor = Factor::Packed { panels: &packed, inner: b.rows };
    }
    let matrix = OutputTile::new(out, rows, b.columns, out_step);
    // Cut the longer side, so that what all parts read is the smaller matrix.
    let (mut row_share, mut column_share) = (rows, b.columns);
    if rows >= b.columns {
        let parts = rows.div_ceil(ROW_BLOCK).next_multiple_of(2 * team.threads());
        row_share = rows.div_ceil(parts).next_multiple_of(ROWS);
    } else {
        column_share = panels.div_ceil(2 * team.threads()).next_multiple_of(2) * LANES;
    }
    let grid = Grid::new(matrix, Cut::every(rows, row_share), Cut::every(b.columns, column_share));
    team.run_on_parts(grid, |_, out| team.level().run(Gemm { a, b: factor, start, bias, out }));
}

/// Panels of `B` that one part packs.
const PACK_PANELS: usize = 4;

/// `out[c] ← out[c] + Σ_r x[r][c]`, rows in order: the gradient of a bias. `x` is whole rows of `out`'s length.
///
/// # Panics
/// If it is not.
pub fn add_columns(team: &Team<'_>, x: View<'_>, out: &mut [f32]) {
    assert!(
        x.is_whole() && x.columns == out.len() && x.column_step == 1,
        "add_columns: a sum for each column"
    );
    team.run_on_pieces(out, 4 * LANES, |i, out| {
        // Sixteen at a time stay in registers; one addition a row and column, so every level has these bits.
        for row in 0..x.rows {
            let x = &x.data[row * x.row_step + i * 4 * LANES..][..out.len()];
            out.iter_mut().zip(x).for_each(|(sum, &x)| *sum += x);
        }
    });
}
