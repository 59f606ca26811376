//! `map`, `select`, `reject`, `selectattr` and `rejectattr`: iterators over what a filter or a test makes of items.

use std::rc::Rc;

use super::super::arguments::Args;
use super::super::fault::{FaultKind, Result, fail};
use super::super::interpreter::Interpreter;
use super::super::iterate::{Step, Values};
use super::super::tests;
use super::super::value::Value;

/// A path of attributes and indices, from `a.b.0`.
#[derive(Clone)]
pub(super) struct Path(Vec<Value>);

impl Path {
    /// `None` is the item itself.
    pub(super) fn new(attribute: Option<&Value>) -> Path {
        Path(match attribute {
            None | Some(Value::None) => Vec::new(),
            Some(Value::Str(text)) => Path::parts(&text.text),
            Some(other) => vec![other.clone()],
        })
    }

    fn parts(text: &str) -> Vec<Value> {
        let is_index = |part: &str| !part.is_empty() && part.bytes().all(|digit| digit.is_ascii_digit());
        let part = |part: &str| match part.parse() {
            Ok(index) if is_index(part) => Value::Int(index),
            _ => Value::str(part),
        };
        text.split('.').map(part).collect()
    }

    /// Several paths, separated by commas.
    pub(super) fn several(attribute: Option<&Value>) -> Vec<Path> {
        match attribute {
            Some(Value::Str(text)) => text.text.split(',').map(|path| Path(Path::parts(path))).collect(),
            other => vec![Path::new(other)],
        }
    }

    /// Follows the path; what is undefined on the way is `default`.
    pub(super) fn get(&self, vm: &Interpreter, item: &Value, default: Option<&Value>) -> Result<Value> {
        let mut item = item.clone();
        for part in &self.0 {
            item = vm.item(&item, part)?;
            if let (true, Some(default)) = (item.is_undefined(), default) {
                item = default.clone();
            }
        }
        Ok(item)
    }
}

/// An iterator that applies `step`, made by `prepare` when its first item is asked for: only then are wrong arguments
/// noticed. What is false is empty.
fn stepwise(
    vm: &Interpreter,
    value: &Value,
    prepare: impl FnOnce() -> Result<Step> + 'static,
) -> Result<Value> {
    if !value.truth() {
        return Value::iterator(Values::Empty);
    }
    let mut prepare = Some(prepare);
    let mut step: Option<Step> = None;
    let lazy = move |vm: &Interpreter, item: Value| {
        if let Some(prepare) = prepare.take() {
            step = Some(prepare()?);
        }
        match &mut step {
            Some(step) => step(vm, item),
            None => fail(FaultKind::Runtime, "this iterator failed before"),
        }
    };
    Value::iterator(Values::Stepwise(Box::new(Values::lazily(vm, value)), Box::new(lazy)))
}

pub(super) fn map(vm: &Interpreter, value: &Value, args: Args) -> Result<Value> {
    stepwise(vm, value, move || {
        let is_attribute =
            args.positional.is_empty() && args.named.iter().any(|(name, _)| &**name == "attribute");
        if is_attribute {
            let [attribute, default] = args.bind("map", ["attribute", "default"], 1)?;
            let (path, default) = (Path::new(attribute.as_ref()), super::super::arguments::given(default));
            return Ok(Box::new(move |vm, item| path.get(vm, &item, default.as_ref()).map(Some)));
        }
        let (name, args) = named(args, "map")?;
        Ok(Box::new(move |vm, item| super::call(vm, &name, &item, (*args).clone()).map(Some)))
    })
}

/// The name of a filter or test before its arguments.
fn named(mut args: Args, function: &str) -> Result<(String, Rc<Args>)> {
    if args.positional.is_empty() {
        return fail(FaultKind::Runtime, format!("{function}: the name of a filter is missing"));
    }
    let name = args.positional.remove(0);
    match name.as_str() {
        Some(name) => Ok((name.to_owned(), Rc::new(args))),
        None => fail(FaultKind::Runtime, format!("{function}: a name expected, found {}", name.type_name())),
    }
}

pub(super) fn select(vm: &Interpreter, name: &str, value: &Value, mut args: Args) -> Result<Value> {
    let wanted = name.starts_with("select");
    let of_attribute = name.ends_with("attr");
    stepwise(vm, value, move || {
        let mut path = Path::new(None);
        if of_attribute {
            if args.positional.is_empty() {
                return fail(FaultKind::Runtime, "the name of the attribute is missing");
            }
            path = Path::new(Some(&args.positional.remove(0)));
        }
        let test = if args.positional.is_empty() { None } else { Some(named(args, "select")?) };
        Ok(Box::new(move |vm, item| {
            let tested = path.get(vm, &item, None)?;
            let holds = match &test {
                Some((name, args)) => tests::call(vm, name, &tested, (**args).clone())?,
                None => tested.truth(),
            };
            Ok((holds == wanted).then_some(item))
        }))
    })
}
