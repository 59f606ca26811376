//! `generate`: goes on with a text, token after token.

mod choice;
mod json_lines;
mod lines;
mod request;

use clap::Args;
use glassbox_sampler::Record;
use serde::Serialize;
use serde_json::Value;

use super::predict::shown;
use crate::args::{ChunkArgs, MachineArgs, ModelArgs, positive};
use crate::continuation::{End, Event, Limits, continue_text};
use crate::exit::{Interrupted, Usage};
use crate::model_source::Source;
use crate::output::{Out, note};
use crate::prompt::{PromptArgs, special};
use crate::sampling::SamplingArgs;
use crate::stop_strings::StopStrings;
use crate::transcript::Transcript;

const EXAMPLES: &str = "Examples:\n\
\x20 glassbox generate \"The most effective way to learn computer science is\" -n 64\n\
\x20 glassbox generate -f story.txt --temp 0 --stop \"THE END\"\n\
\x20 echo -n \"Once upon a time\" | glassbox generate --json\n\
\x20 glassbox generate --json-lines --batch 8 < prompts.jsonl > texts.jsonl";

/// Go on with a text
///
/// The continuation alone is written to standard output as it comes; on a terminal a line break follows it. Timings go
/// to standard error. Greedy and always the same: --temp 0. Random and yet the same again: --seed N.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    prompt: PromptArgs,
    /// Generate at most N tokens
    #[arg(short = 'n', long, value_name = "N", default_value_t = 128)]
    tokens: usize,
    /// Prompt and continuation together may have this many tokens [default: what the model was made for]
    #[arg(short, long, value_name = "N", value_parser = positive)]
    context: Option<usize>,
    /// End before this text, which is not written. May be repeated
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    stop: Vec<String>,
    /// Go on after a token that ends the text
    #[arg(long)]
    ignore_eos: bool,
    /// Read special tokens in the prompt as such, and write those that are generated
    #[arg(long)]
    special: bool,
    /// Write one JSON object at the end: prompt_ids, ids, text and stop_reason
    ///
    /// ids are all tokens generated but the one that ended the text; stop_reason is end_of_text, length, stop_string or
    /// context_full (interrupted after Ctrl-C).
    #[arg(long)]
    json: bool,
    /// Read many prompts from standard input, one JSON object a line, and write one such object for each, in order
    ///
    /// A line has a "prompt" or "ids", and if it likes an "id" (a text or a whole number, given back in front of the
    /// result) and tokens, stop (a list), seed, temp, top_k, top_p or min_p in place of the flag of that name; the flags
    /// hold for the rest. Its result is what --json writes for that prompt alone, to the last bit. A line that makes no
    /// sense gets {"error": …, "line": number} in its place; the others are answered, and the exit code is 1. Empty
    /// lines are passed over.
    #[arg(long, conflicts_with_all = ["PromptArgs", "json", "explain"])]
    json_lines: bool,
    /// With --json-lines, generate B texts side by side: the weights are read once for all of them. Each takes memory for
    /// its keys and values [default: 8]
    #[arg(short, long, value_name = "B", value_parser = positive)]
    batch: Option<usize>,
    /// Show how each token was chosen: what every filter removed and why, and where the random number fell
    ///
    /// With --json, records holds all of it, one entry a token, enough to choose the tokens again.
    #[arg(long)]
    explain: bool,
    #[command(flatten)]
    sampling: SamplingArgs,
    #[command(flatten)]
    machine: MachineArgs,
    #[command(flatten)]
    chunk: ChunkArgs,
}

/// What `--json` writes.
#[derive(Serialize)]
struct Report<'a> {
    /// What a line of `--json-lines` calls itself.
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
        return Err(Usage("--batch has a meaning with --json-lines only".into()).into());
    }
    let stops = StopStrings::new(&arguments.stop)?;
    let prompt = arguments.prompt.read()?;
    let source = Source::open(&arguments.model)?;
    let generation = source.checkpoint.generation();
    let (mut sampler, seed) = arguments.sampling.sampler(generation)?;
    let prompt_ids = prompt.ids(&source, special(arguments.special))?;
    let tokenizer = source.maybe_tokenizer();
    if tokenizer.is_none() && !stops.is_empty() {
        return Err(Usage("--stop needs a tokenizer, and this checkpoint has none".into()).into());
    }
    let context = source.context(arguments.context)?;
    if prompt_ids.len() > context {
        anyhow::bail!("the prompt has {} tokens and does not fit a context of {context}", prompt_ids.len());
    }
    let (model, load_time) = source.load(&arguments.machine)?;

    let mut session = model.session(context).with_chunk(arguments.chunk.prompt_chunk);
    sampler.prime(&prompt_ids);
    let ends: &[u32] = if arguments.ignore_eos { &[] } else { &generation.eos_ids };
    let transcript = Transcript::new(tokenizer, !arguments.special, stops);
    let limits = Limits { tokens: arguments.tokens, ends };
    let mut records = Vec::new();
    let show = |event: Event<'_>| match event {
        Event::Choice(record) if arguments.json => {
            records.push(*record);
            Ok(())
        }
        Event::Choice(record) => choice::show(&record, |id| shown(tokenizer, id), out),
        Event::Text(_) if arguments.json || arguments.explain => Ok(()),
        Event::Text(text) => out.stream(text),
    };
    let explain = arguments.explain;
    let continuation =
        continue_text(&mut session, &prompt_ids, &limits, &mut sampler, transcript, explain, show)?;
    let end = continuation.end;

    if arguments.json {
        let text = if tokenizer.is_some() { &continuation.text } else { "" };
        let ids = &continuation.ids;
        out.json(&Report {
            id: None,
            prompt_ids: &prompt_ids,
            ids,
            text,
            stop_reason: end.name(),
            records: explain.then_some(&records),
        })?;
    } else if explain {
        out.line(&continuation.text)?;
    } else if out.is_terminal() || tokenizer.is_none() || end == End::Interrupted {
        out.line("")?;
    }
    note(format_args!("load        {:.0} ms", load_time.as_secs_f64() * 1e3));
    continuation.note_timings();
    if let Some(seed) = seed {
        note(format_args!("seed        {seed}"));
    }
    if end == End::Interrupted { Err(Interrupted.into()) } else { Ok(()) }
}
