//! Completes a text greedily: `cargo run --release -p glassbox-model --example
//! complete -- model.gguf "Once upon a time"`.

use std::convert::Infallible;
use std::error::Error;
use std::io::Write;

use glassbox_model::{Checkpoint, Generation};
use glassbox_tensor::{Level, Pool};
use glassbox_tokenizer::EncodeOptions;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(path), Some(prompt)) = (arguments.next(), arguments.next()) else {
        return Err("usage: complete MODEL PROMPT".into());
    };
    let checkpoint = Checkpoint::open(&path)?;
    let tokenizer = checkpoint.tokenizer()?.ok_or("the checkpoint has no tokenizer")?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let model = checkpoint.run_on(Pool::new(threads, Level::detect())?)?;

    let options = EncodeOptions { add_special_tokens: true, ..EncodeOptions::default() };
    let ids = tokenizer.encode(&prompt, &options)?;
    let mut session = model.session(1024);
    let likeliest = |logits: &[f32]| {
        let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]));
        Ok::<_, Infallible>(best.unwrap_or(0) as u32)
    };
    let ends = checkpoint.end_ids(Some(&tokenizer));
    let mut text = tokenizer.stream(true);
    print!("{prompt}");
    for id in Generation::new(&mut session, &ids, 60, &ends, likeliest)? {
        print!("{}", text.push(id?));
        std::io::stdout().flush()?;
    }
    println!("{}", text.finish());
    Ok(())
}
