//! A reference: a safetensors file with named values and their token ids.

use std::fs;
use std::path::Path;

use glassbox_tensor::file::safetensors::SafeTensors;

use super::error::Error;

/// A file of values from another implementation (`scripts/dump_reference.py`) or from [`record`](super::record).
#[derive(Clone, Debug)]
pub struct Reference {
    pub(super) file: SafeTensors,
    ids: Vec<u32>,
}

/// The name of the ids.
const IDS: &str = "ids";

impl Reference {
    /// Opens a file. Its ids are a JSON array under `ids` in its metadata, or a tensor `ids` of type I32, I64 or U32.
    ///
    /// # Errors
    /// [`Error::Tensor`] if it is not a safetensors file, [`Error::NoIds`] if it has no ids.
    pub fn open(path: impl AsRef<Path>) -> Result<Reference, Error> {
        let file = SafeTensors::open(path)?;
        let ids = read_ids(&file).map_err(|found| Error::NoIds { path: file.path().to_owned(), found })?;
        Ok(Reference { file, ids })
    }

    /// The ids.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// The file.
    pub fn file(&self) -> &SafeTensors {
        &self.file
    }

    /// The path.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// The names of its values, in the order of the file.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.file.tensors().iter().map(|info| info.name.as_str()).filter(|&name| name != IDS)
    }
}

/// The ids, or a description of what was found instead.
fn read_ids(file: &SafeTensors) -> Result<Vec<u32>, String> {
    let ids = match file.metadata().get(IDS) {
        Some(json) => {
            serde_json::from_str(json).map_err(|error| format!("\"ids\" in its metadata: {error}"))?
        }
        None => read_ids_tensor(file)?,
    };
    if ids.is_empty() { Err("the list of ids is empty".into()) } else { Ok(ids) }
}

/// Integer tensors are not supported by the tensor crate, so their bytes are read here.
fn read_ids_tensor(file: &SafeTensors) -> Result<Vec<u32>, String> {
    let info = file.tensor_info(IDS).ok_or("there are none")?;
    let size = match info.element.name() {
        "I32" | "U32" => 4,
        "I64" => 8,
        other => return Err(format!("the tensor ids has type {other}")),
    };
    let path = file.shard_paths().nth(info.shard).unwrap_or(file.path());
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    let bytes = bytes.get(info.bytes.clone()).ok_or("the file has changed")?;
    let id = |bytes: &[u8]| {
        let (low, high) = bytes.split_at(4);
        let id = u32::from_le_bytes(low.try_into().ok()?);
        // Negative numbers and those above 32 bits are not ids.
        let fits = high.iter().all(|&byte| byte == 0) && (size == 8 || id <= i32::MAX as u32);
        fits.then_some(id)
    };
    let ids: Option<Vec<u32>> = bytes.chunks_exact(size).map(id).collect();
    ids.ok_or_else(|| "the tensor ids has values that are not token ids".into())
}
