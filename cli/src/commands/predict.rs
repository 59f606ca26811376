//! `predict`: the most likely next tokens and their probabilities.

use clap::Args;
use glassbox_tokenizer::Tokenizer;
use serde::Serialize;

use super::side_by_side;
use crate::args::{ChunkArgs, MachineArgs, ModelArgs, positive};
use crate::escape;
use crate::exit::Usage;
use crate::interventions::InterventionArgs;
use crate::model_source::Source;
use crate::not_finite;
use crate::output::Out;
use crate::prompt::{PromptArgs, special};

const EXAMPLES: &str = "Examples:\n\
\x20 glassbox predict \"The capital of France is\" --top 5\n\
\x20 glassbox predict \"The capital of France is\" --without \"head 23.4, mlp 29\"\n\
\x20 glassbox predict --ids 1,2,3 --json --all";

/// Show the most likely next tokens and their probabilities
///
/// One forward pass: the prompt goes in, one logit for each token of the vocabulary comes out, and the softmax of the
/// logits gives the probabilities. With --without, --steer or --patch, the model is changed, and the probabilities
/// before and after stand side by side.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    prompt: PromptArgs,
    /// Number of tokens to show
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = positive)]
    top: usize,
    /// Temperature: divide the logits by T before the softmax; below 1 sharpens, above 1 flattens
    #[arg(long, value_name = "T", default_value_t = 1.0, allow_negative_numbers = true)]
    temp: f64,
    /// Write one JSON object: ids, candidates (id, token, logit, prob) and the logsumexp of the logits; of a changed
    /// model: interventions, before and after, each such an object
    #[arg(long)]
    json: bool,
    /// With --json, also write logits: one per token of the vocabulary, without temperature, with exact digits
    #[arg(long, requires = "json")]
    all: bool,
    /// Parse special tokens in the prompt, which are plain text otherwise
    #[arg(long)]
    special: bool,
    #[command(flatten)]
    interventions: InterventionArgs,
    #[command(flatten)]
    machine: MachineArgs,
    #[command(flatten)]
    chunk: ChunkArgs,
}

/// What `--json` writes.
#[derive(Serialize)]
struct Report<'a> {
    ids: &'a [u32],
    candidates: Vec<Candidate>,
    logsumexp: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    logits: Option<&'a [f32]>,
}

/// A candidate for the next token.
#[derive(Serialize)]
struct Candidate {
    id: u32,
    token: String,
    logit: f32,
    prob: f64,
}

pub(crate) fn run(arguments: &Arguments, out: &mut Out) -> anyhow::Result<()> {
    if !(arguments.temp > 0.0 && arguments.temp.is_finite()) {
        return Err(Usage(format!("--temp must be a number above 0, it is {}", arguments.temp)).into());
    }
    let prompt = arguments.prompt.read()?;
    let source = Source::open(&arguments.model)?;
    let ids = prompt.ids(&source, special(arguments.special))?;
    let tokenizer = source.maybe_tokenizer();
    let context = source.context(None)?;
    if ids.len() > context {
        anyhow::bail!("the prompt has {} tokens and does not fit a context of {context}", ids.len());
    }
    let planned = arguments.interventions.read(&source, Some(&ids))?;
    let (model, _) = source.load(&arguments.machine)?;
    let mut session = model.session(context).with_chunk(arguments.chunk.prompt_chunk);
    let logits = session.feed(&ids)?;
    not_finite::check(logits, &model, &ids)?;
    if let Some(planned) = planned {
        let mut changed = planned.apply(&model).session(context).with_chunk(arguments.chunk.prompt_chunk);
        let after = changed.feed(&ids)?;
        if arguments.json {
            let [before, after] = [logits, after].map(|logits| report(arguments, &ids, logits, tokenizer));
            return out.json(&planned.pair(before, after));
        }
        let (top, temp) = (arguments.top, arguments.temp);
        return side_by_side::predictions(&planned, [logits, after], top, temp, tokenizer, out);
    }

    if arguments.json {
        return out.json(&report(arguments, &ids, logits, tokenizer));
    }
    let all_tempered = logsumexp(logits, arguments.temp);
    let rows = order(logits, arguments.top).into_iter().map(|id| {
        let logit = logits[id as usize];
        Row { id, token: shown(tokenizer, id), logit, prob: prob(logit, arguments.temp, all_tempered) }
    });
    chart(&rows.collect::<Vec<_>>(), out)
}

/// The `top` most likely tokens.
pub(super) fn order(logits: &[f32], top: usize) -> Vec<u32> {
    let mut order: Vec<u32> = (0..logits.len() as u32).collect();
    order.sort_by(|&a, &b| logits[b as usize].total_cmp(&logits[a as usize]).then(a.cmp(&b)));
    order.truncate(top);
    order
}

