//! Python's methods of strings. Those of markup give markup, and escape what they insert.

use super::arguments::{Args, flag, given, integer};
use super::fault::{FaultKind, Result, fail, fault};
use super::format;
use super::html;
use super::interpreter::Interpreter;
use super::unicode;
use super::value::{Text, Value};

pub(super) const METHODS: [&str; 44] = [
    "capitalize",
    "casefold",
    "center",
    "count",
    "endswith",
    "expandtabs",
    "find",
    "format",
    "format_map",
    "index",
    "isalnum",
    "isalpha",
    "isascii",
    "isdecimal",
    "isdigit",
    "isidentifier",
    "islower",
    "isnumeric",
    "isprintable",
    "isspace",
    "istitle",
    "isupper",
    "join",
    "ljust",
    "lower",
    "lstrip",
    "partition",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rindex",
    "rjust",
    "rpartition",
    "rsplit",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "swapcase",
    "title",
    "upper",
    "zfill",
];

pub(super) fn call(vm: &Interpreter, text: &Text, method: &'static str, args: Args) -> Result<Value> {
    let Text { text: own, markup } = text;
    vm.charge_bytes(own.len())?;
    let value = |text: String| Value::text(text, *markup);
    let slice = |text: &str| Value::text(text, *markup);
    Ok(match method {
        "upper" | "lower" | "title" | "capitalize" | "casefold" | "swapcase" => {
            args.positional::<0>(method, 0)?;
            value(match method {
                "upper" => own.to_uppercase(),
                "lower" => own.to_lowercase(),
                "title" => unicode::title(own),
                "capitalize" => unicode::capitalize(own),
                "casefold" => unicode::casefold(own),
                _ => unicode::swapcase(own),
            })
        }
        "strip" | "lstrip" | "rstrip" => {
            let [characters] = args.positional(method, 0)?;
            let characters = given(characters);
            let characters = characters.as_ref().map(Value::string).transpose()?;
            let strips = |c: char| characters.map_or(unicode::is_space(c), |all| all.text.contains(c));
            slice(match method {
                "strip" => own.trim_matches(strips),
                "lstrip" => own.trim_start_matches(strips),
                _ => own.trim_end_matches(strips),
            })
        }
        "split" | "rsplit" => {
            let [separator, most] = args.bind(method, ["sep", "maxsplit"], 0)?;
            let most = usize::try_from(integer(most, -1)?).unwrap_or(usize::MAX);
            let separator = given(separator);
            let separator = separator.as_ref().map(Value::string).transpose()?;
            let parts = split(own, separator.map(|text| &*text.text), most, method == "rsplit")?;
            vm.charge_items(parts.len())?;
            Value::list(parts.into_iter().map(slice).collect())?
        }
        "splitlines" => {
            let [keep] = args.bind(method, ["keepends"], 0)?;
            let lines = lines(own, flag(keep, false));
            vm.charge_items(lines.len())?;
            Value::list(lines.into_iter().map(slice).collect())?
        }
        "partition" | "rpartition" => {
            let [separator] = args.positional(method, 1)?;
            let separator = separator.unwrap_or(Value::None);
            let separator = &*separator.string()?.text;
            not_empty(separator)?;
            let parts = if method == "partition" {
                own.split_once(separator).map_or([own, "", ""], |(before, after)| [before, separator, after])
            } else {
                own.rsplit_once(separator).map_or(["", "", own], |(before, after)| [before, separator, after])
            };
            Value::tuple(parts.map(slice).to_vec())?
        }
        "removeprefix" | "removesuffix" => {
            let [affix] = args.positional(method, 1)?;
            let affix = affix.unwrap_or(Value::None);
            let affix = &*affix.string()?.text;
            let rest =
                if method == "removeprefix" { own.strip_prefix(affix) } else { own.strip_suffix(affix) };
            slice(rest.unwrap_or(own))
        }
        "startswith" | "endswith" => {
            let [affix, start, stop] = args.positional(method, 1)?;
            let (inside, possible) = range(own, start, stop)?.map_or(("", false), |(text, _)| (text, true));
            let holds = |affix: &Value| -> Result<bool> {
                let affix = &*affix.string()?.text;
                let found =
                    if method == "startswith" { inside.starts_with(affix) } else { inside.ends_with(affix) };
                Ok(possible && found)
            };
            match affix.unwrap_or(Value::None) {
                Value::Tuple(affixes) => {
                    let mut found = false;
                    for affix in &affixes.items {
                        found = found || holds(affix)?;
                    }
                    Value::Bool(found)
                }
                affix => Value::Bool(holds(&affix)?),
            }
        }
        "find" | "rfind" | "index" | "rindex" | "count" => {
            let [part, start, stop] = args.positional(method, 1)?;
            let part = part.unwrap_or(Value::None);
            let part = &*part.string()?.text;
            let inside = range(own, start, stop)?;
            if method == "count" {
                let count = |(text, _): (&str, usize)| text.matches(part).count();
                return Ok(Value::int(inside.map_or(0, count)));
            }
            let found = inside.and_then(|(text, before)| {
                let at = if method.starts_with('r') { text.rfind(part) } else { text.find(part) };
                at.map(|at| before + text[..at].chars().count())
            });
            match found {
                Some(at) => Value::int(at),
                None if method.ends_with("find") => Value::Int(-1),
                None => return fail(FaultKind::Value, format!("{part:?} is not in the string")),
            }
        }
        "replace" => {
            let [old, new, most] = args.positional(method, 2)?;
            let (old, new) = (old.unwrap_or(Value::None), new.unwrap_or(Value::None));
            let new = if *markup { vm.str(&html::escaped(vm, &new)?)? } else { new.string()?.text.clone() };
            return replace(vm, own, &old.string()?.text, &new, integer(most, -1)?).map(value);
        }
        "join" => {
            let [items] = args.positional(method, 1)?;
            let mut parts: Vec<String> = Vec::new();
            for item in vm.collect(&items.unwrap_or(Value::None))? {
                vm.charge_bytes(own.len())?;
                let item = if *markup { html::escaped(vm, &item)? } else { item };
                vm.charge_bytes(item.string()?.text.len())?;
                parts.push(item.string()?.text.to_string());
            }
            value(parts.join(own))
        }
        "center" | "ljust" | "rjust" => {
            let [width, fill] = args.positional(method, 1)?;
            let fill = fill.unwrap_or_else(|| Value::str(" "));
            let fill = if *markup { html::escaped(vm, &fill)? } else { fill };
            let mut characters = fill.string()?.text.chars();
            let (Some(fill), None) = (characters.next(), characters.next()) else {
                return fail(FaultKind::Type, format!("{method}: the fill must be one character"));
            };
            value(justify(vm, own, integer(width, 0)?, fill, method)?)
        }
        "zfill" => {
            let [width] = args.positional(method, 1)?;
            let digits = own.strip_prefix(['+', '-']).unwrap_or(own);
            let sign = &own[..own.len() - digits.len()];
            let width = integer(width, 0)? - sign.len() as i128;
            value(format!("{sign}{}", justify(vm, digits, width, '0', "rjust")?))
        }
        "expandtabs" => {
            let [size] = args.bind(method, ["tabsize"], 0)?;
            value(expand_tabs(vm, own, integer(size, 8)?)?)
        }
        "format" => return format::format(vm, text, args),
        "format_map" => {
            let [mapping] = args.positional(method, 1)?;
            let args = format::mapping_arguments(&mapping.unwrap_or(Value::None))?;
            return format::format(vm, text, args);
        }
        _ => {
            args.positional::<0>(method, 0)?;
            Value::Bool(is(own, method))
        }
    })
}

