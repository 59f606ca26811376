//! Filters of sequences.

use super::super::arguments::{Args, flag, given};
use super::super::ast::Operator;
use super::super::fault::{FaultKind, Result, fail};
use super::super::interpreter::Interpreter;
use super::super::iterate::Values;
use super::super::value::{Value, View};
use super::select::Path;

pub(super) fn call(vm: &Interpreter, name: &str, value: &Value, args: Args) -> Result<Value> {
    match name {
        "d" | "default" => {
            let [default, boolean] = args.bind(name, ["default_value", "boolean"], 0)?;
            let missing = value.is_undefined() || (flag(boolean, false) && !value.truth());
            Ok(if missing { default.unwrap_or_else(|| Value::str("")) } else { value.clone() })
        }
        "attr" => {
            let [attribute] = args.bind(name, ["name"], 1)?;
            let attribute = attribute.unwrap_or(Value::None);
            let attribute = &attribute.string()?.text;
            value.defined()?;
            let found = vm.own_attribute(value, attribute)?;
            Ok(found.unwrap_or_else(|| Value::undefined(format!("no attribute `{attribute}`"))))
        }
        "count" | "length" => {
            let [] = args.bind(name, [], 0)?;
            match vm.length(value)? {
                Some(length) => Ok(Value::int(length)),
                None => fail(FaultKind::Type, format!("{} has no length", value.type_name())),
            }
        }
        "list" => {
            let [] = args.bind(name, [], 0)?;
            Value::list(vm.collect(value)?)
        }
        "items" => {
            let [] = args.bind(name, [], 0)?;
            match value {
                Value::Dict(dict) => Value::iterator(Values::View(View::Items, dict.clone(), 0)),
                Value::Undefined(_) => Value::iterator(Values::Empty),
                other => {
                    let message = format!("items: expected a dict, found {}", other.type_name());
                    Value::iterator(Values::Deferred(Some(Box::new(|_| fail(FaultKind::Type, message))), 0))
                }
            }
        }
        "first" => {
            let [] = args.bind(name, [], 0)?;
            let first = vm.values(value)?.next(vm)?;
            Ok(first.unwrap_or_else(|| Value::undefined("the first item of nothing")))
        }
        "last" => {
            let [] = args.bind(name, [], 0)?;
            if !is_reversible(value) {
                return fail(FaultKind::Type, format!("{} cannot be reversed", value.type_name()));
            }
            let last = vm.collect(value)?.pop();
            Ok(last.unwrap_or_else(|| Value::undefined("the last item of nothing")))
        }
        "random" => {
            let [] = args.bind(name, [], 0)?;
            match vm.length(value)? {
                Some(0) => Ok(Value::undefined("a random item of nothing")),
                Some(1) => vm.item(value, &Value::Int(0)),
                Some(_) => fail(FaultKind::Unsupported, "the filter `random`"),
                None => fail(FaultKind::Type, format!("{} has no length", value.type_name())),
            }
        }
        "reverse" => {
            let [] = args.bind(name, [], 0)?;
            if let Value::Str(text) = value {
                vm.charge_bytes(text.text.len())?;
                return Ok(Value::text(text.text.chars().rev().collect::<String>(), text.markup));
            }
            let mut items = vm.collect(value)?;
            items.reverse();
            if is_reversible(value) {
                Value::iterator(Values::Vector(items.into_iter()))
            } else {
                Value::list(items)
            }
        }
        "join" => {
            let [separator, attribute] = args.bind(name, ["d", "attribute"], 0)?;
            let separator = separator.map_or(Ok("".into()), |separator| vm.str(&separator))?;
            let path = Path::new(attribute.as_ref());
            let mut out = String::new();
            for (i, item) in vm.collect(value)?.iter().enumerate() {
                let text = vm.str(&path.get(vm, item, None)?)?;
                vm.charge_bytes(separator.len() + text.len())?;
                out.push_str(if i > 0 { &separator } else { "" });
                out.push_str(&text);
            }
            Ok(Value::str(out))
        }
        "sum" => {
            let [attribute, start] = args.bind(name, ["attribute", "start"], 0)?;
            let path = Path::new(attribute.as_ref());
            let mut sum = start.unwrap_or(Value::Int(0));
            if matches!(sum, Value::Str(_)) {
                return fail(FaultKind::Type, "sum: strings are joined by `join`");
            }
            let mut values = vm.values(value)?;
            while let Some(item) = values.next(vm)? {
                sum = vm.binary(Operator::Add, &sum, &path.get(vm, &item, None)?)?;
            }
            Ok(sum)
        }
        _ => chunks(vm, name, value, args),
    }
}

fn is_reversible(value: &Value) -> bool {
    matches!(
        value,
        Value::Undefined(_)
            | Value::Str(_)
            | Value::List(_)
            | Value::Tuple(_)
            | Value::Dict(_)
            | Value::View(..)
            | Value::Range(_)
    )
}

/// `batch`, lists of a given length, and `slice`, a given number of lists.
fn chunks(vm: &Interpreter, name: &str, value: &Value, args: Args) -> Result<Value> {
    let is_batch = name == "batch";
    let parameter = if is_batch { "linecount" } else { "slices" };
    let [count, fill] = args.bind(name, [parameter, "fill_with"], 1)?;
    let (count, fill) = (count.unwrap_or(Value::None), given(fill));
    let depth = value.depth().max(fill.as_ref().map_or(0, Value::depth));
    let values = Values::of(vm, value);
    let start = move |vm: &Interpreter| -> Result<Vec<Value>> {
        let items = values?.collect(vm)?;
        if is_batch { batch(vm, items, &count, fill) } else { slice(vm, &items, &count, fill) }
    };
    Value::iterator(Values::Deferred(Some(Box::new(start)), depth + 1))
}

fn batch(vm: &Interpreter, items: Vec<Value>, count: &Value, fill: Option<Value>) -> Result<Vec<Value>> {
    let mut batches = Vec::new();
    let mut batch = Vec::new();
    for item in items {
        if vm.equal(&Value::int(batch.len()), count)? {
            batches.push(Value::list(std::mem::take(&mut batch))?);
        }
        batch.push(item);
    }
    if batch.is_empty() {
        return Ok(batches);
    }
    if let Some(fill) = fill {
        let missing = usize::try_from(count.index()?).unwrap_or(0).saturating_sub(batch.len());
        vm.charge_items(missing)?;
        batch.extend(std::iter::repeat_n(fill, missing));
    }
    batches.push(Value::list(batch)?);
    Ok(batches)
}

fn slice(vm: &Interpreter, items: &[Value], count: &Value, fill: Option<Value>) -> Result<Vec<Value>> {
    let count = match count.index()? {
        0 => return fail(FaultKind::ZeroDivision, "slice: no slices"),
        count => usize::try_from(count).unwrap_or(0),
    };
    if count == 0 {
        return Ok(Vec::new());
    }
    vm.charge_items(count)?;
    let (every, longer) = (items.len() / count, items.len() % count);
    let mut slices = Vec::new();
    let mut at = 0;
    for i in 0..count {
        let length = every + usize::from(i < longer);
        let mut slice = items[at..at + length].to_vec();
        at += length;
        if i >= longer {
            slice.extend(fill.clone());
        }
        slices.push(Value::list(slice)?);
    }
    Ok(slices)
}
