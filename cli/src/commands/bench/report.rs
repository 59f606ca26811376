//! The results of `bench` and their output formats.

use std::fmt;

use glassbox_model::Runtime;
use serde::Serialize;

use super::{Output, Test};
use crate::model_source::Source;
use crate::output::Out;

/// The machine's peak, with the threads of the test.
pub(super) struct Machine {
    /// Floating-point operations per second.
    pub(super) flops: f64,
    /// Bytes per second.
    pub(super) bytes: f64,
}

/// One test's result.
#[derive(Serialize)]
pub(super) struct Measurement {
    /// `pp512` or `tg128`; with a batch `tg128@8`; with a depth `pp512@d8000`.
    test: String,
    threads: usize,
    /// The median.
    tokens_per_s: f64,
    stddev: f64,
    samples: Vec<f64>,
    level: &'static str,
    compute: &'static str,
    kv: &'static str,
    model: String,
    /// Bytes of weights read per token.
    size_bytes: usize,
    /// Tokens already in the context.
    depth: usize,
    /// Sequences generated together.
    batch: usize,
    /// The peak that `fraction` refers to: `flops` or `bytes`.
    bound: &'static str,
    /// That peak per second, measured in this run.
    peak: f64,
    /// The fraction of the peak that was reached.
    fraction: f64,
}

impl Measurement {
    pub(super) fn new(
        source: &Source,
        model: &Runtime,
        depth: usize,
        test: Test,
        samples: Vec<f64>,
        machine: &Machine,
    ) -> Measurement {
        let tokens_per_s = median(&samples);
        let mean = samples.iter().sum::<f64>() / samples.len() as f64;
        let squares: f64 = samples.iter().map(|sample| (sample - mean).powi(2)).sum();
        let (name, batch, bound, peak, per_token) = match test {
            Test::Prompt(n) => {
                (format!("pp{n}"), 1, "flops", machine.flops, model.prompt_flops(depth, n) / n as f64)
            }
            Test::Generate { tokens: n, batch } => {
                // The weights are read once for the whole batch, the KV cache once per sequence.
                let weights = model.weight_bytes_per_token() as f64 / batch as f64;
                let cache = model.config.cache_bytes(model.cache_format, depth + n / 2);
                let name = if batch == 1 { format!("tg{n}") } else { format!("tg{n}@{batch}") };
                (name, batch, "bytes", machine.bytes, weights + cache as f64)
            }
        };
        Measurement {
            test: if depth == 0 { name } else { format!("{name}@d{depth}") },
            threads: model.pool.threads(),
            tokens_per_s,
            stddev: (squares / (samples.len().max(2) - 1) as f64).sqrt(),
            samples,
            level: model.pool.level().name(),
            compute: model.pool.activations().name(),
            kv: model.cache_format.name(),
            model: source.name(),
            size_bytes: model.weight_bytes_per_token(),
            depth,
            batch,
            bound,
            peak,
            fraction: tokens_per_s * per_token / peak,
        }
    }
}

impl fmt::Display for Measurement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Measurement { test, tokens_per_s, stddev, .. } = self;
        write!(f, "{test:<11} {tokens_per_s:.1} ± {stddev:.1} tokens/s")
    }
}

/// Writes all results.
pub(super) fn write(measurements: &[Measurement], format: Output, out: &mut Out) -> anyhow::Result<()> {
    match format {
        Output::Json => out.json(&measurements)?,
        Output::Md => {
            out.line(
                "| model | size | level | compute | kv | threads | test | tokens/s | share of the peak |",
            )?;
            out.line("|---|---:|---|---|---|---:|---|---:|---|")?;
            for m in measurements {
                out.line(format_args!(
                    "| {} | {:.1} MB | {} | {} | {} | {} | {} | {:.2} ± {:.2} | {:.0} % of {} |",
                    m.model,
                    m.size_bytes as f64 / 1e6,
                    m.level,
                    m.compute,
                    m.kv,
                    m.threads,
                    m.test,
                    m.tokens_per_s,
                    m.stddev,
                    100.0 * m.fraction,
                    rate(m.bound, m.peak),
                ))?;
            }
        }
        Output::Csv => {
            out.line(
                "model,size_bytes,level,compute,kv,threads,test,depth,batch,tokens_per_s,stddev,bound,peak,fraction",
            )?;
            for m in measurements {
                let model = m.model.replace('"', "\"\"");
                out.line(format_args!(
                    "\"{model}\",{},{},{},{},{},{},{},{},{},{},{},{},{}",
                    m.size_bytes,
                    m.level,
                    m.compute,
                    m.kv,
                    m.threads,
                    m.test,
                    m.depth,
                    m.batch,
                    m.tokens_per_s,
                    m.stddev,
                    m.bound,
                    m.peak,
                    m.fraction,
                ))?;
            }
        }
    }
    Ok(())
}

fn rate(bound: &str, peak: f64) -> String {
    format!("{:.1} {}", peak / 1e9, if bound == "flops" { "GFLOP/s" } else { "GB/s" })
}

/// The median.
fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[half] } else { (sorted[half - 1] + sorted[half]) / 2.0 }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[3.0]), 3.0);
        assert_eq!(median(&[9.0, 1.0, 5.0]), 5.0);
        assert_eq!(median(&[9.0, 1.0, 5.0, 6.0]), 5.5);
    }
}
