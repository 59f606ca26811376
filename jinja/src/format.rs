//! Formatting of strings: the operator `%`, and `str.format` with its fields. Numbers are in `number_format.rs`.

use std::sync::Arc;

use super::arguments::Args;
use super::fault::{Fault, FaultKind, Result, fail, fault};
use super::html;
use super::interpreter::Interpreter;
use super::number_format::{Align, Spec};
use super::repr::ascii;
use super::value::{Text, Value};

fn incomplete() -> Box<Fault> {
    fault(FaultKind::Value, "the format ends inside a field")
}

/// `text % values`.
pub(super) fn percent(vm: &Interpreter, text: &Text, values: &Value) -> Result<Value> {
    let items = match values {
        Value::Tuple(items) => items.items.clone(),
        other => vec![other.clone()],
    };
    let mut items = items.into_iter();
    let mut out = String::new();
    let mut characters = text.text.chars().peekable();
    while let Some(c) = characters.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        if characters.next_if_eq(&'%').is_some() {
            out.push('%');
            continue;
        }
        let mut from_key = None;
        if characters.next_if_eq(&'(').is_some() {
            let mut key = String::new();
            let mut open = 1;
            loop {
                let c = characters.next().ok_or_else(incomplete)?;
                open += i32::from(c == '(') - i32::from(c == ')');
                if open == 0 {
                    break;
                }
                key.push(c);
            }
            let Value::Dict(dict) = values else {
                return fail(FaultKind::Type, "a format with names needs a dict");
            };
            let missing = || fault(FaultKind::Lookup, format!("no key {key:?} for a format"));
            from_key = Some(dict.get_str(&key).cloned().ok_or_else(missing)?);
        }
        let mut spec = Spec::default();
        let mut zero = false;
        while let Some(flag) = characters.next_if(|c| "-+ #0".contains(*c)) {
            match flag {
                '-' => spec.align = Some(Align::Left),
                '+' => spec.sign = '+',
                ' ' if spec.sign != '+' => spec.sign = ' ',
                '#' => spec.alternate = true,
                '0' => zero = true,
                _ => {}
            }
        }
        let next = |items: &mut std::vec::IntoIter<Value>| {
            items.next().ok_or_else(|| fault(FaultKind::Type, "too few values for the format"))
        };
        let count = |characters: &mut std::iter::Peekable<std::str::Chars>,
                     items: &mut std::vec::IntoIter<Value>|
         -> Result<Option<i128>> {
            if characters.next_if_eq(&'*').is_some() {
                return Ok(Some(next(items)?.index()?));
            }
            let mut digits = String::new();
            while let Some(digit) = characters.next_if(char::is_ascii_digit) {
                digits.push(digit);
            }
            if digits.is_empty() {
                return Ok(None);
            }
            digits.parse().map(Some).map_err(|_| fault(FaultKind::Value, "a number in a format is too large"))
        };
        let width = count(&mut characters, &mut items)?.unwrap_or(0);
        if width < 0 {
            spec.align = Some(Align::Left);
        }
        spec.width = usize::try_from(width.unsigned_abs()).unwrap_or(usize::MAX);
        if characters.next_if_eq(&'.').is_some() {
            let precision = count(&mut characters, &mut items)?.unwrap_or(0).max(0);
            spec.precision = Some(usize::try_from(precision).unwrap_or(usize::MAX));
        }
        while characters.next_if(|c| "hlL".contains(*c)).is_some() {}
        let kind = characters.next().ok_or_else(incomplete)?;
        if zero && spec.align.is_none() {
            spec.zeros();
        }
        spec.align.get_or_insert(Align::Right);
        let value = match from_key {
            Some(value) => value,
            None => items.next().ok_or_else(|| fault(FaultKind::Type, "too few values for the format"))?,
        };
        out.push_str(&percent_field(vm, spec, kind, &value, text.markup)?);
        vm.charge_bytes(out.len() / 16)?;
    }
    let is_mapping =
        matches!(values, Value::Dict(_) | Value::List(_) | Value::Range(_) | Value::Undefined(_));
    if items.next().is_some() && !is_mapping {
        return fail(FaultKind::Type, "not all values are used by the format");
    }
    vm.charge_bytes(out.len())?;
    Ok(Value::text(out, text.markup))
}

