//! `bench`: how fast a model reads a prompt and writes tokens, beside what the machine allows.

mod report;

use std::time::Instant;

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
/// As llama-bench does: ppP is a prompt of P random tokens, tgN is N single tokens one after the other, each after a
/// context of -d tokens, which is not timed. With -b B, tgN@B is N tokens of each of B texts side by side, all of them
/// counted. Every test is run once to warm up, then -r times; the median counts.
///
/// Beside each stands the part of the machine's own peak, measured in the same run: for a prompt the multiply-adds of its
/// matrix products against the best the cores can do with f32, for generation the bytes of weights and cache that a token
/// needs against what memory delivers.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    model: ModelArgs,
    /// Tokens of the prompt, or several numbers with commas between them; 0 for no such test
    #[arg(short = 'p', long, value_name = "P", value_delimiter = ',', default_value = "512")]
    prompt: Vec<usize>,
    /// Tokens to generate, or several numbers; 0 for no such test
    #[arg(short = 'n', long, value_name = "N", value_delimiter = ',', default_value = "128")]
    generate: Vec<usize>,
    /// Tokens already in the context, or several numbers
    #[arg(short = 'd', long, value_name = "D", value_delimiter = ',', default_value = "0")]
    depth: Vec<usize>,
    /// Texts to generate side by side, or several numbers
    #[arg(short, long, value_name = "B", value_delimiter = ',', default_value = "1", value_parser = positive)]
    batch: Vec<usize>,
    /// Threads, or several numbers [default: one a physical core]
    #[arg(short, long, value_name = "T", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Vec<u16>,
    /// How often each test is measured
    #[arg(short, long, value_name = "R", default_value_t = 5, value_parser = positive)]
    repetitions: usize,
    /// How the results are written
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t = Output::Md)]
    output: Output,
    #[command(flatten)]
    kernels: KernelArgs,
    #[command(flatten)]
    chunk: ChunkArgs,
}

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// A table in Markdown
    Md,
    /// A list of JSON objects
    Json,
    /// Comma-separated values
    Csv,
}

/// What is measured.
#[derive(Clone, Copy)]
enum Test {
    /// A prompt of so many tokens.
    Prompt(usize),
    /// So many single tokens of each of so many texts.
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
    let generate = |&tokens: &usize| {
        arguments.batch.iter().map(move |&batch| Test::Generate { tokens, batch }).collect::<Vec<_>>()
    };
    let tests: Vec<Test> = (arguments.prompt.iter().map(|&n| Test::Prompt(n)))
        .chain(arguments.generate.iter().flat_map(generate))
        .filter(|test| test.tokens() > 0)
        .collect();
    if tests.is_empty() {
        return Err(Usage("there is nothing to measure: -p and -n are both 0".into()).into());
    }
    let source = Source::open(&arguments.model)?;
    // A text of a batch begins with a token of its own.
    let least = usize::from(arguments.batch.iter().any(|&batch| batch > 1));
    let deepest = arguments.depth.iter().copied().max().unwrap_or(0).max(least);
    let longest = deepest + tests.iter().map(|t| t.tokens()).max().unwrap_or(0);
    let context = source.context(Some(longest))?;
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

/// Tokens a second of each repetition.
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
        // The first time is to warm up.
        if repetition > 0 {
            samples.push(ids.len() as f64 / seconds);
        }
    }
    Ok(samples)
}

/// Tokens a second of each repetition, those of all texts of a batch counted. A text needs a token to begin with, which
/// stands in for a depth of 0.
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
        // The first time is to warm up.
        if repetition > 0 {
            samples.push(ids.len() as f64 / seconds);
        }
    }
    Ok(samples)
}

/// Token ids drawn by splitmix64: which ones does not matter, only that they are not all the same.
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
