//! Formats values as Python does: `str`, `repr` and `json.dumps`.
//!
//! Templates were written for Python, and models were trained on its output, down to the space after a comma in a
//! tool's JSON schema. The writers count against the template's budget, because nested lists that contain the same list
//! twice can have exponentially long output.

use std::fmt::Write;

use minijinja::value::{Value, ValueKind};
use minijinja::{Error, ErrorKind, State};

/// Maximum nesting depth.
const DEEPEST: usize = 100;

/// `str(value)`; empty for an undefined value.
pub(super) fn text(state: &State, value: &Value) -> Result<String, Error> {
    let mut out = String::new();
    match value.kind() {
        ValueKind::Undefined => {}
        ValueKind::String => out.push_str(value.as_str().unwrap_or("")),
        _ => repr(state, value, &mut out, 0)?,
    }
    Ok(out)
}

fn repr(state: &State, value: &Value, out: &mut String, depth: usize) -> Result<(), Error> {
    step(state, depth)?;
    match value.kind() {
        ValueKind::None => out.push_str("None"),
        ValueKind::Bool => out.push_str(if value.is_true() { "True" } else { "False" }),
        ValueKind::Number if !value.is_integer() => out.push_str(&float(f64::try_from(value.clone())?)),
        ValueKind::String => repr_string(value.as_str().unwrap_or(""), out),
        ValueKind::Seq | ValueKind::Iterable if value.len().is_some() => {
            let tuple = value.is_tuple();
            out.push(if tuple { '(' } else { '[' });
            for (i, item) in value.try_iter()?.enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                repr(state, &item, out, depth + 1)?;
            }
            if tuple && value.len() == Some(1) {
                out.push(',');
            }
            out.push(if tuple { ')' } else { ']' });
        }
        ValueKind::Map => {
            out.push('{');
            for (i, key) in value.try_iter()?.enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                repr(state, &key, out, depth + 1)?;
                out.push_str(": ");
                repr(state, &value.get_item(&key)?, out, depth + 1)?;
            }
            out.push('}');
        }
        _ => out.push_str(&value.to_string()),
    }
    Ok(())
}

/// In single quotes, or in double quotes if the text contains only single ones.
fn repr_string(text: &str, out: &mut String) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => out.extend(['\\', c]),
            c if is_printable(c) => out.push(c),
            c => {
                let _ = match c as u32 {
                    code @ ..=0xff => write!(out, "\\x{code:02x}"),
                    code @ ..=0xffff => write!(out, "\\u{code:04x}"),
                    code => write!(out, "\\U{code:08x}"),
                };
            }
        }
    }
    out.push(quote);
}

/// Whether `repr` writes the character unescaped: not control or format characters, separators other than the space, or
/// unassigned code points. Rust's debug output makes the same choice for a character that is not the first.
fn is_printable(c: char) -> bool {
    let pair: String = ['a', c].iter().collect();
    matches!(c, '\'' | '"') || pair.escape_debug().nth(1) == Some(c)
}

/// A float by Python's rule: the shortest digits that read back as it, with an exponent below 10⁻⁴ and from 10¹⁶ on.
fn float(x: f64) -> String {
    if x.is_nan() {
        return "nan".to_owned();
    }
    if x.is_infinite() {
        return if x > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let scientific = format!("{x:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..16).contains(&exponent) && x != 0.0 => {
            format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
        }
        _ => format!("{x:?}"),
    }
}

/// The format of `json.dumps`.
#[derive(Debug)]
pub(super) struct JsonFormat {
    ascii: bool,
    indent: Option<String>,
    between_items: String,
    after_key: String,
    sorted: bool,
}

