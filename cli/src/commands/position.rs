//! Finding a word in a prompt: `cat`, or `cat#2` for its second occurrence.

use std::ffi::OsString;
use std::ops::Range;

use anyhow::{anyhow, bail};
use glassbox_model::glass::find_word;
use glassbox_tokenizer::Tokenizer;

use super::predict::shown;
use super::view::{empty_token, join, not_in_prompt, quoted};
use crate::model_source::Source;
use crate::output::note;

/// A token of a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) position: usize,
    /// Which occurrence of the word it is, counted from 1, and how many there are; `None` if it was not selected by a
    /// word.
    pub(super) occurrence: Option<(usize, usize)>,
}

impl Place {
    /// A place given by its position.
    pub(super) fn at(position: usize) -> Place {
        Place { position, occurrence: None }
    }

    /// The token with its position, and which occurrence it is if there are several.
    pub(super) fn named(&self, source: &Source, ids: &[u32]) -> String {
        let token = shown(source.maybe_tokenizer(), ids[self.position]);
        match self.occurrence {
            Some((which, of)) if of > 1 => {
                format!("{token} at position {}, occurrence {which} of {of}", self.position)
            }
            _ => format!("{token} at position {}", self.position),
        }
    }
}

/// The place of `word` in `ids`, or of the token at `position`; `None` if neither is given.
pub(super) fn given(
    word: Option<&OsString>,
    position: Option<usize>,
    source: &Source,
    ids: &[u32],
) -> anyhow::Result<Option<Place>> {
    match (word, position) {
        (Some(word), _) => find(word.as_encoded_bytes(), source, ids).map(Some),
        (None, Some(position)) if position >= ids.len() => {
            bail!(
                "there is no position {position}: the prompt has {} tokens, 0 to {}",
                ids.len(),
                ids.len() - 1
            )
        }
        (None, position) => Ok(position.map(Place::at)),
    }
}

/// The last occurrence of `word` in `ids`, or with `#N` at its end the N-th. For a word of several tokens it is the
/// position of its last token, which attends to the others; a note says so.
pub(super) fn find(word: &[u8], source: &Source, ids: &[u32]) -> anyhow::Result<Place> {
    if word.is_empty() {
        return Err(empty_token());
    }
    let tokenizer =
        source.tokenizer().map_err(|error| anyhow!("{error}; give the token by its id or its position"))?;
    let whole = occurrences(word, tokenizer, ids)?;
    let numbered = word.iter().rposition(|&byte| byte == b'#').and_then(|mark| {
        let number = std::str::from_utf8(&word[mark + 1..]).ok()?.parse::<usize>().ok()?;
        Some((&word[..mark], number)).filter(|(word, _)| !word.is_empty())
    });
    let (word, found, number) = match numbered {
        Some((word, number)) if whole.is_empty() => (word, occurrences(word, tokenizer, ids)?, Some(number)),
        _ => (word, whole, None),
    };
    let name = quoted(word);
    if found.is_empty() {
        return Err(not_in_prompt(&name, source, ids));
    }
    let number = number.unwrap_or(found.len());
    let Some(range) = number.checked_sub(1).and_then(|i| found.get(i)) else {
        bail!("{name} occurs {} times in the prompt: there is no #{number}", found.len());
    };
    let position = range.end - 1;
    if range.len() > 1 {
        let (count, parts) = (range.len(), join(tokenizer, &ids[range.clone()]));
        note(format_args!("{name} is {count} tokens: {parts}; the last is used, at position {position}"));
    }
    Ok(Place { position, occurrence: Some((number, found.len())) })
}

/// Where `word` occurs, with or without a space in front, in ascending order. If any occurrence begins a word, those
/// inside words are left out.
fn occurrences(word: &[u8], tokenizer: &Tokenizer, ids: &[u32]) -> anyhow::Result<Vec<Range<usize>>> {
    let letter = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphabetic() || !byte.is_ascii());
    let bytes = |position: usize| tokenizer.token_bytes(ids[position]).unwrap_or_default();
    let begins = |range: &Range<usize>| {
        let Some(before) = range.start.checked_sub(1) else { return true };
        let joined = letter(bytes(range.start).first()) && letter(bytes(before).last());
        !joined || tokenizer.is_special(ids[before])
    };
    let mut found = Vec::new();
    let mut end = ids.len();
    while let Some(range) = find_word(tokenizer, word, &ids[..end])? {
        end = range.end - 1;
        found.push(range);
    }
    found.reverse();
    let words: Vec<Range<usize>> = found.iter().filter(|range| begins(range)).cloned().collect();
    Ok(if words.is_empty() { found } else { words })
}
