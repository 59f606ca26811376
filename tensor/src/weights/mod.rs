//! A weight matrix in the order the matmul kernels read it: panels of sixteen outputs.
//!
//! A file stores a linear layer's weight as `[outputs, inputs]`, one output after the other. The kernels
//! keep sixteen outputs in the sixteen lanes of a vector and loop over the inputs, so at load time sixteen rows at a
//! time are interleaved into a *panel*: for input `k`, the sixteen weights are neighbours.
//!
//! ```text
//! file:   row 0: k0 k1 k2 …       panel 0:  k0 of rows 0..16, k1 of rows 0..16, …
//!         row 1: k0 k1 k2 …       panel 1:  k0 of rows 16..32, …
//! ```
//!
//! Quantised weights stay quantised: a block of a panel holds the same bits as sixteen blocks of the file, and
//! gives one vector of sixteen weights at a time, with exactly the value that
//! [`quant::dequantize`](crate::quant::dequantize) gives.

mod floats;
mod k_blocks;
mod memory;
mod rows;
mod small_blocks;

pub(crate) use floats::{BlockBf16, BlockF16, BlockF32};
pub(crate) use k_blocks::{BlockQ4K, BlockQ5K, BlockQ6K};
pub(crate) use memory::Blocks;
pub use rows::IntegerRow;
pub(crate) use small_blocks::{BlockQ4_0, BlockQ4_1, BlockQ5_0, BlockQ5_1, BlockQ8_0};
pub(crate) use small_blocks::{ScaleOffset, eight_words};

use std::cell::RefCell;
use std::fmt;

use crate::error::Error;
use crate::format::Format;
use crate::operands::View;
use crate::pool::Team;
use crate::simd::{LANES, Lanes, Precision, Tile};
use crate::tensor::Tensor;

/// Sixteen outputs × [`Block::K`] inputs of a weight matrix.
pub(crate) trait Block: Copy + Send + Sync + 'static {
    /// Inputs in a block.
    const K: usize;
    /// Inputs that share one set of scales; divides [`Block::K`].
    const GROUP: usize;
    /// Inputs whose weights are unpacked from one word; divides [`Block::GROUP`].
    const WORD: usize;
    /// Panels that the one-row kernel goes through side by side, to hide the latency of multiply-add.
    const PANELS: usize;
    /// What all weights of a group share, in registers.
    type Scales<S: Lanes>: Copy;

    /// Interleaves one block of the file from each of sixteen rows.
    fn pack(rows: [&[u8]; LANES]) -> Self;
    /// The scales of inputs `group * GROUP ..`.
    fn scales<S: Lanes>(&self, s: S, group: usize) -> Self::Scales<S>;
    /// The sixteen weights of input `k`, whose group's scales are given.
    fn weights<S: Lanes>(&self, s: S, scales: Self::Scales<S>, k: usize) -> S::F;
    /// The weights of a panel's blocks, input after input, if they are stored as `f32`.
    #[inline(always)]
    fn as_floats(_: &[Self]) -> Option<&[[f32; LANES]]> {
        None
    }
}

/// A block whose weights are `scale · q + offset` with integers `q`, for products with integer inputs.
pub(crate) trait IntegerBlock: Block {
    /// The largest `q`.
    const LARGEST: u32;

    /// The scale and the offset of group `group`.
    fn scale_offset<S: Lanes>(&self, s: S, group: usize) -> ScaleOffset<S>;
    /// The integers of inputs `32 · i ..`, a byte each: four inputs in a word, in halves of sixteen inputs.
    fn words<S: Lanes>(&self, s: S, i: usize) -> [[S::I; 4]; 2];
    /// For each of `R` rows, in each lane the sum of `16 · N` products.
    fn dot<S: Tile, P: Precision, const N: usize, const R: usize>(
        s: S,
        weights: &[[S::I; 4]; N],
        inputs: [&[P::Words; N]; R],
    ) -> [S::I; R];
}

/// A weight matrix `[outputs, inputs]`, packed for [`ops::matmul`](crate::ops::matmul).
pub struct PackedMatrix {
    outputs: usize,
    inputs: usize,
    format: Format,
    pub(crate) panels: Panels,
}

/// The panels, one after the other, each with all its blocks along the inputs.
pub(crate) enum Panels {
    F32(Blocks<BlockF32>),
    F16(Blocks<BlockF16>),
    Bf16(Blocks<BlockBf16>),
    Q8_0(Blocks<BlockQ8_0>),
    Q4_0(Blocks<BlockQ4_0>),
    Q4_1(Blocks<BlockQ4_1>),
    Q5_0(Blocks<BlockQ5_0>),
    Q5_1(Blocks<BlockQ5_1>),
    Q4K(Blocks<BlockQ4K>),
    Q5K(Blocks<BlockQ5K>),
    Q6K(Blocks<BlockQ6K>),
}

