//! `neurons`: which neurons answer at a token, and what they push towards.

use clap::{Args, ValueEnum};
use glassbox_model::config::MlpKind;
use glassbox_model::glass::{self, Baseline, Neuron, NeuronMeasure, NeuronOptions, Neurons, TokenEffect};
use serde::Serialize;

use super::attention::JsonAnswer;
use super::explained::{columns, fitting, paragraph};
use super::position::{self, Place};
use super::predict::{shown, text};
use super::view::{TokenArgs, ViewArgs, check_layer, texts};
use super::words::AnswerArgs;
use crate::args::positive;
use crate::escape;
use crate::model_source::Source;
use crate::output::Out;

const EXAMPLES: &str = "Examples:\n\
\x20 glassbox neurons \"The capital of France is\" --token France\n\
\x20 glassbox neurons \"The capital of France is\" --by logit --answer Paris\n\
\x20 glassbox neurons \"The capital of France is\" --layer 20 --top 5 --tokens 8";

/// Show the neurons that answer at a token, and what they push towards
///
/// A neuron is one of the d_ff hidden values of a feed-forward layer (MLP). It reads one direction of a token's vector
/// and answers with a number, its activation. Then it adds its output vector, times the activation, to the residual
/// stream. The neurons are ranked by how far their activation is beyond what is usual in ordinary text, with --by size
/// by the length of what they add, or with --by logit by what it does to the logit of an answer. For each, the tokens
/// are shown whose logits it raises and lowers most: its direct effect, through the final norm and the unembedding,
/// without the layers in between.
///
/// In a mixture of experts, a neuron is layer.expert.neuron, of the experts that the token uses.
#[derive(Args, Debug)]
// The activations are sums in f32, so the run must use f32 too.
#[command(after_long_help = EXAMPLES, mut_arg("compute", |compute| compute.default_value("f32")))]
pub(crate) struct Arguments {
    #[command(flatten)]
    token: TokenArgs,
    /// The token at this position, counted from 0; by default the last one
    #[arg(long, value_name = "POSITION", conflicts_with_all = ["token", "token_id"])]
    position: Option<usize>,
    /// Only this layer, counted from 0
    #[arg(long, value_name = "LAYER")]
    layer: Option<usize>,
    /// The order of the neurons [default: unusual; size in a mixture of experts]
    #[arg(long, value_name = "MEASURE", value_enum)]
    by: Option<By>,
    #[command(flatten)]
    answer: AnswerArgs,
    /// Number of neurons to show
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = positive)]
    top: usize,
    /// Number of tokens that each neuron raises, and lowers
    #[arg(long, value_name = "N", default_value_t = 4)]
    tokens: usize,
    /// Write one JSON object: ids, tokens, position, by, count, answer, and neurons (layer, expert, neuron, activation,
    /// size, unusual, logit, raises, lowers)
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    view: ViewArgs,
}

/// The measure by which neurons are ranked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum By {
    /// How far the activation is beyond its mean in ordinary text, in standard deviations
    Unusual,
    /// The length of the vector that it adds: activation × length of its output vector
    Size,
    /// What that vector adds to the logit of the answer
    Logit,
}

/// What `--json` writes.
#[derive(Serialize)]
struct Report<'a> {
    ids: &'a [u32],
    tokens: Vec<String>,
    position: usize,
    by: &'static str,
    count: usize,
    answer: JsonAnswer,
    neurons: Vec<JsonNeuron>,
}

#[derive(Serialize)]
struct JsonNeuron {
    layer: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    expert: Option<usize>,
    neuron: usize,
    activation: f64,
    size: f64,
    /// Only if it was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    unusual: Option<f64>,
    logit: f64,
    raises: Vec<JsonEffect>,
    lowers: Vec<JsonEffect>,
}

/// A token, and the change of its logit.
#[derive(Serialize)]
pub(super) struct JsonEffect {
    id: u32,
    token: String,
    logit: f64,
}

impl JsonEffect {
    pub(super) fn all(effects: &[TokenEffect], source: &Source) -> Vec<JsonEffect> {
        let tokenizer = source.maybe_tokenizer();
        let effect = |effect: &TokenEffect| JsonEffect {
            id: effect.id,
            token: text(tokenizer, effect.id),
            logit: effect.logit,
        };
        effects.iter().map(effect).collect()
    }
}

