//! `generate --json-lines`: many prompts, generated in a batch, each with the same text as alone.
//!
//! When a sequence ends, the next waiting line takes its slot, so the batch stays full as long as there are lines.
//! Results are written in the order of the lines.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use glassbox_model::{Batch, GenerationState, NextAction, Runtime, Slot};
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
use crate::not_finite;
use crate::output::{Out, StdoutError, note};
use crate::prompt::special;
use crate::sampling::SamplingArgs;
use crate::stop_strings::StopStrings;
use crate::transcript::Transcript;

/// Default of `--batch`: the number of sequences generated together.
const BATCH: usize = 8;

/// Maximum number of unwritten results per slot: while a long text is generated, the results after it must not pile up.
const MAX_UNWRITTEN: usize = 32;

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
    // Invalid flags are an error for the whole command, not for each line.
    let (_, used_seed) = sampling.sampler(source.checkpoint.generation())?;
    let tokenizer = source.maybe_tokenizer();
    if tokenizer.is_none() && !stops.is_empty() {
        return Err(Usage("--stop requires a tokenizer, and this checkpoint has none".into()).into());
    }
    let context = source.context(arguments.context)?;
    let (model, load_time) = source.load(&arguments.machine)?;

    let setting = Setting { arguments, slots, source: &source, model: &model, tokenizer, sampling };
    let mut sequences = Sequences {
        batch: model.batch(slots, context).with_chunk(arguments.chunk.prompt_chunk),
        running: Vec::new(),
        answers: Answers::default(),
        timings: Timings::default(),
    };
    let interrupted = sequences.answer_all(&setting, &mut lines, out)?;
    note(format_args!("load        {:.0} ms", load_time.as_secs_f64() * 1e3));
    let Timings { prompt, reused, generation } = sequences.timings;
    note(format_args!("prompt      {}, {reused} more reused", rate(prompt)));
    note(format_args!("generation  {}", rate(generation)));
    let Answers { begun, failed, .. } = sequences.answers;
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

/// Settings shared by all lines.
struct Setting<'a> {
    arguments: &'a Arguments,
    /// Number of sequences generated together.
    slots: usize,
    source: &'a Source,
    model: &'a Runtime,
    tokenizer: Option<&'a Tokenizer>,
    sampling: SamplingArgs,
}

/// Number of tokens computed and the time it took.
#[derive(Default)]
struct Timings {
    prompt: (usize, Duration),
    /// Prompt tokens whose keys and values were copied from another sequence.
    reused: usize,
    generation: (usize, Duration),
}

/// A sequence in progress.
struct Running<'a> {
    /// Its index among the results.
    order: usize,
    line: usize,
    id: Option<Value>,
    prompt_ids: Vec<u32>,
    ids: Vec<u32>,
    slot: Slot,
    sampler: Sampler,
    state: GenerationState,
    transcript: Transcript<'a>,
}

/// The sequences in progress, and the results that wait for earlier ones.
struct Sequences<'a> {
    batch: Batch,
    /// Each with the token to feed next.
    running: Vec<(Running<'a>, u32)>,
    answers: Answers,
    timings: Timings,
}

