//! The methods of values that are not strings.

use std::rc::Rc;

use super::arguments::Args;
use super::attributes::view;
use super::fault::{FaultKind, Result, fail, fault};
use super::functions;
use super::interpreter::Interpreter;
use super::value::Value;

pub(super) fn call(vm: &Interpreter, value: &Value, method: &'static str, args: Args) -> Result<Value> {
    match value {
        Value::Dict(dict) => match method {
            "get" => {
                let [key, default] = args.positional(method, 1)?;
                let found = dict.get(&key.unwrap_or(Value::None))?.cloned();
                Ok(found.or(default).unwrap_or(Value::None))
            }
            "copy" => {
                args.positional::<0>(method, 0)?;
                Ok(value.clone())
            }
            "fromkeys" => functions::from_keys(vm, args),
            _ => {
                args.positional::<0>(method, 0)?;
                Ok(Value::View(view(method), Rc::clone(dict)))
            }
        },
        Value::List(_) | Value::Tuple(_) | Value::Range(_) => of_sequence(vm, value, method, args),
        Value::Int(_) | Value::Bool(_) => {
            args.positional::<0>(method, 0)?;
            let integer = value.as_int().unwrap_or(0);
            Ok(Value::Int(match method {
                "bit_length" => i128::from(128 - integer.unsigned_abs().leading_zeros()),
                "bit_count" => i128::from(integer.unsigned_abs().count_ones()),
                _ => integer,
            }))
        }
        Value::Float(x) => {
            args.positional::<0>(method, 0)?;
            Ok(if method == "is_integer" { Value::Bool(x.fract() == 0.0) } else { value.clone() })
        }
        Value::Loop(context) => context.call(vm, method, args),
        Value::Cycler(cycler) => {
            args.positional::<0>(method, 0)?;
            let at = cycler.at.get();
            if method == "reset" {
                cycler.at.set(0);
                return Ok(Value::None);
            }
            cycler.at.set((at + 1) % cycler.items.len());
            Ok(cycler.items[at].clone())
        }
        _ => fail(FaultKind::Type, format!("{} has no method {method}", value.type_name())),
    }
}

fn of_sequence(vm: &Interpreter, value: &Value, method: &'static str, args: Args) -> Result<Value> {
    if method == "copy" {
        args.positional::<0>(method, 0)?;
        return Ok(value.clone());
    }
    let most = if method == "index" && !matches!(value, Value::Range(_)) { 3 } else { 1 };
    if args.positional.len() > most {
        return fail(FaultKind::Type, format!("{method}: at most {most} arguments expected"));
    }
    let [wanted, start, stop] = args.positional(method, 1)?;
    let wanted = wanted.unwrap_or(Value::None);
    let items = vm.collect(value)?;
    let bound = |value: Option<Value>, default: usize| -> Result<usize> {
        let Some(value) = value else { return Ok(default) };
        let at = value.index()?;
        let at = if at < 0 { (at + items.len() as i128).max(0) } else { at };
        Ok(usize::try_from(at).unwrap_or(usize::MAX).min(items.len()))
    };
    let (start, stop) = (bound(start, 0)?, bound(stop, items.len())?);
    let mut count = 0;
    for (at, item) in items.iter().enumerate().take(stop).skip(start) {
        if vm.equal(item, &wanted)? {
            if method == "index" {
                return Ok(Value::int(at));
            }
            count += 1;
        }
    }
    if method == "index" {
        return Err(fault(FaultKind::Value, "the value is not in the sequence"));
    }
    Ok(Value::int(count))
}
