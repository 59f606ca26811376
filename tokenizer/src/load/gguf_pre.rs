//! The splitting rules named by `tokenizer.ggml.pre`, as in llama.cpp.
//!
//! A name is a list of patterns, each of which splits the pieces of the one before. Where llama.cpp approximates a
//! model's pattern because its regex engine cannot run it, the model's own pattern is used.

use crate::error::Result;
use crate::normalize::{Form, Normalizer};
use crate::patterns;
use crate::pretokenize::{Behavior, Pattern, Step};

/// The rule of a name.
pub(crate) struct PreRule {
    pub steps: Vec<Step>,
    pub normalizers: Vec<Normalizer>,
    /// Whether words in the vocabulary are never merged.
    pub ignore_merges: bool,
    /// Whether `bos` is added by default.
    pub add_bos: bool,
}

/// llama.cpp omits the last rule of GPT-2's pattern and makes unmatched text a word, which is equivalent.
const GPT2: &str = patterns::GPT2;

struct Known {
    names: &'static [&'static str],
    patterns: &'static [&'static str],
    /// Whether the model's own tokenizer applies NFC first (llama.cpp does not).
    nfc: bool,
    ignore_merges: bool,
    add_bos: bool,
}

const PLAIN: Known =
    Known { names: &[], patterns: &[GPT2], nfc: false, ignore_merges: false, add_bos: false };

const FALCON_MARKS: &str = r"[\p{P}\$\+<=>\^~\|`]+";
const DEFAULT_MARKS: &str = r"[\p{P}\$\+<=>\^~\|]+";
const THREE_DIGITS: &str = "[0-9][0-9][0-9]";
const NUMBER: &str = r"\p{N}";
const BLOOM: &str = r" ?[^(\s|.,!?…。，、।۔،)]+";
const SEED_CODER: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+";

const DEFAULT: Known =
    Known { names: &["default"], patterns: &[DEFAULT_MARKS, GPT2, r"\p{N}+", THREE_DIGITS], ..PLAIN };

const KNOWN: &[Known] = &[
    DEFAULT,
    Known {
        names: &[
            "gpt-2",
            "phi-2",
            "mpt",
            "olmo",
            "jais",
            "trillion",
            "exaone4",
            "granite-docling",
            "roberta-bpe",
            "gigachat",
            "mellum",
            "modern-bert",
            "a.x-4.0",
            "jina-es",
            "jina-de",
            "jina-v1-en",
            "jina-v2-es",
            "jina-v2-de",
            "jina-v2-code",
        ],
        ..PLAIN
    },
    Known {
        names: &["smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"],
        patterns: &[NUMBER, GPT2],
        ..PLAIN
    },
    Known {
        names: &["llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"],
        patterns: &[patterns::CL100K],
        ignore_merges: true,
        add_bos: true,
        ..PLAIN
    },
    Known { names: &["dbrx", "smaug-bpe", "chatglm-bpe", "glm4"], patterns: &[patterns::CL100K], ..PLAIN },
    Known { names: &["qwen2", "deepseek-r1-qwen"], patterns: &[patterns::QWEN2], nfc: true, ..PLAIN },
    Known { names: &["stablelm2", "hunyuan", "megrez", "bailingmoe"], patterns: &[patterns::QWEN2], ..PLAIN },
    Known { names: &["qwen35"], patterns: &[patterns::QWEN35], nfc: true, ..PLAIN },
    Known { names: &["gpt-4o", "llama4"], patterns: &[patterns::O200K], ..PLAIN },
    Known { names: &["tekken"], patterns: &[patterns::TEKKEN], ignore_merges: true, add_bos: true, ..PLAIN },
    Known {
        names: &["deepseek-v3", "hunyuan-dense"],
        patterns: &[patterns::DIGITS_BY_THREE, patterns::CHINESE_AND_KANA, patterns::DEEPSEEK_V3],
        ..PLAIN
    },
    Known {
        names: &["deepseek-llm"],
        patterns: &[
            r"[\r\n]",
            patterns::DEEPSEEK_LLM_LETTERS,
            patterns::DEEPSEEK_LLM_MARKS,
            r"\s+$",
            patterns::CHINESE_AND_HANGUL,
            r"\p{N}+",
        ],
        ..PLAIN
    },
    Known {
        names: &["deepseek-coder"],
        patterns: &[r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", patterns::CHINESE_AND_HANGUL, NUMBER],
        ..PLAIN
    },
    Known { names: &["falcon"], patterns: &[FALCON_MARKS, GPT2, THREE_DIGITS], ..PLAIN },
    Known { names: &["seed-coder"], patterns: &[SEED_CODER], ..PLAIN },
    Known { names: &["bloom", "poro-chat", "gpt3-finnish"], patterns: &[BLOOM], ..PLAIN },
    Known { names: &["viking"], patterns: &[BLOOM, NUMBER], ..PLAIN },
];

/// The rule of a name, `None` for an unknown name.
pub(super) fn rule(pre: &str) -> Result<Option<PreRule>> {
    KNOWN.iter().find(|known| known.names.contains(&pre)).map(build).transpose()
}

/// Every rule with its first name.
pub(crate) fn rules() -> impl Iterator<Item = (&'static str, Result<PreRule>)> {
    KNOWN.iter().map(|known| (known.names[0], build(known)))
}

/// The rule for an unknown or missing name.
pub(super) fn default_rule() -> Result<PreRule> {
    build(&DEFAULT)
}

fn build(known: &Known) -> Result<PreRule> {
    let mut steps = Vec::with_capacity(known.patterns.len() + 1);
    for pattern in known.patterns {
        steps.push(Step::Split {
            pattern: Pattern::regex(*pattern)?,
            behavior: Behavior::Isolated,
            invert: false,
        });
    }
    steps.push(Step::ByteLevel { add_prefix_space: false, split: None });
    let normalizers = if known.nfc { vec![Normalizer::Unicode(Form::Nfc)] } else { Vec::new() };
    Ok(PreRule { steps, normalizers, ignore_merges: known.ignore_merges, add_bos: known.add_bos })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_name_has_one_rule_that_can_be_built() {
        let names = || KNOWN.iter().flat_map(|known| known.names.iter().copied());
        let all: BTreeSet<&str> = names().collect();
        assert_eq!(all.len(), names().count(), "a name occurs twice");
        for name in all {
            let rule = rule(name).unwrap().unwrap();
            assert!(matches!(rule.steps.last(), Some(Step::ByteLevel { .. })), "{name}");
        }
        assert!(rule("no such name").unwrap().is_none());
    }
}
