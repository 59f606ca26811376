//! Hand-written scanners for the splitting patterns that the well-known models use.
//!
//! A pattern is recognised by its text ([`Scanner::for_pattern`]) and handled without a regex engine. The rules come in
//! two shapes: [`words`] for the whole-text patterns of GPT-2 and its successors, [`runs`] for patterns that are a
//! single run of one class of characters. Each is tested against the regular expression that it replaces. What ASCII
//! alone decides, [`swift`] finds faster than the rules.

mod runs;
mod swift;
mod words;

use std::ops::Range;

use runs::Run;
use swift::{Family, end_of_match};
use words::{Member, Words};

/// A pattern handled without a regex engine.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Scanner {
    Words(Member),
    Run(&'static Run),
}

/// Makes types of the members of the family, and calls a generic function with the right one.
macro_rules! members {
    ($($member:ident = $rules:ident),*) => {
        $(
            struct $member;

            impl Family for $member {
                const RULES: Words = words::$rules;
            }
        )*

        impl Scanner {
            /// Tells `emit` every match in `text[range]`, as if nothing stood behind it. None is empty.
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

            /// The end of the match that begins exactly at byte `at`.
            fn end_of_match(&self, text: &str, at: usize) -> Option<usize> {
                match self {
                    $(Scanner::Words(Member::$member) => end_of_match::<$member>(text, at),)*
                    Scanner::Run(run) => Some(at + run.match_length(&text[at..])?),
                }
            }

            /// The same by the plain rules, which the quick way must agree with.
            #[cfg(test)]
            fn plain_end_of_match(&self, text: &str, at: usize) -> Option<usize> {
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
    /// The scanner for a pattern, `None` where only a regex engine knows.
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
        fn the_quick_way_agrees_with_the_rules(
            text in "([a-cA-C]{0,9}|[ \\t\\r\\n]|'(s|LL|ſ)|[0-9]{1,4}|[!/'_\0]|[éǅ中½€\u{301}\u{a0}]){0,12}",
        ) {
            for known in words::KNOWN {
                let scanner = Scanner::Words(known.1);
                for (at, _) in text.char_indices() {
                    let expected = scanner.plain_end_of_match(&text, at);
                    prop_assert_eq!(scanner.end_of_match(&text, at), expected, "{:?} at {} of {:?}", known.1, at, text);
                }
            }
        }
    }
}
