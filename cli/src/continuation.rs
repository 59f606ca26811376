//! Generation: the prompt is fed, then tokens are sampled and shown until a stop condition holds.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use glassbox_model::{Generation, Session, Stop};
use glassbox_sampler::{Record, Sampler};

use crate::interrupt::Graceful;
use crate::output::{StdoutError, note};
use crate::transcript::Transcript;

/// A generated continuation.
pub(crate) struct Continuation {
    /// The tokens, without the end-of-text token.
    pub(crate) ids: Vec<u32>,
    /// Their text, as it was shown.
    pub(crate) text: String,
    /// Why generation stopped.
    pub(crate) end: End,
    /// The last token chosen, which may be an end-of-text token.
    pub(crate) last: Option<u32>,
    timings: Timings,
}

/// Why generation stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// An end-of-text token, the token limit, or a full context.
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

/// Number of tokens computed and the time it took.
struct Timings {
    prompt: (usize, Duration),
    generation: (usize, Duration),
}

/// What is reported during generation.
pub(crate) enum Event<'a> {
    /// More text.
    Text(&'a str),
    /// How a token was chosen; the end-of-text token is included.
    Choice(Box<Record>),
}

/// Stop conditions.
pub(crate) struct Limits<'a> {
    /// Maximum number of tokens.
    pub(crate) tokens: usize,
    /// End-of-text tokens.
    pub(crate) ends: &'a [u32],
}

/// Feeds `prompt`, which must not be empty, and generates tokens up to the limits. `show` gets the text as it is
/// generated; with `explain`, each token's text comes after the record of its choice.
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
    let mut last = None;
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
        last = Some(id);
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
        last,
        // The first token is sampled from the prompt's logits; every further one takes a forward pass.
        timings: Timings {
            prompt: (prompt.len(), prompt_time),
            generation: (picks.saturating_sub(1), generation_time),
        },
    })
}

impl Continuation {
    /// Writes the speed to stderr.
    pub(crate) fn note_timings(&self) {
        note(format_args!("prompt      {}", rate(self.timings.prompt)));
        match (self.timings.generation.0, self.last) {
            (0, None) => {}
            (0, Some(_)) => note("generation  1 token, chosen from the prompt's pass"),
            _ => note(format_args!("generation  {}", rate(self.timings.generation))),
        }
        note(format_args!("stopped     {}", self.end.name()));
    }
}

/// Tokens, time and speed for a person to read.
pub(crate) fn rate((tokens, time): (usize, Duration)) -> String {
    let seconds = time.as_secs_f64();
    let speed = if seconds > 0.0 { tokens as f64 / seconds } else { 0.0 };
    format!("{tokens} tokens in {:.0} ms, {speed:.1} tokens/s", seconds * 1e3)
}
