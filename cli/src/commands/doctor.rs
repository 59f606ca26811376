//! `doctor`: the machine's capabilities and the model search path.

use clap::Args;
use glassbox_tensor::Level;
use serde::Serialize;

use crate::args::physical_cores;
use crate::model_source;
use crate::output::Out;

const EXAMPLES: &str = "Examples:\n\
\x20 glassbox doctor\n\
\x20 glassbox doctor --json";

/// Show the machine's capabilities and the model search path
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Vector instruction set, as for other commands [default: the best one available]
    #[arg(long, value_name = "LEVEL", env = "GLASSBOX_LEVEL", hide_env_values = true)]
    level: Option<Level>,
    /// Write one JSON object
    #[arg(long)]
    json: bool,
}

/// What `--json` writes.
#[derive(Serialize)]
struct Report {
    version: &'static str,
    level: &'static str,
    levels: Vec<&'static str>,
    threads: usize,
    logical_cores: usize,
    search_path: Vec<String>,
    models: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments, out: &mut Out) -> anyhow::Result<()> {
    let paths =
        |paths: Vec<std::path::PathBuf>| paths.iter().map(|path| path.display().to_string()).collect();
    let report = Report {
        version: env!("CARGO_PKG_VERSION"),
        level: arguments.level.unwrap_or_else(Level::detect).name(),
        levels: Level::available().into_iter().map(Level::name).collect(),
        threads: physical_cores(),
        logical_cores: std::thread::available_parallelism().map_or(1, usize::from),
        search_path: paths(model_source::search_path()),
        models: paths(model_source::models_in_search_path()),
    };
    if arguments.json {
        return out.json(&report);
    }
    out.line(format_args!("version      {}", report.version))?;
    out.line(format_args!("level        {} (available: {})", report.level, report.levels.join(", ")))?;
    out.line(format_args!("threads      {} (logical cores: {})", report.threads, report.logical_cores))?;
    list("search path", &report.search_path, "neither GLASSBOX_MODELS, XDG_CACHE_HOME nor HOME is set", out)?;
    list("models", &report.models, &format!("none; {}", model_source::HOW_TO_GET_ONE), out)
}

/// Writes a line for each item; the first has the name in front.
fn list(name: &str, items: &[String], none: &str, out: &mut Out) -> anyhow::Result<()> {
    if items.is_empty() {
        out.line(format_args!("{name:<11}  {none}"))?;
    }
    for (i, item) in items.iter().enumerate() {
        out.line(format_args!("{:<11}  {item}", if i == 0 { name } else { "" }))?;
    }
    Ok(())
}
