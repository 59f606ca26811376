//! `predict`: the most likely next tokens and their probabilities.

mod show;

use std::collections::HashMap;

use clap::Args;
use glassbox_sampler::{FilterName, Reason, Record, Sampler, Token, probabilities};
use glassbox_tokenizer::Tokenizer;
use serde::Serialize;

use super::side_by_side;
use crate::args::{ChunkArgs, MachineArgs, ModelArgs, positive};
use crate::escape;
use crate::interventions::InterventionArgs;
use crate::model_source::Source;
use crate::not_finite;
use crate::output::{Out, note};
use crate::prompt::{PromptArgs, special};
use crate::sampling::FilterArgs;

const EXAMPLES: &str = "Examples:\n\
\x20 glassbox predict \"The capital of France is\" --top 5\n\
\x20 glassbox predict \"The capital of France is\" --temp 2 --min-p 0\n\
\x20 glassbox predict \"The capital of France is\" --without \"head 23.4, mlp 29\"\n\
\x20 glassbox predict --ids 1,2,3 --json --all";

/// Show the most likely next tokens and their probabilities
///
/// One forward pass: the prompt goes in, one logit for each token of the vocabulary comes out, and the softmax of the
/// logits gives the model's probabilities.
///
/// `generate` does not draw from these: its filters run first, with the same settings and defaults as here. The column
/// "after filters" has the probabilities that it draws from, and the lines below say what each filter did, in order.
/// The temperature comes last: if one token is left, it changes nothing.
///
/// With --without, --steer or --patch, the model is changed, and the probabilities before and after stand side by side;
/// if a filter is set too, also those after the filters.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    prompt: PromptArgs,
    /// Number of tokens to show
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = positive)]
    top: usize,
    /// Write one JSON object: ids, candidates (id, token, logit, prob, and filtered: the probability after the filters,
    /// null if they remove the token), left (how many they keep), filters and the logsumexp of the logits; of a changed
    /// model: interventions, before and after, each such an object
    #[arg(long)]
    json: bool,
    /// With --json, also write logits: one per token of the vocabulary, unfiltered, with exact digits
    #[arg(long, requires = "json")]
    all: bool,
    /// Parse special tokens in the prompt, which are plain text otherwise
    #[arg(long)]
    special: bool,
    #[command(flatten)]
    filters: FilterArgs,
    #[command(flatten)]
    interventions: InterventionArgs,
    #[command(flatten)]
    machine: MachineArgs,
    #[command(flatten)]
    chunk: ChunkArgs,
}

/// What `--json` writes.
#[derive(Serialize)]
struct Report<'a> {
    ids: &'a [u32],
    candidates: Vec<Candidate>,
    left: usize,
    filters: Vec<Effect>,
    logsumexp: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    logits: Option<&'a [f32]>,
}

/// A candidate for the next token.
#[derive(Serialize)]
struct Candidate {
    id: u32,
    token: String,
    logit: f32,
    prob: f64,
    filtered: Option<f64>,
}

/// What a filter did.
#[derive(Serialize)]
struct Effect {
    filter: FilterName,
    reason: Reason,
    kept: usize,
    removed: usize,
    removed_probability: f64,
}

/// The model's distribution, and what the filters make of it.
pub(super) struct Prediction<'a> {
    logits: &'a [f32],
    /// All tokens, most likely first, with the model's probabilities.
    pub(super) model: Vec<Token>,
    /// The probabilities of those that the filters keep.
    pub(super) filtered: HashMap<u32, f64>,
    /// What each filter did.
    record: Record,
}

pub(crate) fn run(arguments: &Arguments, out: &mut Out) -> anyhow::Result<()> {
    let prompt = arguments.prompt.read()?;
    let source = Source::open(&arguments.model)?;
    let mut sampler = arguments.filters.sampler(source.checkpoint.generation())?;
    let ids = prompt.ids(&source, special(arguments.special))?;
    let tokenizer = source.maybe_tokenizer();
    let context = source.context(None)?;
    if ids.len() > context {
        anyhow::bail!("the prompt has {} tokens and does not fit a context of {context}", ids.len());
    }
    let planned = arguments.interventions.read(&source, Some(&ids))?;
    let (model, _) = source.load(&arguments.machine)?;
    // As `generate` does before its first token.
    sampler.prime(&ids);
    let mut session = model.session(context).with_chunk(arguments.chunk.prompt_chunk);
    let logits = session.feed(&ids)?;
    not_finite::check(logits, &model, &ids)?;
    let before = Prediction::of(logits, &sampler)?;
    if let Some(planned) = planned {
        let mut changed = planned.apply(&model).session(context).with_chunk(arguments.chunk.prompt_chunk);
        let after = Prediction::of(changed.feed(&ids)?, &sampler)?;
        if arguments.json {
            let [before, after] =
                [&before, &after].map(|prediction| prediction.report(arguments, &ids, tokenizer));
            return out.json(&planned.pair(before, after));
        }
        let filtered = arguments.filters.is_given();
        return side_by_side::predictions(
            &planned,
            [&before, &after],
            arguments.top,
            filtered,
            tokenizer,
            out,
        );
    }
    if arguments.json {
        return out.json(&before.report(arguments, &ids, tokenizer));
    }
    show::table(&before, arguments.top, |id| shown(tokenizer, id), out)?;
    if let Some(text) = before.idle_temperature().filter(|_| arguments.filters.has_temperature()) {
        note(text);
    }
    Ok(())
}

