//! `generate`: continues a text, token by token.

mod json_lines;
mod lines;
mod request;

use clap::Args;
use glassbox_model::{Runtime, Stop};
use glassbox_sampler::{Record, Sampler};
use glassbox_tokenizer::Tokenizer;
use serde::Serialize;
use serde_json::Value;

use super::choice;
use super::predict::shown;
use crate::args::{ChunkArgs, MachineArgs, ModelArgs, positive};
use crate::continuation::{Continuation, End, Event, Limits, continue_text};
use crate::exit::{Interrupted, Usage};
use crate::interventions::InterventionArgs;
use crate::model_source::Source;
use crate::not_finite;
use crate::output::{Out, note};
use crate::prompt::{PromptArgs, special};
use crate::sampling::SamplingArgs;
use crate::stop_strings::StopStrings;
use crate::transcript::Transcript;

const EXAMPLES: &str = "Examples:\n\
\x20 glassbox generate \"The best way to learn computer science is\" -n 64\n\
\x20 glassbox generate -f story.txt --temp 0 --stop \"THE END\"\n\
\x20 glassbox generate \"hot: cold. tall: short. big:\" -n 1 --temp 0\n\
\x20 echo -n \"Once upon a time\" | glassbox generate --json\n\
\x20 glassbox generate \"Once upon a time\" --temp 0 -n 40 --without \"mlp 3\"\n\
\x20 glassbox generate \"I think you are\" --steer love.safetensors@6*2 --steer hate.safetensors@6*-2\n\
\x20 glassbox generate --json-lines --batch 8 < prompts.jsonl > results.jsonl";

/// Continue a text
///
/// Only the continuation is written to standard output, token by token; on a terminal a line break follows. Timings go
/// to standard error. --temp 0 always takes the most likely token; --seed N repeats random choices. With --without,
/// --steer or --patch, the continuations of the model and of the changed one are written, one after the other, with the
/// same seed.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    prompt: PromptArgs,
    /// Maximum number of tokens to generate
    #[arg(short = 'n', long, value_name = "N", default_value_t = 128)]
    tokens: usize,
    /// Maximum length of prompt and continuation together, in tokens [default: the model's context length]
    #[arg(short, long, value_name = "N", value_parser = positive, hide_short_help = true)]
    context: Option<usize>,
    /// Stop before this text, which is not written. May be repeated
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    stop: Vec<String>,
    /// Continue past end-of-text tokens
    #[arg(long, hide_short_help = true)]
    ignore_eos: bool,
    /// Recognise special tokens in the prompt (otherwise plain text), and show generated ones in the output
    #[arg(long)]
    special: bool,
    /// Write one JSON object at the end: prompt_ids, ids, text and stop_reason; of a changed model: interventions,
    /// before and after, each such an object
    ///
    /// ids are the generated tokens without the end-of-text token. stop_reason is end_of_text, length, stop_string,
    /// context_full or, after Ctrl-C, interrupted.
    #[arg(long)]
    json: bool,
    /// Read prompts from standard input, one JSON object per line, and write one result per line, in order
    ///
    /// Keys: prompt (a string) or ids, one of which is required; id (a string or an integer, copied to the result); and
    /// tokens, stop (a list), seed, temp, top_k, top_p and min_p, as the flags of those names, for this line. The
    /// result is the same as that of a separate run with --json, bit for bit. An invalid line gets {"error": …, "line":
    /// number} instead; the other lines are still answered, and the exit code is 1. Empty lines are skipped.
    #[arg(long, conflicts_with_all = ["PromptArgs", "json", "explain", "InterventionArgs"])]
    json_lines: bool,
    /// With --json-lines, number of sequences generated together [default: 8]
    ///
    /// The weights are read once for the whole batch. Each sequence takes memory for its own KV cache.
    #[arg(short, long, value_name = "B", value_parser = positive, hide_short_help = true)]
    batch: Option<usize>,
    /// Show how each token was chosen: the candidates after each filter, and the random number that decided
    ///
    /// Filters that are off are not shown. With --json, adds records: one entry per token, complete enough to replay
    /// the choice.
    #[arg(long)]
    explain: bool,
    #[command(flatten)]
    interventions: InterventionArgs,
    #[command(flatten)]
    sampling: SamplingArgs,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    machine: MachineArgs,
    #[command(flatten)]
    chunk: ChunkArgs,
}

