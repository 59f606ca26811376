//! Initial values of the parameters.

use std::sync::Arc;

use crate::plan::Plan;
use crate::random::Random;
use crate::tensors::{Layout, ParameterKind, Parameters, Tensors};

/// Standard deviation of weights and embeddings (Radford et al., 2019).
const STD: f64 = 0.02;

/// Weights and embeddings from N(0, 0.02²), norms 1, biases 0. The standard deviation of layers that add to the
/// residual stream is divided by `√(2 · n_layers)`, since that many additions accumulate. Each tensor has its own
/// random stream.
pub(crate) fn parameters(plan: &Plan, layout: Arc<Layout>, seed: u64) -> Parameters {
    let mut parameters = Tensors::zeros(layout.clone());
    let residual = STD / (2.0 * plan.blocks.len() as f64).sqrt();
    for (index, slot) in layout.slots().iter().enumerate() {
        let adds = |linear: usize| linear == index;
        let to_residual =
            plan.blocks.iter().any(|block| adds(block.attention_out.weight) || adds(block.mlp_out.weight));
        let values = parameters.at_mut(index);
        match slot.kind {
            ParameterKind::Bias => {}
            ParameterKind::Norm if slot.name.ends_with(".bias") => {}
            ParameterKind::Norm => values.fill(1.0 - plan.norm_offset()),
            ParameterKind::Weight | ParameterKind::Embedding => {
                let mut random = Random::part(seed, index as u64);
                let std = if to_residual { residual } else { STD };
                values.iter_mut().for_each(|x| *x = (random.normal() * std) as f32);
            }
        }
    }
    parameters
}
