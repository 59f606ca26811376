//! Variables from outside: JSON whose objects keep the order of their keys, which matters when a template prints them.

use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::dict::Dict;
use super::fault::Result;
use super::value::Value;

/// A value of JSON, as templates get it.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer.
    Int(i128),
    /// Another number.
    Float(f64),
    /// A string.
    Str(Arc<str>),
    /// An array.
    List(Vec<Data>),
    /// Keys and values; a later value of a key replaces the earlier.
    Object(Vec<(Arc<str>, Data)>),
}

/// The kind of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// `null`.
    None,
    /// `true` or `false`.
    Bool,
    /// A number.
    Number,
    /// A string.
    String,
    /// An array.
    Seq,
    /// An object.
    Map,
}

impl fmt::Display for ValueKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ValueKind::None => "none",
            ValueKind::Bool => "bool",
            ValueKind::Number => "number",
            ValueKind::String => "string",
            ValueKind::Seq => "sequence",
            ValueKind::Map => "map",
        })
    }
}

impl Data {
    /// Its kind.
    pub fn kind(&self) -> ValueKind {
        match self {
            Data::Null => ValueKind::None,
            Data::Bool(_) => ValueKind::Bool,
            Data::Int(_) | Data::Float(_) => ValueKind::Number,
            Data::Str(_) => ValueKind::String,
            Data::List(_) => ValueKind::Seq,
            Data::Object(_) => ValueKind::Map,
        }
    }

    /// The string, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Data::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The number, if it is a whole one.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Data::Int(value) => i64::try_from(*value).ok(),
            Data::Float(value) if value.fract() == 0.0 && value.abs() < 1e15 => Some(*value as i64),
            _ => None,
        }
    }

    /// Whether it is `null`.
    pub fn is_none(&self) -> bool {
        *self == Data::Null
    }

    /// Whether Python counts it as true: anything but `null`, `false`, zero and what is empty.
    pub fn is_true(&self) -> bool {
        match self {
            Data::Null => false,
            Data::Bool(value) => *value,
            Data::Int(value) => *value != 0,
            Data::Float(value) => *value != 0.0,
            Data::Str(text) => !text.is_empty(),
            Data::List(items) => !items.is_empty(),
            Data::Object(items) => !items.is_empty(),
        }
    }

    /// The items of an array.
    pub fn try_iter(&self) -> Option<impl Iterator<Item = Data>> {
        match self {
            Data::List(items) => Some(items.iter().cloned()),
            _ => None,
        }
    }

    /// An object with these keys and values. A later value of a key replaces the earlier.
    pub fn from_pairs<K: Into<Arc<str>>, V: Into<Data>>(pairs: impl IntoIterator<Item = (K, V)>) -> Data {
        Data::Object(pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }

    /// The template's value.
    pub(super) fn value(&self) -> Result<Value> {
        Ok(match self {
            Data::Null => Value::None,
            Data::Bool(value) => Value::Bool(*value),
            Data::Int(value) => Value::Int(*value),
            Data::Float(value) => Value::Float(*value),
            Data::Str(text) => Value::str(Arc::clone(text)),
            Data::List(items) => Value::list(items.iter().map(Data::value).collect::<Result<_>>()?)?,
            Data::Object(items) => {
                let mut dict = Dict::default();
                for (key, value) in items {
                    dict.insert(Value::str(Arc::clone(key)), value.value()?)?;
                }
                dict.value()
            }
        })
    }
}

impl FromIterator<Data> for Data {
    fn from_iter<T: IntoIterator<Item = Data>>(items: T) -> Data {
        Data::List(items.into_iter().collect())
    }
}

impl From<()> for Data {
    fn from((): ()) -> Data {
        Data::Null
    }
}

impl From<&str> for Data {
    fn from(text: &str) -> Data {
        Data::Str(text.into())
    }
}

impl From<String> for Data {
    fn from(text: String) -> Data {
        Data::Str(text.into())
    }
}

/// As JSON, without spaces.
impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |text: &str| serde_json::Value::from(text).to_string();
        match self {
            Data::Null => f.write_str("null"),
            Data::Bool(value) => write!(f, "{value}"),
            Data::Int(value) => write!(f, "{value}"),
            Data::Float(value) => write!(f, "{value:?}"),
            Data::Str(value) => f.write_str(&text(value)),
            Data::List(items) => {
                let items: Vec<String> = items.iter().map(ToString::to_string).collect();
                write!(f, "[{}]", items.join(","))
            }
            Data::Object(items) => {
                let items: Vec<String> =
                    items.iter().map(|(key, value)| format!("{}:{value}", text(key))).collect();
                write!(f, "{{{}}}", items.join(","))
            }
        }
    }
}

impl From<&serde_json::Value> for Data {
    fn from(value: &serde_json::Value) -> Data {
        match value {
            serde_json::Value::Null => Data::Null,
            serde_json::Value::Bool(value) => Data::Bool(*value),
            serde_json::Value::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(value), _) => Data::Int(value.into()),
                (_, Some(value)) => Data::Int(value.into()),
                _ => Data::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            serde_json::Value::String(text) => Data::Str(text.as_str().into()),
            serde_json::Value::Array(items) => Data::List(items.iter().map(Data::from).collect()),
            serde_json::Value::Object(items) => {
                Data::Object(items.iter().map(|(key, value)| (key.as_str().into(), value.into())).collect())
            }
        }
    }
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Data, D::Error> {
        deserializer.deserialize_any(AnyData)
    }
}

struct AnyData;

impl<'de> Visitor<'de> for AnyData {
    type Value = Data;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of JSON")
    }

    fn visit_unit<E>(self) -> std::result::Result<Data, E> {
        Ok(Data::Null)
    }

    fn visit_bool<E>(self, value: bool) -> std::result::Result<Data, E> {
        Ok(Data::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> std::result::Result<Data, E> {
        Ok(Data::Int(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> std::result::Result<Data, E> {
        Ok(Data::Int(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> std::result::Result<Data, E> {
        Ok(Data::Float(value))
    }

    fn visit_str<E>(self, text: &str) -> std::result::Result<Data, E> {
        Ok(Data::Str(text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> std::result::Result<Data, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Data::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut items: A) -> std::result::Result<Data, A::Error> {
        let mut object: Vec<(Arc<str>, Data)> = Vec::new();
        while let Some((key, value)) = items.next_entry::<String, Data>()? {
            object.push((key.into(), value));
        }
        Ok(Data::Object(object))
    }
}
