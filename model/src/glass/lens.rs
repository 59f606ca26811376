//! The logit lens: what the model would say if it stopped after a layer.
//!
//! nostalgebraist, "interpreting GPT: the logit lens" (2020).

use std::ops::Range;

use super::keep::Keep;
use super::most::most;
use super::view_error::{ViewError, check};
use crate::hooks::HookPoint;
use crate::runtime::Runtime;

/// What to look at.
#[derive(Clone, Debug, PartialEq)]
pub struct LensOptions {
    /// After this layer only; `None`: after every layer.
    pub layer: Option<usize>,
    /// At these positions only; `None`: at all.
    pub positions: Option<Range<usize>>,
    /// How many of the likeliest tokens.
    pub top: usize,
}

impl Default for LensOptions {
    /// The likeliest token after every layer, at every position.
    fn default() -> LensOptions {
        LensOptions { layer: None, positions: None, top: 1 }
    }
}

/// What the lens shows after one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct LensLayer {
    /// The layer, counted from 0.
    pub layer: usize,
    /// For each position the likeliest next tokens, the likeliest first.
    pub readings: Vec<Vec<Candidate>>,
}

/// A token that may come next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// The token.
    pub id: u32,
    /// Its score.
    pub logit: f32,
    /// Its share after softmax.
    pub probability: f64,
}

/// Tokens whose residual streams are kept at a time: few enough that those of all layers stay small in memory.
const PIECE: usize = 32;

/// Reads the residual stream that leaves each layer ([`HookPoint::ResidPost`]) through the final norm and the unembedding, as
/// the model does after its last layer. There the readings are the model's own predictions, bit for bit.
///
/// # Errors
/// [`ViewError::OutOfRange`] for a layer or position that is not there, or what feeding reports.
pub fn lens(model: &Runtime, ids: &[u32], options: &LensOptions) -> Result<Vec<LensLayer>, ViewError> {
    let layers = match options.layer {
        Some(layer) => {
            check("layer", layer, model.config.n_layers)?;
            layer..layer + 1
        }
        None => 0..model.config.n_layers,
    };
    let positions = options.positions.clone().unwrap_or(0..ids.len());
    let mut shown: Vec<LensLayer> = layers
        .clone()
        .map(|layer| LensLayer { layer, readings: Vec::with_capacity(positions.len()) })
        .collect();
    if ids.is_empty() {
        return Err(crate::Error::NoTokens.into());
    }
    if positions.is_empty() {
        return Ok(shown);
    }
    check("position", positions.end - 1, ids.len())?;
    let mut session = model.session(usize::MAX);
    if positions.start > 0 {
        session.feed(&ids[..positions.start])?;
    }
    for piece in ids[positions].chunks(PIECE) {
        let mut keep = Keep::new(layers.clone().map(|layer| (HookPoint::ResidPost, Some(layer))))?;
        session.feed_observed(piece, &mut keep)?;
        for shown in &mut shown {
            if let Some(rows) = keep.rows(HookPoint::ResidPost, Some(shown.layer)) {
                shown.readings.extend(read(model, &rows.values, options.top));
            }
        }
    }
    Ok(shown)
}

/// The likeliest tokens of residual streams `x`, `[tokens, d_model]`.
fn read(model: &Runtime, x: &[f32], top: usize) -> Vec<Vec<Candidate>> {
    let (d_model, vocab_size) = (model.config.d_model, model.config.vocab_size);
    let mut normed = vec![0.0; x.len()];
    let mut logits = vec![0.0; x.len() / d_model * vocab_size];
    model.pool.enter(|team| {
        model.decoder.final_norm.forward(team, x, &mut normed);
        model.vocabulary().unembed(team, &normed, &mut logits);
    });
    logits.chunks_exact(vocab_size).map(|logits| likeliest(logits, top)).collect()
}

/// The `top` likeliest tokens of `[vocab_size]` scores, the likeliest first; of equals, the one with the smaller id.
pub fn likeliest(logits: &[f32], top: usize) -> Vec<Candidate> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&logit| f64::from(logit - largest).exp()).sum();
    let order = most(logits.iter().copied().enumerate(), top, |a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let candidate = |(id, logit): (usize, f32)| {
        let probability = f64::from(logit - largest).exp() / sum;
        Candidate { id: id as u32, logit, probability }
    };
    order.into_iter().map(candidate).collect()
}