fn percent_field(
    vm: &Interpreter,
    mut spec: Spec,
    kind: char,
    value: &Value,
    markup: bool,
) -> Result<String> {
    let wrong = || {
        let message = format!("%{kind} cannot format {}", value.type_name());
        fault(FaultKind::Type, message)
    };
    match kind {
        's' | 'r' | 'a' => {
            let text = match kind {
                's' if markup => vm.str(&html::escaped(vm, value)?)?.to_string(),
                's' => vm.str(value)?.to_string(),
                'r' if markup => html::escape(&vm.repr(value)?),
                'r' => vm.repr(value)?,
                _ => ascii(&vm.repr(value)?),
            };
            if spec.fill == '0' {
                (spec.fill, spec.align) = (' ', Some(Align::Right));
            }
            spec.text(vm, &text)
        }
        'c' => {
            let text = match value {
                Value::Str(text) if text.text.chars().count() == 1 => text.text.to_string(),
                Value::Str(_) => return Err(wrong()),
                other => {
                    let code = other.index().ok().and_then(|code| u32::try_from(code).ok());
                    code.and_then(char::from_u32).ok_or_else(wrong)?.to_string()
                }
            };
            spec.precision = None;
            spec.text(vm, &text)
        }
        'd' | 'i' | 'u' => {
            let integer = match value {
                Value::Float(x) if x.abs() < 1e38 => *x as i128,
                Value::Float(_) => return fail(FaultKind::Overflow, "%d of so large a float"),
                other => other.as_int().ok_or_else(wrong)?,
            };
            spec.kind = 'd';
            spec.integer(vm, integer, true)
        }
        'o' | 'x' | 'X' => {
            spec.kind = kind;
            spec.integer(vm, value.as_int().ok_or_else(wrong)?, true)
        }
        'e' | 'E' | 'f' | 'F' | 'g' | 'G' => {
            spec.kind = kind;
            let value = match value {
                Value::Str(_) => return Err(wrong()),
                other => {
                    other.defined()?;
                    other.as_float().ok_or_else(wrong)?
                }
            };
            spec.float(vm, value)
        }
        _ => fail(FaultKind::Value, format!("unknown format %{kind}")),
    }
}

/// `str.format` and `str.format_map`.
pub(super) fn format(vm: &Interpreter, text: &Text, args: Args) -> Result<Value> {
    let mut formatter = Formatter { vm, args: &args, next: Some(0), markup: text.markup };
    let formatted = formatter.all(&text.text, 3)?;
    Ok(Value::text(formatted, text.markup))
}

struct Formatter<'a> {
    vm: &'a Interpreter,
    args: &'a Args,
    /// The next automatic number; `None` once fields have numbers of their own.
    next: Option<usize>,
    markup: bool,
}

