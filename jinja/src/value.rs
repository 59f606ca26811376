//! The values of a template: Python's, as far as the sandbox lets a template see them.
//!
//! No list or dict ever changes, since the sandbox forbids it, so values are shared by counting references. What does
//! change is namespaces, iterators and loops. Each value that holds others knows how deep it is, and the depth is
//! limited, so that comparing, printing and dropping need little stack.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use super::dict::Dict;
use super::fault::{FaultKind, Result, fail};
use super::iterate::{Source, Values};
use super::loops::LoopContext;
use super::macros::MacroValue;

/// Maximum depth of lists in lists.
const DEEPEST: usize = 300;

#[derive(Clone)]
pub(super) enum Value {
    /// Why it is undefined.
    Undefined(Rc<str>),
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Str(Text),
    List(Rc<Items>),
    Tuple(Rc<Items>),
    Dict(Rc<Dict>),
    /// `dict.keys()`, `.values()` or `.items()`.
    View(View, Rc<Dict>),
    Range(Range),
    Slice(Rc<[Value; 3]>),
    Namespace(Rc<RefCell<Dict>>),
    /// A generator or iterator: it can be iterated once.
    Iterator(Rc<Source>),
    Loop(Rc<LoopContext>),
    Macro(Rc<MacroValue>),
    Method(Rc<(Value, &'static str)>),
    Function(Function),
    Cycler(Rc<Cycler>),
    Joiner(Rc<Joiner>),
}

/// A string; `markup` if it is marked as safe HTML.
#[derive(Clone)]
pub(super) struct Text {
    pub(super) text: Arc<str>,
    pub(super) markup: bool,
}

pub(super) struct Items {
    pub(super) items: Vec<Value>,
    pub(super) depth: usize,
    /// A group of `groupby`, whose items are also `grouper` and `list`.
    pub(super) group: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    Keys,
    Values,
    Items,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) start: i128,
    pub(super) stop: i128,
    pub(super) step: i128,
}

impl Range {
    pub(super) fn len(&self) -> usize {
        let (low, high, step) = if self.step > 0 {
            (self.start, self.stop, self.step)
        } else {
            (self.stop, self.start, -self.step)
        };
        if high <= low { 0 } else { usize::try_from((high - low - 1) / step + 1).unwrap_or(usize::MAX) }
    }

    pub(super) fn get(&self, i: usize) -> Option<Value> {
        (i < self.len()).then(|| Value::Int(self.start + self.step * i as i128))
    }
}

/// The global functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Range,
    Dict,
    Namespace,
    Cycler,
    Joiner,
    Lipsum,
    RaiseException,
    StrftimeNow,
    /// `dict.fromkeys`.
    FromKeys,
}

pub(super) struct Cycler {
    pub(super) items: Vec<Value>,
    pub(super) at: Cell<usize>,
    pub(super) depth: usize,
}

pub(super) struct Joiner {
    pub(super) separator: Value,
    pub(super) used: Cell<bool>,
}

impl Value {
    pub(super) fn str(text: impl Into<Arc<str>>) -> Value {
        Value::Str(Text { text: text.into(), markup: false })
    }

    pub(super) fn markup(text: impl Into<Arc<str>>) -> Value {
        Value::Str(Text { text: text.into(), markup: true })
    }

    pub(super) fn text(text: impl Into<Arc<str>>, markup: bool) -> Value {
        Value::Str(Text { text: text.into(), markup })
    }

    pub(super) fn undefined(why: impl Into<Rc<str>>) -> Value {
        Value::Undefined(why.into())
    }

    pub(super) fn list(items: Vec<Value>) -> Result<Value> {
        Ok(Value::List(Items::new(items)?))
    }

    pub(super) fn tuple(items: Vec<Value>) -> Result<Value> {
        Ok(Value::Tuple(Items::new(items)?))
    }

    pub(super) fn int(value: usize) -> Value {
        Value::Int(value as i128)
    }

    /// An iterator over the values.
    pub(super) fn iterator(values: Values) -> Result<Value> {
        Ok(Value::Iterator(Rc::new(Source::new(values)?)))
    }

