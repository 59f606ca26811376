//! Seams: positions at which a text can be split so that the words of both parts are the words of the whole text.
//!
//! Scanners only look forward. So the text after a split is scanned as before if a word of the whole text ends there;
//! and the text before the split must not change its words because it ends there. Three kinds of positions have both
//! properties for every pattern of the family in [`scanners::words`](super::scanners), in any context:
//!
//! - Before a space that follows a visible character. In a word that is not white space, a space can only be the first
//!   character, and no rule looks beyond a run of visible characters.
//! - After a line feed that has a visible character before it and a letter after it. The line feed is a word or the end
//!   of punctuation: it cannot lead a word, and letters do not continue punctuation. The last rules for white space,
//!   which depend on the following text, do not apply, since the white space is this one character.
//! - Between a letter and punctuation outside ASCII. Words end there, and contractions need the ASCII apostrophe.

use super::raw::Cut;
use super::scanners::Scanner;
use crate::unicode::Class;

/// A kind of seam.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seam {
    BeforeSpace,
    AfterLineFeed,
    BeforeMark,
}

const VISIBLE: Class = Class::WHITE.not();

impl Seam {
    /// The kind of seam at byte `at`, which is a character boundary inside the text.
    fn at(text: &str, at: usize) -> Option<Seam> {
        let class = |c: Option<char>| c.map(Class::of);
        let mut before = text[..at].chars().rev();
        let after = text[at..].chars().next()?;
        let last = before.next()?;
        let intersects =
            |class: Option<Class>, other: Class| class.is_some_and(|class| class.intersects(other));
        if after == ' ' {
            return Class::of(last).intersects(VISIBLE).then_some(Seam::BeforeSpace);
        }
        if last == '\n' {
            let is_seam =
                Class::of(after).intersects(Class::LETTER) && intersects(class(before.next()), VISIBLE);
            return is_seam.then_some(Seam::AfterLineFeed);
        }
        let is_seam = !after.is_ascii()
            && Class::of(after).intersects(Class::PUNCTUATION)
            && Class::of(last).intersects(Class::LETTER);
        is_seam.then_some(Seam::BeforeMark)
    }
}

impl Cut {
    /// Whether no match crosses such a seam, or changes if the text ends there.
    fn respects(&self, seam: Seam) -> bool {
        match self {
            Cut::At { scanner: Scanner::Words(_), .. } | Cut::Numbers { .. } => true,
            // A run of letters may have any white space in front; a run of Chinese may contain punctuation.
            Cut::At { scanner: Scanner::Run(_), .. } => seam == Seam::BeforeSpace,
        }
    }

    /// Whether a word ends at every seam.
    fn ends_words(&self) -> bool {
        matches!(self, Cut::At { scanner: Scanner::Words(_), .. })
    }
}

/// The first seam of `text` at or after `from`; the length of the text if there is none.
pub(crate) fn next_seam(cuts: &[Cut], text: &str, from: usize) -> usize {
    let Some(ending) = cuts.iter().position(Cut::ends_words) else { return text.len() };
    let is_seam = |at: usize| {
        Seam::at(text, at).is_some_and(|seam| cuts[..=ending].iter().all(|cut| cut.respects(seam)))
    };
    let mut boundaries = (from.max(1)..text.len()).filter(|&at| text.is_char_boundary(at));
    boundaries.find(|&at| is_seam(at)).unwrap_or(text.len())
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
    fn without_a_step_that_ends_words_there_is_no_seam() {
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
                    let (before, after) = text.split_at(at);
                    prop_assert_eq!(&[words(&cuts, before), words(&cuts, after)].concat(), &whole, "{:?}", cuts);
                }
            }
        }
    }
}
