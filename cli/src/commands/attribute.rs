//! `attribute`: how much each part of the model adds to the logit of a token.

use clap::Args;
use glassbox_model::glass::{self, Attribution, Component, Contribution};
use serde::Serialize;

use super::predict::{shown, text};
use super::view::{TokenArgs, ViewArgs};
use crate::args::positive;
use crate::escape;
use crate::output::{Out, note};

const EXAMPLES: &str = "Examples:\n\
\x20 glassbox attribute \"The capital of France is\"\n\
\x20 glassbox attribute \"The capital of France is\" --token \" London\" --top 30";

/// Show the contribution of each part to the next token's logit
///
/// Direct logit attribution: the last token's residual vector is the sum of its embedding and the outputs of all
/// attention heads and feed-forward layers (MLPs). With the scale of the final norm held at its value in this run, the
/// logit of a token is a sum over the same parts. The largest contributions are shown; all of them add up to the logit.
/// The token is the most likely one, or the one given.
#[derive(Args, Debug)]
// The contributions are sums in f32, so the run must use f32 too.
#[command(after_long_help = EXAMPLES, mut_arg("compute", |compute| compute.default_value("f32")))]
pub(crate) struct Arguments {
    #[command(flatten)]
    token: TokenArgs,
    /// Number of parts to show
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = positive, conflicts_with = "json")]
    top: usize,
    /// Write one JSON object: ids, token, its logit, the sum, and all contributions (part, layer, head, logit)
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
    logit: f32,
    sum: f64,
    contributions: Vec<JsonContribution>,
}

#[derive(Serialize)]
struct JsonContribution {
    part: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    layer: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<usize>,
    logit: f64,
}

pub(crate) fn run(arguments: &Arguments, out: &mut Out) -> anyhow::Result<()> {
    let (source, ids) = arguments.view.open()?;
    let token = arguments.token.id_after(&source, &ids)?;
    let tokenizer = source.maybe_tokenizer();
    let model = arguments.view.load(&source)?;
    let attribution = glass::attribute(&model, &ids, token)?;
    if arguments.json {
        let contributions = attribution.contributions.iter().map(|&Contribution { part, logit }| {
            let (part, layer, head) = parts(part);
            JsonContribution { part, layer, head, logit }
        });
        return out.json(&Report {
            ids: &ids,
            id: attribution.token,
            token: text(tokenizer, attribution.token),
            logit: attribution.logit,
            sum: attribution.sum(),
            contributions: contributions.collect(),
        });
    }
    note(format_args!("logit of {} ({})", shown(tokenizer, attribution.token), attribution.token));
    chart(&attribution, arguments.top, out)
}

/// A part's kind, layer and head.
fn parts(part: Component) -> (&'static str, Option<usize>, Option<usize>) {
    match part {
        Component::Embedding => ("embedding", None, None),
        Component::PositionEmbedding => ("position embedding", None, None),
        Component::Head { layer, head } => ("head", Some(layer), Some(head)),
        Component::AttentionBias { layer } => ("attention bias", Some(layer), None),
        Component::Mlp { layer } => ("mlp", Some(layer), None),
        Component::FinalNormBias => ("final norm bias", None, None),
    }
}

/// Writes a line for each of the `top` largest parts, one for the rest, and one for the sum.
fn chart(attribution: &Attribution, top: usize, out: &mut Out) -> anyhow::Result<()> {
    let mut order: Vec<&Contribution> = attribution.contributions.iter().collect();
    order.sort_by(|a, b| b.logit.abs().total_cmp(&a.logit.abs()));
    let (shown, rest) = order.split_at(top.min(order.len()));
    let most = shown.first().map_or(0.0, |largest| largest.logit.abs()).max(f64::MIN_POSITIVE);
    let name = |part| match parts(part) {
        (kind, None, _) => kind.to_owned(),
        (kind, Some(layer), None) => format!("{kind} {layer}"),
        (kind, Some(layer), Some(head)) => format!("{kind} {layer}.{head}"),
    };
    let line = |name: &str, logit: f64| format!("{}  {logit:>+10.4}", escape::fit(name, 20));
    out.line(out.paint(2, &format!("{}  {:>10}", escape::fit("part", 20), "logit")))?;
    for contribution in shown {
        let line = line(&name(contribution.part), contribution.logit);
        match out.width().map(|width| width.saturating_sub(escape::width(&line) + 3) / 2) {
            Some(half) if half > 0 => {
                let colour = if contribution.logit < 0.0 { 31 } else { 36 };
                let bar = signed_bar(contribution.logit / most, half);
                out.line(format_args!("{line}  {}", out.paint(colour, &bar)))?;
            }
            _ => out.line(line)?,
        }
    }
    if !rest.is_empty() {
        let others = format!("{} others", rest.len());
        out.line(line(&others, rest.iter().map(|contribution| contribution.logit).sum()))?;
    }
    out.line(out.paint(1, &line("sum", attribution.sum())))?;
    out.line(out.paint(2, &line("logit", f64::from(attribution.logit))))?;
    Ok(())
}

/// A bar that fills the fraction `share` of `half` columns, to the right of the middle or, if negative, to the left; in
/// steps of half a column.
fn signed_bar(share: f64, half: usize) -> String {
    let halves = (share.abs().min(1.0) * half as f64 * 2.0).round() as usize;
    let (full, odd) = ("█".repeat(halves / 2), halves % 2 == 1);
    if share < 0.0 {
        let blank = half - halves.div_ceil(2);
        return format!("{}{}{full}", " ".repeat(blank), if odd { "▐" } else { "" });
    }
    format!("{}{full}{}", " ".repeat(half), if odd { "▌" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_grow_from_the_middle() {
        assert_eq!(signed_bar(1.0, 3), "   ███");
        assert_eq!(signed_bar(0.5, 3), "   █▌");
        assert_eq!(signed_bar(-0.5, 3), " ▐█");
        assert_eq!(signed_bar(-1.0, 3), "███");
        assert_eq!(signed_bar(0.0, 3), "   ");
    }
}
