//! Hand-written scanners for the splitting patterns of well-known models.
//!
//! A pattern is recognised by its text ([`Scanner::for_pattern`]) and matched without a regex engine. There are two
//! kinds of rules: [`words`] for the whole-text patterns of GPT-2 and its successors, and [`runs`] for patterns that
//! are a single run of one class of characters. Each is tested against the regular expression that it replaces.
//! [`fast_path`] is a faster implementation for matches that ASCII bytes alone decide.

mod fast_path;
mod runs;
mod words;

use std::ops::Range;

use fast_path::{Family, end_of_match};
use runs::Run;
use words::{Member, Words};

/// A pattern that is matched without a regex engine.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Scanner {
    Words(Member),
    Run(&'static Run),
}

/// Defines a type for each member of the family, and dispatches to the generic functions.
macro_rules! members {
    ($($member:ident = $rules:ident),*) => {
        $(
            struct $member;

            impl Family for $member {
                const RULES: Words = words::$rules;
            }
        )*

        impl Scanner {
            /// Calls `emit` with every match in `text[range]`, as if the text ended there. Matches are never empty.
            #[inline]
            pub(crate) fn each_match(&self, text: &str, range: Range<usize>, emit: impl FnMut(Range<usize>)) {
                match self {
                    $(Scanner::Words(Member::$member) => {
                        each_match(text, range, |text, at| end_of_match::<$member>(text, at), emit)
                    })*
                    Scanner::Run(run) => {
                        let end_of_match = |text: &str, at: usize| Some(at + run.match_length(&text[at..])?);
                        each_match(text, range, end_of_match, emit);
                    }
                }
            }

            /// The end of the match that starts exactly at byte `at`.
            fn end_of_match(&self, text: &str, at: usize) -> Option<usize> {
                match self {
                    $(Scanner::Words(Member::$member) => end_of_match::<$member>(text, at),)*
                    Scanner::Run(run) => Some(at + run.match_length(&text[at..])?),
                }
            }

            /// The same by the rules alone: the oracle for the fast path.
            #[cfg(test)]
            fn end_of_match_by_rules(&self, text: &str, at: usize) -> Option<usize> {
                let length = match self {
                    $(Scanner::Words(Member::$member) => words::$rules.match_length(&text[at..]),)*
                    Scanner::Run(run) => run.match_length(&text[at..]),
                };
                Some(at + length?)
            }
        }
    };
}

members!(
    Gpt2 = GPT2,
    Cl100k = CL100K,
    Qwen2 = QWEN2,
    Qwen35 = QWEN35,
    O200k = O200K,
    Tekken = TEKKEN,
    DeepseekV3 = DEEPSEEK_V3
);

impl Scanner {
    /// The scanner for a pattern, `None` if it needs a regex engine.
    pub(crate) fn for_pattern(pattern: &str) -> Option<Scanner> {
        let words = words::KNOWN.iter().find(|known| known.0.contains(&pattern));
        let run = || runs::KNOWN.iter().find(|known| known.0 == pattern);
        words.map(|known| Scanner::Words(known.1)).or_else(|| run().map(|known| Scanner::Run(&known.1)))
    }

    /// The first match at or after byte `from`, never empty.
    pub(crate) fn find(&self, text: &str, from: usize) -> Option<(usize, usize)> {
        text[from..].char_indices().find_map(|(offset, _)| {
            let at = from + offset;
            self.end_of_match(text, at).map(|end| (at, end))
        })
    }
}

#[inline(always)]
fn each_match(
    text: &str,
    range: Range<usize>,
    end_of_match: impl Fn(&str, usize) -> Option<usize>,
    mut emit: impl FnMut(Range<usize>),
) {
    let text = &text[..range.end];
    let mut at = range.start;
    while at < range.end {
        at = match end_of_match(text, at) {
            Some(end) => {
                emit(at..end);
                end
            }
            None => at + text[at..].chars().next().map_or(1, char::len_utf8),
        };
    }
}

/// The length in bytes of the longest prefix whose characters all satisfy `keep`.
fn run_length(text: &str, keep: impl Fn(char) -> bool) -> usize {
    text.find(|c| !keep(c)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn the_fast_path_agrees_with_the_rules(
            text in "([a-cA-C]{0,9}|[ \\t\\r\\n]|'(s|LL|ſ)|[0-9]{1,4}|[!/'_\0]|[éǅ中½€\u{301}\u{a0}]){0,12}",
        ) {
            for known in words::KNOWN {
                let scanner = Scanner::Words(known.1);
                for (at, _) in text.char_indices() {
                    let expected = scanner.end_of_match_by_rules(&text, at);
                    prop_assert_eq!(scanner.end_of_match(&text, at), expected, "{:?} at {} of {:?}", known.1, at, text);
                }
            }
        }
    }
}
