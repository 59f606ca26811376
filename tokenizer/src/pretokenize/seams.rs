//! Where a text may be cut in two whose words, found apart, are the words of the whole.
//!
//! The scanners look forward only, so what follows a cut is scanned as before if a word ended there in the whole text. Nor
//! may the text in front of the cut change its words when it ends there. Three kinds of places have both properties in
//! every pattern of the family in [`scanners::words`](super::scanners), whatever stands around them:
//!
//! - In front of a space that follows a visible character. A space can only be the first character of what is no white
//!   space, and no rule looks behind a run of visible characters.
//! - Behind a line feed that has a visible character before it and a letter behind it. It is a word or the end of
//!   punctuation; it leads no word, and no letter is part of what follows punctuation. Nothing is left to the last rules
//!   of white space, which look at what comes next, for the white space is this one character.
//! - Between a letter and punctuation outside ASCII. Words end there, and contractions need the ASCII apostrophe.

use super::raw::Cut;
use super::scanners::Scanner;
use crate::unicode::Class;

/// A kind of place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seam {
    BeforeSpace,
    BehindLineFeed,
    BeforeMark,
}

const VISIBLE: Class = Class::WHITE.not();

impl Seam {
    /// What kind of place byte `at` is, which is neither the first nor past the last and where a character begins.
    fn at(text: &str, at: usize) -> Option<Seam> {
        let class = |c: Option<char>| c.map(Class::of);
        let mut before = text[..at].chars().rev();
        let after = text[at..].chars().next()?;
        let last = before.next()?;
        let meets = |class: Option<Class>, other: Class| class.is_some_and(|class| class.meets(other));
        if after == ' ' {
            return Class::of(last).meets(VISIBLE).then_some(Seam::BeforeSpace);
        }
        if last == '\n' {
            let is_seam = Class::of(after).meets(Class::LETTER) && meets(class(before.next()), VISIBLE);
            return is_seam.then_some(Seam::BehindLineFeed);
        }
        let is_seam = !after.is_ascii()
            && Class::of(after).meets(Class::PUNCTUATION)
            && Class::of(last).meets(Class::LETTER);
        is_seam.then_some(Seam::BeforeMark)
    }
}

impl Cut {
    /// Whether no match lies across such a place, nor changes where the text ends there.
    fn spares(&self, seam: Seam) -> bool {
        match self {
            Cut::At { scanner: Scanner::Words(_), .. } | Cut::Numbers { .. } => true,
            // A run of letters may have any white space in front, a run of Chinese may have punctuation in it.
            Cut::At { scanner: Scanner::Run(_), .. } => seam == Seam::BeforeSpace,
        }
    }

    /// Whether every such place is the end of a word.
    fn ends_words(&self) -> bool {
        matches!(self, Cut::At { scanner: Scanner::Words(_), .. })
    }
}

/// The first place at or after `from` where `text` may be cut, its length where there is none.
pub(crate) fn next_seam(cuts: &[Cut], text: &str, from: usize) -> usize {
    let Some(ending) = cuts.iter().position(Cut::ends_words) else { return text.len() };
    let is_place =
        |at: usize| Seam::at(text, at).is_some_and(|seam| cuts[..=ending].iter().all(|cut| cut.spares(seam)));
    let mut places = (from.max(1)..text.len()).filter(|&at| text.is_char_boundary(at));
    places.find(|&at| is_place(at)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::patterns;
    use crate::pretokenize::raw::each_word;
    use crate::pretokenize::{Behavior, Pattern, PreTokenizer, Step};

    fn cuts(patterns: &[&str]) -> Vec<Cut> {
        let split = |pattern: &&str| Step::Split {
            pattern: Pattern::regex(*pattern).unwrap(),
            behavior: Behavior::Isolated,
            invert: false,
        };
        let bytes = Step::ByteLevel { add_prefix_space: false, split: None };
        let steps = patterns.iter().map(split).chain([bytes]).collect();
        PreTokenizer::new(steps).cuts().expect("known patterns")
    }

    fn words(cuts: &[Cut], text: &str) -> Vec<String> {
        let mut words = Vec::new();
        each_word(cuts, text, 0..text.len(), &mut |word| words.push(text[word].to_owned()));
        words
    }

    fn all_cuts() -> Vec<Vec<Cut>> {
        let families = [
            patterns::GPT2,
            patterns::CL100K,
            patterns::QWEN2,
            patterns::QWEN35,
            patterns::O200K,
            patterns::TEKKEN,
            patterns::DEEPSEEK_V3,
        ];
        let mut all: Vec<Vec<Cut>> = families.iter().map(|family| cuts(&[family])).collect();
        all.extend([
            cuts(&[patterns::DIGITS_BY_THREE, patterns::CHINESE_AND_KANA, patterns::DEEPSEEK_V3]),
            cuts(&[patterns::CHINESE_AND_HANGUL, r"\s?\p{L}+", r"\s?\p{P}+", r"[\r\n]", patterns::GPT2]),
            cuts(&[r"\p{N}+", patterns::CL100K, r"\s?\p{L}+"]),
        ]);
        for individual in [false, true] {
            all.push([vec![Cut::Numbers { individual }], cuts(&[patterns::GPT2])].concat());
        }
        all
    }

    #[test]
    fn a_text_without_a_step_that_ends_words_has_no_seam() {
        assert_eq!(next_seam(&cuts(&[r"\p{N}"]), "a b c", 1), 5);
        assert_eq!(next_seam(&cuts(&[patterns::GPT2]), "a b c", 2), 3);
        assert_eq!(next_seam(&cuts(&[patterns::GPT2]), "", 0), 0);
        assert_eq!(next_seam(&cuts(&[patterns::GPT2]), "a", 7), 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]
        #[test]
        fn the_words_of_both_parts_are_those_of_the_whole(
            text in "([ \n\r\t]|[ab'B1/.]|[é中，。！\u{301}’½\u{a0}\u{3000}ſ]|'s|'l|\\PC){0,16}",
        ) {
            for cuts in all_cuts() {
                let whole = words(&cuts, &text);
                let mut at = 0;
                while at < text.len() {
                    at = next_seam(&cuts, &text, at + 1);
                    let (before, behind) = text.split_at(at);
                    prop_assert_eq!(&[words(&cuts, before), words(&cuts, behind)].concat(), &whole, "{:?}", cuts);
                }
            }
        }
    }
}
