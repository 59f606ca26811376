//! Writing GGUF version 3, from tensors that are there or from tensors made one after the other.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::io::Write;
use std::path::Path;

use super::read::{MAX_DIMENSIONS, read_alignment};
use super::value::{Value, encode_string};
use super::{ALIGNMENT_KEY, DEFAULT_ALIGNMENT};
use crate::error::{Error, FileProblem};
use crate::file::write::{self, Named, Output};
use crate::format::Format;
use crate::shape::Shape;
use crate::tensor::Tensor;

/// Writes metadata and tensors to `path`, in the order given.
///
/// A file of that name is replaced only when the new one is complete. Tensors are written one by one as they are; of a
/// view that is not contiguous a copy is made for that. If the metadata has `general.alignment`, the data is aligned to
/// it, otherwise to 32 bytes.
///
/// # Errors
/// If a key or tensor name occurs twice, if `general.alignment` is not a power of two as u32, if a tensor has more than
/// four dimensions or is a view across quantised blocks, or if the file cannot be written.
pub fn write<S: AsRef<str>, T: Borrow<Tensor>>(
    path: impl AsRef<Path>,
    metadata: &[(String, Value)],
    tensors: impl IntoIterator<Item = (S, T)>,
) -> Result<(), Error> {
    let path = path.as_ref();
    write::replace(path, |file| write_to(file, path, metadata, tensors))
}

/// Like [`write()`], to anything that takes bytes. Errors call it `name`.
pub fn write_to<S: AsRef<str>, T: Borrow<Tensor>>(
    writer: impl Write,
    name: impl AsRef<Path>,
    metadata: &[(String, Value)],
    tensors: impl IntoIterator<Item = (S, T)>,
) -> Result<(), Error> {
    let path = name.as_ref();
    let in_file = |problem: FileProblem| problem.in_file(path);
    let tensors = Named::collect(tensors).map_err(in_file)?;
    let alignment = alignment(metadata).map_err(in_file)?;
    let listed: Vec<_> =
        tensors.iter().map(|(name, tensor)| (name, tensor.format(), tensor.shape())).collect();
    let header = encode_header(metadata, &listed, alignment).map_err(in_file)?;

    let mut output = Output::new(writer, path);
    output.put(&header)?;
    output.pad(alignment)?;
    for (name, tensor) in tensors.iter() {
        output.put_tensor(name, tensor)?;
        output.pad(alignment)?;
    }
    output.finish()
}

fn alignment(metadata: &[(String, Value)]) -> Result<u64, FileProblem> {
    match metadata.iter().find(|(key, _)| key == ALIGNMENT_KEY) {
        None => Ok(DEFAULT_ALIGNMENT.into()),
        Some((_, value)) => read_alignment(value).map(u64::from),
    }
}

/// A tensor yet to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name, unique in its file.
    pub name: String,
    /// The number format.
    pub format: Format,
    /// The dimensions, outermost first.
    pub shape: Shape,
}

/// Like [`write()`], with tensors that are made one by one, so that only one of them is in memory: `make(i)` is asked
/// for the bytes of `entries[i]`, in order.
///
/// # Errors
/// As [`write()`], whatever error `make` returns, and [`Error::ByteCount`] if it makes too few or too many bytes.
pub fn write_made<E: From<Error>>(
    path: impl AsRef<Path>,
    metadata: &[(String, Value)],
    entries: &[Entry],
    mut make: impl FnMut(usize) -> Result<Vec<u8>, E>,
) -> Result<(), E> {
    let path = path.as_ref();
    let in_file = |problem: FileProblem| problem.in_file(path);
    let mut names = HashSet::new();
    if let Some(entry) = entries.iter().find(|entry| !names.insert(&entry.name)) {
        return Err(in_file(FileProblem::DuplicateTensor { tensor: entry.name.clone() }).into());
    }
    let alignment = alignment(metadata).map_err(in_file)?;
    let listed: Vec<_> = entries.iter().map(|entry| (&*entry.name, entry.format, &entry.shape)).collect();
    let header = encode_header(metadata, &listed, alignment).map_err(in_file)?;
    write::replace(path, |file| {
        let mut output = Output::new(file, path);
        output.put(&header)?;
        output.pad(alignment)?;
        for (i, entry) in entries.iter().enumerate() {
            let bytes = make(i)?;
            let expected = byte_len(entry.format, &entry.shape);
            if bytes.len() as u64 != expected {
                let (format, shape, found) = (entry.format, entry.shape.to_vec(), bytes.len());
                return Err(Error::ByteCount { format, shape, expected: expected as usize, found }.into());
            }
            output.put(&bytes)?;
            output.pad(alignment)?;
        }
        Ok(output.finish()?)
    })
}

/// Bytes that a tensor takes. What is no whole number of blocks is found out when it is made.
fn byte_len(format: Format, shape: &Shape) -> u64 {
    (shape.elements() / format.block_len()) as u64 * format.block_bytes() as u64
}

/// Everything before the tensor data but the padding.
fn encode_header(
    metadata: &[(String, Value)],
    tensors: &[(&str, Format, &Shape)],
    alignment: u64,
) -> Result<Vec<u8>, FileProblem> {
    let mut header = Vec::from(*b"GGUF");
    header.extend(3u32.to_le_bytes());
    header.extend((tensors.len() as u64).to_le_bytes());
    header.extend((metadata.len() as u64).to_le_bytes());
    let mut keys = HashSet::new();
    for (key, value) in metadata {
        if !keys.insert(key) {
            return Err(FileProblem::DuplicateKey { key: key.clone() });
        }
        encode_string(key, &mut header);
        header.extend(value.value_type().id().to_le_bytes());
        value.encode(&mut header);
    }
    let mut offset = 0u64;
    for &(name, format, shape) in tensors {
        let rank = shape.rank();
        if rank as u64 > MAX_DIMENSIONS {
            let (tensor, found) = (name.to_owned(), rank as u64);
            return Err(FileProblem::TooManyDimensions { tensor, found, limit: MAX_DIMENSIONS });
        }
        encode_string(name, &mut header);
        header.extend((rank as u32).to_le_bytes());
        for &size in shape.iter().rev() {
            header.extend((size as u64).to_le_bytes());
        }
        header.extend(format.ggml_id().to_le_bytes());
        header.extend(offset.to_le_bytes());
        offset = (offset + byte_len(format, shape)).next_multiple_of(alignment);
    }
    Ok(header)
}
