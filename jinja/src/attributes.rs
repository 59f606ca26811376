//! Attributes and items, as the sandbox looks them up: `a.b` prefers Python's attribute, `a['b']` the item. What is
//! not there, or must not be touched, is undefined.

use std::rc::Rc;

use super::fault::{FaultKind, Result, fail};
use super::interpreter::Interpreter;
use super::value::{Function, Value, View};
use super::{methods, strings};

/// What an object has under a name.
enum Attribute {
    Value(Value),
    Method(&'static str),
    /// Exists in Python, but the sandbox refuses it: it would change the object, or is internal.
    Unsafe,
    /// Exists in Python, and the sandbox allows it, but not here.
    Unsupported,
    Missing,
}

impl Interpreter {
    /// `value.name`.
    pub(super) fn attribute(&self, value: &Value, name: &str) -> Result<Value> {
        value.defined()?;
        if let Some(found) = self.own_attribute(value, name)? {
            return Ok(found);
        }
        if let Value::Dict(dict) = value
            && let Some(found) = dict.get_str(name)
        {
            return Ok(found.clone());
        }
        Ok(missing(value, name))
    }

    /// An attribute that is not an item; `None` if there is none.
    pub(super) fn own_attribute(&self, value: &Value, name: &str) -> Result<Option<Value>> {
        self.charge(1)?;
        match self.find(value, name)? {
            Attribute::Value(found) => Ok(Some(found)),
            Attribute::Method(method) => Ok(Some(Value::Method(Rc::new((value.clone(), method))))),
            Attribute::Unsafe => {
                let why = format!("`{name}` of {} is not allowed in a template", value.type_name());
                Ok(Some(Value::undefined(why)))
            }
            Attribute::Unsupported => {
                fail(FaultKind::Unsupported, format!("`{name}` of {}", value.type_name()))
            }
            Attribute::Missing => Ok(None),
        }
    }

