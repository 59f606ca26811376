//! `quantize`: converts a checkpoint to another number format.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use glassbox_model::quantize::{Mix, Planned, Quantization};
use glassbox_tensor::{Level, Pool};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::args::physical_cores;
use crate::exit::Usage;
use crate::model_source::find;
use crate::output::{Out, note, warn};

const EXAMPLES: &str = "Examples:\n\
\x20 glassbox quantize SmolLM2-135M-Instruct/ SmolLM2.Q8_0.gguf --type q8_0\n\
\x20 glassbox quantize SmolLM2.F16.gguf SmolLM2.Q4_K.gguf --type q4_k";

/// Convert a model to another number format, as GGUF
///
/// llama.cpp reads the output too. The input is a GGUF or a checkpoint in Hugging Face's layout. A GGUF keeps all its
/// metadata; a checkpoint's configuration, tokenizer and chat template are converted. The format of each tensor follows
/// llama.cpp. Norms, biases and position embeddings stay F32. The unembedding, and an embedding tied to it, gets q6_k
/// if the rest has fewer than eight bits. q4_k and q5_k are the mixtures Q4_K_M and Q5_K_M, which give attn_v and
/// ffn_down of half the layers q6_k. K-formats need row lengths that are a multiple of 256; for other rows, q4_k
/// becomes q5_0, q5_k becomes q5_1 and q6_k becomes q8_0. Rows that are not a multiple of 32 become f16. The output
/// lists the format of each tensor and why.
///
/// Formats with blocks of 32 are bit for bit llama.cpp's; for K-formats the search for the scales is our own.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Model to convert: a GGUF file, a folder in Hugging Face's layout, or a name in the search path
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// GGUF file to write; an existing file is replaced only when the new one is complete
    #[arg(value_name = "OUT")]
    output: PathBuf,
    /// Number format: f32, f16, bf16, q8_0, q6_k, q5_k, q5_1, q5_0, q4_k, q4_1 or q4_0
    #[arg(long = "type", value_name = "TYPE")]
    mix: Mix,
    /// Show what would be written, without writing it
    #[arg(long)]
    dry_run: bool,
    /// Write one JSON object: bytes, and for each tensor name, shape, from, to, bytes and reason
    #[arg(long)]
    json: bool,
    /// Number of threads [default: one per physical core]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

/// What `--json` writes.
#[derive(Serialize)]
struct Report {
    r#type: String,
    bytes: usize,
    tensors: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    name: String,
    shape: Vec<usize>,
    from: &'static str,
    to: &'static str,
    bytes: usize,
    reason: Option<String>,
}

