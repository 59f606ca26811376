//! Hand-written scanners for the splitting patterns that the well-known models use.
//!
//! A pattern is recognised by its text ([`Scanner::for_pattern`]) and handled without a regex engine. The rules come in
//! two shapes: [`words`] for the whole-text patterns of GPT-2 and its successors, [`runs`] for patterns that are a
//! single run of one class of characters. Each is tested against the regular expression that it replaces.

mod runs;
mod words;

pub(crate) use runs::Run;
pub(crate) use words::Words;

/// A pattern handled without a regex engine.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Scanner {
    Words(&'static Words),
    Run(&'static Run),
}

impl Scanner {
    /// The scanner for a pattern, `None` where only a regex engine knows.
    pub(crate) fn for_pattern(pattern: &str) -> Option<Scanner> {
        let words = words::KNOWN.iter().find(|known| known.0.contains(&pattern));
        let run = || runs::KNOWN.iter().find(|known| known.0 == pattern);
        words.map(|known| Scanner::Words(&known.1)).or_else(|| run().map(|known| Scanner::Run(&known.1)))
    }

    /// The first match at or after byte `from`, never empty.
    pub(crate) fn find(&self, text: &str, from: usize) -> Option<(usize, usize)> {
        text[from..].char_indices().find_map(|(offset, _)| {
            let at = from + offset;
            self.match_at(text, at).map(|length| (at, at + length))
        })
    }

    /// The length of the match that begins exactly at byte `at`.
    fn match_at(&self, text: &str, at: usize) -> Option<usize> {
        match self {
            Scanner::Words(words) => words.match_length(&text[at..]),
            Scanner::Run(run) => run.match_length(&text[at..]),
        }
    }
}

/// The length in bytes of the longest prefix whose characters all satisfy `keep`.
fn run_length(text: &str, keep: impl Fn(char) -> bool) -> usize {
    text.find(|c| !keep(c)).unwrap_or(text.len())
}
