//! Real tokenizers give the ids recorded with the reference by `scripts/tokenizer_goldens.py`.

use glassbox_tokenizer::{EncodeOptions, GgufVocab, Special, Tokenizer};
use serde_json::Value;

pub(crate) fn golden(name: &str) -> Value {
    let path = format!("{}/tests/goldens/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

pub(crate) fn tokenizer(name: &str) -> Tokenizer {
    Tokenizer::from_json(&golden(name)["tokenizer"].to_string()).unwrap()
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

fn check(name: &str, tokenizer: &Tokenizer, cases: &Value) {
    let parse = EncodeOptions { special: Special::Parse, ..EncodeOptions::default() };
    let cases = cases.as_array().unwrap();
    assert!(cases.len() > 30, "{name}: too few cases");
    for case in cases {
        let text = case["text"].as_str().unwrap();
        let expected = ids(&case["ids"]);
        let shown: String = text.chars().take(60).collect();
        assert_eq!(tokenizer.encode(text, &parse).unwrap(), expected, "{name}: {shown:?}");
        let as_text = case.get("ids_special_as_text").map_or_else(|| expected.clone(), ids);
        assert_eq!(tokenizer.encode(text, &EncodeOptions::default()).unwrap(), as_text, "{name}: {shown:?}");
        let decoded = case.get("decoded").map_or(text, |decoded| decoded.as_str().unwrap());
        assert_eq!(tokenizer.decode(&expected, false), decoded, "{name}: {shown:?}");
    }
}

#[test]
fn real_tokenizers_give_the_references_ids() {
    for name in ["gpt2", "gpt35turbo", "gpt4o", "llama3", "qwen3", "smollm2"] {
        let tokenizer = tokenizer(name);
        assert_eq!(tokenizer.warnings(), []);
        check(name, &tokenizer, &golden(name)["cases"]);
        let written = Tokenizer::from_json(&tokenizer.to_json()).unwrap();
        check(&format!("{name}, written and read"), &written, &golden(name)["cases"]);
    }
}

/// The golden's tokens at their ids, and placeholders at the ids of those that were left out.
fn gguf_vocab(golden: &Value, pre: &str) -> GgufVocab {
    let model = &golden["tokenizer"]["model"];
    let vocab: Vec<(&String, u64)> =
        model["vocab"].as_object().unwrap().iter().map(|(token, id)| (token, id.as_u64().unwrap())).collect();
    let count = vocab.iter().map(|entry| entry.1).max().unwrap() + 1;
    let mut tokens: Vec<String> = (0..count).map(|id| format!("[filler {id}]")).collect();
    let mut token_types = vec![5; tokens.len()];
    for (token, id) in vocab {
        tokens[id as usize] = token.clone();
        token_types[id as usize] = 1;
    }
    for token in golden["tokenizer"]["added_tokens"].as_array().unwrap() {
        token_types[token["id"].as_u64().unwrap() as usize] = 3;
    }
    GgufVocab {
        model: "gpt2".to_owned(),
        pre: Some(pre.to_owned()),
        tokens: tokens.into_iter().collect(),
        token_types: Some(token_types),
        merges: Some(texts(&model["merges"])),
        ..GgufVocab::default()
    }
}

#[test]
fn the_same_tokenizers_in_gguf_form_give_the_same_ids() {
    for (name, pre) in
        [("gpt2", "gpt-2"), ("llama3", "llama-bpe"), ("smollm2", "smollm"), ("gpt4o", "gpt-4o")]
    {
        let golden = golden(name);
        let tokenizer = gguf_vocab(&golden, pre).load().unwrap();
        assert_eq!(tokenizer.warnings(), []);
        check(&format!("{name} as GGUF"), &tokenizer, &golden["cases"]);
    }
}

pub(crate) fn sentence_piece() -> GgufVocab {
    let golden = golden("sentencepiece");
    GgufVocab {
        model: "llama".to_owned(),
        tokens: texts(&golden["tokens"]).into_iter().collect(),
        scores: Some(
            golden["scores"].as_array().unwrap().iter().map(|score| score.as_f64().unwrap() as f32).collect(),
        ),
        token_types: Some(ids(&golden["token_types"]).into_iter().map(|kind| kind as i32).collect()),
        unk: Some(0),
        bos: Some(1),
        eos: Some(2),
        ..GgufVocab::default()
    }
}

#[test]
fn a_sentence_piece_model_gives_the_references_ids() {
    let tokenizer = sentence_piece().load().unwrap();
    check("sentencepiece", &tokenizer, &golden("sentencepiece")["cases"]);
    let add = EncodeOptions { add_special_tokens: true, ..EncodeOptions::default() };
    let ids = tokenizer.encode("a b", &add).unwrap();
    assert_eq!((ids[0], tokenizer.bos_id(), tokenizer.eos_id()), (1, Some(1), Some(2)));
    assert_eq!(tokenizer.decode(&ids, true), "a b");
    assert_eq!(tokenizer.decode(&ids, false), "<s> a b");
}
