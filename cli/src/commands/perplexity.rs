//! `perplexity`: how well a model predicts a text, by llama.cpp's method.

use std::num::NonZero;
use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use glassbox_model::{Runtime, Session};
use glassbox_tokenizer::{EncodeOptions, Special, TemplatePart, Tokenizer};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::predict::logsumexp;
use crate::args::{ChunkArgs, Ids, MachineArgs, ModelArgs};
use crate::exit::Usage;
use crate::interventions::InterventionArgs;
use crate::model_source::Source;
use crate::not_finite;
use crate::output::{Out, note};
use crate::prompt::{read_file, read_stdin, special};

const EXAMPLES: &str = "Examples:\n\
\x20 glassbox perplexity -f book.txt -c 512\n\
\x20 glassbox perplexity -f book.txt --without \"head 3.1, 3.2\"";

/// Measure how well a model predicts a text (perplexity)
///
/// Perplexity is the exponential of the mean surprise: a model with perplexity 20 is as uncertain about each token as
/// if it chose among 20 equally likely ones. As in llama.cpp, the text is split into windows of -c tokens that do not
/// overlap. Each window is read with an empty context, and only the tokens of its second half are scored, so that each
/// has at least half a window of context. If the model begins every text with a special token, that token replaces the
/// first one of each window. An incomplete last window is not used. With --without, --steer or --patch, the
/// perplexities of the model and of the changed one are written; positions in them are those in each window.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    model: ModelArgs,
    /// Read the text from a file; without it, the text is read from standard input
    #[arg(short, long, value_name = "FILE", conflicts_with = "ids")]
    file: Option<PathBuf>,
    /// Text as token ids, such as 1,2,3; no special tokens are added
    #[arg(long, value_name = "IDS")]
    ids: Option<Ids>,
    /// Window length in tokens [default: 512, or less if the model's context or the text is shorter]
    #[arg(short, long, value_name = "N")]
    context: Option<usize>,
    /// Parse special tokens in the text, which are plain text otherwise
    #[arg(long)]
    special: bool,
    /// Write one JSON object: perplexity, standard_error, loss, window_losses, tokens, window, windows and scored; of a
    /// changed model: interventions, before and after, each such an object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    interventions: InterventionArgs,
    #[command(flatten)]
    machine: MachineArgs,
    #[command(flatten)]
    chunk: ChunkArgs,
}

/// What `--json` writes.
#[derive(Serialize)]
struct Report {
    perplexity: f64,
    standard_error: Option<f64>,
    loss: f64,
    window_losses: Vec<f64>,
    tokens: usize,
    window: usize,
    windows: usize,
    scored: usize,
}

/// Default window length in tokens.
const WINDOW: usize = 512;

/// The shortest window with a token to score: two tokens of context, one to score.
const MIN_WINDOW: usize = 3;

