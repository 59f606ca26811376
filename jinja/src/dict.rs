//! Dicts: keys in the order of insertion, found by hash.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use super::fault::{FaultKind, Result, fail};
use super::value::{Value, check_depth};

#[derive(Clone, Default)]
pub(super) struct Dict {
    items: Vec<(Value, Value)>,
    places: HashMap<Key, usize>,
    depth: usize,
}

/// What a key is found by. Equal numbers are the same key, whatever their type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    None,
    Undefined,
    Int(i128),
    Float(u64),
    Str(Arc<str>),
    Tuple(Vec<Key>),
    /// The length, and the first item and the step where they count.
    Range(usize, Option<i128>, Option<i128>),
}

impl Key {
    pub(super) fn of(value: &Value) -> Result<Key> {
        Ok(match value {
            Value::None => Key::None,
            Value::Undefined(_) => Key::Undefined,
            Value::Bool(_) | Value::Int(_) => Key::Int(value.as_int().unwrap_or(0)),
            Value::Float(x) if x.fract() == 0.0 && x.abs() < 1e38 => Key::Int(*x as i128),
            Value::Float(x) => Key::Float(x.to_bits()),
            Value::Str(text) => Key::Str(text.text.clone()),
            Value::Tuple(items) => Key::Tuple(items.items.iter().map(Key::of).collect::<Result<_>>()?),
            Value::Range(range) => {
                let first = (range.len() > 0).then_some(range.start);
                Key::Range(range.len(), first, (range.len() > 1).then_some(range.step))
            }
            Value::List(_) | Value::Dict(_) | Value::Slice(_) | Value::View(..) => {
                return fail(FaultKind::Type, format!("{} cannot be a key", value.type_name()));
            }
            _ => return fail(FaultKind::Unsupported, format!("{} as a key", value.type_name())),
        })
    }
}

impl Dict {
    pub(super) fn from_pairs(pairs: impl IntoIterator<Item = (Value, Value)>) -> Result<Dict> {
        let mut dict = Dict::default();
        for (key, value) in pairs {
            dict.insert(key, value)?;
        }
        Ok(dict)
    }

    /// Sets a key's value. A known key keeps its place.
    pub(super) fn insert(&mut self, key: Value, value: Value) -> Result<()> {
        self.depth = check_depth(self.depth.max(1 + value.depth().max(key.depth())))?;
        let hash = Key::of(&key)?;
        match self.places.get(&hash) {
            Some(&at) => self.items[at].1 = value,
            None => {
                self.places.insert(hash, self.items.len());
                self.items.push((key, value));
            }
        }
        Ok(())
    }

    pub(super) fn get(&self, key: &Value) -> Result<Option<&Value>> {
        let at = self.places.get(&Key::of(key)?);
        Ok(at.map(|&at| &self.items[at].1))
    }

    pub(super) fn get_str(&self, key: &str) -> Option<&Value> {
        self.places.get(&Key::Str(key.into())).map(|&at| &self.items[at].1)
    }

    pub(super) fn items(&self) -> &[(Value, Value)] {
        &self.items
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn depth(&self) -> usize {
        self.depth.max(1)
    }

    pub(super) fn clear(&mut self) {
        *self = Dict::default();
    }

    pub(super) fn value(self) -> Value {
        Value::Dict(Rc::new(self))
    }
}
