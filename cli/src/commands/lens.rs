//! `lens`: the logit lens, the prediction after each layer.

use clap::Args;
use glassbox_model::glass::{self, LensLayer, LensOptions};
use glassbox_tokenizer::Tokenizer;
use serde::Serialize;

use super::predict::{shown, text};
use super::view::{ViewArgs, check_layer, texts};
use crate::args::positive;
use crate::escape;
use crate::output::{Out, note};

const EXAMPLES: &str = "Examples:\n\
\x20 glassbox lens \"The capital of France is\"\n\
\x20 glassbox lens \"The capital of France is\" --layer 3 --top 5";

/// Show the model's prediction after each layer (logit lens)
///
/// The residual stream after each layer goes through the final norm and the unembedding, as if that layer were the
/// last. A column is a token of the prompt, a row is a layer, and a cell is the most likely next token with its
/// probability. Row 0 is after the first layer; the last row is the model's actual prediction. On a
/// terminal, only the last tokens that fit are shown.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Only this layer, counted from 0
    #[arg(long, value_name = "LAYER")]
    layer: Option<usize>,
    /// Number of most likely tokens per cell
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = positive)]
    top: usize,
    /// Write one JSON object: ids, tokens, and for each layer the candidates (id, token, logit, prob) at each position
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    view: ViewArgs,
}

/// What `--json` writes.
#[derive(Serialize)]
struct Report<'a> {
    ids: &'a [u32],
    tokens: Vec<String>,
    layers: Vec<Layer>,
}

#[derive(Serialize)]
struct Layer {
    layer: usize,
    positions: Vec<Vec<Candidate>>,
}

#[derive(Serialize)]
struct Candidate {
    id: u32,
    token: String,
    logit: f32,
    prob: f64,
}

/// Width in columns of a token in a cell, and of the whole cell: token, probability, gap.
const TOKEN: usize = 10;
const CELL: usize = TOKEN + 7;
/// Width in columns of the layer number.
const LABEL: usize = 5;

pub(crate) fn run(arguments: &Arguments, out: &mut Out) -> anyhow::Result<()> {
    let (source, ids) = arguments.view.open()?;
    check_layer(arguments.layer, &source)?;
    let tokenizer = source.maybe_tokenizer();
    let fitting = match out.width() {
        Some(width) if !arguments.json => (width.saturating_sub(LABEL) / CELL).max(1),
        _ => ids.len(),
    };
    let first = ids.len().saturating_sub(fitting);
    let model = arguments.view.load(&source)?;
    let options =
        LensOptions { layer: arguments.layer, positions: Some(first..ids.len()), top: arguments.top };
    let layers = glass::lens(&model, &ids, &options)?;
    if arguments.json {
        let layers = layers.iter().map(|layer| report(layer, tokenizer)).collect();
        return out.json(&Report { ids: &ids, tokens: texts(tokenizer, &ids), layers });
    }
    if first > 0 {
        note(format_args!("showing the last {} of {} tokens; --json has all", ids.len() - first, ids.len()));
    }
    table(&layers, &ids[first..], tokenizer, out)
}

fn report(layer: &LensLayer, tokenizer: Option<&Tokenizer>) -> Layer {
    let candidate = |candidate: &glass::Candidate| Candidate {
        id: candidate.id,
        token: text(tokenizer, candidate.id),
        logit: candidate.logit,
        prob: candidate.probability,
    };
    let positions = layer.readings.iter().map(|reading| reading.iter().map(candidate).collect());
    Layer { layer: layer.layer, positions: positions.collect() }
}

fn table(
    layers: &[LensLayer],
    ids: &[u32],
    tokenizer: Option<&Tokenizer>,
    out: &mut Out,
) -> anyhow::Result<()> {
    let heads = ids.iter().map(|&id| escape::fit(&shown(tokenizer, id), CELL - 2));
    let heading = format!("{:<LABEL$}{}", "layer", heads.map(|head| format!("  {head}")).collect::<String>());
    out.line(out.paint(2, heading.trim_end()))?;
    for layer in layers {
        let lines = layer.readings.iter().map(Vec::len).max().unwrap_or(0);
        for line in 0..lines {
            let label = if line == 0 { layer.layer.to_string() } else { String::new() };
            let mut text = format!("{label:>LABEL$}");
            for reading in &layer.readings {
                let cell = reading.get(line).map(|candidate| {
                    let token = escape::fit(&shown(tokenizer, candidate.id), TOKEN);
                    (token, format!("{:>3.0} %", candidate.probability * 100.0), candidate.probability)
                });
                let (token, share, probability) = cell.unwrap_or((" ".repeat(TOKEN), " ".repeat(5), 0.0));
                // Confident predictions are highlighted.
                let token = if probability >= 0.5 { out.paint(36, &token) } else { token };
                text.push_str(&format!("  {token}{share}"));
            }
            out.line(text.trim_end())?;
        }
    }
    Ok(())
}
