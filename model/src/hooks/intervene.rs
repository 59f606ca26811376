//! Interventions: ablate a component of the model, or patch a value into a run.
//!
//! An observer changes values, and the rest of the pass uses them. Interventions apply to the prompt and to every later
//! token, so the KV cache is that of the changed model.

use std::ops::Range;

use super::keep::KeptRows;
use super::name::{Name, row_len};
use super::part::Part;
use super::point::{HookPoint, Observed, Observer};
use super::view_error::{ViewError, check};
use crate::config::Config;

/// One intervention.
#[derive(Clone, Debug, PartialEq)]
pub enum Intervention {
    /// Ablates a part: sets its values to zero, at all positions.
    Ablate(Part),
    /// Cuts an attention edge: the score becomes −∞ and the weight 0, and the softmax renormalises the others. A token
    /// without any edge gets zero from the head. Geva et al., "Dissecting recall of factual associations" (2023).
    CutEdge {
        /// The layer.
        layer: usize,
        /// The head.
        head: usize,
        /// The query's position.
        query: usize,
        /// The key's position.
        key: usize,
    },
    /// Patches values of another run into this one. Vig et al., "Investigating gender bias in language models
    /// using causal mediation analysis" (2020).
    Patch {
        /// The hook point.
        point: HookPoint,
        /// The layer; `None` outside the blocks.
        layer: Option<usize>,
        /// The values; [`Keep`](super::Keep) records them.
        rows: KeptRows,
    },
    /// Adds a vector to the residual stream before a block (steering). Turner et al., "Steering language models with
    /// activation engineering" (2023).
    Steer {
        /// The block.
        layer: usize,
        /// The positions.
        positions: Range<usize>,
        /// `[d_model]`
        vector: Vec<f32>,
    },
}

/// Interventions that apply in order. They are an observer; a [`Runtime`](crate::Runtime) with interventions applies
/// them in all its sessions, so that every view shows the changed model.
///
/// ```
/// use glassbox_model::Checkpoint;
/// use glassbox_model::glass::{Intervention, Interventions, Keep, Then};
/// use glassbox_model::hooks::HookPoint;
/// use glassbox_tensor::{Level, Pool};
///
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tiny/llama-text");
/// let model = Checkpoint::open(path)?.run_on(Pool::new(1, Level::detect())?)?;
/// let without = vec![Intervention::Ablate("head 0.1".parse()?)];
/// let without = Interventions::new(&model.config, without)?;
///
/// // The first observer changes values, the second records them.
/// let mut both = Then(without, Keep::new([(HookPoint::Z, Some(0))])?);
/// model.session(64).feed_observed(&[1, 70, 71], &mut both)?;
/// let z = both.1.rows(HookPoint::Z, Some(0)).unwrap();
/// let head_dim = model.config.head_dim;
/// assert_eq!(z.at(2).unwrap()[head_dim..2 * head_dim], vec![0.0; head_dim]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Interventions {
    list: Vec<Intervention>,
}

impl Interventions {
    /// Checks the interventions against a configuration.
    ///
    /// # Errors
    /// If the model has no such layer, head, neuron or point, or a vector has the wrong length.
    pub fn new(config: &Config, list: Vec<Intervention>) -> Result<Interventions, ViewError> {
        list.iter().try_for_each(|intervention| intervention.check(config))?;
        Ok(Interventions { list })
    }

    /// Interventions that are known to match the model.
    pub(crate) fn checked(list: Vec<Intervention>) -> Interventions {
        Interventions { list }
    }

    /// The interventions, in the order in which they apply.
    pub fn list(&self) -> &[Intervention] {
        &self.list
    }

    /// Whether one of them changes the value at this point.
    pub fn touch(&self, point: HookPoint, layer: Option<usize>) -> bool {
        self.list.iter().any(|intervention| intervention.touches(point, layer))
    }

    /// Checks that none changes the final norm or the logits, which the lens and the attribution compute themselves.
    pub(crate) fn check_in_stream(&self) -> Result<(), ViewError> {
        match [HookPoint::FinalNorm, HookPoint::Logits].into_iter().find(|&point| self.touch(point, None)) {
            Some(point) => Err(ViewError::AfterStream { point }),
            None => Ok(()),
        }
    }