impl Formatter<'_> {
    fn all(&mut self, format: &str, depth: usize) -> Result<String> {
        if depth == 0 {
            return fail(FaultKind::Value, "fields of a format are nested too deep");
        }
        let mut out = String::new();
        let mut rest = format;
        while let Some(at) = rest.find(['{', '}']) {
            out.push_str(&rest[..at]);
            let (brace, after) = (&rest[at..=at], &rest[at + 1..]);
            if let Some(after) = after.strip_prefix(brace) {
                out.push_str(brace);
                rest = after;
                continue;
            }
            if brace == "}" {
                return fail(FaultKind::Value, "a single } in a format");
            }
            let mut open = 1;
            let close = after.find(|c| {
                open += i32::from(c == '{') - i32::from(c == '}');
                open == 0
            });
            let close = close.ok_or_else(incomplete)?;
            out.push_str(&self.field(&after[..close], depth)?);
            self.vm.charge_bytes(out.len() / 16)?;
            rest = &after[close + 1..];
        }
        out.push_str(rest);
        self.vm.charge_bytes(out.len())?;
        Ok(out)
    }

    fn field(&mut self, field: &str, depth: usize) -> Result<String> {
        let mut in_brackets = false;
        let end = field.find(|c| {
            in_brackets = c == '[' || (in_brackets && c != ']');
            !in_brackets && (c == '!' || c == ':')
        });
        let (name, rest) = field.split_at(end.unwrap_or(field.len()));
        let (conversion, spec) = match rest.strip_prefix('!') {
            Some(rest) => match rest.split_once(':') {
                Some((conversion, spec)) => (Some(conversion), spec),
                None => (Some(rest), ""),
            },
            None => (None, rest.get(1..).unwrap_or("")),
        };
        let value = self.value(name)?;
        let spec = self.all(spec, depth - 1)?;
        let value = match conversion {
            None => value,
            Some("s") => Value::Str(Text { text: self.vm.str(&value)?, markup: false }),
            Some("r") => Value::str(self.vm.repr(&value)?),
            Some("a") => Value::str(ascii(&self.vm.repr(&value)?)),
            Some(other) => return fail(FaultKind::Value, format!("unknown conversion !{other}")),
        };
        if self.markup {
            if value.is_markup() && spec.is_empty() {
                return Ok(self.vm.str(&value)?.to_string());
            }
            return Ok(html::escape(&formatted(self.vm, &value, &spec)?));
        }
        formatted(self.vm, &value, &spec)
    }

    fn value(&mut self, name: &str) -> Result<Value> {
        let first = name.find(['.', '[']).unwrap_or(name.len());
        let (first, mut rest) = name.split_at(first);
        let mut value = self.argument(first)?;
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('.') {
                let end = after.find(['.', '[']).unwrap_or(after.len());
                value = self.vm.attribute(&value, &after[..end])?;
                rest = &after[end..];
            } else {
                let (index, after) = rest[1..].split_once(']').ok_or_else(incomplete)?;
                let index = index.parse().map_or_else(|_| Value::str(index), Value::Int);
                value = self.vm.item(&value, &index)?;
                rest = after;
            }
        }
        Ok(value)
    }

    fn argument(&mut self, name: &str) -> Result<Value> {
        let mixed = || fault(FaultKind::Value, "numbered and unnumbered fields in one format");
        let number = if name.is_empty() {
            let number = self.next.ok_or_else(mixed)?;
            self.next = Some(number + 1);
            number
        } else if let Ok(number) = name.parse() {
            if self.next.is_some_and(|next| next > 0) {
                return Err(mixed());
            }
            self.next = None;
            number
        } else {
            let named = self.args.named.iter().find(|(known, _)| **known == *name);
            return match named {
                Some((_, value)) => Ok(value.clone()),
                None => fail(FaultKind::Lookup, format!("no argument named {name:?} for a format")),
            };
        };
        let missing = || fault(FaultKind::Lookup, format!("no argument {number} for a format"));
        self.args.positional.get(number).cloned().ok_or_else(missing)
    }
}

/// `format(value, spec)`.
fn formatted(vm: &Interpreter, value: &Value, spec: &str) -> Result<String> {
    if spec.is_empty() {
        return Ok(vm.str(value)?.to_string());
    }
    match value {
        Value::Str(text) => Spec::parse(spec)?.checked_text(vm, &text.text),
        Value::Bool(_) | Value::Int(_) => {
            let mut spec = Spec::parse(spec)?;
            spec.align.get_or_insert(Align::Right);
            let integer = value.as_int().unwrap_or(0);
            match spec.kind {
                'e' | 'E' | 'f' | 'F' | 'g' | 'G' | '%' => spec.float(vm, integer as f64),
                _ => spec.integer(vm, integer, false),
            }
        }
        Value::Float(x) => {
            let mut spec = Spec::parse(spec)?;
            spec.align.get_or_insert(Align::Right);
            spec.float(vm, *x)
        }
        _ => fail(FaultKind::Type, format!("{} takes no format", value.type_name())),
    }
}

/// `format_map(mapping)`: the arguments that it stands for.
pub(super) fn mapping_arguments(mapping: &Value) -> Result<Args> {
    let Value::Dict(dict) = mapping else {
        return fail(FaultKind::Type, format!("format_map: expected a dict, found {}", mapping.type_name()));
    };
    let mut named = Vec::new();
    for (key, value) in dict.items() {
        if let Value::Str(Text { text, .. }) = key {
            named.push((Arc::clone(text), value.clone()));
        }
    }
    Ok(Args { positional: Vec::new(), named })
}
