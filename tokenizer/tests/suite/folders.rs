//! A folder is read as `AutoTokenizer.from_pretrained` of transformers 5 reads it: the goldens of
//! `scripts/tokenizer_config_goldens.py`.

use std::fs;

use glassbox_tokenizer::{EncodeOptions, Special, Tokenizer};
use serde_json::{Value, json};

use crate::goldens;

/// A folder with these files.
fn folder(files: &[(&str, &Value)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, value) in files {
        fs::write(folder.path().join(name), value.to_string()).unwrap();
    }
    folder
}

fn ids(tokenizer: &Tokenizer, text: &str, add_special_tokens: bool) -> Vec<u32> {
    tokenizer.encode(text, &EncodeOptions { special: Special::Parse, add_special_tokens }).unwrap()
}

#[test]
fn folders_give_the_ids_and_texts_of_the_reference() {
    let golden = goldens::golden("folders");
    let cases = golden["cases"].as_array().unwrap();
    assert!(cases.len() > 200, "{} folders", cases.len());
    for case in cases {
        let base = &golden["bases"][case["base"].as_str().unwrap()];
        let mut files = vec![("tokenizer.json", base)];
        files.extend(case["files"].as_object().unwrap().iter().map(|(name, value)| (name.as_str(), value)));
        let folder = folder(&files);
        let tokenizer = Tokenizer::from_file(folder.path()).unwrap_or_else(|error| panic!("{error}: {case}"));
        for (text, expected) in
            golden["texts"].as_array().unwrap().iter().zip(case["expected"]["answers"].as_array().unwrap())
        {
            let text = text.as_str().unwrap();
            let all = ids(&tokenizer, text, true);
            let found = json!([
                ids(&tokenizer, text, false),
                all,
                tokenizer.decode(&all, false),
                tokenizer.decode(&all, true)
            ]);
            assert_eq!(found, *expected, "{text:?} with {} and {}", case["base"], case["files"]);
        }
        let special = json!([tokenizer.bos_id(), tokenizer.eos_id()]);
        assert_eq!(special, json!([case["expected"]["bos"], case["expected"]["eos"]]), "{}", case["files"]);
    }
}

fn plain() -> Value {
    goldens::golden("folders")["bases"]["plain"].clone()
}

/// transformers 5.23: `tokenizer.decode` of an id that only `added_tokens_decoder` has.
#[test]
fn tokens_of_the_config_are_added_behind_the_vocabulary() {
    let config =
        json!({"added_tokens_decoder": {"900": {"content": "<new>", "special": true}}, "eos_token": "<end>"});
    let folder = folder(&[("tokenizer.json", &plain()), ("tokenizer_config.json", &config)]);
    let tokenizer = Tokenizer::from_file(folder.path()).unwrap();
    let size = plain()["model"]["vocab"].as_object().unwrap().len() as u32;
    assert_eq!(ids(&tokenizer, "<new><end>", false), [size, size + 1]);
    assert_eq!(tokenizer.eos_id(), Some(size + 1));
}

#[test]
fn two_files_with_a_config_add_the_tokens_around_a_text() {
    let config =
        json!({"tokenizer_class": "GPT2Tokenizer", "add_bos_token": true, "bos_token": "<|endoftext|>"});
    let vocab = plain()["model"]["vocab"].clone();
    let folder = folder(&[("vocab.json", &vocab), ("tokenizer_config.json", &config)]);
    let merges = plain()["model"]["merges"].as_array().unwrap().clone();
    let lines: Vec<String> = merges
        .iter()
        .map(|pair| format!("{} {}", pair[0].as_str().unwrap(), pair[1].as_str().unwrap()))
        .collect();
    fs::write(folder.path().join("merges.txt"), format!("#version: 0.2\n{}\n", lines.join("\n"))).unwrap();
    let tokenizer = Tokenizer::from_file(folder.path()).unwrap();
    let whole = Tokenizer::from_json(&plain().to_string()).unwrap();
    let expected = [&[0][..], &ids(&whole, "Hello world", false)].concat();
    assert_eq!(ids(&tokenizer, "Hello world", true), expected);
}

#[test]
fn broken_files_are_errors_that_name_them() {
    let file = plain();
    for (name, broken, says) in [
        ("tokenizer_config.json", "[]", "tokenizer_config.json"),
        ("tokenizer_config.json", "{", "tokenizer_config.json"),
        (
            "tokenizer_config.json",
            r#"{"added_tokens_decoder": {"x": {"content": "a"}}}"#,
            "added_tokens_decoder.x",
        ),
        ("tokenizer_config.json", r#"{"added_tokens_decoder": {"1": 5}}"#, "added_tokens_decoder.1"),
        ("tokenizer_config.json", r#"{"split_special_tokens": 3}"#, "split_special_tokens"),
        ("special_tokens_map.json", "nothing", "special_tokens_map.json"),
    ] {
        let folder = folder(&[("tokenizer.json", &file)]);
        fs::write(folder.path().join(name), broken).unwrap();
        let error = Tokenizer::from_file(folder.path()).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains(says), "{broken}: {error}");
    }
}
