//! Direct logit attribution: the contribution of each component of the model to the logit of a token.
//!
//! The residual stream is the sum of the embedding and the outputs of all heads and MLPs. With the scale of the final
//! norm held constant, a logit is a dot product with that sum, so it is a sum of contributions too. Elhage et al., "A
//! mathematical framework for transformer circuits" (2021).

use super::keep::Keep;
use super::lens::likeliest;
use super::view_error::{ViewError, check};
use crate::hooks::HookPoint;
use crate::linear::Linear;
use crate::norm::Norm;
use crate::runtime::Runtime;

/// A component of the model that adds to the residual stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Component {
    /// The embedding of the last token.
    Embedding,
    /// The position embedding of the last token (learned positions only).
    PositionEmbedding,
    /// A head's output, through its columns of the output projection.
    Head {
        /// Its layer.
        layer: usize,
        /// The head.
        head: usize,
    },
    /// The biases of attention's output projection and its post norm, which belong to no head.
    AttentionBias {
        /// Its layer.
        layer: usize,
    },
    /// An MLP, including its biases.
    Mlp {
        /// Its layer.
        layer: usize,
    },
    /// The bias of the final norm (layer norm only).
    FinalNormBias,
}

/// A component and its contribution to the logit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contribution {
    /// The component.
    pub part: Component,
    /// Its contribution.
    pub logit: f64,
}

/// The decomposition of a token's logit at the last position.
#[derive(Clone, Debug, PartialEq)]
pub struct Attribution {
    /// The token.
    pub token: u32,
    /// Its logit, as the model computes it.
    pub logit: f32,
    /// The contributions in the order of the model; their sum is `logit`, up to rounding in `f32`.
    pub contributions: Vec<Contribution>,
}

impl Attribution {
    /// The sum of all contributions.
    pub fn sum(&self) -> f64 {
        self.contributions.iter().map(|contribution| contribution.logit).sum()
    }
}

/// Attributes the logit of `token` (`None`: the most likely one) after `ids` to the components of the model.
///
/// The final norm divides by the size of the whole residual stream; this scale is taken from the run and held constant.
/// Layer norm's subtraction of the mean is linear and is applied to each component.
///
/// ```
/// use glassbox_model::Checkpoint;
/// use glassbox_model::glass::attribute;
/// use glassbox_tensor::{Level, Pool};
///
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tiny/llama-text");
/// let model = Checkpoint::open(path)?.run_on(Pool::new(1, Level::detect())?)?;
/// let attribution = attribute(&model, &[1, 70, 71], None)?;
/// assert!((attribution.sum() - f64::from(attribution.logit)).abs() < 1e-5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`ViewError::OutOfRange`] for a token, or errors of [`Session::feed`](crate::Session::feed).
pub fn attribute(model: &Runtime, ids: &[u32], token: Option<u32>) -> Result<Attribution, ViewError> {
    let n_layers = model.config.n_layers;
    if let Some(token) = token {
        check("token", token as usize, model.config.vocab_size)?;
    }
    let inside = [HookPoint::Z, HookPoint::MlpOut, HookPoint::AttentionResult].into_iter();
    let inside = inside.flat_map(|point| (0..n_layers).map(move |layer| (point, Some(layer))));
    let last = (HookPoint::ResidPost, n_layers.checked_sub(1));
    let outside = [(HookPoint::Embed, None), (HookPoint::PositionEmbed, None), last];
    let last_position = ids.len().saturating_sub(1);
    let mut keep = Keep::new(inside.chain(outside))?.at(last_position..usize::MAX);
    let mut session = model.session(usize::MAX);
    if last_position > 0 {
        session.feed(&ids[..last_position])?;
    }
    let logits = session.feed_observed(&ids[last_position..], &mut keep)?;
    let token = token.or_else(|| likeliest(logits, 1).first().map(|candidate| candidate.id)).unwrap_or(0);
    let logit = logits[token as usize];

    let vector = |point, layer| keep.rows(point, layer).map_or(&[][..], |rows| &rows.values);
    let mut unembedding = vec![0.0; model.config.d_model];
    model.vocabulary().unembedding().row(token as usize, &mut unembedding);
    let unembedding: Vec<f64> = unembedding.into_iter().map(f64::from).collect();
    let final_norm = &model.decoder.final_norm;
    let (direction, final_bias) = final_norm.linearised(vector(HookPoint::ResidPost, last.1), &unembedding);

    let mut contributions = Vec::new();
    let mut add = |part, logit| contributions.push(Contribution { part, logit });
    add(Component::Embedding, dot(&direction, vector(HookPoint::Embed, None)));
    if model.config.learned_positions {
        add(Component::PositionEmbedding, dot(&direction, vector(HookPoint::PositionEmbed, None)));
    }
    for (layer, block) in model.decoder.blocks.iter().enumerate() {
        // The direction after attention's output projection: back through the post norm, if there is one.
        let (direction_out, norm_bias) = match &block.attention.post {
            Some(norm) => norm.linearised(vector(HookPoint::AttentionResult, Some(layer)), &direction),
            None => (direction.clone(), 0.0),
        };
        let projection = &block.attention.layer.out;
        let by_head = through(projection, &direction_out);
        let head_dim = model.config.head_dim;
        let z = vector(HookPoint::Z, Some(layer));
        let heads = by_head.chunks_exact(head_dim).zip(z.chunks_exact(head_dim));
        for (head, (by_head, z)) in heads.enumerate() {
            add(Component::Head { layer, head }, dot(by_head, z));
        }
        let bias = projection.bias.as_ref().map_or(0.0, |bias| dot(&direction_out, bias)) + norm_bias;
        if projection.bias.is_some() || norm_bias != 0.0 {
            add(Component::AttentionBias { layer }, bias);
        }
        add(Component::Mlp { layer }, dot(&direction, vector(HookPoint::MlpOut, Some(layer))));
    }
    if let Norm::Layer { .. } = final_norm {
        add(Component::FinalNormBias, final_bias);
    }
    Ok(Attribution { token, logit, contributions })
}

/// Maps a direction in the outputs of `projection` to its inputs: `Wᵀ · direction`.
fn through(projection: &Linear, direction: &[f64]) -> Vec<f64> {
    let mut inputs = vec![0.0; projection.weight.inputs()];
    let mut row = vec![0.0; inputs.len()];
    for (output, direction) in direction.iter().enumerate() {
        projection.weight.row(output, &mut row);
        inputs.iter_mut().zip(&row).for_each(|(sum, &weight)| *sum += direction * f64::from(weight));
    }
    inputs
}

fn dot(direction: &[f64], x: &[f32]) -> f64 {
    direction.iter().zip(x).map(|(d, &x)| d * f64::from(x)).sum()
}
