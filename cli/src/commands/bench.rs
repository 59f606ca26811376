//! `bench`: the speed of prompts and generation, and its share of the machine's peak.

mod report;

use std::time::Instant;

use anyhow::bail;
use clap::{Args, ValueEnum};
use glassbox_model::{Batch, Session};
use glassbox_tensor::machine;

use crate::args::{ChunkArgs, KernelArgs, ModelArgs, positive};
use crate::exit::Usage;
use crate::model_source::Source;
use crate::output::{Out, note};
use report::{Machine, Measurement};

const EXAMPLES: &str = "Examples:\n\
\x20 glassbox bench -p 512 -n 128 -t 1,2\n\
\x20 glassbox bench -p 0 -n 64 -d 8000 --output json\n\
\x20 glassbox bench -p 0 -n 64 -b 1,8";

/// Measure how fast a model reads a prompt and generates
///
/// As in llama-bench, ppP is a prompt of P random tokens, and tgN is N single tokens in sequence. Both follow a context
/// of -d tokens, which is not timed. With -b B, tgN@B is N tokens for each of B sequences generated together; all of
/// them count. Every test runs once to warm up, then -r times; the median is reported.
///
/// Each result is also given as a share of the machine's peak, measured in the same run: for a prompt, the operations
/// of its matrix products relative to the peak of the cores in f32; for generation, the bytes of weights and KV cache
/// per token relative to the memory bandwidth.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    model: ModelArgs,
    /// Prompt length in tokens, or several, separated by commas; 0 skips the test [default: 512, or as many as fit in
    /// the model's context]
    #[arg(short = 'p', long, value_name = "P", value_delimiter = ',')]
    prompt: Vec<usize>,
    /// Number of tokens to generate, or several; 0 skips the test [default: 128, or as many as fit in the model's
    /// context]
    #[arg(short = 'n', long, value_name = "N", value_delimiter = ',')]
    generate: Vec<usize>,
    /// Number of tokens already in the context, or several
    #[arg(short = 'd', long, value_name = "D", value_delimiter = ',', default_value = "0")]
    depth: Vec<usize>,
    /// Number of sequences generated together, or several
    #[arg(short, long, value_name = "B", value_delimiter = ',', default_value = "1", value_parser = positive)]
    batch: Vec<usize>,
    /// Number of threads, or several [default: one per physical core]
    #[arg(short, long, value_name = "T", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Vec<u16>,
    /// Number of timed runs of each test
    #[arg(short, long, value_name = "R", default_value_t = 5, value_parser = positive)]
    repetitions: usize,
    /// Format of the results
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t = Output::Md)]
    output: Output,
    #[command(flatten)]
    kernels: KernelArgs,
    #[command(flatten)]
    chunk: ChunkArgs,
}

/// Format of the results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Markdown table
    Md,
    /// JSON array
    Json,
    /// Comma-separated values
    Csv,
}

/// A test.
#[derive(Clone, Copy)]
enum Test {
    /// A prompt of this many tokens.
    Prompt(usize),
    /// `tokens` single tokens for each of `batch` sequences.
    Generate { tokens: usize, batch: usize },
}

impl Test {
    fn tokens(self) -> usize {
        match self {
            Test::Prompt(tokens) | Test::Generate { tokens, .. } => tokens,
        }
    }
}

