//! A tensor: a shape, a number format, and a view of shared bytes; views are made without copying.

use std::borrow::Cow;
use std::ops::Range;

use crate::error::Error;
use crate::format::Format;
use crate::quant;
use crate::shape::Shape;
use crate::storage::Storage;

/// Bytes of a file that are read at a time, about.
const FILE_PIECE: usize = 1 << 18;

/// Numbers in a row-major arrangement, or a strided view of one.
///
/// Cloning and slicing share the bytes. In a quantised format the elements of a block lie next to each other in
/// memory, so a view can only cut between blocks; whatever would cut through one is an error.
///
/// ```
/// use glassbox_tensor::tensor::Tensor;
/// let weight = Tensor::from_f32([2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0])?;
/// let column = weight.transpose(0, 1)?.row(2)?;
/// assert_eq!(column.to_f32(), [3.0, 6.0]);
/// # Ok::<(), glassbox_tensor::error::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Tensor {
    format: Format,
    shape: Shape,
    /// Elements between neighbours along each dimension.
    strides: Vec<usize>,
    storage: Storage,
    /// The first element, counted in elements from the start of the storage.
    offset: usize,
}

impl Tensor {
    /// An f32 tensor of `values` in row-major order.
    pub fn from_f32(dims: impl Into<Vec<usize>>, values: Vec<f32>) -> Result<Tensor, Error> {
        let shape = Shape::new(dims)?;
        if values.len() != shape.elements() {
            let expected = shape.elements();
            return Err(Error::ElementCount { shape: shape.to_vec(), expected, found: values.len() });
        }
        Tensor::from_storage(Format::F32, shape, Storage::from_f32(values))
    }

    /// A tensor whose bytes, in row-major order and `format`, are given: a `Vec<u8>` or a `&'static [u8]`.
    pub fn from_bytes(
        format: Format,
        dims: impl Into<Vec<usize>>,
        bytes: impl Into<Storage>,
    ) -> Result<Tensor, Error> {
        Tensor::from_storage(format, Shape::new(dims)?, bytes.into())
    }

    /// A contiguous tensor over storage of exactly the right length.
    pub fn from_storage(format: Format, shape: Shape, storage: Storage) -> Result<Tensor, Error> {
        if !shape.row_len().is_multiple_of(format.block_len()) {
            return Err(Error::PartialBlock { format, elements: shape.row_len() });
        }
        let expected =
            format.bytes_for(shape.elements()).ok_or(Error::ShapeTooLarge { shape: shape.to_vec() })?;
        if expected != storage.len() {
            return Err(Error::ByteCount { format, shape: shape.to_vec(), expected, found: storage.len() });
        }
        Ok(Tensor { format, strides: shape.contiguous_strides(), shape, storage, offset: 0 })
    }

    /// The number format.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The dimensions, outermost first.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Elements between neighbours along each dimension.
    pub fn strides(&self) -> &[usize] {
        &self.strides
    }

    /// How many elements there are.
    pub fn elements(&self) -> usize {
        self.shape.elements()
    }

    /// Bytes of all elements in their format.
    pub fn byte_len(&self) -> usize {
        self.elements() / self.format.block_len() * self.format.block_bytes()
    }

    /// Whether all elements lie in row-major order without gaps.
    pub fn is_contiguous(&self) -> bool {
        // A dimension of size 1 is never stepped along, so its stride does not matter.
        let expected = self.shape.contiguous_strides();
        self.elements() == 0
            || (0..self.shape.rank()).all(|dim| self.shape[dim] == 1 || self.strides[dim] == expected[dim])
    }

