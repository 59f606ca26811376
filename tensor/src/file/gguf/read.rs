//! Reading a GGUF header from bytes that may say anything.
//!
//! Every count and length is compared with the bytes that are left before anything of that size is made, so that
//! memory stays in proportion to the file.

use std::borrow::Cow;
use std::collections::{HashMap, hash_map};
use std::ops::Range;
use std::path::Path;

use super::value::{Array, Value, ValueType};
use super::{ALIGNMENT_KEY, DEFAULT_ALIGNMENT, Gguf};
use crate::error::{Error, FileProblem};
use crate::file::{TensorInfo, TensorList};
use crate::format::{GgmlType, ggml_type};
use crate::shape::Shape;
use crate::storage::Storage;

/// ggml itself reads no more dimensions.
pub(super) const MAX_DIMENSIONS: u64 = 4;
/// Arrays of arrays of … this deep. Nobody is known to go beyond two.
const MAX_NESTING: usize = 8;
/// The shortest metadata entry: an empty key, a type, one byte.
const MIN_METADATA_BYTES: usize = 8 + 4 + 1;
/// The shortest tensor entry: an empty name, a rank of 0, a type, an offset.
const MIN_TENSOR_BYTES: usize = 8 + 4 + 4 + 8;

/// Bytes of a file that are read at first; a longer header has its like read until it is whole.
const FIRST_BYTES: usize = 1 << 20;

pub(super) fn read(path: &Path, storage: Storage) -> Result<Gguf, Error> {
    let mut buffer = Vec::new();
    let mut wanted = FIRST_BYTES.min(storage.len());
    loop {
        let bytes = match storage.in_memory() {
            Some(bytes) => bytes,
            None => {
                let from = buffer.len();
                buffer.resize(wanted, 0);
                storage.read(from, &mut buffer[from..])?;
                &buffer
            }
        };
        let mut cursor = Cursor::of_header(bytes, storage.len());
        let header = read_header(&mut cursor);
        // What fails for want of bytes that the file has is tried again with more of them.
        if let Some(end) = cursor.missing {
            wanted = end.max(2 * wanted).min(storage.len());
            continue;
        }
        let (end, arrays) = (cursor.at, cursor.arrays);
        let not_utf8 = std::mem::take(&mut cursor.not_utf8);
        let Header { version, alignment, mut metadata, by_key, tensors } =
            header.map_err(|problem| problem.in_file(path))?;
        let header = match storage.in_memory() {
            Some(_) => storage.clone(),
            None => {
                buffer.truncate(end);
                buffer.shrink_to_fit();
                Storage::from(buffer)
            }
        };
        let unplaced = metadata.iter_mut().filter_map(|(_, value)| match value {
            Value::Array(array) => Some(array),
            _ => None,
        });
        for (array, range) in unplaced.zip(arrays) {
            array.place(header.slice(range).expect("the header has all bytes that the cursor passed"));
        }
        let path = path.to_owned();
        return Ok(Gguf { path, version, alignment, metadata, by_key, not_utf8, tensors, storage });
    }
}

struct Header {
    version: u32,
    alignment: u32,
    metadata: Vec<(String, Value)>,
    by_key: HashMap<String, usize>,
    tensors: TensorList,
}

fn read_header(cursor: &mut Cursor<'_>) -> Result<Header, FileProblem> {
    let version = read_version(cursor)?;
    let tensor_count = cursor.u64("the tensor count")?;
    let metadata_count = cursor.u64("the metadata count")?;
    let metadata_count =
        cursor.count(metadata_count, MIN_METADATA_BYTES, || "metadata entries".to_owned())?;
    let (metadata, by_key) = read_metadata(cursor, metadata_count)?;
    let alignment = match by_key.get(ALIGNMENT_KEY) {
        None => DEFAULT_ALIGNMENT,
        Some(&index) => read_alignment(&metadata[index].1)?,
    };
    let tensor_count = cursor.count(tensor_count, MIN_TENSOR_BYTES, || "tensors".to_owned())?;
    let entries = (0..tensor_count).map(|_| read_entry(cursor)).collect::<Result<Vec<_>, _>>()?;
    // A file without tensors may end here, without padding.
    let data_start =
        cursor.at.checked_next_multiple_of(alignment as usize).unwrap_or(usize::MAX).min(cursor.len);
    let tensors = place_tensors(entries, data_start, cursor.len, alignment)?;
    Ok(Header { version, alignment, metadata, by_key, tensors })
}

