//! Everything that can go wrong in this crate, as one typed error.
//!
//! An [`Error`] about a file carries its path and a [`FileProblem`], which names the tensor or key.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

pub use crate::file::FileProblem;
use crate::format::Format;

/// An error of the tensor crate.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused to open, read, map or write a file.
    Io {
        /// The file.
        path: PathBuf,
        /// What was being done, such as `"open"`.
        doing: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// The content of a file is not what it has to be.
    File {
        /// The file, or the name given to bytes in memory.
        path: PathBuf,
        /// What is wrong with it.
        problem: Box<FileProblem>,
    },
    /// The element count of a shape does not fit the address space.
    ShapeTooLarge {
        /// The dimensions.
        shape: Vec<usize>,
    },
    /// A number of elements was given that is not the one the shape has.
    ElementCount {
        /// The dimensions.
        shape: Vec<usize>,
        /// Elements the shape has.
        expected: usize,
        /// Elements given.
        found: usize,
    },
    /// A number of bytes was given that is not the one shape and format ask for.
    ByteCount {
        /// The number format.
        format: Format,
        /// The dimensions.
        shape: Vec<usize>,
        /// Bytes they take.
        expected: usize,
        /// Bytes given.
        found: usize,
    },
    /// A row is not a whole number of blocks.
    PartialBlock {
        /// The number format.
        format: Format,
        /// Elements in the row.
        elements: usize,
    },
    /// A dimension number is not below the number of dimensions.
    NoSuchDimension {
        /// The dimension asked for, counted from 0.
        dim: usize,
        /// The dimensions there are.
        shape: Vec<usize>,
    },
    /// A range along a dimension is not inside it.
    RangeOutside {
        /// The dimension, counted from 0.
        dim: usize,
        /// First index asked for.
        start: usize,
        /// One past the last index asked for.
        end: usize,
        /// The dimensions there are.
        shape: Vec<usize>,
    },
    /// A range cuts through a block of a quantised format.
    BlockBoundary {
        /// The number format.
        format: Format,
        /// First index asked for.
        start: usize,
        /// One past the last index asked for.
        end: usize,
    },
    /// The elements of a view do not lie one after the other, as the operation needs.
    NotContiguous {
        /// The operation.
        operation: &'static str,
        /// The dimensions.
        shape: Vec<usize>,
        /// Elements between neighbours along each dimension.
        strides: Vec<usize>,
    },
    /// A view reaches past the elements that it is a view of.
    ViewOutside {
        /// The dimensions of the view.
        shape: Vec<usize>,
        /// Elements between neighbours along each dimension.
        strides: Vec<usize>,
        /// Elements there are.
        len: usize,
    },
    /// Elements cannot be viewed in place as `f32`: they have another format, or another alignment or byte order.
    NotF32Memory {
        /// The number format.
        format: Format,
    },
    /// A tensor with another number of dimensions than is needed.
    Rank {
        /// How many dimensions it should have.
        expected: usize,
        /// The dimensions it has.
        shape: Vec<usize>,
    },
    /// The operating system refused the threads of a pool.
    Threads {
        /// How many were asked for.
        wanted: usize,
        /// The system's reason.
        reason: String,
    },
    /// There is not enough memory.
    Memory {
        /// How much was asked for.
        bytes: usize,
        /// The system's reason.
        reason: String,
    },
    /// A value to be quantised is NaN or infinite.
    NotFinite {
        /// Where it is among the values.
        index: usize,
        /// The value.
        value: f32,
    },
    /// The values of a block are so large that its scale or minimum does not fit an f16.
    ScaleTooLarge {
        /// The number format.
        format: Format,
        /// The block, counted from 0.
        block: usize,
    },
}

impl Error {
    pub(crate) fn io(path: &Path, doing: &'static str, source: io::Error) -> Error {
        Error::Io { path: path.to_owned(), doing, source }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io { path, doing, source } => write!(f, "cannot {doing} {}: {source}", path.display()),
            Error::File { path, problem } => write!(f, "{}: {problem}", path.display()),
            Error::ShapeTooLarge { shape } => write!(f, "shape {shape:?} has more elements than memory"),
            Error::ElementCount { shape, expected, found } => {
                write!(f, "shape {shape:?} has {expected} elements, but {found} were given")
            }
            Error::ByteCount { format, shape, expected, found } => {
                write!(f, "{format} of shape {shape:?} takes {expected} bytes, but {found} were given")
            }
            Error::PartialBlock { format, elements } => {
                let block = format.block_len();
                write!(f, "{elements} elements are not a whole number of {format} blocks of {block}")
            }
            Error::Rank { expected, shape } => {
                write!(f, "a tensor of {expected} dimensions is needed, found shape {shape:?}")
            }
            Error::Threads { wanted, reason } => write!(f, "could not start {wanted} threads: {reason}"),
            Error::Memory { bytes, reason } => write!(f, "no memory for {bytes} bytes: {reason}"),
            Error::NoSuchDimension { dim, shape } => {
                write!(f, "shape {shape:?} has no dimension {dim}, only {} counted from 0", shape.len())
            }
            Error::RangeOutside { dim, start, end, shape } => {
                write!(f, "indices {start}..{end} are not inside dimension {dim} of shape {shape:?}")
            }
            Error::BlockBoundary { format, start, end } => {
                let block = format.block_len();
                write!(f, "indices {start}..{end} cut through a {format} block of {block} elements")
            }
            Error::NotContiguous { operation, shape, strides } => {
                write!(
                    f,
                    "{operation} needs contiguous elements, but shape {shape:?} has strides {strides:?}"
                )
            }
            Error::ViewOutside { shape, strides, len } => {
                write!(f, "a view of shape {shape:?} with strides {strides:?} reaches past {len} elements")
            }
            Error::NotF32Memory { format } => {
                write!(f, "elements in {format} cannot be viewed in place as f32 here: copy them with to_f32")
            }
            Error::NotFinite { index, value } => {
                write!(f, "value {index} is {value}, which has no quantised form")
            }
            Error::ScaleTooLarge { format, block } => {
                write!(f, "the values of {format} block {block} are too large for its f16 scale")
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { source, .. } => Some(source),
            Error::File { problem, .. } => problem.source(),
            _ => None,
        }
    }
}
