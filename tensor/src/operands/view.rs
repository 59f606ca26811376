//! Matrices in slices: views with strides, and the arguments of a product of two of them.

use std::ops::Range;

use crate::error::Error;
use crate::tensor::Tensor;

/// A matrix in a slice: element `(r, c)` is `data[r · row_stride + c · column_stride]`. It copies nothing.
///
/// ```
/// use glassbox_tensor::{Tensor, View};
/// let data = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
/// let matrix = View::new(&data, 2, 3);
/// assert_eq!(matrix.transposed().to_vec(), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
/// // Every second column, by strides.
/// let some = View::strided(&data, [2, 2], [3, 2])?;
/// assert_eq!(some.to_vec(), [1.0, 3.0, 4.0, 6.0]);
/// // To a tensor and back.
/// let tensor = Tensor::from(some);
/// assert_eq!(View::try_from(&tensor)?.to_vec(), some.to_vec());
/// # Ok::<(), glassbox_tensor::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) row_stride: usize,
    pub(crate) column_stride: usize,
}

impl<'a> View<'a> {
    /// The matrix `[rows, columns]` that `data` holds row after row.
    ///
    /// # Panics
    /// If `data` has another length.
    #[track_caller]
    pub fn new(data: &'a [f32], rows: usize, columns: usize) -> View<'a> {
        assert_eq!(Some(data.len()), rows.checked_mul(columns), "elements of a matrix [{rows}, {columns}]");
        View { data, rows, columns, row_stride: columns, column_stride: 1 }
    }

    /// The matrix of shape `[rows, columns]` in `data` whose neighbours are `[row_stride, column_stride]` elements
    /// apart. Elements may overlap: with a stride of 0 all rows (or columns) are the same.
    ///
    /// # Errors
    /// [`Error::ViewOutside`] if an element is not in `data`.
    pub fn strided(data: &'a [f32], shape: [usize; 2], strides: [usize; 2]) -> Result<View<'a>, Error> {
        let ([rows, columns], [row_stride, column_stride]) = (shape, strides);
        let last = |count: usize, stride: usize| count.saturating_sub(1).checked_mul(stride);
        let end = last(rows, row_stride).zip(last(columns, column_stride));
        let end = end.and_then(|(down, along)| down.checked_add(along)).and_then(|last| last.checked_add(1));
        let needed = if rows == 0 || columns == 0 { Some(0) } else { end };
        if needed.is_none_or(|needed| needed > data.len()) {
            return Err(Error::ViewOutside {
                shape: shape.to_vec(),
                strides: strides.to_vec(),
                len: data.len(),
            });
        }
        Ok(View { data, rows, columns, row_stride, column_stride })
    }

    /// How many rows the matrix has.
    pub fn rows(self) -> usize {
        self.rows
    }

    /// Shape: `[rows, columns]`.
    pub fn shape(self) -> [usize; 2] {
        [self.rows, self.columns]
    }

    /// Elements between neighbouring rows, and between neighbouring columns.
    pub fn strides(self) -> [usize; 2] {
        [self.row_stride, self.column_stride]
    }

    /// Columns `columns` of this matrix.
    ///
    /// # Panics
    /// If it has fewer.
    #[track_caller]
    pub fn columns(self, columns: Range<usize>) -> View<'a> {
        assert!(
            columns.start <= columns.end && columns.end <= self.columns,
            "columns {columns:?} of a matrix with {}",
            self.columns
        );
        let data = &self.data[(columns.start * self.column_stride).min(self.data.len())..];
        View { data, columns: columns.len(), ..self }
    }

    /// Rows `rows` of this matrix.
    ///
    /// # Panics
    /// If it has fewer.
    #[track_caller]
    pub fn row_range(self, rows: Range<usize>) -> View<'a> {
        self.transposed().columns(rows).transposed()
    }

    /// Rows and columns exchanged.
    pub fn transposed(self) -> View<'a> {
        let View { data, rows, columns, row_stride, column_stride } = self;
        View { data, rows: columns, columns: rows, row_stride: column_stride, column_stride: row_stride }
    }

    /// Element `(row, column)`.
    ///
    /// # Panics
    /// If there is no such element.
    #[track_caller]
    pub fn at(self, row: usize, column: usize) -> f32 {
        assert!(row < self.rows && column < self.columns, "({row}, {column}) of {:?}", self.shape());
        self.data[row * self.row_stride + column * self.column_stride]
    }

    /// A copy of all elements, row after row.
    pub fn to_vec(self) -> Vec<f32> {
        (0..self.rows).flat_map(|row| (0..self.columns).map(move |column| self.at(row, column))).collect()
    }

    /// Row `row` of a matrix whose columns are neighbours in memory.
    #[inline(always)]
    pub(crate) fn line(self, row: usize) -> &'a [f32] {
        &self.data[row * self.row_stride..][..self.columns]
    }
}

/// A slice is one row.
impl<'a> From<&'a [f32]> for View<'a> {
    fn from(row: &'a [f32]) -> View<'a> {
        View::new(row, 1, row.len())
    }
}

