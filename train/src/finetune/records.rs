//! The records of a file of JSON, each with its line: one per line, or the elements of an array.

use std::path::Path;

use glassbox_tokenizer::text_file;
use serde::de::IgnoredAny;

use crate::data::DataError;

/// The JSON text of a record, and where it starts.
#[derive(Debug)]
pub(super) struct Record {
    /// File and line, for errors.
    pub(super) place: String,
    pub(super) json: String,
}

/// Whether a file has records of JSON, by its name.
pub(super) fn has_records(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
    ["jsonl", "ndjson", "json"].iter().any(|known| extension == *known) && !path.is_dir()
}

/// Reads all records of a file. A byte order mark, white space between records and `\r` at the end of a line are no
/// part of them.
///
/// # Errors
/// [`DataError`] if the file cannot be read, is not UTF-8, or an array in it is not valid JSON. Lines are not parsed.
pub(super) fn read(path: &Path) -> Result<Vec<Record>, DataError> {
    let bytes =
        text_file::read(path).map_err(|source| DataError::Read { path: path.to_path_buf(), source })?;
    let text = String::from_utf8(bytes).map_err(|error| DataError::NotText {
        path: path.to_path_buf(),
        at: error.utf8_error().valid_up_to(),
        what: "is not UTF-8",
    })?;
    let place = |line: usize| format!("{}, line {line}", path.display());
    let is_json = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    if let Some(elements) = text.trim_start().strip_prefix('[') {
        return elements_of(&text, text.len() - elements.len(), &place);
    }
    // A single object may be written over several lines.
    if is_json && serde_json::from_str::<IgnoredAny>(&text).is_ok() {
        let start = text.len() - text.trim_start().len();
        return Ok(vec![Record { place: place(line_of(&text, start)), json: text }]);
    }
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    Ok(lines.map(|(i, line)| Record { place: place(i + 1), json: line.to_owned() }).collect())
}

/// The elements of an array, from its first element at byte `at` on.
fn elements_of(text: &str, mut at: usize, place: &dyn Fn(usize) -> String) -> Result<Vec<Record>, DataError> {
    let wrong = |at: usize, problem: &str| DataError::Example {
        place: place(line_of(text, at)),
        problem: format!("not valid JSON: {problem}"),
    };
    let skip_space = |at: usize| text.len() - text[at..].trim_start().len();
    let mut records = Vec::new();
    // The line of byte `counted`.
    let (mut counted, mut line) = (0, 1);
    at = skip_space(at);
    if text[at..].starts_with(']') {
        at += 1;
    } else {
        loop {
            let mut element = serde_json::Deserializer::from_str(&text[at..]).into_iter::<IgnoredAny>();
            match element.next() {
                Some(Ok(_)) => {}
                Some(Err(error)) => {
                    let end = at + element.byte_offset();
                    return Err(wrong(end.min(text.len()), &format!("in this element: {error}")));
                }
                None => return Err(wrong(at, "the array has no end")),
            }
            let end = at + element.byte_offset();
            line += line_of(&text[counted..], at - counted) - 1;
            counted = at;
            records.push(Record { place: place(line), json: text[at..end].to_owned() });
            at = skip_space(end);
            match text.as_bytes().get(at) {
                Some(b',') => at = skip_space(at + 1),
                Some(b']') => break,
                _ => return Err(wrong(at, "expected a comma or the end of the array after an element")),
            }
        }
        at += 1;
    }
    match text[at..].trim().is_empty() {
        true => Ok(records),
        false => Err(wrong(skip_space(at), "text after the end of the array")),
    }
}

/// The number of the line with byte `at`.
fn line_of(text: &str, at: usize) -> usize {
    1 + text.as_bytes()[..at].iter().filter(|&&byte| byte == b'\n').count()
}
