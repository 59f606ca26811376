//! `compare-models`: what a number format costs in accuracy, layer by layer and at the output, and what it saves.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{anyhow, bail};
use clap::Args;
use glassbox_model::Runtime;
use glassbox_model::glass::{ModelComparison, compare_models};
use serde::Serialize;

use crate::args::{CheckpointArgs, Ids, MachineArgs, ModelArgs, positive};
use crate::exit::Usage;
use crate::model_source::Source;
use crate::output::{Out, note};
use crate::prompt::{Prompt, read_file, read_stdin, special};

const EXAMPLES: &str = "Examples:\n\
\x20 glassbox compare-models model.F32.gguf model.Q8_0.gguf -f book.txt";

/// Default window length in tokens.
const WINDOW: usize = 256;

/// Compare models: what a number format costs and saves
///
/// All models read the same text; the first is the reference. Reported for each of the others: the relative error of
/// the residual stream after each layer (norm of the difference divided by the reference's norm), the Kullback–Leibler
/// divergence of its next-token probabilities from the reference's (0 if they are equal), and how often its most likely
/// token is the same. Reported for all: the perplexity on the text, the size on disk, and the speed in tokens per
/// second for a prompt and for single tokens. The text is split into windows of -c tokens, each read with an empty
/// context.
#[derive(Args, Debug)]
// By default only the weights differ; --compute measures the effect of integer activations as well.
#[command(after_long_help = EXAMPLES, mut_arg("compute", |compute| compute.default_value("f32")))]
pub(crate) struct Arguments {
    /// Reference model, then one or more models to compare: paths or names, as for -m of other commands
    #[arg(value_name = "MODEL", num_args = 2.., required = true)]
    models: Vec<PathBuf>,
    /// Read the text from a file; without it, the text is read from standard input
    #[arg(short, long, value_name = "FILE", conflicts_with = "ids")]
    file: Option<PathBuf>,
    /// Text as token ids, such as 1,2,3
    #[arg(long, value_name = "IDS")]
    ids: Option<Ids>,
    /// Window length in tokens [default: 256, or the shortest context length of the models if that is less]
    #[arg(short, long, value_name = "N", value_parser = positive)]
    context: Option<usize>,
    /// Maximum number of tokens of the text to read
    #[arg(short = 'n', long, value_name = "N", default_value_t = 2048, value_parser = positive)]
    tokens: usize,
    /// Parse special tokens in the text, which are plain text otherwise
    #[arg(long)]
    special: bool,
    /// Write one JSON object: tokens, window, and for each model its path, bytes, speeds and perplexity, and (null for
    /// the reference) mean_kl, max_kl, same_top_token and layers, the relative error after each layer
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    machine: MachineArgs,
}

/// What `--json` writes.
#[derive(Serialize)]
struct Report {
    tokens: usize,
    window: usize,
    models: Vec<Column>,
}

/// One model's figures.
#[derive(Serialize)]
struct Column {
    model: PathBuf,
    bytes: u64,
    prompt_tokens_per_second: f64,
    tokens_per_second: f64,
    perplexity: f64,
    mean_kl: Option<f64>,
    max_kl: Option<f64>,
    same_top_token: Option<f64>,
    layers: Option<Vec<f64>>,
}

pub(crate) fn run(arguments: &Arguments, out: &mut Out) -> anyhow::Result<()> {
    if arguments.context == Some(1) {
        return Err(Usage("-c: expected at least 2 tokens, one to read and one to predict".to_owned()).into());
    }
    let prompt = match (&arguments.ids, &arguments.file) {
        (Some(Ids(ids)), _) => Prompt::Ids(ids.clone()),
        (None, Some(file)) => Prompt::Text(read_file(file)?),
        (None, None) => Prompt::Text(read_stdin("give -f FILE or --ids, or pipe text to standard input")?),
    };
    let open = |path: &PathBuf| {
        let checkpoint = CheckpointArgs { model: Some(path.clone()) };
        Source::open(&ModelArgs { checkpoint, lora: None })
    };
    let sources = arguments.models.iter().map(open).collect::<anyhow::Result<Vec<Source>>>()?;
    let ids = same_ids(prompt, &sources, arguments)?;
    let mut window = arguments.context.unwrap_or(WINDOW);
    for source in &sources {
        window = window.min(source.context(arguments.context)?);
    }
    let [first, others @ ..] = &sources[..] else { bail!("there are no models") };
    let (reference, _) = first.load(&arguments.machine)?;
    let timed = &ids[..ids.len().min(window)];
    let mut columns = Vec::new();
    let mut reference_column = column(first, &reference, timed)?;
    for source in others {
        note(format_args!("reading     {}", source.checkpoint.path().display()));
        let (model, _) = source.load(&arguments.machine)?;
        let compared = compare_models(&reference, &model, &ids, window);
        let compared =
            compared.map_err(|error| anyhow!("{}: {error}", source.checkpoint.path().display()))?;
        reference_column.perplexity = compared.reference_loss.exp();
        columns.push(measured(column(source, &model, timed)?, compared));
    }
    columns.insert(0, reference_column);
    let report = Report { tokens: ids.len(), window, models: columns };
    if arguments.json { out.json(&report) } else { table(&report, out) }
}

