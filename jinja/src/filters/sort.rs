//! `sort`, `dictsort`, `groupby`, `unique`, `min` and `max`. Without `case_sensitive`, strings are compared in lower
//! case.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::rc::Rc;

use super::super::arguments::{Args, flag, given};
use super::super::fault::{FaultKind, Result, fail};
use super::super::interpreter::Interpreter;
use super::super::iterate::Values;
use super::super::value::{Items, Value, View};
use super::select::Path;

pub(super) fn call(vm: &Interpreter, name: &str, value: &Value, args: Args) -> Result<Value> {
    match name {
        "sort" => {
            let [reverse, case, attribute] =
                args.bind(name, ["reverse", "case_sensitive", "attribute"], 0)?;
            let (paths, case) = (Path::several(attribute.as_ref()), flag(case, false));
            let key = |item: &Value| -> Result<Value> {
                let keys = paths.iter().map(|path| Ok(folded(&path.get(vm, item, None)?, case)));
                Value::list(keys.collect::<Result<_>>()?)
            };
            Value::list(sorted(vm, vm.collect(value)?, flag(reverse, false), key)?)
        }
        "dictsort" => {
            let [case, by, reverse] = args.bind(name, ["case_sensitive", "by", "reverse"], 0)?;
            let by = by.unwrap_or_else(|| Value::str("key"));
            let place = match by.as_str() {
                Some("key") => 0,
                Some("value") => 1,
                _ => return fail(FaultKind::Runtime, "dictsort: `by` must be \"key\" or \"value\""),
            };
            let Value::Dict(dict) = value else {
                value.defined()?;
                return fail(
                    FaultKind::Type,
                    format!("dictsort: expected a dict, found {}", value.type_name()),
                );
            };
            let items = vm.collect(&Value::View(View::Items, Rc::clone(dict)))?;
            let case = flag(case, false);
            let key = |item: &Value| Ok(folded(&vm.item(item, &Value::int(place))?, case));
            Value::list(sorted(vm, items, flag(reverse, false), key)?)
        }
        "groupby" => groupby(vm, value, args),
        "unique" => unique(vm, value, args),
        _ => {
            let [case, attribute] = args.bind(name, ["case_sensitive", "attribute"], 0)?;
            let (path, case) = (Path::new(attribute.as_ref()), flag(case, false));
            let mut values = vm.values(value)?;
            let mut best: Option<(Value, Value)> = None;
            while let Some(item) = values.next(vm)? {
                let key = folded(&path.get(vm, &item, None)?, case);
                let better = match &best {
                    None => true,
                    Some((_, best)) => {
                        let wanted = if name == "max" { Ordering::Greater } else { Ordering::Less };
                        vm.order(&key, best)? == Some(wanted)
                    }
                };
                if better {
                    best = Some((item, key));
                }
            }
            Ok(best.map_or_else(|| Value::undefined(format!("{name} of nothing")), |(item, _)| item))
        }
    }
}

/// A string in lower case; anything else as it is.
fn folded(value: &Value, case_sensitive: bool) -> Value {
    match value {
        Value::Str(text) if !case_sensitive => Value::text(text.text.to_lowercase(), text.markup),
        _ => value.clone(),
    }
}

/// Sorts by key. Equal items keep their order, also in reverse.
fn sorted(
    vm: &Interpreter,
    items: Vec<Value>,
    reverse: bool,
    key: impl Fn(&Value) -> Result<Value>,
) -> Result<Vec<Value>> {
    let mut keyed = items.into_iter().map(|item| Ok((key(&item)?, item))).collect::<Result<Vec<_>>>()?;
    if reverse {
        keyed.reverse();
    }
    let mut failed = Ok(());
    keyed.sort_by(|(a, _), (b, _)| {
        if failed.is_err() {
            return Ordering::Equal;
        }
        match vm.order(a, b) {
            Ok(order) => order.unwrap_or(Ordering::Equal),
            Err(error) => {
                failed = Err(error);
                Ordering::Equal
            }
        }
    });
    failed?;
    if reverse {
        keyed.reverse();
    }
    Ok(keyed.into_iter().map(|(_, item)| item).collect())
}

fn groupby(vm: &Interpreter, value: &Value, args: Args) -> Result<Value> {
    let [attribute, default, case] = args.bind("groupby", ["attribute", "default", "case_sensitive"], 1)?;
    let (path, default, case) = (Path::new(attribute.as_ref()), given(default), flag(case, false));
    let key = |item: &Value| Ok(folded(&path.get(vm, item, default.as_ref())?, case));
    let mut groups: Vec<(Value, Vec<Value>)> = Vec::new();
    for item in sorted(vm, vm.collect(value)?, false, key)? {
        let found = key(&item)?;
        match groups.last_mut() {
            Some((last, group)) if vm.equal(last, &found)? => group.push(item),
            _ => groups.push((found, vec![item])),
        }
    }
    let mut out = Vec::new();
    for (key, group) in groups {
        // The key of the first item, in its own case.
        let key = if case { key } else { path.get(vm, &group[0], default.as_ref())? };
        let items = Items::new(vec![key, Value::list(group)?])?;
        let Items { items, depth, .. } = Rc::try_unwrap(items).unwrap_or_else(|shared| Items {
            items: shared.items.clone(),
            depth: shared.depth,
            group: true,
        });
        out.push(Value::Tuple(Rc::new(Items { items, depth, group: true })));
    }
    Value::list(out)
}

fn unique(vm: &Interpreter, value: &Value, args: Args) -> Result<Value> {
    let [case, attribute] = args.bind("unique", ["case_sensitive", "attribute"], 0)?;
    let (path, case) = (Path::new(attribute.as_ref()), flag(case, false));
    let mut seen = HashSet::new();
    let step = move |vm: &Interpreter, item: Value| {
        let key = vm.key(&folded(&path.get(vm, &item, None)?, case))?;
        Ok(seen.insert(key).then_some(item))
    };
    Value::iterator(Values::Stepwise(Box::new(Values::lazily(vm, value)), Box::new(step)))
}
