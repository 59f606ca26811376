//! `watch`: how a model developed during training, from the snapshots of `train --watch`.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use glassbox_tensor::file::temporary::Temporary;
use glassbox_train::plot::{self, COLOURS, Chart, Series};
use glassbox_train::run::{RECIPE, WATCH};
use glassbox_train::watch::{Snapshot, read_snapshots};

use super::explained::{aside, paragraph};
use crate::escape;
use crate::output::{Out, note};
use crate::table::{Cell, Column, Table};

const EXAMPLES: &str = "Examples:\n\
\x20 glassbox train --data book.txt --preset nano --out runs/first\n\
\x20 glassbox watch runs/first";

/// Maximum number of snapshots drawn in one figure.
const MAX_DRAWN: usize = 6;

/// Show how a model developed during training
///
/// Reads the snapshots of `train --watch STEPS`, which the preset nano takes by itself. Prints for each the loss, the
/// most likely words after the prompt and a sample. A loss of L nats is the uncertainty of guessing among e^L tokens
/// that are equally likely; a new model guesses among all tokens. Draws into RUN/watch: the loss at each position of
/// the context (position.svg), the norms of gradients and weights of each block (gradients.svg, weights.svg), the
/// probabilities of the prompt's next tokens (next.svg), and the attention pattern of one head (attention.svg).
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
    if !path.exists() {
        let run = arguments.run.display();
        if arguments.run.join(RECIPE).exists() {
            bail!("{run}: this run kept no snapshots; `glassbox train … --watch 50` keeps them");
        }
        bail!(
            "{run}: there is no training run here; `glassbox train --data FILE --preset nano --out {run}` makes one \
             that keeps snapshots, as does any other run with --watch 50"
        );
    }
    let snapshots = read_snapshots(&path).with_context(|| path.display().to_string())?;
    let Some(last) = snapshots.last() else { bail!("{}: no snapshots found", path.display()) };
    if arguments.json {
        return out.json(&snapshots);
    }
    aside(out, "guessing among: this loss is that of guessing among so many equally likely tokens.");
    table(&snapshots, last, out.width()).print(out)?.note("--json has all");
    if let Some(step) = risen_since(&snapshots) {
        let risen =
            format!("the validation loss has risen since step {step}: the model learns the text by heart");
        paragraph(out, &risen)?;
    }
    let folder = arguments.run.join("watch");
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    for (name, svg) in drawings(&snapshots, last) {
        write(&folder.join(name), &svg)?;
    }
    note(format_args!("drawn       {}", folder.display()));
    Ok(())
}

/// For each snapshot a row of numbers and the most likely words, then a row with the sample. On a terminal of `width`
/// columns, only whole words that fit.
fn table(snapshots: &[Snapshot], last: &Snapshot, width: Option<usize>) -> Table {
    let headings = ["step", "validation loss", "guessing among"];
    let numbers: Vec<[String; 3]> = snapshots.iter().map(numbers).collect();
    let widths = headings.iter().enumerate().map(|(i, heading)| {
        numbers.iter().map(|numbers| numbers[i].len()).fold(heading.len(), usize::max) + 2
    });
    let columns = width.map_or(100, |width| width.saturating_sub(widths.sum::<usize>() + 1));
    let heading = format!("after «{}»: most likely words, a sample", escape(&last.prompt.concat()));
    let text = Column::left(heading).shrinks_to(20);
    let mut table = Table::new(headings.map(Column::right).into_iter().chain([text]));
    for (snapshot, numbers) in snapshots.iter().zip(numbers) {
        let likely = likely(snapshot);
        let likely = likely.iter().map(|(word, share)| format!("{} {:.0} %", escape(word), share * 100.0));
        table.row(numbers.map(Cell::from).into_iter().chain([fitting(likely, "  ", columns).into()]));
        // The last word may be incomplete.
        let mut sample: Vec<String> = snapshot.sample.split_whitespace().map(escape).collect();
        sample.pop();
        if !sample.is_empty() {
            let sample = fitting(sample.into_iter(), " ", columns.saturating_sub(4));
            table.row(
                ["", "", ""]
                    .map(Cell::from)
                    .into_iter()
                    .chain([Cell::from(format!("… {sample} …")).paint(2)]),
            );
        }
    }
    table
}

