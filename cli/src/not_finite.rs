//! Logits that are not finite are an error that says where in the model they begin.

use anyhow::anyhow;
use glassbox_model::glass::first_non_finite;
use glassbox_model::{GenerateError, Runtime};

/// An error if a number computed from the logits of `ids` is NaN or +∞. −∞ is the logit of a token that cannot follow.
pub(crate) fn check<T: Copy + Into<f64>>(numbers: &[T], model: &Runtime, ids: &[u32]) -> anyhow::Result<()> {
    let bad = |number: &T| {
        let number: f64 = (*number).into();
        number.is_nan() || number == f64::INFINITY
    };
    match numbers.iter().any(bad) {
        true => Err(error(model, ids)),
        false => Ok(()),
    }
}

/// `error`, or if a sampler met a logit that is not finite, the error that says where the model computes it.
pub(crate) fn located(error: anyhow::Error, model: &Runtime, ids: &[u32]) -> anyhow::Error {
    use glassbox_sampler::Error::BadLogit;
    let generating = error.downcast_ref::<GenerateError<glassbox_sampler::Error>>();
    let sampling = error.downcast_ref::<glassbox_sampler::Error>();
    let is_bad = matches!(generating, Some(GenerateError::Pick(BadLogit { .. })))
        || matches!(sampling, Some(BadLogit { .. }));
    if is_bad { self::error(model, ids) } else { error }
}

fn error(model: &Runtime, ids: &[u32]) -> anyhow::Error {
    match first_non_finite(model, ids) {
        Ok(Some(first)) => anyhow!(
            "the logits are not finite: {first}, the first such value; the weights used there may be damaged, or too \
             large for this computation"
        ),
        Ok(None) => {
            anyhow!("the logits are not finite after the prompt, though all values of the prompt are")
        }
        Err(error) => error.into(),
    }
}