pub(crate) fn run(arguments: &Arguments, out: &mut Out) -> anyhow::Result<()> {
    let input = find(&arguments.input)?;
    if is_same_file(&input, &arguments.output) {
        let message =
            "IN and OUT are the same file; give OUT another name, since quantising loses information";
        return Err(Usage(message.to_owned()).into());
    }
    let plan = Quantization::plan(&input, arguments.mix)?;
    plan.notes().iter().for_each(warn);
    if !arguments.dry_run {
        write(&plan, arguments)?;
    }
    let bytes = plan.tensors().iter().map(Planned::bytes).sum();
    if arguments.json {
        let tensors = plan.tensors().iter().map(|planned| Row {
            name: planned.entry.name.clone(),
            shape: planned.entry.shape.to_vec(),
            from: planned.from.name(),
            to: planned.entry.format.name(),
            bytes: planned.bytes(),
            reason: planned.reason.map(|reason| reason.to_string()),
        });
        return out.json(&Report { r#type: arguments.mix.to_string(), bytes, tensors: tensors.collect() });
    }
    table(plan.tensors(), out)?;
    let before: usize =
        plan.tensors().iter().filter_map(|p| p.from.bytes_for(p.entry.shape.elements())).sum();
    let mega = |bytes: usize| bytes as f64 / 1e6;
    note(format_args!(
        "{}  {:.1} MB of tensors, from {:.1} MB",
        if arguments.dry_run { "would be" } else { "wrote   " },
        mega(bytes),
        mega(before)
    ));
    Ok(())
}

fn write(plan: &Quantization, arguments: &Arguments) -> anyhow::Result<()> {
    let pool = Pool::new(arguments.threads.map_or_else(physical_cores, usize::from), Level::detect())?;
    let bar = ProgressBar::new(plan.tensors().len() as u64);
    bar.set_style(ProgressStyle::with_template("{bar:30} {pos}/{len} tensors, {eta} left")?);
    let written = plan.write(&pool, &arguments.output, |_| bar.inc(1));
    bar.finish_and_clear();
    Ok(written?)
}

/// Whether both paths are the same file, links resolved.
fn is_same_file(a: &Path, b: &Path) -> bool {
    matches!((fs::canonicalize(a), fs::canonicalize(b)), (Ok(a), Ok(b)) if a == b)
}

/// Writes a line for each group of tensors with the same name, shape, formats and reason.
fn table(tensors: &[Planned], out: &mut Out) -> anyhow::Result<()> {
    let mut rows: Vec<([String; 4], Vec<usize>)> = Vec::new();
    let mut row_of: BTreeMap<[String; 4], usize> = BTreeMap::new();
    for planned in tensors {
        let (kind, layer) = kind(&planned.entry.name);
        let formats = format!("{} → {}", planned.from, planned.entry.format);
        let reason = planned.reason.map(|reason| reason.to_string()).unwrap_or_default();
        let key = [kind, planned.entry.shape.to_string(), formats, reason];
        let row = *row_of.entry(key.clone()).or_insert_with(|| {
            rows.push((key, Vec::new()));
            rows.len() - 1
        });
        rows[row].1.extend(layer);
    }
    let lines: Vec<[String; 5]> = rows
        .into_iter()
        .map(|([kind, shape, formats, reason], layers)| [kind, ranges(&layers), shape, formats, reason])
        .collect();
    let headings = ["tensor", "layers", "shape", "format", ""].map(str::to_owned);
    let width =
        |i: usize| lines.iter().chain([&headings]).map(|line| line[i].chars().count()).max().unwrap_or(0);
    let widths = [0, 1, 2, 3].map(width);
    let line = |cells: &[String; 5]| {
        let mut text = String::new();
        for (cell, width) in cells.iter().zip(widths) {
            text.push_str(&format!("{cell:<width$}  "));
        }
        format!("{text}{}", cells[4]).trim_end().to_owned()
    };
    out.line(out.paint(2, &line(&headings)))?;
    for cells in &lines {
        out.line(line(cells))?;
    }
    Ok(())
}

/// A tensor's name without its layer, and the layer.
fn kind(name: &str) -> (String, Option<usize>) {
    let layer = name.strip_prefix("blk.").and_then(|rest| rest.split_once('.'));
    match layer.and_then(|(layer, kind)| Some((kind, layer.parse().ok()?))) {
        Some((kind, layer)) => (kind.to_owned(), Some(layer)),
        None => (name.to_owned(), None),
    }
}

/// Ascending numbers as ranges: `0-3, 6, 9`.
fn ranges(numbers: &[usize]) -> String {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for &number in numbers {
        match ranges.last_mut() {
            Some((_, end)) if *end + 1 == number => *end = number,
            _ => ranges.push((number, number)),
        }
    }
    let range = |(start, end): &(usize, usize)| match start == end {
        true => start.to_string(),
        false => format!("{start}-{end}"),
    };
    ranges.iter().map(range).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_shown_as_ranges() {
        assert_eq!(ranges(&[0, 1, 2, 5, 8, 9]), "0-2, 5, 8-9");
        assert_eq!(ranges(&[]), "");
        assert_eq!(kind("blk.12.attn_q.weight"), ("attn_q.weight".to_owned(), Some(12)));
        assert_eq!(kind("blk.x.y"), ("blk.x.y".to_owned(), None));
    }
}
