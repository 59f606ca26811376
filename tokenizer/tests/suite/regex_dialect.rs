//! Regular expressions of a tokenizer.json mean what they mean in Oniguruma, as Hugging Face's tokenizers configures
//! it. The goldens are those of `scripts/regex_goldens.py`.

use std::time::{Duration, Instant};

use glassbox_tokenizer::pretokenize::Pattern;
use glassbox_tokenizer::regex::RegexError;
use glassbox_tokenizer::{EncodeOptions, Error, PatternError, Tokenizer};
use serde_json::{Value, json};

use crate::goldens;

/// The pieces at the matches and between them.
fn pieces<'t>(pattern: &str, text: &'t str) -> Vec<&'t str> {
    let found = Pattern::oniguruma(pattern).unwrap().find_all(text).unwrap();
    let mut pieces = Vec::new();
    let mut done = 0;
    for range in found {
        pieces.extend([&text[done..range.start], &text[range.clone()]]);
        done = range.end;
    }
    pieces.push(&text[done..]);
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

/// FNV-1a.
fn fnv(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

fn digest(text: &str) -> String {
    format!("{:08x}", fnv(text) & 0xffff_ffff)
}

fn refusal(pattern: &str) -> Option<RegexError> {
    match Pattern::slow_oniguruma(pattern) {
        Ok(_) => None,
        Err(Error::Pattern { reason: PatternError::Oniguruma(reason), .. }) => Some(reason),
        Err(error) => panic!("{pattern}: {error}"),
    }
}

/// Everything that the reference accepts and this crate does not.
const UNSUPPORTED: &[&str] = &[
    "\\K, \\R or \\X in a lookbehind",
    "a call of a group (\\g)",
    "a callout",
    "a repeated \\G",
    "a repeated conditional whose condition is a pattern",
    "an absent operator in another",
    "an absent operator other than (?~absent)",
    "an empty lookbehind in another",
    "the escapes \\M- and \\C without -",
    "the option I, case of ASCII only",
    "the option L, the longest match",
    "the option y, text segments",
];

#[test]
fn patterns_match_like_the_reference_or_are_refused_by_name() {
    let golden = goldens::golden("regex");
    let texts: Vec<&str> =
        golden["texts"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    let (mut agreed, mut refused) = (0, 0);
    for (pattern, expected) in golden["cases"].as_object().unwrap() {
        let refusal = refusal(pattern);
        let Some(expected) = expected.as_array() else {
            assert!(refusal.is_some(), "the reference refuses {pattern}");
            continue;
        };
        match refusal {
            Some(RegexError::Unsupported { what }) => {
                assert!(UNSUPPORTED.contains(&what), "{pattern}: {what}");
                refused += 1;
                continue;
            }
            Some(reason) => panic!("{pattern} is refused: {reason}"),
            None => {}
        }
        let compiled = Pattern::slow_oniguruma(pattern.as_str()).unwrap();
        for (text, expected) in texts.iter().zip(expected) {
            let found = compiled.find_all(text).unwrap();
            let (mut all, mut marked, mut done) = (Vec::new(), String::new(), 0);
            for range in found {
                all.extend([&text[done..range.start], &text[range.clone()]]);
                marked = marked + &text[done..range.start] + "\u{f8ff}";
                done = range.end;
            }
            all.push(&text[done..]);
            all.retain(|piece| !piece.is_empty());
            marked.push_str(&text[done..]);
            // The reference gives up on some texts.
            if expected != "" {
                let digest = digest(&format!("{}\x1e{marked}", all.join("\x1f")));
                assert_eq!(digest, expected.as_str().unwrap(), "{pattern} on {text:?}: {all:?} {marked:?}");
            }
        }
        agreed += 1;
    }
    assert!(agreed > 400 && refused < 40, "{agreed} agree, {refused} are refused");
}

#[test]
fn properties_have_the_references_members() {
    let golden = goldens::golden("regex");
    let codes = (0..0x20000).filter(|code| *code < 0x600 || code % 13 == 0);
    let text: String = codes.filter_map(char::from_u32).collect();
    let mut wrong = Vec::new();
    for (name, expected) in golden["properties"].as_object().unwrap() {
        let Ok(pattern) = Pattern::oniguruma(format!(r"\p{{{name}}}")) else {
            // The one property that this crate does not know.
            if name != "incb" {
                wrong.push(format!("{name} is refused"));
            }
            continue;
        };
        let found = pattern.find_all(&text).unwrap();
        let members: Vec<String> = found
            .into_iter()
            .map(|range| format!("{:x}", u32::from(text[range].chars().next().unwrap())))
            .collect();
        if *expected != json!([members.len(), digest(&members.join(","))]) {
            wrong.push(format!("{name}: {} members, expected {}", members.len(), expected[0]));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// transformers' converter writes cl100k's pattern into a tokenizer.json as tiktoken has it, where `{1,3}+` is
/// possessive; here it repeats the interval. Values of tokenizers 0.23.3.
#[test]
fn a_quantifier_behind_an_interval_repeats_it() {
    assert_eq!(pieces(r"\p{N}{1,3}+", "10000000 2"), ["10000000", " ", "2"]);
    assert_eq!(pieces(r"a{2}+", "aaaaa"), ["aaaa", "a"]);
    assert_eq!(pieces(r"a{3,2}", "aaaa"), ["aaa", "a"]);
    let by_tiktoken = Pattern::regex(r"\p{N}{1,3}+").unwrap().find_all("10000000").unwrap();
    assert_eq!(by_tiktoken, [0..3, 3..6, 6..8]);
}

/// The words of cl100k's pattern as tiktoken 0.12 writes it, in a tokenizer.json. Values of tokenizers 0.23.3.
#[test]
fn numbers_of_cl100k_in_a_tokenizer_json_are_whole() {
    let mut file: Value = goldens::golden("gpt35turbo")["tokenizer"].clone();
    let pattern = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s";
    file["pre_tokenizer"] = json!({"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Removed", "invert": true},
        {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}]});
    let tokenizer = Tokenizer::from_json(&file.to_string()).unwrap();
    let ids = tokenizer.encode(" 2024-11-27 10000000", &EncodeOptions::default()).unwrap();
    // The reduced vocabulary lacks some of the longer tokens.
    assert_eq!(ids, [220, 508, 17, 19, 12, 16, 16, 12, 17, 22, 220, 1041, 410, 931]);
    let words = tokenizer.explain(" 2024-11-27 10000000", &EncodeOptions::default()).unwrap();
    let words: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
    assert_eq!(words, [" ", "2024", "-", "11", "-", "27", " ", "10000000"]);
}

#[test]
fn classes_are_unicode() {
    assert_eq!(pieces("[[:alpha:]]+", "éa½b"), ["éa", "½", "b"]);
    assert_eq!(pieces(r"\w+", "a½²b\u{200d}c"), ["a½²b", "\u{200d}", "c"]);
    assert_eq!(pieces(r"[\w]+", "a½²b"), ["a", "½²", "b"]);
    assert_eq!(pieces(r"\h+", "1Fg"), ["1F", "g"]);
    assert_eq!(pieces(r"\p{^L}+", "a12"), ["a", "12"]);
}

#[test]
fn options_and_case_folding_are_those_of_oniguruma() {
    assert_eq!(pieces("(?m:.)+", "a\nb"), ["a\nb"]);
    assert_eq!(pieces("(?i:ss)", "aßb"), ["a", "ß", "b"]);
    assert_eq!(pieces("(?i)ﬀ", "aFFb"), ["a", "FF", "b"]);
    assert_eq!(pieces("^.", "ab\ncd"), ["a", "b\n", "c", "d"]);
}

/// Quadratic matchers take minutes for these.
#[test]
fn a_million_spaces_take_linear_time() {
    let spaces = " ".repeat(1_000_000);
    for pattern in [
        r"\s+(?!\S)|\s",
        r"\s+x",
        r"\s+x|\s",
        r"\s*x|\s",
        r"(?:\s|\s)*x|\s",
        r"(?:\s+)+x",
        r"(?:\s*)*\S|\s",
        r"\s(?=\s*$)",
        r"\s(?=\s*\z)|x",
        r"(?=\s*x)|\s",
        r"(?>\s+)x|\s",
        r"(?>\s|\s\s)+x|\s",
        r"\s++x|\s",
        r"(?<=\s+)\s",
        r"(?<!x\s*)\s",
        r"\s+?x|\s",
        r"(?~x)x|\s",
        r"(?i)[^a]+ss|\s",
        r"[^\r\n\p{L}\p{N}]?\p{L}+|\s+$|\s+(?!\S)|\s",
    ] {
        let start = Instant::now();
        let found = Pattern::slow_oniguruma(pattern).unwrap().find_all(&spaces);
        assert!(found.is_ok(), "{pattern}: {}", found.unwrap_err());
        assert!(start.elapsed() < Duration::from_secs(20), "{pattern} took {:?}", start.elapsed());
    }
}

/// Backreferences cannot be matched in linear time; a limit makes them an error.
#[test]
fn endless_searches_are_errors() {
    let text = "a".repeat(100_000);
    let start = Instant::now();
    let found = Pattern::oniguruma(r"(a*)*(a*)*\1\2b").unwrap().find_all(&text);
    let reason = match found {
        Err(Error::Search { reason: PatternError::Oniguruma(reason), .. }) => reason,
        other => panic!("{other:?}"),
    };
    assert!(matches!(reason, RegexError::TooManySteps { .. }));
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn patterns_that_are_too_large_are_errors() {
    assert!(matches!(refusal("(?:(?:ab){1000}){1000}"), Some(RegexError::TooLarge { .. })));
    assert!(matches!(refusal(&"(".repeat(10_000)), Some(RegexError::Unsupported { .. })));
    assert_eq!(refusal(&"a{2,3}".repeat(3)), None);
    assert!(refusal(&format!("a{}", "{2,3}".repeat(200))).is_some());
    assert_eq!(refusal("(?:){100000}{100000}{99999}"), None);
}
