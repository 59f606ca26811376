//! Prints one head's attention over a text: `cargo run --release -p glassbox-model --example print_attention --
//! model.gguf "one two one two" 0 1`, with the layer and the head last.

use std::error::Error;
use std::path::Path;

use glassbox_model::Checkpoint;
use glassbox_model::glass::AttentionPattern;
use glassbox_tensor::{Level, Pool};
use glassbox_tokenizer::EncodeOptions;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let tiny = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tiny/llama-text");
    let model = arguments.next().unwrap_or_else(|| tiny.into());
    let prompt = arguments.next().unwrap_or_else(|| "The king and the queen".into());
    let layer = arguments.next().map_or(Ok(0), |layer| layer.parse())?;
    let head = arguments.next().map_or(Ok(0), |head| head.parse())?;
    print!("{}", run(Path::new(&model), &prompt, layer, head)?);
    Ok(())
}

/// A line for each token: its attention weights on each token up to itself, in percent.
fn run(path: &Path, prompt: &str, layer: usize, head: usize) -> Result<String, Box<dyn Error>> {
    let checkpoint = Checkpoint::open(path)?;
    let tokenizer = checkpoint.tokenizer()?.ok_or("the checkpoint has no tokenizer")?;
    let model = checkpoint.run_on(Pool::new(1, Level::detect())?)?;
    let ids = tokenizer.encode(prompt, &EncodeOptions { add_special_tokens: true, ..Default::default() })?;

    let pattern = AttentionPattern::of(&model, &ids, layer, head)?;
    let mut lines = String::new();
    for (query, &id) in ids.iter().enumerate() {
        let weights = pattern.row(query).iter().map(|weight| format!("{:4.0}", weight * 100.0));
        let token = format!("{:?}", tokenizer.decode(&[id], false));
        lines.push_str(&format!("{token:>12} {}\n", weights.collect::<String>()));
    }
    Ok(lines)
}

#[test]
fn every_token_shares_out_its_whole_look() {
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny/llama-text");
    let text = run(&tiny, "The king", 1, 3).unwrap();
    let first = text.lines().next().unwrap();
    assert!(first.ends_with(" 100"), "the first token can attend only to itself: {first}");
    assert!(run(&tiny, "The king", 1, 4).is_err());
}
