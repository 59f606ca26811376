//! A byte order mark at the head of a text file is no part of its text: The Unicode Standard, section 23.8.

use std::fs;

use crate::process::{arg, copy_of, glassbox};

#[test]
fn files_and_input_with_a_byte_order_mark_are_as_without() {
    let folder = tempfile::tempdir().unwrap();
    let model = copy_of("llama-text");
    let model_name = arg(model.path());
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        arg(&path)
    };
    let text = "The river ran past the mill.";
    let marked = format!("\u{feff}{text}");
    let (without, with) = (write("without.txt", text), write("with.txt", &marked));
    for command in ["tokenize", "generate", "predict"] {
        let more: &[&str] = if command == "generate" { &["-n", "3", "--temp", "0"] } else { &[] };
        let run = |file: &str| glassbox([&[command, "-m", &model_name, "-f", file], more].concat()).text();
        assert_eq!(run(&with), run(&without), "{command}");
        let piped = |text: &str| glassbox([&[command, "-m", &model_name], more].concat()).stdin(text).text();
        assert_eq!(piped(&marked), run(&without), "{command}");
    }
    let perplexity = |file: &str| glassbox(["perplexity", "-m", &model_name, "-f", file, "--json"]).json();
    assert_eq!(perplexity(&with)["tokens"], perplexity(&without)["tokens"]);
    let lines = |text: &str| {
        glassbox(["generate", "-m", &model_name, "--json-lines", "-n", "2", "--temp", "0"]).stdin(text).text()
    };
    let prompt = "{\"prompt\": \"The\"}\n";
    assert_eq!(lines(&format!("\u{feff}{prompt}")), lines(prompt));

    let tokens = |file: &str| glassbox(["tokenize", "-m", &model_name, "-f", file]).text();
    let expected = tokens(&without);
    for name in ["tokenizer.json", "tokenizer_config.json", "config.json"] {
        let path = model.path().join(name);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("\u{feff}{text}")).unwrap();
    }
    assert_eq!(tokens(&without), expected);
}
