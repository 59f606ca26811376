//! Help, and exit code 2 for what makes no sense.

use crate::process::{glassbox, tiny};

const COMMANDS: [&str; 9] =
    ["generate", "chat", "predict", "tokenize", "detokenize", "neighbors", "perplexity", "inspect", "doctor"];

#[test]
fn every_command_explains_itself() {
    let overview = glassbox(["--help"]).text();
    for command in COMMANDS {
        assert!(overview.contains(command), "{command}");
        let help = glassbox([command, "--help"]).text();
        assert!(
            help.contains("Usage: glassbox")
                && help.contains("--json") | (command == "detokenize") | (command == "chat")
        );
        assert!(glassbox([command, "-h"]).text().len() <= help.len());
    }
    assert!(glassbox(["--version"]).text().starts_with("glassbox "));
}

#[test]
fn nonsense_is_wrong_usage() {
    let none: [&str; 0] = [];
    assert_eq!(glassbox(none).run().code, 2);
    glassbox(["fly"]).fails(2, &["fly"]);
    for command in COMMANDS {
        glassbox([command, "--no-such-flag"]).fails(2, &["--no-such-flag"]);
    }
    let model = tiny("llama-text");
    glassbox(["generate", "-m", &model, "x", "-p", "y"]).fails(2, &["cannot be used with"]);
    glassbox(["generate", "-m", &model, "x", "--ids", "1"]).fails(2, &["cannot be used with"]);
    glassbox(["generate", "-m", &model, "x", "-n", "-1"]).fails(2, &[]);
    glassbox(["tokenize", "-m", &model, "x", "-f", "y"]).fails(2, &["cannot be used with"]);
    glassbox(["tokenize", "-m", &model, "x", "--explain", "--json"]).fails(2, &["cannot be used with"]);
}

#[test]
fn errors_are_one_sentence_with_their_cause() {
    let ran = glassbox(["generate", "-m", "/nonexistent/model.gguf", "x"]).run();
    assert_eq!(ran.code, 1);
    assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
    assert_eq!(ran.err.matches("No such file").count(), 1, "{}", ran.err);
    glassbox(["generate", "-m", &tiny("llama-text"), "-f", "missing.txt"]).fails(1, &["missing.txt"]);
}
