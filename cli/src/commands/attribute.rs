//! `attribute`: how much each part of the model adds to the logit of a token.

use clap::Args;
use glassbox_model::Runtime;
use glassbox_model::glass::{self, Attribution};
use glassbox_tokenizer::Tokenizer;
use serde::Serialize;

use super::attribute_chart::{Column, chart, parts};
use super::explained::aside;
use super::predict::{shown, text};
use super::view::{TokenArgs, ViewArgs, token_id};
use crate::args::positive;
use crate::interventions::InterventionArgs;
use crate::not_finite;
use crate::output::{Out, note};

const EXAMPLES: &str = "Examples:\n\
\x20 glassbox attribute \"The capital of France is\"\n\
\x20 glassbox attribute \"The capital of France is\" --token Paris --against London\n\
\x20 glassbox attribute \"The capital of France is\" --token Paris --without \"head 23.4\"";

/// Show the contribution of each part to the next token's logit
///
/// Direct logit attribution: the last token's residual vector is the sum of its embedding and the outputs of all
/// attention heads and feed-forward layers (MLPs). With the scale of the final norm held at its value in this run, the
/// logit of a token is a sum over the same parts. The largest contributions are shown; all of them add up to the logit.
/// The token is the most likely one, or the one given.
///
/// A part may add to every token alike. With --against, the contributions to two logits and their difference are shown:
/// what speaks for one token rather than the other. With --without, --steer or --patch, the model is changed, and the
/// contributions are shown before and after: which parts relied on what was changed.
#[derive(Args, Debug)]
// The contributions are sums in f32, so the run must use f32 too.
#[command(after_long_help = EXAMPLES, mut_arg("compute", |compute| compute.default_value("f32")))]
pub(crate) struct Arguments {
    #[command(flatten)]
    token: TokenArgs,
    /// Show what speaks for the token rather than for this one: a word, read as in --token
    #[arg(long, value_name = "TEXT")]
    against: Option<std::ffi::OsString>,
    /// The other token as an id
    #[arg(long, value_name = "ID", conflicts_with = "against")]
    against_id: Option<u32>,
    /// Number of parts to show
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = positive, conflicts_with = "json")]
    top: usize,
    /// Write one JSON object: ids, token, its logit, the sum, and all contributions (part, layer, head, logit)
    ///
    /// With --against, also against (id, token, logit, sum), and in each contribution against and difference. Of a
    /// changed model: interventions, before and after, each such an object.
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
    id: u32,
    token: String,
    logit: f32,
    sum: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    against: Option<Against>,
    contributions: Vec<JsonContribution>,
}

#[derive(Serialize)]
struct Against {
    id: u32,
    token: String,
    logit: f32,
    sum: f64,
}

#[derive(Serialize)]
struct JsonContribution {
    part: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    layer: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<usize>,
    logit: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    against: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    difference: Option<f64>,
}

pub(crate) fn run(arguments: &Arguments, out: &mut Out) -> anyhow::Result<()> {
    let (source, ids) = arguments.view.open()?;
    let token = arguments.token.id_after(&source, &ids)?;
    let against = token_id("--against", arguments.against.as_ref(), arguments.against_id, &source, &ids)?;
    let planned = arguments.interventions.read(&source, Some(&ids))?;
    let tokenizer = source.maybe_tokenizer();
    let model = arguments.view.load(&source)?;
    let first = glass::attribute(&model, &ids, token)?;
    not_finite::check(&[first.logit], &model, &ids)?;
    let other = match against {
        Some(against) => glass::attribute_each(&model, &ids, &[against])?.pop(),
        None => None,
    };
    let before = Attributed { own: first, other };
    let after = planned.as_ref().map(|planned| before.again(&planned.apply(&model), &ids)).transpose()?;
    if arguments.json {
        return match (&planned, &after) {
            (Some(planned), Some(after)) => {
                out.json(&planned.pair(before.report(&ids, tokenizer), after.report(&ids, tokenizer)))
            }
            _ => out.json(&before.report(&ids, tokenizer)),
        };
    }
    let label = |attribution: &Attribution| {
        format!("{} ({})", shown(tokenizer, attribution.token), attribution.token)
    };
    let own = label(&before.own);
    match &before.other {
        Some(other) => note(format_args!("logit of {own} minus that of {}", label(other))),
        None => note(format_args!("logit of {own}")),
    }
    aside(
        out,
        "A logit is a token's score before the softmax: the sum of what each part of the model adds to it directly. \
         head: layer.head of attention; mlp: a layer's feed-forward part. What later layers make of a part counts as \
         theirs; ablate runs the model again without the part, and counts that too.",
    );
    let columns = match (&after, &before.other) {
        (Some(after), _) => {
            if let Some(planned) = &planned {
                note(format_args!("after: {}", planned.heading()));
            }
            let (before, after) = (before.effective(), after.effective());
            let change = before.change_to(&after);
            vec![("before".to_owned(), before), ("after".to_owned(), after), ("change".to_owned(), change)]
        }
        (None, Some(other)) => {
            let name = |attribution: &Attribution| shown(tokenizer, attribution.token);
            let columns = [(name(&before.own), Column::of(&before.own)), (name(other), Column::of(other))];
            columns.into_iter().chain([("difference".to_owned(), before.effective())]).collect()
        }
        (None, None) => vec![("logit".to_owned(), Column::of(&before.own))],
    };
    chart(&columns, arguments.top, out)
}

/// The attribution of a token, and of the one that it is compared with.
struct Attributed {
    own: Attribution,
    other: Option<Attribution>,
}

impl Attributed {
    /// The same tokens in another model.
    fn again(&self, model: &Runtime, ids: &[u32]) -> anyhow::Result<Attributed> {
        let tokens: Vec<u32> =
            std::iter::once(&self.own).chain(&self.other).map(|attribution| attribution.token).collect();
        let mut each = glass::attribute_each(model, ids, &tokens)?;
        let other = if self.other.is_some() { each.pop() } else { None };
        let own = each.pop().ok_or_else(|| anyhow::anyhow!("no token to attribute"))?;
        Ok(Attributed { own, other })
    }

    /// The contributions to the token's logit, or to the difference of both logits.
    fn effective(&self) -> Column {
        let own = Column::of(&self.own);
        match &self.other {
            None => own,
            Some(other) => Column {
                shares: self.own.minus(other).iter().map(|share| (share.part, share.logit)).collect(),
                sum: own.sum - other.sum(),
                logit: own.logit - f64::from(other.logit),
            },
        }
    }

    fn report<'a>(&self, ids: &'a [u32], tokenizer: Option<&Tokenizer>) -> Report<'a> {
        let own = &self.own;
        let other = |i: usize| Some(self.other.as_ref()?.contributions.get(i)?.logit);
        let contributions = own.contributions.iter().enumerate().map(|(i, share)| {
            let (part, layer, head) = parts(share.part);
            let (logit, against) = (share.logit, other(i));
            let difference = against.map(|against| logit - against);
            JsonContribution { part, layer, head, logit, against, difference }
        });
        let against = self.other.as_ref().map(|other| Against {
            id: other.token,
            token: text(tokenizer, other.token),
            logit: other.logit,
            sum: other.sum(),
        });
        Report {
            ids,
            id: own.token,
            token: text(tokenizer, own.token),
            logit: own.logit,
            sum: own.sum(),
            against,
            contributions: contributions.collect(),
        }
    }
}
