//! GGUF: one file with metadata, tensor list and tensor data, as llama.cpp reads and writes it.
//!
//! ```text
//! "GGUF" │ version u32 │ tensor count u64 │ metadata count u64
//! metadata:     key string │ value type u32 │ value                              for each
//! tensor list:  name string │ rank u32 │ sizes u64… │ element type u32 │ offset u64   for each
//! padding to the alignment (32, or metadata `general.alignment`)
//! tensor data:  every tensor at its offset, a multiple of the alignment
//! ```
//!
//! A string is its length (u64) and its bytes; numbers are little-endian. Sizes are listed innermost first; we turn
//! them round, so that a linear layer's weight is `[out, in]` as everywhere else. Versions 2 and 3 are the same but for
//! a byte order that nobody uses. Specification: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.
//!
//! ```no_run
//! use glassbox_tensor::file::gguf::{Gguf, Optional};
//! let file = Gguf::open("model.gguf")?;
//! let layers = file.get_u32("llama.block_count")?;
//! let base = file.get_f32("llama.rope.freq_base").optional()?.unwrap_or(10_000.0);
//! let embedding = file.tensor("token_embd.weight")?.row_to_f32(1)?;
//! # Ok::<(), glassbox_tensor::error::Error>(())
//! ```

mod read;
mod value;
mod writer;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::{TensorInfo, TensorList};
use crate::error::{Error, FileProblem};
use crate::storage::Storage;
use crate::tensor::Tensor;
pub use value::{Array, Value, ValueType};
pub use writer::{Entry, write, write_made, write_to};

/// The alignment of a file that does not name one.
const DEFAULT_ALIGNMENT: u32 = 32;
const ALIGNMENT_KEY: &str = "general.alignment";

/// An opened GGUF file: its metadata and its tensors.
#[derive(Clone, Debug)]
pub struct Gguf {
    path: PathBuf,
    version: u32,
    alignment: u32,
    metadata: Vec<(String, Value)>,
    by_key: HashMap<String, usize>,
    /// Keys that are not valid UTF-8, or whose string is not.
    not_utf8: Vec<String>,
    tensors: TensorList,
    storage: Storage,
}

impl Gguf {
    /// Opens a file and reads its metadata and list of tensors. Tensors are read when their values are asked for; what
    /// that means for a file which changes meanwhile is said in [`crate::storage`].
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::File`] with what is wrong with the file.
    pub fn open(path: impl AsRef<Path>) -> Result<Gguf, Error> {
        let storage = Storage::open(&path)?;
        read::read(path.as_ref(), storage)
    }

    /// Reads a file whose bytes are in memory (`Vec<u8>`) or in the program (`&'static [u8]`), or a [`Storage`]. Errors
    /// call it `name`.
    ///
    /// # Errors
    /// As [`Gguf::open`].
    pub fn from_bytes(name: impl AsRef<Path>, bytes: impl Into<Storage>) -> Result<Gguf, Error> {
        read::read(name.as_ref(), bytes.into())
    }

    /// The file's path, or the name given to its bytes.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The version of the format, 2 or 3.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The alignment of tensor data, in bytes.
    pub fn alignment(&self) -> u32 {
        self.alignment
    }

    /// Keys and values in file order.
    pub fn metadata(&self) -> &[(String, Value)] {
        &self.metadata
    }

    /// The keys that are not valid UTF-8, or whose value is a string that is not. Each invalid part was replaced by
    /// U+FFFD. Strings in arrays are not among them: [`Gguf::get_str_array`] checks those.
    pub fn not_utf8(&self) -> &[String] {
        &self.not_utf8
    }

