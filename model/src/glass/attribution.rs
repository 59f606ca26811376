//! Direct logit attribution: what each part of the model adds to the score of a token.
//!
//! The residual stream is a sum: the token's vector, and what each head and each feed-forward layer adds. A score is
//! a dot product with that sum, once the final norm's division is taken as given. So the score is a sum, too.
//! Elhage et al., "A mathematical framework for transformer circuits" (2021).

use super::keep::Keep;
use super::lens::likeliest;
use super::view_error::{ViewError, check};
use crate::layers::Linear;
use crate::model::{Model, Weights};
use crate::observe::Place;

/// A part of the model that adds to the residual stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The vector of the last token.
    Embedding,
    /// The vector of the last position (learned positions only).
    PositionEmbedding,
    /// What a head brings, through the head's columns of the output projection.
    Head {
        /// Its layer.
        layer: usize,
        /// The head.
        head: usize,
    },
    /// The bias of attention's output projection, which belongs to no head.
    AttentionBias {
        /// Its layer.
        layer: usize,
    },
    /// A feed-forward layer, its biases included.
    Mlp {
        /// Its layer.
        layer: usize,
    },
    /// The bias of the final norm (layer norm only).
    FinalNormBias,
}

/// A part and what it adds to the score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contribution {
    /// The part.
    pub part: Part,
    /// What it adds to the logit.
    pub logit: f64,
}

/// How the score of a token at the last position comes about.
#[derive(Clone, Debug, PartialEq)]
pub struct Attribution {
    /// The token.
    pub token: u32,
    /// Its score, as the model computes it.
    pub logit: f32,
    /// What each part adds, in the order of the model; the sum is `logit`, but for what `f32` rounds off.
    pub contributions: Vec<Contribution>,
}

impl Attribution {
    /// The sum of all contributions.
    pub fn sum(&self) -> f64 {
        self.contributions.iter().map(|contribution| contribution.logit).sum()
    }
}

/// Attributes the score of `token` (`None`: the likeliest) after `ids` to the parts of the model.
///
/// The final norm divides by the length of the whole residual stream; this scale is taken from the run and held fixed,
/// and layer norm's taking off the mean, which is linear, is applied to each part.
///
/// ```
/// use glassbox_model::Checkpoint;
/// use glassbox_model::glass::attribute;
/// use glassbox_tensor::{Level, Pool};
///
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tiny/llama-text");
/// let model = Checkpoint::open(path)?.load(Pool::new(1, Level::detect())?)?;
/// let attribution = attribute(&model, &[1, 70, 71], None)?;
/// assert!((attribution.sum() - f64::from(attribution.logit)).abs() < 1e-5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`ViewError::OutOfRange`] for a token that is not there, or what feeding reports.
pub fn attribute(model: &Model, ids: &[u32], token: Option<u32>) -> Result<Attribution, ViewError> {
    let n_layers = model.config.n_layers;
    if let Some(token) = token {
        check("token", token as usize, model.config.vocab_size)?;
    }
    let inside = [Place::Z, Place::MlpOut].into_iter();
    let inside = inside.flat_map(|place| (0..n_layers).map(move |layer| (place, Some(layer))));
    let last = (Place::ResidPost, n_layers.checked_sub(1));
    let outside = [(Place::Embed, None), (Place::PositionEmbed, None), last];
    let last_position = ids.len().saturating_sub(1);
    let mut keep = Keep::new(inside.chain(outside))?.at(last_position..usize::MAX);
    let mut session = model.session(usize::MAX);
    if last_position > 0 {
        session.feed(&ids[..last_position])?;
    }
    let logits = session.feed_observed(&ids[last_position..], &mut keep)?;
    let token = token.or_else(|| likeliest(logits, 1).first().map(|candidate| candidate.id)).unwrap_or(0);
    let logit = logits[token as usize];

    let vector = |place, layer| keep.rows(place, layer).map_or(&[][..], |rows| &rows.values);
    let (direction, bias) = direction(model, token, vector(Place::ResidPost, last.1));
    let mut contributions = Vec::new();
    let mut add = |part, logit| contributions.push(Contribution { part, logit });
    add(Part::Embedding, dot(&direction, vector(Place::Embed, None)));
    if let Weights::Gpt2(_) = model.weights {
        add(Part::PositionEmbedding, dot(&direction, vector(Place::PositionEmbed, None)));
    }
    for layer in 0..n_layers {
        let projection = attention_out(model, layer);
        let z = vector(Place::Z, Some(layer));
        let by_head = through(projection, &direction);
        let heads = by_head.chunks_exact(model.config.head_dim).zip(z.chunks_exact(model.config.head_dim));
        for (head, (by_head, z)) in heads.enumerate() {
            add(Part::Head { layer, head }, dot(by_head, z));
        }
        if let Some(bias) = &projection.bias {
            add(Part::AttentionBias { layer }, dot(&direction, bias));
        }
        add(Part::Mlp { layer }, dot(&direction, vector(Place::MlpOut, Some(layer))));
    }
    if let Some(bias) = bias {
        add(Part::FinalNormBias, bias);
    }
    Ok(Attribution { token, logit, contributions })
}