/// A tensor of one dimension (one row) or two, in `f32`, is viewed where it lies, with its strides.
///
/// # Errors
/// [`Error::Rank`] if it has other dimensions; [`Error::NotF32Memory`] if its elements are not `f32` in this machine's
/// byte order and alignment, for then only a copy can be viewed ([`Tensor::to_f32`]).
impl<'a> TryFrom<&'a Tensor> for View<'a> {
    type Error = Error;

    fn try_from(tensor: &'a Tensor) -> Result<View<'a>, Error> {
        let data = tensor.f32_storage().ok_or(Error::NotF32Memory { format: tensor.format() })?;
        match (tensor.shape().dims(), tensor.strides()) {
            (&[columns], &[stride]) => View::strided(data, [1, columns], [columns, stride]),
            (&[rows, columns], &[down, along]) => View::strided(data, [rows, columns], [down, along]),
            (dims, _) => Err(Error::Rank { expected: 2, shape: dims.to_vec() }),
        }
    }
}

/// A copy of the elements in row-major order.
impl From<View<'_>> for Tensor {
    fn from(view: View<'_>) -> Tensor {
        Tensor::from_f32(view.shape(), view.to_vec()).expect("as many elements as the view's shape has")
    }
}

/// A matrix that is written: row `r` is `data[r · row_stride ..][.. columns]`.
///
/// ```
/// use glassbox_tensor::{Level, Pool, View, ViewMut, ops};
/// let (a, b) = ([1.0, 2.0, 3.0, 4.0], [1.0, 0.0, 1.0, 1.0]);
/// let mut out = [0.0; 6];
/// // The last two of three columns.
/// let columns = ViewMut::new(&mut out, 2, 3).columns(1..3);
/// let product = ops::Gemm::new(View::new(&a, 2, 2), View::new(&b, 2, 2));
/// Pool::new(1, Level::detect())?.enter(|team| ops::gemm(team, product, columns));
/// assert_eq!(out, [0.0, 3.0, 2.0, 0.0, 7.0, 4.0]);
/// # Ok::<(), glassbox_tensor::Error>(())
/// ```
#[derive(Debug)]
pub struct ViewMut<'a> {
    pub(crate) data: &'a mut [f32],
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) row_stride: usize,
}

impl<'a> ViewMut<'a> {
    /// The matrix `[rows, columns]` that `data` holds row after row.
    ///
    /// # Panics
    /// If `data` has another length.
    #[track_caller]
    pub fn new(data: &'a mut [f32], rows: usize, columns: usize) -> ViewMut<'a> {
        assert_eq!(Some(data.len()), rows.checked_mul(columns), "elements of a matrix [{rows}, {columns}]");
        ViewMut { data, rows, columns, row_stride: columns }
    }

    /// The matrix of shape `[rows, columns]` in `data` whose rows begin `row_stride` elements apart; elements between
    /// rows are left as they are.
    ///
    /// # Errors
    /// [`Error::ViewOutside`] if an element is not in `data`, or rows overlap.
    pub fn strided(data: &'a mut [f32], shape: [usize; 2], row_stride: usize) -> Result<ViewMut<'a>, Error> {
        let [rows, columns] = shape;
        View::strided(data, shape, [row_stride, 1])?;
        if columns > row_stride && rows > 1 {
            let (shape, strides) = (shape.to_vec(), vec![row_stride, 1]);
            return Err(Error::ViewOutside { shape, strides, len: data.len() });
        }
        Ok(ViewMut { data, rows, columns, row_stride })
    }

    /// Shape: `[rows, columns]`.
    pub fn shape(&self) -> [usize; 2] {
        [self.rows, self.columns]
    }

    /// Columns `columns` of this matrix.
    ///
    /// # Panics
    /// If it has fewer.
    #[track_caller]
    pub fn columns(self, columns: Range<usize>) -> ViewMut<'a> {
        assert!(
            columns.start <= columns.end && columns.end <= self.columns,
            "columns {columns:?} of a matrix with {}",
            self.columns
        );
        let ViewMut { data, rows, row_stride, .. } = self;
        let from = columns.start.min(data.len());
        ViewMut { data: &mut data[from..], rows, columns: columns.len(), row_stride }
    }

    /// The same matrix for a shorter time.
    pub fn reborrow(&mut self) -> ViewMut<'_> {
        ViewMut { data: self.data, rows: self.rows, columns: self.columns, row_stride: self.row_stride }
    }
}

/// The arguments of [`gemm`](crate::ops::gemm): `out = start + a · b + bias`.
#[derive(Clone, Copy, Debug)]
pub struct Gemm<'a> {
    /// `[m, k]`
    pub a: View<'a>,
    /// `[k, n]`
    pub b: View<'a>,
    /// What each output starts from.
    pub start: Start<'a>,
    /// `[n]`, added to each row at the end.
    pub bias: Option<&'a [f32]>,
}

impl<'a> Gemm<'a> {
    /// `a · b`: starts from zero, without a bias.
    pub fn new(a: View<'a>, b: View<'a>) -> Gemm<'a> {
        Gemm { a, b, start: Start::Zero, bias: None }
    }

    /// The same product, added to what the output holds.
    pub fn accumulate(self) -> Gemm<'a> {
        Gemm { start: Start::Out, ..self }
    }
}

/// What the sums of a product start from.
#[derive(Clone, Copy, Debug)]
pub enum Start<'a> {
    /// Zero.
    Zero,
    /// What the output holds: the product is added to it.
    Out,
    /// Another matrix of the output's shape.
    At(View<'a>),
}
