//! `merge`: merges LoRA adapters into the weights.

use std::path::PathBuf;

use clap::Args;
use glassbox_train::finetune;

use crate::args::ModelArgs;
use crate::exit::Usage;
use crate::model_source::Source;
use crate::output::{Out, warn};

const EXAMPLES: &str = "Examples:\n\
\x20 glassbox merge -m smollm2.gguf --lora runs/polite --out polite\n\
\x20 glassbox quantize polite polite.Q8_0.gguf --type q8_0";

/// Merge LoRA adapters into a model's weights
///
/// The result is a checkpoint in Hugging Face's layout, in f32, that no longer needs the adapters. Its outputs differ
/// from those of the model with separate adapters only by rounding.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES, mut_arg("lora", |lora| lora.required(true)))]
pub(crate) struct Arguments {
    #[command(flatten)]
    model: ModelArgs,
    /// Folder to write
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
}

pub(crate) fn run(arguments: &Arguments, out: &mut Out) -> anyhow::Result<()> {
    let source = Source::open(&arguments.model)?;
    let lora =
        source.lora.as_ref().ok_or_else(|| Usage("merge requires adapters: give them with --lora".into()))?;
    if arguments.out.join("config.json").exists() {
        anyhow::bail!("{}: this folder already contains a checkpoint", arguments.out.display());
    }
    let warnings = finetune::merge(&source.checkpoint, lora, &arguments.out)?;
    warnings.iter().for_each(warn);
    Ok(out.line(arguments.out.display())?)
}
