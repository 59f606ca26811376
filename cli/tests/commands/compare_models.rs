//! `compare-models`: what fewer bits cost, for models with the same vocabulary.

use std::path::PathBuf;

use serde_json::Value;

use crate::process::{arg, fixture, glassbox, tiny};

/// A checkpoint in its own and two other formats. Dropping the folder deletes them.
fn models(model: &str) -> (tempfile::TempDir, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let mut paths = vec![tiny(model)];
    for format in ["q8_0", "q4_0"] {
        let path: PathBuf = folder.path().join(format!("tiny.{format}.gguf"));
        glassbox(["quantize", &paths[0], &arg(&path), "--type", format]).text();
        paths.push(arg(&path));
    }
    (folder, paths)
}

fn alice() -> String {
    arg(&fixture("smollm2").join("alice.txt"))
}

fn numbers(value: &Value) -> Vec<f64> {
    serde_json::from_value(value.clone()).expect("a list of numbers")
}

#[test]
fn fewer_bits_cost_more() {
    for model in ["gpt2-text", "gguf/llama-text.gguf"] {
        let (_folder, paths) = models(model);
        let text = alice();
        let flags = ["-f", &text, "-c", "32", "-n", "200", "-t", "1", "--json"];
        let call = |models: &[&str]| glassbox([&["compare-models"], models, &flags].concat()).json();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        let report = call(&paths);
        assert_eq!((&report["tokens"], &report["window"]), (&200.into(), &32.into()));
        let [first, q8, q4] = report["models"].as_array().unwrap().as_slice() else { panic!("{report}") };
        for column in [first, q8, q4] {
            for key in ["bytes", "prompt_tokens_per_second", "tokens_per_second", "perplexity"] {
                assert!(column[key].as_f64().unwrap() > 0.0, "{key}");
            }
        }
        assert!(first["mean_kl"].is_null() && first["layers"].is_null());
        let kl = |column: &Value| column["mean_kl"].as_f64().unwrap();
        assert!(0.0 < kl(q8) && kl(q8) < kl(q4), "{model}: {} and {}", kl(q8), kl(q4));
        let layers = numbers(&q8["layers"]).into_iter().zip(numbers(&q4["layers"]));
        assert_eq!(layers.len(), 2);
        assert!(layers.into_iter().all(|(q8, q4)| 0.0 < q8 && q8 < q4));
        assert!((0.0..=1.0).contains(&q4["same_top_token"].as_f64().unwrap()));
        assert!(q4["bytes"].as_u64() < q8["bytes"].as_u64());

        // The perplexity is that of the command of this name, on the windows that it reads: all of this text.
        let itself = call(&[paths[0], paths[0]]);
        assert_eq!((kl(&itself["models"][1]), &itself["models"][1]["same_top_token"]), (0.0, &1.0.into()));
        assert_eq!(itself["models"][0]["perplexity"], itself["models"][1]["perplexity"]);
    }
}

#[test]
fn the_table_has_a_column_a_model_and_a_row_a_layer() {
    let (_folder, paths) = models("llama-text");
    let text = alice();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let table = glassbox([&["compare-models"], &paths[..], &["-f", &text, "-n", "64"]].concat()).text();
    let lines: Vec<&str> = table.lines().collect();
    let headings: Vec<&str> = lines[0].split_whitespace().collect();
    assert_eq!(headings.len(), 3, "{table}");
    assert!(headings[1].ends_with("q8_0") && headings[2].ends_with("q4_0"), "{table}");
    let cells = |line: &str| line.split_whitespace().rev().take(3).map(str::to_owned).collect::<Vec<_>>();
    for words in ["MB on disk", "perplexity", "KL divergence, mean", "same top token", "single tokens"] {
        assert_eq!(lines.iter().filter(|line| line.contains(words)).count(), 1, "{words}: {table}");
    }
    // The layers follow their heading; the reference's cells are empty.
    let layers = lines.iter().position(|line| line.starts_with("relative error")).unwrap();
    assert_eq!(lines.len(), layers + 1 + 2);
    assert!(lines[layers + 1..].iter().all(|line| cells(line)[2] == "–"), "{table}");
}

#[test]
fn errors_name_their_cause() {
    let text = alice();
    let (llama, gpt2, other) = (tiny("llama-text"), tiny("gpt2-text"), tiny("llama-gqa"));
    let call = |more: &[&str]| glassbox([&["compare-models"], more].concat());
    call(&[&llama, "-f", &text]).fails(2, &["MODEL"]);
    call(&[&llama, &llama, "-f", "no-such-file"]).fails(1, &["no-such-file"]);
    call(&[&llama, "no-such-model", "-f", &text]).fails(1, &["no-such-model"]);
    call(&[&llama, &llama, "-f", &text, "-c", "1"]).fails(2, &["-c: expected at least 2"]);
    call(&[&llama, &llama, "-f", &text, "-c", "100000"]).fails(1, &["100000"]);
    call(&[&llama, &llama, "--ids", "1"]).fails(1, &["at least two"]);
    call(&[&llama, &llama, "--ids", "1,100000"]).fails(1, &["100000"]);
    call(&[&gpt2, &other, "--ids", "1,2,3"]).fails(1, &["llama-gqa", "vocab_size"]);
}
