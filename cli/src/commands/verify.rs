//! `verify`: compares the model's intermediate values with a reference and names the first that departs.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use glassbox_model::glass::{self, Comparison, LogitComparison, Reference, Verdict};
use serde::Serialize;

use super::trace::number;
use crate::args::{MachineArgs, ModelArgs};
use crate::model_source::Source;
use crate::output::Out;

const EXAMPLES: &str = "Examples:\n\
\x20 python scripts/dump_reference.py FOLDER dump.safetensors --prompt \"Hello\"\n\
\x20 glassbox verify -m FOLDER --reference dump.safetensors";

/// Compare the model's intermediate values with a reference
///
/// The reference is a safetensors file with named values and the token ids they belong to, as written by
/// scripts/dump_reference.py (with Hugging Face transformers) or by `glassbox trace --out`. Every value in it is
/// compared, in the order of computation, and the first that departs is named; later ones may depart only because of
/// it. The exit code is 0 if all agree.
///
/// A number agrees if |difference| <= tolerance * (1 + |reference| + largest / 100), where largest is the largest
/// magnitude in its row: SmolLM2 has components above 10,000, and beside them float32 cannot represent 0.001. So that
/// small numbers are checked too, the norm of a value's difference may be at most 100 * tolerance times the value's
/// norm.
#[derive(Args, Debug)]
// References are computed in float32 throughout.
#[command(after_long_help = EXAMPLES, mut_arg("compute", |compute| compute.default_value("f32")))]
pub(crate) struct Arguments {
    #[command(flatten)]
    model: ModelArgs,
    /// Safetensors file to compare with
    #[arg(long, value_name = "FILE")]
    reference: PathBuf,
    /// Tolerance, relative to 1 + |reference| + largest / 100
    ///
    /// float32 sums in another order differ by about 1e-5; a weight changed by one percent causes about 1e-2.
    #[arg(long, value_name = "T", default_value_t = 1e-4, value_parser = tolerance, allow_negative_numbers = true)]
    tolerance: f64,
    /// Write one JSON object: agrees, first_departure, tolerance, ids, activations and logits
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    machine: MachineArgs,
}

fn tolerance(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(tolerance) if (0.0..f64::INFINITY).contains(&tolerance) => Ok(tolerance),
        Ok(_) => Err("expected a finite number of at least 0".into()),
        Err(error) => Err(format!("{error}")),
    }
}

/// What `--json` writes.
#[derive(Serialize)]
struct Report<'a> {
    agrees: bool,
    /// The name of the first value that departs.
    first_departure: Option<String>,
    tolerance: f64,
    ids: &'a [u32],
    activations: Vec<Activation<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logits: Option<Logits>,
}

/// Comparison of one value; non-finite numbers are null.
#[derive(Serialize)]
struct Activation<'a> {
    name: String,
    shape: &'a [usize],
    agrees: bool,
    max_difference: f64,
    relative_error: f64,
    cosine: Option<f64>,
    worst: Worst<'a>,
}

/// The number with the largest difference.
#[derive(Serialize)]
struct Worst<'a> {
    index: &'a [usize],
    found: f32,
    expected: f32,
}

#[derive(Serialize)]
struct Logits {
    mean_kl: f64,
    max_kl: f64,
    top1_agreeing: usize,
    positions: usize,
}

pub(crate) fn run(arguments: &Arguments, out: &mut Out) -> anyhow::Result<()> {
    let reference = Reference::open(&arguments.reference)?;
    let source = Source::open(&arguments.model)?;
    let (model, _) = source.load(&arguments.machine)?;
    let verdict = glass::verify(&model, &reference, arguments.tolerance)?;
    if arguments.json {
        out.json(&report(&verdict, &reference, arguments.tolerance))?;
    } else {
        table(&verdict, arguments.tolerance, out)?;
    }
    if let Some(first) = verdict.first_departure() {
        out.flush()?;
        let departing = verdict.comparisons.iter().filter(|comparison| !comparison.agrees).count();
        bail!(
            "{} departs from {}: {} is the first of {departing} departing values",
            source.checkpoint.path().display(),
            reference.path().display(),
            first.name
        );
    }
    Ok(())
}

fn report<'a>(verdict: &'a Verdict, reference: &'a Reference, tolerance: f64) -> Report<'a> {
    let activations = verdict.comparisons.iter().map(|comparison| Activation {
        name: comparison.name.to_string(),
        shape: &comparison.shape,
        agrees: comparison.agrees,
        max_difference: comparison.max_difference,
        relative_error: comparison.relative_error,
        cosine: comparison.cosine,
        worst: Worst {
            index: &comparison.worst,
            found: comparison.worst_found,
            expected: comparison.worst_expected,
        },
    });
    let logits = verdict.logits.as_ref().map(|logits| {
        let &LogitComparison { mean_kl, max_kl, top1_agreeing, positions } = logits;
        Logits { mean_kl, max_kl, top1_agreeing, positions }
    });
    Report {
        agrees: verdict.agrees(),
        first_departure: verdict.first_departure().map(|first| first.name.to_string()),
        tolerance,
        ids: reference.ids(),
        activations: activations.collect(),
        logits,
    }
}

/// Writes a line for each value, then the verdict.
fn table(verdict: &Verdict, tolerance: f64, out: &mut Out) -> anyhow::Result<()> {
    let names: Vec<String> =
        verdict.comparisons.iter().map(|comparison| comparison.name.to_string()).collect();
    let widest = names.iter().map(String::len).max().unwrap_or(0).max(5);
    let numbers = ["max |Δ|", "relative", "cosine"].map(|name| format!("{name:>10}")).join("  ");
    out.line(out.paint(2, &format!("{:<widest$}  {numbers}", "name")))?;
    for (name, comparison) in names.iter().zip(&verdict.comparisons) {
        let Comparison { max_difference, relative_error, cosine, agrees, .. } = *comparison;
        let cosine = cosine.map_or(format!("{:>10}", "-"), |cosine| format!("{cosine:>10.7}"));
        let numbers = format!("{}  {}  {cosine}", number(max_difference), number(relative_error));
        let verdict = if agrees { out.paint(32, "agrees") } else { out.paint(31, "departs") };
        out.line(format_args!("{name:<widest$}  {numbers}  {verdict}"))?;
    }
    if let Some(LogitComparison { mean_kl, max_kl, top1_agreeing, positions }) = verdict.logits {
        out.line("")?;
        out.line(format_args!("KL        mean {mean_kl:.3e} nats, max {max_kl:.3e} nats"))?;
        out.line(format_args!("top-1     the same at {top1_agreeing} of {positions} positions"))?;
    }
    out.line("")?;
    match verdict.first_departure() {
        None => {
            let count = verdict.comparisons.len();
            out.line(format_args!(
                "all {count} values agree within {tolerance:e} · (1 + |reference| + largest / 100)"
            ))?;
        }
        Some(Comparison { name, worst, worst_found, worst_expected, .. }) => {
            out.line(format_args!("{name} is the first that departs"))?;
            out.line(format_args!("worst     found {worst_found}, expected {worst_expected}, at {worst:?}"))?;
        }
    }
    Ok(())
}
