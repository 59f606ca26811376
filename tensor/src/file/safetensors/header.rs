//! Reading a safetensors header, and giving every byte of the data to exactly one tensor.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};

use crate::error::{Error, FileProblem};
use crate::file::{TensorInfo, TensorList};
use crate::format::{ElementType, Format, safetensors_bits};
use crate::shape::Shape;
use crate::storage::Storage;

/// The longest header that the reference reads.
pub(super) const MAX_HEADER_BYTES: u64 = 100_000_000;

/// What a header says.
#[derive(Debug, Default)]
pub(super) struct Header {
    pub(super) tensors: TensorList,
    pub(super) metadata: BTreeMap<String, String>,
}

pub(super) fn read(path: &Path, file: &Storage) -> Result<Header, Error> {
    let truncated = |reading: &str, at: usize, needed: u64| {
        let (reading, available) = (reading.to_owned(), (file.len() - at) as u64);
        FileProblem::Truncated { reading, at: at as u64, needed, available }.in_file(path)
    };
    if file.len() < 8 {
        return Err(truncated("the header length", 0, 8));
    }
    let mut len = [0; 8];
    file.read(0, &mut len)?;
    let len = u64::from_le_bytes(len);
    if len > MAX_HEADER_BYTES {
        return Err(FileProblem::HeaderTooLarge { found: len, limit: MAX_HEADER_BYTES }.in_file(path));
    }
    let data_start = 8 + len as usize;
    let json = file.slice(8..data_start).ok_or_else(|| truncated("the header", 8, len))?;
    let header = parse(&json.bytes()?, data_start, file.len() - data_start);
    header.map_err(|problem| problem.in_file(path))
}

fn parse(json: &[u8], data_start: usize, data_len: usize) -> Result<Header, FileProblem> {
    let json: Json =
        serde_json::from_slice(json).map_err(|source| FileProblem::BadJson { part: "header", source })?;
    let tensors = place_tensors(json.tensors, data_start, data_len)?;
    Ok(Header { tensors, metadata: json.metadata })
}

/// Checks that the tensors, in the order of their offsets, fill the data without gap or overlap.
fn place_tensors(
    mut entries: Vec<(String, Entry)>,
    data_start: usize,
    data_len: usize,
) -> Result<TensorList, FileProblem> {
    entries.sort_by_key(|(_, entry)| entry.data_offsets);
    let mut list = TensorList::default();
    let mut end_before = 0;
    for (tensor, entry) in entries {
        let (start, end) = entry.data_offsets;
        if start > end || end > data_len as u64 {
            return Err(FileProblem::OutsideFile { tensor, start, end, available: data_len as u64 });
        }
        if start < end_before {
            return Err(FileProblem::Overlap { tensor, expected: end_before, found: start });
        }
        if start > end_before {
            return Err(FileProblem::Hole { start: end_before, end: start });
        }
        end_before = end;
        let (element, bits) = element_type(&entry.dtype);
        let sizes: Option<Vec<usize>> = entry.shape.iter().map(|&size| usize::try_from(size).ok()).collect();
        let shape = sizes.and_then(|sizes| Shape::new(sizes).ok());
        let bit_len = shape.as_ref().map(|shape| shape.elements() as u128 * bits.unwrap_or(0) as u128);
        let (Some(shape), Some(bit_len)) = (shape, bit_len) else {
            return Err(FileProblem::TensorTooLarge { tensor, shape: entry.shape });
        };
        let found = end - start;
        if !bit_len.is_multiple_of(8) {
            return Err(FileProblem::PartialByte {
                tensor,
                element: entry.dtype,
                elements: shape.elements(),
            });
        }
        if bits.is_some() && bit_len != u128::from(found) * 8 {
            let expected = u64::try_from(bit_len / 8).unwrap_or(u64::MAX);
            return Err(FileProblem::WrongLength { tensor, expected, found });
        }
        let bytes = data_start + start as usize..data_start + end as usize;
        list.push(TensorInfo { name: tensor, element, shape, bytes, shard: 0 })?;
    }
    if end_before < data_len as u64 {
        return Err(FileProblem::Hole { start: end_before, end: data_len as u64 });
    }
    Ok(list)
}

/// The element type of a dtype and, if the dtype is known, the bits an element takes.
fn element_type(dtype: &str) -> (ElementType, Option<usize>) {
    let element = match Format::from_safetensors_name(dtype) {
        Some(format) => ElementType::Format(format),
        None => ElementType::Other(dtype.to_owned()),
    };
    (element, safetensors_bits(dtype))
}

/// One tensor of the header.
#[derive(Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

/// The header as JSON. Tensors are kept as a list, so that a name that occurs twice is seen.
struct Json {
    metadata: BTreeMap<String, String>,
    tensors: Vec<(String, Entry)>,
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with an entry for each tensor")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let (mut metadata, mut tensors) = (None, Vec::new());
        while let Some(name) = map.next_key::<String>()? {
            if name != "__metadata__" {
                tensors.push((name, map.next_value()?));
            } else if metadata.is_some() {
                return Err(A::Error::custom("__metadata__ occurs twice"));
            } else {
                let UniqueMap(strings) = map.next_value()?;
                metadata = Some(strings);
            }
        }
        Ok(Json { metadata: metadata.unwrap_or_default(), tensors })
    }
}

/// A JSON object whose keys must differ.
pub(super) struct UniqueMap(pub(super) BTreeMap<String, String>);

impl<'de> Deserialize<'de> for UniqueMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<UniqueMap, D::Error> {
        struct Strings;
        impl<'de> Visitor<'de> for Strings {
            type Value = UniqueMap;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<UniqueMap, A::Error> {
                let mut strings = BTreeMap::new();
                while let Some((key, value)) = map.next_entry::<String, String>()? {
                    if strings.contains_key(&key) {
                        return Err(A::Error::custom(format_args!("key \"{key}\" occurs twice")));
                    }
                    strings.insert(key, value);
                }
                Ok(UniqueMap(strings))
            }
        }
        deserializer.deserialize_map(Strings)
    }
}
