//! A shape: the size of each dimension, outermost first, with an element count that fits the address space.

use std::fmt;
use std::ops::Deref;

use crate::error::Error;

/// The dimensions of a tensor in row-major order: `[rows, columns]`, the last one running fastest.
///
/// A shape derefs to its dimensions, so `shape[0]`, `shape.len()` (the number of dimensions) and `shape.iter()`
/// work. The product of its non-zero dimensions is at most `isize::MAX`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    dims: Vec<usize>,
}

impl Shape {
    /// The shape with these dimensions; no dimensions at all stand for a single element.
    pub fn new(dims: impl Into<Vec<usize>>) -> Result<Shape, Error> {
        let dims = dims.into();
        let size =
            dims.iter().filter(|&&dim| dim != 0).try_fold(1usize, |product, &dim| product.checked_mul(dim));
        match size {
            Some(size) if size <= isize::MAX as usize => Ok(Shape { dims }),
            _ => Err(Error::ShapeTooLarge { shape: dims }),
        }
    }

    /// The sizes, outermost first.
    pub fn dims(&self) -> &[usize] {
        &self.dims
    }

    /// How many elements there are.
    pub fn elements(&self) -> usize {
        self.dims.iter().product()
    }

    /// How many dimensions there are.
    pub fn rank(&self) -> usize {
        self.dims.len()
    }

    /// Size of the last dimension: the elements that lie next to each other. 1 when there are no dimensions.
    pub fn row_len(&self) -> usize {
        self.dims.last().copied().unwrap_or(1)
    }

    /// Elements between neighbours along each dimension when all elements lie in row-major order without gaps.
    pub fn contiguous_strides(&self) -> Vec<usize> {
        let mut strides = vec![1; self.dims.len()];
        for dim in (1..self.dims.len()).rev() {
            strides[dim - 1] = strides[dim] * self.dims[dim].max(1);
        }
        strides
    }
}

/// The number of rows of a matrix with `len` elements and `columns` columns.
///
/// # Panics
/// If the last row is not whole; `what` names the operation or the argument.
#[track_caller]
pub(crate) fn rows_of(what: &str, len: usize, columns: usize) -> usize {
    assert!(
        columns > 0 && len.is_multiple_of(columns),
        "{what}: length {len} is not a multiple of {columns}"
    );
    len / columns
}

impl Deref for Shape {
    type Target = [usize];

    fn deref(&self) -> &[usize] {
        &self.dims
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.dims)
    }
}
