//! `neighbors --context`: the tokens nearest to a token's residual vector, layer by layer.

use glassbox_model::glass::{self, LayerNeighbors, neighbors_in_context};
use glassbox_tokenizer::{Special, Tokenizer};
use serde::Serialize;

use super::predict::{shown, text};
use super::view::{TokenArgs, check_layer, ids, texts};
use crate::args::MachineArgs;
use crate::escape;
use crate::model_source::Source;
use crate::output::{Out, note};
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
    neighbors: Vec<Neighbor>,
}

#[derive(Serialize)]
struct Neighbor {
    id: u32,
    token: String,
    cosine: f64,
}

pub(super) fn run(
    question: Question<'_>,
    source: &Source,
    machine: &MachineArgs,
    out: &mut Out,
) -> anyhow::Result<()> {
    check_layer(question.layer, source)?;
    let ids = ids(question.context, source, Special::AsText)?;
    let position = question.token.position(source, &ids)?.unwrap_or(ids.len() - 1);
    let tokenizer = source.maybe_tokenizer();
    let (model, _) = source.load(machine)?;
    let layers = neighbors_in_context(&model, &ids, position, question.layer, question.top)?;
    if question.json {
        let layers = layers.iter().map(|layer| report(layer, tokenizer)).collect();
        let (tokens, token) = (texts(tokenizer, &ids), text(tokenizer, ids[position]));
        return out.json(&Report { ids: &ids, tokens, position, token, layers });
    }
    note(format_args!("neighbours of {} at position {position}", shown(tokenizer, ids[position])));
    if let [only] = &layers[..] {
        return column(only, tokenizer, out);
    }
    out.line(out.paint(2, "layer  nearest tokens, cosine"))?;
    for LayerNeighbors { layer, neighbors } in &layers {
        let mut line = format!("{layer:>5}");
        for neighbor in neighbors {
            let cell = format!("  {} {:.3}", shown(tokenizer, neighbor.id), neighbor.cosine);
            let width = escape::width(&line) + escape::width(&cell);
            // The nearest one is always shown.
            if line.len() > 5 && out.width().is_some_and(|columns| width > columns) {
                break;
            }
            line.push_str(&cell);
        }
        out.line(line)?;
    }
    Ok(())
}

/// Writes a line for each neighbour.
fn column(layer: &LayerNeighbors, tokenizer: Option<&Tokenizer>, out: &mut Out) -> anyhow::Result<()> {
    let names: Vec<String> = layer.neighbors.iter().map(|neighbor| shown(tokenizer, neighbor.id)).collect();
    let widest = names.iter().map(|name| escape::width(name)).max().unwrap_or(0);
    let width = widest.clamp(5, out.width().map_or(usize::MAX, |width| width.saturating_sub(19).max(5)));
    out.line(out.paint(2, &format!("{}  {:>6}  {:>7}", escape::fit("token", width), "cosine", "id")))?;
    for (name, neighbor) in names.iter().zip(&layer.neighbors) {
        out.line(format_args!("{}  {:>6.4}  {:>7}", escape::fit(name, width), neighbor.cosine, neighbor.id))?;
    }
    Ok(())
}

fn report(layer: &LayerNeighbors, tokenizer: Option<&Tokenizer>) -> Layer {
    let neighbor = |neighbor: &glass::Neighbor| Neighbor {
        id: neighbor.id,
        token: text(tokenizer, neighbor.id),
        cosine: neighbor.cosine,
    };
    Layer { layer: layer.layer, neighbors: layer.neighbors.iter().map(neighbor).collect() }
}
