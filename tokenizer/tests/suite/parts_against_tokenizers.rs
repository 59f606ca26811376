//! Every part of a tokenizer.json behaves as in Hugging Face's tokenizers.

use std::str::FromStr;

use glassbox_tokenizer::{EncodeOptions, Special, Tokenizer};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::goldens;
use crate::texts::{TEXTS, any_text};

/// A byte-level model, a SentencePiece model, and a model of plain characters with an unknown token.
fn models() -> [Value; 3] {
    let bytes = goldens::golden("gpt4o")["tokenizer"]["model"].clone();
    let sentence_piece = goldens::sentence_piece().load().unwrap().to_json();
    let sentence_piece: Value = serde_json::from_str(&sentence_piece).unwrap();
    let vocab = [
        "<unk>", "a", "b", "c", "e", "l", "o", "h", "r", "w", "d", ".", "1", "2", "he", "ll", "hell",
        "hello", "wo", "rld", "wor", "world", "l</w>", "d</w>", "ld</w>", "##l", "##ll", "中", "é", "e</w>",
        "o</w>", "llo</w>", "x", "##o", "he##", "rl",
    ];
    let ids: serde_json::Map<String, Value> =
        vocab.iter().zip(0..).map(|(token, id)| ((*token).to_owned(), json!(id))).collect();
    let merges =
        ["h e", "l l", "he ll", "hell o", "w o", "r l", "rl d", "wo rld", "wo r", "l d</w>", "ll o</w>"];
    let chars = json!({"type": "BPE", "unk_token": "<unk>", "vocab": ids, "merges": merges});
    [bytes, sentence_piece["model"].clone(), chars]
}

fn with(model: &Value, changes: Value) -> Value {
    let mut model = model.clone();
    changes.as_object().unwrap().iter().for_each(|(key, value)| model[key] = value.clone());
    model
}

fn sequence(members: &str, parts: &[Value]) -> Value {
    json!({"type": "Sequence", members: parts})
}

