//! Snapshots of a model during training, one line of JSON each.
//!
//! A snapshot has the loss at each position of the context (later positions have more context), the norms of the
//! gradients and weights of each block, the most likely words after a prompt, a sample, and the attention pattern of
//! one head on that prompt. A series of them shows how a model progresses from noise to letters, words and grammar.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

use glassbox_model::hooks::{HookPoint, Observed, Observer};
use glassbox_model::{Error, Runtime, Session};
use glassbox_tokenizer::{EncodeOptions, Tokenizer};
use serde::{Deserialize, Serialize};

use crate::files;
use crate::tensors::Tensors;

/// Number of next tokens in a snapshot.
const LISTED: usize = 12;

/// Maximum number of tokens of a word. A new model repeats itself without end.
const WORD: usize = 8;

/// Whether a snapshot is due after `step` of `steps` steps: before the first, after powers of two until `every`, then
/// every `every` steps, and after the last. Most of what a model learns it learns in the beginning.
pub fn is_due(step: u64, every: u64, steps: u64) -> bool {
    every > 0 && (step.is_multiple_of(every) || step == steps || (step < every && step.is_power_of_two()))
}

/// The state of the model after a number of steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Steps done.
    pub step: u64,
    /// Tokens read.
    pub tokens: u64,
    /// The number of tokens that the model knows; 0 if it was not recorded.
    #[serde(default)]
    pub vocab_size: usize,
    /// The mean validation loss at each position of the context, in nats.
    pub loss_by_position: Vec<f64>,
    /// `√Σg²` of each part of the model, before clipping; none before the first step.
    pub gradient_norms: Vec<(String, f64)>,
    /// `√Σw²` of each part of the model.
    pub weight_norms: Vec<(String, f64)>,
    /// The tokens of the prompt.
    pub prompt: Vec<String>,
    /// The most likely next tokens, in descending order.
    pub next: Vec<Next>,
    /// A continuation of the prompt, without the prompt.
    #[serde(default)]
    pub sample: String,
    /// The attention pattern of one head.
    pub attention: Attention,
}

/// A candidate for the next token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Next {
    /// Its text.
    pub token: String,
    /// The word that it begins, as the model would most likely continue it.
    #[serde(default)]
    pub word: String,
    /// Its probability.
    pub probability: f64,
}

/// The attention pattern of one head.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Attention {
    /// The index of its block.
    pub layer: usize,
    /// The index of the head in its layer.
    pub head: usize,
    /// For each token of the prompt, its attention weight on each earlier token and itself.
    pub pattern: Vec<Vec<f32>>,
}

/// The L2 norm of each part of the model: embedding, each block, final norm, unembedding.
pub(crate) fn norms(tensors: &Tensors) -> Vec<(String, f64)> {
    let mut sums: Vec<(String, f64)> = Vec::new();
    for (slot, values) in tensors.iter() {
        let sum: f64 = values.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
        let part = part(&slot.name);
        match sums.iter_mut().find(|(name, _)| *name == part) {
            Some((_, total)) => *total += sum,
            None => sums.push((part, sum)),
        }
    }
    sums.into_iter().map(|(name, sum)| (name, sum.sqrt())).collect()
}

/// The part of the model that a tensor belongs to, from its name.
fn part(name: &str) -> String {
    let mut words = name.split('.');
    while let Some(word) = words.next() {
        match word {
            "h" | "layers" => return format!("block {}", words.next().unwrap_or("")),
            "wte" | "embed_tokens" => return "embedding".into(),
            "wpe" => return "positions".into(),
            "ln_f" | "norm" => return "final norm".into(),
            _ => {}
        }
    }
    "unembedding".into()
}

/// Records one head's pattern.
struct OneHead<'a> {
    pattern_of: &'a mut Attention,
}

impl Observer for OneHead<'_> {
    fn wants(&self, point: HookPoint, layer: Option<usize>) -> bool {
        point == HookPoint::Pattern && layer == Some(self.pattern_of.layer)
    }

    fn see(&mut self, observed: Observed<'_>) {
        let [_, tokens, positions] = observed.shape;
        let head = observed.values.chunks_exact(tokens * positions).nth(self.pattern_of.head);
        self.pattern_of
            .pattern
            .extend(head.into_iter().flat_map(|head| head.chunks_exact(positions)).map(<[f32]>::to_vec));
    }
}

