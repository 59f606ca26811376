//! The matrices of a product, where they lie: factors that are read, and an output that many threads write.

use std::marker::PhantomData;
use std::ops::Range;

use crate::simd::LANES;

/// A matrix in a slice: element `(r, c)` is `data[r · row_step + c · column_step]`.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) row_step: usize,
    pub(crate) column_step: usize,
}

impl<'a> View<'a> {
    /// The matrix `[rows, columns]` that `data` holds row after row.
    ///
    /// # Panics
    /// If `data` has another length.
    pub fn new(data: &'a [f32], rows: usize, columns: usize) -> View<'a> {
        assert_eq!(data.len(), rows * columns, "a matrix of {rows} × {columns}");
        View { data, rows, columns, row_step: columns, column_step: 1 }
    }

    /// How many rows the matrix has.
    pub fn rows(self) -> usize {
        self.rows
    }

    /// Columns `columns` of this matrix.
    ///
    /// # Panics
    /// If it has fewer.
    pub fn columns(self, columns: Range<usize>) -> View<'a> {
        assert!(columns.start <= columns.end && columns.end <= self.columns, "columns of the matrix");
        let data = &self.data[(columns.start * self.column_step).min(self.data.len())..];
        View { data, columns: columns.len(), ..self }
    }

    /// Rows and columns exchanged.
    pub fn transposed(self) -> View<'a> {
        let View { data, rows, columns, row_step, column_step } = self;
        View { data, rows: columns, columns: rows, row_step: column_step, column_step: row_step }
    }

    pub(crate) fn at(self, row: usize, column: usize) -> f32 {
        self.data[row * self.row_step + column * self.column_step]
    }

    /// Whether every element lies in `data`.
    pub(crate) fn is_whole(self) -> bool {
        let last = |count: usize, step: usize| count.saturating_sub(1) * step;
        self.rows == 0
            || self.columns == 0
            || last(self.rows, self.row_step) + last(self.columns, self.column_step) < self.data.len()
    }
}

/// Where the sums of a product start.
#[derive(Clone, Copy, Debug)]
pub enum Start<'a> {
    /// At zero.
    Zero,
    /// At what the output holds: the product is added to it.
    Out,
    /// At another matrix of the output's shape.
    At(View<'a>),
}

/// The output matrix, of which every part of a job writes other elements.
pub(crate) struct Out<'a> {
    start: *mut f32,
    rows: usize,
    columns: usize,
    row_step: usize,
    matrix: PhantomData<&'a mut [f32]>,
}

// SAFETY: the only access is `stripe`, whose caller promises that stripes handed out at the same time
// are disjoint.
unsafe impl Sync for Out<'_> {}

impl<'a> Out<'a> {
    /// The first `columns` columns of the matrix of `rows` rows of `row_step` that `data` holds.
    pub(crate) fn new(data: &'a mut [f32], rows: usize, columns: usize, row_step: usize) -> Out<'a> {
        let enough = rows == 0 || (rows - 1) * row_step + columns <= data.len();
        assert!(enough && columns <= row_step, "an output of {rows} × {columns}, {row_step} apart");
        Out { start: data.as_mut_ptr(), rows, columns, row_step, matrix: PhantomData }
    }

    /// The up to sixteen columns of panel `panel` in row `row`.
    ///
    /// # Safety
    /// No other slice of these elements may be alive.
    #[inline(always)]
    #[allow(clippy::mut_from_ref)]
    pub(super) unsafe fn stripe(&self, row: usize, panel: usize) -> &mut [f32] {
        let from = panel * LANES;
        assert!(row < self.rows && from < self.columns);
        let width = LANES.min(self.columns - from);
        // SAFETY: row and columns lie inside the matrix by the assertion and the cut above; that nobody
        // else holds them is the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(row * self.row_step + from), width) }
    }
}
