//! Tensors for a GPT: number formats, file containers, and operations with one order of summation.
//!
//! This crate knows no models: no families, names or configurations. It holds what they are computed with, and stands
//! on its own.
//!
//! - [`Tensor`]: a [`Shape`], a number [`Format`] and bytes that are in memory, in a file or part of
//!   the program; views of it copy nothing.
//! - [`mod@quant`]: what the bytes of each format mean, and how to make them.
//! - [`mod@file`]: GGUF and safetensors, read without trusting them, and written.
//! - [`Pool`], [`Level`]: how many threads compute, and with which vector instructions.
//! - [`View`], [`PackedMatrix`]: matrices of `f32` in a slice, and weights in the order that products read them.
//! - [`ops`]: matmul, norms, softmax, activations, rotary embedding, attention over a cache.
//! - [`mod@reference`]: the same operations as plain loops. **Read it first.**
//! - [`machine`]: what this machine can do at best, to hold an operation's speed against.
//!
//! # A tour
//!
//! ```
//! use glassbox_tensor::{Format, Level, PackedMatrix, Pool, Tensor, ops, quant, reference};
//!
//! // A linear layer's weight, [outputs, inputs], quantised to four bits a number.
//! let (outputs, inputs) = (3, 64);
//! let numbers: Vec<f32> = (0..outputs * inputs).map(|i| (i % 7) as f32 - 3.0).collect();
//! let bytes = quant::quantize(Format::Q4_0, &numbers)?;
//! let weight = Tensor::from_bytes(Format::Q4_0, [outputs, inputs], bytes)?;
//! assert_eq!(weight.byte_len(), 3 * 2 * 18); // 18 bytes hold 32 numbers
//!
//! // Two vectors go through the layer, on two threads, with the best instructions there are.
//! let x: Vec<f32> = (0..2 * inputs).map(|i| (i % 5) as f32).collect();
//! let mut y = vec![0.0; 2 * outputs];
//! let pool = Pool::new(2, Level::detect())?;
//! pool.enter(|team| -> Result<(), glassbox_tensor::Error> {
//!     let packed = PackedMatrix::pack(team, &weight)?;
//!     ops::matmul(team, &x, &packed, &mut y);
//!     Ok(())
//! })?;
//!
//! // The plain version gives the same bits.
//! let mut plain = vec![0.0; 2 * outputs];
//! reference::matmul(&x, &weight.to_f32(), inputs, &mut plain);
//! assert_eq!(y, plain);
//! # Ok::<(), glassbox_tensor::Error>(())
//! ```
//! # Features
//!
//! All are on by default. Without them the crate depends on nothing but the standard library.
//!
//! | feature | what it adds | dependencies |
//! |---|---|---|
//! | `gguf` | reading and writing GGUF files, `file::gguf` | none |
//! | `safetensors` | reading and writing safetensors files, `file::safetensors` | serde, serde_json |
//! | `mmap` | packed weights in mappings of huge pages; `Storage::map`, files that are mapped instead of read | memmap2 |
//! | `train` | backward passes, causal attention over whole sequences, the loss | none |
//! | `rayon` | the threads of a [`Pool`] are rayon's instead of the standard library's | rayon |
//!
//! # Unsafe code
//!
//! It is in the SIMD levels ([`simd`]), in the innermost loops of the kernels, and where memory is shared: by threads
//! (`pool/parts.rs`, `pool/board.rs`), by matrices (`weights/memory.rs`) and with files (`storage.rs`). Each block says
//! why it is sound where it stands: a part of a job has its piece of the output as an exclusive value.
#![deny(unsafe_op_in_unsafe_fn)]
#![warn(missing_debug_implementations)]

pub mod activations;
pub mod cache_format;
mod element;
pub mod error;
pub mod file;
pub mod format;
mod kernels;
pub mod machine;
mod operands;
mod operations;
pub mod ops;
pub mod pool;
pub mod quant;
pub mod reference;
pub mod shape;
pub mod simd;
pub mod storage;
pub mod tensor;
pub mod weights;

pub use activations::Activations;
pub use cache_format::CacheFormat;
pub use error::Error;
pub use format::Format;
pub use operands::{View, ViewMut};
pub use pool::{Engine, Pool, Team};
pub use shape::Shape;
pub use simd::Level;
pub use tensor::Tensor;
pub use weights::PackedMatrix;
