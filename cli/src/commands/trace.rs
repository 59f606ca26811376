//! `trace`: every intermediate value of a forward pass, written to a file or summarised.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use glassbox_model::glass::{self, Glob, Selection, Summary, TraceOptions};
use glassbox_model::{Generation, Runtime};
use glassbox_sampler::{Sampler, SamplerConfig};
use glassbox_tensor::Format;
use serde::Serialize;

use super::predict::text;
use crate::args::{ChunkArgs, MachineArgs, ModelArgs};
use crate::model_source::Source;
use crate::output::{Out, note, warn};
use crate::prompt::{PromptArgs, special};
use crate::table::{Column, Table};

const EXAMPLES: &str = "Examples:\n\
\x20 glassbox trace \"The capital of France is\"\n\
\x20 glassbox trace \"The capital of France is\" -n 20 --out trace.safetensors\n\
\x20 glassbox trace \"Once upon a time\" --names 'blocks.*.attn.pattern' --json";

/// Show every intermediate value of a forward pass
///
/// The values have TransformerLens's names: embed, blocks.3.attn.pattern, blocks.3.resid_mid, logits and so on. Without
/// --out, each is a line: name, shape, mean, standard deviation, minimum, maximum and Euclidean norm. Non-finite
/// numbers are left out of these figures: the attn.scores of masked positions are -inf.
///
/// With -n, N tokens are generated first; the values are those of that generation,
/// bit for bit, since they do not depend on how many tokens are fed at a time.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    prompt: PromptArgs,
    /// First generate up to N tokens greedily, until an end-of-text token
    #[arg(short = 'n', long, value_name = "N", default_value_t = 0)]
    tokens: usize,
    /// Only values whose name matches: * is any characters, ? is one, [0-3] is one of a set. May be repeated
    #[arg(long, value_name = "GLOB")]
    names: Vec<Glob>,
    /// Write the values to a safetensors file; its metadata holds ids, tokens and the model's name
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Number format of the file: f32 is exact; f16 and bf16 take half the space, rounded to the nearest number
    #[arg(long, value_name = "TYPE", default_value = "f32", requires = "out", value_parser = dtype)]
    dtype: Format,
    /// Write one JSON object: ids, tokens and activations (name, shape, mean, std, min, max, norm, not_finite)
    #[arg(long, conflicts_with = "out")]
    json: bool,
    /// Write a line for each value; this is the default without --out and --json
    #[arg(long, conflicts_with_all = ["out", "json"])]
    summary: bool,
    /// Parse special tokens in the prompt, which are plain text otherwise
    #[arg(long)]
    special: bool,
    #[command(flatten)]
    machine: MachineArgs,
    #[command(flatten)]
    chunk: ChunkArgs,
}

/// What `--json` writes.
#[derive(Serialize)]
struct Report<'a> {
    ids: &'a [u32],
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<&'a [String]>,
    activations: Vec<Activation<'a>>,
}

/// Summary of a value; non-finite numbers are null.
#[derive(Serialize)]
struct Activation<'a> {
    name: String,
    shape: &'a [usize],
    mean: f64,
    std: f64,
    min: f32,
    max: f32,
    norm: f64,
    not_finite: usize,
}