impl<'a> Sequences<'a> {
    /// Answers every line. Returns whether Ctrl-C interrupted it.
    fn answer_all(
        &mut self,
        setting: &Setting<'a>,
        lines: &mut Lines,
        out: &mut Out,
    ) -> anyhow::Result<bool> {
        let mut graceful: Option<Graceful> = None;
        loop {
            while self.batch.free() > 0 && self.answers.unwritten() < MAX_UNWRITTEN * setting.slots {
                let idle = self.running.is_empty();
                // While no sequence is in progress, all results are written and Ctrl-C may end the program.
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
            self.step(setting, out)?;
            if graceful.pressed() {
                for (sequence, _) in std::mem::take(&mut self.running) {
                    self.finish(setting, sequence, End::Interrupted, out)?;
                }
                return Ok(true);
            }
        }
    }

    /// Begins the sequence of a line, or writes why that is not possible.
    fn begin(&mut self, setting: &Setting<'a>, line: Line, out: &mut Out) -> anyhow::Result<()> {
        let order = self.answers.begin();
        let (number, mut id) = (line.number, None);
        match self.try_begin(setting, order, line, &mut id) {
            Ok(sequence) => self.advance(setting, sequence, out),
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
            return Err(anyhow!("stop requires a tokenizer, and this checkpoint has none"));
        }
        let generation = source.checkpoint.generation();
        let (mut sampler, _) = sampling.overridden(&request.sampling).sampler(generation)?;
        let prompt_ids = request.prompt.ids(source, special(arguments.special))?;
        sampler.prime(&prompt_ids);
        let ends = if arguments.ignore_eos { Vec::new() } else { source.end_ids() };

        let start = Instant::now();
        let added = self.batch.add(&prompt_ids)?;
        self.timings.prompt.0 += prompt_ids.len() - added.reused;
        self.timings.prompt.1 += start.elapsed();
        self.timings.reused += added.reused;
        let mut sequence = Running {
            order,
            line: line.number,
            id: id.clone(),
            prompt_ids,
            ids: Vec::new(),
            slot: added.slot,
            sampler,
            state: GenerationState::new(request.tokens.unwrap_or(arguments.tokens), &ends),
            transcript: Transcript::new(tokenizer, !arguments.special, stops),
        };
        if sequence.state.next_action(true) == NextAction::Pick
            && let Err(error) = sequence.pick(added.logits)
        {
            self.batch.end(sequence.slot)?;
            return Err(not_finite::located(error.into(), setting.model, &sequence.prompt_ids));
        }
        Ok(sequence)
    }

    /// Generates the next token of every sequence.
    fn step(&mut self, setting: &Setting<'a>, out: &mut Out) -> anyhow::Result<()> {
        let start = Instant::now();
        let next: Vec<_> =
            self.running.iter().map(|(sequence, id)| (sequence.slot, std::slice::from_ref(id))).collect();
        let logits = self.batch.step(&next)?;
        let sequences = self.running.drain(..).map(|(sequence, _)| sequence);
        let mut picks: Vec<_> =
            sequences.zip(logits).map(|(sequence, logits)| (sequence, logits, Ok(()))).collect();
        setting.model.pool.enter(|team| {
            team.run_on_pieces(&mut picks, 1, |_, pick| {
                for (sequence, logits, outcome) in pick {
                    *outcome = sequence.pick(logits);
                }
            });
        });
        let picked: Vec<_> = picks.into_iter().map(|(sequence, _, outcome)| (sequence, outcome)).collect();
        self.timings.generation.0 += picked.len();
        self.timings.generation.1 += start.elapsed();
        for (sequence, outcome) in picked {
            match outcome {
                Ok(()) => self.advance(setting, sequence, out)?,
                Err(error) => {
                    self.batch.end(sequence.slot)?;
                    let Running { order, line, id, prompt_ids, .. } = sequence;
                    let error = not_finite::located(error.into(), setting.model, &prompt_ids);
                    self.answers.fail(order, line, id.as_ref(), &error, out)?;
                }
            }
        }
        Ok(())
    }

    /// Keeps a sequence for the next step, or finishes it if it has ended; its slot is then free.
    fn advance(
        &mut self,
        setting: &Setting<'a>,
        mut sequence: Running<'a>,
        out: &mut Out,
    ) -> anyhow::Result<()> {
        if sequence.transcript.stopped() {
            return self.finish(setting, sequence, End::StopString, out);
        }
        match sequence.state.next_action(self.batch.positions(sequence.slot)? < self.batch.context()) {
            NextAction::Ended(stop) => self.finish(setting, sequence, End::Model(stop), out),
            NextAction::Feed(id) => {
                self.running.push((sequence, id));
                Ok(())
            }
            NextAction::Pick => unreachable!("a token is picked as soon as there are logits"),
        }
    }

    /// Ends a sequence and adds its result.
    fn finish(
        &mut self,
        setting: &Setting<'a>,
        mut sequence: Running<'a>,
        end: End,
        out: &mut Out,
    ) -> anyhow::Result<()> {
        self.batch.end(sequence.slot)?;
        sequence.transcript.finish();
        let end = if sequence.transcript.stopped() { End::StopString } else { end };
        let report = Report {
            id: sequence.id.as_ref(),
            prompt_ids: &sequence.prompt_ids,
            ids: &sequence.ids,
            text: if setting.tokenizer.is_some() { &sequence.transcript.text } else { "" },
            stop_reason: end.name(),
            records: None,
        };
        Ok(self.answers.put(sequence.order, serde_json::to_string(&report)?, out)?)
    }
}

impl Running<'_> {
    /// Samples the next token.
    fn pick(&mut self, logits: &[f32]) -> Result<(), glassbox_sampler::Error> {
        let id = self.sampler.sample(logits)?;
        self.sampler.accept(id);
        if let Some(id) = self.state.accept(id) {
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
    /// Results that wait for an earlier one.
    done: BTreeMap<usize, String>,
}

impl Answers {
    /// Reserves the index of the next line's result.
    fn begin(&mut self) -> usize {
        self.begun += 1;
        self.begun - 1
    }

    /// The number of results not written yet.
    fn unwritten(&self) -> usize {
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

    /// Adds a result, and writes all results whose predecessors are complete.
    fn put(&mut self, order: usize, result: String, out: &mut Out) -> Result<(), StdoutError> {
        self.done.insert(order, result);
        while let Some(result) = self.done.remove(&self.written) {
            out.line(result)?;
            self.written += 1;
        }
        out.flush()
    }
}
