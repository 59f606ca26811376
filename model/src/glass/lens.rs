//! The logit lens: the prediction if the model stopped after a layer.
//!
//! nostalgebraist, "interpreting GPT: the logit lens" (2020).

use std::ops::Range;

use super::keep::Keep;
use super::top_k::most;
use super::view_error::{ViewError, check};
use crate::hooks::HookPoint;
use crate::runtime::Runtime;

/// Selects layers, positions and the number of tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct LensOptions {
    /// Only after this layer; `None`: after every layer.
    pub layer: Option<usize>,
    /// Only at these positions; `None`: at all.
    pub positions: Option<Range<usize>>,
    /// Number of most likely tokens.
    pub top: usize,
}

impl Default for LensOptions {
    /// The most likely token after every layer, at every position.
    fn default() -> LensOptions {
        LensOptions { layer: None, positions: None, top: 1 }
    }
}

/// The predictions after one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct LensLayer {
    /// The layer, counted from 0.
    pub layer: usize,
    /// For each position, the most likely next tokens in descending order.
    pub readings: Vec<Vec<Candidate>>,
}

/// A candidate for the next token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// The token.
    pub id: u32,
    /// Its logit.
    pub logit: f32,
    /// Its probability.
    pub probability: f64,
}

/// Number of tokens whose residual streams are kept at a time, to limit memory.
const PIECE: usize = 32;

/// Applies the final norm and the unembedding to the residual stream after each layer ([`HookPoint::ResidPost`]). After
/// the last layer the results are bit-identical to the model's predictions.
///
/// # Errors
/// [`ViewError::OutOfRange`] for a layer or position, or errors of [`Session::feed`](crate::Session::feed).
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

/// The most likely tokens of residual streams `x`, `[tokens, d_model]`.
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

/// The `top` most likely tokens of `[vocab_size]` logits in descending order; ties by lower id.
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
