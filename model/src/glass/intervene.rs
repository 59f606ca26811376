//! Changing a run: taking a part of the model out of it, or putting a value into it.
//!
//! What an observer writes, the rest of the pass computes with. All of these work in the pass over a prompt and in
//! every pass over a single token after it: the cache then holds what the changed model remembers.

use std::ops::Range;

use super::keep::KeptRows;
use super::names::{Name, row_len};
use super::view_error::{ViewError, check};
use crate::config::Config;
use crate::hooks::{HookPoint, Observed, Observer};

/// One change.
#[derive(Clone, Debug, PartialEq)]
pub enum Intervention {
    /// A head brings nothing: its [`HookPoint::Z`] becomes zero. The projection's bias stays. The same as zeroing the
    /// head's columns of the output projection. Michel et al., "Are sixteen heads really better than one?" (2019).
    AblateHead {
        /// Its layer.
        layer: usize,
        /// The head.
        head: usize,
    },
    /// A neuron never fires: its [`HookPoint::MlpPost`] becomes zero.
    AblateNeuron {
        /// Its layer.
        layer: usize,
        /// The neuron, one of `d_ff`.
        neuron: usize,
    },
    /// A feed-forward layer adds nothing: its [`HookPoint::MlpOut`] becomes zero.
    AblateMlp {
        /// Its layer.
        layer: usize,
    },
    /// A whole block adds nothing: the residual stream leaves it as it came.
    AblateBlock {
        /// The block.
        layer: usize,
    },
    /// A token can no longer see another: its score becomes −∞ and its weight 0, the rest of its attention is shared out
    /// among the other tokens. A token that can see none is brought nothing by the head. Geva et al., "Dissecting recall
    /// of factual associations" (2023).
    CutEdge {
        /// The layer.
        layer: usize,
        /// The head.
        head: usize,
        /// The position that looks.
        query: usize,
        /// The position that is looked at.
        key: usize,
    },
    /// Values of another run stand in place of this one's. Vig et al., "Investigating gender bias in language models
    /// using causal mediation analysis" (2020).
    Patch {
        /// Where.
        point: HookPoint,
        /// In which layer; `None` outside the blocks.
        layer: Option<usize>,
        /// What; [`Keep`](super::Keep) gets it from a run.
        rows: KeptRows,
    },
    /// A vector is added to the residual stream as it enters a block. Turner et al., "Steering language models with
    /// activation engineering" (2023).
    Steer {
        /// The block.
        layer: usize,
        /// At these positions.
        positions: Range<usize>,
        /// `[d_model]`
        vector: Vec<f32>,
    },
}

/// An observer that makes changes, one after the other.
///
/// ```
/// use glassbox_model::Checkpoint;
/// use glassbox_model::glass::{Intervention, Interventions, Keep, Then};
/// use glassbox_model::hooks::HookPoint;
/// use glassbox_tensor::{Level, Pool};
///
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tiny/llama-text");
/// let model = Checkpoint::open(path)?.run_on(Pool::new(1, Level::detect())?)?;
/// let without = vec![Intervention::AblateHead { layer: 0, head: 1 }];
/// let without = Interventions::new(&model.config, without)?;
///
/// // Changed by the first observer, seen by the second.
/// let mut both = Then(without, Keep::new([(HookPoint::Z, Some(0))])?);
/// model.session(64).feed_observed(&[1, 70, 71], &mut both)?;
/// let z = both.1.rows(HookPoint::Z, Some(0)).unwrap();
/// let head_dim = model.config.head_dim;
/// assert_eq!(z.at(2).unwrap()[head_dim..2 * head_dim], vec![0.0; head_dim]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Interventions {
    list: Vec<Intervention>,
}

impl Interventions {
    /// Will change the runs of a model of this shape.
    ///
    /// # Errors
    /// If the model has no such layer, head, neuron or point, or a vector has another length.
    pub fn new(config: &Config, list: Vec<Intervention>) -> Result<Interventions, ViewError> {
        list.iter().try_for_each(|intervention| intervention.check(config))?;
        Ok(Interventions { list })
    }
}

impl Observer for Interventions {
    fn wants(&self, point: HookPoint, layer: Option<usize>) -> bool {
        self.list.iter().any(|intervention| intervention.touches(point, layer))
    }

    fn see(&mut self, mut observed: Observed<'_>) {
        for intervention in &self.list {
            if intervention.touches(observed.point, observed.layer) {
                intervention.apply(&mut observed);
            }
        }
    }
}

impl Intervention {
    fn touches(&self, at: HookPoint, in_layer: Option<usize>) -> bool {
        let (points, layer): (&[HookPoint], _) = match self {
            Intervention::AblateHead { layer, .. } => (&[HookPoint::Z], Some(*layer)),
            Intervention::AblateNeuron { layer, .. } => (&[HookPoint::MlpPost], Some(*layer)),
            Intervention::AblateMlp { layer } => (&[HookPoint::MlpOut], Some(*layer)),
            Intervention::AblateBlock { layer } => {
                (&[HookPoint::AttentionOut, HookPoint::MlpOut], Some(*layer))
            }
            Intervention::CutEdge { layer, .. } => (&[HookPoint::Scores, HookPoint::Pattern], Some(*layer)),
            Intervention::Patch { point, layer, .. } => (std::slice::from_ref(point), *layer),
            Intervention::Steer { layer, .. } => (&[HookPoint::ResidPre], Some(*layer)),
        };
        layer == in_layer && points.contains(&at)
    }

