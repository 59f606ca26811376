//! Prints the model's prediction after each layer (logit lens): `cargo run --release -p glassbox-model --example
//! logit_lens -- model.gguf "The capital of France is"`.

use std::error::Error;
use std::path::Path;

use glassbox_model::Checkpoint;
use glassbox_model::glass::{LensOptions, lens};
use glassbox_tensor::{Level, Pool};
use glassbox_tokenizer::EncodeOptions;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let tiny = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tiny/llama-text");
    let model = arguments.next().unwrap_or_else(|| tiny.into());
    let prompt = arguments.next().unwrap_or_else(|| "The king and the queen".into());
    for (layer, (token, probability)) in run(Path::new(&model), &prompt)?.into_iter().enumerate() {
        println!("{layer:>3}  {:6.2} %  {token:?}", probability * 100.0);
    }
    Ok(())
}

/// The most likely next token after each layer, at the last token of the prompt.
fn run(path: &Path, prompt: &str) -> Result<Vec<(String, f64)>, Box<dyn Error>> {
    let checkpoint = Checkpoint::open(path)?;
    let tokenizer = checkpoint.tokenizer()?.ok_or("the checkpoint has no tokenizer")?;
    let model = checkpoint.run_on(Pool::new(1, Level::detect())?)?;
    let ids = tokenizer.encode(prompt, &EncodeOptions { add_special_tokens: true, ..Default::default() })?;

    let last = ids.len().saturating_sub(1);
    let options = LensOptions { positions: Some(last..ids.len()), ..LensOptions::default() };
    let layers = lens(&model, &ids, &options)?;
    let likeliest = layers.iter().flat_map(|layer| layer.readings.iter().flatten());
    Ok(likeliest.map(|candidate| (tokenizer.decode(&[candidate.id], false), candidate.probability)).collect())
}

#[test]
fn a_reading_for_each_layer() {
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny/llama-text");
    let readings = run(&tiny, "The king").unwrap();
    assert_eq!(readings.len(), 2);
    assert!(readings.iter().all(|(_, probability)| (0.0..=1.0).contains(probability)));
}