    /// Changes a value.
    pub(crate) fn apply(&self, observed: &mut Observed<'_>) {
        for intervention in &self.list {
            if intervention.touches(observed.point, observed.layer) {
                intervention.apply(observed);
            }
        }
    }
}

impl Observer for Interventions {
    fn wants(&self, point: HookPoint, layer: Option<usize>) -> bool {
        self.touch(point, layer)
    }

    fn see(&mut self, mut observed: Observed<'_>) {
        self.apply(&mut observed);
    }
}

/// The observer of a run with interventions: `then` gets the changed values.
pub(crate) struct Intervened<'a> {
    pub(crate) interventions: &'a Interventions,
    pub(crate) then: &'a mut dyn Observer,
}

impl Observer for Intervened<'_> {
    fn wants(&self, point: HookPoint, layer: Option<usize>) -> bool {
        self.interventions.touch(point, layer) || self.then.wants(point, layer)
    }

    fn see(&mut self, mut observed: Observed<'_>) {
        self.interventions.apply(&mut observed);
        if self.then.wants(observed.point, observed.layer) {
            self.then.see(observed);
        }
    }
}

impl Intervention {
    fn touches(&self, at: HookPoint, in_layer: Option<usize>) -> bool {
        let (points, layer): (&[HookPoint], _) = match self {
            Intervention::Ablate(part) => (part.points(), Some(part.layer())),
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
            Intervention::Ablate(part) => part.ablate([heads, len], observed.values),
            Intervention::CutEdge { head, query, key, .. } => {
                // [heads, tokens, positions]; our exp(−∞) is tiny but not zero, so both points are set.
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

    /// Checks the intervention against a configuration.
    ///
    /// # Errors
    /// As [`Interventions::new`].
    pub fn check(&self, config: &Config) -> Result<(), ViewError> {
        let layer = match self {
            Intervention::Ablate(part) => return part.check(config),
            Intervention::CutEdge { layer, .. } | Intervention::Steer { layer, .. } => Some(*layer),
            Intervention::Patch { layer, .. } => *layer,
        };
        layer.map_or(Ok(()), |layer| check("layer", layer, config.n_layers))?;
        match self {
            Intervention::Ablate(_) => Ok(()),
            Intervention::CutEdge { layer, head, query, key } => {
                Part::Head { layer: *layer, head: *head }.check(config)?;
                check("position", *query, config.context_length)?;
                if key > query {
                    return Err(ViewError::FutureKey { query: *query, key: *key });
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

/// Checks that the model computes a value at this point.
fn exists(point: HookPoint, layer: Option<usize>, config: &Config) -> Result<(), ViewError> {
    if (Name { point, layer }).exists(config) {
        return Ok(());
    }
    let expected = match point {
        HookPoint::PositionEmbed => "value in a model without learned positions",
        HookPoint::RotQ | HookPoint::RotK => "value in a layer without rotary embedding",
        HookPoint::MlpPreLinear => "value in a model without gated MLPs",
        HookPoint::ResidMid => "value in a model with a parallel residual",
        HookPoint::AttentionResult | HookPoint::MlpResult => "value in a model without post norms",
        HookPoint::RouterLogits | HookPoint::ExpertWeights => "value in a model without experts",
        HookPoint::MlpPre | HookPoint::MlpPost => "value in a model with experts",
        _ => "value in this model",
    };
    Err(ViewError::Point { point, expected })
}

/// Checks that `values` are rows of `expected` elements.
fn fits(point: HookPoint, expected: usize, row_len: usize, values: &[f32]) -> Result<(), ViewError> {
    if row_len != expected || !values.len().is_multiple_of(expected) {
        return Err(ViewError::Length { point, expected, found: values.len() });
    }
    Ok(())
}

/// Two observers in sequence: the second gets the values that the first wrote.
#[derive(Clone, Debug, Default)]
pub struct Then<A, B>(
    /// Called first.
    pub A,
    /// Called second.
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