pub(crate) fn run(arguments: &Arguments, out: &mut Out) -> anyhow::Result<()> {
    let prompt = arguments.prompt.read()?;
    let source = Source::open(&arguments.model)?;
    let mut ids = prompt.ids(&source, special(arguments.special))?;
    let context = source.context(None)?;
    if ids.len() > context {
        anyhow::bail!("the prompt has {} tokens and does not fit a context of {context}", ids.len());
    }
    let (model, _) = source.load(&arguments.machine)?;
    let selection = match &arguments.names[..] {
        [] => Selection::all(&model),
        globs => Selection::matching(&model, globs)?,
    };
    let (prompt_tokens, chunk) = (ids.len(), arguments.chunk.prompt_chunk);
    extend_greedily(&model, &mut ids, arguments.tokens, &source.end_ids())?;

    let tokenizer = source.maybe_tokenizer();
    let tokens: Option<Vec<String>> =
        tokenizer.map(|tokenizer| ids.iter().map(|&id| text(Some(tokenizer), id)).collect());
    if let Some(file) = &arguments.out {
        let mut metadata = BTreeMap::from([("prompt_tokens".to_owned(), prompt_tokens.to_string())]);
        metadata.insert("model".to_owned(), file_name(source.checkpoint.path()));
        if let Some(tokens) = &tokens {
            metadata.insert("tokens".to_owned(), serde_json::to_string(tokens)?);
        }
        let options = TraceOptions { format: arguments.dtype, chunk };
        let overflowed = glass::record(&model, &ids, &selection, file, &metadata, &options)?;
        if overflowed > 0 {
            let format = arguments.dtype.name().to_lowercase();
            warn(format_args!(
                "{overflowed} values are too large for {format} and became infinite; f32 holds them"
            ));
        }
        note(format_args!("wrote       {} values of {} tokens", selection.len(), ids.len()));
        return Ok(());
    }
    let summaries = glass::summarise(&model, &ids, &selection, chunk)?;
    if !arguments.json {
        return table(&summaries, out);
    }
    let activations = summaries.iter().map(|summary| Activation {
        name: summary.name.to_string(),
        shape: &summary.shape,
        mean: summary.mean,
        std: summary.std,
        min: summary.min,
        max: summary.max,
        norm: summary.norm,
        not_finite: summary.not_finite,
    });
    out.json(&Report { ids: &ids, tokens: tokens.as_deref(), activations: activations.collect() })
}

/// Appends up to `limit` greedily generated tokens, until one of `ends`.
fn extend_greedily(model: &Runtime, ids: &mut Vec<u32>, limit: usize, ends: &[u32]) -> anyhow::Result<()> {
    if limit == 0 {
        return Ok(());
    }
    let mut session = model.session(model.config.context_length);
    let mut sampler = Sampler::new(SamplerConfig::greedy())?;
    let prompt = ids.clone();
    for id in Generation::new(&mut session, &prompt, limit, ends, |logits: &[f32]| sampler.sample(logits))? {
        ids.push(id?);
    }
    Ok(())
}

fn dtype(text: &str) -> Result<Format, String> {
    let found = [Format::F32, Format::F16, Format::BF16]
        .into_iter()
        .find(|format| format.name().eq_ignore_ascii_case(text));
    found.ok_or_else(|| "expected f32, f16 or bf16".to_owned())
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// Writes a line for each value.
fn table(summaries: &[Summary], out: &mut Out) -> anyhow::Result<()> {
    let numbers = ["mean", "std", "min", "max", "norm"].map(|name| Column::right(format!("{name:>10}")));
    let mut table = Table::new([Column::left("name"), Column::left("shape")].into_iter().chain(numbers));
    for summary in summaries {
        let Summary { mean, std, min, max, norm, .. } = *summary;
        let numbers = [mean, std, f64::from(min), f64::from(max), norm].map(|value| number(value).into());
        let name = [summary.name.to_string().into(), format!("{:?}", summary.shape).into()];
        table.row(name.into_iter().chain(numbers));
    }
    table.print(out)?.note("--json has all");
    Ok(())
}

/// A number in ten columns: four decimals if it is not too small or large for that, otherwise scientific notation.
pub(crate) fn number(number: f64) -> String {
    match number.abs() {
        0.001..100_000.0 | 0.0 => format!("{number:>10.4}"),
        size if size.is_finite() => format!("{number:>10.3e}"),
        _ => format!("{number:>10}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_take_ten_columns() {
        for (value, shown) in [
            (0.0, "    0.0000"),
            (-12345.678, "-12345.6780"),
            (0.00012, "   1.200e-4"),
            (-1.5e20, " -1.500e20"),
            (f64::NAN, "       NaN"),
            (f64::NEG_INFINITY, "      -inf"),
        ] {
            assert_eq!(number(value).trim(), shown.trim());
            assert!(number(value).len() >= 10);
        }
    }
}