fn split(pattern: Value, behavior: &str, invert: bool) -> Value {
    json!({"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert})
}

fn byte_level(add_prefix_space: bool, use_regex: bool) -> Value {
    json!({"type": "ByteLevel", "add_prefix_space": add_prefix_space, "trim_offsets": true, "use_regex": use_regex})
}

fn metaspace(scheme: &str, split: bool) -> Value {
    json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": split})
}

fn replace(from: Value, to: &str) -> Value {
    json!({"type": "Replace", "pattern": from, "content": to})
}

/// Added tokens of every kind, numbered as the reference numbers them.
fn added_tokens(model: &Value) -> Value {
    let kinds = [
        json!({"content": "<s>", "special": true}),
        json!({"content": "</s>", "special": true, "normalized": true}),
        json!({"content": "<x>", "lstrip": true, "rstrip": true}),
        json!({"content": "hello", "single_word": true}),
        json!({"content": "ab", "normalized": true}),
        json!({"content": "  "}),
        json!({"content": "中\u{301}", "normalized": true}),
        json!({"content": "<|im_end|>", "special": true, "rstrip": true}),
    ];
    let mut next = model["vocab"].as_object().unwrap().len() as u64;
    let numbered = kinds.into_iter().map(|mut token| {
        for flag in ["single_word", "lstrip", "rstrip", "normalized", "special"] {
            if token.get(flag).is_none() {
                token[flag] = json!(false);
            }
        }
        let known = model["vocab"].get(token["content"].as_str().unwrap()).and_then(Value::as_u64);
        token["id"] = json!(known.unwrap_or(next));
        next += u64::from(known.is_none());
        token
    });
    Value::Array(numbered.collect())
}

fn template() -> Value {
    let special = |name: &str, ids: &[u32]| json!({"id": name, "ids": ids, "tokens": vec![name; ids.len()]});
    let part = |kind: &str, id: &str| json!({kind: {"id": id, "type_id": 0}});
    json!({
        "type": "TemplateProcessing",
        "single": [part("SpecialToken", "<s>"), part("Sequence", "A"), part("SpecialToken", "end")],
        "pair": [part("Sequence", "A"), part("Sequence", "B")],
        "special_tokens": {"<s>": special("<s>", &[1]), "end": special("end", &[2, 3])},
    })
}

struct Case {
    name: String,
    file: Value,
}

fn cases() -> Vec<Case> {
    let [bytes, pieces, chars] = models();
    let mut cases = Vec::new();
    let mut add = |name: &str, model: &Value, parts: Value| {
        let mut file = json!({"version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "model": model});
        for part in ["normalizer", "pre_tokenizer", "post_processor", "decoder"] {
            file[part] = parts.get(part).cloned().unwrap_or(Value::Null);
        }
        if parts.get("added").is_some() {
            file["added_tokens"] = added_tokens(model);
        }
        cases.push(Case { name: name.to_owned(), file });
    };
    let plain = byte_level(false, true);
    let cut = byte_level(false, false);
    let text = |text: &str| json!({"String": text});
    let regex = |regex: &str| json!({"Regex": regex});

    add("byte level", &bytes, json!({"pre_tokenizer": plain, "decoder": plain, "added": true}));
    add(
        "prefix space",
        &bytes,
        json!({"pre_tokenizer": byte_level(true, true), "decoder": plain, "added": true}),
    );
    add("uncut", &bytes, json!({"pre_tokenizer": cut, "decoder": plain}));
    for form in ["NFC", "NFD", "NFKC", "NFKD", "Lowercase"] {
        add(
            form,
            &bytes,
            json!({"normalizer": {"type": form}, "pre_tokenizer": plain, "decoder": plain, "added": true}),
        );
    }
    for (left, right) in [(true, false), (false, true), (true, true)] {
        let strip = json!({"type": "Strip", "strip_left": left, "strip_right": right});
        add(
            "strip",
            &bytes,
            json!({"normalizer": strip, "pre_tokenizer": plain, "decoder": plain, "added": true}),
        );
    }
    let rewriting =
        [replace(regex(r"\s+|l+"), "·"), json!({"type": "Prepend", "prepend": "ab"}), replace(text("a"), "")];
    let rewriting = sequence("normalizers", &rewriting);
    add(
        "replace",
        &bytes,
        json!({"normalizer": rewriting, "pre_tokenizer": plain, "decoder": plain, "added": true}),
    );
    let in_bytes = sequence("normalizers", &[json!({"type": "NFC"}), json!({"type": "ByteLevel"})]);
    let in_bytes_split = split(regex("Ġ?[a-z]+"), "Isolated", false);
    add(
        "bytes by normalizer",
        &bytes,
        json!({"normalizer": in_bytes, "pre_tokenizer": in_bytes_split, "decoder": plain}),
    );
    for behavior in ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"] {
        for invert in [false, true] {
            let both = [
                split(regex(r"\s+|[a-c]|\d"), behavior, invert),
                split(text("e"), behavior, invert),
                cut.clone(),
            ];
            add(
                behavior,
                &bytes,
                json!({"pre_tokenizer": sequence("pretokenizers", &both), "decoder": plain}),
            );
        }
    }
    for individual in [false, true] {
        let digits = json!({"type": "Digits", "individual_digits": individual});
        let before = sequence("pretokenizers", &[digits.clone(), plain.clone()]);
        add("digits", &bytes, json!({"pre_tokenizer": before, "decoder": plain}));
        // Some characters of the byte alphabet are digits.
        let after = sequence(
            "pretokenizers",
            &[plain.clone(), digits, split(regex("[0-9][0-9][0-9]"), "Isolated", false)],
        );
        add("digits of bytes", &bytes, json!({"pre_tokenizer": after, "decoder": plain, "added": true}));
    }
    let ends = split(regex(r"^[ \t]+|[a-z]+$"), "Isolated", false);
    add(
        "line ends",
        &bytes,
        json!({"pre_tokenizer": sequence("pretokenizers", &[ends, cut.clone()]), "decoder": plain}),
    );
    let roberta = json!({"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 5], "trim_offsets": true, "add_prefix_space": false});
    add("roberta", &bytes, json!({"pre_tokenizer": plain, "decoder": plain, "post_processor": roberta}));
    let whole_words = with(&bytes, json!({"ignore_merges": true}));
    add("ignore merges", &whole_words, json!({"pre_tokenizer": plain, "decoder": plain}));

    let undo = [
        replace(text("▁"), " "),
        json!({"type": "ByteFallback"}),
        json!({"type": "Fuse"}),
        json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}),
    ];
    let undo = sequence("decoders", &undo);
    let both = sequence("processors", &[byte_level(true, true), template()]);
    let llama =
        sequence("normalizers", &[json!({"type": "Prepend", "prepend": "▁"}), replace(text(" "), "▁")]);
    add(
        "llama",
        &pieces,
        json!({"normalizer": llama, "decoder": undo, "post_processor": template(), "added": true}),
    );
    for scheme in ["always", "first", "never"] {
        for split in [false, true] {
            let way = metaspace(scheme, split);
            let decoder = if split { way.clone() } else { undo.clone() };
            add(
                scheme,
                &pieces,
                json!({"pre_tokenizer": way, "decoder": decoder, "post_processor": both, "added": true}),
            );
        }
    }
    let spaces = replace(text(" "), "▁");
    let gemma = sequence(
        "decoders",
        &[replace(text("▁"), " "), json!({"type": "ByteFallback"}), json!({"type": "Fuse"})],
    );
    let merged = split(text(" "), "MergedWithPrevious", false);
    add(
        "gemma",
        &pieces,
        json!({"normalizer": spaces, "pre_tokenizer": merged, "decoder": gemma, "added": true}),
    );

    let white = json!({"type": "WhitespaceSplit"});
    add("unknown", &chars, json!({"pre_tokenizer": {"type": "Whitespace"}, "added": true}));
    add(
        "unknown fused",
        &with(&chars, json!({"fuse_unk": true})),
        json!({"pre_tokenizer": white, "added": true}),
    );
    add("unknown dropped", &with(&chars, json!({"unk_token": null})), json!({"pre_tokenizer": white}));
    let ended = json!({"type": "BPEDecoder", "suffix": "</w>"});
    let suffixed = with(&chars, json!({"end_of_word_suffix": "</w>"}));
    add("suffix", &suffixed, json!({"pre_tokenizer": {"type": "Whitespace"}, "decoder": ended}));
    let prefixed =
        json!({"continuing_subword_prefix": "##", "merges": [["he", "##ll"], ["l", "##l"], ["l", "##o"]]});
    let mut prefixed = with(&chars, prefixed);
    for (token, id) in [("hell", 16), ("lo", 90)] {
        prefixed["vocab"][token] = json!(id);
    }
    add("prefix", &prefixed, json!({"pre_tokenizer": {"type": "Whitespace"}}));
    for behavior in ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"] {
        let punctuation = json!({"type": "Punctuation", "behavior": behavior});
        add("punctuation", &chars, json!({"pre_tokenizer": punctuation}));
    }
    let sticky = sequence(
        "decoders",
        &[
            json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "never", "split": true}),
            json!({"type": "Fuse"}),
            replace(text("ll"), "L"),
            replace(text("l"), "1"),
            json!({"type": "Strip", "content": "h", "start": 1, "stop": 0}),
        ],
    );
    add("late replacing", &chars, json!({"decoder": sticky}));
    cases
}