    fn apply(&self, observed: &mut Observed<'_>) {
        let [tokens, heads, len] = observed.shape;
        let (first, row_len) = (observed.first_position, heads * len);
        match self {
            Intervention::AblateMlp { .. } | Intervention::AblateBlock { .. } => observed.values.fill(0.0),
            Intervention::AblateNeuron { neuron, .. } => {
                observed.values.chunks_exact_mut(row_len).for_each(|row| row[*neuron] = 0.0);
            }
            Intervention::AblateHead { head, .. } => {
                observed.values.chunks_exact_mut(row_len).for_each(|row| row[head * len..][..len].fill(0.0));
            }
            Intervention::CutEdge { head, query, key, .. } => {
                // [heads, tokens, positions]; the exponential of −∞ is tiny and not zero, so both points are set.
                let [_, tokens, positions] = observed.shape;
                if (first..first + tokens).contains(query) {
                    let cut = if observed.point == HookPoint::Scores { f32::NEG_INFINITY } else { 0.0 };
                    observed.values[(head * tokens + query - first) * positions + key] = cut;
                }
            }
            Intervention::Patch { rows, .. } => {
                for (position, row) in (first..).zip(observed.values.chunks_exact_mut(row_len)) {
                    if let Some(other) = rows.at(position) {
                        row.copy_from_slice(other);
                    }
                }
            }
            Intervention::Steer { positions, vector, .. } => {
                for position in positions.start.max(first)..positions.end.min(first + tokens) {
                    let row = &mut observed.values[(position - first) * row_len..][..row_len];
                    row.iter_mut().zip(vector).for_each(|(x, add)| *x += add);
                }
            }
        }
    }

    fn check(&self, config: &Config) -> Result<(), ViewError> {
        let layer = match self {
            Intervention::AblateHead { layer, .. }
            | Intervention::AblateNeuron { layer, .. }
            | Intervention::AblateMlp { layer }
            | Intervention::AblateBlock { layer }
            | Intervention::CutEdge { layer, .. }
            | Intervention::Steer { layer, .. } => Some(*layer),
            Intervention::Patch { layer, .. } => *layer,
        };
        layer.map_or(Ok(()), |layer| check("layer", layer, config.n_layers))?;
        match self {
            Intervention::AblateMlp { .. } | Intervention::AblateBlock { .. } => Ok(()),
            Intervention::AblateHead { head, .. } => check("head", *head, config.n_heads),
            Intervention::AblateNeuron { layer, neuron } => {
                exists(HookPoint::MlpPost, Some(*layer), config)?;
                check("neuron", *neuron, config.d_ff)
            }
            Intervention::CutEdge { head, query, key, .. } => {
                check("head", *head, config.n_heads)?;
                check("position", *query, config.context_length)?;
                if key > query {
                    return Err(ViewError::LooksAhead { query: *query, key: *key });
                }
                Ok(())
            }
            Intervention::Patch { point, layer, rows } => {
                if matches!(point, HookPoint::Scores | HookPoint::Pattern) {
                    return Err(ViewError::Point { point: *point, expected: "row for each token" });
                }
                let inside = !matches!(
                    point,
                    HookPoint::Embed | HookPoint::PositionEmbed | HookPoint::FinalNorm | HookPoint::Logits
                );
                if inside != layer.is_some() {
                    let expected = if inside { "value outside the blocks" } else { "value inside a block" };
                    return Err(ViewError::Point { point: *point, expected });
                }
                exists(*point, *layer, config)?;
                fits(*point, row_len(*point, config), rows.row_len, &rows.values)
            }
            Intervention::Steer { vector, .. } => {
                fits(HookPoint::ResidPre, config.d_model, vector.len(), vector)
            }
        }
    }
}

/// That the model computes a value at this point.
fn exists(point: HookPoint, layer: Option<usize>, config: &Config) -> Result<(), ViewError> {
    if (Name { point, layer }).exists(config) {
        return Ok(());
    }
    let expected = match point {
        HookPoint::PositionEmbed => "value in a model without learned positions",
        HookPoint::RotQ | HookPoint::RotK => "value in a layer without rotary positions",
        HookPoint::MlpPreLinear => "value in a model whose feed-forward layers have no gate",
        HookPoint::ResidMid => "value in a model with a parallel residual",
        HookPoint::AttentionResult | HookPoint::MlpResult => {
            "value in a model without norms behind its layers"
        }
        HookPoint::RouterLogits | HookPoint::ExpertWeights => "value in a model without experts",
        HookPoint::MlpPre | HookPoint::MlpPost => "value in a model with experts",
        _ => "value in this model",
    };
    Err(ViewError::Point { point, expected })
}

/// That `values` are rows of `expected` numbers.
fn fits(point: HookPoint, expected: usize, row_len: usize, values: &[f32]) -> Result<(), ViewError> {
    if row_len != expected || !values.len().is_multiple_of(expected) {
        return Err(ViewError::Length { point, expected, found: values.len() });
    }
    Ok(())
}

/// One observer after the other: the second sees what the first wrote.
#[derive(Clone, Debug, Default)]
pub struct Then<A, B>(
    /// Looks first.
    pub A,
    /// Looks second.
    pub B,
);

impl<A: Observer, B: Observer> Observer for Then<A, B> {
    fn wants(&self, point: HookPoint, layer: Option<usize>) -> bool {
        self.0.wants(point, layer) || self.1.wants(point, layer)
    }

    fn see(&mut self, observed: Observed<'_>) {
        let Observed { point, layer, first_position, shape, values } = observed;
        if self.0.wants(point, layer) {
            self.0.see(Observed { point, layer, first_position, shape, values: &mut *values });
        }
        if self.1.wants(point, layer) {
            self.1.see(Observed { point, layer, first_position, shape, values });
        }
    }
}
