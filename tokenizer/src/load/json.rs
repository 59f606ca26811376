//! Navigation in JSON with the path of each value, for errors.

use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// A value and its path.
#[derive(Clone)]
pub(super) struct Node<'v> {
    pub value: &'v Value,
    pub path: String,
}

impl<'v> Node<'v> {
    pub(super) fn root(value: &'v Value) -> Node<'v> {
        Node { value, path: String::new() }
    }

    /// The value of a key; missing keys are null.
    pub(super) fn get(&self, key: &str) -> Node<'v> {
        let path = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        Node { value: self.value.get(key).unwrap_or(&Value::Null), path }
    }

    pub(super) fn is_null(&self) -> bool {
        self.value.is_null()
    }

    pub(super) fn expected(&self, expected: &'static str) -> Error {
        let found = match self.value {
            Value::Null => "nothing".to_owned(),
            Value::Object(_) => "an object".to_owned(),
            Value::Array(_) => "a list".to_owned(),
            Value::String(text) if text.chars().count() > 80 => "a long string".to_owned(),
            value => value.to_string(),
        };
        Error::Key { key: self.path.clone(), expected, found }
    }

    pub(super) fn text(&self) -> Result<&'v str> {
        self.value.as_str().ok_or_else(|| self.expected("a string"))
    }

    /// A string; empty if the value is null.
    pub(super) fn text_or_empty(&self) -> Result<&'v str> {
        if self.is_null() { Ok("") } else { self.text() }
    }

    pub(super) fn char(&self) -> Result<char> {
        let mut chars = self.text()?.chars();
        match (chars.next(), chars.next()) {
            (Some(c), None) => Ok(c),
            _ => Err(self.expected("one character")),
        }
    }

    pub(super) fn bool_or(&self, default: bool) -> Result<bool> {
        match self.value {
            Value::Null => Ok(default),
            value => value.as_bool().ok_or_else(|| self.expected("true or false")),
        }
    }

    pub(super) fn id(&self) -> Result<u32> {
        let id = self.value.as_u64().and_then(|id| u32::try_from(id).ok());
        id.ok_or_else(|| self.expected("an id below 2^32"))
    }

    pub(super) fn count(&self) -> Result<usize> {
        let count = self.value.as_u64().and_then(|count| usize::try_from(count).ok());
        count.ok_or_else(|| self.expected("a count"))
    }

    pub(super) fn object(&self) -> Result<&'v Map<String, Value>> {
        self.value.as_object().ok_or_else(|| self.expected("an object"))
    }

    pub(super) fn list(&self) -> Result<impl Iterator<Item = Node<'v>> + use<'v>> {
        let list = self.value.as_array().ok_or_else(|| self.expected("a list"))?;
        let path = self.path.clone();
        Ok(list.iter().enumerate().map(move |(at, value)| Node { value, path: format!("{path}[{at}]") }))
    }

    /// The `type` of a part.
    pub(super) fn kind(&self) -> Result<&'v str> {
        self.object()?;
        self.get("type").text()
    }

    pub(super) fn unsupported(&self, supported: &'static str) -> Error {
        let found = self.get("type").value.as_str().unwrap_or("without a type").to_owned();
        Error::Unsupported { part: self.path.clone(), found, supported }
    }
}
