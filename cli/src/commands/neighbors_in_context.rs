//! `neighbors --context`: the tokens nearest to a token's residual vector, layer by layer.

use glassbox_model::glass::{self, Baseline, LayerNeighbors, NeighborOptions, neighbors_in_context};
use glassbox_tokenizer::{Special, Tokenizer};
use serde::Serialize;

use super::compare::JsonRandom;
use super::explained::{columns, fitting, paragraph, widest};
use super::position::Place;
use super::predict::{shown, text};
use super::view::{TokenArgs, check_layer, ids, texts};
use crate::args::MachineArgs;
use crate::escape;
use crate::model_source::Source;
use crate::output::Out;
use crate::prompt::Prompt;

/// The arguments.
pub(super) struct Question<'a> {
    /// The text that contains the token.
    pub(super) context: Prompt,
    /// The token; by default the last one.
    pub(super) token: &'a TokenArgs,
    /// Only this layer.
    pub(super) layer: Option<usize>,
    /// Number of neighbours.
    pub(super) top: usize,
    /// Whether to write JSON.
    pub(super) json: bool,
}

/// What `--json` writes.
#[derive(Serialize)]
struct Report<'a> {
    ids: &'a [u32],
    tokens: Vec<String>,
    position: usize,
    token: String,
    layers: Vec<Layer>,
}

#[derive(Serialize)]
struct Layer {
    layer: usize,
    random: JsonRandom,
    neighbors: Vec<Neighbor>,
}

#[derive(Serialize)]
struct Neighbor {
    id: u32,
    token: String,
    cosine: f64,
    raw: f64,
}

pub(super) fn run(
    question: Question<'_>,
    source: &Source,
    machine: &MachineArgs,
    out: &mut Out,
) -> anyhow::Result<()> {
    check_layer(question.layer, source)?;
    let ids = ids(question.context, source, Special::AsText)?;
    let place = question.token.place(source, &ids)?.unwrap_or(Place::at(ids.len() - 1));
    let position = place.position;
    let tokenizer = source.maybe_tokenizer();
    let (model, _) = source.load(machine)?;
    let baseline = Baseline::of_ordinary_text(&model, tokenizer)?;
    let options = NeighborOptions { position, layer: question.layer, top: question.top };
    let layers = neighbors_in_context(&model, &ids, &options, &baseline)?;
    if question.json {
        let layers = layers.iter().map(|layer| report(layer, tokenizer)).collect();
        let (tokens, token) = (texts(tokenizer, &ids), text(tokenizer, ids[position]));
        return out.json(&Report { ids: &ids, tokens, position, token, layers });
    }
    paragraph(
        out,
        &format!(
            "What does {} mean in its context? The tokens whose directions in the unembedding are nearest to its \
             vector. What all tokens share, the mean of {} tokens of ordinary text, is taken off.",
            place.named(source, &ids),
            baseline.tokens()
        ),
    )?;
    if let [only] = &layers[..] {
        return column(only, tokenizer, out);
    }
    paragraph(out, "cosine: 1 is the same direction, 0 unrelated. random: 95 % of all tokens are below.")?;
    out.line(out.paint(2, "layer  random  nearest tokens, cosine"))?;
    for LayerNeighbors { layer, neighbors, random } in &layers {
        let line = format!("{layer:>5}  {:>6.3}  ", random.high);
        let cells = neighbors
            .iter()
            .map(|neighbor| format!("{} {:.3}", shown(tokenizer, neighbor.id), neighbor.cosine));
        let room = columns(out).saturating_sub(line.len());
        out.line(format_args!("{line}{}", fitting(cells, room)))?;
    }
    Ok(())
}

/// Writes a line for each neighbour.
fn column(layer: &LayerNeighbors, tokenizer: Option<&Tokenizer>, out: &mut Out) -> anyhow::Result<()> {
    paragraph(
        out,
        &format!(
            "After layer {}. cosine: 1 is the same direction, 0 unrelated; 95 % of all tokens are below {:.3}. raw: \
             without taking off the mean.",
            layer.layer, layer.random.high
        ),
    )?;
    let names: Vec<String> = layer.neighbors.iter().map(|neighbor| shown(tokenizer, neighbor.id)).collect();
    let width = widest(names.iter().map(String::as_str), 5, columns(out).saturating_sub(28));
    out.line(out.paint(2, &format!("{}  cosine     raw       id", escape::fit("token", width))))?;
    for (name, neighbor) in names.iter().zip(&layer.neighbors) {
        let glass::Neighbor { id, cosine, raw } = neighbor;
        out.line(format_args!("{}  {cosine:>6.4}  {raw:>6.4}  {id:>7}", escape::fit(name, width)))?;
    }
    Ok(())
}

fn report(layer: &LayerNeighbors, tokenizer: Option<&Tokenizer>) -> Layer {
    let neighbor = |neighbor: &glass::Neighbor| Neighbor {
        id: neighbor.id,
        token: text(tokenizer, neighbor.id),
        cosine: neighbor.cosine,
        raw: neighbor.raw,
    };
    let random = layer.random.into();
    Layer { layer: layer.layer, random, neighbors: layer.neighbors.iter().map(neighbor).collect() }
}
