//! The residual streams of unrelated tokens: what all tokens share, and how similar two random ones are.

use std::ops::Range;

use glassbox_tokenizer::{EncodeOptions, Special, Tokenizer};

use super::nearby::spread_ids;
use crate::config::MlpKind;
use crate::hooks::{HookPoint, Keep, ViewError, check};
use crate::runtime::Runtime;

/// Residual streams of the tokens of some text, before the first layer and after each.
///
/// Cosines in context are measured against it ([`compare_in_context`](super::compare_in_context),
/// [`neighbors_in_context`](super::neighbors_in_context)). About a hundred tokens of ordinary text suffice. The first
/// token of a sequence is left out: it is often an attention sink, and its stream is far from all others.
#[derive(Clone, Debug)]
pub struct Baseline {
    ids: Vec<u32>,
    d_model: usize,
    /// For each place, `[tokens, d_model]`: before the first layer, then after each.
    streams: Vec<Vec<f32>>,
}

/// The cosines of random pairs of vectors.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RandomCosines {
    /// The mean cosine.
    pub mean: f64,
    /// 95 % of the pairs have a smaller cosine.
    pub high: f64,
}

/// Tokens of the baseline at most: their pairs are all compared.
const MAX_TOKENS: usize = 160;

/// Sentences on unrelated subjects.
const TEXT: &str = "My grandmother keeps seven hens behind the old stone house. The train to the coast leaves at nine, \
    but today it is late again. Water boils at a lower temperature on a high mountain. She wrote a letter to the \
    council about the broken street lamps. In 1969 two men walked on the moon while a third waited above them. Bread \
    needs flour, salt, yeast and a little patience. The court found that the contract had never been signed. Fish \
    cannot close their eyes when they sleep. He played the violin badly, yet nobody asked him to stop. Prices rose by \
    three percent last year, mostly because of rent. A small green lizard ran across the warm wall and was gone.";

impl Baseline {
    /// Runs `ids`, of which up to 160 tokens after the first are used.
    ///
    /// # Errors
    /// [`ViewError::OutOfRange`] with fewer than three tokens, or errors of [`Session::feed`](crate::Session::feed).
    pub fn of(model: &Runtime, ids: &[u32]) -> Result<Baseline, ViewError> {
        check("baseline token", 2, ids.len())?;
        let limit = (MAX_TOKENS + 1).min(model.config.context_length);
        let ids = &ids[..ids.len().min(limit)];
        let streams = all_streams(model, ids, 1..ids.len())?;
        Ok(Baseline { ids: ids.to_vec(), d_model: model.config.d_model, streams })
    }

    /// Runs a few sentences of ordinary English, the same for every model; without a tokenizer, ids spread over the
    /// vocabulary.
    ///
    /// # Errors
    /// As [`Baseline::of`].
    pub fn of_ordinary_text(model: &Runtime, tokenizer: Option<&Tokenizer>) -> Result<Baseline, ViewError> {
        let options = EncodeOptions { special: Special::AsText, add_special_tokens: true };
        let ids = tokenizer.and_then(|tokenizer| tokenizer.encode_bytes(TEXT.as_bytes(), &options).ok());
        let vocab_size = model.config.vocab_size;
        match ids.filter(|ids| ids.iter().all(|&id| (id as usize) < vocab_size)) {
            Some(ids) => Baseline::of(model, &ids),
            None => Baseline::of(model, &spread_ids(vocab_size).take(MAX_TOKENS).collect::<Vec<_>>()),
        }
    }

    /// Number of tokens.
    pub fn tokens(&self) -> usize {
        self.streams.first().map_or(0, |rows| rows.len() / self.d_model)
    }

    /// The mean, `[d_model]`, over the baseline and the rows of `others`, each `[tokens, d_model]`, without the first
    /// row of each.
    pub(super) fn mean_with(&self, place: usize, others: &[&[f32]]) -> Vec<f64> {
        let own = self.streams[place].chunks_exact(self.d_model);
        mean(own.chain(others.iter().flat_map(|rows| rows.chunks_exact(self.d_model).skip(1))), self.d_model)
    }

    /// The mean of the streams after `layer`, each after the final norm, `[d_model]`.
    pub(super) fn normed_mean(&self, model: &Runtime, layer: usize) -> Vec<f64> {
        let streams = &self.streams[layer + 1];
        let mut normed = vec![0.0; streams.len()];
        model.pool.enter(|team| model.adapted_final_norm().forward(team, streams, &mut normed));
        mean(normed.chunks_exact(self.d_model), self.d_model)
    }

