//! Unicode properties and POSIX brackets by name. The data are those of `regex-syntax`; the blocks, which it lacks,
//! are in [`super::blocks`].

use regex_syntax::hir::{Class, HirKind};

use super::ast::{Set, complement, set};
use super::blocks;

/// A name as it is compared: lower case, without spaces, hyphens and underscores.
pub(super) fn loose(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, ' ' | '-' | '_')).map(|c| c.to_ascii_lowercase()).collect()
}

/// A POSIX bracket. They are Unicode classes.
pub(super) fn posix(name: &str) -> Option<Set> {
    let property = |name: &str| unicode(name).unwrap_or_else(|| set(&[]));
    let union = |names: &[&str]| {
        let mut all = set(&[]);
        names.iter().for_each(|name| all.union(&property(name)));
        all
    };
    Some(match name {
        "alnum" => union(&["alphabetic", "nd"]),
        "alpha" => property("alphabetic"),
        "ascii" => set(&[('\0', '\x7f')]),
        "blank" => {
            let mut blank = property("zs");
            blank.union(&set(&[('\t', '\t')]));
            blank
        }
        "cntrl" => property("cc"),
        "digit" => property("nd"),
        "graph" => complement(union(&["whitespace", "cc", "cn"])),
        "lower" => property("lowercase"),
        "print" => {
            let mut print = complement(union(&["whitespace", "cc", "cn"]));
            print.union(&property("zs"));
            print
        }
        "punct" => union(&["p", "s"]),
        "space" => property("whitespace"),
        "upper" => property("uppercase"),
        "xdigit" => set(&[('0', '9'), ('A', 'F'), ('a', 'f')]),
        "word" => union(&["alphabetic", "m", "nd", "pc"]),
        _ => return None,
    })
}

/// A property by its loose name: a general category, a script, a binary property, or `in` and a block.
pub(super) fn named(name: &str) -> Option<Set> {
    if let Some(ranges) = blocks::block(name) {
        return Some(ranges);
    }
    match name {
        "posixpunct" => posix("punct"),
        "newline" => Some(set(&[('\n', '\n')])),
        // There are no surrogates in a text.
        "cs" | "surrogate" => Some(set(&[])),
        // The script of what is not assigned or for private use.
        "unknown" | "zzzz" => {
            let mut unknown = unicode("cn")?;
            unknown.union(&unicode("co")?);
            Some(unknown)
        }
        _ => unicode(name),
    }
}

fn unicode(name: &str) -> Option<Set> {
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric()) {
        return None;
    }
    let parsed = regex_syntax::parse(&format!(r"\p{{{name}}}")).ok()?;
    match parsed.into_kind() {
        HirKind::Class(Class::Unicode(set)) => Some(set),
        HirKind::Literal(literal) => {
            let c = str::from_utf8(&literal.0).ok()?.chars().next()?;
            Some(set(&[(c, c)]))
        }
        _ => None,
    }
}
