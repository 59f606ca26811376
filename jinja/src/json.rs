//! The filter `tojson` as transformers defines it: `json.dumps` with Python's format, down to the space after a comma.

use std::cmp::Ordering;
use std::fmt::Write;

use super::arguments::Args;
use super::fault::{Fault, FaultKind, Result, fail, fault};
use super::interpreter::Interpreter;
use super::repr::float;
use super::value::Value;

/// The format of `json.dumps`.
struct JsonFormat {
    ascii: bool,
    indent: Option<String>,
    between_items: String,
    after_key: String,
    sorted: bool,
}

/// `tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False)`.
pub(super) fn tojson(vm: &Interpreter, value: &Value, args: Args) -> Result<Value> {
    let [ascii, indent, separators, sorted] =
        args.bind("tojson", ["ensure_ascii", "indent", "separators", "sort_keys"], 0)?;
    let indent = match indent.unwrap_or(Value::None) {
        Value::None => None,
        Value::Str(text) => Some(text.text.to_string()),
        other => match usize::try_from(other.index()?).unwrap_or(0) {
            spaces @ 0..=64 => Some(" ".repeat(spaces)),
            _ => return fail(FaultKind::Unsupported, "tojson: an indent above 64"),
        },
    };
    let (between_items, after_key) = match separators.unwrap_or(Value::None) {
        Value::None => (if indent.is_some() { "," } else { ", " }.to_owned(), ": ".to_owned()),
        pair => match &vm.collect(&pair)?[..] {
            [item, key] => (item.string()?.text.to_string(), key.string()?.text.to_string()),
            _ => return fail(FaultKind::Value, "tojson: separators must be two strings"),
        },
    };
    let is_true = |value: Option<Value>| value.is_some_and(|value| value.truth());
    let format =
        JsonFormat { ascii: is_true(ascii), indent, between_items, after_key, sorted: is_true(sorted) };
    let mut out = String::new();
    write(vm, value, &format, &mut out, 0)?;
    Ok(Value::str(out))
}

fn write(vm: &Interpreter, value: &Value, format: &JsonFormat, out: &mut String, depth: usize) -> Result<()> {
    vm.charge(1)?;
    match value {
        Value::None => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Int(value) => out.push_str(&value.to_string()),
        Value::Float(value) => out.push_str(&json_float(*value)),
        Value::Str(text) => {
            vm.charge_bytes(text.text.len())?;
            json_string(&text.text, format, out);
        }
        Value::List(items) | Value::Tuple(items) => {
            let mut first = true;
            out.push('[');
            for item in &items.items {
                begin_item(vm, &mut first, format, out, depth + 1)?;
                write(vm, item, format, out, depth + 1)?;
            }
            end_items(first, format, out, depth);
            out.push(']');
        }
        Value::Dict(dict) => {
            let mut items: Vec<&(Value, Value)> = dict.items().iter().collect();
            if format.sorted {
                sort(vm, &mut items)?;
            }
            let mut first = true;
            out.push('{');
            for (key, value) in items {
                begin_item(vm, &mut first, format, out, depth + 1)?;
                let name = match key {
                    Value::Str(text) => text.text.to_string(),
                    Value::None => "null".to_owned(),
                    Value::Bool(key) => if *key { "true" } else { "false" }.to_owned(),
                    Value::Int(key) => key.to_string(),
                    Value::Float(key) => json_float(*key),
                    other => return Err(not_json(&format!("{} as a key", other.type_name()))),
                };
                json_string(&name, format, out);
                out.push_str(&format.after_key);
                write(vm, value, format, out, depth + 1)?;
            }
            end_items(first, format, out, depth);
            out.push('}');
        }
        other => return Err(not_json(other.type_name())),
    }
    Ok(())
}

/// Sorts by key, without comparing the values.
fn sort(vm: &Interpreter, items: &mut [&(Value, Value)]) -> Result<()> {
    let mut failed = Ok(());
    items.sort_by(|a, b| match vm.order(&a.0, &b.0) {
        Ok(order) => order.unwrap_or(Ordering::Equal),
        Err(error) => {
            failed = Err(error);
            Ordering::Equal
        }
    });
    failed
}

fn json_float(value: f64) -> String {
    match float(value).as_str() {
        "nan" => "NaN".to_owned(),
        "inf" => "Infinity".to_owned(),
        "-inf" => "-Infinity".to_owned(),
        finite => finite.to_owned(),
    }
}

fn begin_item(
    vm: &Interpreter,
    first: &mut bool,
    format: &JsonFormat,
    out: &mut String,
    depth: usize,
) -> Result<()> {
    if !*first {
        out.push_str(&format.between_items);
        vm.charge_bytes(format.between_items.len())?;
    }
    *first = false;
    vm.charge_bytes(format.indent.as_ref().map_or(0, |indent| indent.len() * depth))?;
    new_line(format, out, depth);
    Ok(())
}

fn end_items(empty: bool, format: &JsonFormat, out: &mut String, depth: usize) {
    if !empty {
        new_line(format, out, depth);
    }
}

fn new_line(format: &JsonFormat, out: &mut String, depth: usize) {
    if let Some(indent) = &format.indent {
        out.push('\n');
        (0..depth).for_each(|_| out.push_str(indent));
    }
}

fn json_string(text: &str, format: &JsonFormat, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if c < ' ' || (format.ascii && c > '~') => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

fn not_json(what: &str) -> Box<Fault> {
    fault(FaultKind::Type, format!("tojson: {what} cannot be written as JSON"))
}
