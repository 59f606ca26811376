//! Iteration: over values that can be iterated again, and over iterators, which are consumed item by item.

use std::cell::RefCell;
use std::rc::Rc;

use super::dict::Dict;
use super::fault::{FaultKind, Result, fail};
use super::interpreter::Interpreter;
use super::loops::LoopContext;
use super::value::{Items, Range, Value, View, check_depth};

/// What makes an iterator's next value from its source's next ones; `None` skips the value.
pub(super) type Step = Box<dyn FnMut(&Interpreter, Value) -> Result<Option<Value>>>;
/// What makes all values of an iterator when the first is asked for.
pub(super) type Start = Box<dyn FnOnce(&Interpreter) -> Result<Vec<Value>>>;

/// Values to come.
pub(super) enum Values {
    Empty,
    Vector(std::vec::IntoIter<Value>),
    Items(Rc<Items>, usize),
    View(View, Rc<Dict>, usize),
    Range(Range, usize),
    /// Another iterator, which is consumed as well.
    Shared(Rc<Source>),
    Loop(Rc<LoopContext>),
    Stepwise(Box<Values>, Step),
    Deferred(Option<Start>, usize),
}

/// The state of an iterator value.
pub(super) struct Source {
    values: RefCell<Values>,
    depth: usize,
}

impl Source {
    pub(super) fn new(values: Values) -> Result<Source> {
        let depth = check_depth(values.depth() + 1)?;
        Ok(Source { values: RefCell::new(values), depth })
    }

    pub(super) fn depth(&self) -> usize {
        self.depth
    }
}

impl Values {
    /// `iter(value)`.
    pub(super) fn of(vm: &Interpreter, value: &Value) -> Result<Values> {
        Ok(match value {
            Value::Undefined(_) => Values::Empty,
            Value::Str(text) => {
                vm.charge_items(text.text.chars().count())?;
                let characters = text.text.chars().map(|c| Value::str(c.encode_utf8(&mut [0; 4]).to_owned()));
                Values::Vector(characters.collect::<Vec<_>>().into_iter())
            }
            Value::List(items) | Value::Tuple(items) => Values::Items(items.clone(), 0),
            Value::Dict(dict) => Values::View(View::Keys, dict.clone(), 0),
            Value::View(view, dict) => Values::View(*view, dict.clone(), 0),
            Value::Range(range) => Values::Range(*range, 0),
            Value::Iterator(source) => Values::Shared(source.clone()),
            Value::Loop(context) => Values::Loop(context.clone()),
            _ => return fail(FaultKind::Type, format!("{} cannot be iterated", value.type_name())),
        })
    }

    /// As [`Values::of`], but what cannot be iterated is an error only when the first value is asked for.
    pub(super) fn lazily(vm: &Interpreter, value: &Value) -> Values {
        Values::of(vm, value).unwrap_or_else(|error| Values::Deferred(Some(Box::new(|_| Err(error))), 0))
    }

    fn depth(&self) -> usize {
        match self {
            Values::Empty | Values::Range(..) => 0,
            Values::Vector(values) => values.as_slice().iter().map(Value::depth).max().unwrap_or(0),
            Values::Items(items, _) => items.depth,
            Values::View(_, dict, _) => dict.depth(),
            Values::Shared(source) => source.depth,
            Values::Loop(context) => context.depth,
            Values::Stepwise(inner, _) => inner.depth() + 1,
            Values::Deferred(_, depth) => *depth,
        }
    }

    /// The next value, if any is left.
    pub(super) fn next(&mut self, vm: &Interpreter) -> Result<Option<Value>> {
        vm.charge(1)?;
        Ok(match self {
            Values::Empty => None,
            Values::Vector(values) => values.next(),
            Values::Items(items, at) => {
                *at += 1;
                items.items.get(*at - 1).cloned()
            }
            Values::View(view, dict, at) => {
                *at += 1;
                match dict.items().get(*at - 1) {
                    None => None,
                    Some((key, value)) => Some(match view {
                        View::Keys => key.clone(),
                        View::Values => value.clone(),
                        View::Items => Value::tuple(vec![key.clone(), value.clone()])?,
                    }),
                }
            }
            Values::Range(range, at) => {
                *at += 1;
                range.get(*at - 1)
            }
            Values::Shared(source) => match source.values.try_borrow_mut() {
                Ok(mut values) => values.next(vm)?,
                Err(_) => return fail(FaultKind::Value, "an iterator is already being advanced"),
            },
            Values::Loop(context) => context.advance(vm)?,
            Values::Stepwise(inner, step) => loop {
                let Some(value) = inner.next(vm)? else { break None };
                if let Some(value) = step(vm, value)? {
                    break Some(value);
                }
            },
            Values::Deferred(start, _) => {
                let values = start.take().map_or(Ok(Vec::new()), |start| start(vm))?;
                let mut values = values.into_iter();
                let first = values.next();
                *self = Values::Vector(values);
                first
            }
        })
    }

    /// All values that are left.
    pub(super) fn collect(mut self, vm: &Interpreter) -> Result<Vec<Value>> {
        let mut all = Vec::new();
        while let Some(value) = self.next(vm)? {
            vm.charge_items(1)?;
            all.push(value);
        }
        Ok(all)
    }
}

impl Interpreter {
    /// `list(value)`.
    pub(super) fn collect(&self, value: &Value) -> Result<Vec<Value>> {
        Values::of(self, value)?.collect(self)
    }

    /// `len(value)`, or `None` for what has no length.
    pub(super) fn length(&self, value: &Value) -> Result<Option<usize>> {
        Ok(Some(match value {
            Value::Undefined(_) => 0,
            Value::Str(text) => {
                self.charge_bytes(text.text.len())?;
                text.text.chars().count()
            }
            Value::List(items) | Value::Tuple(items) => items.items.len(),
            Value::Dict(dict) | Value::View(_, dict) => dict.len(),
            Value::Range(range) => range.len(),
            Value::Loop(context) => context.length(self)?,
            _ => return Ok(None),
        }))
    }
}
