//! `attention`: which tokens attend to which.

use clap::Args;
use glassbox_model::glass::{AttentionPattern, Edge, EdgeOptions, strongest_edges};
use glassbox_tokenizer::Tokenizer;
use serde::Serialize;

use super::predict::{shown, text};
use super::view::{ViewArgs, check, check_layer, texts};
use crate::args::positive;
use crate::bars::Scale;
use crate::escape;
use crate::output::{Out, note};
use crate::table::{Cell, Column, Table};

const EXAMPLES: &str = "Examples:\n\
\x20 glassbox attention \"When Mary met John, John gave Mary a book\" --skip-first\n\
\x20 glassbox attention \"one two three one two three\" --layer 3 --head 5";

/// Show which tokens attend to which
///
/// In each head of each layer, each token spreads a total weight of 1 over itself and the tokens before it. By default
/// the largest weights are listed, each as an edge: layer, head, token ← token it attends to, weight. With --head, the
/// whole attention pattern of one head is shown as a matrix: a row for each query token, a column for each key token.
/// On a terminal, only the last tokens that fit are shown.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Only this layer, counted from 0
    #[arg(long, value_name = "LAYER")]
    layer: Option<usize>,
    /// Show the whole pattern of this head, counted from 0; needs --layer
    #[arg(long, value_name = "HEAD", requires = "layer")]
    head: Option<usize>,
    /// Number of edges to show
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = positive, conflicts_with = "head")]
    top: usize,
    /// Leave out attention to the first token, where many heads put the weight they do not use
    #[arg(long, conflicts_with = "head")]
    skip_first: bool,
    /// Write one JSON object: ids, tokens, and edges (layer, head, query, key, weight);
    /// with --head, layer, head and pattern instead of edges
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    view: ViewArgs,
}

/// What `--json` writes for the edges.
#[derive(Serialize)]
struct EdgeReport<'a> {
    ids: &'a [u32],
    tokens: Vec<String>,
    edges: Vec<JsonEdge>,
}

#[derive(Serialize)]
struct JsonEdge {
    layer: usize,
    head: usize,
    query: usize,
    query_token: String,
    key: usize,
    key_token: String,
    weight: f32,
}

/// What `--json` writes for a head: row `i` of the pattern has the weights of the tokens 0 to `i`.
#[derive(Serialize)]
struct HeadReport<'a> {
    ids: &'a [u32],
    tokens: Vec<String>,
    layer: usize,
    head: usize,
    pattern: Vec<&'a [f32]>,
}

pub(crate) fn run(arguments: &Arguments, out: &mut Out) -> anyhow::Result<()> {
    let (source, ids) = arguments.view.open()?;
    check_layer(arguments.layer, &source)?;
    check("head", arguments.head, source.checkpoint.config().n_heads)?;
    let tokenizer = source.maybe_tokenizer();
    let model = arguments.view.load(&source)?;
    if let (Some(layer), Some(head)) = (arguments.layer, arguments.head) {
        let pattern = AttentionPattern::of(&model, &ids, layer, head)?;
        if arguments.json {
            let rows = (0..ids.len()).map(|query| pattern.row(query)).collect();
            let tokens = texts(tokenizer, &ids);
            return out.json(&HeadReport { ids: &ids, tokens, layer, head, pattern: rows });
        }
        return matrix(&pattern, &ids, tokenizer, out);
    }
    let options =
        EdgeOptions { layer: arguments.layer, top: arguments.top, skip_first: arguments.skip_first };
    let edges = strongest_edges(&model, &ids, &options)?;
    if arguments.json {
        let edge = |edge: &Edge| JsonEdge {
            layer: edge.layer,
            head: edge.head,
            query: edge.query,
            query_token: text(tokenizer, ids[edge.query]),
            key: edge.key,
            key_token: text(tokenizer, ids[edge.key]),
            weight: edge.weight,
        };
        let edges = edges.iter().map(edge).collect();
        return out.json(&EdgeReport { ids: &ids, tokens: texts(tokenizer, &ids), edges });
    }
    if edges.is_empty() {
        note("a prompt of one token has no attention weights except to the first token");
        return Ok(());
    }
    list(&edges, &ids, tokenizer, out)
}

/// Writes a line for each edge: `layer.head`, query token ← key token, weight.
fn list(edges: &[Edge], ids: &[u32], tokenizer: Option<&Tokenizer>, out: &mut Out) -> anyhow::Result<()> {
    let name = |position: usize| format!("{position:>4} {}", shown(tokenizer, ids[position]));
    let tokens = ["token", "← token"].map(|heading| Column::left(heading).shrinks_to(9));
    let [query, key] = tokens;
    let scale = Scale::up_to(1.0, "1");
    let mut table = Table::new([
        Column::left("head").exactly(7),
        query,
        key,
        Column::right("weight"),
        Column::bar(scale),
    ]);
    for edge in edges {
        let (head, key) = (format!("{}.{}", edge.layer, edge.head), format!("← {}", name(edge.key)));
        let (weight, bar) = (format!("{:.4}", edge.weight), Cell::value(f64::from(edge.weight)));
        table.row([head.into(), name(edge.query).into(), key.into(), weight.into(), bar]);
    }
    table.print(out)?.note("--json has all");
    Ok(())
}

/// Width in columns of a row label of the matrix, gap included.
const LABEL: usize = 18;

/// Writes a shaded cell, two columns wide, for each pair of tokens.
fn matrix(
    pattern: &AttentionPattern,
    ids: &[u32],
    tokenizer: Option<&Tokenizer>,
    out: &mut Out,
) -> anyhow::Result<()> {
    let fitting = out.width().map_or(ids.len(), |width| (width.saturating_sub(LABEL) / 2).max(1));
    let first = ids.len().saturating_sub(fitting);
    if first > 0 {
        note(format_args!("showing the last {fitting} of {} tokens; --json has all", ids.len()));
    }
    note("weight: ░ from 0.05, ▒ from 0.25, ▓ from 0.5, █ from 0.75");
    let numbers: String = (first..ids.len()).map(|key| format!("{:>2}", key % 100)).collect();
    out.line(out.paint(2, &format!("{:LABEL$}{numbers}", "")))?;
    for (query, &id) in ids.iter().enumerate().skip(first) {
        let label = escape::fit(&format!("{query:>4} {}", shown(tokenizer, id)), LABEL - 1);
        let cells: String =
            pattern.row(query)[first..].iter().flat_map(|&weight| [shade(weight); 2]).collect();
        out.line(format!("{label} {cells}").trim_end())?;
    }
    Ok(())
}

/// A block character for a weight.
fn shade(weight: f32) -> char {
    match weight {
        weight if weight >= 0.75 => '█',
        weight if weight >= 0.5 => '▓',
        weight if weight >= 0.25 => '▒',
        weight if weight >= 0.05 => '░',
        _ => ' ',
    }
}