/// What `--json` writes.
#[derive(Serialize)]
struct Report<'a> {
    /// The `id` of a line of `--json-lines`.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a Value>,
    prompt_ids: &'a [u32],
    ids: &'a [u32],
    text: &'a str,
    stop_reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    records: Option<&'a [Record]>,
}

pub(crate) fn run(arguments: &Arguments, out: &mut Out) -> anyhow::Result<()> {
    if arguments.json_lines {
        return json_lines::run(arguments, out);
    }
    if arguments.batch.is_some() {
        return Err(Usage("--batch requires --json-lines".into()).into());
    }
    let stops = StopStrings::new(&arguments.stop)?;
    let prompt = arguments.prompt.read()?;
    let source = Source::open(&arguments.model)?;
    let generation = source.checkpoint.generation();
    let (mut sampler, seed) = arguments.sampling.sampler(generation)?;
    let prompt_ids = prompt.ids(&source, special(arguments.special))?;
    let tokenizer = source.maybe_tokenizer();
    if tokenizer.is_none() && !stops.is_empty() {
        return Err(Usage("--stop requires a tokenizer, and this checkpoint has none".into()).into());
    }
    let context = source.context(arguments.context)?;
    if prompt_ids.len() > context {
        anyhow::bail!("the prompt has {} tokens and does not fit a context of {context}", prompt_ids.len());
    }
    let planned = arguments.interventions.read(&source, Some(&prompt_ids))?;
    let (model, load_time) = source.load(&arguments.machine)?;

    sampler.prime(&prompt_ids);
    let ends = if arguments.ignore_eos { Vec::new() } else { source.end_ids() };
    let request = Request { arguments, prompt_ids: &prompt_ids, context, ends: &ends, tokenizer };
    let mut generated = Vec::new();
    let changed = planned.as_ref().map(|planned| planned.apply(&model));
    for (i, model) in std::iter::once(&model).chain(&changed).enumerate() {
        if let (Some(planned), false) = (&planned, arguments.json) {
            let heading = if i == 0 { "before".to_owned() } else { format!("after: {}", planned.heading()) };
            out.line(out.paint(2, &heading))?;
        }
        let (continuation, records) = request.continue_with(model, sampler.clone(), stops.clone(), out)?;
        let end = continuation.end;
        let line_end =
            planned.is_some() || out.is_terminal() || tokenizer.is_none() || end == End::Interrupted;
        if arguments.explain && !arguments.json {
            out.line(&continuation.text)?;
        } else if line_end && !arguments.json {
            out.line("")?;
        }
        generated.push((continuation, records));
        if end == End::Interrupted {
            break;
        }
    }
    if arguments.json {
        let mut reports =
            generated.iter().map(|(continuation, records)| request.report(continuation, records));
        match (&planned, reports.next(), reports.next()) {
            (Some(planned), before, after) => out.json(&planned.pair(before, after))?,
            (None, report, _) => out.json(&report)?,
        }
    }
    generated.iter().for_each(|(continuation, _)| note_empty(continuation, tokenizer));
    note(format_args!("load        {:.0} ms", load_time.as_secs_f64() * 1e3));
    generated.iter().for_each(|(continuation, _)| continuation.note_timings());
    if let Some(seed) = seed {
        note(format_args!("seed        {seed}"));
    }
    let interrupted = generated.iter().any(|(continuation, _)| continuation.end == End::Interrupted);
    if interrupted { Err(Interrupted.into()) } else { Ok(()) }
}