fn read_version(cursor: &mut Cursor<'_>) -> Result<u32, FileProblem> {
    let found = cursor.array::<4>("the magic number")?;
    if found != *b"GGUF" {
        return Err(FileProblem::BadMagic { expected: *b"GGUF", found });
    }
    match cursor.u32("the version")? {
        version @ 2..=3 => Ok(version),
        version if version & 0xffff == 0 && version != 0 => Err(FileProblem::BigEndian),
        found => Err(FileProblem::UnsupportedVersion { found, supported: "2 and 3" }),
    }
}

type Metadata = (Vec<(String, Value)>, HashMap<String, usize>);

fn read_metadata(cursor: &mut Cursor<'_>, count: usize) -> Result<Metadata, FileProblem> {
    let mut metadata = Vec::new();
    let mut by_key = HashMap::new();
    for index in 0..count {
        let (key, is_utf8) = lossy(cursor.string("a metadata key")?);
        if !is_utf8 {
            cursor.not_utf8.push(key.clone());
        }
        let type_id = cursor.u32("the type of a metadata value")?;
        let value = cursor.value(&key, type_id)?;
        match by_key.entry(key.clone()) {
            hash_map::Entry::Vacant(place) => drop(place.insert(index)),
            // Different keys that are not UTF-8 can become the same; the first is found by it.
            hash_map::Entry::Occupied(_) if !is_utf8 => {}
            hash_map::Entry::Occupied(_) => return Err(FileProblem::DuplicateKey { key }),
        }
        metadata.push((key, value));
    }
    Ok((metadata, by_key))
}

pub(super) fn read_alignment(value: &Value) -> Result<u32, FileProblem> {
    match value {
        Value::U32(alignment) if alignment.is_power_of_two() => Ok(*alignment),
        _ => Err(FileProblem::WrongValue {
            key: ALIGNMENT_KEY.to_owned(),
            expected: "a power of two as u32",
            found: value.describe(),
        }),
    }
}

/// An entry of the tensor list as the file gives it, the shape turned outermost first.
struct Entry {
    name: String,
    shape: Shape,
    ggml_type: GgmlType,
    offset: u64,
}

fn read_entry(cursor: &mut Cursor<'_>) -> Result<Entry, FileProblem> {
    let name = cursor.text("a tensor name")?;
    let rank = cursor.u32("the rank of a tensor")?.into();
    if rank > MAX_DIMENSIONS {
        return Err(FileProblem::TooManyDimensions { tensor: name, found: rank, limit: MAX_DIMENSIONS });
    }
    let mut dims = (0..rank).map(|_| cursor.u64("the shape of a tensor")).collect::<Result<Vec<_>, _>>()?;
    dims.reverse();
    let sizes: Result<Vec<usize>, _> = dims.iter().map(|&dim| usize::try_from(dim)).collect();
    let shape = sizes.ok().and_then(|sizes| Shape::new(sizes).ok());
    let Some(shape) = shape else {
        return Err(FileProblem::TensorTooLarge { tensor: name, shape: dims });
    };
    let ggml_type = ggml_type(cursor.u32("the type of a tensor")?);
    Ok(Entry { name, shape, ggml_type, offset: cursor.u64("the offset of a tensor")? })
}

/// Turns offsets into byte ranges of the file, each aligned, inside the file and apart from all others.
fn place_tensors(
    entries: Vec<Entry>,
    data_start: usize,
    file_len: usize,
    alignment: u32,
) -> Result<TensorList, FileProblem> {
    let available = file_len - data_start;
    let mut list = TensorList::default();
    for Entry { name: tensor, shape, ggml_type, offset } in entries {
        if !offset.is_multiple_of(alignment.into()) {
            return Err(FileProblem::Misaligned { tensor, offset, alignment: alignment.into() });
        }
        let size = match ggml_type.block {
            None => 0,
            Some((block_len, block_bytes)) => {
                if !shape.row_len().is_multiple_of(block_len) {
                    let element = ggml_type.element.name().to_owned();
                    return Err(FileProblem::PartialBlock { tensor, element, row: shape.row_len() });
                }
                let size = (shape.elements() / block_len).checked_mul(block_bytes);
                size.ok_or_else(|| FileProblem::TensorTooLarge {
                    tensor: tensor.clone(),
                    shape: shape.iter().map(|&dim| dim as u64).collect(),
                })?
            }
        };
        let start = usize::try_from(offset).ok().filter(|&start| start <= available);
        let end = start.and_then(|start| start.checked_add(size)).filter(|&end| end <= available);
        let (Some(start), Some(end)) = (start, end) else {
            let (end, available) = (offset.saturating_add(size as u64), available as u64);
            return Err(FileProblem::OutsideFile { tensor, start: offset, end, available });
        };
        let bytes = data_start + start..data_start + end;
        list.push(TensorInfo { name: tensor, element: ggml_type.element, shape, bytes, shard: 0 })?;
    }
    check_apart(&list.infos, data_start)?;
    Ok(list)
}

