//! `watch`: how a model developed during training, from the snapshots of `train --watch`.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use glassbox_tensor::file::temporary::Temporary;
use glassbox_train::plot::{self, COLOURS, Chart, Series};
use glassbox_train::run::WATCH;
use glassbox_train::watch::{Snapshot, read_snapshots};

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
    let snapshots = read_snapshots(&path).with_context(|| path.display().to_string())?;
    let Some(last) = snapshots.last() else { bail!("{}: no snapshots found", path.display()) };
    if arguments.json {
        return out.json(&snapshots);
    }
    out.line(
        out.paint(2, &format!("{:>8}  {:>7}  after «{}»", "step", "loss", escape(&last.prompt.concat()))),
    )?;
    for snapshot in &snapshots {
        let next = snapshot.next.iter().take(5);
        let next: Vec<String> =
            next.map(|next| format!("{} {:.0} %", escape(&next.token), next.probability * 100.0)).collect();
        out.line(format_args!("{:>8}  {:>7.3}  {}", snapshot.step, loss(snapshot), next.join("  ")))?;
    }
    let folder = arguments.run.join("watch");
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    for (name, svg) in drawings(&snapshots, last) {
        write(&folder.join(name), &svg)?;
    }
    note(format_args!("drawn       {}", folder.display()));
    Ok(())
}

/// All figures with their file names.
fn drawings(snapshots: &[Snapshot], last: &Snapshot) -> [(&'static str, String); 5] {
    [
        ("position.svg", by_position(&spread(snapshots))),
        ("gradients.svg", norms("Gradient norm", snapshots, |snapshot| &snapshot.gradient_norms)),
        ("weights.svg", norms("Weight norm", snapshots, |snapshot| &snapshot.weight_norms)),
        ("next.svg", next(snapshots, last)),
        ("attention.svg", attention(&spread(snapshots), last)),
    ]
}

fn by_position(snapshots: &[&Snapshot]) -> String {
    let series = snapshots.iter().zip(COLOURS).map(|(snapshot, colour)| Series {
        name: format!("step {}", snapshot.step),
        points: (0..).map(f64::from).zip(snapshot.loss_by_position.iter().copied()).collect(),
        colour,
    });
    chart("Loss by position", "position in the context", "nats per token", series.collect())
}

fn norms(title: &str, snapshots: &[Snapshot], of: fn(&Snapshot) -> &[(String, f64)]) -> String {
    let parts = snapshots.first().map_or(&[][..], of);
    let series = parts.iter().zip(COLOURS.iter().cycle()).map(|((name, _), colour)| {
        let value = |snapshot| of(snapshot).iter().find(|(part, _)| part == name).map(|(_, norm)| *norm);
        let points = snapshots.iter().filter_map(|snapshot| Some((snapshot.step as f64, value(snapshot)?)));
        Series { name: name.clone(), points: points.collect(), colour }
    });
    chart(title, "step", "L2 norm", series.collect())
}

/// The probabilities over time of the tokens that are most likely in the last snapshot.
fn next(snapshots: &[Snapshot], last: &Snapshot) -> String {
    let series = last.next.iter().take(6).zip(COLOURS).map(|(token, colour)| {
        let probability = |snapshot: &Snapshot| {
            let found = snapshot.next.iter().find(|next| next.token == token.token);
            found.map_or(0.0, |next| next.probability)
        };
        let points = snapshots.iter().map(|snapshot| (snapshot.step as f64, probability(snapshot)));
        Series { name: format!("«{}»", escape(&token.token)), points: points.collect(), colour }
    });
    let title = format!("Next token after «{}»", escape(&last.prompt.concat()));
    chart(&title, "step", "probability", series.collect())
}

fn attention(snapshots: &[&Snapshot], last: &Snapshot) -> String {
    let labels: Vec<String> = last.prompt.iter().map(|token| escape(token)).collect();
    let squares: Vec<(String, &[Vec<f32>])> = snapshots
        .iter()
        .map(|snapshot| (format!("step {}", snapshot.step), &snapshot.attention.pattern[..]))
        .collect();
    let (layer, head) = (last.attention.layer, last.attention.head);
    plot::squares(&format!("Attention pattern of head {head} in block {layer}"), &labels, &squares)
}

fn chart(title: &str, x: &str, y: &str, series: Vec<Series>) -> String {
    Chart { title: title.into(), x: x.into(), y: y.into(), series }.svg()
}

/// At most [`MAX_DRAWN`] snapshots, evenly spaced, the first and the last included.
fn spread(snapshots: &[Snapshot]) -> Vec<&Snapshot> {
    let count = snapshots.len().min(MAX_DRAWN);
    (0..count).map(|i| &snapshots[i * (snapshots.len() - 1) / (count - 1).max(1)]).collect()
}

fn loss(snapshot: &Snapshot) -> f64 {
    snapshot.loss_by_position.iter().sum::<f64>() / snapshot.loss_by_position.len().max(1) as f64
}

fn escape(text: &str) -> String {
    escape::visible(text.as_bytes())
}

/// Writes a figure atomically.
fn write(path: &Path, svg: &str) -> anyhow::Result<()> {
    let written = Temporary::beside(path).and_then(|(temporary, mut file)| {
        file.write_all(svg.as_bytes())?;
        drop(file);
        temporary.rename(path)
    });
    written.with_context(|| path.display().to_string())
}
