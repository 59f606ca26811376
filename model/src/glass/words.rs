//! Words as tokens: which token a word means, and where it is in a prompt.
//!
//! Inside a text a word's token includes the space before it: `" Paris"` and `"Paris"` are different tokens. Somebody
//! who asks about *Paris* means the one that would come next.

use std::borrow::Cow;
use std::ops::Range;

use glassbox_tokenizer::{EncodeOptions, Error, Special, Tokenizer};

/// A word, read as the tokens that continue a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WordTokens {
    /// The tokens; never empty.
    pub ids: Vec<u32>,
    /// Whether a space was put in front of the word.
    pub space: bool,
    /// The tokens of the word as it is written, if they are others.
    pub as_written: Option<Vec<u32>>,
}

/// Reads `word` as the tokens that continue `prompt` (ids; empty for no prompt); `None` if the word has no tokens.
///
/// A word that begins with a letter or a digit gets a space in front, unless the prompt ends in white space or the word
/// takes fewer tokens without it. Anything else, such as `" Paris"` or `"."`, is read as it is written. Special tokens
/// are recognised. As in tables of tokens, `␣` at the head stands for a space.
///
/// # Errors
/// As [`Tokenizer::encode_bytes`].
pub fn next_word(tokenizer: &Tokenizer, word: &[u8], prompt: &[u32]) -> Result<Option<WordTokens>, Error> {
    let word = &*typed(word);
    let [alone, spaced] = forms(tokenizer, word)?;
    let first = String::from_utf8_lossy(word).chars().next();
    let after_space = prompt.last().and_then(|&id| tokenizer.token_bytes(id)).is_some_and(|bytes| {
        !tokenizer.is_special(prompt[prompt.len() - 1]) && bytes.last().is_some_and(u8::is_ascii_whitespace)
    });
    let space = first.is_some_and(char::is_alphanumeric)
        && !after_space
        && !spaced.is_empty()
        && spaced.len() <= alone.len()
        && spaced != alone;
    let (ids, other) = if space { (spaced, Some(alone)) } else { (alone, None) };
    Ok((!ids.is_empty()).then_some(WordTokens { ids, space, as_written: other }))
}

/// The last occurrence of `word` in `prompt` (ids), with or without a space in front: the positions of its tokens.
/// `None` if the word is not there as whole tokens. `␣` at the head of the word stands for a space.
///
/// # Errors
/// As [`Tokenizer::encode_bytes`].
pub fn find_word(tokenizer: &Tokenizer, word: &[u8], prompt: &[u32]) -> Result<Option<Range<usize>>, Error> {
    let word = &*typed(word);
    let forms = forms(tokenizer, word)?;
    let encoded = |end: usize| {
        let lengths =
            forms.iter().filter(|form| !form.is_empty() && prompt[..end].ends_with(form)).map(Vec::len);
        lengths.max().map(|len| end - len..end)
    };
    // In its context a word may be split into other tokens than alone.
    let spelled = |end: usize| {
        let mut text: Vec<u8> = Vec::new();
        for start in (0..end).rev() {
            let token = tokenizer.token_bytes(prompt[start])?;
            text.splice(0..0, token.iter().copied());
            if text == word || text.strip_prefix(b" ") == Some(word) {
                return Some(start..end);
            }
            if text.len() > word.len() {
                return None;
            }
        }
        None
    };
    if word.is_empty() {
        return Ok(None);
    }
    Ok((1..=prompt.len()).rev().find_map(|end| encoded(end).or_else(|| spelled(end))))
}

/// `word` with a space in place of `␣` at its head.
fn typed(word: &[u8]) -> Cow<'_, [u8]> {
    match word.strip_prefix("␣".as_bytes()) {
        Some(rest) => Cow::Owned([b" ", rest].concat()),
        None => Cow::Borrowed(word),
    }
}

/// The tokens of a word as it is written, and with a space in front.
fn forms(tokenizer: &Tokenizer, word: &[u8]) -> Result<[Vec<u32>; 2], Error> {
    let options = EncodeOptions { special: Special::Parse, add_special_tokens: false };
    let alone = tokenizer.encode_bytes(word, &options)?;
    Ok([alone, tokenizer.encode_bytes(&[b" ", word].concat(), &options)?])
}