    /// How deep values are nested in this one.
    pub(super) fn depth(&self) -> usize {
        match self {
            Value::List(items) | Value::Tuple(items) => items.depth,
            Value::Dict(dict) | Value::View(_, dict) => dict.depth(),
            Value::Iterator(source) => source.depth(),
            Value::Slice(parts) => parts.iter().map(Value::depth).max().unwrap_or(0) + 1,
            Value::Method(method) => method.0.depth() + 1,
            Value::Cycler(cycler) => cycler.depth,
            Value::Joiner(joiner) => joiner.separator.depth() + 1,
            Value::Loop(context) => context.depth,
            _ => 0,
        }
    }

    pub(super) fn as_str(&self) -> Option<&str> {
        match self {
            Value::Str(text) => Some(&text.text),
            _ => None,
        }
    }

    pub(super) fn is_markup(&self) -> bool {
        matches!(self, Value::Str(Text { markup: true, .. }))
    }

    pub(super) fn is_undefined(&self) -> bool {
        matches!(self, Value::Undefined(_))
    }

    /// An integer, or a boolean as one.
    pub(super) fn as_int(&self) -> Option<i128> {
        match self {
            Value::Int(value) => Some(*value),
            Value::Bool(value) => Some(i128::from(*value)),
            _ => None,
        }
    }

    /// A number as a float.
    pub(super) fn as_float(&self) -> Option<f64> {
        match self {
            Value::Float(value) => Some(*value),
            _ => self.as_int().map(|value| value as f64),
        }
    }

    /// The integer that an index or a count must be.
    pub(super) fn index(&self) -> Result<i128> {
        match self.as_int() {
            Some(value) => Ok(value),
            None => {
                self.defined()?;
                fail(FaultKind::Type, format!("expected an integer, found {}", self.type_name()))
            }
        }
    }

    /// The string that an argument must be.
    pub(super) fn string(&self) -> Result<&Text> {
        match self {
            Value::Str(text) => Ok(text),
            _ => fail(FaultKind::Type, format!("expected a string, found {}", self.type_name())),
        }
    }

    /// An error if this is undefined.
    pub(super) fn defined(&self) -> Result<()> {
        match self {
            Value::Undefined(why) => fail(FaultKind::Undefined, &**why),
            _ => Ok(()),
        }
    }

    /// `bool(value)`.
    pub(super) fn truth(&self) -> bool {
        match self {
            Value::Undefined(_) | Value::None => false,
            Value::Bool(value) => *value,
            Value::Int(value) => *value != 0,
            Value::Float(value) => *value != 0.0,
            Value::Str(text) => !text.text.is_empty(),
            Value::List(items) | Value::Tuple(items) => !items.items.is_empty(),
            Value::Dict(dict) | Value::View(_, dict) => dict.len() != 0,
            Value::Range(range) => range.len() != 0,
            _ => true,
        }
    }

    /// Python's name of the type.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Value::Undefined(_) => "an undefined value",
            Value::None => "None",
            Value::Bool(_) => "a boolean",
            Value::Int(_) => "an integer",
            Value::Float(_) => "a float",
            Value::Str(_) => "a string",
            Value::List(_) => "a list",
            Value::Tuple(_) => "a tuple",
            Value::Dict(_) => "a dict",
            Value::View(..) => "a view of a dict",
            Value::Range(_) => "a range",
            Value::Slice(_) => "a slice",
            Value::Namespace(_) => "a namespace",
            Value::Iterator(_) => "an iterator",
            Value::Loop(_) => "a loop",
            Value::Macro(_) => "a macro",
            Value::Method(_) => "a method",
            Value::Function(_) => "a function",
            Value::Cycler(_) => "a cycler",
            Value::Joiner(_) => "a joiner",
        }
    }
}

impl Items {
    pub(super) fn new(items: Vec<Value>) -> Result<Rc<Items>> {
        let depth = check_depth(items.iter().map(Value::depth).max().unwrap_or(0) + 1)?;
        Ok(Rc::new(Items { items, depth, group: false }))
    }
}

/// Refuses a depth above the limit.
pub(super) fn check_depth(depth: usize) -> Result<usize> {
    if depth > DEEPEST {
        return fail(FaultKind::Unsupported, format!("a value nested deeper than {DEEPEST} levels"));
    }
    Ok(depth)
}