/// Whether all characters are in the older version of Unicode that the reference's normalization and punctuation use.
fn is_old(text: &str) -> bool {
    text.chars().all(|c| matches!(c, '\0'..='\u{5ff}' | '\u{900}'..='\u{97f}' | '\u{1100}'..='\u{11ff}' | '\u{2000}'..='\u{2bff}' | '\u{3000}'..='\u{33ff}' | '一'..='龥' | '가'..='힣' | 'ﬀ'..='ﬆ' | '\u{e000}'..='\u{f8ff}'))
}

impl Case {
    fn check(
        &self,
        ours: &Tokenizer,
        oracle: &tokenizers::Tokenizer,
        text: &str,
    ) -> Result<(), TestCaseError> {
        for add_special_tokens in [false, true] {
            let options = EncodeOptions { special: Special::Parse, add_special_tokens };
            let ids = ours.encode(text, &options).unwrap();
            let expected = oracle.encode_fast(text, add_special_tokens).unwrap();
            prop_assert_eq!(&ids[..], expected.get_ids(), "{} on {:?}", &self.name, text);
            // The reference's decoder of suffixes cannot decode an empty list.
            for skip in [false, true].into_iter().filter(|_| !ids.is_empty()) {
                let expected = oracle.decode(&ids, skip).unwrap();
                prop_assert_eq!(ours.decode(&ids, skip), expected, "{} on {:?}", &self.name, text);
            }
            let tokens = ours.encode_with_offsets(text, &options).unwrap();
            prop_assert!(tokens.iter().map(|token| token.id).eq(ids.iter().copied()));
            prop_assert!(
                tokens
                    .iter()
                    .all(|token| text.get(token.range.clone()).is_some() || text.len() >= token.range.end)
            );
        }
        Ok(())
    }
}

