//! `predict`: the reference's logits, and the probabilities computed from them.

use serde_json::Value;

use crate::golden::Golden;
use crate::process::{glassbox, ids, joined, tiny};

fn predict(model: &str, flags: &[&str]) -> Value {
    glassbox([&["predict", "-m", &tiny(model), "--json"], flags].concat()).json()
}

/// f32 numbers, restored exactly from their decimals.
fn numbers(value: &Value) -> Vec<f64> {
    let numbers: Vec<f32> = serde_json::from_value(value.clone()).unwrap();
    numbers.into_iter().map(f64::from).collect()
}

#[test]
fn logits_are_the_references() {
    for model in ["gpt2-plain", "llama-mqa-biased", "qwen3-tied"] {
        let golden = Golden::open(model);
        let prompt = golden.ids("long.ids");
        let all = golden.numbers("long.logits");
        let report = predict(model, &["--ids", &joined(&prompt), "--all"]);
        let logits = numbers(&report["logits"]);
        let expected = &all[all.len() - logits.len()..];
        assert_eq!(all.len(), prompt.len() * logits.len());
        for (found, &expected) in logits.iter().zip(expected) {
            let expected = f64::from(expected);
            assert!((found - expected).abs() <= 1e-4 * (1.0 + expected.abs()), "{found} and {expected}");
        }
    }
}

#[test]
fn candidates_are_the_best_in_order_and_their_probabilities_are_the_softmax() {
    for (temperature, flags) in [(1.0, vec![]), (0.5, vec!["--temp", "0.5"]), (3.0, vec!["--temp", "3"])] {
        let flags = [&["--all", "--top", "7", "The cat"], &flags[..]].concat();
        let report = predict("llama-text", &flags);
        let logits = numbers(&report["logits"]);
        assert_eq!(logits.len(), 288);
        let sum: f64 = logits.iter().map(|logit| logit.exp()).sum();
        assert!((report["logsumexp"].as_f64().unwrap() - sum.ln()).abs() < 1e-9);
        let tempered: f64 = logits.iter().map(|logit| (logit / temperature).exp()).sum();
        let mut best: Vec<usize> = (0..logits.len()).collect();
        best.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
        let candidates = report["candidates"].as_array().unwrap();
        assert_eq!(candidates.len(), 7);
        for (candidate, &id) in candidates.iter().zip(&best) {
            assert_eq!(candidate["id"], id);
            assert_eq!(candidate["logit"], report["logits"][id]);
            let prob = (logits[id] / temperature).exp() / tempered;
            assert!((candidate["prob"].as_f64().unwrap() - prob).abs() < 1e-9);
        }
    }
}

#[test]
fn json_has_token_texts_and_logits_only_with_all() {
    let report = predict("llama-text", &["--top", "288", "The cat"]);
    let keys: Vec<&String> = report.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["candidates", "ids", "logsumexp"]);
    let tokens = glassbox(["tokenize", "-m", &tiny("llama-text"), "--json", " the"]).json();
    let [id] = ids(&tokens["ids"])[..] else { panic!("` the` is one token") };
    let candidate = report["candidates"].as_array().unwrap().iter().find(|candidate| candidate["id"] == id);
    assert_eq!(candidate.unwrap()["token"], " the");
    // Without a tokenizer there is no text.
    assert_eq!(predict("llama-gqa", &["--ids", "1,2"])["candidates"][0]["token"], "");
}

#[test]
fn the_table_has_a_line_for_each_token_and_no_colour_in_a_pipe() {
    let text = glassbox(["predict", "-m", &tiny("llama-text"), "--top", "5", "The cat"]).text();
    assert_eq!(text.lines().count(), 6);
    assert!(!text.contains('\x1b') && !text.contains('█'));
    assert!(text.lines().nth(1).unwrap().contains('%'));
}

#[test]
fn special_tokens_are_text_by_default() {
    assert!(!ids(&predict("llama-text", &["<|endoftext|>"])["ids"]).contains(&0));
    assert_eq!(ids(&predict("llama-text", &["--special", "<|endoftext|>"])["ids"]), [0]);
}

#[test]
fn invalid_arguments_are_refused() {
    let model = tiny("llama-text");
    for temperature in ["0", "-1", "nan", "inf"] {
        glassbox(["predict", "-m", &model, "x", "--temp", temperature]).fails(2, &["--temp"]);
    }
    glassbox(["predict", "-m", &model, "x", "--all"]).fails(2, &["--json"]);
    glassbox(["predict", "-m", &model, "x", "--top", "0"]).fails(2, &["--top"]);
    glassbox(["predict", "-m", &model, "--ids", &joined(&[7; 129])]).fails(1, &["129", "128"]);
}
