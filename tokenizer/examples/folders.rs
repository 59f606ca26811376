//! Ids and decoded texts of tokenizers in folders, for comparison with other programs.
//!
//! Every line of the standard input is a JSON list of a folder and its texts; every line of the output is a list with
//! four values for each text (its ids without and with the tokens around it, both parsing special tokens, and the
//! latter decoded with and without special tokens), or the error as a string.

use std::io::{BufRead, Write};

use glassbox_tokenizer::{EncodeOptions, Result, Special, Tokenizer};
use serde_json::{Value, json};

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let mut output = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let (folder, texts): (String, Vec<String>) = serde_json::from_str(&line?)?;
        let answer = answers(&folder, &texts).unwrap_or_else(|error| json!(error.to_string()));
        writeln!(output, "{answer}")?;
    }
    Ok(())
}

fn answers(folder: &str, texts: &[String]) -> Result<Value> {
    let tokenizer = Tokenizer::from_file(folder)?;
    let mut answers = Vec::new();
    for text in texts {
        let encode = |add_special_tokens| {
            tokenizer.encode(text, &EncodeOptions { special: Special::Parse, add_special_tokens })
        };
        let (bare, ids) = (encode(false)?, encode(true)?);
        answers.push(json!([bare, ids, tokenizer.decode(&ids, false), tokenizer.decode(&ids, true)]));
    }
    Ok(json!({"answers": answers, "bos": tokenizer.bos_id(), "eos": tokenizer.eos_id()}))
}
