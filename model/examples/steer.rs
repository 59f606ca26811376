//! Steers generation: adds the difference between the vectors of two words after the text, times a strength, to the
//! residual stream. `cargo run --release -p glassbox-model --example steer -- model.gguf "The movie was" " good" " bad"
//! 0.5`.

use std::error::Error;
use std::path::Path;

use glassbox_model::glass::{Intervention, Interventions, Keep, likeliest};
use glassbox_model::hooks::HookPoint;
use glassbox_model::{Checkpoint, Runtime};
use glassbox_tensor::{Level, Pool};
use glassbox_tokenizer::EncodeOptions;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let tiny = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tiny/llama-text");
    let model = arguments.next().unwrap_or_else(|| tiny.into());
    let mut word = |otherwise: &str| arguments.next().unwrap_or_else(|| otherwise.into());
    let (prompt, towards, away) = (word("The king and"), word(" queen"), word(" river"));
    println!("{}", run(Path::new(&model), &prompt, [&towards, &away], word("1").parse()?)?);
    Ok(())
}

/// Generates forty greedy tokens, with the prompt and every token steered in the middle layer.
fn run(path: &Path, prompt: &str, words: [&str; 2], strength: f32) -> Result<String, Box<dyn Error>> {
    let checkpoint = Checkpoint::open(path)?;
    let tokenizer = checkpoint.tokenizer()?.ok_or("the checkpoint has no tokenizer")?;
    let model = checkpoint.run_on(Pool::new(1, Level::detect())?)?;
    let options = EncodeOptions { add_special_tokens: true, ..Default::default() };
    let encode = |word| tokenizer.encode(&format!("{prompt}{word}"), &options);
    let layer = model.config.n_layers / 2;
    let [towards, away] =
        [stream(&model, &encode(words[0])?, layer)?, stream(&model, &encode(words[1])?, layer)?];
    let vector = towards.iter().zip(&away).map(|(towards, away)| strength * (towards - away)).collect();
    let steer = vec![Intervention::Steer { layer, positions: 1..usize::MAX, vector }];
    let mut steer = Interventions::new(&model.config, steer)?;
    let mut session = model.session(usize::MAX);
    let (mut text, mut next) = (Vec::new(), encode("")?);
    for _ in 0..40 {
        next = vec![likeliest(session.feed_observed(&next, &mut steer)?, 1)[0].id];
        text.extend_from_slice(&next);
    }
    Ok(tokenizer.decode(&text, true))
}

/// The last token's vector as it enters a layer.
fn stream(model: &Runtime, ids: &[u32], layer: usize) -> Result<Vec<f32>, Box<dyn Error>> {
    let mut keep = Keep::new([(HookPoint::ResidPre, Some(layer))])?;
    model.session(ids.len()).feed_observed(ids, &mut keep)?;
    let rows =
        keep.rows(HookPoint::ResidPre, Some(layer)).and_then(|rows| rows.at(ids.len().checked_sub(1)?));
    Ok(rows.ok_or("the text is empty")?.to_vec())
}

#[test]
fn a_text_is_steered() {
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny/llama-text");
    let [plain, steered] = [0.0, 4.0].map(|by| run(&tiny, "The king", [" queen", " river"], by).unwrap());
    assert_ne!(plain, steered);
}
