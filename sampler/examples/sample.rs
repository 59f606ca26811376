//! Shows step by step how the filters narrow a small distribution, and which token is drawn.
//!
//! `cargo run -p glassbox-sampler --example sample -- 7` draws with seed 7.

use glassbox_sampler::{Sampler, SamplerConfig};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words = ["the", "a", "this", "my", "every", "banana", "zzz"];
    let logits = [4.1, 3.6, 2.9, 2.2, 1.4, -2.0, -6.0];
    let seed = std::env::args().nth(1).map_or(Ok(0), |text| text.parse())?;

    let config = SamplerConfig { seed, top_k: 5, top_p: 0.9, presence_penalty: 0.5, ..Default::default() };
    let mut sampler = Sampler::new(config)?;
    sampler.accept(0); // the text so far contains "the"

    let record = sampler.sample_recorded(&logits)?;
    println!("{:<12} {:>5} {:>8} {:>8} {:>8}  removed", "filter", "left", "removed", "changed", "entropy");
    for step in &record.steps {
        let removed: Vec<&str> =
            step.strongest_removed.iter().map(|token| words[token.id as usize]).collect();
        println!(
            "{:<12} {:>5} {:>8} {:>8} {:>8.3}  {}",
            step.filter.as_str(),
            step.kept,
            step.removed,
            step.changed,
            step.entropy,
            removed.join(" ")
        );
    }
    println!();
    for token in &record.candidates {
        let bar = "#".repeat((token.probability * 40.0).round() as usize);
        println!("{:<8} {:>6.2} %  {bar}", words[token.id as usize], 100.0 * token.probability);
    }
    println!("\nthe random number {:?} chooses {:?}", record.draw.unit, words[record.id as usize]);
    Ok(())
}
