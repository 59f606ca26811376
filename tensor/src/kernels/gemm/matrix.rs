//! The matrices of a product, where they lie in memory.

use std::ops::Range;

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