/// Texts in which added tokens match, or nearly match.
const MARKS: &[&str] = &[
    "<s>",
    "</s>",
    "<x>",
    " <x> ",
    "hello",
    "hello world",
    "ab",
    "  ",
    "中\u{301}",
    "<|im_end|>",
    "\n",
    "a",
    "\u{301}",
    "hellohello",
    "_",
];

#[test]
fn every_part_behaves_like_the_reference() {
    for case in cases() {
        let json = case.file.to_string();
        let ours = Tokenizer::from_json(&json).unwrap_or_else(|error| panic!("{}: {error}", case.name));
        assert_eq!(ours.warnings(), [], "{}", case.name);
        let written = Tokenizer::from_json(&ours.to_json()).unwrap();
        let oracle =
            tokenizers::Tokenizer::from_str(&json).unwrap_or_else(|error| panic!("{}: {error}", case.name));
        for text in TEXTS.iter().filter(|text| is_old(text)) {
            case.check(&ours, &oracle, text).unwrap();
            case.check(&written, &oracle, text).unwrap();
        }
        let marked =
            prop::collection::vec(prop::sample::select(MARKS), 0..10).prop_map(|marks| marks.concat());
        let texts = prop_oneof![any_text().prop_filter("old Unicode", |text| is_old(text)), marked];
        let mut runner = TestRunner::new(ProptestConfig::with_cases(60));
        runner.run(&texts, |text| case.check(&ours, &oracle, &text)).unwrap();
    }
}

#[test]
fn special_tokens_can_be_left_as_text() {
    for case in cases().into_iter().filter(|case| !case.file["added_tokens"].as_array().unwrap().is_empty()) {
        let json = case.file.to_string();
        let ours = Tokenizer::from_json(&json).unwrap();
        let mut oracle = tokenizers::Tokenizer::from_str(&json).unwrap();
        oracle.set_encode_special_tokens(true);
        for text in ["<s>hello</s>", "a<x> b<|im_end|>", "<s></s>ab  ab", "hello <s> hello", "<|im_end|> x"] {
            let ids = ours.encode(text, &EncodeOptions::default()).unwrap();
            assert_eq!(ids, oracle.encode_fast(text, false).unwrap().get_ids(), "{} on {text:?}", case.name);
        }
    }
}
