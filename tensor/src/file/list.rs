//! A file's list of tensors.

use std::collections::HashMap;
use std::ops::Range;

use super::FileProblem;
use crate::format::ElementType;
use crate::shape::Shape;
use crate::storage::Storage;
use crate::tensor::Tensor;

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
    pub(super) fn open(&self, file: &Storage) -> Result<Tensor, FileProblem> {
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
pub(super) struct TensorList {
    pub(super) infos: Vec<TensorInfo>,
    by_name: HashMap<String, usize>,
}

impl TensorList {
    pub(super) fn push(&mut self, info: TensorInfo) -> Result<(), FileProblem> {
        if self.by_name.insert(info.name.clone(), self.infos.len()).is_some() {
            return Err(FileProblem::DuplicateTensor { tensor: info.name });
        }
        self.infos.push(info);
        Ok(())
    }

    pub(super) fn get(&self, name: &str) -> Option<&TensorInfo> {
        self.by_name.get(name).map(|&index| &self.infos[index])
    }

    pub(super) fn find(&self, name: &str) -> Result<&TensorInfo, FileProblem> {
        self.get(name).ok_or_else(|| FileProblem::MissingTensor { tensor: name.to_owned() })
    }
}