pub(crate) fn run(arguments: &Arguments, out: &mut Out) -> anyhow::Result<()> {
    let source = Source::open(&arguments.model)?;
    // Every sequence of a batch needs at least one token in its context.
    let least = usize::from(arguments.batch.iter().any(|&batch| batch > 1));
    let deepest = arguments.depth.iter().copied().max().unwrap_or(0).max(least);
    let limit = source.context(None)?;
    let or_default = |given: &[usize], default: usize| match given {
        [] => vec![default.min(limit.saturating_sub(deepest)).max(1)],
        given => given.to_vec(),
    };
    let (prompts, generate) = (or_default(&arguments.prompt, 512), or_default(&arguments.generate, 128));
    let each_batch =
        |&tokens: &usize| arguments.batch.iter().map(move |&batch| Test::Generate { tokens, batch });
    let tests: Vec<Test> = (prompts.iter().map(|&n| Test::Prompt(n)))
        .chain(generate.iter().flat_map(each_batch))
        .filter(|test| test.tokens() > 0)
        .collect();
    let Some(most) = tests.iter().map(|test| test.tokens()).max() else {
        return Err(Usage("nothing to measure: -p and -n are both 0".into()).into());
    };
    let context = deepest.saturating_add(most);
    if context > limit {
        bail!("{most} tokens after {deepest} of -d exceed the model's context length of {limit} tokens");
    }
    let threads: Vec<Option<u16>> = match &arguments.threads[..] {
        [] => vec![None],
        some => some.iter().copied().map(Some).collect(),
    };
    let mut measurements = Vec::new();
    for threads in threads {
        let (model, time) = source.load_on(&arguments.kernels, threads)?;
        note(format_args!(
            "load        {:.0} ms, {} threads",
            time.as_secs_f64() * 1e3,
            model.pool.threads()
        ));
        let peak = model
            .pool
            .enter(|team| Machine { flops: machine::peak_flops(team), bytes: machine::read_bandwidth(team) });
        for &depth in &arguments.depth {
            for &test in &tests {
                let (chunk, repetitions) = (arguments.chunk.prompt_chunk, arguments.repetitions);
                let samples = match test {
                    Test::Generate { tokens, batch } if batch > 1 => {
                        let mut batch = model.batch(batch, context).with_chunk(chunk);
                        measure_batch(&mut batch, model.config.vocab_size, depth, tokens, repetitions)?
                    }
                    _ => {
                        let mut session = model.session(context).with_chunk(chunk);
                        measure(&mut session, depth, test, repetitions)?
                    }
                };
                let measurement = Measurement::new(&source, &model, depth, test, samples, &peak);
                note(&measurement);
                measurements.push(measurement);
            }
        }
    }
    report::write(&measurements, arguments.output, out)
}

/// Tokens per second of each repetition.
fn measure(session: &mut Session, depth: usize, test: Test, repetitions: usize) -> anyhow::Result<Vec<f64>> {
    let mut random = Random { state: 1, below: session.model().config.vocab_size };
    if depth > 0 {
        session.feed(&random.ids(depth))?;
    }
    let mut samples = Vec::with_capacity(repetitions);
    for repetition in 0..=repetitions {
        session.truncate(depth);
        let ids = random.ids(test.tokens());
        let start = Instant::now();
        match test {
            Test::Prompt(_) => drop(session.feed(&ids)?),
            Test::Generate { .. } => {
                for id in &ids {
                    session.feed(std::slice::from_ref(id))?;
                }
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        // The first run is the warm-up.
        if repetition > 0 {
            samples.push(ids.len() as f64 / seconds);
        }
    }
    Ok(samples)
}

/// Tokens per second of each repetition, summed over the sequences of a batch. A sequence needs at least one token of
/// context, so a depth of 0 becomes 1.
fn measure_batch(
    batch: &mut Batch,
    vocab_size: usize,
    depth: usize,
    tokens: usize,
    repetitions: usize,
) -> anyhow::Result<Vec<f64>> {
    let mut random = Random { state: 1, below: vocab_size };
    let (depth, mut slots) = (depth.max(1), Vec::new());
    while batch.free() > 0 {
        slots.push(batch.add(&random.ids(depth))?.slot);
    }
    let mut samples = Vec::with_capacity(repetitions);
    for repetition in 0..=repetitions {
        slots.iter().try_for_each(|&slot| batch.truncate(slot, depth))?;
        let ids = random.ids(tokens * slots.len());
        let start = Instant::now();
        for ids in ids.chunks_exact(slots.len()) {
            let next: Vec<_> = slots.iter().copied().zip(ids.chunks(1)).collect();
            let _scores = batch.step(&next)?;
        }
        let seconds = start.elapsed().as_secs_f64();
        // The first run is the warm-up.
        if repetition > 0 {
            samples.push(ids.len() as f64 / seconds);
        }
    }
    Ok(samples)
}

/// Token ids drawn by splitmix64; any varied ids will do.
struct Random {
    state: u64,
    below: usize,
}

impl Random {
    fn ids(&mut self, count: usize) -> Vec<u32> {
        let mut next = || {
            self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (self.state ^ self.state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ z >> 31) % self.below as u64) as u32
        };
        (0..count).map(|_| next()).collect()
    }
}
