//! The speed of candle on a Llama GGUF, measured as by `glassbox bench`: a prompt of 512 tokens, then 128 single tokens
//! from an empty cache, each three times after a warm-up.
//!
//! `RAYON_NUM_THREADS=2 cargo run --release -- model.gguf` prints one JSON object per line.

use std::fs::File;
use std::time::Instant;

use candle_core::quantized::gguf_file::Content;
use candle_core::{Device, Result, Tensor};
use candle_transformers::models::quantized_llama::ModelWeights;

const PROMPT: usize = 512;
const GENERATED: usize = 128;
const REPETITIONS: usize = 3;

fn main() -> Result<()> {
    let path = std::env::args().nth(1).expect("the path of a GGUF file");
    let mut file = File::open(&path)?;
    let content = Content::read(&mut file)?;
    let mut model = ModelWeights::from_gguf(content, &mut file, &Device::Cpu)?;
    measure(&format!("pp{PROMPT}"), PROMPT, || feed(&mut model, &ids(PROMPT), 0))?;
    measure(&format!("tg{GENERATED}"), GENERATED, || {
        ids(GENERATED).iter().enumerate().try_for_each(|(position, &id)| feed(&mut model, &[id], position))
    })
}

/// Token ids that are valid in any vocabulary, the same on every run.
fn ids(count: usize) -> Vec<u32> {
    (0..count as u32).map(|i| i * 7919 % 30_000 + 10).collect()
}

/// A forward pass up to the logits of the next token. Position 0 clears the cache.
fn feed(model: &mut ModelWeights, ids: &[u32], position: usize) -> Result<()> {
    let input = Tensor::new(ids, &Device::Cpu)?.unsqueeze(0)?;
    model.forward(&input, position)?.flatten_all()?.to_vec1::<f32>().map(|_| ())
}

/// Prints the median of the repetitions.
fn measure(test: &str, tokens: usize, mut run: impl FnMut() -> Result<()>) -> Result<()> {
    run()?;
    let mut samples = Vec::new();
    for _ in 0..REPETITIONS {
        let start = Instant::now();
        run()?;
        samples.push(tokens as f64 / start.elapsed().as_secs_f64());
    }
    samples.sort_by(f64::total_cmp);
    println!("{{\"test\":\"{test}\",\"tokens_per_s\":{:.2},\"samples\":{samples:.2?}}}", samples[samples.len() / 2]);
    Ok(())
}
