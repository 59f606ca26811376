//! Python's string and dict methods that minijinja-contrib lacks or implements differently.

use minijinja::value::{Kwargs, Tuple, Value, ValueKind, from_args};
use minijinja::{Error, ErrorKind, State};
use minijinja_contrib::pycompat;

/// Calls a method of a value: ours if there is one, otherwise minijinja-contrib's.
pub(super) fn call(
    state: &mut State,
    value: &Value,
    method: &str,
    arguments: &[Value],
) -> Result<Value, Error> {
    if value.kind() == ValueKind::String
        && let Some(text) = value.as_str()
        && let Some(result) = of_string(text, method, arguments)?
    {
        return Ok(result);
    }
    pycompat::unknown_method_callback(state, value, method, arguments)
}

fn of_string(text: &str, method: &str, arguments: &[Value]) -> Result<Option<Value>, Error> {
    Ok(Some(match method {
        "strip" | "lstrip" | "rstrip" => {
            let (characters,): (Option<&str>,) = from_args(arguments)?;
            match method {
                "strip" => strip(text, characters).into(),
                "lstrip" => text.trim_start_matches(|c| strips(c, characters)).into(),
                _ => text.trim_end_matches(|c| strips(c, characters)).into(),
            }
        }
        "split" | "rsplit" => {
            let (separator, most, named): (Option<Value>, Option<i64>, Kwargs) = from_args(arguments)?;
            let separator = match separator {
                Some(separator) => Some(separator),
                None => named.get::<Option<Value>>("sep")?,
            };
            let most = match most {
                Some(most) => most,
                None => named.get::<Option<i64>>("maxsplit")?.unwrap_or(-1),
            };
            named.assert_all_used()?;
            let most = usize::try_from(most).unwrap_or(usize::MAX);
            split(text, separator.filter(|separator| !separator.is_none()), most, method == "rsplit")?
        }
        "partition" | "rpartition" => {
            let (separator,): (&str,) = from_args(arguments)?;
            not_empty(separator)?;
            let parts = if method == "partition" {
                text.split_once(separator)
                    .map_or([text, "", ""], |(before, after)| [before, separator, after])
            } else {
                text.rsplit_once(separator)
                    .map_or(["", "", text], |(before, after)| [before, separator, after])
            };
            Value::from_object(Tuple::new(parts.map(Value::from).to_vec()))
        }
        "removeprefix" => {
            let (prefix,): (&str,) = from_args(arguments)?;
            text.strip_prefix(prefix).unwrap_or(text).into()
        }
        "removesuffix" => {
            let (suffix,): (&str,) = from_args(arguments)?;
            text.strip_suffix(suffix).unwrap_or(text).into()
        }
        "title" => {
            let () = from_args(arguments)?;
            title(text).into()
        }
        _ => return Ok(None),
    }))
}

/// Strips the given characters, or white space, from both ends.
pub(super) fn strip<'a>(text: &'a str, characters: Option<&str>) -> &'a str {
    text.trim_matches(|c| strips(c, characters))
}

fn strips(c: char, characters: Option<&str>) -> bool {
    characters.map_or(is_space(c), |characters| characters.contains(c))
}

/// Python's white space: Unicode's, and the four information separators.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// At most `most` splits, from the left or from the right; without a separator at runs of white space.
fn split(text: &str, separator: Option<Value>, most: usize, from_right: bool) -> Result<Value, Error> {
    let limit = most.saturating_add(1);
    let mut parts: Vec<&str> = match &separator {
        Some(separator) => {
            let separator = separator.as_str().ok_or_else(|| {
                Error::new(ErrorKind::InvalidOperation, "the separator of split must be a string")
            })?;
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
    Ok(parts.into_iter().map(Value::from).collect())
}

/// The words in the order in which they are found. After `most` splits, the rest of the text is the last word,
/// including white space at its far end.
fn words(text: &str, most: usize, from_right: bool) -> Vec<&str> {
    let next = |rest: &'_ str| -> (usize, usize) {
        // The next word's start and end.
        if from_right {
            let end = rest.trim_end_matches(is_space).len();
            let before = rest[..end].char_indices().rev().find(|&(_, c)| is_space(c));
            (before.map_or(0, |(at, c)| at + c.len_utf8()), end)
        } else {
            let start = rest.len() - rest.trim_start_matches(is_space).len();
            (start, rest[start..].find(is_space).map_or(rest.len(), |length| start + length))
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

fn not_empty(separator: &str) -> Result<(), Error> {
    if separator.is_empty() {
        return Err(Error::new(ErrorKind::InvalidOperation, "the separator must not be empty"));
    }
    Ok(())
}

/// The first letter of each run of letters in title case, the others in lower case.
fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut in_word = false;
    for c in text.chars() {
        if in_word {
            out.extend(c.to_lowercase());
        } else {
            // A ligature's upper case is several letters, of which only the first remains upper case: ﬁ gives Fi.
            let mut capital = c.to_uppercase();
            out.extend(capital.next());
            out.extend(capital.flat_map(char::to_lowercase));
        }
        in_word = c.is_alphabetic();
    }
    out
}
