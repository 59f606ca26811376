//! A tensor file: GGUF or safetensors.

use std::path::Path;

use glassbox_tensor::Tensor;
use glassbox_tensor::file::TensorInfo;
use glassbox_tensor::file::gguf::Gguf;
use glassbox_tensor::file::safetensors::SafeTensors;

use crate::error::Error;

/// A tensor file.
pub(crate) enum Container {
    Gguf(Gguf),
    SafeTensors(SafeTensors),
}

impl Container {
    pub(crate) fn path(&self) -> &Path {
        match self {
            Container::Gguf(file) => file.path(),
            Container::SafeTensors(file) => file.path(),
        }
    }

    pub(crate) fn tensors(&self) -> &[TensorInfo] {
        match self {
            Container::Gguf(file) => file.tensors(),
            Container::SafeTensors(file) => file.tensors(),
        }
    }

    pub(crate) fn info(&self, name: &str) -> Option<&TensorInfo> {
        match self {
            Container::Gguf(file) => file.tensor_info(name),
            Container::SafeTensors(file) => file.tensor_info(name),
        }
    }

    pub(crate) fn tensor(&self, name: &str) -> Result<Tensor, Error> {
        Ok(match self {
            Container::Gguf(file) => file.tensor(name)?,
            Container::SafeTensors(file) => file.tensor(name)?,
        })
    }
}