impl JsonFormat {
    /// From the arguments of `json.dumps`; `None` means the default.
    pub(super) fn new(
        ascii: &Value,
        indent: &Value,
        separators: &Value,
        sorted: &Value,
    ) -> Result<JsonFormat, Error> {
        let invalid = |message| Error::new(ErrorKind::InvalidOperation, message);
        let indent = match indent.kind() {
            ValueKind::None => None,
            ValueKind::String => indent.as_str().map(str::to_owned),
            _ => {
                let spaces =
                    indent.as_i64().ok_or_else(|| invalid("tojson: indent must be a number or a string"))?;
                let spaces = usize::try_from(spaces).unwrap_or(0);
                Some(" ".repeat(if spaces <= 64 {
                    spaces
                } else {
                    return Err(invalid("tojson: indent is above 64"));
                }))
            }
        };
        let (between_items, after_key) = if separators.is_none() {
            (if indent.is_some() { "," } else { ", " }.to_owned(), ": ".to_owned())
        } else {
            let pair: Vec<Value> = separators.try_iter()?.collect();
            match pair.iter().map(|value| value.as_str()).collect::<Vec<_>>()[..] {
                [Some(item), Some(key)] => (item.to_owned(), key.to_owned()),
                _ => return Err(invalid("tojson: separators must be two strings")),
            }
        };
        Ok(JsonFormat { ascii: ascii.is_true(), indent, between_items, after_key, sorted: sorted.is_true() })
    }
}

/// `json.dumps(value)` in the given format. Values that are not JSON, such as undefined ones, are an error.
pub(super) fn json(state: &State, value: &Value, format: &JsonFormat) -> Result<String, Error> {
    let mut out = String::new();
    write_json(state, value, format, &mut out, 0)?;
    Ok(out)
}

fn write_json(
    state: &State,
    value: &Value,
    format: &JsonFormat,
    out: &mut String,
    depth: usize,
) -> Result<(), Error> {
    step(state, depth)?;
    match value.kind() {
        ValueKind::None => out.push_str("null"),
        ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number => out.push_str(&json_number(value)?),
        ValueKind::String => json_string(value.as_str().unwrap_or(""), format, out),
        ValueKind::Seq | ValueKind::Iterable => {
            let mut first = true;
            out.push('[');
            for item in value.try_iter()? {
                begin_item(&mut first, format, out, depth + 1);
                write_json(state, &item, format, out, depth + 1)?;
            }
            end_items(first, format, out, depth);
            out.push(']');
        }
        ValueKind::Map => {
            let mut keys: Vec<Value> = value.try_iter()?.collect();
            if format.sorted {
                keys.sort();
            }
            let mut first = true;
            out.push('{');
            for key in keys {
                begin_item(&mut first, format, out, depth + 1);
                let name = match key.kind() {
                    ValueKind::String => key.as_str().unwrap_or("").to_owned(),
                    ValueKind::None => "null".to_owned(),
                    ValueKind::Bool => if key.is_true() { "true" } else { "false" }.to_owned(),
                    ValueKind::Number => json_number(&key)?,
                    kind => return Err(not_json(&format!("a key of type {kind}"))),
                };
                json_string(&name, format, out);
                out.push_str(&format.after_key);
                write_json(state, &value.get_item(&key)?, format, out, depth + 1)?;
            }
            end_items(first, format, out, depth);
            out.push('}');
        }
        kind => return Err(not_json(&format!("a value of type {kind}"))),
    }
    Ok(())
}

fn json_number(value: &Value) -> Result<String, Error> {
    if value.is_integer() {
        return Ok(value.to_string());
    }
    Ok(match float(f64::try_from(value.clone())?).as_str() {
        "nan" => "NaN".to_owned(),
        "inf" => "Infinity".to_owned(),
        "-inf" => "-Infinity".to_owned(),
        finite => finite.to_owned(),
    })
}

fn begin_item(first: &mut bool, format: &JsonFormat, out: &mut String, depth: usize) {
    if !*first {
        out.push_str(&format.between_items);
    }
    *first = false;
    new_line(format, out, depth);
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

fn not_json(what: &str) -> Error {
    Error::new(ErrorKind::BadSerialization, format!("tojson: {what} cannot be written as JSON"))
}

/// Counts one value against the budget, and checks the depth.
fn step(state: &State, depth: usize) -> Result<(), Error> {
    if depth > DEEPEST {
        let message = format!("a value is nested deeper than {DEEPEST} levels");
        return Err(Error::new(ErrorKind::InvalidOperation, message));
    }
    state.consume_fuel(1)
}