fn check_apart(infos: &[TensorInfo], data_start: usize) -> Result<(), FileProblem> {
    let mut in_order: Vec<&TensorInfo> = infos.iter().filter(|info| !info.bytes.is_empty()).collect();
    in_order.sort_by_key(|info| info.bytes.start);
    for pair in in_order.windows(2) {
        if pair[1].bytes.start < pair[0].bytes.end {
            let from_data_start = |byte: usize| (byte - data_start) as u64;
            return Err(FileProblem::Overlap {
                tensor: pair[1].name.clone(),
                expected: from_data_start(pair[0].bytes.end),
                found: from_data_start(pair[1].bytes.start),
            });
        }
    }
    Ok(())
}

/// A position in bytes, from which things are taken one after the other.
pub(super) struct Cursor<'a> {
    /// What `bytes` are, if arrays are to be slices of it.
    storage: Option<&'a Storage>,
    /// The first bytes of what is read, or all.
    bytes: &'a [u8],
    /// How many it has.
    len: usize,
    at: usize,
    /// Where something ends that is not among `bytes`, but would be among all.
    missing: Option<usize>,
    /// Where the elements of each array in the metadata are, if arrays are not slices of `storage`.
    arrays: Vec<Range<usize>>,
    /// Keys that are not valid UTF-8, or whose string is not.
    not_utf8: Vec<String>,
}

impl<'a> Cursor<'a> {
    /// Over storage in memory.
    pub(super) fn new(storage: &'a Storage) -> Cursor<'a> {
        let bytes = storage.in_memory().unwrap_or_default();
        Cursor { storage: Some(storage), ..Cursor::of_header(bytes, bytes.len()) }
    }

    /// Over the first bytes of a file of `len` bytes. Its arrays are empty until they are placed.
    fn of_header(bytes: &'a [u8], len: usize) -> Cursor<'a> {
        Cursor { storage: None, bytes, len, at: 0, missing: None, arrays: Vec::new(), not_utf8: Vec::new() }
    }

    fn remaining(&self) -> usize {
        self.len - self.at
    }

    fn take(&mut self, len: u64, reading: &str) -> Result<&'a [u8], FileProblem> {
        let end = usize::try_from(len).ok().and_then(|len| self.at.checked_add(len));
        let end = end.filter(|&end| end <= self.len);
        let Some(taken) = end.and_then(|end| self.bytes.get(self.at..end)) else {
            self.missing = end;
            return Err(FileProblem::Truncated {
                reading: reading.to_owned(),
                at: self.at as u64,
                needed: len,
                available: self.remaining() as u64,
            });
        };
        self.at += taken.len();
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, reading: &str) -> Result<[u8; N], FileProblem> {
        let bytes = self.take(N as u64, reading)?;
        Ok(bytes.try_into().expect("take gives as many bytes as were asked for"))
    }

    fn u32(&mut self, reading: &str) -> Result<u32, FileProblem> {
        self.array(reading).map(u32::from_le_bytes)
    }

    fn u64(&mut self, reading: &str) -> Result<u64, FileProblem> {
        self.array(reading).map(u64::from_le_bytes)
    }

    /// The bytes of a string.
    pub(super) fn string(&mut self, reading: &str) -> Result<&'a [u8], FileProblem> {
        let len = self.u64(reading)?;
        self.take(len, reading)
    }

    fn text(&mut self, reading: &str) -> Result<String, FileProblem> {
        let at = self.at;
        let bytes = self.string(reading)?;
        let text = std::str::from_utf8(bytes);
        text.map(str::to_owned).map_err(|_| FileProblem::NotUtf8 { what: format!("{reading} at byte {at}") })
    }