/// Runs `$body` with `$blocks` bound to the panels' blocks, whatever their type.
macro_rules! with_blocks {
    ($panels:expr, $blocks:ident => $body:expr) => {
        match $panels {
            Panels::F32($blocks) => $body,
            Panels::F16($blocks) => $body,
            Panels::Bf16($blocks) => $body,
            Panels::Q8_0($blocks) => $body,
            Panels::Q4_0($blocks) => $body,
            Panels::Q4_1($blocks) => $body,
            Panels::Q5_0($blocks) => $body,
            Panels::Q5_1($blocks) => $body,
            Panels::Q4K($blocks) => $body,
            Panels::Q5K($blocks) => $body,
            Panels::Q6K($blocks) => $body,
        }
    };
}
pub(crate) use with_blocks;

/// Runs `$body` with `$blocks` bound to the panels' blocks if they are quantised, else `$otherwise`.
macro_rules! with_integer_blocks {
    ($panels:expr, $blocks:ident => $body:expr, $otherwise:expr) => {
        match $panels {
            Panels::F32(_) | Panels::F16(_) | Panels::Bf16(_) => $otherwise,
            Panels::Q8_0($blocks) => $body,
            Panels::Q4_0($blocks) => $body,
            Panels::Q4_1($blocks) => $body,
            Panels::Q5_0($blocks) => $body,
            Panels::Q5_1($blocks) => $body,
            Panels::Q4K($blocks) => $body,
            Panels::Q5K($blocks) => $body,
            Panels::Q6K($blocks) => $body,
        }
    };
}
pub(crate) use with_integer_blocks;

impl Default for PackedMatrix {
    /// A matrix without rows.
    fn default() -> PackedMatrix {
        PackedMatrix { outputs: 0, inputs: 0, format: Format::F32, panels: Panels::F32(Blocks::default()) }
    }
}

impl PackedMatrix {
    /// Packs a tensor of shape `[outputs, inputs]`, and releases its pages if it is memory-mapped.
    ///
    /// # Errors
    /// [`Error::Rank`] if the tensor does not have two dimensions, [`Error::Memory`], or what [`Tensor::to_contiguous`]
    /// reports.
    pub fn pack(team: &Team<'_>, tensor: &Tensor) -> Result<PackedMatrix, Error> {
        PackedMatrix::pack_rows(team, tensor, |row| row)
    }

    /// Packs a tensor of shape `[outputs, inputs]` with its rows in another order: output `i` is the
    /// tensor's row `source(i)`, which must be below the number of rows.
    ///
    /// # Errors
    /// As [`PackedMatrix::pack`].
    pub fn pack_rows(
        team: &Team<'_>,
        tensor: &Tensor,
        source: impl Fn(usize) -> usize + Sync,
    ) -> Result<PackedMatrix, Error> {
        let outputs = tensor.shape().dims().first().copied().unwrap_or(0);
        PackedMatrix::pack_some_rows(team, tensor, outputs, source)
    }

    /// Packs `outputs` rows of a tensor of shape `[rows, inputs]`: output `i` is the tensor's row `source(i)`, which
    /// must be below the number of rows.
    ///
    /// # Errors
    /// As [`PackedMatrix::pack`].
    pub fn pack_some_rows(
        team: &Team<'_>,
        tensor: &Tensor,
        outputs: usize,
        source: impl Fn(usize) -> usize + Sync,
    ) -> Result<PackedMatrix, Error> {
        let &[rows, inputs] = tensor.shape().dims() else {
            return Err(Error::Rank { expected: 2, shape: tensor.shape().dims().to_vec() });
        };
        let contiguous = tensor.to_contiguous()?;
        let row_bytes = contiguous.byte_len().checked_div(rows).unwrap_or(0);
        let rows = Rows { tensor: &contiguous, outputs, row_bytes };
        let panels = match tensor.format() {
            Format::F32 => Panels::F32(rows.pack(team, inputs, source)?),
            Format::F16 => Panels::F16(rows.pack(team, inputs, source)?),
            Format::BF16 => Panels::Bf16(rows.pack(team, inputs, source)?),
            Format::Q8_0 => Panels::Q8_0(rows.pack(team, inputs, source)?),
            Format::Q4_0 => Panels::Q4_0(rows.pack(team, inputs, source)?),
            Format::Q4_1 => Panels::Q4_1(rows.pack(team, inputs, source)?),
            Format::Q5_0 => Panels::Q5_0(rows.pack(team, inputs, source)?),
            Format::Q5_1 => Panels::Q5_1(rows.pack(team, inputs, source)?),
            Format::Q4_K => Panels::Q4K(rows.pack(team, inputs, source)?),
            Format::Q5_K => Panels::Q5K(rows.pack(team, inputs, source)?),
            Format::Q6_K => Panels::Q6K(rows.pack(team, inputs, source)?),
        };
        tensor.release_pages();
        Ok(PackedMatrix { outputs, inputs, format: tensor.format(), panels })
    }

    /// Packs a view of shape `[outputs, inputs]` as `f32`.
    ///
    /// # Errors
    /// [`Error::Memory`] if there is not enough.
    pub fn pack_view(team: &Team<'_>, view: View<'_>) -> Result<PackedMatrix, Error> {
        PackedMatrix::pack(team, &Tensor::from(view))
    }

