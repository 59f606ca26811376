//! The commands, one file each.

mod ablate;
mod attention;
mod attribute;
mod attribute_chart;
mod bench;
mod chat;
mod choice;
mod compare;
mod compare_models;
mod completions;
mod detokenize;
mod doctor;
mod explained;
mod finetune;
mod generate;
mod inspect;
mod lens;
mod lens_token;
mod man;
mod matmuls;
mod merge;
mod neighbors;
mod neighbors_in_context;
mod neurons;
mod perplexity;
mod position;
mod predict;
mod quantize;
mod side_by_side;
mod tokenize;
mod trace;
mod train;
mod verify;
mod view;
mod watch;
mod words;

use clap::{CommandFactory, Parser, Subcommand};

use crate::help;
use crate::output::Out;
pub(crate) use view::position_of_word;

/// A GPT you can see through.
///
/// Continues text, chats, and shows what a language model computes: the tokens of a text, the probabilities of the next
/// token, attention, and every other intermediate value. It also trains, fine-tunes and quantises models. A model is a
/// GGUF file or a checkpoint in Hugging Face's layout: GPT-2, Llama, Mistral, Qwen 2 and 3, Gemma 3, GPT-NeoX or
/// Mixtral.
///
/// Results go to standard output, everything else to standard error. Exit codes: 0 success, 1 failure, 2 wrong usage,
/// 130 interrupted.
#[derive(Parser, Debug)]
#[command(
    name = "glassbox",
    version,
    max_term_width = 80,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The definition of the program: its commands and options, with their help.
pub(crate) fn definition() -> clap::Command {
    help::arranged(Cli::command())
}

/// The command to run.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    Generate(generate::Arguments),
    Chat(chat::Arguments),
    Predict(predict::Arguments),
    Tokenize(tokenize::Arguments),
    Detokenize(detokenize::Arguments),
    Neighbors(neighbors::Arguments),
    Lens(lens::Arguments),
    Attention(attention::Arguments),
    Neurons(neurons::Arguments),
    Attribute(attribute::Arguments),
    Ablate(ablate::Arguments),
    Compare(compare::Arguments),
    CompareModels(compare_models::Arguments),
    Perplexity(perplexity::Arguments),
    Trace(trace::Arguments),
    Verify(verify::Arguments),
    Quantize(quantize::Arguments),
    Inspect(inspect::Arguments),
    Train(train::Arguments),
    Watch(watch::Arguments),
    Finetune(finetune::Arguments),
    Merge(merge::Arguments),
    Matmuls(matmuls::Arguments),
    Bench(bench::Arguments),
    Doctor(doctor::Arguments),
    Completions(completions::Arguments),
    Man(man::Arguments),
}

impl Command {
    /// Runs the command.
    pub(crate) fn run(&self, out: &mut Out) -> anyhow::Result<()> {
        match self {
            Command::Generate(arguments) => generate::run(arguments, out),
            Command::Chat(arguments) => chat::run(arguments, out),
            Command::Predict(arguments) => predict::run(arguments, out),
            Command::Tokenize(arguments) => tokenize::run(arguments, out),
            Command::Detokenize(arguments) => detokenize::run(arguments, out),
            Command::Neighbors(arguments) => neighbors::run(arguments, out),
            Command::Lens(arguments) => lens::run(arguments, out),
            Command::Attention(arguments) => attention::run(arguments, out),
            Command::Neurons(arguments) => neurons::run(arguments, out),
            Command::Attribute(arguments) => attribute::run(arguments, out),
            Command::Ablate(arguments) => ablate::run(arguments, out),
            Command::Compare(arguments) => compare::run(arguments, out),
            Command::CompareModels(arguments) => compare_models::run(arguments, out),
            Command::Perplexity(arguments) => perplexity::run(arguments, out),
            Command::Trace(arguments) => trace::run(arguments, out),
            Command::Verify(arguments) => verify::run(arguments, out),
            Command::Quantize(arguments) => quantize::run(arguments, out),
            Command::Inspect(arguments) => inspect::run(arguments, out),
            Command::Train(arguments) => train::run(arguments, out),
            Command::Watch(arguments) => watch::run(arguments, out),
            Command::Finetune(arguments) => finetune::run(arguments, out),
            Command::Merge(arguments) => merge::run(arguments, out),
            Command::Matmuls(arguments) => matmuls::run(arguments, out),
            Command::Bench(arguments) => bench::run(arguments, out),
            Command::Doctor(arguments) => doctor::run(arguments, out),
            Command::Completions(arguments) => completions::run(arguments, out),
            Command::Man(arguments) => man::run(arguments, out),
        }
    }
}
