//! Watching a model learn: now and then a glimpse of what has become of it, a line of JSON each.
//!
//! A glimpse holds the loss at each position of the context (later ones have more to go by), the length of gradient and
//! weights of each block, what the model thinks may follow one prompt, and where one head looks while it reads it. In a
//! row they show how a model goes from noise to letters, words and grammar.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

use glassbox_model::hooks::{HookPoint, Observed, Observer};
use glassbox_model::{Error, Runtime};
use glassbox_tokenizer::{EncodeOptions, Tokenizer};
use serde::{Deserialize, Serialize};

use crate::files;
use crate::tensors::Tensors;

/// Next tokens that a glimpse lists.
const LISTED: usize = 12;

/// What has become of the model after some steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Glimpse {
    /// Steps done.
    pub step: u64,
    /// Tokens read.
    pub tokens: u64,
    /// The mean loss at each position of the context, in nats, on text kept back.
    pub loss_by_position: Vec<f64>,
    /// `√Σg²` of each part of the model, before clipping.
    pub gradient_norms: Vec<(String, f64)>,
    /// `√Σw²` of each part of the model.
    pub weight_norms: Vec<(String, f64)>,
    /// The tokens of the prompt.
    pub prompt: Vec<String>,
    /// What may come next, the likeliest first.
    pub next: Vec<Next>,
    /// Where one head looks.
    pub attention: Attention,
}

/// A token that may come next.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Next {
    /// Its text.
    pub token: String,
    /// How likely it is.
    pub probability: f64,
}

/// Where one head looks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Attention {
    /// In which block.
    pub layer: usize,
    /// Which head of it.
    pub head: usize,
    /// For each token of the prompt, how much it looks at each.
    pub pattern: Vec<Vec<f32>>,
}

/// `√Σx²` of each part of the model: the embedding, each block, the rest.
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

/// The part of the model that a tensor belongs to, by its name.
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

/// Keeps one head's pattern.
struct OneHead<'a> {
    kept: &'a mut Attention,
}

impl Observer for OneHead<'_> {
    fn wants(&self, point: HookPoint, layer: Option<usize>) -> bool {
        point == HookPoint::Pattern && layer == Some(self.kept.layer)
    }

    fn see(&mut self, observed: Observed<'_>) {
        let [_, tokens, positions] = observed.shape;
        let head = observed.values.chunks_exact(tokens * positions).nth(self.kept.head);
        self.kept
            .pattern
            .extend(head.into_iter().flat_map(|head| head.chunks_exact(positions)).map(<[f32]>::to_vec));
    }
}

/// What the model thinks of a prompt: its tokens, what may come next, and where the head of `attention` looks.
pub(crate) fn look(
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
    let mut session = model.session(ids.len());
    let logits = session.feed_observed(&ids, &mut OneHead { kept: &mut attention })?;
    let most = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let weight = |logit: f32| (f64::from(logit) - most).exp();
    let sum: f64 = logits.iter().map(|&logit| weight(logit)).sum();
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
    let next = order.into_iter().take(LISTED);
    let next =
        next.map(|id| Next { token: text(id as u32), probability: weight(logits[id]) / sum }).collect();
    Ok((ids.into_iter().map(text).collect(), next, attention))
}

/// Appends a glimpse to a file.
pub(crate) fn append(path: &Path, glimpse: &Glimpse) -> io::Result<()> {
    let line = serde_json::to_string(glimpse)? + "\n";
    OpenOptions::new().create(true).append(true).open(path)?.write_all(line.as_bytes())
}

/// Drops the glimpses behind a step: they are of work that was lost and will be done again.
pub(crate) fn rewind(path: &Path, step: u64) -> io::Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let kept = read_glimpses(path)?.into_iter().filter(|glimpse| glimpse.step <= step);
    let lines: Vec<String> = kept.map(|glimpse| serde_json::to_string(&glimpse)).collect::<Result<_, _>>()?;
    files::write(path, lines.iter().map(|line| format!("{line}\n")).collect::<String>())
}

/// Reads the glimpses of a file, as far as they are whole.
///
/// # Errors
/// If the file cannot be read.
pub fn read_glimpses(path: &Path) -> io::Result<Vec<Glimpse>> {
    let text = std::fs::read_to_string(path)?;
    Ok(text.lines().map_while(|line| serde_json::from_str(line).ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_belong_to_parts() {
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
