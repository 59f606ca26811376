//! LoRA adapters: a trainable low-rank product beside each frozen weight matrix.
//!
//! Hu et al., "LoRA: Low-rank adaptation of large language models" (2021): a linear layer's
//! `y = x · Wᵀ` becomes `y = x · Wᵀ + alpha/rank · (x · Aᵀ) · Bᵀ` with `A` `[rank, inputs]` and `B`
//! `[outputs, rank]`. `B` starts at zero, so a new adapter does not change the output.

use std::sync::Arc;

use crate::error::Error;
use crate::plan::{LinearPlan, Plan};
use crate::random::Random;
use crate::tensors::{Layout, ParameterKind, Parameters, Tensors};

/// Rank and scale of the adapters, and the layers that get one.
#[derive(Clone, Debug, PartialEq)]
pub struct LoraConfig {
    /// The inner dimension of `B · A`.
    pub rank: usize,
    /// The product is scaled by `alpha / rank`.
    pub alpha: f64,
    /// The layers that get an adapter, by the last component of their names, such as `q_proj` or `c_attn`; empty: all
    /// linear layers.
    pub targets: Vec<String>,
}

/// The adapters of a network. Their tensors have the names of the PEFT library.
#[derive(Clone, Debug, PartialEq)]
pub struct Adapters {
    config: LoraConfig,
    pub(crate) tensors: Parameters,
    /// For each base tensor, the indices of its A and B.
    pairs: Vec<Option<[usize; 2]>>,
}

/// One layer's adapter: the indices of its tensors, and its scale.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair {
    pub(crate) a: usize,
    pub(crate) b: usize,
    pub(crate) rank: usize,
    pub(crate) scale: f32,
}

impl Adapters {
    /// Initialises the adapters of a network's layers: A uniform in ±1/√inputs, B zero.
    pub(crate) fn new(plan: &Plan, base: &Layout, config: LoraConfig, seed: u64) -> Result<Adapters, Error> {
        if config.rank == 0 || config.rank > 1 << 16 {
            let found = config.rank as f64;
            return Err(Error::Setting { name: "the LoRA rank", expected: "1 to 65536", found });
        }
        if !config.alpha.is_finite() {
            return Err(Error::Setting {
                name: "LoRA's alpha",
                expected: "a finite number",
                found: config.alpha,
            });
        }
        let mut layout = Layout::default();
        let mut pairs = vec![None; base.slots().len()];
        for linear in plan.blocks.iter().flat_map(|block| block.linears()) {
            let name = base.slots()[linear.weight].name.trim_end_matches(".weight");
            let part = name.rsplit('.').next().unwrap_or(name);
            if !config.targets.is_empty() && !config.targets.iter().any(|target| target == part) {
                continue;
            }
            let mut push = |kind: &str, shape: [usize; 2]| {
                layout.push(format!("base_model.model.{name}.{kind}.weight"), &shape, ParameterKind::Weight)
            };
            let a = push("lora_A", [config.rank, linear.shape.inputs]);
            let b = push("lora_B", [linear.shape.outputs, config.rank]);
            pairs[linear.weight] = Some([a, b]);
        }
        if layout.is_empty() {
            let problem = format!("no linear layer matches the LoRA targets {:?}", config.targets);
            return Err(Error::Contradiction { problem });
        }
        let mut tensors = Tensors::zeros(Arc::new(layout));
        for (index, slot) in tensors.layout().clone().slots().iter().enumerate().step_by(2) {
            let mut random = Random::part(seed, index as u64);
            let bound = 1.0 / (slot.shape[1] as f64).sqrt();
            let values = tensors.at_mut(index).iter_mut();
            values.for_each(|x| *x = ((2.0 * random.uniform() - 1.0) * bound) as f32);
        }
        Ok(Adapters { config, tensors, pairs })
    }

    /// Rank, alpha and targets.
    pub fn config(&self) -> &LoraConfig {
        &self.config
    }

    /// The matrices, `base_model.model.….lora_A.weight` and `….lora_B.weight` of each layer, in the order of the
    /// layers.
    pub fn tensors(&self) -> &Parameters {
        &self.tensors
    }

    /// The adapter of a layer, if it has one.
    pub(crate) fn pair(&self, linear: &LinearPlan) -> Option<Pair> {
        let [a, b] = self.pairs[linear.weight]?;
        let scale = (self.config.alpha / self.config.rank as f64) as f32;
        Some(Pair { a, b, rank: self.config.rank, scale })
    }
}
