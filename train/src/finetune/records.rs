//! The records of a file of JSON, each with its line: one per line, or the elements of an array.

use std::path::Path;

use glassbox_tokenizer::text_file;
use serde_json::value::RawValue;

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

/// Reads all records of a file. A byte order mark, white space between records and `\r` at the end of a line are no part
/// of them.
///
/// # Errors
/// [`DataError`] if the file cannot be read, is not UTF-8, or an array in it is not valid JSON. Lines are not parsed.
pub(super) fn read(path: &Path) -> Result<Vec<Record>, DataError> {
    let bytes = text_file::read(path).map_err(|source| DataError::Read { path: path.to_path_buf(), source })?;
    let text = String::from_utf8(bytes).map_err(|error| DataError::NotText {
        path: path.to_path_buf(),
        at: error.utf8_error().valid_up_to(),
        what: "is not UTF-8",
    })?;
    let place = |line: usize| format!("{}, line {line}", path.display());
    let is_json = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    if text.trim_start().starts_with('[') {
        let elements: Vec<&RawValue> = serde_json::from_str(&text).map_err(|error| DataError::Example {
            place: place(error.line()),
            problem: format!("not valid JSON: {error}"),
        })?;
        return Ok(with_lines(&text, &elements, &place));
    }
    // A single object may be written over several lines.
    if is_json && let Ok(whole) = serde_json::from_str::<&RawValue>(&text) {
        return Ok(with_lines(&text, &[whole], &place));
    }
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    Ok(lines.map(|(i, line)| Record { place: place(i + 1), json: line.to_owned() }).collect())
}

/// Records for parts of `text`, in order.
fn with_lines(text: &str, parts: &[&RawValue], place: &dyn Fn(usize) -> String) -> Vec<Record> {
    let (mut at, mut line) = (0, 1);
    let record = |part: &&RawValue| {
        let start = part.get().as_ptr().addr().saturating_sub(text.as_ptr().addr()).min(text.len());
        line += text.as_bytes()[at..start.max(at)].iter().filter(|&&byte| byte == b'\n').count();
        at = start.max(at);
        Record { place: place(line), json: part.get().to_owned() }
    };
    parts.iter().map(record).collect()
}
