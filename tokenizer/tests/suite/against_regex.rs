//! Every hand-written scanner matches like the regular expression that it replaces.

use std::sync::LazyLock;

use glassbox_tokenizer::patterns;
use glassbox_tokenizer::pretokenize::Pattern;
use proptest::prelude::*;

use crate::texts::{TEXTS, any_text};

const PATTERNS: &[&str] = &[
    patterns::GPT2,
    patterns::CL100K,
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    patterns::QWEN2,
    patterns::QWEN35,
    patterns::O200K,
    patterns::TEKKEN,
    patterns::DEEPSEEK_V3,
    patterns::DIGITS_BY_THREE,
    patterns::CHINESE_AND_KANA,
    patterns::CHINESE_AND_HANGUL,
    r"\p{N}",
    r"\p{N}+",
    r"[\r\n]",
    r"\s?\p{L}+",
    r"\s?\p{P}+",
];

struct Pair {
    pattern: &'static str,
    scanner: Pattern,
    regex: Pattern,
}

static PAIRS: LazyLock<Vec<Pair>> = LazyLock::new(|| {
    let pair = |&pattern: &&'static str| {
        let (scanner, regex) = (Pattern::regex(pattern).unwrap(), Pattern::slow_regex(pattern).unwrap());
        assert!(scanner.is_recognised(), "{pattern} uses the regex engine");
        assert!(!regex.is_recognised());
        Pair { pattern, scanner, regex }
    };
    PATTERNS.iter().map(pair).collect()
});

fn check(text: &str) -> Result<(), TestCaseError> {
    PAIRS.iter().try_for_each(|Pair { pattern, scanner, regex }| {
        let (found, expected) = (scanner.find_all(text).unwrap(), regex.find_all(text).unwrap());
        prop_assert_eq!(found, expected, "{} on {:?}", pattern, text);
        Ok(())
    })
}

#[test]
fn scanners_match_the_chosen_texts_like_their_regexes() {
    TEXTS.iter().for_each(|text| check(text).unwrap());
}

#[test]
fn scanners_match_all_combinations_of_classes_like_their_regexes() {
    let representatives = [
        "A", "a", "ǅ", "ʰ", "中", "ア", "가", "ࠀ", "\u{301}", "7", "½", "_", "!", "'", "/", "+", "€", " ",
        "\n", "\r", "\t", "\u{a0}", "\u{0}", "s", "ſ", "L",
    ];
    let mut text = String::new();
    for first in representatives {
        for second in representatives {
            for third in representatives {
                text.extend([first, second, third, "x"]);
            }
            check(&text).unwrap();
            text.clear();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn scanners_match_random_texts_like_their_regexes(text in any_text()) {
        check(&text)?;
    }
}
