//! Copies of the tiny checkpoints, to be changed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use glassbox_model::{Checkpoint, Error};
use glassbox_tensor::Tensor;
use glassbox_tensor::file::gguf::{self, Gguf};
use glassbox_tensor::file::safetensors::{self, SafeTensors};
use serde_json::Value;
use tempfile::TempDir;

/// Where a tiny checkpoint lies.
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny").join(name)
}

/// A copy of a checkpoint's directory; gone when dropped.
pub(crate) struct Changed {
    directory: TempDir,
}

impl Changed {
    /// A copy of a tiny checkpoint, all but its golden.
    pub(crate) fn copy(name: &str) -> Changed {
        let directory = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(fixture(name)).unwrap() {
            let entry = entry.unwrap();
            if entry.file_name() != "golden.safetensors" {
                fs::copy(entry.path(), directory.path().join(entry.file_name())).unwrap();
            }
        }
        Changed { directory }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Changes a JSON file.
    pub(crate) fn json(self, file: &str, change: impl FnOnce(&mut Value)) -> Changed {
        let path = self.path().join(file);
        let mut value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        change(&mut value);
        fs::write(path, value.to_string()).unwrap();
        self
    }

    /// Changes `model.safetensors`.
    pub(crate) fn tensors(self, change: impl FnOnce(&mut BTreeMap<String, Tensor>)) -> Changed {
        let path = self.path().join("model.safetensors");
        let file = SafeTensors::open(&path).unwrap();
        let named =
            |info: &glassbox_tensor::file::TensorInfo| (info.name.clone(), file.tensor(&info.name).unwrap());
        let mut tensors = file.tensors().iter().map(named).collect();
        change(&mut tensors);
        safetensors::write(&path, &BTreeMap::new(), &tensors).unwrap();
        self
    }

    pub(crate) fn open(&self) -> Result<Checkpoint, Error> {
        Checkpoint::open(self.path())
    }
}

/// What a GGUF holds.
pub(crate) struct Content {
    pub(crate) metadata: Vec<(String, gguf::Value)>,
    pub(crate) tensors: BTreeMap<String, Tensor>,
}

impl Content {
    /// Removes a key, or gives it a value.
    pub(crate) fn set(&mut self, key: &str, value: impl Into<Option<gguf::Value>>) {
        self.metadata.retain(|(name, _)| name != key);
        self.metadata.extend(value.into().map(|value| (key.to_string(), value)));
    }
}

/// A tiny checkpoint's GGUF, changed, in memory.
pub(crate) fn changed_gguf(name: &str, change: impl FnOnce(&mut Content)) -> Result<Checkpoint, Error> {
    let path = fixture("gguf").join(format!("{name}.gguf"));
    let file = Gguf::open(&path).unwrap();
    let named =
        |info: &glassbox_tensor::file::TensorInfo| (info.name.clone(), file.tensor(&info.name).unwrap());
    let tensors = file.tensors().iter().map(named).collect();
    let mut content = Content { metadata: file.metadata().to_vec(), tensors };
    change(&mut content);
    let mut bytes = Vec::new();
    gguf::write_to(&mut bytes, &path, &content.metadata, &content.tensors).unwrap();
    Checkpoint::open_gguf(Gguf::from_bytes(&path, bytes)?)
}
