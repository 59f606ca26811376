//! `ablate`: what each part of the model is needed for, by running the model without it.

use std::ops::ControlFlow;

use clap::Args;
use glassbox_model::Config;
use glassbox_model::glass::{self, Ablation, Ablations, Part, PartKind};
use glassbox_tokenizer::Tokenizer;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::explained::aside;
use super::predict::{shown, text};
use super::view::{TokenArgs, ViewArgs, check_layer};
use crate::args::positive;
use crate::escape;
use crate::exit::Interrupted;
use crate::interrupt::Graceful;
use crate::interventions::plural;
use crate::output::{Out, note};
use anyhow::bail;

const EXAMPLES: &str = "Examples:\n\
\x20 glassbox ablate \"The capital of France is\"\n\
\x20 glassbox ablate \"The capital of France is\" --token London --mlps\n\
\x20 glassbox ablate \"The capital of France is\" --neurons 29 --top 5";

/// Run the model without each head, one by one, and rank the heads by their effect
///
/// The output of one head is set to zero (ablated), and the rest of the model does with it what it can. The heads that
/// change the probability of the next token most come first, with the probability before and after, the change of the
/// logit, and the Kullback-Leibler divergence of all probabilities, in nats: 0 if nothing changed. The last column is
/// what the model then finds most likely. The token is the most likely one, or the one given.
///
/// `attribute` shows what a part adds directly; here, all that later parts make of it counts too. To look closer at one
/// part: `predict`, `lens` and `attribute` have --without "head 23.4".
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    token: TokenArgs,
    /// Each head; this is the default
    #[arg(long)]
    heads: bool,
    /// Each MLP (feed-forward layer)
    #[arg(long)]
    mlps: bool,
    /// All heads of each layer together
    #[arg(long)]
    attentions: bool,
    /// Each layer: attention and MLP together
    #[arg(long)]
    layers: bool,
    /// Each neuron of the MLP of this layer
    #[arg(long, value_name = "LAYER")]
    neurons: Option<usize>,
    /// Each expert, if the model has any
    #[arg(long)]
    experts: bool,
    /// Only parts of this layer, counted from 0
    #[arg(long, value_name = "LAYER", conflicts_with = "neurons")]
    layer: Option<usize>,
    /// Number of parts to show
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = positive, conflicts_with = "json")]
    top: usize,
    /// Write one JSON object: ids, token (id, token), before (logit, prob), and all parts, the largest effect first
    ///
    /// Each part has its name as --without takes it, kind, layer, index (of a head, neuron or expert), logit and prob
    /// of the token without it, kl, and the then most likely token (id, token, logit, prob).
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    view: ViewArgs,
}

/// What `--json` writes.
#[derive(Serialize)]
struct Report<'a> {
    ids: &'a [u32],
    id: u32,
    token: String,
    before: Before,
    ablations: Vec<JsonAblation>,
}

#[derive(Serialize)]
struct Before {
    logit: f32,
    prob: f64,
}

#[derive(Serialize)]
struct JsonAblation {
    name: String,
    part: &'static str,
    layer: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<usize>,
    logit: f32,
    prob: f64,
    kl: f64,
    likeliest: Likeliest,
}

#[derive(Serialize)]
struct Likeliest {
    id: u32,
    token: String,
    logit: f32,
    prob: f64,
}

