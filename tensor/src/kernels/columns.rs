//! One output matrix, written by many threads at once: each has stripes of its own.

use std::marker::PhantomData;

use crate::simd::LANES;

/// A `[rows, columns]` matrix of which every part of a job writes other elements.
pub(crate) struct Columns<'a> {
    start: *mut f32,
    rows: usize,
    columns: usize,
    matrix: PhantomData<&'a mut [f32]>,
}

// SAFETY: the only access is `stripe`, whose caller promises that stripes handed out at the same time
// are disjoint.
unsafe impl Sync for Columns<'_> {}

impl<'a> Columns<'a> {
    /// The matrix `out`, of shape `[rows, columns]`.
    pub(crate) fn new(out: &'a mut [f32], rows: usize, columns: usize) -> Columns<'a> {
        assert_eq!(out.len(), rows * columns, "an output of {rows} × {columns}");
        Columns { start: out.as_mut_ptr(), rows, columns, matrix: PhantomData }
    }

    /// How many columns the matrix has.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// Columns `from..from + width` of row `row`, cut at the matrix's edge; `width` is at most [`LANES`].
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
        unsafe { std::slice::from_raw_parts_mut(self.start.add(row * self.columns + from), width) }
    }
}
