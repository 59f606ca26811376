//! Direct logit attribution: the contribution of each component of the model to the logit of a token.
//!
//! The residual stream is the sum of the embedding and the outputs of all heads and MLPs. With the scale of the final
//! norm held constant, a logit is a dot product with that sum, so it is a sum of contributions too. Elhage et al., "A
//! mathematical framework for transformer circuits" (2021).

use super::direction::{self, WeightRows, dot};
use super::lens::likeliest;
use crate::hooks::{HookPoint, Keep, ViewError, check};
use crate::norm::Norm;
use crate::runtime::Runtime;
use crate::spec::Role;

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
    /// Attention's whole output, instead of its heads and bias, in a layer where an intervention set that output.
    Attention {
        /// The layer.
        layer: usize,
    },
    /// What interventions added to the residual stream between the components (steering, patches).
    Interventions,
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

    /// The contributions to this logit minus those to the logit of `other`, an attribution of the same run: what speaks
    /// for one token rather than another. Their sum is the difference of the logits.
    pub fn minus(&self, other: &Attribution) -> Vec<Contribution> {
        let pairs = self.contributions.iter().zip(&other.contributions);
        pairs.map(|(own, other)| Contribution { part: own.part, logit: own.logit - other.logit }).collect()
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
/// [`ViewError::OutOfRange`] for a token; [`ViewError::AfterStream`] if an intervention of the model changes the final
/// norm or the logits; or errors of [`Session::feed`](crate::Session::feed).
pub fn attribute(model: &Runtime, ids: &[u32], token: Option<u32>) -> Result<Attribution, ViewError> {
    let run = Run::of(model, ids, token.as_slice())?;
    run.attribute(token.unwrap_or_else(|| run.likeliest()))
}

/// As [`attribute`], for several tokens after one run.
///
/// # Errors
/// As [`attribute`].
pub fn attribute_each(model: &Runtime, ids: &[u32], tokens: &[u32]) -> Result<Vec<Attribution>, ViewError> {
    let run = Run::of(model, ids, tokens)?;
    tokens.iter().map(|&token| run.attribute(token)).collect()
}

/// The values at the last position of a run.
struct Run<'a> {
    model: &'a Runtime,
    keep: Keep,
    logits: Vec<f32>,
}

impl Run<'_> {
    fn of<'a>(model: &'a Runtime, ids: &[u32], tokens: &[u32]) -> Result<Run<'a>, ViewError> {
        let n_layers = model.config.n_layers;
        for &token in tokens {
            check("token", token as usize, model.config.vocab_size)?;
        }
        model.interventions.as_ref().map_or(Ok(()), |interventions| interventions.check_in_stream())?;
        let inside = [HookPoint::Z, HookPoint::AttentionResult, HookPoint::AttentionOut, HookPoint::MlpOut]
            .into_iter();
        let inside = inside.flat_map(|point| (0..n_layers).map(move |layer| (point, Some(layer))));
        let last = (HookPoint::ResidPost, n_layers.checked_sub(1));
        let outside = [(HookPoint::Embed, None), (HookPoint::PositionEmbed, None), last];
        let last_position = ids.len().saturating_sub(1);
        let mut keep = Keep::new(inside.chain(outside))?.at(last_position..usize::MAX);
        let mut session = model.session(usize::MAX);
        if last_position > 0 {
            session.feed(&ids[..last_position])?;
        }
        let logits = session.feed_observed(&ids[last_position..], &mut keep)?.to_vec();
        Ok(Run { model, keep, logits })
    }

    fn likeliest(&self) -> u32 {
        likeliest(&self.logits, 1).first().map_or(0, |candidate| candidate.id)
    }

    /// A value of the last token.
    fn vector(&self, point: HookPoint, layer: Option<usize>) -> &[f32] {
        self.keep.rows(point, layer).map_or(&[][..], |rows| &rows.values)
    }

    /// Whether an intervention changes one of these values.
    fn changed(&self, points: &[HookPoint], layer: usize) -> bool {
        let interventions = self.model.interventions.as_deref();
        interventions.is_some_and(|list| points.iter().any(|&point| list.touch(point, Some(layer))))
    }

    fn attribute(&self, token: u32) -> Result<Attribution, ViewError> {
        let config = &self.model.config;
        let final_norm = self.model.adapted_final_norm();
        let stream = self.vector(HookPoint::ResidPost, config.n_layers.checked_sub(1));
        let direction = direction::of_logit(self.model, stream, token)?;
        let final_bias = direction::bias_of_logit(self.model, token)?;

        let mut contributions = Vec::new();
        let mut add = |part, logit| contributions.push(Contribution { part, logit });
        add(Component::Embedding, dot(&direction, self.vector(HookPoint::Embed, None)));
        if config.learned_positions {
            let positions = self.vector(HookPoint::PositionEmbed, None);
            add(Component::PositionEmbedding, dot(&direction, positions));
        }
        for layer in 0..config.n_layers {
            if self.changed(&[HookPoint::AttentionResult, HookPoint::AttentionOut], layer) {
                let out = self.vector(HookPoint::AttentionOut, Some(layer));
                add(Component::Attention { layer }, dot(&direction, out));
            } else {
                self.heads(layer, &direction, &mut add)?;
            }
            let mlp = self.vector(HookPoint::MlpOut, Some(layer));
            add(Component::Mlp { layer }, dot(&direction, mlp));
        }
        if let Norm::Layer { .. } = final_norm {
            add(Component::FinalNormBias, final_bias);
        }
        let stream_points = [HookPoint::ResidPre, HookPoint::ResidMid, HookPoint::ResidPost];
        if (0..config.n_layers).any(|layer| self.changed(&stream_points, layer)) {
            let rest: f64 = contributions.iter().map(|contribution| contribution.logit).sum();
            let logit = dot(&direction, stream) + final_bias - rest;
            contributions.push(Contribution { part: Component::Interventions, logit });
        }
        Ok(Attribution { token, logit: self.logits[token as usize], contributions })
    }

    /// Adds the contributions of the heads of a layer, and of the biases after them.
    fn heads(
        &self,
        layer: usize,
        direction: &[f64],
        add: &mut impl FnMut(Component, f64),
    ) -> Result<(), ViewError> {
        let attention = &self.model.decoder.blocks[layer].attention;
        // The direction after attention's output projection: back through the post norm, if there is one.
        let post = direction::post_norm(self.model, Role::AttentionPostNorm, layer, attention.post.as_ref());
        let output = self.vector(HookPoint::AttentionResult, Some(layer));
        let direction_out = direction::before_post_norm(post, output, direction);
        let norm_bias = post.map_or(0.0, |norm| dot(direction, norm.bias()));
        let projection = &attention.layer.out;
        let by_head = WeightRows::of(self.model, projection)?.transposed(&direction_out);
        let head_dim = self.model.config.head_dim;
        let z = self.vector(HookPoint::Z, Some(layer));
        let heads = by_head.chunks_exact(head_dim).zip(z.chunks_exact(head_dim));
        for (head, (by_head, z)) in heads.enumerate() {
            add(Component::Head { layer, head }, dot(by_head, z));
        }
        let own_bias = self.model.adapted_bias(projection);
        if own_bias.is_some() || matches!(attention.post, Some(Norm::Layer { .. })) {
            let bias = own_bias.map_or(0.0, |bias| dot(&direction_out, bias));
            add(Component::AttentionBias { layer }, bias + norm_bias);
        }
        Ok(())
    }
}