fn report<'a>(
    arguments: &Arguments,
    ids: &'a [u32],
    logits: &'a [f32],
    tokenizer: Option<&Tokenizer>,
) -> Report<'a> {
    let all_tempered = logsumexp(logits, arguments.temp);
    let candidates = order(logits, arguments.top).into_iter().map(|id| {
        let logit = logits[id as usize];
        Candidate { id, token: text(tokenizer, id), logit, prob: prob(logit, arguments.temp, all_tempered) }
    });
    Report {
        ids,
        candidates: candidates.collect(),
        logsumexp: logsumexp(logits, 1.0),
        logits: arguments.all.then_some(logits),
    }
}

/// `ln Σ exp(logit / temperature)`, without overflow.
pub(crate) fn logsumexp(logits: &[f32], temperature: f64) -> f64 {
    let largest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max)) / temperature;
    let sum: f64 = logits.iter().map(|&logit| (f64::from(logit) / temperature - largest).exp()).sum();
    largest + sum.ln()
}

/// The probability of a token.
pub(super) fn prob(logit: f32, temperature: f64, logsumexp: f64) -> f64 {
    (f64::from(logit) / temperature - logsumexp).exp()
}

/// The text of a token; bytes that are not complete characters as `�`.
pub(crate) fn text(tokenizer: Option<&Tokenizer>, id: u32) -> String {
    let bytes = tokenizer.and_then(|tokenizer| tokenizer.token_bytes(id));
    bytes.map_or(String::new(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// A token for a table; without a tokenizer, its id.
pub(crate) fn shown(tokenizer: Option<&Tokenizer>, id: u32) -> String {
    let bytes = tokenizer.and_then(|tokenizer| tokenizer.token_bytes(id));
    bytes.map_or_else(|| format!("<{id}>"), |bytes| escape::visible(&bytes))
}

struct Row {
    id: u32,
    token: String,
    logit: f32,
    prob: f64,
}

/// A line per token. On a terminal, with a bar proportional to the probability; the most likely token's fills the line.
fn chart(rows: &[Row], out: &mut Out) -> anyhow::Result<()> {
    let widest = rows.iter().map(|row| escape::width(&row.token)).max().unwrap_or(0);
    let column = widest.clamp(5, out.width().map_or(usize::MAX, |width| (width / 3).min(30)));
    let numbers = |row: &Row| format!("{:>8.4} %  {:>9.4}  {:>7}", row.prob * 100.0, row.logit, row.id);
    let heading = format!("{}  {:>10}  {:>9}  {:>7}", escape::fit("token", column), "prob", "logit", "id");
    out.line(out.paint(2, &heading))?;
    let most = rows.first().map_or(1.0, |row| row.prob).max(f64::MIN_POSITIVE);
    for row in rows {
        let line = format!("{}  {}", escape::fit(&row.token, column), numbers(row));
        match out.width().and_then(|width| width.checked_sub(escape::width(&line) + 3)) {
            Some(columns) if columns > 0 => {
                let bar = bar(row.prob / most, columns);
                out.line(format_args!("{line}  {}", out.paint(36, &bar)))?;
            }
            _ => out.line(line.trim_end())?,
        }
    }
    Ok(())
}

/// A bar that fills the fraction `share` of `columns`, in steps of an eighth of a column.
pub(super) fn bar(share: f64, columns: usize) -> String {
    let eighths = (share.clamp(0.0, 1.0) * columns as f64 * 8.0).round() as usize;
    let mut bar = "█".repeat(eighths / 8);
    bar.extend(" ▏▎▍▌▋▊▉".chars().nth(eighths % 8).filter(|_| !eighths.is_multiple_of(8)));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logsumexp_neither_overflows_nor_underflows() {
        assert!((logsumexp(&[1000.0, 1000.0], 1.0) - (1000.0 + 2f64.ln())).abs() < 1e-12);
        assert!((logsumexp(&[0.0, 0.0, f32::NEG_INFINITY], 1.0) - 2f64.ln()).abs() < 1e-12);
        assert!((logsumexp(&[2.0, 0.0], 2.0) - (1f64.exp() + 1.0).ln()).abs() < 1e-12);
        assert!((logsumexp(&[-1000.0], 0.5) + 2000.0).abs() < 1e-12);
    }

    #[test]
    fn bars_are_as_long_as_their_share() {
        assert_eq!(bar(1.0, 3), "███");
        assert_eq!(bar(0.5, 3), "█▌");
        assert_eq!(bar(0.0, 3), "");
    }
}
