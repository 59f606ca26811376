//! `quantize`: its output runs, its errors name their cause, and a failed call leaves no files.

use std::fs;

use serde_json::Value;

use crate::process::{arg, glassbox, tiny};

#[test]
fn an_f32_copy_generates_the_same_text() {
    let folder = tempfile::tempdir().unwrap();
    for model in ["gpt2-text", "gguf/gpt2-text.gguf", "llama-text", "gguf/llama-text.gguf"] {
        let out = folder.path().join("out.gguf");
        let table = glassbox(["quantize", &tiny(model), &arg(&out), "--type", "f32"]).text();
        assert!(table.starts_with("tensor") && table.contains("F32 → F32"), "{table}");
        let generate =
            |model: &str| glassbox(["generate", "-m", model, "The river", "--temp", "0", "-n", "8"]).text();
        assert_eq!(generate(&arg(&out)), generate(&tiny(model)), "{model}");
    }
}

#[test]
fn a_dry_run_reports_the_plan_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.gguf");
    let call = |more: &[&str]| {
        let (model, out) = (tiny("llama-text"), arg(&out));
        let first = ["quantize", &model, &out, "--type", "Q4_K_M", "--json"];
        glassbox(first.into_iter().chain(more.iter().copied())).json()
    };
    let planned = call(&["--dry-run"]);
    assert!(!out.exists());
    assert_eq!(planned, call(&[]));
    let written = fs::metadata(&out).unwrap().len();
    assert!(planned["bytes"].as_u64().unwrap() < written);
    assert_eq!(planned["type"], "q4_k");
    let tensors = planned["tensors"].as_array().unwrap();
    let row = |name: &str| tensors.iter().find(|row| row["name"] == name).unwrap();
    assert_eq!(row("output_norm.weight")["to"], "F32");
    assert_eq!(row("blk.0.attn_q.weight")["to"], "Q5_0");
    assert_eq!(
        row("blk.0.attn_q.weight")["reason"],
        "row length is not a multiple of 256, which Q4_K requires"
    );
    let inspected = glassbox(["inspect", &arg(&out), "--json"]).json();
    assert_eq!(inspected["runs"], Value::from(true));
}

#[test]
fn errors_name_their_cause() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("model.gguf");
    fs::copy(tiny("gguf/llama-text.gguf"), &copy).unwrap();
    let before = fs::read(&copy).unwrap();
    let (copied, odd) = (arg(&copy), tiny("gpt2-odd"));
    for (input, output, kind, code, expected) in [
        (&*copied, &*copied, "q8_0", 2, "the same file"),
        (&copied, "out.gguf", "q3_k", 2, "unknown type"),
        ("no-such-model", "out.gguf", "q8_0", 1, "no-such-model"),
        (&copied, "/no/such/folder/out.gguf", "q8_0", 1, "/no/such/folder/out.gguf"),
        (&odd, "out.gguf", "q8_0", 1, "activation function"),
    ] {
        let ran = glassbox(["quantize", input, output, "--type", kind]).run();
        assert!(ran.code == code && ran.err.contains(expected), "{} {}", ran.code, ran.err);
        assert!(ran.out.is_empty());
    }
    assert_eq!(fs::read(&copy).unwrap(), before);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}
