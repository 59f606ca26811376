//! Times encoding: megabytes per second for each text, the best of twenty runs, one JSON object per line.
//!
//! ```sh
//! cargo run --release -p glassbox-tokenizer --example speed -- path/to/cl100k_base.tiktoken 1 text.txt other.txt
//! ```
//!
//! The tokenizer is any file that this crate opens; 1 is the number of threads. Before timing, the ids are compared
//! with those of the encoder with offsets, which is a separate implementation.

use std::error::Error;
use std::hint::black_box;
use std::num::NonZero;
use std::time::Instant;

use glassbox_tokenizer::{EncodeOptions, Tokenizer};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [tokenizer, threads, texts @ ..] = &arguments[..] else {
        return Err("usage: speed TOKENIZER THREADS TEXT...".into());
    };
    let tokenizer = Tokenizer::from_file(tokenizer)?;
    let threads: NonZero<usize> = threads.parse()?;
    let options = EncodeOptions::default();
    for path in texts {
        let text = std::fs::read_to_string(path)?;
        let ids = tokenizer.encode_on(threads, &text, &options)?;
        let expected = tokenizer.encode_with_offsets(&text, &options)?;
        if !ids.iter().eq(expected.iter().map(|token| &token.id)) {
            return Err(format!("{path}: two encoders disagree").into());
        }
        let (mut best, mut best_busy) = (f64::INFINITY, f64::INFINITY);
        for _ in 0..20 {
            let (start, busy) = (Instant::now(), busy_seconds());
            black_box(tokenizer.encode_on(threads, black_box(&text), &options)?);
            best = best.min(start.elapsed().as_secs_f64());
            best_busy =
                best_busy.min(busy_seconds().zip(busy).map_or(f64::NAN, |(after, before)| after - before));
        }
        let size = text.len() as f64 / 1e6;
        println!(
            r#"{{"file": {path:?}, "mb_per_s": {:.2}, "mb_per_busy_s": {:.2}, "tokens": {}}}"#,
            size / best,
            size / best_busy,
            ids.len()
        );
    }
    Ok(())
}

/// CPU time of this thread in seconds, on Linux. On a busy machine it is the steadier measure for a single thread.
fn busy_seconds() -> Option<f64> {
    let all = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(all.split(' ').next()?.parse::<f64>().ok()? / 1e9)
}
