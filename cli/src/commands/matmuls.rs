//! `matmuls`: every matrix product of a token, by kind.

use clap::Args;
use glassbox_model::glass::{self, MatmulOptions, Matmuls, TimedProduct};
use glassbox_model::{Config, Product, Runtime};
use serde::Serialize;

use super::explained::paragraph;
use super::view::ViewArgs;
use crate::escape;
use crate::output::Out;

const EXAMPLES: &str = "Examples:\n\
\x20 glassbox matmuls \"The capital of France is\"\n\
\x20 glassbox matmuls -f chapter.txt --prompt-pass";

/// Show every matrix product of one token: its work, and the time it takes
///
/// Nearly all of a model's work are matrix products. They are listed by kind, with their shape, how many there are (one
/// per layer, or per layer and head, or per expert in use), multiply-adds, the bytes that must be read in the model's
/// number formats, and the measured time. The pass is that of the token after the prompt, or with --prompt-pass that of
/// all tokens of the prompt together.
///
/// The time is measured in the engine that generates, by an observer that notes the time between operations. Products
/// that the engine runs as one operation (q, k and v; both of attention, with the softmax; gate and up) are marked with
/// ~: their common time is shared out by the bytes they read, or for a prompt by their multiply-adds.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Measure the pass over the whole prompt instead of the next token's
    #[arg(long)]
    prompt_pass: bool,
    /// Number of measurements, of which the fastest is shown
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = clap::value_parser!(u16).range(1..=1000))]
    runs: u16,
    /// Write one JSON object: depth, tokens, products (kind, shape, count, multiply_adds, bytes, formats, seconds,
    /// shared), other_seconds, seconds, unobserved_seconds
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    view: ViewArgs,
}

/// What `--json` writes.
#[derive(Serialize)]
struct Report {
    depth: usize,
    tokens: usize,
    products: Vec<JsonProduct>,
    other_seconds: f64,
    seconds: f64,
    unobserved_seconds: f64,
}

#[derive(Serialize)]
struct JsonProduct {
    kind: &'static str,
    shape: [usize; 2],
    count: usize,
    multiply_adds: f64,
    bytes: usize,
    formats: Vec<String>,
    seconds: f64,
    shared: bool,
}

pub(crate) fn run(arguments: &Arguments, out: &mut Out) -> anyhow::Result<()> {
    let (source, ids) = arguments.view.open()?;
    let model = arguments.view.load(&source)?;
    let options = MatmulOptions { prompt: arguments.prompt_pass, runs: arguments.runs.into() };
    let found = glass::matmuls(&model, &ids, &options)?;
    let cache = model.cache_format.name();
    if arguments.json {
        let product = |row: &TimedProduct| JsonProduct {
            kind: row.product.kind.name(),
            shape: row.product.shape,
            count: row.product.count,
            multiply_adds: row.product.multiply_adds as f64,
            bytes: row.product.bytes,
            formats: formats(&row.product, cache),
            seconds: row.time.as_secs_f64(),
            shared: row.shared,
        };
        return out.json(&Report {
            depth: found.depth,
            tokens: found.tokens,
            products: found.rows.iter().map(product).collect(),
            other_seconds: found.other.as_secs_f64(),
            seconds: found.total.as_secs_f64(),
            unobserved_seconds: found.unobserved.as_secs_f64(),
        });
    }
    explain(&found, &model, arguments.runs, out)?;
    table(&found, cache, &model.config, out)
}

/// The number formats of the matrices; of keys and values, that of the KV cache.
fn formats(product: &Product, cache: &str) -> Vec<String> {
    if product.is_weight() {
        product.formats.iter().map(ToString::to_string).collect()
    } else {
        vec![format!("{cache} KV")]
    }
}

