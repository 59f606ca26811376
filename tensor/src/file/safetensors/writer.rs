//! Writing a safetensors file.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::header::MAX_HEADER_BYTES;
use crate::error::{Error, FileProblem};
use crate::file::write::{self, Named, Output};
use crate::format::Format;
use crate::tensor::Tensor;

/// Writes tensors to `path`, in the order given, and strings to its `__metadata__`.
///
/// A file of that name is replaced only when the new one is complete. Tensors are written one by one as they are; of a
/// view that is not contiguous a copy is made for that. The data begins at a multiple of 8 bytes.
///
/// # Errors
/// If a name occurs twice or is `__metadata__`, if a tensor is quantised (safetensors knows F32, F16 and BF16 of our
/// formats), or if the file cannot be written.
pub fn write<S: AsRef<str>, T: Borrow<Tensor>>(
    path: impl AsRef<Path>,
    metadata: &BTreeMap<String, String>,
    tensors: impl IntoIterator<Item = (S, T)>,
) -> Result<(), Error> {
    let path = path.as_ref();
    write::replace(path, |file| write_to(file, path, metadata, tensors))
}

/// Like [`write()`], to anything that takes bytes. Errors call it `name`.
pub fn write_to<S: AsRef<str>, T: Borrow<Tensor>>(
    writer: impl Write,
    name: impl AsRef<Path>,
    metadata: &BTreeMap<String, String>,
    tensors: impl IntoIterator<Item = (S, T)>,
) -> Result<(), Error> {
    let path = name.as_ref();
    let tensors = Named::collect(tensors).map_err(|problem| problem.in_file(path))?;
    let entries = tensors
        .iter()
        .map(|(name, tensor)| (name, tensor.format(), tensor.shape().dims(), tensor.byte_len()));
    let header = encode_header(metadata, entries).map_err(|problem| problem.in_file(path))?;

    let mut output = Output::new(writer, path);
    output.put(&header)?;
    for (name, tensor) in tensors.iter() {
        output.put_tensor(name, tensor)?;
    }
    output.finish()
}

/// The length of the header and the header, filled up with spaces to a multiple of 8 bytes. A tensor is a name, a
/// format, dimensions and a number of bytes.
pub(super) fn encode_header<'a>(
    metadata: &BTreeMap<String, String>,
    tensors: impl Iterator<Item = (&'a str, Format, &'a [usize], usize)>,
) -> Result<Vec<u8>, FileProblem> {
    let mut entries = Vec::new();
    let mut start = 0;
    for (name, format, shape, byte_len) in tensors {
        let Some(dtype) = format.safetensors_name() else {
            return Err(FileProblem::CannotStore { tensor: name.to_owned(), format });
        };
        if name == "__metadata__" {
            return Err(FileProblem::ReservedName { tensor: name.to_owned() });
        }
        let end = start + byte_len;
        entries.push((name, Entry { dtype, shape, data_offsets: (start, end) }));
        start = end;
    }
    let json = Json { metadata, entries };
    let mut header =
        serde_json::to_vec(&json).map_err(|source| FileProblem::BadJson { part: "header", source })?;
    header.resize(header.len().next_multiple_of(8), b' ');
    match header.len() as u64 {
        len @ 0..=MAX_HEADER_BYTES => Ok([&len.to_le_bytes(), &header[..]].concat()),
        found => Err(FileProblem::HeaderTooLarge { found, limit: MAX_HEADER_BYTES }),
    }
}

#[derive(Serialize)]
struct Entry<'a> {
    dtype: &'static str,
    shape: &'a [usize],
    data_offsets: (usize, usize),
}

struct Json<'a> {
    metadata: &'a BTreeMap<String, String>,
    entries: Vec<(&'a str, Entry<'a>)>,
}

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if !self.metadata.is_empty() {
            map.serialize_entry("__metadata__", self.metadata)?;
        }
        for (name, entry) in &self.entries {
            map.serialize_entry(name, entry)?;
        }
        map.end()
    }
}
