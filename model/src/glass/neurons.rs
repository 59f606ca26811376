//! The neurons that answer most at one token, and the tokens that each of them promotes.
//!
//! A neuron of an MLP reads one direction of its input and answers with a number, its activation. It then adds its
//! output vector, a column of the down projection, times the activation to the residual stream. Directly, without the
//! layers in between, this raises the logits of some tokens and lowers those of others. Geva et al., "Transformer
//! feed-forward layers build predictions by promoting concepts in the vocabulary space" (2022).

use std::cmp::Ordering;

use glassbox_tensor::ops;

use super::baseline::Baseline;
use super::direction::{self, WeightRows, narrowed, widened};
use super::edges::Answer;
use super::lens::likeliest;
use super::top_k::{TopK, most};
use crate::adapter::AdapterRows;
use crate::hooks::{HookPoint, Keep, ViewError, check};
use crate::linear::Linear;
use crate::mlp::{GatedMlp, Mlp};
use crate::norm::FrozenNorm;
use crate::runtime::Runtime;
use crate::spec::Role;

/// The measure by which neurons are ranked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NeuronMeasure {
    /// [`Neuron::size`]
    Size,
    /// [`Neuron::unusual`]: many neurons answer to every token, and the largest always do.
    Unusual,
    /// The absolute value of [`Neuron::logit`].
    Logit,
}

/// Selects and ranks neurons.
#[derive(Clone, Debug, PartialEq)]
pub struct NeuronOptions {
    /// The token's position.
    pub position: usize,
    /// Only this layer.
    pub layer: Option<usize>,
    /// The measure.
    pub by: NeuronMeasure,
    /// The token whose logit [`Neuron::logit`] refers to; by default the most likely next one.
    pub answer: Option<u32>,
    /// Maximum number of neurons.
    pub top: usize,
    /// Number of tokens in [`Neuron::raises`] and [`Neuron::lowers`].
    pub tokens: usize,
}

/// A neuron's answer at one token.
#[derive(Clone, Debug, PartialEq)]
pub struct Neuron {
    /// The layer.
    pub layer: usize,
    /// The expert, in a mixture of experts.
    pub expert: Option<usize>,
    /// The neuron, counted from 0 in its layer or expert.
    pub neuron: usize,
    /// The factor of its output vector: the activation, after the gate and times the weight of the expert.
    pub activation: f64,
    /// The length of the vector that it adds to the residual stream: |activation| · ‖output vector‖. With a post norm,
    /// after it.
    pub size: f64,
    /// How far the activation is beyond its usual value, in standard deviations: |activation − mean| / deviation, with
    /// the mean over a [`Baseline`]; 0 if the neuron answers less than usual, or without a baseline. The deviation is
    /// √(σ² + s²), of the neuron's standard deviation σ and the mean s of those of its layer, so that neurons that
    /// hardly ever answer do not come first.
    pub unusual: f64,
    /// What the vector adds to the logit of the answer, directly.
    pub logit: f64,
    /// The tokens whose logits the vector raises most, largest effect first.
    pub raises: Vec<TokenEffect>,
    /// The tokens whose logits it lowers most, largest effect first.
    pub lowers: Vec<TokenEffect>,
}

/// What a vector adds to the logit of a token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TokenEffect {
    /// The token.
    pub id: u32,
    /// The change of its logit.
    pub logit: f64,
}

/// The neurons that answer most at one token.
#[derive(Clone, Debug, PartialEq)]
pub struct Neurons {
    /// The neurons, strongest first.
    pub neurons: Vec<Neuron>,
    /// How many neurons there are in the selected layers; of experts, only those that the token uses.
    pub count: usize,
    /// The token whose logit [`Neuron::logit`] refers to.
    pub answer: Answer,
}

