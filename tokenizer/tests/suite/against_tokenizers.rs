//! The patterns of well-known models, with a vocabulary of real size, give the ids of Hugging Face's tokenizers.

use std::str::FromStr;
use std::sync::LazyLock;

use glassbox_tokenizer::pretokenize::{Behavior, Pattern, PreTokenizer, Step};
use glassbox_tokenizer::{EncodeOptions, Parts, Special, Template, Tokenizer, patterns};
use proptest::prelude::*;

use crate::against_tiktoken::CL100K;
use crate::texts::{TEXTS, any_text, encode_long_text};

struct Pair {
    name: &'static str,
    oracle: tokenizers::Tokenizer,
    ours: Tokenizer,
}

fn splits(patterns: &[&str]) -> Vec<Step> {
    let split = |pattern: &&str| Step::Split {
        pattern: Pattern::regex(*pattern).unwrap(),
        behavior: Behavior::Isolated,
        invert: false,
    };
    let bytes = Step::ByteLevel { add_prefix_space: false, split: None };
    patterns.iter().map(split).chain([bytes]).collect()
}

/// One vocabulary with the pre-tokenizer of each family. Both sides read the same file; the oracle reads it once.
static PAIRS: LazyLock<Vec<Pair>> = LazyLock::new(|| {
    let families: Vec<(&str, Vec<Step>)> = vec![
        ("gpt2", vec![Step::byte_level()]),
        ("smollm", vec![Step::Digits { individual: true }, Step::byte_level()]),
        ("llama3", splits(&[patterns::CL100K])),
        ("qwen2", splits(&[patterns::QWEN2])),
        ("qwen35", splits(&[patterns::QWEN35])),
        ("gpt-4o", splits(&[patterns::O200K])),
        ("tekken", splits(&[patterns::TEKKEN])),
        (
            "deepseek-v3",
            splits(&[patterns::DIGITS_BY_THREE, patterns::CHINESE_AND_KANA, patterns::DEEPSEEK_V3]),
        ),
        (
            "deepseek-llm",
            splits(&[
                r"[\r\n]",
                patterns::DEEPSEEK_LLM_LETTERS,
                patterns::DEEPSEEK_LLM_MARKS,
                r"\s+$",
                patterns::CHINESE_AND_HANGUL,
                r"\p{N}+",
            ]),
        ),
        (
            "deepseek-coder",
            splits(&[r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", patterns::CHINESE_AND_HANGUL, r"\p{N}"]),
        ),
    ];
    let json = CL100K.ours.to_json();
    let oracle = tokenizers::Tokenizer::from_str(&json).unwrap();
    let base = Tokenizer::from_json(&json).unwrap();
    let pair = |(name, steps): (&'static str, Vec<Step>)| {
        let ours = Tokenizer::new(Parts {
            normalizers: Vec::new(),
            pre_tokenizer: PreTokenizer::new(steps),
            model: base.model().clone(),
            added_tokens: base.added_tokens().sorted().into_iter().cloned().collect(),
            template: Template::default(),
            decoder: base.decoder().cloned(),
        });
        let ours = ours.unwrap();
        encode_long_text(&ours);
        let written: serde_json::Value = serde_json::from_str(&without_model(&ours)).unwrap();
        let pre_tokenizer: tokenizers::PreTokenizerWrapper =
            serde_json::from_value(written["pre_tokenizer"].clone()).unwrap();
        let mut oracle = oracle.clone();
        oracle.with_pre_tokenizer(Some(pre_tokenizer));
        Pair { name, oracle, ours }
    };
    families.into_iter().map(pair).collect()
});

/// The tokenizer.json of the same steps with an empty model, which is fast to write.
fn without_model(tokenizer: &Tokenizer) -> String {
    let parts = Parts {
        normalizers: tokenizer.normalizers().to_vec(),
        pre_tokenizer: tokenizer.pre_tokenizer().clone(),
        model: glassbox_tokenizer::Bpe::new(Default::default(), Default::default(), Default::default())
            .unwrap(),
        added_tokens: Vec::new(),
        template: Template::default(),
        decoder: tokenizer.decoder().cloned(),
    };
    Tokenizer::new(parts).unwrap().to_json()
}

impl Pair {
    fn check(&self, text: &str) -> Result<(), TestCaseError> {
        let options = EncodeOptions { special: Special::Parse, ..EncodeOptions::default() };
        let ids = self.ours.encode(text, &options).unwrap();
        let expected = self.oracle.encode_fast(text, false).unwrap();
        prop_assert_eq!(&ids[..], expected.get_ids(), "{} on {:?}", self.name, text);
        prop_assert_eq!(self.ours.decode(&ids, false), self.oracle.decode(&ids, false).unwrap());
        prop_assert_eq!(self.ours.decode(&ids, true), self.oracle.decode(&ids, true).unwrap());
        prop_assert_eq!(self.ours.decode(&ids, false), text);
        Ok(())
    }
}

#[test]
fn chosen_texts_have_the_oracles_ids() {
    let long = ["a".repeat(10_000), "Ab1 ".repeat(1000), " ".repeat(300) + "x", "é".repeat(1000)];
    for pair in PAIRS.iter() {
        let texts = TEXTS.iter().copied().chain(long.iter().map(String::as_str));
        texts.for_each(|text| pair.check(text).unwrap());
    }
}

proptest! {
    #[test]
    fn random_texts_have_the_oracles_ids(text in any_text()) {
        PAIRS.iter().try_for_each(|pair| pair.check(&text))?;
    }
}