impl<'a> Prediction<'a> {
    fn of(logits: &'a [f32], sampler: &Sampler) -> anyhow::Result<Prediction<'a>> {
        let mut sampler = sampler.clone();
        let kept = sampler.distribution(logits)?;
        Ok(Prediction {
            logits,
            model: probabilities(logits)?,
            filtered: kept.iter().map(|token| (token.id, token.probability)).collect(),
            record: sampler.sample_recorded(logits)?,
        })
    }

    /// If a filter left one candidate to the temperature: that it changes nothing, and how to turn the filter off.
    fn idle_temperature(&self) -> Option<String> {
        let at = self.record.steps.iter().position(
            |step| matches!(step.reason, Reason::Temperature { temperature } if temperature != 0.0),
        )?;
        let before = &self.record.steps[..at];
        let last = before.iter().rev().find(|step| step.removed > 0).filter(|step| step.kept == 1)?;
        let off = match last.filter {
            FilterName::TopK => "; --top-k 0 turns top_k off",
            FilterName::Typical => "; --typical 1 turns typical off",
            FilterName::TopP => "; --top-p 1 turns top_p off",
            FilterName::MinP => "; --min-p 0 turns min_p off",
            _ => "",
        };
        Some(format!("one candidate is left, so the temperature changes nothing{off}"))
    }

    fn report<'r>(
        &'r self,
        arguments: &Arguments,
        ids: &'r [u32],
        tokenizer: Option<&Tokenizer>,
    ) -> Report<'r> {
        let candidates = self.model.iter().take(arguments.top).map(|token| Candidate {
            id: token.id,
            token: text(tokenizer, token.id),
            logit: self.logits[token.id as usize],
            prob: token.probability,
            filtered: self.filtered.get(&token.id).copied(),
        });
        let on = self.record.steps.iter().filter(|step| step.reason != Reason::Off);
        let filters = on.map(|step| Effect {
            filter: step.filter,
            reason: step.reason,
            kept: step.kept,
            removed: step.removed,
            removed_probability: step.removed_probability,
        });
        Report {
            ids,
            candidates: candidates.collect(),
            left: self.filtered.len(),
            filters: filters.collect(),
            logsumexp: logsumexp(self.logits, 1.0),
            logits: arguments.all.then_some(self.logits),
        }
    }
}

/// `ln Σ exp(logit / temperature)`, without overflow.
pub(crate) fn logsumexp(logits: &[f32], temperature: f64) -> f64 {
    let largest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max)) / temperature;
    let sum: f64 = logits.iter().map(|&logit| (f64::from(logit) / temperature - largest).exp()).sum();
    largest + sum.ln()
}

/// The text of a token; bytes that are not complete characters as `�`.
pub(crate) fn text(tokenizer: Option<&Tokenizer>, id: u32) -> String {
    let bytes = tokenizer.and_then(|tokenizer| tokenizer.token_bytes(id));
    bytes.map_or(String::new(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// A token for a table; without a tokenizer, its id.
pub(crate) fn shown(tokenizer: Option<&Tokenizer>, id: u32) -> String {
    let bytes = tokenizer.and_then(|tokenizer| tokenizer.token_bytes(id));
    bytes.map_or_else(|| format!("<{id}>"), |bytes| escape::visible(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logsumexp_neither_overflows_nor_underflows() {
        assert!((logsumexp(&[1000.0, 1000.0], 1.0) - (1000.0 + 2f64.ln())).abs() < 1e-12);
        assert!((logsumexp(&[0.0, 0.0, f32::NEG_INFINITY], 1.0) - 2f64.ln()).abs() < 1e-12);
        assert!((logsumexp(&[2.0, 0.0], 2.0) - (1f64.exp() + 1.0).ln()).abs() < 1e-12);
        assert!((logsumexp(&[-1000.0], 0.5) + 2000.0).abs() < 1e-12);
    }
}
