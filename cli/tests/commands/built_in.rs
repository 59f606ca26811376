//! The built-in model: every command uses it when no other model is given.

use std::fs;
use std::path::{Path, PathBuf};

use crate::process::{arg, glassbox};

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/tales.gguf")
}

#[test]
fn it_generates_without_any_file() {
    let text = glassbox(["generate", "Once upon a time", "-n", "24", "--seed", "3"]).text();
    let words = text.split_whitespace().filter(|word| word.chars().any(char::is_alphabetic));
    assert!(words.count() > 8, "{text:?}");
    let predict = ["predict", "Once upon a", "--json", "--all"];
    let logits = glassbox(predict).json();
    assert_eq!(logits["candidates"][0]["token"], " time", "the usual beginning of a tale");
    let path = arg(&file());
    assert_eq!(
        glassbox([&predict[..], &["-m", &path]].concat()).json(),
        logits,
        "the same logits as from its file"
    );
    assert_eq!(glassbox([&predict[..], &["--engine", "reference"]].concat()).json(), logits);
}

#[test]
fn every_command_uses_it() {
    for call in [
        &["tokenize", "Once upon a time"][..],
        &["detokenize", "300"],
        &["neighbors", " king"],
        &["lens", "Once upon a"],
        &["attention", "Once upon a"],
        &["attribute", "Once upon a"],
        &["compare", "the king", "the queen"],
        &["trace", "Once upon a", "--summary"],
        &["inspect"],
    ] {
        assert!(!glassbox(call).text().is_empty(), "{call:?}");
    }
    glassbox(["chat"]).stdin("Hello\n").fails(1, &["built-in model", "no chat template"]);
}

#[test]
fn it_is_small_and_described() {
    assert!(fs::metadata(file()).unwrap().len() <= 8_000_000);
    let report = glassbox(["inspect", "--json"]).json();
    assert_eq!(report["family"], "gpt2");
    assert_eq!(report["path"], "tales (built-in model)");
    let formats = report["formats"].as_array().unwrap();
    assert_eq!(formats[0]["format"], "Q8_0");
    assert!(formats[0]["share"].as_f64().unwrap() > 0.9);
}
