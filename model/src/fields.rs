//! Reads JSON files leniently: integers may be written as floats, and `null` counts as missing.
//!
//! The keys that were asked for are recorded, so that [`Fields::unread`] knows which parts of a file have no effect.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use glassbox_tokenizer::text_file;
use serde_json::{Map, Value};

use crate::error::Error;

/// A JSON object of a file, or one nested in it.
#[derive(Clone, Debug)]
pub(crate) struct Fields {
    pub(crate) path: PathBuf,
    /// Prefix of keys in errors, such as `rope_scaling.`.
    prefix: String,
    map: Map<String, Value>,
    /// The keys of the file that were asked for, with their prefixes.
    asked: Rc<RefCell<BTreeSet<String>>>,
}

/// Limit of a JSON file's size: those of a checkpoint are far smaller.
const MAX_BYTES: u64 = 64 << 20;

impl Fields {
    /// Reads a file with one object.
    pub(crate) fn open(path: &Path) -> Result<Fields, Error> {
        let text = read_text(path)?;
        // Python's `json` writes NaN and infinities as bare words. As strings they are invalid numbers with a name.
        let value = serde_json::from_str(&text).or_else(|source| {
            serde_json::from_str(&with_quoted_floats(&text))
                .map_err(|_| Error::Json { path: path.to_path_buf(), source })
        })?;
        Fields::of(path, value)
    }

    /// The object `value` of the file `path`.
    pub(crate) fn of(path: &Path, value: Value) -> Result<Fields, Error> {
        match value {
            Value::Object(map) => {
                let (prefix, asked) = (String::new(), Rc::default());
                Ok(Fields { path: path.to_path_buf(), prefix, map, asked })
            }
            other => Err(Error::Config {
                path: path.to_path_buf(),
                key: "the file".into(),
                expected: "a JSON object".into(),
                found: short(&other),
            }),
        }
    }

    /// The value of `key`; `None` if it is missing or null.
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.asked.borrow_mut().insert(format!("{}{key}", self.prefix));
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// Records keys as read: others that take precedence over them decide.
    pub(crate) fn superseded(&self, keys: &[&str]) {
        for key in keys {
            self.get(key);
        }
    }

    /// The keys with a value that nothing has asked for, such as `rope_scaling.beta`.
    pub(crate) fn unread(&self) -> Vec<(String, &Value)> {
        let mut unread = Vec::new();
        collect_unread(&self.prefix, &self.map, &self.asked.borrow(), &mut unread);
        unread
    }

    /// Whether the key is present, even if null.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    /// All keys.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.map.keys().map(String::as_str)
    }

    /// Whether any value is an object.
    pub(crate) fn has_objects(&self) -> bool {
        self.map.values().any(Value::is_object)
    }

    /// The value of the first of `keys` that is present, converted by `read`.
    fn read<T>(
        &self,
        keys: &[&str],
        expected: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        self.superseded(keys);
        for key in keys {
            if let Some(value) = self.get(key) {
                return match read(value) {
                    Some(value) => Ok(Some(value)),
                    None => Err(self.wrong(key, expected, &short(value))),
                };
            }
        }
        Ok(None)
    }

    /// An error about `key`.
    pub(crate) fn wrong(&self, key: &str, expected: &str, found: &str) -> Error {
        Error::Config {
            path: self.path.clone(),
            key: format!("{}{key}", self.prefix),
            expected: expected.into(),
            found: found.into(),
        }
    }

    /// A required size, under any of the names.
    pub(crate) fn size(&self, keys: &[&str]) -> Result<usize, Error> {
        self.maybe_size(keys)?.ok_or_else(|| self.wrong(keys[0], "a positive integer", "nothing"))
    }

    /// An optional size, under any of the names.
    pub(crate) fn maybe_size(&self, keys: &[&str]) -> Result<Option<usize>, Error> {
        self.read(keys, "a positive integer", |value| whole(value).filter(|&x| x > 0))
    }

    /// An optional count, which may be zero.
    pub(crate) fn maybe_count(&self, key: &str) -> Result<Option<usize>, Error> {
        self.read(&[key], "an integer of at least 0", whole)
    }

    /// An optional finite number.
    pub(crate) fn number(&self, key: &str) -> Result<Option<f32>, Error> {
        self.read(&[key], "a number", |value| value.as_f64().map(|x| x as f32).filter(|x| x.is_finite()))
    }

    /// An optional boolean.
    pub(crate) fn flag(&self, key: &str) -> Result<Option<bool>, Error> {
        self.read(&[key], "true or false", Value::as_bool)
    }

    /// An optional string.
    pub(crate) fn text(&self, key: &str) -> Result<Option<&str>, Error> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong(key, "a string", &short(other))),
        }
    }

    /// An optional nested object; `None` if empty.
    pub(crate) fn object(&self, key: &str) -> Result<Option<Fields>, Error> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Object(map)) if map.is_empty() => Ok(None),
            Some(Value::Object(map)) => Ok(Some(Fields {
                path: self.path.clone(),
                prefix: format!("{}{key}.", self.prefix),
                map: map.clone(),
                asked: Rc::clone(&self.asked),
            })),
            Some(other) => Err(self.wrong(key, "an object", &short(other))),
        }
    }

    /// An optional token id or list of ids below `vocab_size`, and an error for each value that is none.
    pub(crate) fn token_ids(&self, key: &str, vocab_size: usize) -> (Option<Vec<u32>>, Vec<Error>) {
        let values = match self.get(key) {
            None => return (None, Vec::new()),
            Some(Value::Array(list)) => list.as_slice(),
            Some(one) => std::slice::from_ref(one),
        };
        let (mut ids, mut errors) = (Vec::new(), Vec::new());
        for value in values {
            match value.as_u64().and_then(|id| u32::try_from(id).ok()) {
                Some(id) if (id as usize) < vocab_size => ids.push(id),
                _ => {
                    errors.push(self.wrong(key, &format!("a token id below {vocab_size}"), &short(value)));
                }
            }
        }
        let none = ids.is_empty() && !errors.is_empty();
        ((!none).then_some(ids), errors)
    }
}

