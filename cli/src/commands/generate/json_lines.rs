//! `generate --json-lines`: many prompts, some of them side by side, each with the very text it would get alone.
//!
//! A line that waits takes the place of a text as soon as that ends, so that the batch stays full as long as there are
//! lines. Results are written in the order of the lines.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use glassbox_model::{Batch, Growth, Runtime, Slot, Turn};
use glassbox_sampler::Sampler;
use glassbox_tokenizer::Tokenizer;
use serde::Serialize;
use serde_json::Value;

use super::lines::{Line, Lines, Next};
use super::request::Request;
use super::{Arguments, Report};
use crate::continuation::{End, rate};
use crate::exit::{Interrupted, Usage};
use crate::interrupt::Graceful;
use crate::model_source::Source;
use crate::output::{Out, StdoutError, note};
use crate::prompt::special;
use crate::sampling::SamplingArgs;
use crate::stop_strings::StopStrings;
use crate::transcript::Transcript;

/// Texts side by side where `--batch` says nothing.
const BATCH: usize = 8;

/// Lines begun for each place of the batch before the results of earlier ones are written: a text that takes long must
/// not let those behind it pile up.
const AHEAD: usize = 32;

/// What is written in place of a result.
#[derive(Serialize)]
struct Failure<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a Value>,
    error: String,
    line: usize,
}

pub(super) fn run(arguments: &Arguments, out: &mut Out) -> anyhow::Result<()> {
    let stops = StopStrings::new(&arguments.stop)?;
    let slots = arguments.batch.unwrap_or(BATCH);
    let mut lines = Lines::of_stdin(slots)?;
    let source = Source::open(&arguments.model)?;
    let (sampling, seed) = arguments.sampling.seeded();
    // What is wrong with the flags is wrong with every line.
    let (_, used_seed) = sampling.sampler(source.checkpoint.generation())?;
    let tokenizer = source.maybe_tokenizer();
    if tokenizer.is_none() && !stops.is_empty() {
        return Err(Usage("--stop needs a tokenizer, and this checkpoint has none".into()).into());
    }
    let context = source.context(arguments.context)?;
    let (model, load_time) = source.load(&arguments.machine)?;

    let setting = Setting { arguments, slots, source: &source, tokenizer, sampling };
    let mut texts = Texts {
        batch: model.batch(slots, context).with_chunk(arguments.chunk.prompt_chunk),
        running: Vec::new(),
        answers: Answers::default(),
        timings: Timings::default(),
    };
    let interrupted = texts.answer_all(&setting, &model, &mut lines, out)?;
    note(format_args!("load        {:.0} ms", load_time.as_secs_f64() * 1e3));
    let Timings { prompt, reused, generation } = texts.timings;
    note(format_args!("prompt      {}, {reused} more reused", rate(prompt)));
    note(format_args!("generation  {}", rate(generation)));
    let Answers { begun, failed, .. } = texts.answers;
    note(format_args!("lines       {begun}, {failed} failed"));
    if used_seed.is_some() {
        note(format_args!("seed        {seed}"));
    }
    match failed {
        _ if interrupted => Err(Interrupted.into()),
        0 => Ok(()),
        _ => Err(anyhow!("{failed} of {begun} lines failed")),
    }
}

/// What is the same for all lines.
struct Setting<'a> {
    arguments: &'a Arguments,
    /// Texts side by side.
    slots: usize,
    source: &'a Source,
    tokenizer: Option<&'a Tokenizer>,
    sampling: SamplingArgs,
}

/// Tokens computed, and how long that took.
#[derive(Default)]
struct Timings {
    prompt: (usize, Duration),
    /// Tokens of prompts that another text had been fed.
    reused: usize,
    generation: (usize, Duration),
}

/// A text in progress.
struct Running<'a> {
    /// Its place among the results.
    order: usize,
    line: usize,
    id: Option<Value>,
    prompt_ids: Vec<u32>,
    ids: Vec<u32>,
    slot: Slot,
    sampler: Sampler,
    growth: Growth,
    transcript: Transcript<'a>,
}

