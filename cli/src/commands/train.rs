//! `train`: trains a model from scratch.

mod show;

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use glassbox_model::quantize::{Mix, Quantization};
use glassbox_tokenizer::{Tokenizer, text_file};
use glassbox_train::recipe::PRESETS;
use glassbox_train::run::{BEST, Outcome, Run};
use glassbox_train::{DataError, Recipe};

use crate::args::TrainMachineArgs;
use crate::exit::{Interrupted, Usage};
use crate::output::{Out, note};
pub(crate) use show::Show;

const EXAMPLES: &str = "Examples:\n\
\x20 glassbox train --data book.txt --preset nano --out runs/first\n\
\x20 glassbox train --data tales/ --config my.toml --out runs/tales --minutes 60\n\
\x20 glassbox train --out runs/tales --resume\n\
\x20 glassbox generate -m runs/first \"Once upon a time\"";

/// Train a model from scratch on your own text
///
/// Trains a tokenizer, sets aside a part of the text as the validation split, and trains the model. The folder RUN gets
/// the loss curve (loss.csv, loss.svg), samples (samples.txt) and, at the end, the model: a checkpoint in Hugging
/// Face's layout that `-m RUN` and other programs load.
///
/// Ctrl-C writes a checkpoint and stops; --resume continues. The result is bit for bit that of an uninterrupted run, on
/// any number of threads.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Training text in UTF-8: a file, or a folder of which all files are read; `<|endoftext|>` ends a document
    #[arg(long, value_name = "FILE|DIR", required_unless_present = "resume")]
    data: Option<PathBuf>,
    /// Folder of the run
    #[arg(short, long, value_name = "RUN")]
    out: PathBuf,
    /// Built-in recipe: nano (half a minute), tiny (ten minutes), small or tales (an hour or two) [default: nano]
    #[arg(long, value_name = "NAME", value_parser = PRESETS.map(|(name, _)| name), conflicts_with = "config")]
    preset: Option<String>,
    /// Recipe file; every run stores its recipe as RUN/recipe.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Use this tokenizer.json instead of training a tokenizer
    #[arg(long, value_name = "FILE", conflicts_with = "resume")]
    tokenizer: Option<PathBuf>,
    /// Total number of training steps [default: the recipe's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    steps: Option<u64>,
    /// Set the number of steps to N passes over the training text
    #[arg(long, value_name = "N", conflicts_with_all = ["steps", "resume"])]
    epochs: Option<f64>,
    /// Set the number of steps so that training takes N minutes, from the measured time of a step
    #[arg(long, value_name = "N", conflicts_with_all = ["steps", "epochs", "resume"])]
    minutes: Option<f64>,
    /// Gradient checkpointing: recompute each block in the backward pass; less memory, slower, same result
    #[arg(long)]
    recompute: bool,
    /// Random seed [default: the recipe's]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Record a snapshot of the model's behaviour every STEPS steps, for `glassbox watch RUN` [default: the recipe's]
    ///
    /// There is one before the first step, and before STEPS there are some after 1, 2, 4, 8 and so on. 0 records none.
    /// The preset nano has 50, the others 0.
    #[arg(long, value_name = "STEPS")]
    watch: Option<u64>,
    /// Also write RUN/model.gguf at the end, in number format TYPE [default without TYPE: f32]
    #[arg(long, value_name = "TYPE", num_args = 0..=1, default_missing_value = "f32")]
    gguf: Option<Mix>,
    /// Continue the run in RUN
    #[arg(long)]
    resume: bool,
    #[command(flatten)]
    machine: TrainMachineArgs,
}

pub(crate) fn run(arguments: &Arguments, out: &mut Out) -> anyhow::Result<()> {
    for (name, value) in [("--epochs", arguments.epochs), ("--minutes", arguments.minutes)] {
        if value.is_some_and(|value| !(value > 0.0 && value.is_finite())) {
            return Err(Usage(format!("{name}: expected a number above 0")).into());
        }
    }
    let recipe = recipe(arguments)?;
    let pool = arguments.machine.pool()?;
    let mut show = Show::new();
    let mut run = match arguments.resume {
        true => {
            let run = Run::resume(&arguments.out)?;
            let recipe = recipe.map(|recipe| overridden(recipe, arguments));
            let recipe = recipe.or_else(|| Some(overridden(run.recipe().clone(), arguments)));
            run.check_same(recipe.as_ref(), arguments.data.as_deref())?;
            run
        }
        false => {
            let recipe = recipe.or_else(|| Recipe::preset("nano")).context("the preset nano is missing")?;
            let recipe = overridden(recipe, arguments);
            let data = arguments.data.as_deref().context("--data is missing")?;
            let tokenizer = arguments.tokenizer.as_deref().map(Tokenizer::from_file).transpose()?;
            Run::begin(&arguments.out, recipe, data, tokenizer, &mut show)?
        }
    };
    if let Some(epochs) = arguments.epochs {
        run.set_steps((run.steps_per_epoch() * epochs).ceil() as u64)?;
    }
    if let Some(minutes) = arguments.minutes {
        show.say("timing a step");
        let seconds = run.seconds_per_step(&pool)?;
        run.set_steps((minutes * 60.0 / seconds).floor() as u64)?;
    }
    if let Some(steps) = arguments.watch {
        run.watch_every(steps);
    }
    run.set_recompute(arguments.recompute);
    show.begin(&run);
    let outcome = run.train(&pool, &mut show)?;
    show.end();
    if let Some((loss, step)) = run.best() {
        let best = run.folder().join(BEST);
        note(format_args!(
            "best        {}: validation loss {loss:.4} nats per token, after step {step}",
            best.display()
        ));
    }
    match outcome {
        Outcome::Done => {
            let last = run.steps_done();
            note(format_args!("model       {}: after the last step, {last}", run.folder().display()));
            if run.recipe().report.watch_every > 0 {
                note(format_args!("watch       glassbox watch {}", run.folder().display()));
            }
            if let Some(mix) = arguments.gguf {
                let path = run.folder().join("model.gguf");
                Quantization::plan(run.folder(), mix)?.write(&pool, &path, |_| ())?;
                note(format_args!("gguf        {}", path.display()));
            }
            Ok(out.line(run.folder().display())?)
        }
        Outcome::Stopped => {
            note(format_args!("stopped     after step {}; continue with --resume", run.steps_done()));
            Err(Interrupted.into())
        }
    }
}

/// The recipe given by --config or --preset, if any.
fn recipe(arguments: &Arguments) -> anyhow::Result<Option<Recipe>> {
    if let Some(path) = &arguments.config {
        let name = path.display().to_string();
        let text = text_file::read_to_string(path)
            .map_err(|source| DataError::Read { path: path.clone(), source })?;
        return Ok(Some(Recipe::parse(&name, &text)?));
    }
    Ok(arguments.preset.as_deref().and_then(Recipe::preset))
}

/// The recipe with the overrides of the command line.
fn overridden(mut recipe: Recipe, arguments: &Arguments) -> Recipe {
    if let Some(steps) = arguments.steps {
        recipe.set_steps(steps);
    }
    recipe.training.seed = arguments.seed.unwrap_or(recipe.training.seed);
    recipe
}
