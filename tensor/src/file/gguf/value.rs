//! The values of GGUF metadata: numbers, truth values, strings and arrays, which may nest.
//!
//! An array stays in the encoding of the file, already checked, and is decoded when it is looked at: a vocabulary of
//! 150,000 strings is then one piece of memory, from which its strings are borrowed.

use std::fmt;

use super::read::Cursor;
use crate::storage::Storage;

/// The type of a metadata value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum ValueType {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Bool,
    String,
    Array,
    U64,
    I64,
    F64,
}

impl ValueType {
    /// Every type, at the index that is its number in the file.
    const ALL: [ValueType; 13] = [
        ValueType::U8,
        ValueType::I8,
        ValueType::U16,
        ValueType::I16,
        ValueType::U32,
        ValueType::I32,
        ValueType::F32,
        ValueType::Bool,
        ValueType::String,
        ValueType::Array,
        ValueType::U64,
        ValueType::I64,
        ValueType::F64,
    ];

    /// The number that stands for the type in a file.
    pub fn id(self) -> u32 {
        self as u32
    }

    /// The type of this number, if there is one.
    pub fn from_id(id: u32) -> Option<ValueType> {
        ValueType::ALL.get(usize::try_from(id).ok()?).copied()
    }

    /// Bytes a value takes; `None` for strings and arrays, whose size varies.
    pub fn size(self) -> Option<usize> {
        Some(match self {
            ValueType::U8 | ValueType::I8 | ValueType::Bool => 1,
            ValueType::U16 | ValueType::I16 => 2,
            ValueType::U32 | ValueType::I32 | ValueType::F32 => 4,
            ValueType::U64 | ValueType::I64 | ValueType::F64 => 8,
            ValueType::String | ValueType::Array => return None,
        })
    }

    pub(super) fn is_float(self) -> bool {
        matches!(self, ValueType::F32 | ValueType::F64)
    }

    pub(super) fn is_integer(self) -> bool {
        use ValueType::*;
        matches!(self, U8 | I8 | U16 | I16 | U32 | I32 | U64 | I64)
    }

    fn name(self) -> &'static str {
        match self {
            ValueType::U8 => "u8",
            ValueType::I8 => "i8",
            ValueType::U16 => "u16",
            ValueType::I16 => "i16",
            ValueType::U32 => "u32",
            ValueType::I32 => "i32",
            ValueType::F32 => "f32",
            ValueType::Bool => "bool",
            ValueType::String => "string",
            ValueType::Array => "array",
            ValueType::U64 => "u64",
            ValueType::I64 => "i64",
            ValueType::F64 => "f64",
        }
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A metadata value.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Value {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    String(String),
    Array(Array),
    U64(u64),
    I64(i64),
    F64(f64),
}

impl Value {
    /// The type of the value.
    pub fn value_type(&self) -> ValueType {
        match self {
            Value::U8(_) => ValueType::U8,
            Value::I8(_) => ValueType::I8,
            Value::U16(_) => ValueType::U16,
            Value::I16(_) => ValueType::I16,
            Value::U32(_) => ValueType::U32,
            Value::I32(_) => ValueType::I32,
            Value::F32(_) => ValueType::F32,
            Value::Bool(_) => ValueType::Bool,
            Value::String(_) => ValueType::String,
            Value::Array(_) => ValueType::Array,
            Value::U64(_) => ValueType::U64,
            Value::I64(_) => ValueType::I64,
            Value::F64(_) => ValueType::F64,
        }
    }

    /// The value of an integer of any width.
    pub fn as_integer(&self) -> Option<i128> {
        Some(match *self {
            Value::U8(value) => value.into(),
            Value::I8(value) => value.into(),
            Value::U16(value) => value.into(),
            Value::I16(value) => value.into(),
            Value::U32(value) => value.into(),
            Value::I32(value) => value.into(),
            Value::U64(value) => value.into(),
            Value::I64(value) => value.into(),
            _ => return None,
        })
    }

    /// The value of a floating-point number, rounded to f32.
    pub fn as_f32(&self) -> Option<f32> {
        match *self {
            Value::F32(value) => Some(value),
            Value::F64(value) => Some(value as f32),
            _ => None,
        }
    }

    /// Type and value in a few words, for errors.
    pub(super) fn describe(&self) -> String {
        match self {
            Value::String(_) | Value::Array(_) => self.to_string(),
            _ => format!("{} {self}", self.value_type()),
        }
    }

    /// Decodes a number or truth value from as many bytes as its type takes.
    pub(super) fn scalar(value_type: ValueType, bytes: &[u8]) -> Option<Value> {
        Some(match value_type {
            ValueType::U8 => Value::U8(u8::from_le_bytes(bytes.try_into().ok()?)),
            ValueType::I8 => Value::I8(i8::from_le_bytes(bytes.try_into().ok()?)),
            ValueType::U16 => Value::U16(u16::from_le_bytes(bytes.try_into().ok()?)),
            ValueType::I16 => Value::I16(i16::from_le_bytes(bytes.try_into().ok()?)),
            ValueType::U32 => Value::U32(u32::from_le_bytes(bytes.try_into().ok()?)),
            ValueType::I32 => Value::I32(i32::from_le_bytes(bytes.try_into().ok()?)),
            ValueType::F32 => Value::F32(f32::from_le_bytes(bytes.try_into().ok()?)),
            ValueType::U64 => Value::U64(u64::from_le_bytes(bytes.try_into().ok()?)),
            ValueType::I64 => Value::I64(i64::from_le_bytes(bytes.try_into().ok()?)),
            ValueType::F64 => Value::F64(f64::from_le_bytes(bytes.try_into().ok()?)),
            ValueType::Bool => Value::Bool(*bytes.first()? != 0),
            ValueType::String | ValueType::Array => return None,
        })
    }

