//! `inspect`: describes supported and unsupported checkpoints.

use std::fs;

use serde_json::Value;

use crate::process::{arg, copy_of, glassbox, tiny};

fn inspect(model: &str) -> Value {
    glassbox(["inspect", &tiny(model), "--json"]).json()
}

#[test]
fn sizes_formats_and_memory_are_reported() {
    let report = inspect("llama-gqa");
    assert_eq!((&report["family"], &report["runs"]), (&Value::from("llama"), &Value::from(true)));
    let sizes = &report["sizes"];
    for (name, size) in [
        ("vocab_size", 101),
        ("context_length", 128),
        ("d_model", 36),
        ("n_layers", 2),
        ("n_heads", 6),
        ("n_kv_heads", 2),
        ("head_dim", 6),
        ("d_ff", 34),
    ] {
        assert_eq!(sizes[name], size, "{name}");
    }
    // Embedding and unembedding, two layers of q, k, v, o, gate, up, down and two norms, the final norm.
    let layer = 36 * 36 * 2 + 36 * 12 * 2 + 36 * 34 * 3 + 36 * 2;
    let parameters = 2 * 101 * 36 + 2 * layer + 36;
    assert_eq!(report["parameters"], parameters);
    assert_eq!(report["memory"]["weights_bytes"], 4 * parameters);
    assert_eq!(report["formats"][0]["share"], 1.0);
    let full = report["memory"]["cache_bytes_full_context"].as_u64().unwrap();
    // Keys and values of 2 layers and 2 heads, 6 numbers of 4 bytes each, at least.
    assert!(full >= 2 * 2 * 2 * 6 * 4 * 128, "{full}");
    let half = glassbox(["inspect", &tiny("llama-gqa"), "--json", "--kv", "f16"]).json();
    assert_eq!(half["memory"]["cache_bytes_full_context"], full / 2);
    assert_eq!(
        (&report["memory"]["cache_format"], &half["memory"]["cache_format"]),
        (&"f32".into(), &"f16".into())
    );
    assert_eq!(report["tokenizer"]["status"], "none");
    assert_eq!(report["unsupported"], serde_json::json!([]));
}

#[test]
fn a_gguf_a_folder_and_the_table_agree() {
    let [folder, gguf] = ["llama-text", "gguf/llama-text.gguf"].map(inspect);
    for key in ["family", "sizes", "parameters", "runs"] {
        assert_eq!(folder[key], gguf[key], "{key}");
    }
    assert_eq!(gguf["container"], "GGUF");
    assert_eq!(gguf["tokenizer"]["status"], "ok");
    let table = glassbox(["inspect", "-m", &tiny("llama-text")]).text();
    for word in ["llama", "n_kv_heads", "F32", "cache", "tokenizer", "chat template"] {
        assert!(table.contains(word), "{word}: {table}");
    }
    assert!(!table.contains('\x1b'));
}

#[test]
fn tensors_are_listed_with_tensors() {
    assert_eq!(inspect("llama-gqa").get("tensors"), None);
    let report = glassbox(["inspect", &tiny("llama-gqa"), "--json", "--tensors"]).json();
    let tensors = report["tensors"].as_array().unwrap();
    let embedding = tensors.iter().find(|tensor| tensor["name"] == "model.embed_tokens.weight").unwrap();
    assert_eq!(embedding["shape"], serde_json::json!([101, 36]));
    let table = glassbox(["inspect", &tiny("llama-gqa"), "--tensors"]).text();
    assert!(table.contains("model.embed_tokens.weight"));
}

#[test]
fn stored_constant_tables_are_not_parameters() {
    assert_eq!(inspect("gpt2-hub")["parameters"], inspect("gpt2-plain")["parameters"]);
}

#[test]
fn an_unsupported_family_is_described_and_named() {
    let folder = copy_of("llama-text");
    let path = folder.path().join("config.json");
    let config = fs::read_to_string(&path).unwrap();
    fs::write(&path, config.replace("\"llama\"", "\"gptj\"")).unwrap();
    let ran = glassbox(["inspect", &arg(folder.path()), "--json"]).run();
    assert_eq!(ran.code, 1);
    let report: Value = serde_json::from_slice(&ran.out).unwrap();
    assert_eq!((&report["runs"], &report["family"]), (&Value::from(false), &Value::from("gptj")));
    assert_eq!(report["parameters"], inspect("llama-text")["parameters"]);
    assert!(report["unsupported"][0].as_str().unwrap().contains("gptj"));
    assert!(ran.err.contains("gptj"), "{}", ran.err);
    let table = glassbox(["inspect", &arg(folder.path())]).run();
    assert_eq!(table.code, 1);
    assert!(String::from_utf8_lossy(&table.out).contains("unsupported"));
}

#[test]
fn files_that_are_not_models_are_an_error() {
    let folder = tempfile::tempdir().unwrap();
    glassbox(["inspect", &arg(folder.path())]).fails(1, &["config.json"]);
    let file = folder.path().join("model.gguf");
    fs::write(&file, "GGUF but not really").unwrap();
    glassbox(["inspect", &arg(&file)]).fails(1, &["model.gguf"]);
    glassbox(["inspect", "/nonexistent/model.gguf"]).fails(1, &["/nonexistent/model.gguf"]);
}

#[test]
fn tensors_that_do_not_fit_the_configuration_are_named() {
    let folder = copy_of("llama-gqa");
    let config = folder.path().join("config.json");
    let text =
        fs::read_to_string(&config).unwrap().replace("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3");
    fs::write(&config, text).unwrap();
    let ran = glassbox(["inspect", &arg(folder.path()), "--json"]).run();
    let report: Value = serde_json::from_slice(&ran.out).unwrap();
    assert_eq!((ran.code, &report["runs"]), (1, &Value::from(false)));
    let problems = report["unsupported"].to_string();
    assert!(problems.contains("model.layers.2.self_attn.q_proj.weight: missing"), "{problems}");
}