/// The direction `d` in the residual stream with `logit = d · x`, the final norm's scale for this `x` held fixed; and
/// what the norm's bias adds.
fn direction(model: &Model, token: u32, x: &[f32]) -> (Vec<f64>, Option<f64>) {
    let vocabulary = model.vocabulary();
    let mut row = vec![0.0; x.len()];
    vocabulary.unembedding.as_ref().unwrap_or(&vocabulary.embedding).row(token as usize, &mut row);
    let count = x.len() as f64;
    let mean_square = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>() / count;
    let weighted = |weight: &[f32], scale: f64| -> Vec<f64> {
        row.iter().zip(weight).map(|(&row, &weight)| f64::from(row) * f64::from(weight) * scale).collect()
    };
    match &model.weights {
        Weights::Llama(weights) => {
            let norm = &weights.norm_final;
            let square = mean_square(&mut x.iter().map(|&x| f64::from(x)));
            (weighted(&norm.weight, 1.0 / (square + f64::from(norm.epsilon)).sqrt()), None)
        }
        Weights::Gpt2(weights) => {
            let norm = &weights.norm_final;
            let mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
            let variance = mean_square(&mut x.iter().map(|&x| f64::from(x) - mean));
            let mut direction = weighted(&norm.weight, 1.0 / (variance + f64::from(norm.epsilon)).sqrt());
            // d · (x − mean(x)) = (d − mean(d)) · x
            let mean = direction.iter().sum::<f64>() / count;
            direction.iter_mut().for_each(|d| *d -= mean);
            let bias = row.iter().zip(&norm.bias).map(|(&row, &bias)| f64::from(row) * f64::from(bias)).sum();
            (direction, Some(bias))
        }
    }
}

/// The direction in the inputs of `projection` that becomes `direction` in its outputs: `Wᵀ · direction`.
fn through(projection: &Linear, direction: &[f64]) -> Vec<f64> {
    let mut inputs = vec![0.0; projection.weight.inputs()];
    let mut row = vec![0.0; inputs.len()];
    for (output, direction) in direction.iter().enumerate() {
        projection.weight.row(output, &mut row);
        inputs.iter_mut().zip(&row).for_each(|(sum, &weight)| *sum += direction * f64::from(weight));
    }
    inputs
}

fn attention_out(model: &Model, layer: usize) -> &Linear {
    match &model.weights {
        Weights::Gpt2(weights) => &weights.blocks[layer].attention_out,
        Weights::Llama(weights) => &weights.blocks[layer].attention_out,
    }
}

fn dot(direction: &[f64], x: &[f32]) -> f64 {
    direction.iter().zip(x).map(|(d, &x)| d * f64::from(x)).sum()
}