    /// The bytes of a contiguous tensor, in row-major order: borrowed if they are in memory, else read from the file.
    ///
    /// # Errors
    /// [`Error::NotContiguous`], or [`Error::Io`] if the file cannot be read.
    pub fn bytes(&self) -> Result<Cow<'_, [u8]>, Error> {
        let range = self.byte_range("bytes")?;
        if let Some(bytes) = self.storage.in_memory() {
            return Ok(Cow::Borrowed(&bytes[range]));
        }
        let mut bytes = vec![0; range.len()];
        self.storage.read(range.start, &mut bytes)?;
        Ok(Cow::Owned(bytes))
    }

    /// Calls `visit` with the bytes of a contiguous tensor, in row-major order, in pieces of whole blocks: all at once
    /// if they are in memory, else as much as is read from the file at a time.
    ///
    /// # Errors
    /// As [`Tensor::bytes`], and what `visit` returns.
    pub(crate) fn each_piece(&self, mut visit: impl FnMut(&[u8]) -> Result<(), Error>) -> Result<(), Error> {
        let range = self.byte_range("bytes")?;
        if let Some(bytes) = self.storage.in_memory() {
            return visit(&bytes[range]);
        }
        let most = (FILE_PIECE / self.format.block_bytes()).max(1) * self.format.block_bytes();
        let mut piece = vec![0; most.min(range.len())];
        for from in range.clone().step_by(most) {
            let piece = &mut piece[..most.min(range.end - from)];
            self.storage.read(from, piece)?;
            visit(piece)?;
        }
        Ok(())
    }

    /// The bytes of a contiguous tensor, if they are in memory.
    pub(crate) fn bytes_in_memory(&self) -> Option<&[u8]> {
        Some(&self.storage.in_memory()?[self.byte_range("bytes").ok()?])
    }

    /// Copies bytes `from..from + out.len()` of a contiguous tensor to `out`.
    ///
    /// # Errors
    /// As [`Tensor::bytes`].
    pub(crate) fn read_bytes(&self, from: usize, out: &mut [u8]) -> Result<(), Error> {
        self.storage.read(self.byte_range("bytes")?.start + from, out)
    }

    /// The elements of a contiguous f32 tensor as they lie in memory; `None` if it is not f32, not contiguous, not in
    /// memory, or does not begin at a multiple of four bytes, or on a big-endian machine.
    pub fn as_f32_slice(&self) -> Option<&[f32]> {
        if self.format != Format::F32 || cfg!(target_endian = "big") {
            return None;
        }
        as_floats(self.bytes_in_memory()?)
    }

    /// The elements of an f32 tensor's storage as they lie in memory, from the tensor's first one on; `None` where
    /// [`Tensor::as_f32_slice`] gives `None` for other reasons than strides.
    pub(crate) fn f32_storage(&self) -> Option<&[f32]> {
        if self.format != Format::F32 || cfg!(target_endian = "big") {
            return None;
        }
        as_floats(&self.storage.in_memory()?[4 * self.offset..])
    }

    /// All elements as f32, in row-major order of this view, dequantised if need be.
    ///
    /// # Panics
    /// If the tensor is in a file that cannot be read any more, see [`Tensor::try_to_f32`].
    pub fn to_f32(&self) -> Vec<f32> {
        self.try_to_f32().unwrap_or_else(|error| panic!("{error}"))
    }

    /// Like [`Tensor::to_f32`], into a slice of exactly [`Tensor::elements`] values.
    ///
    /// # Panics
    /// If `out` has another length, or as [`Tensor::to_f32`].
    pub fn read_f32(&self, out: &mut [f32]) {
        self.try_read_f32(out).unwrap_or_else(|error| panic!("{error}"));
    }

    /// Like [`Tensor::to_f32`], for tensors in files.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read, which of a file that was opened is rare: it was shortened, or its
    /// device failed.
    pub fn try_to_f32(&self) -> Result<Vec<f32>, Error> {
        let mut out = vec![0.0; self.elements()];
        self.try_read_f32(&mut out)?;
        Ok(out)
    }

    /// Like [`Tensor::read_f32`], for tensors in files.
    ///
    /// # Errors
    /// As [`Tensor::try_to_f32`].
    ///
    /// # Panics
    /// If `out` has another length.
    pub fn try_read_f32(&self, out: &mut [f32]) -> Result<(), Error> {
        assert_eq!(out.len(), self.elements(), "output length of a tensor of shape {}", self.shape);
        if out.is_empty() {
            return Ok(());
        }
        if self.is_contiguous() {
            let mut rest = out;
            return self.each_piece(|bytes| {
                let elements = bytes.len() / self.format.block_bytes() * self.format.block_len();
                let (piece, after) = std::mem::take(&mut rest).split_at_mut(elements);
                quant::dequantize(self.format, bytes, piece);
                rest = after;
                Ok(())
            });
        }
        // Elements are read in runs along a dimension in which they are neighbours in memory (for a quantised format
        // there always is one), and written wherever the view's order wants them.
        let out_strides = self.shape.contiguous_strides();
        let run = self.run_dimension();
        let (run_len, run_stride) = run.map_or((1, 1), |dim| (self.shape[dim], out_strides[dim]));
        let mut buffer = vec![0.0; run_len];
        let bytes = self.storage.bytes()?;
        self.for_each_run(run.as_slice(), |element, position| {
            let from = element / self.format.block_len() * self.format.block_bytes();
            let len = run_len / self.format.block_len() * self.format.block_bytes();
            quant::dequantize(self.format, &bytes[from..from + len], &mut buffer);
            for (i, &value) in buffer.iter().enumerate() {
                out[position + i * run_stride] = value;
            }
        });
        Ok(())
    }

    /// Row `index` of a matrix as f32, dequantised if need be.
    pub fn row_to_f32(&self, index: usize) -> Result<Vec<f32>, Error> {
        self.row(index)?.try_to_f32()
    }

    /// The same elements in row-major order without gaps: a clone if they lie so already, else a copy in memory.
    pub fn to_contiguous(&self) -> Result<Tensor, Error> {
        if self.is_contiguous() {
            return Ok(self.clone());
        }
        let run = self.run_dimension();
        let last = self.shape.rank().checked_sub(1);
        let (len, block) = (self.format.block_len(), self.format.block_bytes());
        if self.format.is_quantized() && run != last {
            return Err(self.not_contiguous("copying blocks"));
        }
        let source = self.storage.bytes()?;
        let mut bytes = vec![0; self.byte_len()];
        match (run, last) {
            (Some(near), Some(last)) if near != last && block == 2 => {
                self.copy_squares::<2>(&source, near, last, &mut bytes);
            }
            (Some(near), Some(last)) if near != last && block == 4 => {
                self.copy_squares::<4>(&source, near, last, &mut bytes);
            }
            _ => {
                // Runs along the last dimension if possible, else single elements.
                let run = if run == last { run } else { None };
                let run_len = run.map_or(1, |dim| self.shape[dim]);
                self.for_each_run(run.as_slice(), |element, position| {
                    let (from, to, count) =
                        (element / len * block, position / len * block, run_len / len * block);
                    bytes[to..to + count].copy_from_slice(&source[from..from + count]);
                });
            }
        }
        Tensor::from_storage(self.format, self.shape.clone(), Storage::from(bytes))
    }

    /// Copies elements of `SIZE` bytes to row-major order where not the `last` dimension but the dimension `near` is
    /// the one of neighbours in memory: in squares, so that both sides use all of each cache line they touch.
    fn copy_squares<const SIZE: usize>(&self, source: &[u8], near: usize, last: usize, out: &mut [u8]) {
        const SIDE: usize = 16;
        let (source, out) = (source.as_chunks::<SIZE>().0, out.as_chunks_mut::<SIZE>().0);
        let (rows, columns) = (self.shape[near], self.shape[last]);
        let (out_stride, stride) = (self.shape.contiguous_strides()[near], self.strides[last]);
        self.for_each_run(&[near, last], |element, position| {
            for first_row in (0..rows).step_by(SIDE) {
                for first_column in (0..columns).step_by(SIDE) {
                    for row in first_row..rows.min(first_row + SIDE) {
                        for column in first_column..columns.min(first_column + SIDE) {
                            out[position + row * out_stride + column] =
                                source[element + row + column * stride];
                        }
                    }
                }
            }
        });
    }

    /// The view with dimensions `a` and `b` exchanged.
    pub fn transpose(&self, a: usize, b: usize) -> Result<Tensor, Error> {
        self.check_dim(a)?;
        self.check_dim(b)?;
        let mut dims = self.shape.to_vec();
        let mut view = self.clone();
        dims.swap(a, b);
        view.strides.swap(a, b);
        view.shape = Shape::new(dims)?;
        Ok(view)
    }

    /// The view of indices `range` along dimension `dim`.
    pub fn narrow(&self, dim: usize, range: Range<usize>) -> Result<Tensor, Error> {
        self.check_dim(dim)?;
        let Range { start, end } = range;
        if start > end || end > self.shape[dim] {
            return Err(Error::RangeOutside { dim, start, end, shape: self.shape.to_vec() });
        }
        let block = self.format.block_len();
        if self.is_block_dimension(dim) && !(start.is_multiple_of(block) && end.is_multiple_of(block)) {
            return Err(Error::BlockBoundary { format: self.format, start, end });
        }
        let mut dims = self.shape.to_vec();
        dims[dim] = end - start;
        let mut view = self.clone();
        view.shape = Shape::new(dims)?;
        // An empty view keeps its offset: it has no first element for the offset to point at.
        if view.elements() > 0 {
            view.offset += start * self.strides[dim];
        }
        Ok(view)
    }

    /// The view of index `index` along dimension `dim`, which the result no longer has.
    pub fn select(&self, dim: usize, index: usize) -> Result<Tensor, Error> {
        let end = index.saturating_add(1);
        let mut view = self.narrow(dim, index..end)?;
        let mut dims = view.shape.to_vec();
        dims.remove(dim);
        view.strides.remove(dim);
        view.shape = Shape::new(dims)?;
        Ok(view)
    }

    /// A view of the same elements in another arrangement: `dims` with `strides`, counted in elements, from element
    /// `offset` of this tensor's bytes on. The tensor must be contiguous. Elements may overlap, as they do with a
    /// stride of 0. In a quantised format the elements of a block stay neighbours: one dimension has stride 1 and whole
    /// blocks, and the offset and all other strides are multiples of the block length.
    ///
    /// ```
    /// use glassbox_tensor::Tensor;
    /// let signal = Tensor::from(vec![1.0, 2.0, 3.0, 4.0, 5.0]);
    /// // Every window of three elements.
    /// let windows = signal.strided([3, 3], [1, 1], 0)?;
    /// assert_eq!(windows.to_f32(), [1.0, 2.0, 3.0, 2.0, 3.0, 4.0, 3.0, 4.0, 5.0]);
    /// # Ok::<(), glassbox_tensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NotContiguous`], [`Error::ViewOutside`] if an element would lie outside of this tensor, and
    /// [`Error::PartialBlock`] if the strides cut through a block.
    pub fn strided(
        &self,
        dims: impl Into<Vec<usize>>,
        strides: impl Into<Vec<usize>>,
        offset: usize,
    ) -> Result<Tensor, Error> {
        let range = self.byte_range("a strided view")?;
        let (shape, strides) = (Shape::new(dims)?, strides.into());
        if strides.len() != shape.rank() {
            return Err(Error::Rank { expected: strides.len(), shape: shape.to_vec() });
        }
        let last = shape.iter().zip(&strides).try_fold(offset, |last, (&dim, &stride)| {
            dim.saturating_sub(1).checked_mul(stride).and_then(|reach| last.checked_add(reach))
        });
        if shape.elements() > 0 && last.is_none_or(|last| last >= self.elements()) {
            return Err(Error::ViewOutside { shape: shape.to_vec(), strides, len: self.elements() });
        }
        let (format, block) = (self.format, self.format.block_len());
        if format.is_quantized() {
            let runs = strides.iter().filter(|&&stride| stride == 1).count();
            let run_is_whole = |(&dim, &stride): (&usize, &usize)| match stride {
                1 => dim.is_multiple_of(block),
                _ => stride.is_multiple_of(block),
            };
            if runs != 1 || !offset.is_multiple_of(block) || !shape.iter().zip(&strides).all(run_is_whole) {
                return Err(Error::PartialBlock { format, elements: shape.row_len() });
            }
        }
        let storage = self.storage.slice(range).expect("the bytes of a tensor are inside its storage");
        // An empty view has no first element for the offset to point at.
        let offset = if shape.elements() > 0 { offset } else { 0 };
        Ok(Tensor { format, shape, strides, storage, offset })
    }

    /// Index `index` of the first dimension: row `index` of a matrix.
    pub fn row(&self, index: usize) -> Result<Tensor, Error> {
        self.select(0, index)
    }

    /// The same elements, which must be contiguous, in another shape.
    pub fn reshape(&self, dims: impl Into<Vec<usize>>) -> Result<Tensor, Error> {
        let range = self.byte_range("reshape")?;
        let shape = Shape::new(dims)?;
        if shape.elements() != self.elements() {
            let (expected, found) = (shape.elements(), self.elements());
            return Err(Error::ElementCount { shape: shape.to_vec(), expected, found });
        }
        let storage = self.storage.slice(range).expect("the bytes of a tensor are inside its storage");
        Tensor::from_storage(self.format, shape, storage)
    }

    /// Tells the system that the bytes of this tensor will not be read soon; see [`Storage::release_pages`]. For use
    /// after a weight was copied into another arrangement. Does nothing if the tensor is not contiguous.
    pub fn release_pages(&self) {
        if let Ok(range) = self.byte_range("release") {
            self.storage.release_pages(range);
        }
    }

    /// Where the bytes of a contiguous tensor lie in its storage.
    fn byte_range(&self, operation: &'static str) -> Result<Range<usize>, Error> {
        if !self.is_contiguous() {
            return Err(self.not_contiguous(operation));
        }
        let (len, bytes) = (self.format.block_len(), self.format.block_bytes());
        let start = self.offset / len * bytes;
        Ok(start..start + self.byte_len())
    }

    fn not_contiguous(&self, operation: &'static str) -> Error {
        Error::NotContiguous { operation, shape: self.shape.to_vec(), strides: self.strides.clone() }
    }

    fn check_dim(&self, dim: usize) -> Result<(), Error> {
        match dim < self.shape.rank() {
            true => Ok(()),
            false => Err(Error::NoSuchDimension { dim, shape: self.shape.to_vec() }),
        }
    }

    /// Whether blocks run along `dim`. Along every other dimension of a quantised tensor the stride is a multiple of
    /// the block length.
    fn is_block_dimension(&self, dim: usize) -> bool {
        self.format.is_quantized() && self.strides[dim] == 1
    }

    /// The last dimension along which neighbours are neighbours in memory.
    fn run_dimension(&self) -> Option<usize> {
        (0..self.shape.rank()).rev().find(|&dim| self.strides[dim] == 1)
    }

    /// Calls `visit(element in storage, position in row-major order)` for the start of every run along the dimensions
    /// `runs`: for every element if there are none.
    fn for_each_run(&self, runs: &[usize], mut visit: impl FnMut(usize, usize)) {
        if self.elements() == 0 {
            return;
        }
        let out_strides = self.shape.contiguous_strides();
        let outer: Vec<usize> = (0..self.shape.rank()).filter(|dim| !runs.contains(dim)).collect();
        let mut index = vec![0; outer.len()];
        loop {
            let step = |strides: &[usize]| -> usize {
                outer.iter().zip(&index).map(|(&dim, &i)| i * strides[dim]).sum()
            };
            visit(self.offset + step(&self.strides), step(&out_strides));
            // Counts up like an odometer, the last dimension fastest.
            let Some(turning) = (0..outer.len()).rev().find(|&k| index[k] + 1 < self.shape[outer[k]]) else {
                return;
            };
            index[turning] += 1;
            index[turning + 1..].fill(0);
        }
    }
}

/// Bytes as the `f32` they are in this machine's byte order; `None` if they do not begin at a multiple of four bytes.
fn as_floats(bytes: &[u8]) -> Option<&[f32]> {
    // SAFETY: every pattern of 32 bits is an f32, and `align_to` itself takes care of alignment and length.
    let (before, values, after) = unsafe { bytes.align_to::<f32>() };
    (before.is_empty() && after.is_empty()).then_some(values)
}

/// One dimension.
impl From<Vec<f32>> for Tensor {
    fn from(values: Vec<f32>) -> Tensor {
        let shape = Shape::new([values.len()]).expect("a vector's length fits the address space");
        Tensor::from_storage(Format::F32, shape, Storage::from_f32(values)).expect("four bytes an element")
    }
}

/// A copy with one dimension.
impl From<&[f32]> for Tensor {
    fn from(values: &[f32]) -> Tensor {
        Tensor::from(values.to_vec())
    }
}