fn explain(found: &Matmuls, model: &Runtime, runs: u16, out: &mut Out) -> anyhow::Result<()> {
    let pass = match found.tokens {
        1 => format!("One token after {} others", found.depth),
        tokens => format!("A prompt of {tokens} tokens"),
    };
    let threads = model.pool.threads();
    let threads = if threads == 1 { "one thread".to_owned() } else { format!("{threads} threads") };
    let shared = if found.tokens == 1 { "the bytes they read" } else { "their multiply-adds" };
    paragraph(
        out,
        &format!(
            "{pass}: every matrix product by kind, on {threads}. matrix: rows × columns of each, count: how many. \
             mul-adds: multiply-adds of all together. bytes: what must be read, in the number formats of the model."
        ),
    )?;
    paragraph(
        out,
        &format!(
            "time: measured between the operations of the real engine. ~: run as one operation, whose time is shared \
             out by {shared}. The fastest of {runs} runs is shown, and the fastest without measuring in between takes \
             {}; times vary on a busy machine.",
            milliseconds(found.unobserved.as_secs_f64())
        ),
    )
}

fn table(found: &Matmuls, cache: &str, config: &Config, out: &mut Out) -> anyhow::Result<()> {
    out.line(
        out.paint(2, "product             matrix  count  mul-adds    bytes        time  share  format"),
    )?;
    let total = found.total.as_secs_f64();
    let line = |name: &str, matrix: &str, numbers: Option<(usize, u128, usize)>, mark: &str, seconds: f64| {
        let (count, multiply_adds, bytes) = match numbers {
            Some((count, multiply_adds, bytes)) => {
                (count.to_string(), scaled(multiply_adds as f64, ""), scaled(bytes as f64, "B"))
            }
            None => Default::default(),
        };
        let share = if total > 0.0 { seconds / total * 100.0 } else { 0.0 };
        let time = format!("{mark}{}", milliseconds(seconds));
        let name = escape::fit(name, 11);
        format!("{name}  {matrix:>13}  {count:>5}  {multiply_adds:>8}  {bytes:>7}  {time:>10}  {share:>4.1}%")
    };
    for TimedProduct { product, time, shared } in &found.rows {
        let [rows, columns] = product.shape;
        let numbers = (product.count, product.multiply_adds, product.bytes);
        let (matrix, mark) = (format!("{rows} × {columns}"), if *shared { "~" } else { "" });
        let line = line(product.kind.name(), &matrix, Some(numbers), mark, time.as_secs_f64());
        out.line(format!("{line}  {}", formats(product, cache).join(" ")))?;
    }
    out.line(line("other", "", None, "", found.other.as_secs_f64()))?;
    let products = || found.rows.iter().map(|row| &row.product);
    let sums = (
        products().map(|product| product.count).sum(),
        products().map(|product| product.multiply_adds).sum(),
        products().map(|product| product.bytes).sum(),
    );
    out.line(out.paint(1, &line("total", "", Some(sums), "", total)))?;
    let group = config.n_heads / config.n_kv_heads.max(1);
    if group > 1 {
        paragraph(
            out,
            &format!(
                "Groups of {group} heads share keys and values, which are read once: so scores and pattern·v read \
                 fewer bytes than count × matrix."
            ),
        )?;
    }
    paragraph(out, "other: norms, rotations, activation functions, sums, and the lookup of the embedding.")
}

/// A number with about three digits: `1.23 M`, `17.7 MB`.
fn scaled(number: f64, unit: &str) -> String {
    let (mut number, mut prefixes) = (number, ["", "k", "M", "G", "T"].into_iter());
    let mut prefix = prefixes.next().unwrap_or_default();
    while number >= 999.5 {
        let Some(larger) = prefixes.next() else { break };
        (number, prefix) = (number / 1000.0, larger);
    }
    let digits = if prefix.is_empty() || number >= 99.95 { 0 } else { 1 };
    format!("{number:.digits$} {prefix}{unit}").trim_end().to_owned()
}

fn milliseconds(seconds: f64) -> String {
    format!("{:.3} ms", seconds * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_numbers_have_a_prefix() {
        for (number, text) in
            [(0.0, "0 B"), (999.0, "999 B"), (1000.0, "1.0 kB"), (999_600.0, "1.0 MB"), (134.5e6, "134 MB")]
        {
            assert_eq!(scaled(number, "B"), text);
        }
        assert_eq!(scaled(12_345.0, ""), "12.3 k");
    }
}
