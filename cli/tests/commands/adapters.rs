//! `--lora` and `merge` with adapters as PEFT makes them (`scripts/lora_goldens.py`), and what they warn of.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::process::{arg, glassbox, tiny};

fn adapter(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/tests/fixtures/lora").join(name)
}

/// The logits after some ids.
fn logits(model: &str, more: &[&str]) -> Vec<f64> {
    let call = ["predict", "-m", model, "--ids", "5,17,3", "--json", "--all"];
    serde_json::from_value(glassbox([&call, more].concat()).json()["logits"].clone()).unwrap()
}

/// The largest difference, relative to 1 + |b|.
fn distance(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs() / (1.0 + b.abs())).fold(0.0, f64::max)
}

/// A checkpoint without a tokenizer can be merged too; a tied vocabulary of which one side changes is no longer tied.
#[test]
fn a_merged_adapter_is_the_model_with_the_adapter() {
    let folder = tempfile::tempdir().unwrap();
    for (name, base) in [
        ("patterns", "llama-gqa"),
        ("exclude-regex", "llama-gqa"),
        ("saved-vocabulary", "llama-gqa"),
        ("gpt2-dora", "gpt2-plain"),
        ("gpt2-embeddings", "gpt2-plain"),
        ("gpt2-tied-head", "gpt2-plain"),
        ("gemma3-embedding", "gemma3_text-plain"),
        ("mixtral-router", "mixtral-plain"),
    ] {
        let (base, lora) = (tiny(base), arg(&adapter(name)));
        let out = arg(&folder.path().join(name));
        glassbox(["merge", "-m", &base, "--lora", &lora, "--out", &out]).text();
        let adapted = logits(&base, &["--lora", &lora]);
        assert!(distance(&adapted, &logits(&base, &[])) > 1e-2, "{name}");
        assert!(distance(&logits(&out, &[]), &adapted) < 1e-5, "{name}");
    }
}

/// Contributions were computed with the model's own output projection, norms and unembedding.
#[test]
fn an_attribution_adds_up_to_the_logit_with_the_adapter() {
    for (name, base) in
        [("saved-vocabulary", "llama-gqa"), ("gpt2-tied-head", "gpt2-plain"), ("gpt2-dora", "gpt2-plain")]
    {
        let (base, lora) = (tiny(base), arg(&adapter(name)));
        let json = glassbox(["attribute", "-m", &base, "--lora", &lora, "--ids", "5,17,3", "--json"]).json();
        let logits = logits(&base, &["--lora", &lora]);
        let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap();
        assert_eq!(json["id"].as_u64(), Some(best as u64), "{name}");
        let sum = json["sum"].as_f64().unwrap();
        assert!((sum - logits[best]).abs() < 1e-3, "{name}: {sum} {}", logits[best]);
    }
}

#[test]
fn what_is_not_supported_is_named_by_both() {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(adapter("layers-int")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    let path = folder.path().join("adapter_config.json");
    let mut config: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    config["something_new"] = true.into();
    // A byte order mark at the head of a file is no part of it.
    fs::write(&path, format!("\u{feff}{config}")).unwrap();
    let (base, lora) = (tiny("llama-gqa"), arg(folder.path()));
    let out = arg(&folder.path().join("out"));
    for call in [
        glassbox(["predict", "-m", &base, "--lora", &lora, "--ids", "1"]),
        glassbox(["merge", "-m", &base, "--lora", &lora, "--out", &out]),
    ] {
        let ran = call.run();
        assert!(ran.code == 0 && ran.err.contains("unknown key something_new"), "{}", ran.err);
    }
    config["init_lora_weights"] = "pissa".into();
    fs::write(&path, config.to_string()).unwrap();
    let out = arg(&folder.path().join("other"));
    glassbox(["predict", "-m", &base, "--lora", &lora, "--ids", "1"])
        .fails(1, &["init_lora_weights \"pissa\""]);
    glassbox(["merge", "-m", &base, "--lora", &lora, "--out", &out])
        .fails(1, &["init_lora_weights \"pissa\""]);
}
