//! Runs `verify`: values of transformers agree, differing values are named, and the exit code says which.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/tests/fixtures").join(name)
}

fn verify(model: &str, reference: &str, arguments: &[&str]) -> Output {
    let mut process = Command::new(env!("CARGO_BIN_EXE_glassbox"));
    process.arg("verify").arg("-m").arg(fixture("tiny").join(model));
    process.arg("--reference").arg(fixture("glass").join(reference)).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn transformers_values_agree_on_directories_and_ggufs() {
    for (model, reference, values) in [
        ("gpt2-text", "gpt2-text.safetensors", 34),
        ("gguf/gpt2-text.gguf", "gpt2-text.safetensors", 34),
        ("qwen3-text", "qwen3-text.safetensors", 39),
        ("gguf/qwen3-text.gguf", "qwen3-text.safetensors", 39),
    ] {
        for engine in ["fast", "reference"] {
            let output = verify(model, reference, &["--engine", engine]);
            assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
            let lines = text(&output.stdout);
            assert_eq!(lines.matches("  agrees").count(), values, "{lines}");
            assert!(lines.contains(&format!("all {values} values agree")) && !lines.contains("departs"));
        }
        let output = verify(model, reference, &["--json"]);
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&json["agrees"], &json["first_departure"]), (&Value::Bool(true), &Value::Null));
        assert_eq!(json["activations"].as_array().unwrap().len(), values);
        assert_eq!(json["logits"]["top1_agreeing"], json["logits"]["positions"]);
    }
}

#[test]
fn a_departure_is_named_and_fails() {
    // Sums in another order never agree to the last bit.
    let output = verify("gpt2-text", "gpt2-text.safetensors", &["--tolerance", "0"]);
    let (lines, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(1));
    let first = lines.lines().find(|line| line.ends_with("departs")).unwrap();
    let first = first.split_whitespace().next().unwrap();
    assert!(lines.contains(&format!("{first} is the first that departs")), "{lines}");
    assert!(lines.contains(", expected ") && stderr.contains(first), "{lines}{stderr}");
    let output = verify("gpt2-text", "gpt2-text.safetensors", &["--tolerance", "0", "--json"]);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!((&json["agrees"], json["first_departure"].as_str()), (&Value::Bool(false), Some(first)));
}

#[test]
fn errors_name_their_cause() {
    for (model, reference, more, code, expected) in [
        ("gpt2-text", "qwen3-text.safetensors", &[][..], 1, "blocks.0.attn.rot_q"),
        ("gpt2-odd", "gpt2-text.safetensors", &[], 1, "shape"),
        ("gpt2-text", "no-such-file", &[], 1, "no-such-file"),
        ("gpt2-text", "../tiny/gpt2-text/model.safetensors", &[], 1, "no token ids"),
        ("gpt2-text", "../tiny/manifest.json", &[], 1, "manifest.json"),
        ("no-such-model", "gpt2-text.safetensors", &[], 1, "no-such-model"),
        ("gpt2-text", "gpt2-text.safetensors", &["--tolerance", "-1"], 2, "at least 0"),
        ("gpt2-text", "gpt2-text.safetensors", &["--tolerance", "nan"], 2, "at least 0"),
    ] {
        let output = verify(model, reference, more);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{model} {reference}: {stderr}");
        assert!(stderr.contains(expected) && output.stdout.is_empty(), "{model} {reference}: {stderr}");
    }
}
