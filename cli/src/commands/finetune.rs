//! `finetune`: a model that is there already learns from a few more texts.

use std::path::PathBuf;

use clap::Args;
use glassbox_train::finetune::{FineTuning, LoraSettings, Settings};
use glassbox_train::run::Outcome;

use super::train::Show;
use crate::args::{ModelArgs, TrainMachineArgs, positive};
use crate::exit::{Interrupted, Usage};
use crate::model_source::Source;
use crate::output::{Out, note};

const EXAMPLES: &str = "Examples:\n\
\x20 glassbox finetune -m SmolLM2-135M-Instruct.Q4_1 --data chats.jsonl --out runs/polite\n\
\x20 glassbox chat -m SmolLM2-135M-Instruct.Q4_1 --lora runs/polite\n\
\x20 glassbox merge -m SmolLM2-135M-Instruct.Q4_1 --lora runs/polite --out polite";

/// Teach a model something more: adapters (LoRA), or all of its parameters
///
/// The texts are plain (a file or a folder, as for `train`), or chats: a .jsonl file with {"messages": [{"role", "content"},
/// …]} on each line, written out by the model's own template; of a chat the assistant's words alone are learnt. A quantised
/// model is dequantised for it.
///
/// With adapters the folder RUN gets them in the layout of Hugging Face's PEFT: run any command with `-m M --lora RUN`, or
/// `merge` them. With --full it becomes a checkpoint of its own.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    model: ModelArgs,
    /// The texts: a .jsonl file of chats, or a file or folder of plain text
    #[arg(long, value_name = "FILE|DIR")]
    data: PathBuf,
    /// The folder for what is learnt
    #[arg(short, long, value_name = "RUN")]
    out: PathBuf,
    /// Components of an adapter
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = positive, conflicts_with = "full")]
    lora_rank: usize,
    /// How strongly adapters count: they are multiplied by alpha / rank [default: twice the rank]
    #[arg(long, value_name = "X", conflicts_with = "full")]
    lora_alpha: Option<f64>,
    /// Adapters beside these layers alone, by the last part of their names (q_proj,v_proj) [default: all linear layers]
    #[arg(long, value_name = "NAMES", value_delimiter = ',', conflicts_with = "full")]
    lora_targets: Vec<String>,
    /// Let all parameters move
    #[arg(long)]
    full: bool,
    /// Steps in all
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), conflicts_with = "epochs")]
    steps: Option<u64>,
    /// Passes through the texts [default: 3]
    #[arg(long, value_name = "N")]
    epochs: Option<f64>,
    /// Texts a step
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = positive)]
    batch: usize,
    /// Texts computed at a time: fewer take less memory
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = positive)]
    micro_batch: usize,
    /// The longest text in tokens; what is behind that is not learnt
    #[arg(short, long, value_name = "N", default_value_t = 512, value_parser = positive)]
    context: usize,
    /// The learning rate after the warm-up [default: 5e-4 for adapters, 5e-5 with --full]
    #[arg(long, value_name = "X")]
    learning_rate: Option<f64>,
    /// The share of numbers left out at random while learning, against learning by heart
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    dropout: f64,
    /// Keep less in memory and compute each block twice: slower, the same result
    #[arg(long)]
    recompute: bool,
    /// Where all chance begins
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    machine: TrainMachineArgs,
}

pub(crate) fn run(arguments: &Arguments, out: &mut Out) -> anyhow::Result<()> {
    let above_zero = |name: &str, value: Option<f64>| match value {
        Some(value) if !(value > 0.0 && value.is_finite()) => {
            Err(Usage(format!("{name} must be a number above 0, it is {value}")))
        }
        value => Ok(value),
    };
    let alpha = above_zero("--lora-alpha", arguments.lora_alpha)?;
    let epochs = above_zero("--epochs", arguments.epochs)?.unwrap_or(3.0);
    let rate = above_zero("--learning-rate", arguments.learning_rate)?;
    if !(0.0..=0.9).contains(&arguments.dropout) {
        return Err(Usage(format!("--dropout must be from 0 to 0.9, it is {}", arguments.dropout)).into());
    }
    if arguments.model.lora.is_some() {
        return Err(Usage("finetune begins with new adapters: merge those of --lora first".into()).into());
    }
    let source = Source::open(&arguments.model)?;
    let lora = (!arguments.full).then(|| LoraSettings {
        rank: arguments.lora_rank,
        alpha: alpha.unwrap_or(2.0 * arguments.lora_rank as f64),
        targets: arguments.lora_targets.clone(),
    });
    let settings = Settings {
        learning_rate: rate.unwrap_or(if arguments.full { 5e-5 } else { 5e-4 }),
        lora,
        steps: arguments.steps.unwrap_or(0),
        batch: arguments.batch,
        micro_batch: arguments.micro_batch,
        context: arguments.context,
        warm_up: 0,
        weight_decay: 0.0,
        clip: 1.0,
        dropout: arguments.dropout,
        seed: arguments.seed,
    };
    let pool = arguments.machine.pool()?;
    let mut tuning = FineTuning::new(&arguments.out, &source.checkpoint, &arguments.data, settings)?;
    let texts = tuning.texts().len();
    let steps =
        arguments.steps.unwrap_or_else(|| (texts as f64 * epochs / arguments.batch as f64).ceil() as u64);
    tuning.set_steps(steps);
    tuning.set_recompute(arguments.recompute);
    let learnt: usize = tuning.texts().iter().flat_map(|text| &text.learnt).filter(|learnt| **learnt).count();
    note(format_args!("texts       {texts}, {learnt} tokens to learn"));
    let moving = tuning.network().trained().values().len();
    note(format_args!("moving      {moving} of {} parameters", tuning.network().parameters().values().len()));
    let mut show = Show::new();
    show.bar(steps, 0);
    let learnt = tuning.train(&pool, &mut show)?;
    show.end();
    note(format_args!(
        "loss        {:.4} before, {:.4} after (nats a learnt token)",
        learnt.before, learnt.after
    ));
    out.line(arguments.out.display())?;
    match learnt.outcome {
        Outcome::Done => Ok(()),
        Outcome::Stopped => Err(Interrupted.into()),
    }
}
