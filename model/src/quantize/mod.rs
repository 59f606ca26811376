//! Quantisation: converts a checkpoint to a GGUF in another number format.
//!
//! A GGUF of any model keeps its metadata and tensor names. A Hugging Face checkpoint is translated: configuration and
//! tokenizer become metadata, tensors get llama.cpp's names, GPT-2's matrices are transposed, and the query and key
//! heads of Llama are interleaved as llama.cpp's rotation requires.
//!
//! Tensors are read, converted and written one after the other, so only one is in memory at a time.

mod convert;
mod from_gguf;
mod from_hf;
mod hf_metadata;
mod mix;

use std::path::{Path, PathBuf};

use glassbox_tensor::file::gguf::{self, Entry, Value};
use glassbox_tensor::{Format, Pool, Tensor};

use crate::error::Error;
use crate::load::{Assembled, Checkpoint, open_gguf};
pub use mix::{Mix, Reason};

/// The plan of a new file: its contents and their sources.
pub struct Quantization {
    metadata: Vec<(String, Value)>,
    tensors: Vec<Planned>,
    notes: Vec<String>,
}

/// A tensor of the new file.
pub struct Planned {
    /// Its name, format and shape in the new file.
    pub entry: Entry,
    /// Its current format.
    pub from: Format,
    /// Why it does not get the mixture's main format; `None` if it does.
    pub reason: Option<Reason>,
    content: Content,
}

/// The source of a tensor's values.
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
    /// As [`Checkpoint::open`]; [`Error::Unsupported`] for a checkpoint that a GGUF cannot express;
    /// [`Error::Tensors`] for tensors that cannot be read.
    pub fn plan(path: impl AsRef<Path>, mix: Mix) -> Result<Quantization, Error> {
        let path = path.as_ref();
        if path.is_dir() {
            let checkpoint = Checkpoint::open(path)?;
            let mut plan = from_hf::plan(&checkpoint, mix)?;
            plan.notes.extend(checkpoint.warnings().iter().map(ToString::to_string));
            Ok(plan)
        } else {
            from_gguf::plan(&open_gguf(path)?, mix)
        }
    }

    /// The tensors of the new file.
    pub fn tensors(&self) -> &[Planned] {
        &self.tensors
    }

    /// The metadata of the new file.
    pub fn metadata(&self) -> &[(String, Value)] {
        &self.metadata
    }

    /// Notes for the user, a sentence each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Writes the file under a temporary name and renames it when it is complete. Calls `progress` for each tensor
    /// before its conversion.
    ///
    /// # Errors
    /// [`Error::Unconvertible`] for a tensor with values that the format cannot represent; [`Error::Tensor`] if the
    /// file cannot be written.
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

    /// Size of the tensors in bytes.
    pub fn bytes(&self) -> usize {
        self.entry.format.bytes_for(self.entry.shape.elements()).unwrap_or(usize::MAX)
    }
}

/// Sets the metadata about the quantisation.
fn set_type(metadata: &mut Vec<(String, Value)>, mix: Mix) {
    for (key, value) in [("general.file_type", mix.file_type()), ("general.quantization_version", 2)] {
        metadata.retain(|(known, _)| known != key);
        metadata.push((key.to_owned(), Value::U32(value)));
    }
}

/// The error for parts that a GGUF cannot express.
fn unsupported(path: &Path, parts: Vec<String>) -> Error {
    let path = PathBuf::from(path);
    Error::Unsupported {
        path,
        parts: parts.into_iter().map(|part| format!("{part}, which a GGUF cannot express")).collect(),
    }
}