    /// Rows of the matrix: how many outputs the linear layer has.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Columns of the matrix: how many inputs the linear layer has.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// The number format of the weights.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Whether the weights are quantised, so that they can be multiplied with activations in integers.
    pub fn is_quantized(&self) -> bool {
        self.format.block_len() > 1
    }

    /// Bytes in memory.
    pub fn size_bytes(&self) -> usize {
        with_blocks!(&self.panels, blocks => size_of_val::<[_]>(blocks))
    }

    /// Writes row `row` as `f32` to `out` (`[inputs]`): an embedding, when the rows are a vocabulary's.
    ///
    /// # Panics
    /// If `row` or the length of `out` does not fit the matrix.
    pub fn row(&self, row: usize, out: &mut [f32]) {
        assert!(row < self.outputs, "row {row} of a matrix with {} rows", self.outputs);
        assert_eq!(out.len(), self.inputs, "one value for each input");
        with_blocks!(&self.panels, blocks => rows::unpack_row(blocks, row, out));
    }

    /// All weights as `f32`, `[outputs, inputs]`.
    pub fn to_f32(&self) -> Vec<f32> {
        let mut out = vec![0.0; self.outputs * self.inputs];
        if self.inputs > 0 {
            out.chunks_exact_mut(self.inputs).enumerate().for_each(|(row, out)| self.row(row, out));
        }
        out
    }

    /// Row `row` as the integers it is stored in; `None` if the weights are not quantised.
    ///
    /// # Panics
    /// If there is no such row.
    pub(crate) fn integer_row(&self, row: usize) -> Option<IntegerRow> {
        assert!(row < self.outputs, "row {row} of a matrix with {} rows", self.outputs);
        with_integer_blocks!(&self.panels, blocks => Some(rows::integer_row(blocks, row, self.inputs)), None)
    }
}

impl fmt::Debug for PackedMatrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PackedMatrix({}, [{}, {}])", self.format, self.outputs, self.inputs)
    }
}

/// A tensor of its own, `[outputs, inputs]` in `f32`.
impl From<&PackedMatrix> for Tensor {
    fn from(packed: &PackedMatrix) -> Tensor {
        let shape = [packed.outputs, packed.inputs];
        Tensor::from_f32(shape, packed.to_f32()).expect("as many elements as the matrix has")
    }
}

thread_local! {
    /// A scratch buffer for sixteen rows of a file.
    static FILE_ROWS: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A contiguous matrix, whose bytes are row after row, in memory or in a file.
struct Rows<'a> {
    tensor: &'a Tensor,
    outputs: usize,
    row_bytes: usize,
}

impl Rows<'_> {
    /// Packs all panels, split over the team. Rows missing in the last panel are zeros.
    fn pack<B: Block>(
        &self,
        team: &Team<'_>,
        inputs: usize,
        source: impl Fn(usize) -> usize + Sync,
    ) -> Result<Blocks<B>, Error> {
        let per_panel = inputs / B::K;
        let block_bytes = self.row_bytes.checked_div(per_panel).unwrap_or(0);
        let zeros = vec![0; self.row_bytes];
        let len = self.outputs.div_ceil(LANES) * per_panel;
        let pack = |rows: [&[u8]; LANES], push: &mut dyn FnMut(B)| {
            for b in 0..per_panel {
                push(B::pack(rows.map(|row| &row[b * block_bytes..][..block_bytes])));
            }
        };
        Blocks::build(team, len, per_panel.max(1), |panel, push| {
            let lanes = panel * LANES..self.outputs.min((panel + 1) * LANES);
            let len = lanes.len() * self.row_bytes;
            if let Some(bytes) = self.tensor.bytes_in_memory() {
                let mut rows = [zeros.as_slice(); LANES];
                for (row, output) in rows.iter_mut().zip(lanes) {
                    *row = &bytes[source(output) * self.row_bytes..][..self.row_bytes];
                }
                pack(rows, push);
                return Ok(());
            }
            FILE_ROWS.with_borrow_mut(|buffer| {
                buffer.resize(len, 0);
                self.read(buffer, lanes.map(&source))?;
                let mut rows = [zeros.as_slice(); LANES];
                for (row, bytes) in rows.iter_mut().zip(buffer.chunks_exact(self.row_bytes.max(1))) {
                    *row = bytes;
                }
                pack(rows, push);
                Ok(())
            })
        })
    }

    /// Reads rows from the file to `out`, one after the other; those that follow one another in the file, at once.
    fn read(&self, mut out: &mut [u8], sources: impl Iterator<Item = usize>) -> Result<(), Error> {
        let mut sources = sources.peekable();
        while let Some(first) = sources.next() {
            let mut count = 1;
            while sources.next_if_eq(&(first + count)).is_some() {
                count += 1;
            }
            let (rows, rest) = out.split_at_mut(count * self.row_bytes);
            self.tensor.read_bytes(first * self.row_bytes, rows)?;
            out = rest;
        }
        Ok(())
    }
}
