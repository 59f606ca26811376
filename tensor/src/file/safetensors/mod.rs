//! safetensors: a JSON header and the data of all tensors, in one file or in several with an index.
//!
//! ```text
//! header length u64 │ {"__metadata__": {…}, "name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, …}
//! tensor data, one after the other without gaps
//! ```
//!
//! A large model is cut into shards, each a file of this kind, and `model.safetensors.index.json` says which tensor is
//! in which. Specification: <https://github.com/huggingface/safetensors#format>.
//!
//! ```no_run
//! use glassbox_tensor::file::safetensors::SafeTensors;
//! let model = SafeTensors::open("smollm2")?; // a directory, a .safetensors file, or an index
//! let embedding = model.tensor("model.embed_tokens.weight")?;
//! println!("{} {}", embedding.format(), embedding.shape());
//! # Ok::<(), glassbox_tensor::error::Error>(())
//! ```

mod header;
mod piece_writer;
mod shards;
mod writer;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{TensorInfo, TensorList};
use crate::error::{Error, FileProblem};
use crate::storage::Storage;
use crate::tensor::Tensor;
pub use piece_writer::PieceWriter;
pub use writer::{write, write_to};

const SINGLE_FILE: &str = "model.safetensors";
const INDEX_FILE: &str = "model.safetensors.index.json";

/// The tensors of a safetensors file, or of a set of shards.
#[derive(Clone, Debug)]
pub struct SafeTensors {
    path: PathBuf,
    shards: Vec<Shard>,
    tensors: TensorList,
    metadata: BTreeMap<String, String>,
}

/// One file.
#[derive(Clone, Debug)]
struct Shard {
    path: PathBuf,
    storage: Storage,
}

impl SafeTensors {
    /// Opens the weights at `path`: a `.safetensors` file, an index (`….index.json`) with its shards, or a directory
    /// that has `model.safetensors` or `model.safetensors.index.json`. Tensors are read when their values are asked
    /// for; what that means for a file which changes meanwhile is said in [`crate::storage`].
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::File`] with what is wrong with a file.
    pub fn open(path: impl AsRef<Path>) -> Result<SafeTensors, Error> {
        let path = path.as_ref();
        if path.is_dir() {
            let (single, index) = (path.join(SINGLE_FILE), path.join(INDEX_FILE));
            if single.exists() {
                return SafeTensors::open_file(&single);
            } else if index.exists() {
                return shards::open(&index);
            }
            let looked_for = "model.safetensors and model.safetensors.index.json";
            return Err(FileProblem::NoWeights { looked_for }.in_file(path));
        }
        match path.extension().is_some_and(|extension| extension == "json") {
            true => shards::open(path),
            false => SafeTensors::open_file(path),
        }
    }

    /// Reads a single file whose bytes are in memory (`Vec<u8>`) or in the program (`&'static [u8]`), or a [`Storage`].
    /// Errors call it `name`.
    ///
    /// # Errors
    /// As [`SafeTensors::open`].
    pub fn from_bytes(name: impl AsRef<Path>, bytes: impl Into<Storage>) -> Result<SafeTensors, Error> {
        SafeTensors::from_storage(name.as_ref(), bytes.into())
    }

    fn open_file(path: &Path) -> Result<SafeTensors, Error> {
        SafeTensors::from_storage(path, Storage::open(path)?)
    }

    fn from_storage(path: &Path, storage: Storage) -> Result<SafeTensors, Error> {
        let header = header::read(path, &storage)?;
        let shard = Shard { path: path.to_owned(), storage };
        let header::Header { tensors, metadata } = header;
        Ok(SafeTensors { path: path.to_owned(), shards: vec![shard], tensors, metadata })
    }

    /// The path of the file or of the index, or the name given to bytes in memory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The paths of the files that hold the tensors; [`TensorInfo::shard`] counts in this order.
    pub fn shard_paths(&self) -> impl Iterator<Item = &Path> {
        self.shards.iter().map(|shard| shard.path.as_path())
    }

    /// The strings under `__metadata__`; those of all shards together.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// The list of tensors in the order of their data, shard by shard.
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
        let info = self.tensors.find(name).map_err(|problem| problem.in_file(&self.path))?;
        let shard = &self.shards[info.shard];
        info.open(&shard.storage).map_err(|problem| problem.in_file(&shard.path))
    }
}