/// Runs the model on a prompt; returns the prompt's tokens, the most likely next tokens, and the pattern of the head
/// that `attention` names.
pub(crate) fn predict(
    model: &Runtime,
    tokenizer: &Tokenizer,
    prompt: &str,
    mut attention: Attention,
) -> Result<(Vec<String>, Vec<Next>, Attention), Error> {
    let mut ids = tokenizer.encode(prompt, &EncodeOptions::default()).unwrap_or_default();
    ids.truncate(model.config.context_length);
    if ids.is_empty() {
        ids.extend(tokenizer.eos_id());
    }
    let text = |id: u32| {
        let bytes = tokenizer.token_bytes(id).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let mut session = model.session(ids.len() + WORD);
    let logits = session.feed_observed(&ids, &mut OneHead { pattern_of: &mut attention })?;
    let most = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let weight = |logit: f32| (f64::from(logit) - most).exp();
    let sum: f64 = logits.iter().map(|&logit| weight(logit)).sum();
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
    order.truncate(LISTED);
    let likely: Vec<(u32, f64)> = order.into_iter().map(|id| (id as u32, weight(logits[id]) / sum)).collect();
    let mut next = Vec::new();
    for (id, probability) in likely {
        session.truncate(ids.len());
        next.push(Next { token: text(id), word: word(&mut session, id, text)?, probability });
    }
    Ok((ids.into_iter().map(text).collect(), next, attention))
}

/// The word that `first` begins after the tokens of a session: letters are followed by the most likely letters. If it
/// does not end within [`WORD`] tokens or the context, the first token alone. `text` is the text of a token.
fn word(session: &mut Session, first: u32, text: impl Fn(u32) -> String) -> Result<String, Error> {
    let (mut id, mut word) = (first, text(first));
    if !word.ends_with(char::is_alphanumeric) {
        return Ok(word);
    }
    for _ in 0..WORD {
        if session.positions() == session.context() {
            break;
        }
        let logits = session.feed(&[id])?;
        id = (0..logits.len()).rev().max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap_or(0) as u32;
        let more = text(id);
        if !more.starts_with(char::is_alphanumeric) {
            return Ok(word);
        }
        word.push_str(&more);
    }
    Ok(text(first))
}

/// Appends a snapshot to a file.
pub(crate) fn append(path: &Path, snapshot: &Snapshot) -> io::Result<()> {
    let line = serde_json::to_string(snapshot)? + "\n";
    OpenOptions::new().create(true).append(true).open(path)?.write_all(line.as_bytes())
}

/// Removes the snapshots after a step, whose work was lost and will be repeated.
pub(crate) fn rewind(path: &Path, step: u64) -> io::Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let kept = read_snapshots(path)?.into_iter().filter(|snapshot| snapshot.step <= step);
    let lines: Vec<String> =
        kept.map(|snapshot| serde_json::to_string(&snapshot)).collect::<Result<_, _>>()?;
    files::write(path, lines.iter().map(|line| format!("{line}\n")).collect::<String>())
}

/// Reads the snapshots of a file, up to the first incomplete line.
///
/// # Errors
/// If the file cannot be read.
pub fn read_snapshots(path: &Path) -> io::Result<Vec<Snapshot>> {
    let text = std::fs::read_to_string(path)?;
    Ok(text.lines().map_while(|line| serde_json::from_str(line).ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_begin_before_the_first_step_and_are_dense_in_the_beginning() {
        let due = |every, steps| (0..=steps).filter(|&step| is_due(step, every, steps)).collect::<Vec<u64>>();
        assert_eq!(due(50, 160), [0, 1, 2, 4, 8, 16, 32, 50, 100, 150, 160]);
        assert_eq!(due(1, 3), [0, 1, 2, 3]);
        assert_eq!(due(1000, 5), [0, 1, 2, 4, 5]);
        assert!(due(0, 5).is_empty());
    }

    #[test]
    fn tensor_names_give_parts() {
        for (name, expected) in [
            ("transformer.wte.weight", "embedding"),
            ("transformer.wpe.weight", "positions"),
            ("transformer.h.11.ln_1.bias", "block 11"),
            ("model.layers.3.self_attn.q_proj.weight", "block 3"),
            ("model.norm.weight", "final norm"),
            ("transformer.ln_f.bias", "final norm"),
            ("lm_head.weight", "unembedding"),
        ] {
            assert_eq!(part(name), expected);
        }
    }
}