    fn find(&self, value: &Value, name: &str) -> Result<Attribute> {
        if name.starts_with("__") && name.ends_with("__") {
            return Ok(Attribute::Unsafe);
        }
        let method = |names: &[&'static str]| names.iter().find(|known| **known == name).copied();
        let found = match value {
            Value::Str(_) => match method(&strings::METHODS) {
                Some(method) => Attribute::Method(method),
                None if matches!(name, "encode" | "translate" | "maketrans") => Attribute::Unsupported,
                None if value.is_markup() && matches!(name, "unescape" | "striptags" | "escape") => {
                    Attribute::Unsupported
                }
                None => Attribute::Missing,
            },
            Value::List(_) => match (method(&["count", "index", "copy"]), name) {
                (Some(method), _) => Attribute::Method(method),
                (_, "append" | "clear" | "pop" | "reverse" | "insert" | "sort" | "extend" | "remove") => {
                    Attribute::Unsafe
                }
                _ => Attribute::Missing,
            },
            Value::Tuple(items) => match (method(&["count", "index"]), name) {
                (Some(method), _) => Attribute::Method(method),
                (_, "grouper") if items.group => Attribute::Value(items.items[0].clone()),
                (_, "list") if items.group => Attribute::Value(items.items[1].clone()),
                _ => Attribute::Missing,
            },
            Value::Dict(_) => match (method(&["get", "items", "keys", "values", "copy", "fromkeys"]), name) {
                (Some(method), _) => Attribute::Method(method),
                (_, "clear" | "pop" | "popitem" | "setdefault" | "update") => Attribute::Unsafe,
                _ => Attribute::Missing,
            },
            Value::View(..) if matches!(name, "isdisjoint" | "mapping") => Attribute::Unsupported,
            Value::Int(_) | Value::Bool(_) => {
                let integer = || Value::Int(value.as_int().unwrap_or(0));
                match (method(&["bit_length", "bit_count", "conjugate"]), name) {
                    (Some(method), _) => Attribute::Method(method),
                    (_, "real" | "numerator") => Attribute::Value(integer()),
                    (_, "imag") => Attribute::Value(Value::Int(0)),
                    (_, "denominator") => Attribute::Value(Value::Int(1)),
                    (_, "as_integer_ratio" | "to_bytes" | "from_bytes" | "is_integer") => {
                        Attribute::Unsupported
                    }
                    _ => Attribute::Missing,
                }
            }
            Value::Float(_) => match (method(&["is_integer", "conjugate"]), name) {
                (Some(method), _) => Attribute::Method(method),
                (_, "real") => Attribute::Value(value.clone()),
                (_, "imag") => Attribute::Value(Value::Float(0.0)),
                (_, "as_integer_ratio" | "hex" | "fromhex" | "from_number") => Attribute::Unsupported,
                _ => Attribute::Missing,
            },
            Value::Range(range) => match (method(&["count", "index"]), name) {
                (Some(method), _) => Attribute::Method(method),
                (_, "start") => Attribute::Value(Value::Int(range.start)),
                (_, "stop") => Attribute::Value(Value::Int(range.stop)),
                (_, "step") => Attribute::Value(Value::Int(range.step)),
                _ => Attribute::Missing,
            },
            Value::Namespace(dict) => match dict.borrow().get_str(name) {
                Some(found) => Attribute::Value(found.clone()),
                None => Attribute::Missing,
            },
            Value::Loop(context) => match method(&["cycle", "changed"]) {
                Some(method) => Attribute::Method(method),
                None => context.attribute(self, name)?.map_or(Attribute::Missing, Attribute::Value),
            },
            Value::Macro(called) => called.attribute(name)?.map_or(Attribute::Missing, Attribute::Value),
            Value::Cycler(cycler) => match (method(&["next", "reset"]), name) {
                (Some(method), _) => Attribute::Method(method),
                (_, "current") => Attribute::Value(cycler.items[cycler.at.get()].clone()),
                (_, "pos") => Attribute::Value(Value::int(cycler.at.get())),
                (_, "items") => Attribute::Value(Value::tuple(cycler.items.clone())?),
                _ => Attribute::Missing,
            },
            Value::Joiner(joiner) => match name {
                "sep" => Attribute::Value(joiner.separator.clone()),
                "used" => Attribute::Value(Value::Bool(joiner.used.get())),
                _ => Attribute::Missing,
            },
            Value::Function(Function::Dict) if name == "fromkeys" => {
                Attribute::Value(Value::Function(Function::FromKeys))
            }
            Value::Iterator(_) if matches!(name, "send" | "throw" | "close") => Attribute::Unsupported,
            Value::Slice(_) | Value::Function(_) | Value::Method(_) => Attribute::Missing,
            _ => Attribute::Missing,
        };
        Ok(found)
    }

    /// `value[index]`.
    pub(super) fn item(&self, value: &Value, index: &Value) -> Result<Value> {
        value.defined()?;
        self.charge(1)?;
        if let Value::Slice(parts) = index {
            return self.slice(value, parts);
        }
        let found = match value {
            Value::Dict(dict) => match dict.get(index) {
                Ok(found) => found.cloned(),
                Err(error) if error.kind == FaultKind::Type => None,
                Err(error) => return Err(error),
            },
            Value::List(items) | Value::Tuple(items) => {
                position(index, items.items.len()).map(|at| items.items[at].clone())
            }
            Value::Str(text) => {
                self.charge_bytes(text.text.len())?;
                let at = position(index, text.text.chars().count());
                at.and_then(|at| text.text.chars().nth(at))
                    .map(|c| Value::text(c.encode_utf8(&mut [0; 4]).to_owned(), text.markup))
            }
            Value::Range(range) => position(index, range.len()).and_then(|at| range.get(at)),
            _ => None,
        };
        if let Some(found) = found {
            return Ok(found);
        }
        if let Value::Str(name) = index
            && let Some(found) = self.own_attribute(value, &name.text)?
        {
            return Ok(found);
        }
        let name = self.repr(index).unwrap_or_default();
        Ok(missing(value, &name))
    }

    /// `value[start:stop:step]`.
    fn slice(&self, value: &Value, parts: &[Value; 3]) -> Result<Value> {
        let Some(length) = (match value {
            Value::List(_) | Value::Tuple(_) | Value::Str(_) | Value::Range(_) => self.length(value)?,
            _ => None,
        }) else {
            return fail(FaultKind::Type, format!("{} cannot be sliced", value.type_name()));
        };
        let part = |part: &Value| -> Result<Option<i128>> {
            if matches!(part, Value::None) { Ok(None) } else { part.index().map(Some) }
        };
        let step = part(&parts[2])?.unwrap_or(1);
        if step == 0 {
            return fail(FaultKind::Value, "the step of a slice is zero");
        }
        let length = length as i128;
        let (low, high) = if step > 0 { (0, length) } else { (-1, length - 1) };
        let bound = |value: Option<i128>, default: i128| match value {
            None => default,
            Some(value) if value < 0 => value.saturating_add(length).max(low),
            Some(value) => value.min(high),
        };
        let (first, last) = if step > 0 { (low, high) } else { (high, low) };
        let range = super::value::Range {
            start: bound(part(&parts[0])?, first),
            stop: bound(part(&parts[1])?, last),
            step: step.clamp(-(1 << 64), 1 << 64),
        };
        let places = (0..range.len()).filter_map(|i| range.get(i)?.as_int()).map(|at| at as usize);
        self.charge_items(range.len())?;
        match value {
            Value::Str(text) => {
                let characters: Vec<char> = text.text.chars().collect();
                Ok(Value::text(places.map(|at| characters[at]).collect::<String>(), text.markup))
            }
            Value::List(items) => Value::list(places.map(|at| items.items[at].clone()).collect()),
            Value::Tuple(items) => Value::tuple(places.map(|at| items.items[at].clone()).collect()),
            Value::Range(of) => {
                let at = |i: i128| of.start + of.step * i;
                let (start, stop, step) = (at(range.start), at(range.stop), of.step * range.step);
                Ok(Value::Range(super::value::Range { start, stop, step }))
            }
            _ => fail(FaultKind::Type, "this cannot be sliced"),
        }
    }

    /// Calls a method of a value.
    pub(super) fn call_method(
        &self,
        value: &Value,
        method: &'static str,
        args: super::arguments::Args,
    ) -> Result<Value> {
        match value {
            Value::Str(text) => strings::call(self, text, method, args),
            _ => methods::call(self, value, method, args),
        }
    }
}

/// The place of an index, counted from the end if negative; `None` if it is no index or out of range.
fn position(index: &Value, length: usize) -> Option<usize> {
    let index = index.as_int()?;
    let at = if index < 0 { index + length as i128 } else { index };
    usize::try_from(at).ok().filter(|at| *at < length)
}

fn missing(value: &Value, name: &str) -> Value {
    Value::undefined(format!("{} has no attribute {name}", value.type_name()))
}

/// `dict.items()` and its kin.
pub(super) fn view(method: &str) -> View {
    match method {
        "keys" => View::Keys,
        "values" => View::Values,
        _ => View::Items,
    }
}
