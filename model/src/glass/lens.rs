//! The logit lens: the prediction if the model stopped after a layer.
//!
//! nostalgebraist, "interpreting GPT: the logit lens" (2020).

use std::ops::Range;

use super::top_k::most;
use crate::adapter::AdapterRows;
use crate::hooks::{HookPoint, Keep, ViewError, check};
use crate::runtime::Runtime;

/// Selects layers, positions and tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct LensOptions {
    /// Only after this layer; `None`: after every layer.
    pub layer: Option<usize>,
    /// Only at these positions; `None`: at all.
    pub positions: Option<Range<usize>>,
    /// Number of most likely tokens.
    pub top: usize,
    /// A token whose probability and rank are wanted too.
    pub token: Option<u32>,
}

impl Default for LensOptions {
    /// The most likely token after every layer, at every position.
    fn default() -> LensOptions {
        LensOptions { layer: None, positions: None, top: 1, token: None }
    }
}

/// The predictions after one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct LensLayer {
    /// The layer, counted from 0.
    pub layer: usize,
    /// For each position, the most likely next tokens in descending order.
    pub readings: Vec<Vec<Candidate>>,
    /// For each position, the token of [`LensOptions::token`]; empty if there is none.
    pub token: Vec<Reading>,
}

/// A token among all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// The token with its logit and probability.
    pub candidate: Candidate,
    /// 1 for the most likely token of the vocabulary; ties go to the lower id.
    pub rank: usize,
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
/// [`ViewError::OutOfRange`] for a layer, position or token; [`ViewError::AfterStream`] if an intervention of the model
/// changes the final norm or the logits, which the lens computes itself; or errors of
/// [`Session::feed`](crate::Session::feed).
pub fn lens(model: &Runtime, ids: &[u32], options: &LensOptions) -> Result<Vec<LensLayer>, ViewError> {
    let layers = match options.layer {
        Some(layer) => {
            check("layer", layer, model.config.n_layers)?;
            layer..layer + 1
        }
        None => 0..model.config.n_layers,
    };
    if let Some(token) = options.token {
        check("token", token as usize, model.config.vocab_size)?;
    }
    model.interventions.as_ref().map_or(Ok(()), |interventions| interventions.check_in_stream())?;
    let positions = options.positions.clone().unwrap_or(0..ids.len());
    let mut shown: Vec<LensLayer> = layers
        .clone()
        .map(|layer| LensLayer { layer, readings: Vec::with_capacity(positions.len()), token: Vec::new() })
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
                let logits = unembed(model, &rows.values);
                let rows = || logits.chunks_exact(model.config.vocab_size);
                shown.readings.extend(rows().map(|logits| likeliest(logits, options.top)));
                if let Some(token) = options.token {
                    shown.token.extend(rows().map(|logits| reading(logits, token)));
                }
            }
        }
    }
    Ok(shown)
}

/// The logits of residual streams `x`, `[tokens, d_model]`: `[tokens, vocab_size]`.
fn unembed(model: &Runtime, x: &[f32]) -> Vec<f32> {
    let (d_model, vocab_size) = (model.config.d_model, model.config.vocab_size);
    let mut normed = vec![0.0; x.len()];
    let mut logits = vec![0.0; x.len() / d_model * vocab_size];
    model.pool.enter(|team| {
        model.adapted_final_norm().forward(team, x, &mut normed);
        let adapters = AdapterRows::one(x.len() / d_model, model.adapter.as_deref());
        model.vocabulary().unembed(team, &adapters, &normed, &mut logits);
    });
    logits
}

/// The `top` most likely tokens of `[vocab_size]` logits in descending order; ties by lower id.
pub fn likeliest(logits: &[f32], top: usize) -> Vec<Candidate> {
    let softmax = Softmax::of(logits);
    let order = most(logits.iter().copied().enumerate(), top, |a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    order.into_iter().map(|(id, logit)| softmax.candidate(id as u32, logit)).collect()
}

/// The token `id` as a candidate, given `[vocab_size]` logits.
///
/// # Panics
/// If `id` is not in the vocabulary.
pub fn candidate(logits: &[f32], id: u32) -> Candidate {
    Softmax::of(logits).candidate(id, logits[id as usize])
}

/// The token `id` among all, given `[vocab_size]` logits.
fn reading(logits: &[f32], id: u32) -> Reading {
    let own = logits[id as usize];
    let before = |(other, logit): (u32, &f32)| logit.total_cmp(&own).reverse().then(other.cmp(&id)).is_lt();
    let rank = 1 + (0..).zip(logits).filter(|&each| before(each)).count();
    Reading { candidate: candidate(logits, id), rank }
}

/// What turns logits into probabilities.
struct Softmax {
    largest: f32,
    sum: f64,
}

impl Softmax {
    fn of(logits: &[f32]) -> Softmax {
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        Softmax { largest, sum: logits.iter().map(|&logit| f64::from(logit - largest).exp()).sum() }
    }

    fn candidate(&self, id: u32, logit: f32) -> Candidate {
        Candidate { id, logit, probability: f64::from(logit - self.largest).exp() / self.sum }
    }
}
