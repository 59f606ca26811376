//! Containers: files that hold named tensors and metadata, read without trusting them.
//!
//! [`gguf`] is the format of llama.cpp, one file with everything in it; [`safetensors`] is that of Hugging Face, one
//! file or several with an index, beside which configuration and tokenizer have files of their own. Opening a file
//! reads only its header, and a tensor is a view of the file: its bytes are read when they are asked for, see
//! [`crate::storage`].

#[cfg(feature = "gguf")]
pub mod gguf;
#[cfg(any(feature = "gguf", feature = "safetensors"))]
mod list;
mod problem;
#[cfg(feature = "safetensors")]
pub mod safetensors;
pub mod temporary;
#[cfg(any(feature = "gguf", feature = "safetensors"))]
mod write;

#[cfg(any(feature = "gguf", feature = "safetensors"))]
pub use list::TensorInfo;
#[cfg(any(feature = "gguf", feature = "safetensors"))]
use list::TensorList;
pub use problem::FileProblem;