/// The neurons that answer most at the token `options.position` of `ids`. Later tokens do not affect it.
///
/// The neurons' logits add up to that of the MLP in [`attribute`](super::attribute), except for its biases.
///
/// ```
/// use glassbox_model::Checkpoint;
/// use glassbox_model::glass::{NeuronMeasure, NeuronOptions, neurons};
/// use glassbox_tensor::{Level, Pool};
///
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tiny/llama-text");
/// let model = Checkpoint::open(path)?.run_on(Pool::new(1, Level::detect())?)?;
/// let by = NeuronMeasure::Size;
/// let options = NeuronOptions { position: 2, layer: None, by, answer: None, top: 5, tokens: 3 };
/// let strongest = neurons(&model, &[1, 70, 71], &options, None)?.neurons;
/// assert!(strongest[0].size >= strongest[4].size && strongest[0].raises.len() == 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`ViewError::OutOfRange`] for a position, layer or token, [`ViewError::Point`] for a baseline with a mixture of
/// experts, whose activations are not observed, or errors of [`Session::feed`](crate::Session::feed).
pub fn neurons(
    model: &Runtime,
    ids: &[u32],
    options: &NeuronOptions,
    baseline: Option<&Baseline>,
) -> Result<Neurons, ViewError> {
    let (config, position) = (&model.config, options.position);
    check("position", position, ids.len())?;
    options.layer.map_or(Ok(()), |layer| check("layer", layer, config.n_layers))?;
    options.answer.map_or(Ok(()), |token| check("token", token as usize, config.vocab_size))?;
    let layers = options.layer.map_or(0..config.n_layers, |layer| layer..layer + 1);

    let usual = baseline.map(|baseline| baseline.usual_activations(model, layers.clone())).transpose()?;
    let points = [HookPoint::MlpPost, HookPoint::Norm2, HookPoint::ExpertWeights, HookPoint::MlpResult];
    let inside = points.into_iter().flat_map(|point| layers.clone().map(move |layer| (point, Some(layer))));
    let last = (HookPoint::ResidPost, config.n_layers.checked_sub(1));
    let mut keep = Keep::of_rows(inside.chain([last]));
    let mut session = model.session(usize::MAX);
    if position > 0 {
        session.feed(&ids[..position])?;
    }
    let logits = session.feed_observed(&ids[position..=position], &mut keep)?;
    let id = options.answer.or_else(|| likeliest(logits, 1).first().map(|first| first.id)).unwrap_or(0);
    let answer = Answer { position, id, logit: logits[id as usize] };
    let vector = |point, layer| keep.rows(point, layer).map_or(&[][..], |rows| &rows.values);
    let stream = vector(last.0, last.1);
    let direction = direction::of_logit(model, stream, id)?;

    let adapters = AdapterRows::new(std::iter::once((1, model.adapter.as_deref())));
    let mut most = TopK::new(options.top);
    let mut count = 0;
    for (i, layer) in layers.enumerate() {
        let branch = &model.decoder.blocks[layer].mlp;
        let output = vector(HookPoint::MlpResult, Some(layer));
        let post = direction::post_norm(model, Role::MlpPostNorm, layer, branch.post.as_ref());
        let direction = direction::before_post_norm(post, output, &direction);
        let post = post.map(|norm| norm.frozen(output));
        let groups = match &branch.layer {
            Mlp::Plain { down, .. } | Mlp::Gated(GatedMlp { down, .. }) => {
                vec![(None, down, widened(vector(HookPoint::MlpPost, Some(layer))))]
            }
            Mlp::Experts(experts) => {
                let weights = vector(HookPoint::ExpertWeights, Some(layer));
                let used = weights.iter().enumerate().filter(|(_, weight)| **weight != 0.0);
                let of_expert = |(e, &weight): (usize, &f32)| {
                    let expert = &experts.experts[e];
                    let x = vector(HookPoint::Norm2, Some(layer));
                    let hidden = model.pool.enter(|team| expert.hidden(team, &adapters, x));
                    let hidden = hidden.iter().map(|&x| f64::from(x) * f64::from(weight));
                    (Some(e), &expert.down, hidden.collect())
                };
                used.map(of_expert).collect()
            }
        };
        for (expert, down, activations) in groups {
            count += activations.len();
            let columns = columns(model, down, post.as_ref(), &direction)?;
            for (neuron, (activation, [length, logit])) in activations.into_iter().zip(columns).enumerate() {
                let unusual = usual.as_ref().map_or(0.0, |usual| usual[i][neuron].beyond(activation));
                let neuron = Neuron {
                    layer,
                    expert,
                    neuron,
                    activation,
                    size: activation.abs() * length,
                    unusual,
                    logit: activation * logit,
                    raises: Vec::new(),
                    lowers: Vec::new(),
                };
                most.offer(neuron, |a, b| a.compare(b, options.by));
            }
        }
    }
    let mut neurons = most.sorted(|a, b| a.compare(b, options.by));
    if options.tokens > 0 {
        let output = |layer| vector(HookPoint::MlpResult, Some(layer));
        add_effects(model, stream, output, options.tokens, &mut neurons)?;
    }
    Ok(Neurons { neurons, count, answer })
}

