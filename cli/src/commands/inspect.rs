//! `inspect`: describes a checkpoint from its headers, without reading weights.

mod survey;

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;

use self::survey::{EndToken, FormatShare, Report, TensorRow};
use crate::args::{CacheArgs, CheckpointArgs};
use crate::escape;
use crate::model_source::Found;
use crate::output::Out;

const EXAMPLES: &str = "Examples:\n\
\x20 glassbox inspect model.gguf\n\
\x20 glassbox inspect checkpoint-folder --tensors";

/// Describe a checkpoint: what it is, what memory it needs, what is unsupported
///
/// Only headers are read, so it is fast however large the file. An unsupported checkpoint is described as far as it can
/// be read, and every unsupported part is listed; the exit code is then 1.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The model; the same as -m, and used instead of it
    #[arg(value_name = "MODEL")]
    path: Option<PathBuf>,
    #[command(flatten)]
    model: CheckpointArgs,
    /// List every tensor
    #[arg(long)]
    tensors: bool,
    /// Write one JSON object: the same report, with sizes in bytes
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cache: CacheArgs,
}

pub(crate) fn run(arguments: &Arguments, out: &mut Out) -> anyhow::Result<()> {
    let name = arguments.path.as_ref().or(arguments.model.model.as_ref());
    let found = Found::by(name.map(PathBuf::as_path))?;
    let mut report = survey::of(&found, arguments.cache.kv)?;
    if !arguments.tensors {
        report.tensors = None;
    }
    if arguments.json {
        out.json(&report)?;
    } else {
        write(&report, out)?;
    }
    if !report.runs {
        out.flush()?;
        bail!("{} is not supported: {}", found.path().display(), report.unsupported.join("; "));
    }
    Ok(())
}

/// Writes the report as text.
fn write(report: &Report, out: &mut Out) -> anyhow::Result<()> {
    // Metadata may contain anything, including line breaks and control characters.
    let clean = |text: &str| escape::visible(text.as_bytes());
    let unknown = || "unknown".to_owned();
    out.line(format_args!("path           {} ({})", report.path, report.container))?;
    if let Some(name) = &report.name {
        out.line(format_args!("name           {}", clean(name)))?;
    }
    out.line(format_args!("family         {}", report.family.as_deref().map_or_else(unknown, clean)))?;
    if let Some(sizes) = &report.sizes {
        let rows = [
            ("vocab_size", sizes.vocab_size),
            ("context_length", sizes.context_length),
            ("d_model", sizes.d_model),
            ("n_layers", sizes.n_layers),
            ("n_heads", sizes.n_heads),
            ("n_kv_heads", sizes.n_kv_heads),
            ("head_dim", sizes.head_dim),
            ("d_ff", sizes.d_ff),
        ];
        for (name, size) in rows {
            out.line(format_args!("{name:<13}  {size}"))?;
        }
        if let Some(window) = sizes.sliding_window {
            out.line(format_args!("window         {window} tokens"))?;
        }
        let unembedding = if sizes.tied { "tied to the embedding" } else { "separate" };
        out.line(format_args!("unembedding    {unembedding}"))?;
    }
    out.line(format_args!("parameters     {}", count(report.parameters)))?;
    for (i, share) in report.formats.iter().enumerate() {
        let FormatShare { format, tensors, bytes, share, .. } = share;
        let heading = if i == 0 { "formats" } else { "" };
        let (size, tensors) = (bytes_text(*bytes), plural(*tensors, "tensor"));
        out.line(format_args!("{heading:<13}  {format:<6} {:>5.1} %  {size} in {tensors}", share * 100.0))?;
    }
    out.line(format_args!("weights        {} in memory", bytes_text(report.memory.weights_bytes)))?;
    let memory = &report.memory;
    if let (Some(some), Some(full)) = (memory.cache_bytes_per_1024_tokens, memory.cache_bytes_full_context) {
        let (some, full) = (bytes_text(some), bytes_text(full));
        let format = memory.cache_format;
        out.line(format_args!(
            "cache          {some} for 1024 tokens, {full} for the full context, in {format}"
        ))?;
    }
    for (name, part) in [("tokenizer", &report.tokenizer), ("chat template", &report.chat_template)] {
        out.line(format_args!("{name:<13}  {}", clean(&part.detail)))?;
        for warning in &part.warnings {
            out.line(format_args!("               {}: {}", out.paint(33, "warning"), clean(warning)))?;
        }
    }
    let ends = report.end_tokens.iter().map(|EndToken { id, token }| match token {
        Some(token) => format!("{} ({id})", clean(token)),
        None => id.to_string(),
    });
    let ends = ends.collect::<Vec<_>>().join(", ");
    out.line(format_args!("{:<13}  {}", "end tokens", if ends.is_empty() { "none" } else { &ends }))?;
    for warning in &report.warnings {
        // Padded before it is painted, so that colours take no columns.
        out.line(format_args!("{}  {}", out.paint(33, &format!("{:<13}", "warning")), clean(warning)))?;
    }
    for (i, part) in report.unsupported.iter().enumerate() {
        out.line(format_args!("{:<13}  {}", if i == 0 { "unsupported" } else { "" }, clean(part)))?;
    }
    for (i, tensor) in report.tensors.iter().flatten().enumerate() {
        if i == 0 {
            out.line("")?;
        }
        let TensorRow { name, format, shape, bytes } = tensor;
        let size = bytes_text(*bytes);
        out.line(format_args!("{format:<6}  {:<16}  {size:>9}  {}", format!("{shape:?}"), clean(name)))?;
    }
    Ok(())
}

/// `134515008` as `134.5 M (134515008)`.
fn count(number: usize) -> String {
    let short = match number {
        0..=999_999 => return number.to_string(),
        1_000_000..=999_999_999 => format!("{:.1} M", number as f64 / 1e6),
        _ => format!("{:.2} G", number as f64 / 1e9),
    };
    format!("{short} ({number})")
}

fn bytes_text(bytes: usize) -> String {
    match bytes {
        0..=999 => format!("{bytes} B"),
        1_000..=999_999 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..=999_999_999 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}

fn plural(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