/// The step, the loss, and among how many tokens one would guess with that loss.
fn numbers(snapshot: &Snapshot) -> [String; 3] {
    let loss = loss(snapshot);
    // Without a validation split there is no loss.
    let (loss, guesses) = match (snapshot.loss_by_position.is_empty(), snapshot.vocab_size) {
        (true, _) => (String::new(), String::new()),
        (false, 0) => (format!("{loss:.3}"), format!("{:.0}", loss.exp())),
        (false, all) => (format!("{loss:.3}"), guesses(loss, all)),
    };
    [snapshot.step.to_string(), loss, guesses]
}

/// Among how many of `all` tokens one would guess with this loss. A new model is slightly worse than guessing.
fn guesses(loss: f64, all: usize) -> String {
    let (guesses, most) = (loss.exp(), all as f64);
    if guesses > 1.1 * most {
        "worse than guessing".into()
    } else {
        format!("{:.0} of {all}", guesses.min(most))
    }
}

/// The step of the lowest validation loss, if the last one is well above it.
fn risen_since(snapshots: &[Snapshot]) -> Option<u64> {
    let measured = || snapshots.iter().filter(|snapshot| !snapshot.loss_by_position.is_empty());
    let best = measured().min_by(|a, b| loss(a).total_cmp(&loss(b)))?;
    (loss(measured().next_back()?) > 1.03 * loss(best)).then_some(best.step)
}

/// The five most likely words with their probabilities. Several tokens may begin the same word.
fn likely(snapshot: &Snapshot) -> Vec<(&str, f64)> {
    let mut words: Vec<(&str, f64)> = Vec::new();
    for next in &snapshot.next {
        let word = if next.word.is_empty() { &next.token } else { &next.word };
        match words.iter_mut().find(|(known, _)| known == word) {
            Some((_, probability)) => *probability += next.probability,
            None => words.push((word, next.probability)),
        }
    }
    words.sort_by(|a, b| b.1.total_cmp(&a.1));
    words.truncate(5);
    words
}

/// As many of `words` as fit in `columns` columns.
fn fitting(words: impl Iterator<Item = String>, gap: &str, columns: usize) -> String {
    let mut line = String::new();
    for word in words {
        let gap = if line.is_empty() { "" } else { gap };
        if escape::width(&line) + gap.len() + escape::width(&word) > columns {
            break;
        }
        line.push_str(gap);
        line.push_str(&word);
    }
    line
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
    // The first snapshot, before the first step, has no gradients.
    let parts = snapshots.last().map_or(&[][..], of);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rising_loss_is_told() {
        let run = |losses: &[f64]| -> Vec<Snapshot> {
            let snapshot = |(step, &loss): (usize, &f64)| Snapshot {
                step: step as u64,
                tokens: 0,
                vocab_size: 512,
                loss_by_position: vec![loss],
                gradient_norms: Vec::new(),
                weight_norms: Vec::new(),
                prompt: Vec::new(),
                next: Vec::new(),
                sample: String::new(),
                attention: Default::default(),
            };
            losses.iter().enumerate().map(snapshot).collect()
        };
        assert_eq!(risen_since(&run(&[6.2, 4.3, 4.5, 8.6])), Some(1));
        assert_eq!(risen_since(&run(&[6.2, 4.3, 4.31])), None);
        assert_eq!(risen_since(&[]), None);
        assert_eq!(
            [8.629, 6.25, 4.536].map(|loss| guesses(loss, 512)),
            ["worse than guessing", "512 of 512", "93 of 512"]
        );
    }

    #[test]
    fn only_whole_words_that_fit_are_shown() {
        let words = || ["Alice", "was", "beginning", "你好"].map(str::to_owned).into_iter();
        assert_eq!(fitting(words(), " ", 9), "Alice was");
        assert_eq!(fitting(words(), " ", 18), "Alice was");
        assert_eq!(fitting(words(), " ", 23), "Alice was beginning");
        assert_eq!(fitting(words(), " ", 24), "Alice was beginning 你好");
        assert_eq!(fitting(words(), " ", 3), "");
    }
}
