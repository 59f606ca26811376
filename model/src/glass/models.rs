//! Compares a model with a reference model: the error of quantisation, and where it arises.
//!
//! Both models run the same text. The residual streams are compared after each layer, which shows where the error
//! arises and how it grows; finally the distributions of the next token are compared.

use super::compare::{LogitComparator, LogitComparison, normalizer};
use super::error::Error;
use crate::hooks::{HookPoint, Keep};
use crate::runtime::Runtime;

/// The difference between a model and the reference model.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelComparison {
    /// `‖Δ‖ / ‖reference‖` of the residual stream after each layer, over all positions.
    pub layers: Vec<f64>,
    /// The comparison of the next-token distributions.
    pub logits: LogitComparison,
    /// The mean surprise of the reference at each next token of the text, in nats; its exponential is the perplexity.
    pub reference_loss: f64,
    /// The mean surprise of the other model.
    pub loss: f64,
}

/// Runs both models on `ids`, in independent windows of `window` tokens, and compares `model` with `reference`. A last,
/// shorter window is used if it has at least two tokens. With a single token there is no loss: it is NaN.
///
/// # Errors
/// [`Error::Unlike`] if the models differ in size; [`Error::Model`] as [`Session::feed`](crate::Session::feed).
pub fn compare_models(
    reference: &Runtime,
    model: &Runtime,
    ids: &[u32],
    window: usize,
) -> Result<ModelComparison, Error> {
    check_alike(reference, model)?;
    if ids.is_empty() {
        return Err(Error::Model(crate::Error::NoTokens));
    }
    let layers = reference.config.n_layers;
    let mut squares = vec![(0.0, 0.0); layers];
    let mut logits = LogitComparator::default();
    let (mut losses, mut predicted) = ([0.0, 0.0], 0usize);
    for window in ids.chunks(window.max(2)).filter(|window| window.len() >= 2 || ids.len() < 2) {
        let (expected, expected_logits) = run(reference, window)?;
        let (found, found_logits) = run(model, window)?;
        for (layer, (off, of)) in squares.iter_mut().enumerate() {
            let rows =
                |keep: &Keep| keep.rows(HookPoint::ResidPost, Some(layer)).map(|rows| rows.values.clone());
            let (Some(found), Some(expected)) = (rows(&found), rows(&expected)) else { continue };
            for (&x, &y) in found.iter().zip(&expected) {
                *off += (f64::from(x) - f64::from(y)).powi(2);
                *of += f64::from(y).powi(2);
            }
        }
        let vocab_size = reference.config.vocab_size;
        let rows = found_logits.chunks_exact(vocab_size).zip(expected_logits.chunks_exact(vocab_size));
        for (position, (found, expected)) in rows.enumerate() {
            logits.add(found, expected);
            if let Some(&next) = window.get(position + 1) {
                for (loss, row) in losses.iter_mut().zip([expected, found]) {
                    *loss += normalizer(row) - f64::from(row[next as usize]);
                }
                predicted += 1;
            }
        }
    }
    let [reference_loss, loss] = losses.map(|loss| loss / predicted as f64);
    let relative = |(off, of): &(f64, f64)| if *off == 0.0 { 0.0 } else { (off / of).sqrt() };
    Ok(ModelComparison {
        layers: squares.iter().map(relative).collect(),
        logits: logits.finish(),
        reference_loss,
        loss,
    })
}

/// Checks that both have the same vocabulary size, number of layers and width.
fn check_alike(reference: &Runtime, model: &Runtime) -> Result<(), Error> {
    let sizes = |model: &Runtime| {
        let config = &model.config;
        [("vocab_size", config.vocab_size), ("n_layers", config.n_layers), ("d_model", config.d_model)]
    };
    let pairs = sizes(reference).into_iter().zip(sizes(model));
    let different: Vec<(&'static str, usize, usize)> =
        pairs.filter(|(a, b)| a != b).map(|((name, a), (_, b))| (name, a, b)).collect();
    if different.is_empty() { Ok(()) } else { Err(Error::Unlike { different }) }
}

/// The residual streams and the logits `[tokens, vocab_size]` of one window.
fn run(model: &Runtime, ids: &[u32]) -> Result<(Keep, Vec<f32>), Error> {
    let points = (0..model.config.n_layers).map(|layer| (HookPoint::ResidPost, Some(layer)));
    let mut keep = Keep::of_rows(points);
    let mut logits = Vec::with_capacity(ids.len().saturating_mul(model.config.vocab_size));
    let mut session = model.session(usize::MAX);
    session.feed_all_observed(ids, &mut keep, |_, row| logits.extend_from_slice(row))?;
    Ok((keep, logits))
}