    /// Appends the value as a file holds it, without its type.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Value::U8(value) => out.extend(value.to_le_bytes()),
            Value::I8(value) => out.extend(value.to_le_bytes()),
            Value::U16(value) => out.extend(value.to_le_bytes()),
            Value::I16(value) => out.extend(value.to_le_bytes()),
            Value::U32(value) => out.extend(value.to_le_bytes()),
            Value::I32(value) => out.extend(value.to_le_bytes()),
            Value::F32(value) => out.extend(value.to_le_bytes()),
            Value::U64(value) => out.extend(value.to_le_bytes()),
            Value::I64(value) => out.extend(value.to_le_bytes()),
            Value::F64(value) => out.extend(value.to_le_bytes()),
            Value::Bool(value) => out.push(u8::from(*value)),
            Value::String(value) => encode_string(value, out),
            Value::Array(array) => array.encode(out),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::U8(value) => value.fmt(f),
            Value::I8(value) => value.fmt(f),
            Value::U16(value) => value.fmt(f),
            Value::I16(value) => value.fmt(f),
            Value::U32(value) => value.fmt(f),
            Value::I32(value) => value.fmt(f),
            Value::F32(value) => value.fmt(f),
            Value::U64(value) => value.fmt(f),
            Value::I64(value) => value.fmt(f),
            Value::F64(value) => value.fmt(f),
            Value::Bool(value) => value.fmt(f),
            Value::String(value) => match value.char_indices().nth(60) {
                None => write!(f, "{value:?}"),
                Some((end, _)) => write!(f, "{:?}… ({} bytes)", &value[..end], value.len()),
            },
            Value::Array(array) => write!(f, "array of {} {}", array.len(), array.element_type()),
        }
    }
}

/// An array of metadata values of one type, in the encoding of the file.
#[derive(Clone)]
pub struct Array {
    element_type: ValueType,
    len: usize,
    /// The elements one after the other, in memory. Whoever makes an array has made sure that they are whole and
    /// well-formed, but for the UTF-8 of strings, which is checked where they are read.
    encoded: Storage,
}

impl Array {
    /// An array over elements that were checked.
    pub(super) fn from_checked(element_type: ValueType, len: usize, encoded: Storage) -> Array {
        Array { element_type, len, encoded }
    }

    /// Gives an array that was read without its elements the place where they are.
    pub(super) fn place(&mut self, encoded: Storage) {
        self.encoded = encoded;
    }

    /// An array of these values; `None` if one of them is not of type `element_type`.
    pub fn new(element_type: ValueType, values: &[Value]) -> Option<Array> {
        let mut encoded = Vec::new();
        for value in values {
            if value.value_type() != element_type {
                return None;
            }
            value.encode(&mut encoded);
        }
        Some(Array { element_type, len: values.len(), encoded: Storage::from(encoded) })
    }

    /// An array of strings.
    pub fn from_strings<S: AsRef<str>>(strings: &[S]) -> Array {
        let mut encoded = Vec::new();
        for string in strings {
            encode_string(string.as_ref(), &mut encoded);
        }
        Array { element_type: ValueType::String, len: strings.len(), encoded: Storage::from(encoded) }
    }

    /// An array of f32.
    pub fn from_f32(values: &[f32]) -> Array {
        let encoded: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Array { element_type: ValueType::F32, len: values.len(), encoded: Storage::from(encoded) }
    }

    /// An array of i32.
    pub fn from_i32(values: &[i32]) -> Array {
        let encoded: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Array { element_type: ValueType::I32, len: values.len(), encoded: Storage::from(encoded) }
    }

    /// The type of the elements.
    pub fn element_type(&self) -> ValueType {
        self.element_type
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The elements, decoded one by one. In strings, what is not valid UTF-8 is replaced by U+FFFD;
    /// [`Gguf::get_str_array`](super::Gguf::get_str_array) makes it an error instead.
    pub fn iter(&self) -> impl Iterator<Item = Value> {
        let mut cursor = Cursor::new(&self.encoded);
        (0..self.len).map_while(move |_| cursor.checked_value(self.element_type))
    }

    /// The elements of an array of numbers or truth values; nothing for strings and arrays.
    pub(super) fn scalars(&self) -> impl Iterator<Item = Value> {
        let size = self.element_type.size();
        let bytes = if size.is_some() { self.encoded() } else { &[] };
        bytes.chunks_exact(size.unwrap_or(1)).filter_map(|bytes| Value::scalar(self.element_type, bytes))
    }

    /// The elements of an array of strings; the index of the first that is not valid UTF-8 if there is one.
    pub(super) fn strings(&self) -> Result<Vec<&str>, usize> {
        let mut cursor = Cursor::new(&self.encoded);
        let strings = (0..self.len).map_while(|_| cursor.string("a string").ok()).enumerate();
        strings.map(|(index, bytes)| std::str::from_utf8(bytes).map_err(|_| index)).collect()
    }

    fn encoded(&self) -> &[u8] {
        self.encoded.in_memory().unwrap_or_default()
    }

    /// Appends element type, length and elements, as a file holds them.
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.element_type.id().to_le_bytes());
        out.extend((self.len as u64).to_le_bytes());
        out.extend(self.encoded());
    }
}

impl PartialEq for Array {
    fn eq(&self, other: &Array) -> bool {
        self.element_type == other.element_type && self.len == other.len && self.encoded() == other.encoded()
    }
}

impl fmt::Debug for Array {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Array({} {})", self.len, self.element_type)
    }
}

/// Appends length and bytes of a string.
pub(super) fn encode_string(string: &str, out: &mut Vec<u8>) {
    out.extend((string.len() as u64).to_le_bytes());
    out.extend(string.as_bytes());
}
