//! Containers: files that hold named tensors and metadata, read without trusting them.
//!
//! [`gguf`] is the format of llama.cpp, one file with everything in it; [`safetensors`] is that of Hugging Face, one
//! file or several with an index, beside which configuration and tokenizer have files of their own. Files are mapped,
//! not read: opening one looks only at its header, and a tensor is a view of the mapped bytes. What that asks of those
//! who change files is said in [`crate::storage`].

pub mod gguf;
mod problem;
pub mod safetensors;
pub mod temporary;
mod write;

use std::collections::HashMap;
use std::ops::Range;

use crate::format::ElementType;
use crate::shape::Shape;
use crate::storage::Storage;
use crate::tensor::Tensor;
pub use problem::FileProblem;

/// One entry of a file's list of tensors.
#[derive(Clone, Debug)]
pub struct TensorInfo {
    /// The name, unique in its file or set of shards.
    pub name: String,
    /// The element type, which may be one that cannot be read.
    pub element: ElementType,
    /// The dimensions, outermost first: `[out, in]` for the weight of a linear layer.
    pub shape: Shape,
    /// Where its bytes lie, counted from the start of its file. Empty for an element type of unknown size.
    pub bytes: Range<usize>,
    /// Which shard it is in, counted from 0; always 0 in a single file.
    pub shard: usize,
}

impl TensorInfo {
    /// The tensor itself, a view of the file's bytes.
    fn open(&self, file: &Storage) -> Result<Tensor, FileProblem> {
        let ElementType::Format(format) = self.element else {
            let (tensor, found) = (self.name.clone(), self.element.name().to_owned());
            return Err(FileProblem::UnsupportedType { tensor, found });
        };
        let storage =
            file.slice(self.bytes.clone()).expect("the byte range was checked when the file was opened");
        Ok(Tensor::from_storage(format, self.shape.clone(), storage)
            .expect("shape and length were checked when the file was opened"))
    }
}

/// The tensors of a file in file order, found by name.
#[derive(Clone, Debug, Default)]
struct TensorList {
    infos: Vec<TensorInfo>,
    by_name: HashMap<String, usize>,
}

impl TensorList {
    fn push(&mut self, info: TensorInfo) -> Result<(), FileProblem> {
        if self.by_name.insert(info.name.clone(), self.infos.len()).is_some() {
            return Err(FileProblem::DuplicateTensor { tensor: info.name });
        }
        self.infos.push(info);
        Ok(())
    }

    fn get(&self, name: &str) -> Option<&TensorInfo> {
        self.by_name.get(name).map(|&index| &self.infos[index])
    }

    fn find(&self, name: &str) -> Result<&TensorInfo, FileProblem> {
        self.get(name).ok_or_else(|| FileProblem::MissingTensor { tensor: name.to_owned() })
    }
}
