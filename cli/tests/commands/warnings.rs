//! Warnings about a checkpoint's files: once on stderr, and in the report of `inspect`.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::{arg, copy_of, fixture, glassbox, tiny};

/// A copy of a checkpoint with a changed JSON file.
fn changed(file: &str, change: impl FnOnce(&mut Value)) -> TempDir {
    let folder = copy_of("llama-text");
    let path = folder.path().join(file);
    let mut value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    change(&mut value);
    fs::write(path, value.to_string()).unwrap();
    folder
}

#[test]
fn a_warning_is_shown_once_by_every_command_that_runs_the_model() {
    let folder = changed("config.json", |config| config["mystery"] = json!(1));
    let model = arg(folder.path());
    for call in [
        &["predict", "the cat"][..],
        &["generate", "the cat", "-n", "1"],
        &["lens", "the cat"],
        &["attention", "the cat"],
        &["perplexity", "--ids", "1,2,3,4", "-c", "4"],
        &["trace", "the cat"],
        &["neighbors", "the"],
    ] {
        let ran = glassbox([&call[..1], &["-m", &model], &call[1..]].concat()).run();
        assert_eq!(ran.code, 0, "{call:?}: {}", ran.err);
        assert_eq!(ran.err.matches("mystery").count(), 1, "{call:?}: {}", ran.err);
        assert!(ran.err.contains("warning: ") && ran.err.contains("config.json"), "{}", ran.err);
        assert!(!String::from_utf8_lossy(&ran.out).contains("mystery"));
    }
    let out = folder.path().join("out.gguf");
    let ran = glassbox(["quantize", "--type", "f16", &model, &arg(&out)]).run();
    assert!(ran.code == 0 && ran.err.contains("mystery"), "{}", ran.err);
}

#[test]
fn inspect_reports_warnings_and_end_tokens() {
    let folder = changed("config.json", |config| config["mystery"] = json!(1));
    let model = arg(folder.path());
    let report = glassbox(["inspect", &model, "--json"]).json();
    assert!(report["warnings"][0].as_str().unwrap().contains("mystery"));
    assert_eq!(report["warnings"].as_array().unwrap().len(), 1);
    assert_eq!(report["runs"], true);
    let text = glassbox(["inspect", &model]).text();
    assert!(text.contains("warning        ") && text.contains("mystery"), "{text}");
    // The folder names token 2; token 0 ends a text by its own.
    for (name, ids, shown) in [
        ("llama-text", &[0, 2][..], "<|endoftext|> (0), \" (2)"),
        ("gguf/llama-text.gguf", &[0], "<|endoftext|> (0)"),
    ] {
        let report = glassbox(["inspect", &tiny(name), "--json"]).json();
        assert_eq!(report["warnings"], json!([]), "{name}");
        let ends = report["end_tokens"].as_array().unwrap();
        assert_eq!(ends[0], json!({"id": 0, "token": "<|endoftext|>"}), "{name}");
        assert_eq!(ends.iter().map(|end| end["id"].as_u64().unwrap()).collect::<Vec<_>>(), ids, "{name}");
        let text = glassbox(["inspect", &tiny(name)]).text();
        assert!(text.contains(&format!("end tokens     {shown}\n")), "{text}");
    }
    // Without a tokenizer there are only ids; without either there are none.
    let report = glassbox(["inspect", &tiny("llama-gqa"), "--json"]).json();
    assert_eq!(report["end_tokens"], json!([{"id": 2, "token": null}]));
}

/// A GGUF whose eos_token_id is not the end of the turn, which is common (ggml-org/llama.cpp#9606): generate and chat
/// stop at the token that is.
#[test]
fn generate_and_chat_stop_at_an_end_of_turn_that_the_file_does_not_name() {
    let folder = tempfile::tempdir().unwrap();
    let model = tiny("gguf/llama-text.gguf");
    let call = |model: &str| {
        glassbox(["generate", "-m", model, "--temp", "0", "-n", "12", "--json", "The river ran"]).json()
    };
    let ids = crate::process::ids(&call(&model)["ids"]);
    // The token that the model writes as its fourth becomes `<|eot_id|>`, byte for byte in the list of tokens.
    let file = glassbox_tensor::file::gguf::Gguf::open(fixture("tiny/gguf/llama-text.gguf")).unwrap();
    let end = ids[3] as usize;
    let metadata: Vec<_> = file
        .metadata()
        .iter()
        .map(|(key, value)| {
            use glassbox_tensor::file::gguf::{Array, Value};
            let value = match (key.as_str(), value) {
                ("tokenizer.ggml.token_type", Value::Array(list)) => {
                    let mut types: Vec<i32> =
                        list.iter().map(|kind| kind.as_integer().unwrap() as i32).collect();
                    types[end] = 3;
                    Value::Array(Array::from_i32(&types))
                }
                ("tokenizer.ggml.tokens", Value::Array(list)) => {
                    let mut texts: Vec<String> = list
                        .iter()
                        .map(|text| match text {
                            Value::String(text) => text,
                            _ => String::new(),
                        })
                        .collect();
                    texts[end] = "<|eot_id|>".to_owned();
                    Value::Array(Array::from_strings(&texts))
                }
                ("tokenizer.ggml.merges", _) => Value::Array(Array::from_strings::<&str>(&[])),
                _ => value.clone(),
            };
            (key.clone(), value)
        })
        .chain([(
            "tokenizer.chat_template".to_owned(),
            glassbox_tensor::file::gguf::Value::String("{{ messages[-1].content }}".to_owned()),
        )])
        .collect();
    let tensors: Vec<_> =
        file.tensors().iter().map(|info| (info.name.as_str(), file.tensor(&info.name).unwrap())).collect();
    let path = folder.path().join("mislabelled.gguf");
    glassbox_tensor::file::gguf::write(&path, &metadata, tensors).unwrap();
    let path = arg(&path);

    // The same prompt as ids, since the vocabulary has other merges now.
    let prompt = crate::process::ids(&call(&model)["prompt_ids"]);
    let prompt = crate::process::joined(&prompt);
    let flags = ["--temp", "0", "-n", "12", "--json", "--ids", &prompt];
    let stopped = glassbox([&["generate", "-m", &path][..], &flags].concat()).json();
    assert_eq!(crate::process::ids(&stopped["ids"]), ids[..ids.iter().position(|&id| id == ids[3]).unwrap()]);
    assert_eq!(stopped["stop_reason"], "end_of_text");
    let ignoring = glassbox([&["generate", "-m", &path, "--ignore-eos"][..], &flags].concat()).json();
    assert_eq!(crate::process::ids(&ignoring["ids"]), ids);
    let chat = glassbox(["chat", "-m", &path, "--temp", "0", "-n", "100"]).stdin("The river ran\n").run();
    assert_eq!(chat.code, 0, "{}", chat.err);
    assert!(!String::from_utf8_lossy(&chat.out).contains("<|eot_id|>"));
}
