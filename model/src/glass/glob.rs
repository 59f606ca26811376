//! Globs: patterns for names, with `*`, `?` and `[…]`.

use std::fmt;
use std::str::FromStr;

/// A pattern for names: `*` matches any characters including dots, or none; `?` matches one; `[a-c5]` matches one of
/// those; `[!…]` matches one that is not. All other characters match themselves.
///
/// ```
/// let glob: glassbox_model::glass::Glob = "blocks.[0-3].attn.*".parse().unwrap();
/// assert!(glob.matches("blocks.2.attn.pattern"));
/// assert!(!glob.matches("blocks.20.attn.pattern"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    text: String,
    parts: Vec<GlobPart>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum GlobPart {
    /// `*`
    Many,
    /// `?`
    One,
    /// `[…]`
    Among { ranges: Vec<(char, char)>, inverted: bool },
    /// A literal character.
    Char(char),
}

/// A `[` without `]`, or with nothing inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GlobError {
    text: String,
}

impl fmt::Display for GlobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: a [ is not closed or empty; expected a set such as [0-3]", self.text)
    }
}

impl std::error::Error for GlobError {}

impl FromStr for Glob {
    type Err = GlobError;

    fn from_str(text: &str) -> Result<Glob, GlobError> {
        let error = || GlobError { text: text.to_owned() };
        let (mut parts, mut rest) = (Vec::new(), text);
        while let Some(c) = rest.chars().next() {
            rest = &rest[c.len_utf8()..];
            parts.push(match c {
                '*' => GlobPart::Many,
                '?' => GlobPart::One,
                '[' => {
                    let (set, after) = rest.split_once(']').ok_or_else(error)?;
                    rest = after;
                    among(set).ok_or_else(error)?
                }
                c => GlobPart::Char(c),
            });
        }
        Ok(Glob { text: text.to_owned(), parts })
    }
}

/// Parses the set between `[` and `]`; `None` if it is empty.
fn among(set: &str) -> Option<GlobPart> {
    let (inverted, set) = match set.strip_prefix(['!', '^']) {
        Some(set) => (true, set),
        None => (false, set),
    };
    let (chars, mut ranges): (Vec<char>, _) = (set.chars().collect(), Vec::new());
    let mut i = 0;
    while i < chars.len() {
        if let [first, '-', last, ..] = chars[i..] {
            ranges.push((first, last));
            i += 3;
        } else {
            ranges.push((chars[i], chars[i]));
            i += 1;
        }
    }
    (!ranges.is_empty()).then_some(GlobPart::Among { ranges, inverted })
}

impl Glob {
    /// Whether the whole of `name` matches. The time is at most proportional to the product of both lengths.
    pub fn matches(&self, name: &str) -> bool {
        let name: Vec<char> = name.chars().collect();
        let (mut part, mut at) = (0, 0);
        // The last `*`, and the first character that it does not cover yet.
        let mut retry: Option<(usize, usize)> = None;
        loop {
            match self.parts.get(part) {
                Some(GlobPart::Many) => {
                    part += 1;
                    retry = Some((part, at));
                    continue;
                }
                Some(expected) if name.get(at).is_some_and(|&c| expected.takes(c)) => {
                    (part, at) = (part + 1, at + 1);
                    continue;
                }
                None if at == name.len() => return true,
                _ => {}
            }
            match retry {
                Some((after, given)) if given < name.len() => {
                    retry = Some((after, given + 1));
                    (part, at) = (after, given + 1);
                }
                _ => return false,
            }
        }
    }
}

impl GlobPart {
    fn takes(&self, c: char) -> bool {
        match self {
            GlobPart::Many => false,
            GlobPart::One => true,
            GlobPart::Among { ranges, inverted } => {
                ranges.iter().any(|&(first, last)| (first..=last).contains(&c)) != *inverted
            }
            GlobPart::Char(expected) => *expected == c,
        }
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(glob: &str, name: &str) -> bool {
        glob.parse::<Glob>().unwrap().matches(name)
    }

    #[test]
    fn stars_question_marks_and_sets() {
        for (glob, name) in [
            ("*", ""),
            ("*", "embed"),
            ("embed", "embed"),
            ("blocks.*.attn.pattern", "blocks.12.attn.pattern"),
            ("blocks.?.attn.?", "blocks.1.attn.q"),
            ("blocks.[0-3].*", "blocks.3.mlp.pre"),
            ("blocks.[!0-3].*", "blocks.4.mlp.pre"),
            ("*.attn.[qkv]", "blocks.0.attn.k"),
            ("*post*", "blocks.0.mlp.post"),
            ("a*b*c", "abbcbc"),
            ("[-a]", "-"),
        ] {
            assert!(matches(glob, name), "{glob} and {name}");
        }
        for (glob, name) in [
            ("", "embed"),
            ("embed", "embedd"),
            ("embed", "mbed"),
            ("blocks.?.attn.q", "blocks.10.attn.q"),
            ("blocks.[0-3].*", "blocks.4.mlp.pre"),
            ("?", ""),
            ("a*b*c", "abbcb"),
            ("*x", "embed"),
        ] {
            assert!(!matches(glob, name), "{glob} and {name}");
        }
        for glob in ["[", "blocks.[0", "[]", "[!]"] {
            assert!(glob.parse::<Glob>().is_err(), "{glob}");
        }
    }

    /// By trying every length of every star.
    fn plainly(parts: &[GlobPart], name: &[char]) -> bool {
        match parts.split_first() {
            None => name.is_empty(),
            Some((GlobPart::Many, rest)) => (0..=name.len()).any(|taken| plainly(rest, &name[taken..])),
            Some((part, rest)) => name.first().is_some_and(|&c| part.takes(c)) && plainly(rest, &name[1..]),
        }
    }

    proptest! {
        #[test]
        fn equals_exhaustive_matching(glob in "[ab*?]{0,8}(\\[[ab!-]*a\\])?[ab*]{0,3}", name in "[ab]{0,10}") {
            let glob: Glob = glob.parse().unwrap();
            let chars: Vec<char> = name.chars().collect();
            prop_assert_eq!(glob.matches(&name), plainly(&glob.parts, &chars));
        }

        #[test]
        fn any_text_is_a_glob_or_an_error(text in ".{0,20}", name in ".{0,20}") {
            if let Ok(glob) = text.parse::<Glob>() {
                glob.matches(&name);
            }
        }
    }
}