/// The texts in progress and the results that wait for earlier ones.
struct Texts<'a> {
    batch: Batch,
    /// With the token that each is to be fed.
    running: Vec<(Running<'a>, u32)>,
    answers: Answers,
    timings: Timings,
}

impl<'a> Texts<'a> {
    /// Answers every line; whether Ctrl-C was pressed before the last.
    fn answer_all(
        &mut self,
        setting: &Setting<'a>,
        model: &Runtime,
        lines: &mut Lines,
        out: &mut Out,
    ) -> anyhow::Result<bool> {
        let mut graceful: Option<Graceful> = None;
        loop {
            while self.batch.free() > 0 && self.answers.waiting() < AHEAD * setting.slots {
                let idle = self.running.is_empty();
                // While nobody but the reader is at work, nothing is left unsaid and Ctrl-C may end the program.
                if idle && graceful.take().is_some_and(|graceful| graceful.pressed()) {
                    return Ok(true);
                }
                match lines.next(idle)? {
                    Next::Line(line) => self.begin(setting, line, out)?,
                    Next::NotYet => break,
                    Next::End if idle => return Ok(false),
                    Next::End => break,
                }
            }
            let graceful = graceful.get_or_insert_with(Graceful::begin);
            self.step(setting, model, out)?;
            if graceful.pressed() {
                for (text, _) in std::mem::take(&mut self.running) {
                    self.finish(setting, text, End::Interrupted, out)?;
                }
                return Ok(true);
            }
        }
    }

    /// Begins the text of a line, or tells why that cannot be.
    fn begin(&mut self, setting: &Setting<'a>, line: Line, out: &mut Out) -> anyhow::Result<()> {
        let order = self.answers.begin();
        let (number, mut id) = (line.number, None);
        match self.try_begin(setting, order, line, &mut id) {
            Ok(text) => self.go_on(setting, text, out),
            Err(error) => self.answers.fail(order, number, id.as_ref(), &error, out),
        }
    }

    fn try_begin(
        &mut self,
        setting: &Setting<'a>,
        order: usize,
        line: Line,
        id: &mut Option<Value>,
    ) -> anyhow::Result<Running<'a>> {
        let Setting { arguments, source, tokenizer, ref sampling, .. } = *setting;
        let bytes = line.bytes.ok_or_else(|| anyhow!("the line is too long"))?;
        let request = Request::parse(&bytes, id)?;
        let stops = StopStrings::new(request.stop.as_ref().unwrap_or(&arguments.stop))?;
        if tokenizer.is_none() && !stops.is_empty() {
            return Err(anyhow!("stop needs a tokenizer, and this checkpoint has none"));
        }
        let generation = source.checkpoint.generation();
        let (mut sampler, _) = sampling.overridden(&request.sampling).sampler(generation)?;
        let prompt_ids = request.prompt.ids(source, special(arguments.special))?;
        sampler.prime(&prompt_ids);
        let ends: &[u32] = if arguments.ignore_eos { &[] } else { &generation.eos_ids };