impl Neuron {
    /// The stronger one first; ties in order of computation.
    fn compare(&self, other: &Neuron, by: NeuronMeasure) -> Ordering {
        let measure = |neuron: &Neuron| match by {
            NeuronMeasure::Size => neuron.size,
            NeuronMeasure::Unusual => neuron.unusual,
            NeuronMeasure::Logit => neuron.logit.abs(),
        };
        let site = |neuron: &Neuron| (neuron.layer, neuron.expert, neuron.neuron);
        measure(other).total_cmp(&measure(self)).then_with(|| site(self).cmp(&site(other)))
    }
}

/// Columns of a down projection that are gathered at a time.
const TILE: usize = 16;

/// For every column of a down projection: its length in the residual stream, and its dot product with `direction`.
fn columns(
    model: &Runtime,
    down: &Linear,
    post: Option<&FrozenNorm<'_>>,
    direction: &[f64],
) -> Result<Vec<[f64; 2]>, ViewError> {
    let (d_model, width) = (down.weight.outputs(), down.weight.inputs());
    let rows = WeightRows::of(model, down)?.to_f32();
    let mut found = Vec::with_capacity(width);
    // A few columns at a time: each row's part of them is in one cache line.
    let mut tile = vec![0.0; TILE * d_model];
    for first in (0..width).step_by(TILE) {
        let count = TILE.min(width - first);
        for (i, row) in rows.chunks_exact(width).enumerate() {
            row[first..first + count]
                .iter()
                .enumerate()
                .for_each(|(j, &x)| tile[j * d_model + i] = f64::from(x));
        }
        for column in tile.chunks_exact(d_model).take(count) {
            let logit = column.iter().zip(direction).map(|(x, d)| x * d).sum();
            let length = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>().sqrt();
            found.push([post.map_or_else(|| length(column), |norm| length(&norm.apply(column))), logit]);
        }
    }
    Ok(found)
}

/// Fills in the tokens that each neuron raises and lowers. `stream` is the residual stream after the last layer,
/// `output` an MLP's output before its post norm.
fn add_effects<'a>(
    model: &Runtime,
    stream: &[f32],
    output: impl Fn(usize) -> &'a [f32],
    tokens: usize,
    neurons: &mut [Neuron],
) -> Result<(), ViewError> {
    let final_norm = model.adapted_final_norm().frozen(stream);
    let unembedding = model.adapted_vocabulary(Role::Unembedding)?;
    for neuron in neurons {
        let branch = &model.decoder.blocks[neuron.layer].mlp;
        let down = match (&branch.layer, neuron.expert) {
            (Mlp::Plain { down, .. } | Mlp::Gated(GatedMlp { down, .. }), _) => down,
            (Mlp::Experts(experts), expert) => &experts.experts[expert.unwrap_or(0)].down,
        };
        let mut column = Vec::with_capacity(model.config.d_model);
        WeightRows::of(model, down)?
            .each(|_, row| column.push(neuron.activation * f64::from(row[neuron.neuron])));
        let post = direction::post_norm(model, Role::MlpPostNorm, neuron.layer, branch.post.as_ref());
        if let Some(norm) = post {
            column = norm.frozen(output(neuron.layer)).apply(&column);
        }
        let mut effects = vec![0.0; model.config.vocab_size];
        let x = narrowed(&final_norm.apply(&column));
        model.pool.enter(|team| ops::matmul(team, &x, &unembedding, &mut effects));
        [neuron.raises, neuron.lowers] = raised_and_lowered(&effects, tokens);
    }
    Ok(())
}

/// The `count` tokens with the largest positive and with the largest negative effects, largest first.
pub(super) fn raised_and_lowered(effects: &[f32], count: usize) -> [Vec<TokenEffect>; 2] {
    [1.0, -1.0].map(|sign| {
        let signed = effects.iter().zip(0..).map(|(&effect, id)| (sign * f64::from(effect), id));
        let signed = signed.filter(|(effect, _)| *effect > 0.0);
        let order = most(signed, count, |a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        order.into_iter().map(|(effect, id)| TokenEffect { id, logit: sign * effect }).collect()
    })
}
