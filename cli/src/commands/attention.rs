//! `attention`: which tokens attend to which.

mod report;

use std::ffi::OsString;

use clap::{Args, ValueEnum};
use glassbox_model::glass::{AttentionPattern, EdgeMeasure, EdgeOptions, strongest_edges};
use glassbox_tokenizer::Tokenizer;
use serde::Serialize;

use super::position;
use super::predict::shown;
use super::view::{ViewArgs, check, check_layer, texts};
use super::words::AnswerArgs;
use crate::args::positive;
use crate::escape;
use crate::output::{Out, note};

pub(super) use self::report::JsonAnswer;

const EXAMPLES: &str = "Examples:\n\
\x20 glassbox attention \"The cat sat down because its\" --from its --to cat\n\
\x20 glassbox attention \"The capital of France is\" --by logit\n\
\x20 glassbox attention \"one two three one two three\" --from three --to two#1 --by weight\n\
\x20 glassbox attention \"one two three one two three\" --layer 3 --head 5";

/// Show which tokens attend to which
///
/// In each head of each layer, each token spreads a total weight of 1 over itself and the tokens before it. An edge is
/// one such weight: layer.head, token ← token it attends to. The strongest edges are listed; with --from and --to,
/// those of one token or one pair of tokens, so that the list shows which heads attend from one to the other.
///
/// A large weight matters little if it rests on a token whose value is nearly zero. So edges are ranked by the length
/// of the vector that they add to the residual stream (weight × value through the head's output projection), or
/// with --by weight or --by logit by the weight itself or by what they add to the logit of an answer.
///
/// With --head, the whole attention pattern of one head is shown as a matrix: a row for each query token, a column for
/// each key token. On a terminal, only the last tokens that fit are shown.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Only from this token: the one that attends. WORD#2 is the second occurrence, otherwise it is the last
    #[arg(long, value_name = "WORD", conflicts_with = "head")]
    from: Option<OsString>,
    /// Only to this token: the one that is attended to
    #[arg(long, value_name = "WORD", conflicts_with = "head")]
    to: Option<OsString>,
    /// Only from the token at this position, counted from 0
    #[arg(long, value_name = "POSITION", conflicts_with_all = ["head", "from"])]
    from_position: Option<usize>,
    /// Only to the token at this position
    #[arg(long, value_name = "POSITION", conflicts_with_all = ["head", "to"])]
    to_position: Option<usize>,
    /// The order of the edges: weight, value or logit
    #[arg(
        long,
        value_name = "MEASURE",
        value_enum,
        hide_possible_values = true,
        default_value_t = By::Value,
        conflicts_with = "head"
    )]
    by: By,
    #[command(flatten)]
    answer: AnswerArgs,
    /// Include attention to the first token, where many heads put the weight they do not use
    #[arg(long, conflicts_with = "head")]
    with_first: bool,
    /// Include attention of a token to itself
    #[arg(long, conflicts_with = "head")]
    with_self: bool,
    /// Only this layer, counted from 0
    #[arg(long, value_name = "LAYER")]
    layer: Option<usize>,
    /// Show the whole pattern of this head, counted from 0; needs --layer
    #[arg(long, value_name = "HEAD", requires = "layer", conflicts_with_all = ["answer", "answer_id"])]
    head: Option<usize>,
    /// Number of edges to show
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = positive, conflicts_with = "head")]
    top: usize,
    /// Write one JSON object: ids, tokens, by, from, to, first_share, self_share, answer, and edges (layer, head,
    /// query, key, weight, value, logit); with --head: ids, tokens, layer, head and pattern
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    view: ViewArgs,
}

/// The measure by which edges are ranked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum By {
    /// The attention weight
    Weight,
    /// The length of the vector that the edge adds: weight × value through the head's output
    Value,
    /// What that vector adds to the logit of the answer after the attending token
    Logit,
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
    let from = position::given(arguments.from.as_ref(), arguments.from_position, &source, &ids)?;
    let to = position::given(arguments.to.as_ref(), arguments.to_position, &source, &ids)?;
    let answer = arguments.answer.id_after(&source, &ids)?;
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
    let options = EdgeOptions {
        layer: arguments.layer,
        from: from.map(|place| place.position),
        to: to.map(|place| place.position),
        by: match arguments.by {
            By::Weight => EdgeMeasure::Weight,
            By::Value => EdgeMeasure::Value,
            By::Logit => EdgeMeasure::Logit,
        },
        answer,
        include_first: arguments.with_first,
        include_self: arguments.with_self,
        top: arguments.top,
    };
    let edges = strongest_edges(&model, &ids, &options)?;
    let report = report::EdgeView { ids: &ids, source: &source, from, to, options: &options, edges: &edges };
    if arguments.json { report.json(out) } else { report.write(&model.config, out) }
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
