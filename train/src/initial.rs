//! What parameters are before anything is learnt.

use std::sync::Arc;

use crate::plan::Plan;
use crate::random::Random;
use crate::tensors::{Kind, Layout, Parameters, Tensors};

/// The spread of weights and embeddings (Radford et al., 2019).
const SPREAD: f64 = 0.02;

/// Weights and embeddings from N(0, 0.02), norms 1, biases 0. Layers that add to the residual stream start
/// smaller by `√(2 · n_layers)`, since that many additions pile up. Each tensor has a stream of random
/// numbers of its own.
pub(crate) fn parameters(plan: &Plan, layout: Arc<Layout>, seed: u64) -> Parameters {
    let mut parameters = Tensors::zeros(layout.clone());
    let residual = SPREAD / (2.0 * plan.blocks.len() as f64).sqrt();
    for (index, slot) in layout.slots().iter().enumerate() {
        let adds = |linear: usize| linear == index;
        let to_residual =
            plan.blocks.iter().any(|block| adds(block.attention_out.weight) || adds(block.mlp_out.weight));
        let values = parameters.at_mut(index);
        match slot.kind {
            Kind::Bias => {}
            Kind::Norm if slot.name.ends_with(".bias") => {}
            Kind::Norm => values.fill(1.0 - plan.norm_offset()),
            Kind::Weight | Kind::Embedding => {
                let mut random = Random::part(seed, index as u64);
                let spread = if to_residual { residual } else { SPREAD };
                values.iter_mut().for_each(|x| *x = (random.normal() * spread) as f32);
            }
        }
    }
    parameters
}
