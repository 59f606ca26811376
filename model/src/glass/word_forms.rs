//! Forms of one word among the tokens of a vocabulary: leap, ␣leap, Leap, leaps, leaped, leaping.
//!
//! The nearest tokens of a word are mostly its own forms. The rules are those of regular English inflection, after
//! Porter, "An algorithm for suffix stripping" (1980), steps 1a and 1b; other languages have only their capitals and
//! spaces folded.

use std::collections::BTreeSet;

use glassbox_tokenizer::{EncodeOptions, Special, Tokenizer};

/// Whether two tokens are forms of one word: they differ by case, surrounding spaces, or a regular English ending.
///
/// ```
/// use glassbox_model::glass::are_forms_of_one_word as same;
/// assert!(same(" leap", "Leaping") && same("hopped", "hop") && same("cities", " city"));
/// assert!(!same("hop", "hope") && !same("his", "hi") && !same("king", "ks"));
/// ```
pub fn are_forms_of_one_word(a: &str, b: &str) -> bool {
    !bases(a).is_disjoint(&bases(b))
}

/// The word itself and what it may be a form of, in lower case.
pub(super) fn bases(word: &str) -> BTreeSet<String> {
    let trimmed = word.trim();
    // A token of spaces alone is a word of its own.
    let word = if trimmed.is_empty() { word.to_owned() } else { trimmed.to_lowercase() };
    let word = word.trim_end_matches("'s").trim_end_matches("’s");
    let mut bases = BTreeSet::from([word.to_owned()]);
    if !word.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return bases;
    }
    if let Some(stem) = word.strip_suffix("ies").or(word.strip_suffix("ied")).filter(|stem| stem.len() >= 3) {
        bases.insert(format!("{stem}y"));
    } else if let Some(stem) = word.strip_suffix("es").filter(|stem| hisses(stem) && is_stem(stem)) {
        bases.insert(stem.to_owned());
        bases.insert(format!("{stem}e"));
    } else if let Some(stem) = word.strip_suffix('s')
        && is_stem(stem)
        && !stem.ends_with(['s', 'u', 'i'])
    {
        bases.insert(stem.to_owned());
    }
    for ending in ["ing", "ed"] {
        let Some(stem) = word.strip_suffix(ending).filter(|stem| is_stem(stem)) else { continue };
        let last: Vec<char> = stem.chars().rev().take(3).collect();
        let vowel = |c: char| "aeiou".contains(c);
        match last[..] {
            // hopping: hop
            [a, b, ..] if a == b && !vowel(a) && !"lsz".contains(a) => {
                bases.insert(stem[..stem.len() - 1].to_owned());
            }
            // hoping: hope
            [a, b, c] if stem.len() == 3 && !vowel(a) && !"wxy".contains(a) && vowel(b) && !vowel(c) => {
                bases.insert(format!("{stem}e"));
            }
            _ => {
                bases.insert(stem.to_owned());
                bases.insert(format!("{stem}e"));
            }
        }
    }
    bases
}

/// Whether a plural of `stem` ends in -es.
fn hisses(stem: &str) -> bool {
    ["s", "x", "z", "ch", "sh"].iter().any(|end| stem.ends_with(end))
}

/// Whether this can be a word: at least three letters, with a vowel.
fn is_stem(stem: &str) -> bool {
    stem.len() >= 3 && stem.contains(['a', 'e', 'i', 'o', 'u', 'y'])
}

/// Whether a token is a word, rather than a fragment that occurs only inside or at the end of words: it has only
/// letters, and a space in front, or would be a token with a space in front too.
pub fn is_whole_word(tokenizer: &Tokenizer, id: u32) -> bool {
    let Some(bytes) = tokenizer.token_bytes(id) else { return false };
    let Ok(text) = std::str::from_utf8(&bytes) else { return false };
    let word = text.strip_prefix(' ').unwrap_or(text);
    if word.is_empty() || !word.chars().all(char::is_alphabetic) {
        return false;
    }
    let options = EncodeOptions { special: Special::AsText, add_special_tokens: false };
    text.len() > word.len()
        || tokenizer.encode_bytes(format!(" {word}").as_bytes(), &options).is_ok_and(|ids| ids.len() == 1)
}