pub(crate) fn run(arguments: &Arguments, out: &mut Out) -> anyhow::Result<()> {
    let (source, ids) = arguments.view.open()?;
    let config = source.checkpoint.config();
    check_layer(arguments.layer.or(arguments.neurons), &source)?;
    let parts = arguments.parts(config)?;
    let token = arguments.token.id_after(&source, &ids)?;
    let tokenizer = source.maybe_tokenizer();
    let model = arguments.view.load(&source)?;

    let bar = ProgressBar::new(parts.len() as u64);
    bar.set_style(ProgressStyle::with_template("{bar:30} {pos}/{len} parts, {eta} left")?);
    let graceful = Graceful::begin();
    let ablations = glass::ablate(&model, &ids, &parts, token, |done| {
        bar.set_position(done as u64);
        if graceful.pressed() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    bar.finish_and_clear();
    drop(graceful);
    if arguments.json {
        out.json(&report(&ablations, &ids, tokenizer))?;
    } else {
        table(&ablations, arguments.top, tokenizer, out)?;
    }
    match parts.len() - ablations.without.len() {
        0 => Ok(()),
        missing => {
            note(format_args!("{missing} of {} parts were not ablated", parts.len()));
            Err(Interrupted.into())
        }
    }
}

impl Arguments {
    /// The parts to ablate.
    fn parts(&self, config: &Config) -> anyhow::Result<Vec<Part>> {
        let layers = self.layer.map_or(0..config.n_layers, |layer| layer..layer + 1);
        let kinds = [
            (self.heads, PartKind::Head),
            (self.attentions, PartKind::Attention),
            (self.mlps, PartKind::Mlp),
            (self.layers, PartKind::Block),
            (self.experts, PartKind::Expert),
        ];
        let mut chosen: Vec<PartKind> =
            kinds.iter().filter(|(given, _)| *given).map(|(_, kind)| *kind).collect();
        if chosen.is_empty() && self.neurons.is_none() {
            chosen.push(PartKind::Head);
        }
        let neurons = self.neurons.map(|layer| (PartKind::Neuron, layer..layer + 1));
        let mut parts = Vec::new();
        for (kind, layers) in chosen.into_iter().map(|kind| (kind, layers.clone())).chain(neurons) {
            if kind.count(config) == 0 {
                bail!("this model has no {} that could be ablated", plural(kind));
            }
            parts.extend(kind.all(config, layers));
        }
        Ok(parts)
    }
}

fn report<'a>(ablations: &Ablations, ids: &'a [u32], tokenizer: Option<&Tokenizer>) -> Report<'a> {
    let ablation = |ablation: &Ablation| JsonAblation {
        name: ablation.part.to_string(),
        part: ablation.part.kind().name(),
        layer: ablation.part.layer(),
        index: ablation.part.index(),
        logit: ablation.token.logit,
        prob: ablation.token.probability,
        kl: ablation.divergence,
        likeliest: Likeliest {
            id: ablation.likeliest.id,
            token: text(tokenizer, ablation.likeliest.id),
            logit: ablation.likeliest.logit,
            prob: ablation.likeliest.probability,
        },
    };
    let before = ablations.before;
    Report {
        ids,
        id: before.id,
        token: text(tokenizer, before.id),
        before: Before { logit: before.logit, prob: before.probability },
        ablations: ablations.ranked().into_iter().map(ablation).collect(),
    }
}

/// Writes a line for the whole model and one for each of the `top` parts with the largest effect.
fn table(
    ablations: &Ablations,
    top: usize,
    tokenizer: Option<&Tokenizer>,
    out: &mut Out,
) -> anyhow::Result<()> {
    let Ablations { before, .. } = ablations;
    let ranked = ablations.ranked();
    let token = shown(tokenizer, before.id);
    let mut kinds: Vec<PartKind> = ranked.iter().map(|ablation| ablation.part.kind()).collect();
    kinds.dedup();
    let parts = match kinds[..] {
        [PartKind::Head] => "heads (--mlps, --layers for others)".to_owned(),
        [kind] => plural(kind).to_owned(),
        _ => "parts".to_owned(),
    };
    note(format_args!(
        "{token} ({}) has {:.4} % and logit {:.4} with the whole model; without each of {} {parts}:",
        before.id,
        before.probability * 100.0,
        before.logit,
        ranked.len()
    ));
    aside(
        out,
        "change: of its probability, in percentage points. Δ logit: change of its score before the softmax. KL: how \
         far all probabilities move together, in nats; 0 is not at all. The model runs again without each part, so \
         what later layers make of its absence counts too; attribute has only a part's direct share.",
    );
    let (shown_parts, rest) = ranked.split_at(top.min(ranked.len()));
    let names: Vec<String> = shown_parts.iter().map(|ablation| ablation.part.to_string()).collect();
    let column = names.iter().map(String::len).max().unwrap_or(0).max(9);
    let heading = format!("{:>10}  {:>9}  {:>9}  {:>9}", "prob", "change", "Δ logit", "KL");
    out.line(out.paint(2, &format!("{}  {heading}  most likely", escape::fit("without", column))))?;
    for (name, ablation) in names.iter().zip(shown_parts) {
        let change = (ablation.token.probability - before.probability) * 100.0;
        let logit = f64::from(ablation.token.logit) - f64::from(before.logit);
        let (prob, kl) = (ablation.token.probability * 100.0, ablation.divergence);
        let colour = if change < 0.0 { 31 } else { 36 };
        let change = out.paint(colour, &format!("{change:>+9.4}"));
        let likeliest = ablation.likeliest;
        let likeliest = format!("{} {:.0} %", shown(tokenizer, likeliest.id), likeliest.probability * 100.0);
        let name = escape::fit(name, column);
        out.line(format_args!("{name}  {prob:>8.4} %  {change}  {logit:>+9.4}  {kl:>9.4}  {likeliest}"))?;
    }
    if let Some(next) = rest.first() {
        let change = ((next.token.probability - before.probability) * 100.0).abs();
        note(format_args!(
            "the other {} change it by {change:.4} points or less; --top shows more",
            rest.len()
        ));
    }
    Ok(())
}
