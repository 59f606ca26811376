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
    let named = glassbox([&predict[..], &["-m", "tales"]].concat()).env("GLASSBOX_MODEL", "missing");
    assert_eq!(named.json(), logits);
    assert_eq!(glassbox([&predict[..], &["--engine", "reference"]].concat()).json(), logits);
}

/// A call of each command that takes `-m`, without it. `FILE` is a text, and `OUT` a folder to write.
const CALLS: [&[&str]; 20] = [
    &["generate", "Once upon a time", "-n", "8"],
    &["predict", "Once upon a"],
    &["tokenize", "Once upon a time"],
    &["detokenize", "300"],
    &["neighbors", " king"],
    &["neighbors", "--context", "the old king"],
    &["lens", "Once upon a"],
    &["attention", "Once upon a"],
    &["neurons", "Once upon a"],
    &["attribute", "Once upon a"],
    &["matmuls", "Once upon a"],
    &["ablate", "Once upon a", "--mlps"],
    &["compare", "he wanted to be king", "the old king"],
    &["trace", "Once upon a", "--summary"],
    &["perplexity", "-f", "FILE"],
    &["inspect"],
    &["bench", "-r", "1"],
    &["finetune", "--data", "FILE", "--out", "OUT", "--steps", "1", "--batch", "1"],
    &["verify", "--reference", "TRACE"],
    &["merge", "--lora", "OUT", "--out", "MERGED"],
];

/// Commands failed without `-m`: `perplexity` and `bench` read 512 tokens at a time, the model 256.
#[test]
fn every_command_uses_it_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| arg(&folder.path().join(name));
    let tale = "Once upon a time there was a king who had three sons. ".repeat(40);
    fs::write(path("FILE"), tale).unwrap();
    glassbox(["trace", "Once upon a", "--compute", "f32", "--out", &path("TRACE")]).text();
    for call in CALLS {
        let files = ["FILE", "OUT", "TRACE", "MERGED"];
        let call: Vec<String> = (call.iter())
            .map(|word| if files.contains(word) { path(word) } else { word.to_string() })
            .collect();
        let ran = glassbox(&call).run();
        assert_eq!(ran.code, 0, "{call:?}: {}", ran.err);
        assert!(!ran.out.is_empty(), "{call:?}");
        let named = ran.err.lines().filter(|line| line.contains("tales, the built-in one; -m"));
        assert_eq!(named.count(), 1, "{call:?}: {}", ran.err);
    }
    // With -m, or a model from the environment, nothing is said.
    let quiet = glassbox(["predict", "Once upon a", "-m", &arg(&file())]).run();
    assert_eq!((quiet.code, quiet.err.as_str()), (0, ""));
    assert_eq!(glassbox(["predict", "Once upon a"]).env("GLASSBOX_MODEL", file()).run().err, "");
}

/// A command that learns to take `-m` must be in the list.
#[test]
fn the_list_has_every_command_that_takes_a_model() {
    let overview = glassbox(["--help"]).text();
    let commands = crate::usage::commands(&overview);
    let takes = |command: &&str| glassbox([*command, "--help"]).text().contains("-m, --model <MODEL>");
    for command in commands.into_iter().filter(takes) {
        let tried = command == "chat" || CALLS.iter().any(|call| call[0] == command);
        assert!(tried, "{command} takes -m; try it without");
    }
}

/// Regression: `chat` refused the built-in model, which has no chat template.
#[test]
fn a_chat_with_it_says_that_it_only_continues_documents() {
    let ran = glassbox(["chat", "-n", "12"]).stdin("Once upon a time\nAnd then?\n").run();
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("base model, which only continues documents"), "{}", ran.err);
    assert!(!ran.out.is_empty() && !String::from_utf8_lossy(&ran.out).contains("User:"));
    // A conversation longer than the context of 256 tokens goes on without its oldest turns.
    let turn = "Tell me of the king and of his three sons, and of the road that they took to the sea.\n";
    let ran = glassbox(["chat", "-n", "12"]).stdin(turn.repeat(12)).run();
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("no longer sees the oldest"), "{}", ran.err);
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
