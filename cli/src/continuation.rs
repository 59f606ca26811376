//! A continuation: the prompt is fed, tokens are drawn and shown, until something ends the text.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use glassbox_model::{Generation, Session, Stop};
use glassbox_sampler::{Record, Sampler};

use crate::interrupt::Graceful;
use crate::output::{StdoutError, note};
use crate::transcript::Transcript;

/// What a text goes on with.
pub(crate) struct Continuation {
    /// The tokens, without the one that ended the text.
    pub(crate) ids: Vec<u32>,
    /// Their text as it was shown.
    pub(crate) text: String,
    /// Why it ended.
    pub(crate) end: End,
    timings: Timings,
}

/// Why a text ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The model, or the number of tokens asked for, or the context.
    Model(Stop),
    /// A stop string was found.
    StopString,
    /// Ctrl-C was pressed.
    Interrupted,
}

impl End {
    /// The name in reports.
    pub(crate) fn name(self) -> &'static str {
        match self {
            End::Model(Stop::EndOfText) => "end_of_text",
            End::Model(Stop::Length) => "length",
            End::Model(Stop::ContextFull) => "context_full",
            End::StopString => "stop_string",
            End::Interrupted => "interrupted",
        }
    }
}

/// Tokens computed, and how long that took.
struct Timings {
    prompt: (usize, Duration),
    generation: (usize, Duration),
}

/// What is handed over as a text goes on.
pub(crate) enum Event<'a> {
    /// More text.
    Text(&'a str),
    /// How a token was chosen, the one that ends the text included.
    Choice(Box<Record>),
}

/// What ends a text.
pub(crate) struct Limits<'a> {
    /// So many tokens.
    pub(crate) tokens: usize,
    /// Any of these tokens.
    pub(crate) ends: &'a [u32],
}

/// Feeds `prompt`, which must not be empty, and generates tokens up to the limits. The text is handed
/// to `show` as it comes; in front of each token's text how it was chosen, if `explain` asks for that.
pub(crate) fn continue_text(
    session: &mut Session,
    prompt: &[u32],
    limits: &Limits<'_>,
    sampler: &mut Sampler,
    mut transcript: Transcript<'_>,
    explain: bool,
    mut show: impl FnMut(Event<'_>) -> Result<(), StdoutError>,
) -> anyhow::Result<Continuation> {
    let mut picks: usize = 0;
    let choice = RefCell::new(None);
    let pick = |logits: &[f32]| {
        picks += 1;
        let id = if explain {
            let record = sampler.sample_recorded(logits)?;
            choice.borrow_mut().insert(record).id
        } else {
            sampler.sample(logits)?
        };
        sampler.accept(id);
        Ok::<u32, glassbox_sampler::Error>(id)
    };
    let start = Instant::now();
    let mut tokens = Generation::new(session, prompt, limits.tokens, limits.ends, pick)?;
    let prompt_time = start.elapsed();

    let graceful = Graceful::begin();
    let mut ids = Vec::new();
    let start = Instant::now();
    let mut end = None;
    while end.is_none() {
        let next = tokens.next().transpose()?;
        if let Some(record) = choice.take() {
            show(Event::Choice(Box::new(record)))?;
        }
        let Some(id) = next else { break };
        ids.push(id);
        show(Event::Text(transcript.push(id)))?;
        if transcript.stopped() {
            end = Some(End::StopString);
        } else if graceful.pressed() {
            end = Some(End::Interrupted);
        }
    }
    let generation_time = start.elapsed();
    show(Event::Text(transcript.finish()))?;
    let end = if transcript.stopped() { Some(End::StopString) } else { end };
    let end = end.or(tokens.stop().map(End::Model)).unwrap_or(End::Interrupted);
    Ok(Continuation {
        ids,
        text: transcript.text,
        end,
        // The first token comes with the prompt; every further one is a pass of its own.
        timings: Timings {
            prompt: (prompt.len(), prompt_time),
            generation: (picks.saturating_sub(1), generation_time),
        },
    })
}

impl Continuation {
    /// Tells on stderr how fast it went.
    pub(crate) fn note_timings(&self) {
        note(format_args!("prompt      {}", rate(self.timings.prompt)));
        note(format_args!("generation  {}", rate(self.timings.generation)));
        note(format_args!("stopped     {}", self.end.name()));
    }
}

/// Tokens and time as a person reads them.
pub(crate) fn rate((tokens, time): (usize, Duration)) -> String {
    let seconds = time.as_secs_f64();
    let speed = if seconds > 0.0 { tokens as f64 / seconds } else { 0.0 };
    format!("{tokens} tokens in {:.0} ms, {speed:.1} tokens/s", seconds * 1e3)
}
