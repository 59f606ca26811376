//! `lens`: the logit lens, the prediction after each layer.

use std::ops::Range;

use anyhow::bail;
use clap::Args;
use glassbox_model::Runtime;
use glassbox_model::glass::{self, LensLayer, LensOptions, Reading};
use glassbox_tokenizer::Tokenizer;
use serde::Serialize;

use super::explained::aside;
use super::lens_token;
use super::predict::{shown, text};
use super::view::{TokenArgs, ViewArgs, check_layer, position_of_word, texts};
use crate::args::positive;
use crate::escape;
use crate::interventions::InterventionArgs;
use crate::not_finite;
use crate::output::{Out, note};
use crate::table::{Cell, Column, Table};

const EXAMPLES: &str = "Examples:\n\
\x20 glassbox lens \"The capital of France is\"\n\
\x20 glassbox lens \"The capital of France is\" --token Paris --top 3\n\
\x20 glassbox lens \"The capital of France is\" --position France --layer 3 --top 5\n\
\x20 glassbox lens \"The capital of France is\" --token Paris --without \"head 23.4\"";

/// Show the model's prediction after each layer (logit lens)
///
/// The residual stream after each layer goes through the final norm and the unembedding, as if that layer were the
/// last. A column is a token of the prompt, a row is a layer, and a cell is the most likely next token with its
/// probability. Row 0 is after the first layer; the last row is the model's actual prediction. On a
/// terminal, only the first and the last tokens that fit are shown.
///
/// With --token, the probability of one token and its rank among all tokens of the vocabulary are shown layer by layer,
/// after the last token of the prompt unless another position is asked for. With --without, --steer or --patch, the
/// model is changed, and the lens is shown before and after.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    token: TokenArgs,
    /// Only this layer, counted from 0
    #[arg(long, value_name = "LAYER")]
    layer: Option<usize>,
    /// Only after this token of the prompt: a position, counted from 0, or a word
    #[arg(long, value_name = "POSITION")]
    position: Option<String>,
    /// After every token of the prompt; the default without --token
    #[arg(long, conflicts_with = "position")]
    all_positions: bool,
    /// Number of most likely tokens per cell
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = positive)]
    top: usize,
    /// Write one JSON object: ids, tokens, shown (positions), and for each layer the candidates (id, token, logit,
    /// prob) at each of these positions
    ///
    /// With --token, also token (id, token), and for each layer readings (logit, prob, rank) of it at each position. Of
    /// a changed model: interventions, before and after, each such an object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    interventions: InterventionArgs,
    #[command(flatten)]
    view: ViewArgs,
}

/// What `--json` writes.
#[derive(Serialize)]
struct Report<'a> {
    ids: &'a [u32],
    tokens: Vec<String>,
    /// The positions of the prompt that each layer's lists are about.
    shown: Vec<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<Token>,
    layers: Vec<Layer>,
}

#[derive(Serialize)]
struct Token {
    id: u32,
    token: String,
}

#[derive(Serialize)]
struct Layer {
    layer: usize,
    positions: Vec<Vec<Candidate>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    readings: Vec<JsonReading>,
}

#[derive(Serialize)]
struct Candidate {
    id: u32,
    token: String,
    logit: f32,
    prob: f64,
}

#[derive(Serialize)]
struct JsonReading {
    logit: f32,
    prob: f64,
    rank: usize,
}

/// Width in columns of a token in a cell, and of the whole cell: token and probability.
const TOKEN: usize = 10;
const CELL: usize = TOKEN + 5;