/// The ids of the text; an error if the models' tokenizers disagree.
fn same_ids(prompt: Prompt, sources: &[Source], arguments: &Arguments) -> anyhow::Result<Vec<u32>> {
    let mut ids: Option<Vec<u32>> = None;
    for source in sources {
        let own = prompt.clone().ids(source, special(arguments.special))?;
        match &ids {
            Some(ids) if *ids != own => bail!(
                "{} splits the text into other tokens than {}: their vocabularies differ",
                source.checkpoint.path().display(),
                sources[0].checkpoint.path().display()
            ),
            _ => ids = Some(own),
        }
    }
    let mut ids = ids.unwrap_or_default();
    ids.truncate(arguments.tokens);
    match ids.len() {
        0 | 1 => bail!("the text has {} tokens; at least two are needed", ids.len()),
        _ => Ok(ids),
    }
}

/// A model's size and speed; the comparison is filled in later.
fn column(source: &Source, model: &Runtime, ids: &[u32]) -> anyhow::Result<Column> {
    let path = source.checkpoint.path();
    let (prompt, single) = speeds(model, ids)?;
    Ok(Column {
        model: path.to_owned(),
        bytes: bytes_on_disk(path)?,
        prompt_tokens_per_second: prompt,
        tokens_per_second: single,
        perplexity: f64::NAN,
        mean_kl: None,
        max_kl: None,
        same_top_token: None,
        layers: None,
    })
}

fn measured(column: Column, compared: ModelComparison) -> Column {
    let logits = compared.logits;
    Column {
        perplexity: compared.loss.exp(),
        mean_kl: Some(logits.mean_kl),
        max_kl: Some(logits.max_kl),
        same_top_token: Some(logits.top1_agreeing as f64 / logits.positions as f64),
        layers: Some(compared.layers),
        ..column
    }
}

/// Tokens per second for a prompt read at once, and for single tokens as in generation: the best of three runs.
fn speeds(model: &Runtime, ids: &[u32]) -> anyhow::Result<(f64, f64)> {
    let mut session = model.session(ids.len());
    let mut best = [f64::INFINITY; 2];
    for _ in 0..3 {
        session.truncate(0);
        let start = Instant::now();
        session.feed(ids)?;
        best[0] = best[0].min(start.elapsed().as_secs_f64() / ids.len() as f64);
        session.truncate(0);
        let singles = ids.len().min(16);
        let start = Instant::now();
        for id in &ids[..singles] {
            session.feed(std::slice::from_ref(id))?;
        }
        best[1] = best[1].min(start.elapsed().as_secs_f64() / singles as f64);
    }
    let [prompt, single] = best.map(f64::recip);
    Ok((prompt, single))
}

/// Bytes of a GGUF, or of the safetensors files in a checkpoint's folder.
fn bytes_on_disk(path: &Path) -> anyhow::Result<u64> {
    if path.is_file() {
        return Ok(fs::metadata(path)?.len());
    }
    let mut bytes = 0;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.path().extension().is_some_and(|extension| extension == "safetensors") {
            bytes += fs::metadata(entry.path())?.len();
        }
    }
    Ok(bytes)
}

/// Writes a column for each model and a row for each figure and layer.
fn table(report: &Report, out: &mut Out) -> anyhow::Result<()> {
    let models = &report.models;
    let names: Vec<String> = short_names(models);
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max(9);
    let row = |label: &str, cell: &dyn Fn(&Column) -> String| {
        let cells = models.iter().map(|model| format!("  {:>width$}", cell(model)));
        format!("{label:<28}{}", cells.collect::<String>()).trim_end().to_owned()
    };
    let measure =
        |value: Option<f64>, digits: usize| value.map_or("–".to_owned(), |x| format!("{x:.digits$}"));
    let headings: String = names.iter().map(|name| format!("  {name:>width$}")).collect();
    out.line(out.paint(2, &format!("{:<28}{headings}", "")))?;
    out.line(row("MB on disk", &|model| format!("{:.1}", model.bytes as f64 / 1e6)))?;
    out.line(row("prompt, tokens/s", &|model| format!("{:.1}", model.prompt_tokens_per_second)))?;
    out.line(row("single tokens, tokens/s", &|model| format!("{:.1}", model.tokens_per_second)))?;
    out.line(row("perplexity", &|model| format!("{:.4}", model.perplexity)))?;
    out.line(row("KL divergence, mean", &|model| measure(model.mean_kl, 6)))?;
    out.line(row("KL divergence, max", &|model| measure(model.max_kl, 4)))?;
    out.line(row("same top token, %", &|model| measure(model.same_top_token.map(|x| 100.0 * x), 2)))?;
    out.line(out.paint(2, "relative error after layer"))?;
    let layers = models.iter().filter_map(|model| model.layers.as_ref()).map(Vec::len).max().unwrap_or(0);
    for layer in 0..layers {
        let cell =
            |model: &Column| measure(model.layers.as_ref().and_then(|layers| layers.get(layer).copied()), 5);
        out.line(row(&format!("{layer:>4}"), &cell))?;
    }
    note(format_args!("{} tokens in windows of {}", report.tokens, report.window));
    Ok(())
}

/// The file names without their common prefix (up to its last `.` or `-`) and without `.gguf`.
fn short_names(models: &[Column]) -> Vec<String> {
    let name = |path: &Path| {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        name.strip_suffix(".gguf").map_or(name.clone(), str::to_owned)
    };
    let names: Vec<String> = models.iter().map(|model| name(&model.model)).collect();
    let Some(first) = names.first() else { return names };
    let separators = first.char_indices().filter(|(_, c)| matches!(c, '.' | '-'));
    let shared = |end: &usize| names.iter().all(|name| name.len() > *end && name.starts_with(&first[..*end]));
    let cut = separators.map(|(at, c)| at + c.len_utf8()).rfind(shared).unwrap_or(0);
    names.iter().map(|name| name[cut..].to_owned()).collect()
}