/// The predicates: `isalpha` and the like. Most are false for the empty string.
pub(super) fn is(text: &str, method: &str) -> bool {
    let all = |holds: fn(char) -> bool| !text.is_empty() && text.chars().all(holds);
    match method {
        "isalnum" => all(|c| unicode::is_alpha(c) || unicode::is_numeric(c)),
        "isalpha" => all(unicode::is_alpha),
        "isascii" => text.is_ascii(),
        "isdecimal" => all(unicode::is_decimal),
        "isdigit" => all(unicode::is_digit),
        "isidentifier" => unicode::is_identifier(text),
        "isnumeric" => all(unicode::is_numeric),
        "isprintable" => text.chars().all(unicode::is_printable),
        "isspace" => all(unicode::is_space),
        "islower" => {
            text.chars().any(char::is_lowercase)
                && !text.chars().any(|c| c.is_uppercase() || unicode::is_title(c))
        }
        "isupper" => {
            text.chars().any(char::is_uppercase)
                && !text.chars().any(|c| c.is_lowercase() || unicode::is_title(c))
        }
        "istitle" => {
            let (mut in_word, mut any) = (false, false);
            for c in text.chars() {
                let begins = c.is_uppercase() || unicode::is_title(c);
                if (begins && in_word) || (c.is_lowercase() && !in_word) {
                    return false;
                }
                in_word = unicode::is_cased(c);
                any |= in_word;
            }
            any
        }
        _ => false,
    }
}

