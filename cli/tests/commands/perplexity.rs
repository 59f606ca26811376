//! `perplexity`: it agrees with the predictions of each scored token.

use serde_json::Value;

use crate::process::{arg, copy_of, fixture, glassbox, ids, joined, tiny};

/// The surprise at each scored token of each window, each predicted by a separate call.
fn losses(model: &str, ids: &[u32], window: usize) -> Vec<f64> {
    let mut losses = Vec::new();
    for window in ids.chunks_exact(window) {
        for scored in window.len() / 2 + 1..window.len() {
            let call = ["predict", "-m", model, "--ids", &joined(&window[..scored]), "--json", "--all"];
            let report = glassbox(call).json();
            let logit = report["logits"][window[scored] as usize].as_f64().unwrap();
            losses.push(report["logsumexp"].as_f64().unwrap() - logit);
        }
    }
    losses
}

fn check(report: &Value, losses: &[f64]) {
    let count = losses.len() as f64;
    let mean = losses.iter().sum::<f64>() / count;
    let variance = losses.iter().map(|loss| (loss - mean).powi(2)).sum::<f64>() / count;
    let error = (variance / (count - 1.0)).sqrt() * mean.exp();
    let near = |key: &str, expected: f64| {
        let found = report[key].as_f64().unwrap();
        assert!((found - expected).abs() <= 1e-7 * expected.abs(), "{key}: {found} and {expected}");
    };
    near("loss", mean);
    near("perplexity", mean.exp());
    near("standard_error", error);
    assert_eq!(report["scored"], losses.len());
}

#[test]
fn the_second_half_of_every_window_is_scored() {
    let model = tiny("llama-gqa");
    let ids: Vec<u32> = (0..27).map(|i| i * 37 % 101).collect();
    for window in [8, 5, 3] {
        let call = ["perplexity", "-m", &model, "--ids", &joined(&ids), "-c", &window.to_string(), "--json"];
        let report = glassbox(call).json();
        check(&report, &losses(&model, &ids, window));
        assert_eq!(
            (&report["windows"], &report["window"]),
            (&Value::from(27 / window), &Value::from(window))
        );
        assert_eq!(report["tokens"], 27);
    }
}

#[test]
fn a_text_is_read_from_a_file_or_standard_input() {
    let model = tiny("llama-text");
    let text = "The cat sat on the mat, and the dog lay by the door.";
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let call = ["perplexity", "-m", &model, "-c", "10", "--json"];
    let from_file = glassbox([&call[..], &["-f", &arg(file.path())]].concat()).json();
    assert_eq!(glassbox(call).stdin(text).json(), from_file);
    let tokens = ids(&glassbox(["tokenize", "-m", &model, "--json", text]).json()["ids"]);
    assert_eq!(glassbox([&call[..], &["--ids", &joined(&tokens)]].concat()).json(), from_file);
    for flags in [["-t", "1"], ["--prompt-chunk", "3"], ["--level", "scalar"]] {
        assert_eq!(glassbox([&call[..], &flags].concat()).stdin(text).json(), from_file);
    }
    let line = glassbox(&call[..5]).stdin(text).text();
    let number = format!("{:.5} ±", from_file["perplexity"].as_f64().unwrap());
    assert!(line.starts_with(&number) && line.lines().count() == 1, "{line}");
}

#[test]
fn the_beginning_of_sequence_token_begins_every_window() {
    let folder = copy_of("llama-text");
    let json = std::fs::read_to_string(fixture("tiny/llama-text/tokenizer.json")).unwrap();
    let mut json: Value = serde_json::from_str(&json).unwrap();
    json["post_processor"] = serde_json::json!({
        "type": "TemplateProcessing",
        "single": [{ "SpecialToken": { "id": "<|endoftext|>", "type_id": 0 } }, { "Sequence": { "id": "A", "type_id": 0 } }],
        "pair": [],
        "special_tokens": {
            "<|endoftext|>": { "id": "<|endoftext|>", "ids": [0], "tokens": ["<|endoftext|>"] }
        },
    });
    std::fs::write(folder.path().join("tokenizer.json"), json.to_string()).unwrap();
    let (model, text) = (arg(folder.path()), "The cat sat on the mat.");
    let mut tokens = vec![0];
    tokens.extend(ids(&glassbox(["tokenize", "-m", &model, "--json", text]).json()["ids"]));
    for window in tokens.chunks_exact_mut(6) {
        window[0] = 0;
    }
    let report = glassbox(["perplexity", "-m", &model, "-c", "6", "--json"]).stdin(text).json();
    check(&report, &losses(&model, &tokens, 6));
    assert_eq!(report["tokens"], tokens.len());
}

#[test]
fn special_tokens_are_text_by_default() {
    let model = tiny("llama-text");
    let tokens = |flags: &[&str]| {
        let call = [&["perplexity", "-m", &model, "-c", "4", "--json"], flags].concat();
        glassbox(call).stdin("the cat <|endoftext|> the").json()["tokens"].as_u64().unwrap()
    };
    assert!(tokens(&["--special"]) < tokens(&[]));
}

#[test]
fn errors_about_lengths_give_both_numbers() {
    let model = tiny("llama-gqa");
    glassbox(["perplexity", "-m", &model, "--ids", "1,2,3", "-c", "4"]).fails(1, &["3", "4"]);
    glassbox(["perplexity", "-m", &model, "--ids", "1,2,3", "-c", "512"]).fails(1, &["512", "128"]);
    glassbox(["perplexity", "-m", &model, "--ids", "1,2,3", "-c", "2"]).fails(2, &["-c", "3", "2"]);
    glassbox(["perplexity", "-m", &model, "-f", "missing.txt"]).fails(1, &["missing.txt"]);
}

/// The default window was 512 whatever the model and the text, so a context of 256 or a short text was an error.
#[test]
fn the_default_window_fits_the_model_and_the_text() {
    let long = "Once upon a time there was a king who had three sons. ".repeat(120);
    let window = |text: &str| glassbox(["perplexity", "--json"]).stdin(text).json()["window"].clone();
    assert_eq!(window(&long), 256, "the model's context");
    let short = "Once upon a time there was a king.";
    let tokens = ids(&glassbox(["tokenize", "--json", short]).json()["ids"]).len();
    assert_eq!(window(short), tokens, "the whole text");
    glassbox(["perplexity"]).stdin("king").fails(1, &["too few", "at least 3"]);
    glassbox(["perplexity", "-c", "257"]).stdin(&long).fails(1, &["257", "256"]);
    glassbox(["perplexity", "-c", "40"]).stdin(short).fails(1, &["-c"]);
}
