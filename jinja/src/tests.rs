//! The tests of Jinja: `value is name(args)`.

use super::arguments::Args;
use super::ast::{Comparison, Operator};
use super::fault::{FaultKind, Result, fail};
use super::interpreter::Interpreter;
use super::value::Value;
use super::{filters, strings};

const NAMES: [&str; 39] = [
    "!=",
    "<",
    "<=",
    "==",
    ">",
    ">=",
    "boolean",
    "callable",
    "defined",
    "divisibleby",
    "eq",
    "equalto",
    "escaped",
    "even",
    "false",
    "filter",
    "float",
    "ge",
    "greaterthan",
    "gt",
    "in",
    "integer",
    "iterable",
    "le",
    "lessthan",
    "lower",
    "lt",
    "mapping",
    "ne",
    "none",
    "number",
    "odd",
    "sameas",
    "sequence",
    "string",
    "test",
    "true",
    "undefined",
    "upper",
];

/// Whether there is a test of this name.
pub(super) fn exists(name: &str) -> bool {
    NAMES.binary_search(&name).is_ok()
}

/// `value is name(args)`.
pub(super) fn call(vm: &Interpreter, name: &str, value: &Value, args: Args) -> Result<bool> {
    vm.charge(1)?;
    let comparison = match name {
        "==" | "eq" | "equalto" => Some(Comparison::Eq),
        "!=" | "ne" => Some(Comparison::Ne),
        "<" | "lt" | "lessthan" => Some(Comparison::Lt),
        "<=" | "le" => Some(Comparison::Le),
        ">" | "gt" | "greaterthan" => Some(Comparison::Gt),
        ">=" | "ge" => Some(Comparison::Ge),
        "in" => Some(Comparison::In),
        _ => None,
    };
    if let Some(comparison) = comparison {
        let [other] = if name == "in" { args.bind(name, ["seq"], 1)? } else { args.positional(name, 1)? };
        return vm.compare(comparison, value, &other.unwrap_or(Value::None));
    }
    match name {
        "sameas" => {
            let [other] = args.bind(name, ["other"], 1)?;
            return vm.same(value, &other.unwrap_or(Value::None));
        }
        "divisibleby" => {
            let [divisor] = args.bind(name, ["num"], 1)?;
            let rest = vm.binary(Operator::Mod, value, &divisor.unwrap_or(Value::None))?;
            return vm.equal(&rest, &Value::Int(0));
        }
        _ => {}
    }
    if !exists(name) {
        return fail(FaultKind::Runtime, format!("unknown test `{name}`"));
    }
    let [] = args.bind(name, [], 0)?;
    Ok(match name {
        "defined" => !value.is_undefined(),
        "undefined" => value.is_undefined(),
        "none" => matches!(value, Value::None),
        "boolean" => matches!(value, Value::Bool(_)),
        "true" => matches!(value, Value::Bool(true)),
        "false" => matches!(value, Value::Bool(false)),
        "integer" => matches!(value, Value::Int(_)),
        "float" => matches!(value, Value::Float(_)),
        "number" => matches!(value, Value::Int(_) | Value::Float(_) | Value::Bool(_)),
        "string" => matches!(value, Value::Str(_)),
        "mapping" => matches!(value, Value::Dict(_)),
        "escaped" => value.is_markup(),
        "odd" | "even" => {
            let rest = vm.binary(Operator::Mod, value, &Value::Int(2))?;
            vm.equal(&rest, &Value::Int(i128::from(name == "odd")))?
        }
        "lower" => strings::is(&vm.str(value)?, "islower"),
        "upper" => strings::is(&vm.str(value)?, "isupper"),
        "sequence" => matches!(
            value,
            Value::Undefined(_)
                | Value::Str(_)
                | Value::List(_)
                | Value::Tuple(_)
                | Value::Dict(_)
                | Value::Range(_)
        ),
        "iterable" => vm.values(value).map(|_| true).or_else(|error| match error.kind {
            FaultKind::Type => Ok(false),
            _ => Err(error),
        })?,
        "callable" => matches!(
            value,
            Value::Undefined(_)
                | Value::Macro(_)
                | Value::Method(_)
                | Value::Loop(_)
                | Value::Joiner(_)
                | Value::Function(_)
        ),
        "filter" | "test" => {
            let exists = if name == "filter" { filters::exists } else { exists };
            vm.key(value)?;
            value.as_str().is_some_and(exists)
        }
        _ => return fail(FaultKind::Runtime, format!("unknown test `{name}`")),
    })
}
