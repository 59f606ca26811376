//! `verify`: whether the model computes what a reference says, value by value, and where it first does not.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use glassbox_model::glass::{self, Comparison, LogitComparison, Reference, Verdict};
use serde::Serialize;

use super::trace::number;
use crate::args::{MachineArgs, ModelArgs};
use crate::model_source::Source;
use crate::output::Out;

/// Compare what the model computes with a reference, value by value
///
/// The reference is a safetensors file with values under their names and the ids they belong to, such as
/// scripts/dump_reference.py makes with Hugging Face's transformers, or `glassbox trace --out`. Every value in it is
/// compared, in the order of computation, and the first that departs is named: what comes after it may be wrong only
/// because it is. The exit code is 0 if all agree.
///
/// A number agrees if |difference| <= tolerance * (1 + |reference| + largest / 100), where largest is the largest of its
/// row: SmolLM2 has components in the ten thousands, and float32 has no bits for 0.001 beside them. So that this also
/// means something for small numbers, a value as a whole may be off by 100 times the tolerance of its norm at most.
///
///   python scripts/dump_reference.py checkpoint-folder dump.safetensors --prompt "The capital of France is"
///   glassbox verify -m checkpoint-folder --reference dump.safetensors
#[derive(Args, Debug)]
// References are made in float32 throughout.
#[command(verbatim_doc_comment, mut_arg("compute", |compute| compute.default_value("f32")))]
pub(crate) struct Arguments {
    #[command(flatten)]
    model: ModelArgs,
    /// The safetensors file to compare with
    #[arg(long, value_name = "FILE")]
    reference: PathBuf,
    /// How far a number may be off, in relation to 1 + |reference| + largest / 100; weights of float32 in the same sums
    /// made in another order are off by some 1e-5, a weight altered by a percent by some 1e-2
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
        Ok(_) => Err("expected a number from 0 up".into()),
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

/// A value compared; numbers that are not finite are null.
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

/// The number furthest off.
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
            "{} departs from {}: {} is the first of {departing} values that do",
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

/// A line for each value, then what follows from them.
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
        let judgement = if agrees { out.paint(32, "agrees") } else { out.paint(31, "departs") };
        out.line(format_args!("{name:<widest$}  {numbers}  {judgement}"))?;
    }
    if let Some(LogitComparison { mean_kl, max_kl, top1_agreeing, positions }) = verdict.logits {
        out.line("")?;
        out.line(format_args!("KL        {mean_kl:.3e} nats on average, {max_kl:.3e} at most"))?;
        out.line(format_args!("top-1     the same at {top1_agreeing} of {positions} positions"))?;
    }
    out.line("")?;
    match verdict.first_departure() {
        None => {
            let count = verdict.comparisons.len();
            out.line(format_args!(
                "all of {count} agree within {tolerance:e} · (1 + |reference| + largest / 100)"
            ))?;
        }
        Some(Comparison { name, worst, worst_found, worst_expected, .. }) => {
            out.line(format_args!("{name} is the first that departs"))?;
            out.line(format_args!("worst     {worst_found} instead of {worst_expected} at {worst:?}"))?;
        }
    }
    Ok(())
}
