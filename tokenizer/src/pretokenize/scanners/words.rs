//! The whole-text patterns: GPT-2, cl100k (GPT-4, Llama 3), Qwen, o200k (GPT-4o), Tekken, DeepSeek V3.
//!
//! All are the same list of rules, tried in this order at every position. [`Words`] has the details in which the models
//! differ:
//!
//! 1. a contraction: `'s`, `'ll`, …
//! 2. a word, with at most one character in front of it
//! 3. a number, in groups of limited length
//! 4. punctuation, with at most one space in front of it and line ends after it
//! 5. white space up to the last line end
//! 6. white space; if other text follows, without its last character, which may belong to the next word
//! 7. the remaining white space

use super::run_length;
use crate::unicode::Class;

/// Where contractions are matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contractions {
    /// Nowhere.
    None,
    /// As separate words, in lower case.
    Lower,
    /// As separate words, in any case.
    AnyCase,
    /// As the end of a word, in any case.
    Suffix,
}

/// What may directly precede a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lead {
    /// One space.
    Space,
    /// One character that is neither a line end nor in these classes.
    AllBut(Class),
}

/// The shape of a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Letters {
    /// A run of these classes.
    Of(Class),
    /// Upper case, then lower case; caseless letters and marks count as both.
    Cased,
}

/// One member of the family.
#[derive(Debug)]
pub(crate) struct Words {
    pub contractions: Contractions,
    /// Whether an ASCII punctuation mark followed by ASCII letters is a separate word.
    pub ascii_mark_and_word: bool,
    pub lead: Lead,
    pub letters: Letters,
    /// Maximum number of digits in a number; 0 disables the rule.
    pub digits: usize,
    /// Whether one space may precede a number.
    pub space_before_digits: bool,
    pub marks: Class,
    /// Characters that belong to the punctuation they follow.
    pub marks_tail: &'static [char],
    /// Whether rule 5 exists.
    pub line_ends: bool,
}

const LINE_ENDS: &[char] = &['\r', '\n'];
const WORD_OR_NUMBER: Class = Class::LETTER.or(Class::NUMBER);
const NEITHER: Class = WORD_OR_NUMBER.or(Class::WHITE).not();

pub(super) const GPT2: Words = Words {
    contractions: Contractions::Lower,
    ascii_mark_and_word: false,
    lead: Lead::Space,
    letters: Letters::Of(Class::LETTER),
    digits: usize::MAX,
    space_before_digits: true,
    marks: NEITHER,
    marks_tail: &[],
    line_ends: false,
};

pub(super) const CL100K: Words = Words {
    contractions: Contractions::AnyCase,
    lead: Lead::AllBut(WORD_OR_NUMBER),
    digits: 3,
    space_before_digits: false,
    marks_tail: LINE_ENDS,
    line_ends: true,
    ..GPT2
};

pub(super) const QWEN2: Words = Words { digits: 1, ..CL100K };

pub(super) const QWEN35: Words = Words {
    letters: Letters::Of(Class::LETTER.or(Class::MARK)),
    marks: WORD_OR_NUMBER.or(Class::WHITE).or(Class::MARK).not(),
    ..QWEN2
};

pub(super) const O200K: Words = Words {
    contractions: Contractions::Suffix,
    letters: Letters::Cased,
    marks_tail: &['\r', '\n', '/'],
    ..CL100K
};

pub(super) const TEKKEN: Words = Words { contractions: Contractions::None, digits: 1, ..O200K };

pub(super) const DEEPSEEK_V3: Words = Words {
    contractions: Contractions::None,
    ascii_mark_and_word: true,
    lead: Lead::AllBut(Class::LETTER.or(Class::PUNCTUATION).or(Class::SYMBOL)),
    letters: Letters::Of(Class::LETTER.or(Class::MARK)),
    digits: 0,
    marks: Class::PUNCTUATION.or(Class::SYMBOL),
    ..CL100K
};

/// A member of the family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Member {
    Gpt2,
    Cl100k,
    Qwen2,
    Qwen35,
    O200k,
    Tekken,
    DeepseekV3,
}

/// The members by their patterns, as written in the models' files.
pub(super) const KNOWN: &[(&[&str], Member)] = &[
    (&[crate::patterns::GPT2], Member::Gpt2),
    (
        &[
            crate::patterns::CL100K,
            r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        ],
        Member::Cl100k,
    ),
    (&[crate::patterns::QWEN2], Member::Qwen2),
    (&[crate::patterns::QWEN35], Member::Qwen35),
    (&[crate::patterns::O200K], Member::O200k),
    (&[crate::patterns::TEKKEN], Member::Tekken),
    (&[crate::patterns::DEEPSEEK_V3], Member::DeepseekV3),
];

impl Words {
    /// The length of the match at the start of `text`.
    pub(super) fn match_length(&self, text: &str) -> Option<usize> {
        let first = text.chars().next()?;
        let class = Class::of(first);
        self.contraction(text, first)
            .or_else(|| self.ascii_mark_and_word(text, first))
            .or_else(|| self.word(text, first, class))
            .or_else(|| self.number(text, first, class))
            .or_else(|| self.punctuation(text, first, class))
            .or_else(|| self.white_space(text, class))
    }

