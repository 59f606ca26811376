//! Making a GGUF of a checkpoint, in another number format.
//!
//! A GGUF keeps its metadata and the names of its tensors, whatever model it is of. A Hugging Face checkpoint is
//! translated: its configuration and tokenizer become metadata, its tensors get llama.cpp's names, GPT-2's transposed
//! matrices are turned, and the query and key heads of a Llama interleaved as llama.cpp's rotation wants them.
//!
//! Tensors are read, converted and written one after the other, so that memory holds one of them.

mod convert;
mod from_gguf;
mod from_hf;
mod hf_metadata;
mod mix;

use std::path::{Path, PathBuf};

use glassbox_tensor::file::gguf::{self, Entry, Gguf, Value};
use glassbox_tensor::{Format, Pool, Tensor};

use crate::error::Error;
use crate::load::{Assembled, Checkpoint};
pub use mix::{Mix, Reason};

/// A file to be written: what will be in it, and where it comes from.
pub struct Quantization {
    metadata: Vec<(String, Value)>,
    tensors: Vec<Planned>,
    notes: Vec<String>,
}

/// A tensor of the new file.
pub struct Planned {
    /// Name, format and shape it will have.
    pub entry: Entry,
    /// The format it has.
    pub from: Format,
    /// Why it gets another format than most, if it does.
    pub reason: Option<Reason>,
    content: Content,
}

/// Where a tensor's numbers come from.
enum Content {
    /// A tensor of the same shape.
    Whole(Tensor),
    /// Rows of other tensors.
    Assembled(Assembled),
}

impl Quantization {
    /// Plans the conversion of the GGUF or Hugging Face directory at `path`. Nothing is written.
    ///
    /// # Errors
    /// As [`Checkpoint::open`]; [`Error::Unsupported`] for a checkpoint that a GGUF cannot describe;
    /// [`Error::Tensors`] for tensors that cannot be read.
    pub fn plan(path: impl AsRef<Path>, mix: Mix) -> Result<Quantization, Error> {
        let path = path.as_ref();
        if path.is_dir() {
            from_hf::plan(&Checkpoint::open(path)?, mix)
        } else {
            from_gguf::plan(&Gguf::open(path)?, mix)
        }
    }

    /// What will be in the file.
    pub fn tensors(&self) -> &[Planned] {
        &self.tensors
    }

    /// The keys and values it will have.
    pub fn metadata(&self) -> &[(String, Value)] {
        &self.metadata
    }

    /// What the user should know, a sentence each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Writes the file, which until it is complete has another name. `progress` is told of each tensor before it is
    /// converted.
    ///
    /// # Errors
    /// [`Error::Unconvertible`] naming a tensor with values that the format cannot hold; [`Error::Tensor`] if the file
    /// cannot be written.
    pub fn write(
        &self,
        pool: &Pool,
        out: impl AsRef<Path>,
        mut progress: impl FnMut(&Planned),
    ) -> Result<(), Error> {
        let entries: Vec<Entry> = self.tensors.iter().map(|planned| planned.entry.clone()).collect();
        gguf::write_made(out, &self.metadata, &entries, |i| {
            let planned = &self.tensors[i];
            progress(planned);
            let bytes = convert::convert(pool, planned)
                .map_err(|source| Error::Unconvertible { tensor: planned.entry.name.clone(), source })?;
            match &planned.content {
                Content::Whole(tensor) => tensor.release_pages(),
                Content::Assembled(tensor) => tensor.release_pages(),
            }
            Ok(bytes)
        })
    }
}

impl Planned {
    fn new(name: String, tensor: Tensor, (format, reason): (Format, Option<Reason>)) -> Planned {
        let entry = Entry { name, format, shape: tensor.shape().clone() };
        Planned { entry, from: tensor.format(), reason, content: Content::Whole(tensor) }
    }

    /// Bytes it will take.
    pub fn bytes(&self) -> usize {
        self.entry.format.bytes_for(self.entry.shape.elements()).unwrap_or(usize::MAX)
    }
}

/// What every new file says about itself, in place of what the old one said.
fn set_type(metadata: &mut Vec<(String, Value)>, mix: Mix) {
    for (key, value) in [("general.file_type", mix.file_type()), ("general.quantization_version", 2)] {
        metadata.retain(|(known, _)| known != key);
        metadata.push((key.to_owned(), Value::U32(value)));
    }
}

/// Something that a GGUF cannot describe.
fn unsupported(path: &Path, parts: Vec<String>) -> Error {
    let path = PathBuf::from(path);
    Error::Unsupported { path, parts: parts.into_iter().map(|part| format!("{part}, in a GGUF")).collect() }
}
