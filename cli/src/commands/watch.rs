//! `watch`: how a model developed during training, from the snapshots of `train --watch`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use glassbox_train::plot::{self, COLOURS, Chart, Series};
use glassbox_train::run::WATCH;
use glassbox_train::watch::{Glimpse, read_glimpses};

use crate::escape;
use crate::output::{Out, note};

const EXAMPLES: &str = "Examples:\n\
\x20 glassbox train --data book.txt --preset nano --out runs/first --watch 50\n\
\x20 glassbox watch runs/first";

/// Maximum number of snapshots drawn in one figure.
const MAX_DRAWN: usize = 6;

/// Show how a model developed during training
///
/// Reads the snapshots of `train --watch STEPS`. Prints for each the most likely tokens after the prompt, and draws
/// into RUN/watch: the loss at each position of the context (position.svg), the norms of gradients and weights of each
/// block (gradients.svg, weights.svg), the probabilities of the prompt's next tokens (next.svg), and the attention
/// pattern of one head (attention.svg).
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Folder of the run
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Write the snapshots as one JSON array, and draw nothing
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments, out: &mut Out) -> anyhow::Result<()> {
    let path = arguments.run.join(WATCH);
    let glimpses = read_glimpses(&path).with_context(|| path.display().to_string())?;
    let Some(last) = glimpses.last() else { bail!("{}: no snapshots found", path.display()) };
    if arguments.json {
        return out.json(&glimpses);
    }
    out.line(
        out.paint(2, &format!("{:>8}  {:>7}  after «{}»", "step", "loss", escape(&last.prompt.concat()))),
    )?;
    for glimpse in &glimpses {
        let next = glimpse.next.iter().take(5);
        let next: Vec<String> =
            next.map(|next| format!("{} {:.0} %", escape(&next.token), next.probability * 100.0)).collect();
        out.line(format_args!("{:>8}  {:>7.3}  {}", glimpse.step, loss(glimpse), next.join("  ")))?;
    }
    let folder = arguments.run.join("watch");
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    for (name, svg) in drawings(&glimpses, last) {
        write(&folder.join(name), &svg)?;
    }
    note(format_args!("drawn       {}", folder.display()));
    Ok(())
}

/// All figures with their file names.
fn drawings(glimpses: &[Glimpse], last: &Glimpse) -> [(&'static str, String); 5] {
    [
        ("position.svg", by_position(&spread(glimpses))),
        ("gradients.svg", norms("Gradient norm", glimpses, |glimpse| &glimpse.gradient_norms)),
        ("weights.svg", norms("Weight norm", glimpses, |glimpse| &glimpse.weight_norms)),
        ("next.svg", next(glimpses, last)),
        ("attention.svg", attention(&spread(glimpses), last)),
    ]
}

fn by_position(glimpses: &[&Glimpse]) -> String {
    let series = glimpses.iter().zip(COLOURS).map(|(glimpse, colour)| Series {
        name: format!("step {}", glimpse.step),
        points: (0..).map(f64::from).zip(glimpse.loss_by_position.iter().copied()).collect(),
        colour,
    });
    chart("Loss by position", "position in the context", "nats per token", series.collect())
}

fn norms(title: &str, glimpses: &[Glimpse], of: fn(&Glimpse) -> &[(String, f64)]) -> String {
    let parts = glimpses.first().map_or(&[][..], of);
    let series = parts.iter().zip(COLOURS.iter().cycle()).map(|((name, _), colour)| {
        let value = |glimpse| of(glimpse).iter().find(|(part, _)| part == name).map(|(_, norm)| *norm);
        let points = glimpses.iter().filter_map(|glimpse| Some((glimpse.step as f64, value(glimpse)?)));
        Series { name: name.clone(), points: points.collect(), colour }
    });
    chart(title, "step", "L2 norm", series.collect())
}

/// The probabilities over time of the tokens that are most likely in the last snapshot.
fn next(glimpses: &[Glimpse], last: &Glimpse) -> String {
    let series = last.next.iter().take(6).zip(COLOURS).map(|(token, colour)| {
        let probability = |glimpse: &Glimpse| {
            let found = glimpse.next.iter().find(|next| next.token == token.token);
            found.map_or(0.0, |next| next.probability)
        };
        let points = glimpses.iter().map(|glimpse| (glimpse.step as f64, probability(glimpse)));
        Series { name: format!("«{}»", escape(&token.token)), points: points.collect(), colour }
    });
    let title = format!("Next token after «{}»", escape(&last.prompt.concat()));
    chart(&title, "step", "probability", series.collect())
}

fn attention(glimpses: &[&Glimpse], last: &Glimpse) -> String {
    let labels: Vec<String> = last.prompt.iter().map(|token| escape(token)).collect();
    let squares: Vec<(String, &[Vec<f32>])> = glimpses
        .iter()
        .map(|glimpse| (format!("step {}", glimpse.step), &glimpse.attention.pattern[..]))
        .collect();
    let (layer, head) = (last.attention.layer, last.attention.head);
    plot::squares(&format!("Attention pattern of head {head} in block {layer}"), &labels, &squares)
}

fn chart(title: &str, x: &str, y: &str, series: Vec<Series>) -> String {
    Chart { title: title.into(), x: x.into(), y: y.into(), series }.svg()
}

/// At most [`MAX_DRAWN`] snapshots, evenly spaced, the first and the last included.
fn spread(glimpses: &[Glimpse]) -> Vec<&Glimpse> {
    let count = glimpses.len().min(MAX_DRAWN);
    (0..count).map(|i| &glimpses[i * (glimpses.len() - 1) / (count - 1).max(1)]).collect()
}

fn loss(glimpse: &Glimpse) -> f64 {
    glimpse.loss_by_position.iter().sum::<f64>() / glimpse.loss_by_position.len().max(1) as f64
}

fn escape(text: &str) -> String {
    escape::visible(text.as_bytes())
}

/// Writes a figure atomically.
fn write(path: &Path, svg: &str) -> anyhow::Result<()> {
    let temporary = path.with_extension("tmp");
    let written = fs::write(&temporary, svg).and_then(|()| fs::rename(&temporary, path));
    written.with_context(|| path.display().to_string())
}