    /// A count of things of at least `min_bytes` each, compared with the bytes that are left.
    fn count(
        &self,
        found: u64,
        min_bytes: usize,
        counted: impl Fn() -> String,
    ) -> Result<usize, FileProblem> {
        let limit = self.remaining() / min_bytes;
        let count = usize::try_from(found).ok().filter(|&count| count <= limit);
        count.ok_or_else(|| FileProblem::CountTooLarge { counted: counted(), found, limit: limit as u64 })
    }

    /// The value of `key`.
    fn value(&mut self, key: &str, type_id: u32) -> Result<Value, FileProblem> {
        match value_type(key, type_id)? {
            ValueType::String => {
                let (text, is_utf8) = lossy(self.string(key)?);
                if !is_utf8 && self.not_utf8.last().is_none_or(|last| last != key) {
                    self.not_utf8.push(key.to_owned());
                }
                Ok(Value::String(text))
            }
            ValueType::Array => self.checked_array(key, 1).map(Value::Array),
            ValueType::Bool => match self.array::<1>(key)? {
                [byte @ 0..=1] => Ok(Value::Bool(byte == 1)),
                [other] => Err(bad_bool(key, other)),
            },
            scalar => {
                let bytes = self.take(scalar.size().unwrap_or(0) as u64, key)?;
                Ok(Value::scalar(scalar, bytes).expect("take gives as many bytes as the type has"))
            }
        }
    }

    /// An array, walked through once to make sure that it is whole and well-formed.
    fn checked_array(&mut self, key: &str, depth: usize) -> Result<Array, FileProblem> {
        if depth > MAX_NESTING {
            return Err(FileProblem::NestedTooDeep { key: key.to_owned(), limit: MAX_NESTING });
        }
        let element_type = self.u32(key)?;
        let element_type = value_type(key, element_type)?;
        let len = self.u64(key)?;
        // A string takes at least the 8 bytes of its length, an array 12 of type and length.
        let min_bytes = element_type.size().unwrap_or(if element_type == ValueType::String { 8 } else { 12 });
        let len = self.count(len, min_bytes, || format!("elements in metadata key \"{key}\""))?;
        let start = self.at;
        match element_type {
            ValueType::String => (0..len).try_for_each(|_| self.string(key).map(drop))?,
            ValueType::Array => (0..len).try_for_each(|_| self.checked_array(key, depth + 1).map(drop))?,
            ValueType::Bool => {
                let bytes = self.take(len as u64, key)?;
                if let Some(&other) = bytes.iter().find(|&&byte| byte > 1) {
                    return Err(bad_bool(key, other));
                }
            }
            _ => drop(self.take((len * min_bytes) as u64, key)?),
        }
        let encoded = match self.storage {
            Some(storage) => storage.slice(start..self.at).expect("the cursor is inside its bytes"),
            None => Storage::from(Vec::new()),
        };
        if depth == 1 {
            self.arrays.push(start..self.at);
        }
        Ok(Array::from_checked(element_type, len, encoded))
    }

    /// The next element of an array that was checked when its file was opened.
    pub(super) fn checked_value(&mut self, element_type: ValueType) -> Option<Value> {
        match element_type {
            ValueType::String => {
                let bytes = self.string("").ok()?;
                Some(Value::String(String::from_utf8_lossy(bytes).into_owned()))
            }
            ValueType::Array => self.checked_array("", 1).ok().map(Value::Array),
            scalar => Value::scalar(scalar, self.take(scalar.size()? as u64, "").ok()?),
        }
    }
}

/// Text with U+FFFD for what is not valid UTF-8, and whether all of it is.
fn lossy(bytes: &[u8]) -> (String, bool) {
    match String::from_utf8_lossy(bytes) {
        Cow::Borrowed(text) => (text.to_owned(), true),
        Cow::Owned(text) => (text, false),
    }
}

fn value_type(key: &str, id: u32) -> Result<ValueType, FileProblem> {
    ValueType::from_id(id).ok_or_else(|| FileProblem::UnknownValueType { key: key.to_owned(), found: id })
}

fn bad_bool(key: &str, byte: u8) -> FileProblem {
    FileProblem::WrongValue {
        key: key.to_owned(),
        expected: "0 or 1 as a truth value",
        found: byte.to_string(),
    }
}