/// A prompt to continue, and how.
struct Request<'a> {
    arguments: &'a Arguments,
    prompt_ids: &'a [u32],
    context: usize,
    ends: &'a [u32],
    tokenizer: Option<&'a Tokenizer>,
}

impl Request<'_> {
    /// Continues the prompt; writes the text, or with --explain how each token was chosen, unless --json is given.
    fn continue_with(
        &self,
        model: &Runtime,
        mut sampler: Sampler,
        stops: StopStrings,
        out: &mut Out,
    ) -> anyhow::Result<(Continuation, Vec<Record>)> {
        let Request { arguments, tokenizer, .. } = *self;
        let mut session = model.session(self.context).with_chunk(arguments.chunk.prompt_chunk);
        let transcript = Transcript::new(tokenizer, !arguments.special, stops);
        let limits = Limits { tokens: arguments.tokens, ends: self.ends };
        let mut records = Vec::new();
        let mut so_far = SoFar::new(tokenizer, self.prompt_ids);
        let show = |event: Event<'_>| match event {
            Event::Choice(record) if arguments.json => {
                records.push(*record);
                Ok(())
            }
            Event::Choice(record) => {
                choice::show(&record, &so_far.tail(out), |id| shown(tokenizer, id), out)?;
                so_far.push(record.id);
                Ok(())
            }
            Event::Text(_) if arguments.json || arguments.explain => Ok(()),
            Event::Text(text) => out.stream(text),
        };
        let (prompt, explain) = (self.prompt_ids, arguments.explain);
        let continuation =
            continue_text(&mut session, prompt, &limits, &mut sampler, transcript, explain, show)
                .map_err(|error| not_finite::located(error, model, prompt))?;
        Ok((continuation, records))
    }

    fn report<'a>(&'a self, continuation: &'a Continuation, records: &'a [Record]) -> Report<'a> {
        Report {
            id: None,
            prompt_ids: self.prompt_ids,
            ids: &continuation.ids,
            text: if self.tokenizer.is_some() { &continuation.text } else { "" },
            stop_reason: continuation.end.name(),
            records: self.arguments.explain.then_some(records),
        }
    }
}

/// Says why there is no text, if the model ended at once.
fn note_empty(continuation: &Continuation, tokenizer: Option<&Tokenizer>) {
    let Continuation { ids, end, last, .. } = continuation;
    if let (End::Model(Stop::EndOfText), [], Some(id)) = (*end, &ids[..], *last) {
        note(format_args!(
            "the model ended at once, with {} ({id}), so there is no text; try --ignore-eos, a longer prompt, or \
             `glassbox chat` if the model answers questions",
            shown(tokenizer, id)
        ));
    }
}

/// The text that the next token continues.
struct SoFar<'t> {
    tokenizer: Option<&'t Tokenizer>,
    bytes: Vec<u8>,
}

/// Width of its end that is shown, where the terminal is not narrower.
const TAIL: usize = 60;

impl<'t> SoFar<'t> {
    fn new(tokenizer: Option<&'t Tokenizer>, prompt: &[u32]) -> SoFar<'t> {
        let mut so_far = SoFar { tokenizer, bytes: Vec::new() };
        // Only the end of a long prompt is shown, and no token is without text for long.
        let first = prompt.len().saturating_sub(4 * TAIL);
        prompt[first..].iter().for_each(|&id| so_far.push(id));
        so_far
    }

    fn push(&mut self, id: u32) {
        match self.tokenizer.and_then(|tokenizer| tokenizer.token_bytes(id)) {
            Some(bytes) => self.bytes.extend_from_slice(&bytes),
            None => self.bytes.extend_from_slice(format!("<{id}>").as_bytes()),
        }
    }

    /// The end of the text. It leaves half of a narrow terminal to the token that continues it.
    fn tail(&self, out: &Out) -> String {
        choice::tail(&self.bytes, out.width().map_or(TAIL, |width| TAIL.min(width / 2)))
    }
}
