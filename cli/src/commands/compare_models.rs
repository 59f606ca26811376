//! `compare-models`: what another number format costs, layer by layer and in the end, and what it saves.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{anyhow, bail};
use clap::Args;
use glassbox_model::Runtime;
use glassbox_model::glass::{ModelComparison, compare_models};
use serde::Serialize;

use crate::args::{Ids, MachineArgs, ModelArgs, positive};
use crate::exit::Usage;
use crate::model_source::Source;
use crate::output::{Out, note};
use crate::prompt::{Prompt, read_file, read_stdin, special};

const EXAMPLES: &str = "Examples:\n\
\x20 glassbox compare-models model.F32.gguf model.Q8_0.gguf model.Q4_K.gguf model.Q4_0.gguf -f book.txt";

/// Tokens in a window, unless told otherwise.
const WINDOW: usize = 256;

/// Measure models by another one: what a number format costs, and what it saves
///
/// All read the same text; the first is the measure. For each of the others: how far its residual stream is off after
/// each layer (the length of the difference by that of the first one's), how far its probabilities of the next token are
/// from the first one's (the Kullback–Leibler divergence, 0 for the same), how often its likeliest token is the same, and
/// its perplexity on the text. Beside that the size of each on disk, and how many tokens a second it reads, and writes.
/// The text is cut into windows of -c tokens; each is read afresh.
#[derive(Args, Debug)]
// Only the weights are to differ; with --compute the integers can be measured as well.
#[command(after_long_help = EXAMPLES, mut_arg("compute", |compute| compute.default_value("f32")))]
pub(crate) struct Arguments {
    /// The model to measure by, and one or more to be measured: paths or names, as -m of other commands takes them
    #[arg(value_name = "MODEL", num_args = 2.., required = true)]
    models: Vec<PathBuf>,
    /// The file with the text; without it, text is read from standard input
    #[arg(short, long, value_name = "FILE", conflicts_with = "ids")]
    file: Option<PathBuf>,
    /// Token ids in place of text
    #[arg(long, value_name = "IDS")]
    ids: Option<Ids>,
    /// Tokens in a window [default: 256, or what the models were made for if that is less]
    #[arg(short, long, value_name = "N", value_parser = positive)]
    context: Option<usize>,
    /// Read at most so many tokens of the text
    #[arg(short = 'n', long, value_name = "N", default_value_t = 2048, value_parser = positive)]
    tokens: usize,
    /// Read special tokens in the text as such
    #[arg(long)]
    special: bool,
    /// Write one JSON object: tokens, window, and for each model its path, bytes, speeds, perplexity, and (null for the
    /// first) mean_kl, max_kl, same_top_token and layers, the relative error after each
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

/// A model and how it compares.
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
        return Err(Usage("-c must be at least 2: a token to begin with, one to foresee".to_owned()).into());
    }
    let prompt = match (&arguments.ids, &arguments.file) {
        (Some(Ids(ids)), _) => Prompt::Ids(ids.clone()),
        (None, Some(file)) => Prompt::Text(read_file(file)?),
        (None, None) => Prompt::Text(read_stdin("give -f FILE, or --ids, or text on standard input")?),
    };
    let open = |path: &PathBuf| Source::open(&ModelArgs { model: Some(path.clone()), lora: None });
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

/// The ids of the text, which must be the same for all models.
fn same_ids(prompt: Prompt, sources: &[Source], arguments: &Arguments) -> anyhow::Result<Vec<u32>> {
    let mut ids: Option<Vec<u32>> = None;
    for source in sources {
        let own = prompt.clone().ids(source, special(arguments.special))?;
        match &ids {
            Some(ids) if *ids != own => bail!(
                "{} cuts the text into other tokens than {}: their vocabularies differ",
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

/// A model's size and speed; what it is measured for comes later.
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

/// Tokens a second of a prompt read at once, and of tokens read one by one, as in generating: the best of a few runs.
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

/// Bytes of a GGUF, or of the weights in a checkpoint's folder.
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

/// A column for each model, a row for each figure and layer.
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
    out.line(row("prompt, tokens a second", &|model| format!("{:.1}", model.prompt_tokens_per_second)))?;
    out.line(row("one by one, tokens a second", &|model| format!("{:.1}", model.tokens_per_second)))?;
    out.line(row("perplexity", &|model| format!("{:.4}", model.perplexity)))?;
    out.line(row("KL divergence, mean", &|model| measure(model.mean_kl, 6)))?;
    out.line(row("KL divergence, largest", &|model| measure(model.max_kl, 4)))?;
    out.line(row("same likeliest token, %", &|model| measure(model.same_top_token.map(|x| 100.0 * x), 2)))?;
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

/// The file names without what all of them begin with, up to the last mark, and without `.gguf`.
fn short_names(models: &[Column]) -> Vec<String> {
    let name = |path: &Path| {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        name.strip_suffix(".gguf").map_or(name.clone(), str::to_owned)
    };
    let names: Vec<String> = models.iter().map(|model| name(&model.model)).collect();
    let Some(first) = names.first() else { return names };
    let marks = first.char_indices().filter(|(_, c)| matches!(c, '.' | '-'));
    let shared = |end: &usize| names.iter().all(|name| name.len() > *end && name.starts_with(&first[..*end]));
    let cut = marks.map(|(at, c)| at + c.len_utf8()).rfind(shared).unwrap_or(0);
    names.iter().map(|name| name[cut..].to_owned()).collect()
}
