//! `chat`: a conversation with a model, turn by turn.

mod conversation;
mod format;
mod repetition;
mod shown;
mod turns;
mod typed;
mod wrap;

use clap::Args;
use glassbox_model::Checkpoint;

use self::conversation::{Conversation, Refused, Settings};
use self::format::Format;
use self::turns::Turns;
use self::typed::{HELP, Typed};
use crate::args::{ChunkArgs, MachineArgs, ModelArgs, positive};
use crate::interrupt::Graceful;
use crate::model_source::Source;
use crate::output::{Out, note};
use crate::sampling::SamplingArgs;
use crate::stop_strings::StopStrings;

const EXAMPLES: &str = "Examples:\n\
\x20 glassbox chat --system \"You answer in one short sentence.\"\n\
\x20 printf 'What is a tensor?\\nAnd a matrix?\\n/save tensors.jsonl\\n' | glassbox chat --temp 0";

/// Maximum number of tokens per answer, unless `-n` sets another.
const ANSWER: usize = 512;

/// Chat with a model
///
/// The checkpoint's chat template renders the conversation, and the model continues it. A base model without a template
/// continues a plain document of "User:" and "Assistant:" lines instead. On a terminal, lines can be edited and
/// recalled, and Ctrl-C stops an answer or clears the line; pressed twice at the prompt, it quits. From a pipe, every
/// line is a turn, and every answer ends with a line break. Lines that begin with / are commands; /help lists them.
///
/// Without advice from the checkpoint (generation_config.json, or general.sampling keys of a GGUF), answers are greedy.
/// An answer that repeats itself over and over is stopped. When the context is full, the oldest turns are left out of
/// the prompt. Special tokens in a message are plain text, so a message cannot imitate another role.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// System message, placed before the first turn
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    system: Option<String>,
    /// Show the prompt before each answer: its text, and the token ids of each role
    ///
    /// It is written to standard error. If there is no turn, the prompt of the system message alone is written to
    /// standard output. Of each role, the tokens of the message are named; the others are the template's.
    #[arg(long)]
    show_prompt: bool,
    /// Maximum number of tokens per answer [default: 512, or as many as fit in the context]
    #[arg(short = 'n', long, value_name = "N", value_parser = positive)]
    tokens: Option<usize>,
    /// Maximum length of the prompt and the answer, in tokens [default: the model's context length]
    #[arg(short, long, value_name = "N", value_parser = positive)]
    context: Option<usize>,
    /// Stop an answer before this text. May be repeated
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    stop: Vec<String>,
    /// Let an answer repeat itself over and over
    #[arg(long)]
    let_repeat: bool,
    #[command(flatten)]
    sampling: SamplingArgs,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    machine: MachineArgs,
    #[command(flatten)]
    chunk: ChunkArgs,
}

pub(crate) fn run(arguments: &Arguments, out: &mut Out) -> anyhow::Result<()> {
    StopStrings::new(&arguments.stop)?;
    let source = Source::open(&arguments.model)?;
    let advice = source.checkpoint.generation();
    let sampling = arguments.sampling.cautious(advice);
    sampling.sampler(advice)?;
    let tokenizer = source.tokenizer()?;
    let format = Format::of(&source.checkpoint)?;
    let mut turns = Turns::open()?;
    let mut typed = turns.next()?;
    let context = source.context(arguments.context)?;
    let settings = Settings {
        tokens: arguments.tokens.unwrap_or(ANSWER),
        context,
        ends: source.end_ids(),
        stops: format.stops(&arguments.stop),
        let_repeat: arguments.let_repeat,
        show_prompt: arguments.show_prompt,
        interactive: turns.is_terminal(),
        wrapped: out.width(),
    };
    let mut conversation = Conversation::new(
        format.prompts(tokenizer),
        settings,
        sampling.clone(),
        advice,
        arguments.system.as_deref(),
    );
    if matches!(typed, Typed::End) {
        if arguments.show_prompt && arguments.system.is_some() {
            out.bytes(conversation.shown_opening()?.as_bytes())?;
        }
        return Ok(());
    }
    introduce(&source.checkpoint, &format, &turns);
    loop {
        // A Ctrl-C that comes just after an answer has ended must not end the chat.
        let until_the_next_line = turns.is_terminal().then(Graceful::begin);
        let done = match &typed {
            Typed::End => return Ok(()),
            Typed::Help => {
                note(HELP);
                Ok(())
            }
            Typed::Unknown(command) => {
                note(format_args!(
                    "unknown command {command}: it is not sent to the model; /help lists the commands, \
                     and // at the start of a line sends it with one /"
                ));
                Ok(())
            }
            typed => {
                if matches!(typed, Typed::Turn(_)) {
                    conversation.start(|| {
                        let (model, load_time) = source.load(&arguments.machine)?;
                        note(format_args!("load        {:.0} ms", load_time.as_secs_f64() * 1e3));
                        let session = model.session(context).with_chunk(arguments.chunk.prompt_chunk);
                        Ok((model, session))
                    })?;
                }
                conversation.obey(typed, out)
            }
        };
        match done {
            Err(error) if turns.is_terminal() && error.is::<Refused>() => note(format_args!("{error:#}")),
            done => done?,
        }
        typed = turns.next()?;
        drop(until_the_next_line);
    }
}

/// Says what kind of model answers, where that matters.
fn introduce(checkpoint: &Checkpoint, format: &Format, turns: &Turns) {
    if format.is_plain() {
        note(format_args!(
            "{} has no chat template: it is a base model, which only continues documents. The conversation is \
             written as a document of lines \"User:\" and \"Assistant:\"; do not expect it to answer questions.",
            checkpoint.path().display()
        ));
    }
    if turns.is_terminal() {
        note("/help lists the commands, Ctrl-D ends the chat");
    }
}
