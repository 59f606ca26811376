//! One output matrix, written by many threads at once: each has stripes of its own.

use std::marker::PhantomData;

use super::rowwise;
use crate::simd::{LANES, Lanes};

/// A matrix of which every part of a job writes other elements.
pub(crate) struct Output<'a> {
    start: *mut f32,
    rows: usize,
    columns: usize,
    row_step: usize,
    matrix: PhantomData<&'a mut [f32]>,
}

// SAFETY: the only access is `stripe`, whose caller promises that stripes handed out at the same time
// are disjoint.
unsafe impl Sync for Output<'_> {}

impl<'a> Output<'a> {
    /// The matrix `out`, of shape `[rows, columns]`.
    pub(crate) fn new(out: &'a mut [f32], rows: usize, columns: usize) -> Output<'a> {
        assert_eq!(out.len(), rows * columns, "an output of {rows} × {columns}");
        Output::within(out, rows, columns, columns)
    }

    /// The first `columns` columns of the matrix of rows `row_step` apart that `data` holds.
    pub(crate) fn within(data: &'a mut [f32], rows: usize, columns: usize, row_step: usize) -> Output<'a> {
        let enough = rows == 0 || (rows - 1) * row_step + columns <= data.len();
        assert!(enough && columns <= row_step, "an output of {rows} × {columns}, {row_step} apart");
        Output { start: data.as_mut_ptr(), rows, columns, row_step, matrix: PhantomData }
    }

    /// How many columns the matrix has.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// Columns `from..from + 16` of row `row`, cut at the matrix's edge.
    ///
    /// # Safety
    /// No other slice of these elements may be alive.
    #[inline(always)]
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn stripe(&self, row: usize, from: usize) -> &mut [f32] {
        assert!(row < self.rows && from < self.columns);
        let width = LANES.min(self.columns - from);
        // SAFETY: row and columns lie inside the matrix by the assertion and the cut above; that nobody
        // else holds them is the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(row * self.row_step + from), width) }
    }
}

/// Writes sixteen outputs of a row, or as many as the matrix has there.
#[inline(always)]
pub(crate) fn put<S: Lanes>(s: S, out: &Output<'_>, row: usize, panel: usize, sums: S::F) {
    // SAFETY: a part of a job alone has the rows and panels it writes, and the slice ends with this call.
    let out = unsafe { out.stripe(row, panel * LANES) };
    rowwise::put(s, out, 0, sums);
}

/// Reads sixteen outputs of a row, or as many as the matrix has there and zeros.
#[inline(always)]
pub(crate) fn take<S: Lanes>(s: S, out: &Output<'_>, row: usize, panel: usize) -> S::F {
    // SAFETY: as in `put`.
    let out = unsafe { out.stripe(row, panel * LANES) };
    rowwise::sixteen(s, out, 0, 0.0)
}