pub(crate) fn run(arguments: &Arguments, out: &mut Out) -> anyhow::Result<()> {
    let (source, ids) = arguments.view.open()?;
    check_layer(arguments.layer, &source)?;
    let token = arguments.token.id_after(&source, &ids)?;
    let last = ids.len().saturating_sub(1);
    let one = match &arguments.position {
        Some(text) => Some(match text.parse() {
            Ok(position) if position <= last => position,
            Ok(position) => bail!("there is no position {position}: expected 0 to {last}"),
            Err(_) => position_of_word(&source, text.as_bytes(), &ids)?,
        }),
        None => (token.is_some() && !arguments.all_positions).then_some(last),
    };
    let planned = arguments.interventions.read(&source, Some(&ids))?;
    let tokenizer = source.maybe_tokenizer();
    // Only the columns that fit are computed: those before a gap, then those after it.
    let fitting: Vec<usize> = match one {
        Some(position) => vec![position],
        None if arguments.json => (0..ids.len()).collect(),
        None => frame(&ids, tokenizer).shown(out).into_iter().filter_map(|i| i.checked_sub(1)).collect(),
    };
    let gap = fitting.iter().zip(&fitting[1.min(fitting.len())..]).position(|(a, b)| a + 1 < *b);
    let (first, last) = fitting.split_at(gap.map_or(fitting.len(), |gap| gap + 1));
    let model = arguments.view.load(&source)?;
    let lens = |model: &Runtime| {
        let mut layers = part_of_lens(model, &ids, first, arguments, token)?;
        if !last.is_empty() {
            for (layer, after) in layers.iter_mut().zip(part_of_lens(model, &ids, last, arguments, token)?) {
                layer.readings.extend(after.readings);
                layer.token.extend(after.token);
            }
        }
        Ok::<_, anyhow::Error>(layers)
    };
    let before = lens(&model)?;
    let readings = before.iter().flat_map(|layer| layer.readings.iter());
    let logits: Vec<f32> =
        readings.flat_map(|reading| reading.iter().map(|candidate| candidate.logit)).collect();
    not_finite::check(&logits, &model, &ids)?;
    let after = planned.as_ref().map(|planned| lens(&planned.apply(&model))).transpose()?;
    if arguments.json {
        let report = |layers: &[LensLayer]| Report {
            ids: &ids,
            tokens: texts(tokenizer, &ids),
            shown: fitting.clone(),
            token: token.map(|id| Token { id, token: text(tokenizer, id) }),
            layers: layers.iter().map(|layer| json_layer(layer, tokenizer)).collect(),
        };
        return match (&planned, &after) {
            (Some(planned), Some(after)) => out.json(&planned.pair(report(&before), report(after))),
            _ => out.json(&report(&before)),
        };
    }
    if one.is_none() && fitting.len() < ids.len() {
        let (shown, all) = (fitting.len(), ids.len());
        note(format_args!("showing the first and the last {shown} of {all} tokens; --json has all"));
    }
    let changed = planned.as_ref().zip(after.as_deref());
    if let (Some(id), Some(position)) = (token, one) {
        let after = shown(tokenizer, ids[position]);
        note(format_args!("{} ({id}) after {after} (position {position})", shown(tokenizer, id)));
        if let Some((planned, _)) = changed {
            note(format_args!("after: {}", planned.heading()));
        }
        return lens_token::table(&before, changed.map(|(_, after)| after), tokenizer, out);
    }
    aside(
        out,
        "A cell is what the model would say next if it stopped after that layer; the last layer's is its answer. \
         --token WORD follows one answer through the layers.",
    );
    let columns = one.map_or(0..ids.len(), |position| position..position + 1);
    if changed.is_some() {
        out.line(out.paint(2, "before"))?;
    }
    table(&before, &ids, &fitting, columns.clone(), tokenizer, out)?;
    if let Some((planned, after)) = changed {
        out.line(out.paint(2, &format!("after: {}", planned.heading())))?;
        table(after, &ids, &fitting, columns, tokenizer, out)?;
    }
    Ok(())
}

fn json_layer(layer: &LensLayer, tokenizer: Option<&Tokenizer>) -> Layer {
    let candidate = |candidate: &glass::Candidate| Candidate {
        id: candidate.id,
        token: text(tokenizer, candidate.id),
        logit: candidate.logit,
        prob: candidate.probability,
    };
    let reading = |Reading { candidate, rank }: &Reading| JsonReading {
        logit: candidate.logit,
        prob: candidate.probability,
        rank: *rank,
    };
    let positions = layer.readings.iter().map(|reading| reading.iter().map(candidate).collect());
    let readings = layer.token.iter().map(reading).collect();
    Layer { layer: layer.layer, positions: positions.collect(), readings }
}

/// The lens at consecutive positions.
fn part_of_lens(
    model: &Runtime,
    ids: &[u32],
    positions: &[usize],
    arguments: &Arguments,
    token: Option<u32>,
) -> anyhow::Result<Vec<LensLayer>> {
    let start = positions.first().copied().unwrap_or(0);
    let positions = Some(start..start + positions.len());
    let options = LensOptions { layer: arguments.layer, positions, top: arguments.top, token };
    Ok(glass::lens(model, ids, &options)?)
}

/// The table without rows.
fn frame(ids: &[u32], tokenizer: Option<&Tokenizer>) -> Table {
    let tokens = ids.iter().map(|&id| Column::left(shown(tokenizer, id)).exactly(CELL));
    Table::new([Column::right("layer")].into_iter().chain(tokens))
}

/// Writes a row for each layer with a cell for each token at the `fitting` positions among `columns`: the token asked
/// for, if there is one, and the most likely tokens, in a line each.
fn table(
    layers: &[LensLayer],
    ids: &[u32],
    fitting: &[usize],
    columns: Range<usize>,
    tokenizer: Option<&Tokenizer>,
    out: &mut Out,
) -> anyhow::Result<()> {
    let ids = &ids[columns.clone()];
    let column = |i: usize| fitting[i] + 1 - columns.start;
    let mut table = frame(ids, tokenizer);
    for layer in layers {
        let asked = usize::from(!layer.token.is_empty());
        let lines = asked + layer.readings.iter().map(Vec::len).max().unwrap_or(0);
        for line in 0..lines {
            let mut cells = vec![Cell::from(""); ids.len() + 1];
            if line == 0 {
                cells[0] = layer.layer.to_string().into();
            }
            for (i, reading) in layer.readings.iter().enumerate() {
                let cell = if line < asked {
                    let Reading { candidate, rank } = layer.token[i];
                    Some((format!("rank {rank}"), candidate.probability))
                } else {
                    let candidate = reading.get(line - asked);
                    candidate.map(|candidate| (shown(tokenizer, candidate.id), candidate.probability))
                };
                let Some((name, probability)) = cell else { continue };
                let cell = format!("{}{:>3.0} %", escape::fit(&name, TOKEN), probability * 100.0);
                // Confident predictions are highlighted.
                let cell = Cell::from(cell);
                cells[column(i)] = if probability >= 0.5 { cell.paint(1) } else { cell };
            }
            table.row(cells);
        }
    }
    // What is left out has been said.
    let _ = table.print(out)?;
    Ok(())
}