    fn contraction(&self, text: &str, first: char) -> Option<usize> {
        let leading = matches!(self.contractions, Contractions::Lower | Contractions::AnyCase);
        if first != '\'' || !leading {
            return None;
        }
        contraction_length(text, self.contractions == Contractions::AnyCase)
    }

    fn ascii_mark_and_word(&self, text: &str, first: char) -> Option<usize> {
        if !self.ascii_mark_and_word || !first.is_ascii_punctuation() {
            return None;
        }
        let letters = run_length(&text[1..], |c| c.is_ascii_alphabetic());
        (letters > 0).then_some(1 + letters)
    }

    fn word(&self, text: &str, first: char, class: Class) -> Option<usize> {
        let may_lead = match self.lead {
            Lead::Space => first == ' ',
            Lead::AllBut(classes) => !LINE_ENDS.contains(&first) && !class.intersects(classes),
        };
        let skip = if may_lead { first.len_utf8() } else { 0 };
        match self.letters {
            Letters::Of(classes) => {
                let length = |from: usize| {
                    let letters = run_length(&text[from..], |c| Class::of(c).intersects(classes));
                    (letters > 0).then_some(from + letters)
                };
                length(skip).or_else(|| if may_lead { length(0) } else { None })
            }
            Letters::Cased => {
                let starts = if may_lead { [skip, 0] } else { [0, 0] };
                let end = starts
                    .iter()
                    .find_map(|&from| Some(from + lower_ending(&text[from..])?))
                    .or_else(|| starts.iter().find_map(|&from| Some(from + upper_start(&text[from..])?)))?;
                let suffix = if self.contractions == Contractions::Suffix && text[end..].starts_with('\'') {
                    contraction_length(&text[end..], true).unwrap_or(0)
                } else {
                    0
                };
                Some(end + suffix)
            }
        }
    }

    fn number(&self, text: &str, first: char, class: Class) -> Option<usize> {
        let skip = usize::from(self.space_before_digits && first == ' ');
        if self.digits == 0 || !(class.intersects(Class::NUMBER) || skip > 0) {
            return None;
        }
        let digits =
            text[skip..].chars().take(self.digits).take_while(|&c| Class::of(c).intersects(Class::NUMBER));
        let length: usize = digits.map(char::len_utf8).sum();
        (length > 0).then_some(skip + length)
    }

    fn punctuation(&self, text: &str, first: char, class: Class) -> Option<usize> {
        let skip = usize::from(first == ' ');
        if !(class.intersects(self.marks) || skip > 0) {
            return None;
        }
        let marks = run_length(&text[skip..], |c| Class::of(c).intersects(self.marks));
        if marks == 0 {
            return None;
        }
        let end = skip + marks;
        Some(end + run_length(&text[end..], |c| self.marks_tail.contains(&c)))
    }

    fn white_space(&self, text: &str, class: Class) -> Option<usize> {
        if !class.intersects(Class::WHITE) {
            return None;
        }
        let run = &text[..run_length(text, |c| Class::of(c).intersects(Class::WHITE))];
        if self.line_ends
            && let Some(last) = run.rfind(LINE_ENDS)
        {
            return Some(last + 1);
        }
        if run.len() == text.len() {
            return Some(run.len());
        }
        let last = run.chars().next_back().map_or(0, char::len_utf8);
        Some(if last < run.len() { run.len() - last } else { run.len() })
    }
}

/// `'s 't 're 've 'm 'll 'd`. With `any_case` also in upper case, and with the long s, whose upper case is `S` too.
pub(super) fn contraction_length(text: &str, any_case: bool) -> Option<usize> {
    let fold = |c: char| match c {
        'ſ' if any_case => 's',
        _ if any_case => c.to_ascii_lowercase(),
        _ => c,
    };
    let mut chars = text.chars().skip(1);
    let first = chars.next()?;
    match (fold(first), chars.next().map(fold)) {
        ('s' | 't' | 'm' | 'd', _) => Some(1 + first.len_utf8()),
        ('r' | 'v', Some('e')) | ('l', Some('l')) => Some(3),
        _ => None,
    }
}

const CASELESS: Class = Class::MODIFIER.or(Class::OTHER_LETTER).or(Class::MARK);
const UPPER: Class = Class::UPPER.or(Class::TITLE).or(CASELESS);
const LOWER: Class = Class::LOWER.or(CASELESS);

/// `[UPPER]*[LOWER]+`. If no lower-case letter follows, the match ends with the last caseless letter.
fn lower_ending(text: &str) -> Option<usize> {
    let upper = run_length(text, |c| Class::of(c).intersects(UPPER));
    let lower = run_length(&text[upper..], |c| Class::of(c).intersects(LOWER));
    if lower > 0 {
        return Some(upper + lower);
    }
    let (at, last) = text[..upper].char_indices().rfind(|&(_, c)| Class::of(c).intersects(CASELESS))?;
    Some(at + last.len_utf8())
}

/// `[UPPER]+[LOWER]*`
fn upper_start(text: &str) -> Option<usize> {
    let upper = run_length(text, |c| Class::of(c).intersects(UPPER));
    let lower = run_length(&text[upper..], |c| Class::of(c).intersects(LOWER));
    (upper > 0).then_some(upper + lower)
}
