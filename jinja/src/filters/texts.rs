//! Filters of texts.

use super::super::arguments::{Args, flag, given, integer};
use super::super::dict::Dict;
use super::super::fault::{FaultKind, Result, fail};
use super::super::interpreter::Interpreter;
use super::super::value::{Text, Value};
use super::super::{format, html, strings, unicode};

/// A value as text; markup stays markup.
fn soft(vm: &Interpreter, value: &Value) -> Result<Text> {
    match value {
        Value::Str(text) => Ok(text.clone()),
        _ => Ok(Text { text: vm.str(value)?, markup: false }),
    }
}

pub(super) fn call(vm: &Interpreter, name: &str, value: &Value, args: Args) -> Result<Value> {
    match name {
        "capitalize" | "lower" | "upper" => {
            let [] = args.bind(name, [], 0)?;
            let method = strings::METHODS.iter().find(|method| **method == name).copied().unwrap_or("lower");
            strings::call(vm, &soft(vm, value)?, method, Args::default())
        }
        "title" => {
            let [] = args.bind(name, [], 0)?;
            let text = soft(vm, value)?.text;
            vm.charge_bytes(text.len())?;
            Ok(Value::str(title(&text)))
        }
        "trim" => {
            let [characters] = args.bind(name, ["chars"], 0)?;
            strings::call(vm, &soft(vm, value)?, "strip", Args::of(characters.into_iter().collect()))
        }
        "center" => {
            let [width] = args.bind(name, ["width"], 0)?;
            let width = width.unwrap_or(Value::Int(80));
            strings::call(vm, &soft(vm, value)?, "center", Args::of(vec![width]))
        }
        "string" => {
            let [] = args.bind(name, [], 0)?;
            Ok(Value::Str(soft(vm, value)?))
        }
        "safe" => {
            let [] = args.bind(name, [], 0)?;
            Ok(Value::markup(vm.str(value)?))
        }
        "format" => {
            let text = soft(vm, value)?;
            if !args.named.is_empty() && !args.positional.is_empty() {
                return fail(FaultKind::Runtime, "format: values with and without names");
            }
            let values = if args.named.is_empty() {
                Value::tuple(args.positional)?
            } else {
                let pairs = args.named.into_iter().map(|(name, value)| (Value::str(name), value));
                Dict::from_pairs(pairs)?.value()
            };
            format::percent(vm, &text, &values)
        }
        "replace" => {
            let [old, new, count] = args.bind(name, ["old", "new", "count"], 2)?;
            let (old, new) = (vm.str(&old.unwrap_or(Value::None))?, vm.str(&new.unwrap_or(Value::None))?);
            let count = integer(given(count), -1)?;
            Ok(Value::str(strings::replace(vm, &vm.str(value)?, &old, &new, count)?))
        }
        "striptags" => {
            let [] = args.bind(name, [], 0)?;
            Ok(Value::str(html::striptags(vm, &vm.str(value)?)?))
        }
        "wordcount" => {
            let [] = args.bind(name, [], 0)?;
            let text = soft(vm, value)?.text;
            vm.charge_bytes(text.len())?;
            let in_word = |c: char| c == '_' || unicode::is_alpha(c) || unicode::is_numeric(c);
            Ok(Value::int(text.split(|c| !in_word(c)).filter(|word| !word.is_empty()).count()))
        }
        "indent" => indent(vm, value, args),
        "truncate" => truncate(vm, value, args),
        "wordwrap" => wordwrap(vm, value, args),
        _ => {
            let [] = args.bind(name, [], 0)?;
            pprint(vm, value)
        }
    }
}

/// The first letter after white space, `-` or an opening bracket in upper case, the others in lower case.
fn title(text: &str) -> String {
    let separates = |c: char| unicode::is_space(c) || matches!(c, '-' | '(' | '{' | '[' | '<');
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if separates(first) {
            out.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let (word, after) = rest.split_at(rest.find(separates).unwrap_or(rest.len()));
        let (first, others) = word.split_at(first.len_utf8());
        out.push_str(&first.to_uppercase());
        out.push_str(&others.to_lowercase());
        rest = after;
    }
    out
}

/// `indent(value, width=4, first=False, blank=False)`.
fn indent(vm: &Interpreter, value: &Value, args: Args) -> Result<Value> {
    let [width, first, blank] = args.bind("indent", ["width", "first", "blank"], 0)?;
    let width = width.unwrap_or(Value::Int(4));
    let (first, blank) = (flag(first, false), flag(blank, false));
    value.defined()?;
    let Text { text, markup } = value.string()?;
    let indention = match &width {
        Value::Str(width) => width.text.to_string(),
        other => {
            let width = usize::try_from(other.index()?.max(0)).unwrap_or(usize::MAX);
            vm.charge_bytes(width)?;
            " ".repeat(width)
        }
    };
    let text = format!("{text}\n");
    let lines = strings::lines(&text, false);
    vm.charge_bytes(text.len().saturating_add(indention.len().saturating_mul(lines.len())))?;
    let mut out = String::new();
    for (i, line) in lines.iter().enumerate() {
        if i > 0 {
            out.push('\n');
        }
        if if i == 0 { first } else { blank || !line.is_empty() } {
            out.push_str(&indention);
        }
        out.push_str(line);
    }
    Ok(Value::text(out, *markup))
}