pub(crate) fn run(arguments: &Arguments, out: &mut Out) -> anyhow::Result<()> {
    let (source, ids) = arguments.view.open()?;
    check_layer(arguments.layer, &source)?;
    let place = match arguments.token.place(&source, &ids)? {
        Some(place) => Some(place),
        None => position::given(None, arguments.position, &source, &ids)?,
    };
    let place = place.unwrap_or(Place::at(ids.len() - 1));
    let experts = matches!(source.checkpoint.config().mlp, MlpKind::Experts { .. });
    let by = arguments.by.unwrap_or(if experts { By::Size } else { By::Unusual });
    let options = NeuronOptions {
        position: place.position,
        layer: arguments.layer,
        by: match by {
            By::Unusual => NeuronMeasure::Unusual,
            By::Size => NeuronMeasure::Size,
            By::Logit => NeuronMeasure::Logit,
        },
        answer: arguments.answer.id_after(&source, &ids)?,
        top: arguments.top,
        tokens: arguments.tokens,
    };
    let model = arguments.view.load(&source)?;
    let measured = by == By::Unusual;
    let baseline =
        measured.then(|| Baseline::of_ordinary_text(&model, source.maybe_tokenizer())).transpose()?;
    let found = glass::neurons(&model, &ids, &options, baseline.as_ref())?;
    if arguments.json {
        let neuron = |neuron: &Neuron| JsonNeuron {
            layer: neuron.layer,
            expert: neuron.expert,
            neuron: neuron.neuron,
            activation: neuron.activation,
            size: neuron.size,
            unusual: baseline.is_some().then_some(neuron.unusual),
            logit: neuron.logit,
            raises: JsonEffect::all(&neuron.raises, &source),
            lowers: JsonEffect::all(&neuron.lowers, &source),
        };
        return out.json(&Report {
            ids: &ids,
            tokens: texts(source.maybe_tokenizer(), &ids),
            position: place.position,
            by: match by {
                By::Unusual => "unusual",
                By::Size => "size",
                By::Logit => "logit",
            },
            count: found.count,
            answer: JsonAnswer::of(&found.answer, &source),
            neurons: found.neurons.iter().map(neuron).collect(),
        });
    }
    let question = place.named(&source, &ids);
    explain(&found, &question, (by, arguments.layer, arguments.tokens), &source, out)?;
    table(&found, by == By::Unusual, arguments.tokens > 0, &source, out)
}

/// Writes what the table shows, in plain words.
fn explain(
    found: &Neurons,
    question: &str,
    (by, layer, tokens): (By, Option<usize>, usize),
    source: &Source,
    out: &mut Out,
) -> anyhow::Result<()> {
    let answer = shown(source.maybe_tokenizer(), found.answer.id);
    let (what, measure) = match by {
        By::Unusual => ("respond".to_owned(), "are far more active than usual"),
        By::Size => ("respond".to_owned(), "add the longest vectors, by size"),
        By::Logit => (format!("speak for or against {answer}"), "change its logit most, by logit"),
    };
    let scope = layer.map_or("all layers".to_owned(), |layer| format!("layer {layer}"));
    paragraph(
        out,
        &format!(
            "Which neurons {what} at {question}? Of {} in the MLPs of {scope}, those that {measure}:",
            found.count
        ),
    )?;
    let experts = found.neurons.iter().any(|neuron| neuron.expert.is_some());
    let name = if experts { "layer.expert.neuron" } else { "layer.neuron" };
    paragraph(
        out,
        &format!(
            "neuron: {name}. activation: its value here; its output vector times this is added to the token's vector."
        ),
    )?;
    paragraph(out, "size: length of the added vector.")?;
    if by == By::Unusual {
        paragraph(
            out,
            "unusual: how far the activation is beyond its mean in ordinary text, in standard deviations.",
        )?;
    }
    paragraph(
        out,
        &format!(
            "logit: what it directly adds to the logit of {answer} as the token after {question}, which is {:.4}; \
             --answer WORD asks for another token.",
            found.answer.logit
        ),
    )?;
    if tokens > 0 {
        paragraph(
            out,
            "+ and −: the tokens whose logits it directly raises and lowers most, at this activation. In early layers \
             they mean little: later layers read the vector first.",
        )?;
    }
    Ok(())
}

fn table(
    found: &Neurons,
    unusual: bool,
    with_tokens: bool,
    source: &Source,
    out: &mut Out,
) -> anyhow::Result<()> {
    let tokenizer = source.maybe_tokenizer();
    let name = |neuron: &Neuron| match neuron.expert {
        Some(expert) => format!("{}.{expert}.{}", neuron.layer, neuron.neuron),
        None => format!("{}.{}", neuron.layer, neuron.neuron),
    };
    let width = found.neurons.iter().map(|neuron| name(neuron).len()).max().unwrap_or(0).max(6);
    let tokens = if with_tokens { "  + raises, − lowers" } else { "" };
    let heading = format!(
        "{:<width$}  activation     size{}     logit{tokens}",
        "neuron",
        if unusual { "  unusual" } else { "" }
    );
    out.line(out.paint(2, &heading))?;
    for neuron in &found.neurons {
        let numbers = format!(
            "{:<width$}  {:>10.2}  {:>7.2}{}  {:>+8.4}",
            name(neuron),
            neuron.activation,
            neuron.size,
            if unusual { format!("  {:>7.2}", neuron.unusual) } else { String::new() },
            neuron.logit
        );
        let indent = escape::width(&numbers);
        let room = columns(out).saturating_sub(indent + 4);
        let line =
            |effects: &[TokenEffect]| fitting(effects.iter().map(|effect| shown(tokenizer, effect.id)), room);
        if !with_tokens {
            out.line(numbers)?;
            continue;
        }
        out.line(format_args!("{numbers}  {} {}", out.paint(36, "+"), line(&neuron.raises)))?;
        out.line(format_args!("{:indent$}  {} {}", "", out.paint(31, "−"), line(&neuron.lowers)))?;
    }
    Ok(())
}
