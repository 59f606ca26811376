//! Help, and exit code 2 for wrong usage.

use crate::process::{glassbox, tiny};

const COMMANDS: [&str; 9] =
    ["generate", "chat", "predict", "tokenize", "detokenize", "neighbors", "perplexity", "inspect", "doctor"];

#[test]
fn every_command_has_help() {
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

/// The names of all commands in the overview: the indented lines above "Options:".
pub(crate) fn commands(overview: &str) -> Vec<&str> {
    let list = overview.split_once("Usage: ").expect("a usage line").1;
    let list = list.split("Options:\n").next().expect("a list of commands");
    let names = list.lines().filter(|line| line.starts_with("  "));
    names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").collect()
}

/// A command without what it needs says what is missing, and shows examples.
#[test]
fn a_missing_argument_is_answered_with_examples() {
    for command in [
        "neighbors",
        "compare",
        "compare-models",
        "verify",
        "quantize",
        "train",
        "finetune",
        "merge",
        "watch",
        "completions",
    ] {
        let ran = glassbox([command]).run();
        assert_eq!((ran.code, ran.out.len()), (2, 0), "{command}: {}", ran.err);
        let (said, examples) =
            ran.err.split_once("Examples:\n").unwrap_or_else(|| panic!("{command}: {}", ran.err));
        assert!(said.contains("not provided") && said.contains(&format!("glassbox {command} ")), "{said}");
        assert!(examples.contains(&format!("  glassbox {command} ")), "{examples}");
    }
    let ran = glassbox(["compare", "one text"]).run();
    assert!(ran.code == 2 && ran.err.contains("Examples:"), "{}", ran.err);
    glassbox(["Once upon a time"]).fails(2, &["To continue a text: glassbox generate \"Once upon a time\""]);
    let words = ["predict", "The", "capital", "of", "France", "is", "--top", "3"];
    glassbox(words).fails(2, &["Put the prompt in quotes: glassbox predict \"The capital of France is\""]);
    glassbox(["chat", "Hello"]).fails(2, &["echo \"Hello\" | glassbox chat"]);
    let ran = glassbox(["predict", "x", "--explain"]).run();
    assert!(ran.err.contains("--explain is an option of other commands: generate"), "{}", ran.err);
    assert!(!ran.err.contains("-- --explain"), "{}", ran.err);
    glassbox(["predict"]).fails(2, &["standard input is empty: give a prompt"]);
    glassbox(["watch", "no-such-run"])
        .fails(1, &["no-such-run: there is no training run here", "--preset nano"]);
    glassbox(["predict", "x", "-m", "nothing"]).fails(1, &["nothing", "glassbox doctor"]);
    // Other wrong usage is explained by clap alone.
    assert!(!glassbox(["predict", "--top", "x"]).run().err.contains("Examples"));
}

#[test]
fn help_fits_80_columns() {
    let overview = glassbox(["--help"]).text();
    let commands = commands(&overview);
    assert!(commands.len() > 20 && COMMANDS.iter().all(|command| commands.contains(command)), "{commands:?}");
    let calls = commands.iter().flat_map(|command| [vec![*command, "--help"], vec![*command, "-h"]]);
    for call in calls.chain([vec!["--help"], vec!["-h"]]) {
        let help = glassbox(&call).text();
        let widest = help.lines().max_by_key(|line| line.chars().count()).expect("some help");
        assert!(widest.chars().count() <= 80, "{call:?}: {widest}");
    }
}

#[test]
fn invalid_arguments_are_wrong_usage() {
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
