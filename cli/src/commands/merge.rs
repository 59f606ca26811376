//! `merge`: adapters into the weights.

use std::path::PathBuf;

use clap::Args;
use glassbox_train::finetune;

use crate::args::ModelArgs;
use crate::exit::Usage;
use crate::model_source::Source;
use crate::output::Out;

const EXAMPLES: &str = "Examples:\n\
\x20 glassbox merge -m SmolLM2-135M-Instruct.Q4_1 --lora runs/polite --out polite\n\
\x20 glassbox quantize polite polite.Q8_0.gguf --type q8_0";

/// Merge adapters into a model's weights
///
/// The result is a checkpoint in Hugging Face's layout, in f32, that needs the adapters no more. Its results differ from
/// those with the adapters beside the weights by rounding alone.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    model: ModelArgs,
    /// The folder to be written
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
}

pub(crate) fn run(arguments: &Arguments, out: &mut Out) -> anyhow::Result<()> {
    let source = Source::open(&arguments.model)?;
    let lora =
        source.lora.as_ref().ok_or_else(|| Usage("merge needs adapters: name them with --lora".into()))?;
    if arguments.out.join("config.json").exists() {
        anyhow::bail!("{}: there is a checkpoint in this folder already", arguments.out.display());
    }
    finetune::merge(&source.checkpoint, lora, &arguments.out)?;
    Ok(out.line(arguments.out.display())?)
}