        let start = Instant::now();
        let added = self.batch.add(&prompt_ids)?;
        self.timings.prompt.0 += prompt_ids.len() - added.reused;
        self.timings.prompt.1 += start.elapsed();
        self.timings.reused += added.reused;
        let mut text = Running {
            order,
            line: line.number,
            id: id.clone(),
            prompt_ids,
            ids: Vec::new(),
            slot: added.slot,
            sampler,
            growth: Growth::new(request.tokens.unwrap_or(arguments.tokens), ends),
            transcript: Transcript::new(tokenizer, !arguments.special, stops),
        };
        if text.growth.turn(true) == Turn::Pick
            && let Err(error) = text.pick(added.logits)
        {
            self.batch.end(text.slot)?;
            return Err(error.into());
        }
        Ok(text)
    }

    /// Gives every text its next token.
    fn step(&mut self, setting: &Setting<'a>, model: &Runtime, out: &mut Out) -> anyhow::Result<()> {
        let start = Instant::now();
        let next: Vec<_> =
            self.running.iter().map(|(text, id)| (text.slot, std::slice::from_ref(id))).collect();
        let logits = self.batch.step(&next)?;
        let texts = self.running.drain(..).map(|(text, _)| text);
        let mut picks: Vec<_> = texts.zip(logits).map(|(text, logits)| (text, logits, Ok(()))).collect();
        model.pool.enter(|team| {
            team.run_on_pieces(&mut picks, 1, |_, pick| {
                for (text, logits, outcome) in pick {
                    *outcome = text.pick(logits);
                }
            });
        });
        let picked: Vec<_> = picks.into_iter().map(|(text, _, outcome)| (text, outcome)).collect();
        self.timings.generation.0 += picked.len();
        self.timings.generation.1 += start.elapsed();
        for (text, outcome) in picked {
            match outcome {
                Ok(()) => self.go_on(setting, text, out)?,
                Err(error) => {
                    self.batch.end(text.slot)?;
                    self.answers.fail(text.order, text.line, text.id.as_ref(), &error.into(), out)?;
                }
            }
        }
        Ok(())
    }

    /// Keeps a text for the next step, or ends it if it has come to its end: its place is then free for another.
    fn go_on(&mut self, setting: &Setting<'a>, mut text: Running<'a>, out: &mut Out) -> anyhow::Result<()> {
        if text.transcript.stopped() {
            return self.finish(setting, text, End::StopString, out);
        }
        match text.growth.turn(self.batch.positions(text.slot)? < self.batch.context()) {
            Turn::Ended(stop) => self.finish(setting, text, End::Model(stop), out),
            Turn::Feed(id) => {
                self.running.push((text, id));
                Ok(())
            }
            Turn::Pick => unreachable!("a token is picked as soon as there are scores"),
        }
    }

    /// Ends a text and hands in its result.
    fn finish(
        &mut self,
        setting: &Setting<'a>,
        mut text: Running<'a>,
        end: End,
        out: &mut Out,
    ) -> anyhow::Result<()> {
        self.batch.end(text.slot)?;
        text.transcript.finish();
        let end = if text.transcript.stopped() { End::StopString } else { end };
        let report = Report {
            id: text.id.as_ref(),
            prompt_ids: &text.prompt_ids,
            ids: &text.ids,
            text: if setting.tokenizer.is_some() { &text.transcript.text } else { "" },
            stop_reason: end.name(),
            records: None,
        };
        Ok(self.answers.put(text.order, serde_json::to_string(&report)?, out)?)
    }
}

impl Running<'_> {
    /// Picks the next token.
    fn pick(&mut self, logits: &[f32]) -> Result<(), glassbox_sampler::Error> {
        let id = self.sampler.sample(logits)?;
        self.sampler.accept(id);
        if let Some(id) = self.growth.take(id) {
            self.ids.push(id);
            self.transcript.push(id);
        }
        Ok(())
    }
}

/// Results, written in order.
#[derive(Default)]
struct Answers {
    begun: usize,
    written: usize,
    failed: usize,
    /// Those that wait for an earlier one.
    done: BTreeMap<usize, String>,
}

impl Answers {
    /// The place of the next line's result.
    fn begin(&mut self) -> usize {
        self.begun += 1;
        self.begun - 1
    }

    /// Results that are not written yet.
    fn waiting(&self) -> usize {
        self.begun - self.written
    }

    fn fail(
        &mut self,
        order: usize,
        line: usize,
        id: Option<&Value>,
        error: &anyhow::Error,
        out: &mut Out,
    ) -> anyhow::Result<()> {
        self.failed += 1;
        let failure = Failure { id, error: format!("{error:#}"), line };
        Ok(self.put(order, serde_json::to_string(&failure)?, out)?)
    }

    /// Takes a result, and writes it and those that waited for it as soon as all earlier ones are there.
    fn put(&mut self, order: usize, result: String, out: &mut Out) -> Result<(), StdoutError> {
        self.done.insert(order, result);
        while let Some(result) = self.done.remove(&self.written) {
            out.line(result)?;
            self.written += 1;
        }
        out.flush()
    }
}