/// The part of a text between two character indices, and the index where it starts; `None` if that is behind the end.
fn range(text: &str, start: Option<Value>, stop: Option<Value>) -> Result<Option<(&str, usize)>> {
    let length = text.chars().count();
    let bound = |value: Option<Value>, default: usize| -> Result<i128> {
        let Some(value) = given(value) else { return Ok(default as i128) };
        let at = value.index()?;
        Ok(if at < 0 { at.saturating_add(length as i128).max(0) } else { at })
    };
    let (start, stop) = (bound(start, 0)?, bound(stop, length)?.min(length as i128));
    if start > stop {
        return Ok(None);
    }
    let (start, stop) = (start as usize, stop as usize);
    let byte = |n: usize| text.char_indices().nth(n).map_or(text.len(), |(at, _)| at);
    Ok(Some((&text[byte(start)..byte(stop)], start)))
}

/// Replaces the first `most` occurrences, or all if it is negative.
pub(super) fn replace(vm: &Interpreter, text: &str, old: &str, new: &str, most: i128) -> Result<String> {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let count = text.matches(old).count().min(most);
    vm.charge_bytes(text.len().saturating_add(count.saturating_mul(new.len())))?;
    Ok(text.replacen(old, new, most))
}

/// Pads a text with a character to a width.
pub(super) fn justify(vm: &Interpreter, text: &str, width: i128, fill: char, method: &str) -> Result<String> {
    let width = usize::try_from(width).unwrap_or(if width < 0 { 0 } else { usize::MAX });
    let missing = width.saturating_sub(text.chars().count());
    vm.charge_bytes(missing.saturating_mul(fill.len_utf8()).saturating_add(text.len()))?;
    // CPython puts the odd character on the left if the width is odd.
    let left = match method {
        "ljust" => 0,
        "rjust" => missing,
        _ => missing / 2 + (missing & width & 1),
    };
    let fill = fill.to_string();
    Ok(format!("{}{text}{}", fill.repeat(left), fill.repeat(missing - left)))
}

fn expand_tabs(vm: &Interpreter, text: &str, size: i128) -> Result<String> {
    let size = usize::try_from(size).unwrap_or(0);
    let mut out = String::new();
    let mut column = 0;
    for c in text.chars() {
        match c {
            '\t' if size > 0 => {
                let spaces = size - column % size;
                vm.charge_bytes(spaces)?;
                out.push_str(&" ".repeat(spaces));
                column += spaces;
            }
            '\t' => {}
            _ => {
                column = if matches!(c, '\n' | '\r') { 0 } else { column + 1 };
                out.push(c);
            }
        }
    }
    Ok(out)
}

/// `str.splitlines`.
pub(super) fn lines(text: &str, keep: bool) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some((at, c)) = rest.char_indices().find(|(_, c)| unicode::ends_line(*c)) {
        let mut end = at + c.len_utf8();
        if c == '\r' && rest[end..].starts_with('\n') {
            end += 1;
        }
        lines.push(&rest[..if keep { end } else { at }]);
        rest = &rest[end..];
    }
    if !rest.is_empty() {
        lines.push(rest);
    }
    lines
}

/// At most `most` splits, from the left or from the right; without a separator at runs of white space.
fn split<'t>(text: &'t str, separator: Option<&str>, most: usize, from_right: bool) -> Result<Vec<&'t str>> {
    let limit = most.saturating_add(1);
    let mut parts: Vec<&str> = match separator {
        Some(separator) => {
            not_empty(separator)?;
            if from_right {
                text.rsplitn(limit, separator).collect()
            } else {
                text.splitn(limit, separator).collect()
            }
        }
        None => words(text, most, from_right),
    };
    if from_right {
        parts.reverse();
    }
    Ok(parts)
}

/// The words in the order in which they are found. After `most` splits, the rest of the text is the last word,
/// including white space at its far end.
fn words(text: &str, most: usize, from_right: bool) -> Vec<&str> {
    let next = |rest: &'_ str| -> (usize, usize) {
        // The next word's start and end.
        if from_right {
            let end = rest.trim_end_matches(unicode::is_space).len();
            let before = rest[..end].char_indices().rev().find(|&(_, c)| unicode::is_space(c));
            (before.map_or(0, |(at, c)| at + c.len_utf8()), end)
        } else {
            let start = rest.len() - rest.trim_start_matches(unicode::is_space).len();
            (start, rest[start..].find(unicode::is_space).map_or(rest.len(), |length| start + length))
        }
    };
    let mut parts = Vec::new();
    let mut rest = text;
    loop {
        let (start, end) = next(rest);
        if start == end {
            return parts;
        }
        if parts.len() == most {
            parts.push(if from_right { &rest[..end] } else { &rest[start..] });
            return parts;
        }
        parts.push(&rest[start..end]);
        rest = if from_right { &rest[..start] } else { &rest[end..] };
    }
}

fn not_empty(separator: &str) -> Result<()> {
    if separator.is_empty() {
        Err(fault(FaultKind::Value, "the separator must not be empty"))
    } else {
        Ok(())
    }
}