/// `truncate(value, length=255, killwords=False, end='...', leeway=5)`.
fn truncate(vm: &Interpreter, value: &Value, args: Args) -> Result<Value> {
    let [length, killwords, end, leeway] =
        args.bind("truncate", ["length", "killwords", "end", "leeway"], 0)?;
    let (length, leeway) = (integer(length, 255)?, integer(given(leeway), 5)?);
    let end = end.unwrap_or_else(|| Value::str("..."));
    let Some(end_length) = vm.length(&end)? else {
        return fail(FaultKind::Type, "truncate: `end` must be a string");
    };
    if length < end_length as i128 || leeway < 0 {
        return fail(
            FaultKind::Value,
            "truncate: the length is less than that of `end`, or the leeway is negative",
        );
    }
    match vm.length(value)? {
        None => {
            return fail(
                FaultKind::Type,
                format!("truncate: expected a string, found {}", value.type_name()),
            );
        }
        Some(found) if found as i128 <= length.saturating_add(leeway) => return Ok(value.clone()),
        Some(_) => {}
    }
    let text = value.string()?;
    let kept: String = text.text.chars().take((length - end_length as i128) as usize).collect();
    let kept = if flag(killwords, false) {
        &kept[..]
    } else {
        kept.rsplit_once(' ').map_or(&kept[..], |(kept, _)| kept)
    };
    vm.binary(super::super::ast::Operator::Add, &Value::text(kept, text.markup), &end)
}

/// `wordwrap(value, width=79, break_long_words=True, wrapstring='\n', break_on_hyphens=True)`, as `textwrap.wrap`.
fn wordwrap(vm: &Interpreter, value: &Value, args: Args) -> Result<Value> {
    let names = ["width", "break_long_words", "wrapstring", "break_on_hyphens"];
    let [width, break_long, wrap, hyphens] = args.bind("wordwrap", names, 0)?;
    let width = integer(width, 79)?;
    let (break_long, hyphens) = (flag(break_long, true), flag(hyphens, true));
    let wrap = given(wrap).unwrap_or_else(|| Value::str("\n"));
    let wrap = &wrap.string()?.text;
    value.defined()?;
    let text = &value.string()?.text;
    vm.charge_bytes(text.len())?;
    if hyphens && text.contains('-') {
        return fail(
            FaultKind::Unsupported,
            "wordwrap of a text with hyphens, unless break_on_hyphens is false",
        );
    }
    let lines = strings::lines(text, false);
    if width <= 0 && lines.iter().any(|line| !line.is_empty()) {
        return fail(FaultKind::Value, "wordwrap: the width must be positive");
    }
    let width = usize::try_from(width).unwrap_or(usize::MAX);
    vm.charge_bytes(wrap.len().saturating_mul(text.len()))?;
    let wrapped: Vec<String> =
        lines.iter().map(|line| wrap_line(line, width, break_long).join(wrap)).collect();
    Ok(Value::str(wrapped.join(wrap)))
}

/// The lines of a line. White space at their ends is dropped, except before the first word.
fn wrap_line(line: &str, width: usize, break_long: bool) -> Vec<String> {
    let is_blank = |c: char| matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{b}' | '\u{c}');
    let mut chunks: Vec<Vec<char>> = Vec::new();
    for c in line.chars() {
        match chunks.last_mut() {
            Some(chunk) if is_blank(chunk[0]) == is_blank(c) => chunk.push(c),
            _ => chunks.push(vec![c]),
        }
    }
    chunks.reverse();
    let blank = |chunk: &[char]| chunk.iter().all(|c| unicode::is_space(*c));
    let mut lines: Vec<String> = Vec::new();
    while !chunks.is_empty() {
        let mut current: Vec<Vec<char>> = Vec::new();
        let mut length = 0;
        if !lines.is_empty() && chunks.last().is_some_and(|chunk| blank(chunk)) {
            chunks.pop();
        }
        while let Some(chunk) = chunks.pop_if(|chunk| length + chunk.len() <= width) {
            length += chunk.len();
            current.push(chunk);
        }
        if let Some(chunk) = chunks.last_mut().filter(|chunk| chunk.len() > width) {
            if break_long {
                let rest = chunk.split_off((width - length).min(chunk.len()));
                let start = std::mem::replace(chunk, rest);
                current.push(start);
            } else if current.is_empty() {
                current.extend(chunks.pop());
            }
        }
        if current.last().is_some_and(|chunk| blank(chunk)) {
            current.pop();
        }
        if !current.is_empty() {
            lines.push(current.into_iter().flatten().collect());
        }
    }
    lines
}

/// `pformat(value)` of what fits one line of 80 characters: its `repr`, with the keys of dicts sorted.
fn pprint(vm: &Interpreter, value: &Value) -> Result<Value> {
    let text = vm.repr(&with_sorted_keys(vm, value)?)?;
    let is_scalar = matches!(value, Value::Int(_) | Value::Float(_) | Value::Bool(_) | Value::None);
    if text.chars().count() > 80 && !is_scalar {
        return fail(FaultKind::Unsupported, "pprint of a value longer than a line");
    }
    Ok(Value::str(text))
}

fn with_sorted_keys(vm: &Interpreter, value: &Value) -> Result<Value> {
    vm.charge(1)?;
    vm.deeper(|| match value {
        Value::Dict(dict) => {
            let mut items = dict.items().to_vec();
            if !items.iter().all(|(key, _)| matches!(key, Value::Str(_))) && items.len() > 1 {
                return fail(FaultKind::Unsupported, "pprint of a dict whose keys are not all strings");
            }
            items.sort_by(|(a, _), (b, _)| a.as_str().cmp(&b.as_str()));
            for (_, value) in &mut items {
                *value = with_sorted_keys(vm, value)?;
            }
            Ok(Dict::from_pairs(items)?.value())
        }
        Value::List(items) => {
            Value::list(items.items.iter().map(|item| with_sorted_keys(vm, item)).collect::<Result<_>>()?)
        }
        Value::Tuple(items) => {
            Value::tuple(items.items.iter().map(|item| with_sorted_keys(vm, item)).collect::<Result<_>>()?)
        }
        other => Ok(other.clone()),
    })
}
