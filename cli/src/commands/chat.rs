//! `chat`: a conversation with a model, turn by turn.

mod turns;

use anyhow::{anyhow, bail};
use clap::Args;
use glassbox_model::Stop;
use glassbox_model::chat::Message;

use self::turns::{Turns, Typed};
use crate::args::{ChunkArgs, MachineArgs, ModelArgs, positive};
use crate::chat_prompt::{ChatPrompt, ChatPrompts};
use crate::continuation::{End, Event, Limits, continue_text};
use crate::exit::Interrupted;
use crate::interrupt::Graceful;
use crate::model_source::Source;
use crate::not_finite;
use crate::output::{Out, note};
use crate::sampling::SamplingArgs;
use crate::stop_strings::StopStrings;
use crate::transcript::Transcript;

const EXAMPLES: &str = "Examples:\n\
\x20 glassbox chat --system \"You answer in one short sentence.\"\n\
\x20 printf 'What is a tensor?\\nAnd a matrix?\\n' | glassbox chat --temp 0";

/// Chat with a model
///
/// The checkpoint's chat template renders the conversation, and the model continues it. On a terminal, lines can be
/// edited and recalled; /reset starts a new conversation, /exit or Ctrl-D quits. Ctrl-C stops an answer or clears the
/// line; pressed twice at the prompt, it quits. From a pipe, every line is a turn, and every answer ends with a line
/// break.
///
/// Special tokens in a message are plain text, so a message cannot imitate another role. A full context ends the chat
/// with an error.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// System message, placed before the first turn
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    system: Option<String>,
    /// Show the prompt before each answer: its text, and the token ids of each role
    ///
    /// It is written to standard error. If there is no turn, the prompt of the system message alone is written to
    /// standard output.
    #[arg(long)]
    show_prompt: bool,
    /// Maximum number of tokens per answer [default: as many as fit in the context]
    #[arg(short = 'n', long, value_name = "N", value_parser = positive)]
    tokens: Option<usize>,
    /// Maximum length of the whole conversation, in tokens [default: the model's context length]
    #[arg(short, long, value_name = "N", value_parser = positive)]
    context: Option<usize>,
    /// Stop an answer before this text. May be repeated
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    stop: Vec<String>,
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
    let (mut sampler, seed) = arguments.sampling.sampler(source.checkpoint.generation())?;
    let tokenizer = source.tokenizer()?;
    let template = source.checkpoint.chat_template()?.ok_or_else(|| {
        anyhow!("{} has no chat template; use generate", source.checkpoint.path().display())
    })?;
    let prompts = ChatPrompts { template: &template, tokenizer };
    let context = source.context(arguments.context)?;
    let opening: Vec<Message> =
        arguments.system.iter().map(|text| Message::new("system", text.as_str())).collect();
    let mut messages = opening.clone();

    let mut turns = Turns::open()?;
    let mut typed = turns.next()?;
    if matches!(typed, Typed::End) {
        if arguments.show_prompt && !messages.is_empty() {
            out.bytes(shown(&prompts.prompt(&messages, false)?).as_bytes())?;
        }
        return Ok(());
    }
    let (model, load_time) = source.load(&arguments.machine)?;
    note(format_args!("load        {:.0} ms", load_time.as_secs_f64() * 1e3));
    if let Some(seed) = seed {
        note(format_args!("seed        {seed}"));
    }
    let mut session = model.session(context).with_chunk(arguments.chunk.prompt_chunk);
    let ends = source.end_ids();
    // The tokens in the KV cache: each answer feeds only what is new.
    let mut fed: Vec<u32> = Vec::new();
    loop {
        // A Ctrl-C that comes just after an answer has ended must not end the chat.
        let until_the_next_line = turns.is_terminal().then(Graceful::begin);
        match typed {
            Typed::End => return Ok(()),
            Typed::Reset => messages.clone_from(&opening),
            Typed::Turn(text) => {
                messages.push(Message::new("user", text));
                let prompt = prompts.prompt(&messages, true)?;
                if arguments.show_prompt {
                    note(shown(&prompt).trim_end());
                }
                let ids = prompt.ids();
                if ids.is_empty() {
                    bail!("the chat template renders these messages to an empty prompt");
                }
                if ids.len() > context {
                    bail!(
                        "the conversation has {} tokens and does not fit a context of {context}; the chat ends",
                        ids.len()
                    );
                }
                let known = ids.iter().zip(&fed).take_while(|(a, b)| a == b).count().min(ids.len() - 1);
                session.truncate(known);
                sampler.prime(&ids[known..]);
                let transcript = Transcript::new(Some(tokenizer), true, StopStrings::new(&arguments.stop)?);
                let limits = Limits { tokens: arguments.tokens.unwrap_or(usize::MAX), ends: &ends };
                let answer = continue_text(
                    &mut session,
                    &ids[known..],
                    &limits,
                    &mut sampler,
                    transcript,
                    false,
                    |event| match event {
                        Event::Text(text) => out.stream(text),
                        Event::Choice(_) => Ok(()),
                    },
                )
                .map_err(|error| not_finite::located(error, &model, &ids))?;
                out.line("")?;
                out.flush()?;
                match answer.end {
                    End::Interrupted if !turns.is_terminal() => return Err(Interrupted.into()),
                    End::Model(Stop::ContextFull) => {
                        bail!("the context of {context} tokens is full; the chat ends")
                    }
                    _ => {}
                }
                fed = [ids, answer.ids].concat();
                fed.truncate(session.positions());
                messages.push(Message::new("assistant", answer.text));
            }
        }
        typed = turns.next()?;
        drop(until_the_next_line);
    }
}

/// A prompt for `--show-prompt`: the text, then the tokens of each role.
fn shown(prompt: &ChatPrompt) -> String {
    let mut shown = format!("prompt of {} tokens:\n{}", prompt.tokens.len(), prompt.text);
    if !shown.ends_with('\n') {
        shown.push('\n');
    }
    for turn in &prompt.turns {
        let ids = prompt.tokens[turn.tokens.clone()].iter().map(|token| token.id.to_string());
        let ids = ids.collect::<Vec<_>>().join(" ");
        shown.push_str(&format!("{}, tokens {}..{}: {ids}\n", turn.role, turn.tokens.start, turn.tokens.end));
    }
    shown
}