    /// The usual activation of every neuron of some layers, `[layers, d_ff]`.
    pub(super) fn usual_activations(
        &self,
        model: &Runtime,
        layers: Range<usize>,
    ) -> Result<Vec<Vec<UsualActivation>>, ViewError> {
        let point = HookPoint::MlpPost;
        if matches!(model.config.mlp, MlpKind::Experts { .. }) {
            return Err(ViewError::Point { point, expected: "values in a mixture of experts" });
        }
        let points = layers.clone().map(|layer| (point, Some(layer)));
        let mut keep = Keep::of_rows(points).at(1..self.ids.len());
        model.session(usize::MAX).feed_observed(&self.ids, &mut keep)?;
        let of_layer = |layer| {
            let rows = keep.rows(point, Some(layer)).map_or(&[][..], |rows| &rows.values);
            let rows = || rows.chunks_exact(model.config.d_ff);
            let mean = mean(rows(), model.config.d_ff);
            let count = rows().len().max(1) as f64;
            let squares = |neuron: usize| {
                rows().map(|row| (f64::from(row[neuron]) - mean[neuron]).powi(2)).sum::<f64>()
            };
            let deviations: Vec<f64> =
                (0..mean.len()).map(|neuron| (squares(neuron) / count).sqrt()).collect();
            let typical = deviations.iter().sum::<f64>() / deviations.len().max(1) as f64;
            let usual = |(&mean, &deviation): (&f64, &f64)| UsualActivation {
                mean,
                deviation: deviation.hypot(typical),
            };
            mean.iter().zip(&deviations).map(usual).collect()
        };
        Ok(layers.map(of_layer).collect())
    }

    /// The cosines of all pairs of the baseline's tokens, without `mean`.
    pub(super) fn random_cosines(&self, place: usize, mean: &[f64]) -> RandomCosines {
        let unit = |row: &[f32]| {
            let mut row = centred(row, mean);
            let length = length(&row);
            row.iter_mut().for_each(|x| *x /= length.max(f64::MIN_POSITIVE));
            row
        };
        let rows: Vec<Vec<f64>> = self.streams[place].chunks_exact(self.d_model).map(unit).collect();
        let pairs = rows.iter().enumerate().flat_map(|(i, a)| rows[..i].iter().map(move |b| dot(a, b)));
        RandomCosines::of(pairs.collect())
    }
}

/// What a neuron usually answers.
#[derive(Clone, Copy, Debug)]
pub(super) struct UsualActivation {
    mean: f64,
    /// The standard deviation, together with that of a typical neuron of the layer.
    deviation: f64,
}

impl UsualActivation {
    /// How many deviations an activation is beyond the mean; 0 if it is nearer to zero than the mean, on the same side.
    pub(super) fn beyond(self, activation: f64) -> f64 {
        let less = activation * self.mean >= 0.0 && activation.abs() <= self.mean.abs();
        if less || self.deviation == 0.0 { 0.0 } else { (activation - self.mean).abs() / self.deviation }
    }
}

impl RandomCosines {
    /// The statistics of some cosines.
    pub(super) fn of(mut cosines: Vec<f64>) -> RandomCosines {
        cosines.sort_by(f64::total_cmp);
        let mean = cosines.iter().sum::<f64>() / cosines.len().max(1) as f64;
        let high = cosines.get(cosines.len() * 95 / 100).copied().unwrap_or(0.0);
        RandomCosines { mean, high }
    }
}

/// The residual streams of the tokens at `positions`, `[tokens, d_model]`, before the first layer and after each.
/// Later tokens do not affect them and are not computed.
pub(super) fn all_streams(
    model: &Runtime,
    ids: &[u32],
    positions: Range<usize>,
) -> Result<Vec<Vec<f32>>, ViewError> {
    let before = (HookPoint::ResidPre, Some(0));
    let after = (0..model.config.n_layers).map(|layer| (HookPoint::ResidPost, Some(layer)));
    let places: Vec<_> = std::iter::once(before).chain(after).collect();
    let mut keep = Keep::of_rows(places.iter().copied()).at(positions.clone());
    model.session(usize::MAX).feed_observed(&ids[..positions.end], &mut keep)?;
    let rows = |&(point, layer): &(HookPoint, Option<usize>)| {
        keep.rows(point, layer).map_or(Vec::new(), |rows| rows.values.clone())
    };
    Ok(places.iter().map(rows).collect())
}

fn mean<'a>(rows: impl Iterator<Item = &'a [f32]>, d_model: usize) -> Vec<f64> {
    let mut sum = vec![0.0; d_model];
    let mut count = 0;
    for row in rows {
        count += 1;
        sum.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x));
    }
    sum.iter_mut().for_each(|sum| *sum /= f64::from(count.max(1)));
    sum
}

/// `x − mean`; an empty mean is zero.
pub(super) fn centred(x: &[f32], mean: &[f64]) -> Vec<f64> {
    let mean = mean.iter().copied().chain(std::iter::repeat(0.0));
    x.iter().zip(mean).map(|(&x, mean)| f64::from(x) - mean).collect()
}

pub(super) fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let product = length(a) * length(b);
    if product > 0.0 { dot(a, b) / product } else { 0.0 }
}

pub(super) fn length(x: &[f64]) -> f64 {
    dot(x, x).sqrt()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