/// Collects the keys of `map` that nothing has asked for. A key of an object counts if any of the object's was.
fn collect_unread<'a>(
    prefix: &str,
    map: &'a Map<String, Value>,
    asked: &BTreeSet<String>,
    unread: &mut Vec<(String, &'a Value)>,
) {
    for (key, value) in map.iter().filter(|(_, value)| !value.is_null()) {
        let key = format!("{prefix}{key}");
        if !asked.contains(&key) {
            unread.push((key, value));
        } else if let Value::Object(map) = value {
            let inside = format!("{key}.");
            if asked.range(inside.clone()..).next().is_some_and(|next| next.starts_with(&inside)) {
                collect_unread(&inside, map, asked, unread);
            }
        }
    }
}

/// JSON text with quotes around `NaN`, `Infinity` and `-Infinity` outside of strings.
fn with_quoted_floats(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    let (mut rest, mut in_string) = (text, false);
    while let Some(c) = rest.chars().next() {
        let word = ["NaN", "Infinity", "-Infinity"].into_iter().find(|word| rest.starts_with(word));
        let len = match (in_string, word) {
            (false, Some(word)) => {
                quoted.extend(["\"", word, "\""]);
                word.len()
            }
            // An escape is two characters; a longer one has no quotes in the rest.
            (true, _) if c == '\\' => {
                let len = rest.chars().take(2).map(char::len_utf8).sum();
                quoted.push_str(&rest[..len]);
                len
            }
            _ => {
                in_string ^= c == '"';
                quoted.push(c);
                c.len_utf8()
            }
        };
        rest = &rest[len..];
    }
    quoted
}

/// An integer, written as `8` or `8.0`.
fn whole(value: &Value) -> Option<usize> {
    let float = || value.as_f64().filter(|x| x.fract() == 0.0 && *x >= 0.0).map(|x| x as u64);
    value.as_u64().or_else(float).and_then(|x| usize::try_from(x).ok())
}

/// Reads a text file of at most [`MAX_BYTES`] bytes.
pub(crate) fn read_text(path: &Path) -> Result<String, Error> {
    let io = |source| Error::Io { path: path.to_path_buf(), source };
    let size = std::fs::metadata(path).map_err(io)?.len();
    if size > MAX_BYTES {
        return Err(io(std::io::Error::other(format!("expected at most {MAX_BYTES} bytes, found {size}"))));
    }
    text_file::read_to_string(path).map_err(io)
}

/// A value as JSON, truncated to a line.
fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text,
    }
}
