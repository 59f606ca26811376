//! The filters of Jinja, with the arguments and the results that they have there.

mod numbers;
mod select;
mod sequences;
mod sort;
mod texts;

use super::arguments::Args;
use super::fault::{FaultKind, Result, fail};
use super::interpreter::Interpreter;
use super::value::Value;
use super::{html, json};

const NAMES: [&str; 54] = [
    "abs",
    "attr",
    "batch",
    "capitalize",
    "center",
    "count",
    "d",
    "default",
    "dictsort",
    "e",
    "escape",
    "filesizeformat",
    "first",
    "float",
    "forceescape",
    "format",
    "groupby",
    "indent",
    "int",
    "items",
    "join",
    "last",
    "length",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "pprint",
    "random",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "safe",
    "select",
    "selectattr",
    "slice",
    "sort",
    "string",
    "striptags",
    "sum",
    "title",
    "tojson",
    "trim",
    "truncate",
    "unique",
    "upper",
    "urlencode",
    "urlize",
    "wordcount",
    "wordwrap",
    "xmlattr",
];

/// Whether there is a filter of this name.
pub(super) fn exists(name: &str) -> bool {
    NAMES.binary_search(&name).is_ok()
}

/// `value | name(args)`.
pub(super) fn call(vm: &Interpreter, name: &str, value: &Value, args: Args) -> Result<Value> {
    vm.charge(1)?;
    match name {
        "abs" => numbers::abs(value, args),
        "int" => numbers::int(vm, value, args),
        "float" => numbers::float(value, args),
        "round" => numbers::round(vm, value, args),
        "filesizeformat" => numbers::filesizeformat(value, args),
        "capitalize" | "lower" | "upper" | "title" | "trim" | "center" | "string" | "safe" | "format"
        | "indent" | "replace" | "striptags" | "truncate" | "wordcount" | "wordwrap" | "pprint" => {
            texts::call(vm, name, value, args)
        }
        "e" | "escape" => {
            let [] = args.bind(name, [], 0)?;
            html::escaped(vm, value)
        }
        "forceescape" => {
            let [] = args.bind(name, [], 0)?;
            html::escaped(vm, &Value::str(vm.str(value)?))
        }
        "urlencode" => html::urlencode(vm, value, args),
        "xmlattr" => html::xmlattr(vm, value, args),
        "tojson" => json::tojson(vm, value, args),
        "attr" | "batch" | "count" | "d" | "default" | "first" | "items" | "join" | "last" | "length"
        | "list" | "random" | "reverse" | "slice" | "sum" => sequences::call(vm, name, value, args),
        "dictsort" | "groupby" | "max" | "min" | "sort" | "unique" => sort::call(vm, name, value, args),
        "map" => select::map(vm, value, args),
        "select" | "reject" | "selectattr" | "rejectattr" => select::select(vm, name, value, args),
        "urlize" => fail(FaultKind::Unsupported, "the filter `urlize`"),
        _ => fail(FaultKind::Runtime, format!("unknown filter `{name}`")),
    }
}
