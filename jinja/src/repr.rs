//! `str` and `repr` of values, as Python writes them.
//!
//! Writing counts against the template's budget, because lists that contain one list twice can be exponentially long.

use std::fmt::Write;
use std::sync::Arc;

use super::fault::{FaultKind, Result, fail};
use super::interpreter::Interpreter;
use super::unicode::is_printable;
use super::value::{Value, View};

impl Interpreter {
    /// `str(value)`.
    pub(super) fn str(&self, value: &Value) -> Result<Arc<str>> {
        match value {
            Value::Str(text) => Ok(text.text.clone()),
            Value::Undefined(_) => Ok("".into()),
            _ => self.repr(value).map(Into::into),
        }
    }

    /// `repr(value)`.
    pub(super) fn repr(&self, value: &Value) -> Result<String> {
        let mut out = String::new();
        self.write_repr(value, &mut out, 0)?;
        self.charge_bytes(out.len())?;
        Ok(out)
    }

    fn write_repr(&self, value: &Value, out: &mut String, depth: usize) -> Result<()> {
        self.charge(1)?;
        if depth > 400 {
            return fail(FaultKind::Unsupported, "printing a value that contains itself");
        }
        match value {
            Value::Undefined(_) => out.push_str("Undefined"),
            Value::None => out.push_str("None"),
            Value::Bool(value) => out.push_str(if *value { "True" } else { "False" }),
            Value::Int(value) => out.push_str(&value.to_string()),
            Value::Float(value) => out.push_str(&float(*value)),
            Value::Str(text) => {
                self.charge_bytes(text.text.len())?;
                if text.markup {
                    out.push_str("Markup(");
                }
                repr_string(&text.text, out);
                if text.markup {
                    out.push(')');
                }
            }
            Value::List(items) => self.write_all(["[", "]"], &items.items, out, depth)?,
            Value::Tuple(items) => {
                let close = if items.items.len() == 1 { ",)" } else { ")" };
                self.write_all(["(", close], &items.items, out, depth)?;
            }
            Value::Dict(dict) => self.write_dict(dict.items(), out, depth)?,
            Value::Namespace(dict) => {
                out.push_str("<Namespace ");
                self.write_dict(dict.borrow().items(), out, depth)?;
                out.push('>');
            }
            Value::View(view, dict) => {
                let open = match view {
                    View::Keys => "dict_keys([",
                    View::Values => "dict_values([",
                    View::Items => "dict_items([",
                };
                out.push_str(open);
                for (i, (key, value)) in dict.items().iter().enumerate() {
                    out.push_str(if i > 0 { ", " } else { "" });
                    match view {
                        View::Keys => self.write_repr(key, out, depth + 1)?,
                        View::Values => self.write_repr(value, out, depth + 1)?,
                        View::Items => {
                            self.write_all(["(", ")"], &[key.clone(), value.clone()], out, depth + 1)?;
                        }
                    }
                }
                out.push_str("])");
            }
            Value::Range(range) => {
                let _ = write!(out, "range({}, {}", range.start, range.stop);
                if range.step != 1 {
                    let _ = write!(out, ", {}", range.step);
                }
                out.push(')');
            }
            Value::Loop(context) => {
                let _ = write!(out, "<LoopContext {}/{}>", context.index0() + 1, context.length(self)?);
            }
            Value::Macro(called) => match &called.definition.name {
                Some(name) => {
                    out.push_str("<Macro ");
                    repr_string(name, out);
                    out.push('>');
                }
                None => out.push_str("<Macro anonymous>"),
            },
            _ => {
                let message = format!("printing {}, which Python shows by its address", value.type_name());
                return fail(FaultKind::Unsupported, message);
            }
        }
        Ok(())
    }

    fn write_all(&self, brackets: [&str; 2], items: &[Value], out: &mut String, depth: usize) -> Result<()> {
        out.push_str(brackets[0]);
        for (i, item) in items.iter().enumerate() {
            out.push_str(if i > 0 { ", " } else { "" });
            self.write_repr(item, out, depth + 1)?;
        }
        out.push_str(brackets[1]);
        Ok(())
    }

    fn write_dict(&self, items: &[(Value, Value)], out: &mut String, depth: usize) -> Result<()> {
        out.push('{');
        for (i, (key, value)) in items.iter().enumerate() {
            out.push_str(if i > 0 { ", " } else { "" });
            self.write_repr(key, out, depth + 1)?;
            out.push_str(": ");
            self.write_repr(value, out, depth + 1)?;
        }
        out.push('}');
        Ok(())
    }
}

/// In single quotes, or in double quotes if the text contains only single ones.
pub(super) fn repr_string(text: &str, out: &mut String) {
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
            c => push_escape(c, out),
        }
    }
    out.push(quote);
}

fn push_escape(c: char, out: &mut String) {
    let _ = match c as u32 {
        code @ ..=0xff => write!(out, "\\x{code:02x}"),
        code @ ..=0xffff => write!(out, "\\u{code:04x}"),
        code => write!(out, "\\U{code:08x}"),
    };
}

/// `ascii` of what `repr` gave.
pub(super) fn ascii(repr: &str) -> String {
    let mut out = String::with_capacity(repr.len());
    for c in repr.chars() {
        if c.is_ascii() { out.push(c) } else { push_escape(c, &mut out) }
    }
    out
}

/// A float by Python's rule: the shortest digits that read back as it, with an exponent below 10⁻⁴ and from 10¹⁶ on.
pub(super) fn float(x: f64) -> String {
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
