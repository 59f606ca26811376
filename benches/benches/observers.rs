//! The cost of observers: single tokens without an observer, with one that wants no values, and with one that writes
//! every value to a file.
//!
//! `GLASSBOX_SMOLLM2=$(scripts/fetch-smollm2.sh) cargo bench -p glassbox-benches --bench observers`
//!
//! The three take turns token by token, in rotating order, so that other load on the machine affects all of them
//! equally. Reported is the median of the ratios over the repetitions.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::time::{Duration, Instant};

use glassbox_benches::pool;
use glassbox_model::hooks::{HookPoint, Observed, Observer};
use glassbox_model::{Checkpoint, Runtime, Session};

/// Tokens generated in each repetition, as in `tg128`.
const TOKENS: usize = 128;
const REPETITIONS: usize = 9;

/// Wants no values: the machine code should be as without it.
struct Empty;

impl Observer for Empty {
    fn wants(&self, _: HookPoint, _: Option<usize>) -> bool {
        false
    }
    fn see(&mut self, _: Observed<'_>) {}
}

/// Writes every value to a file.
struct Writing {
    file: BufWriter<File>,
    bytes: Vec<u8>,
    written: usize,
}

impl Observer for Writing {
    fn wants(&self, _: HookPoint, _: Option<usize>) -> bool {
        true
    }
    fn see(&mut self, observed: Observed<'_>) {
        self.bytes.clear();
        self.bytes.extend(observed.values.iter().flat_map(|value| value.to_le_bytes()));
        self.file.write_all(&self.bytes).expect("the trace fits on the disk");
        self.written += self.bytes.len();
    }
}

/// The variants, in the order of the results.
const VARIANTS: [&str; 3] = ["no observer", "wants no values", "writes all values"];

fn main() {
    let Some(path) = std::env::var_os("GLASSBOX_SMOLLM2") else {
        eprintln!("skipped: set GLASSBOX_SMOLLM2 to the file that scripts/fetch-smollm2.sh prints");
        return;
    };
    // `cargo test --benches` only checks that it runs.
    let (tokens, repetitions) =
        if std::env::args().any(|a| a == "--bench") { (TOKENS, REPETITIONS) } else { (2, 1) };
    let model = Checkpoint::open(path).and_then(|checkpoint| checkpoint.run_on(pool())).expect("a model");
    let trace = std::env::temp_dir().join(format!("glassbox-observers-{}", std::process::id()));
    let mut runs = Vec::new();
    // The first repetition is the warm-up.
    for repetition in 0..=repetitions {
        let file =
            BufWriter::with_capacity(1 << 20, File::create(&trace).expect("a file in the temporary folder"));
        let mut writing = Writing { file, bytes: Vec::new(), written: 0 };
        let times = take_turns(&model, tokens, &mut writing);
        if repetition > 0 {
            runs.push(times);
        }
        if repetition == repetitions {
            println!("the trace has {:.1} MB per token", writing.written as f64 / 1e6 / tokens as f64);
        }
    }
    let _ = std::fs::remove_file(&trace);
    for (variant, name) in VARIANTS.iter().enumerate() {
        let speed = median(runs.iter().map(|times| tokens as f64 / times[variant].as_secs_f64()));
        let ratio = median(runs.iter().map(|times| times[0].as_secs_f64() / times[variant].as_secs_f64()));
        println!("{name:<24}{speed:>8.1} tokens/s{ratio:>8.3} of the speed without observer");
    }
}

/// The time of each variant for the same tokens. Panics unless all compute the same bits.
fn take_turns(model: &Runtime, tokens: usize, writing: &mut Writing) -> [Duration; 3] {
    let mut sessions: [Session; 3] = std::array::from_fn(|_| model.session(tokens));
    let mut times = [Duration::ZERO; 3];
    for token in 0..tokens {
        let id = [(token * 7919 % model.config.vocab_size) as u32];
        for turn in 0..3 {
            let variant = (token + turn) % 3;
            let session = &mut sessions[variant];
            let start = Instant::now();
            let logits = match variant {
                0 => session.feed(&id),
                1 => session.feed_observed(&id, &mut Empty),
                _ => session.feed_observed(&id, writing),
            };
            logits.expect("a token");
            times[variant] += start.elapsed();
        }
    }
    let end = [0; 1];
    let [unobserved, empty, written] = sessions.each_mut().map(|session| {
        session.truncate(tokens - 1);
        session.feed(&end).expect("a token").to_vec()
    });
    assert!(unobserved == empty && unobserved == written, "an observer changed the logits");
    times
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