    /// The value of a key, if it is there.
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.by_key.get(key).map(|&index| &self.metadata[index].1)
    }

    /// The list of tensors in file order.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors.infos
    }

    /// The entry of a tensor in the list, if it is there.
    pub fn tensor_info(&self, name: &str) -> Option<&TensorInfo> {
        self.tensors.get(name)
    }

    /// A tensor, without copying it.
    ///
    /// # Errors
    /// If there is none of this name, or if its element type cannot be read.
    pub fn tensor(&self, name: &str) -> Result<Tensor, Error> {
        let tensor = self.tensors.find(name).and_then(|info| info.open(&self.storage));
        tensor.map_err(|problem| problem.in_file(&self.path))
    }

    /// An integer of any width that fits u32.
    pub fn get_u32(&self, key: &str) -> Result<u32, Error> {
        self.get(key, "an unsigned 32-bit integer", |value| value.as_integer()?.try_into().ok())
    }

    /// An integer of any width that fits u64.
    pub fn get_u64(&self, key: &str) -> Result<u64, Error> {
        self.get(key, "an unsigned 64-bit integer", |value| value.as_integer()?.try_into().ok())
    }

    /// An integer of any width that fits i32.
    pub fn get_i32(&self, key: &str) -> Result<i32, Error> {
        self.get(key, "a signed 32-bit integer", |value| value.as_integer()?.try_into().ok())
    }

    /// A floating-point number; an f64 is rounded to f32.
    pub fn get_f32(&self, key: &str) -> Result<f32, Error> {
        self.get(key, "a floating-point number", Value::as_f32)
    }

    /// A truth value.
    pub fn get_bool(&self, key: &str) -> Result<bool, Error> {
        self.get(key, "true or false", |value| match value {
            Value::Bool(value) => Some(*value),
            _ => None,
        })
    }

    /// A string.
    pub fn get_str(&self, key: &str) -> Result<&str, Error> {
        self.get(key, "a string", |value| match value {
            Value::String(value) => Some(value.as_str()),
            _ => None,
        })
    }

    /// An array of strings, such as the vocabulary.
    pub fn get_str_array(&self, key: &str) -> Result<Vec<&str>, Error> {
        let array = self.get_array(key, "an array of strings", ValueType::String)?;
        array.strings().map_err(|index| {
            let what = format!("element {index} of metadata key \"{key}\"");
            FileProblem::NotUtf8 { what }.in_file(&self.path)
        })
    }

    /// An array of floating-point numbers, f64 rounded to f32.
    pub fn get_f32_array(&self, key: &str) -> Result<Vec<f32>, Error> {
        self.get(key, "an array of floating-point numbers", |value| match value {
            Value::Array(array) if array.element_type().is_float() => {
                array.scalars().map(|value| value.as_f32()).collect()
            }
            _ => None,
        })
    }

    /// An array of integers of any width, each of which fits i32.
    pub fn get_i32_array(&self, key: &str) -> Result<Vec<i32>, Error> {
        self.get(key, "an array of signed 32-bit integers", |value| match value {
            Value::Array(array) if array.element_type().is_integer() => {
                array.scalars().map(|value| value.as_integer()?.try_into().ok()).collect()
            }
            _ => None,
        })
    }

    /// An array of truth values.
    pub fn get_bool_array(&self, key: &str) -> Result<Vec<bool>, Error> {
        let array = self.get_array(key, "an array of truth values", ValueType::Bool)?;
        Ok(array.scalars().map(|value| matches!(value, Value::Bool(true))).collect())
    }

    fn get_array(&self, key: &str, expected: &'static str, element: ValueType) -> Result<&Array, Error> {
        self.get(key, expected, |value| match value {
            Value::Array(array) if array.element_type() == element => Some(array),
            _ => None,
        })
    }

    fn get<'a, T>(
        &'a self,
        key: &str,
        expected: &'static str,
        convert: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<T, Error> {
        let problem = match self.value(key) {
            None => FileProblem::MissingKey { key: key.to_owned() },
            Some(value) => match convert(value) {
                Some(converted) => return Ok(converted),
                None => FileProblem::WrongValue { key: key.to_owned(), expected, found: value.describe() },
            },
        };
        Err(problem.in_file(&self.path))
    }
}

/// For keys that may be absent: `file.get_u32(key).optional()?` is `None` then, and still an error if the value is of
/// another type.
pub trait Optional<T> {
    /// The value, or `None` if its key is missing.
    fn optional(self) -> Result<Option<T>, Error>;
}

impl<T> Optional<T> for Result<T, Error> {
    fn optional(self) -> Result<Option<T>, Error> {
        match self {
            Err(Error::File { problem, .. }) if matches!(*problem, FileProblem::MissingKey { .. }) => {
                Ok(None)
            }
            other => other.map(Some),
        }
    }
}