pub(crate) fn run(arguments: &Arguments, out: &mut Out) -> anyhow::Result<()> {
    if let Some(window) = arguments.context.filter(|&window| window < MIN_WINDOW) {
        return Err(Usage(format!("-c: expected at least {MIN_WINDOW} tokens, found {window}")).into());
    }
    let text = match (&arguments.ids, &arguments.file) {
        (Some(_), _) => Vec::new(),
        (None, Some(file)) => read_file(file)?,
        (None, None) => read_stdin("give -f FILE or --ids, or pipe text to standard input")?,
    };
    let source = Source::open(&arguments.model)?;
    let longest = source.context(arguments.context)?;
    let (mut ids, first) = match &arguments.ids {
        Some(Ids(ids)) => (ids.clone(), None),
        None => {
            let threads = arguments.machine.encoding_threads();
            encode(source.tokenizer()?, &text, special(arguments.special), threads)?
        }
    };
    let window = arguments.context.unwrap_or_else(|| WINDOW.min(longest).min(ids.len()));
    if window < MIN_WINDOW {
        bail!("the text has {} tokens, too few to score any: at least {MIN_WINDOW} are needed", ids.len());
    }
    if ids.len() < window {
        bail!(
            "the text has {} tokens, fewer than one window of {window}; choose a smaller window with -c",
            ids.len()
        );
    }
    let planned = arguments.interventions.read(&source, None)?;
    let (model, _) = source.load(&arguments.machine)?;
    let changed = planned.as_ref().map(|planned| planned.apply(&model));
    let models: Vec<&Runtime> = std::iter::once(&model).chain(&changed).collect();

    let windows = ids.len() / window;
    let bar = ProgressBar::new((models.len() * windows) as u64);
    bar.set_style(ProgressStyle::with_template("{bar:30} {pos}/{len} windows, {eta} left {msg}")?);
    let mut reports = Vec::new();
    for model in models {
        let mut session = model.session(window).with_chunk(arguments.chunk.prompt_chunk);
        let mut losses: Vec<f64> = Vec::new();
        let mut window_losses = Vec::new();
        for window in ids.chunks_exact_mut(window) {
            if let Some(first) = first {
                window[0] = first;
            }
            let scores = score(&mut session, window)?;
            not_finite::check(&scores, model, window)?;
            window_losses.push(scores.iter().sum::<f64>() / scores.len() as f64);
            losses.extend(scores);
            bar.set_message(format!("({:.4} so far)", mean(&losses).exp()));
            bar.inc(1);
        }
        let loss = mean(&losses);
        reports.push(Report {
            perplexity: loss.exp(),
            standard_error: standard_error(&losses).map(|error| error * loss.exp()),
            loss,
            window_losses,
            tokens: ids.len(),
            window,
            windows,
            scored: losses.len(),
        });
    }
    bar.finish_and_clear();

    match (&planned, &reports[..]) {
        (Some(planned), [before, after]) if arguments.json => return out.json(&planned.pair(before, after)),
        (_, [report, ..]) if arguments.json => return out.json(report),
        (_, [report, ..]) => {
            let scored = report.scored;
            note(format_args!("{scored} of {} tokens scored, in {windows} windows of {window}", ids.len()));
        }
        _ => {}
    }
    for (i, report) in reports.iter().enumerate() {
        let error = report.standard_error.map_or(String::new(), |error| format!(" ± {error:.5}"));
        let line = format!("{:.5}{error}", report.perplexity);
        match &planned {
            Some(planned) if i > 0 => out.line(format_args!("after   {line}  {}", planned.heading()))?,
            Some(_) => out.line(format_args!("before  {line}"))?,
            None => out.line(line)?,
        }
    }
    Ok(())
}

/// The tokens of the text as in llama.cpp, and the token that begins each window, if the model adds one.
fn encode(
    tokenizer: &Tokenizer,
    text: &[u8],
    special: Special,
    threads: NonZero<usize>,
) -> anyhow::Result<(Vec<u32>, Option<u32>)> {
    let options = EncodeOptions { special, add_special_tokens: false };
    let ids = tokenizer.encode_bytes_on(threads, text, &options)?;
    match tokenizer.template().parts() {
        [TemplatePart::Ids(before), ..] => Ok(([before, &ids[..]].concat(), before.first().copied())),
        _ => Ok((ids, None)),
    }
}

/// The surprise in nats at each token of the window's second half except its first.
fn score(session: &mut Session, window: &[u32]) -> anyhow::Result<Vec<f64>> {
    let (begin, scored) = window.split_at(window.len() / 2);
    session.truncate(0);
    session.feed(begin)?;
    let mut losses = Vec::with_capacity(scored.len());
    session.feed_all(&scored[..scored.len() - 1], |i, logits| {
        losses.push(logsumexp(logits, 1.0) - f64::from(logits[scored[i + 1] as usize]));
    })?;
    Ok(losses)
}

fn mean(losses: &[f64]) -> f64 {
    losses.iter().sum::<f64>() / losses.len() as f64
}

/// The standard error of the mean; `None` for a single number.
fn standard_error(losses: &[f64]) -> Option<f64> {
    if losses.len() < 2 {
        return None;
    }
    let squares = losses.iter().map(|loss| loss * loss).sum::<f64>() / losses.len() as f64;
    let variance = (squares - mean(losses).powi(2)).max(0.0);
    Some((variance / (losses.len() - 1) as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_error_is_that_of_the_mean() {
        // The numbers 1, 2, 3, 4: sample deviation √(5/3), over √4.
        let error = standard_error(&[1.0, 2.0, 3.0, 4.0]).unwrap();
        assert!((error - (5.0f64 / 3.0).sqrt() / 2.0).abs() < 1e-12);
        assert_eq!(standard_error(&[1.0]), None);
        assert_eq!(standard_error(&[2.0, 2.0]), Some(0.0));
    }
}
