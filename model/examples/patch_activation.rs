//! Locates an answer in the model (activation patching): patches the last token's vector of one prompt into the run of
//! another, layer by layer: `cargo run --release -p glassbox-model --example patch_activation -- model.gguf
//! "The capital of Italy is" "The capital of France is"`.

use std::error::Error;
use std::path::Path;

use glassbox_model::Checkpoint;
use glassbox_model::glass::{Intervention, Interventions, Keep, KeptRows, likeliest};
use glassbox_model::hooks::HookPoint;
use glassbox_tensor::{Level, Pool};
use glassbox_tokenizer::EncodeOptions;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let tiny = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tiny/llama-text");
    let model = arguments.next().unwrap_or_else(|| tiny.into());
    let from = arguments.next().unwrap_or_else(|| "The king and".into());
    let into = arguments.next().unwrap_or_else(|| "A river was".into());
    for (layer, token) in run(Path::new(&model), &from, &into)?.into_iter().enumerate() {
        println!("patched as it leaves layer {layer:>2}: {token:?}");
    }
    Ok(())
}

/// The most likely token after `into`, if its last token's vector after a layer is replaced by that of `from`.
fn run(path: &Path, from: &str, into: &str) -> Result<Vec<String>, Box<dyn Error>> {
    let checkpoint = Checkpoint::open(path)?;
    let tokenizer = checkpoint.tokenizer()?.ok_or("the checkpoint has no tokenizer")?;
    let model = checkpoint.run_on(Pool::new(1, Level::detect())?)?;
    let options = EncodeOptions { add_special_tokens: true, ..Default::default() };
    let (from, into) = (tokenizer.encode(from, &options)?, tokenizer.encode(into, &options)?);

    let layers = 0..model.config.n_layers;
    let mut keep = Keep::new(layers.clone().map(|layer| (HookPoint::ResidPost, Some(layer))))?;
    model.session(from.len()).feed_observed(&from, &mut keep)?;
    let patched = |layer| {
        let point = HookPoint::ResidPost;
        let kept = keep.rows(point, Some(layer)).ok_or("nothing was kept")?;
        let values = kept.at(from.len() - 1).ok_or("the last token was not kept")?.to_vec();
        let rows = KeptRows { first_position: into.len() - 1, row_len: values.len(), values };
        let patch = vec![Intervention::Patch { point, layer: Some(layer), rows }];
        let mut patch = Interventions::new(&model.config, patch)?;
        let best = likeliest(model.session(into.len()).feed_observed(&into, &mut patch)?, 1)[0];
        Ok(tokenizer.decode(&[best.id], false))
    };
    layers.map(patched).collect()
}

#[test]
fn patched_after_the_last_layer_the_answer_is_the_others() {
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny/llama-text");
    let [patched, own] =
        ["A river was", "The king and"].map(|into| run(&tiny, "The king and", into).unwrap());
    assert_eq!((patched.len(), patched.last()), (2, own.last()));
}
