//! Ablates each head of a layer in turn and prints its effect on the next token. `cargo run --release -p
//! glassbox-model --example ablate_a_head -- model.gguf "The capital of France is" 12`, with the layer last.

use std::error::Error;
use std::path::Path;

use glassbox_model::Checkpoint;
use glassbox_model::glass::{Intervention, Interventions, Part, likeliest};
use glassbox_tensor::{Level, Pool};
use glassbox_tokenizer::EncodeOptions;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let tiny = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tiny/llama-text");
    let model = arguments.next().unwrap_or_else(|| tiny.into());
    let prompt = arguments.next().unwrap_or_else(|| "The king and the queen".into());
    let layer = arguments.next().map_or(Ok(0), |layer| layer.parse())?;
    for (head, change) in run(Path::new(&model), &prompt, layer)?.into_iter().enumerate() {
        println!("without head {layer}.{head} the logit changes by {change:+.4}");
    }
    Ok(())
}

/// The change of the most likely next token's logit when a head of the layer is ablated.
fn run(path: &Path, prompt: &str, layer: usize) -> Result<Vec<f32>, Box<dyn Error>> {
    let checkpoint = Checkpoint::open(path)?;
    let tokenizer = checkpoint.tokenizer()?.ok_or("the checkpoint has no tokenizer")?;
    let model = checkpoint.run_on(Pool::new(1, Level::detect())?)?;
    let ids = tokenizer.encode(prompt, &EncodeOptions { add_special_tokens: true, ..Default::default() })?;

    let best = likeliest(model.session(ids.len()).feed(&ids)?, 1)[0];
    let change = |head| {
        let without = vec![Intervention::Ablate(Part::Head { layer, head })];
        let mut without = Interventions::new(&model.config, without)?;
        let mut session = model.session(ids.len());
        let logits = session.feed_observed(&ids, &mut without)?;
        Ok(logits[best.id as usize] - best.logit)
    };
    (0..model.config.n_heads).map(change).collect()
}

#[test]
fn every_head_makes_a_difference() {
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny/llama-text");
    let changes = run(&tiny, "The king", 1).unwrap();
    assert_eq!(changes.len(), 4);
    assert!(changes.iter().all(|&change| change != 0.0 && change.is_finite()));
    assert!(run(&tiny, "The king", 2).is_err());
}
