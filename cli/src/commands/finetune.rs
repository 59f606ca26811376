//! `finetune`: trains an existing model on more data, with LoRA adapters or in full.

use std::path::PathBuf;

use clap::Args;
use glassbox_train::finetune::{FineTuning, Layout, LoraSettings, Settings, TrainingData};
use glassbox_train::run::Outcome;

use super::train::Show;
use crate::args::{ModelArgs, TrainMachineArgs, positive};
use crate::exit::{Interrupted, Usage};
use crate::model_source::Source;
use crate::output::{Out, note, warn};

const EXAMPLES: &str = "Examples:\n\
\x20 glassbox finetune -m smollm2.gguf --data chats.jsonl --out runs/polite\n\
\x20 glassbox chat -m smollm2.gguf --lora runs/polite\n\
\x20 glassbox merge -m smollm2.gguf --lora runs/polite --out polite";

/// Fine-tune a model: LoRA adapters, or all parameters
///
/// The data is plain text (a file or a folder, as for `train`) or records of JSON: a .jsonl file with one per line, or
/// a .json file with an array. A record is a chat, {"messages": [{"role", "content"}, …]}, or has one of the layouts of
/// other programs: prompt and completion, instruction, input and output, conversations, text. The model's chat template
/// renders each chat with all fields of its messages and the record's tools, documents and other variables, and only
/// the assistant's messages are learnt, without those that have "weight": 0. A quantised model is dequantised first.
///
/// Adapters are written to the folder RUN in the layout of Hugging Face's PEFT: run any command with `-m M --lora RUN`,
/// or `merge` them into the weights. With --full, RUN becomes a checkpoint of its own.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    model: ModelArgs,
    /// Training data: a .jsonl or .json file of chats or other records, or a file or folder of plain text
    #[arg(long, value_name = "FILE|DIR")]
    data: PathBuf,
    /// Folder for the adapters, or with --full for the checkpoint
    #[arg(short, long, value_name = "RUN")]
    out: PathBuf,
    /// Rank of the adapters
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = positive, conflicts_with = "full")]
    lora_rank: usize,
    /// Scale of the adapters: their output is multiplied by alpha / rank [default: twice the rank]
    #[arg(long, value_name = "X", conflicts_with = "full")]
    lora_alpha: Option<f64>,
    /// Layers that get adapters, by the last part of their names, such as q_proj,v_proj [default: all linear layers]
    #[arg(long, value_name = "NAMES", value_delimiter = ',', conflicts_with = "full")]
    lora_targets: Vec<String>,
    /// Train all parameters instead of adapters
    #[arg(long)]
    full: bool,
    /// Number of training steps [default: computed from --epochs]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), conflicts_with = "epochs")]
    steps: Option<u64>,
    /// Number of passes over the data [default: 3]
    #[arg(long, value_name = "N")]
    epochs: Option<f64>,
    /// Sequences per step
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = positive)]
    batch: usize,
    /// Sequences computed at a time; fewer take less memory
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = positive)]
    micro_batch: usize,
    /// Maximum sequence length in tokens; anything beyond is ignored
    #[arg(short, long, value_name = "N", default_value_t = 512, value_parser = positive)]
    context: usize,
    /// Learning rate after the warm-up [default: 5e-4 for adapters, 5e-5 with --full]
    #[arg(long, value_name = "X")]
    learning_rate: Option<f64>,
    /// Dropout probability from 0 to 0.9, against overfitting
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    dropout: f64,
    /// Gradient checkpointing: recompute each block in the backward pass; less memory, slower, same result
    #[arg(long)]
    recompute: bool,
    /// Random seed
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    machine: TrainMachineArgs,
}

pub(crate) fn run(arguments: &Arguments, out: &mut Out) -> anyhow::Result<()> {
    let above_zero = |name: &str, value: Option<f64>| match value {
        Some(value) if !(value > 0.0 && value.is_finite()) => {
            Err(Usage(format!("{name}: expected a number above 0, found {value}")))
        }
        value => Ok(value),
    };
    let alpha = above_zero("--lora-alpha", arguments.lora_alpha)?;
    let epochs = above_zero("--epochs", arguments.epochs)?.unwrap_or(3.0);
    let rate = above_zero("--learning-rate", arguments.learning_rate)?;
    if !(0.0..=0.9).contains(&arguments.dropout) {
        return Err(Usage(format!("--dropout: expected 0 to 0.9, found {}", arguments.dropout)).into());
    }
    if arguments.model.lora.is_some() {
        return Err(Usage("finetune trains new adapters: merge those of --lora first".into()).into());
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
    let sequences = tuning.sequences().len();
    let steps =
        arguments.steps.unwrap_or_else(|| (sequences as f64 * epochs / arguments.batch as f64).ceil() as u64);
    tuning.set_steps(steps);
    tuning.set_recompute(arguments.recompute);
    let in_loss = tuning.sequences().iter().flat_map(|sequence| &sequence.in_loss);
    let in_loss = in_loss.filter(|in_loss| **in_loss).count();
    note(format_args!("data        {sequences} sequences, {in_loss} tokens to learn"));
    describe(tuning.data());
    let trained = tuning.network().trained().values().len();
    note(format_args!(
        "trained     {trained} of {} parameters",
        tuning.network().parameters().values().len()
    ));
    let mut show = Show::new();
    show.bar(steps, 0);
    let tuned = tuning.train(&pool, &mut show)?;
    show.end();
    note(format_args!(
        "loss        {:.4} before, {:.4} after (nats per learnt token)",
        tuned.before, tuned.after
    ));
    out.line(arguments.out.display())?;
    match tuned.outcome {
        Outcome::Done => Ok(()),
        Outcome::Stopped => Err(Interrupted.into()),
    }
}

/// Says what was found in the data, and what of it has no effect.
fn describe(data: &TrainingData) {
    if let Some(layout) = data.layout {
        note(format_args!("layout      {layout}: {} records", data.records));
    }
    if data.split > 0 {
        note(format_args!(
            "split       {} chats into one sequence per answer: the chat template renders earlier turns differently \
             when later ones follow",
            data.split
        ));
    }
    if data.truncated > 0 {
        note(format_args!("truncated   {} sequences to the context", data.truncated));
    }
    if data.empty > 0 {
        note(format_args!("left out    {} sequences without a token to learn", data.empty));
    }
    let reader = if data.layout.is_some_and(Layout::is_chat) {
        "the chat template does not read it"
    } else {
        "unused"
    };
    for (name, records) in &data.unread {
        warn(format_args!("field {name}, in {records} of {} records, has no effect: {reader}", data.records));
    }
}
