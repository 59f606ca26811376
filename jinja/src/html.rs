//! HTML: markupsafe's `escape` and `striptags`, and the filters `xmlattr` and `urlencode`.

use super::arguments::Args;
use super::fault::{FaultKind, Result, fail};
use super::interpreter::Interpreter;
use super::unicode::is_space;
use super::value::Value;

pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&#39;"),
            '"' => out.push_str("&#34;"),
            c => out.push(c),
        }
    }
    out
}

/// `escape(value)`; markup stays as it is.
pub(super) fn escaped(vm: &Interpreter, value: &Value) -> Result<Value> {
    if value.is_markup() {
        return Ok(value.clone());
    }
    let text = vm.str(value)?;
    vm.charge_bytes(text.len())?;
    Ok(Value::markup(escape(&text)))
}

/// `Markup.striptags`: without comments and tags, white space as single spaces, entities as their characters.
pub(super) fn striptags(vm: &Interpreter, text: &str) -> Result<String> {
    vm.charge_bytes(text.len())?;
    let text = without(text, "<!--", "-->");
    let text = without(&text, "<", ">");
    let words: Vec<&str> = text.split(is_space).filter(|word| !word.is_empty()).collect();
    unescape(&words.join(" "))
}

fn without(text: &str, open: &str, close: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, inside)) = rest.split_once(open) {
        let Some((_, after)) = inside.split_once(close) else { break };
        out.push_str(before);
        rest = after;
    }
    out + rest
}

/// Numeric entities and the five of XML; others are refused, for HTML names two thousand.
fn unescape(text: &str) -> Result<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let length = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '#').unwrap_or(after.len());
        let name = &after[..length];
        let known = match name {
            "amp" => Some('&'),
            "lt" => Some('<'),
            "gt" => Some('>'),
            "quot" => Some('"'),
            "apos" => Some('\''),
            "nbsp" => Some('\u{a0}'),
            _ => name
                .strip_prefix("#")
                .and_then(|number| match number.strip_prefix(['x', 'X']) {
                    Some(hex) => u32::from_str_radix(hex, 16).ok(),
                    None => number.parse().ok(),
                })
                .filter(|code| (0x20..0x7f).contains(code) || *code >= 0xa0)
                .and_then(char::from_u32),
        };
        let ended = after[length..].strip_prefix(';');
        match (known, ended) {
            (Some(c), Some(after)) => {
                out.push(c);
                rest = after;
            }
            _ if name.is_empty() => {
                out.push('&');
                rest = after;
            }
            _ => return fail(FaultKind::Unsupported, format!("striptags: the entity `&{name}`")),
        }
    }
    Ok(out + rest)
}

/// `xmlattr(value, autospace=True)`.
pub(super) fn xmlattr(vm: &Interpreter, value: &Value, args: Args) -> Result<Value> {
    let [autospace] = args.bind("xmlattr", ["autospace"], 0)?;
    let Value::Dict(dict) = value else {
        value.defined()?;
        return fail(FaultKind::Type, format!("xmlattr: expected a dict, found {}", value.type_name()));
    };
    let mut items = Vec::new();
    for (key, value) in dict.items() {
        if matches!(value, Value::None | Value::Undefined(_)) {
            continue;
        }
        let key = &key.string()?.text;
        if key.contains([' ', '\t', '\n', '\r', '\u{b}', '\u{c}', '/', '>', '=']) {
            return fail(FaultKind::Value, format!("xmlattr: invalid character in the name {key:?}"));
        }
        items.push(format!("{}=\"{}\"", escape(key), vm.str(&escaped(vm, value)?)?));
    }
    let space = if super::arguments::flag(autospace, true) && !items.is_empty() { " " } else { "" };
    Ok(Value::str(format!("{space}{}", items.join(" "))))
}

/// `urlencode(value)`: a string quoted, or pairs as a query.
pub(super) fn urlencode(vm: &Interpreter, value: &Value, args: Args) -> Result<Value> {
    let [] = args.bind("urlencode", [], 0)?;
    let pairs = match value {
        Value::Dict(dict) => Value::View(super::value::View::Items, dict.clone()),
        Value::List(_)
        | Value::Tuple(_)
        | Value::View(..)
        | Value::Iterator(_)
        | Value::Range(_)
        | Value::Undefined(_) => value.clone(),
        _ => return Ok(Value::str(quote(&vm.str(value)?, "/"))),
    };
    let mut query = Vec::new();
    for pair in vm.collect(&pairs)? {
        let [key, value] = &vm.collect(&pair)?[..] else {
            return fail(FaultKind::Value, "urlencode: expected pairs of a key and a value");
        };
        let quoted = |value: &Value| -> Result<String> { Ok(quote(&vm.str(value)?, " ").replace(' ', "+")) };
        query.push(format!("{}={}", quoted(key)?, quoted(value)?));
    }
    Ok(Value::str(query.join("&")))
}

/// `urllib.parse.quote`.
fn quote(text: &str, safe: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"_.-~".contains(&byte) || safe.as_bytes().contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
