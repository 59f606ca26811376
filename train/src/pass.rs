//! The context of a pass over a batch, and the norms, which the blocks and the head share.

use std::borrow::Cow;

use glassbox_tensor::Team;
use glassbox_tensor::ops::{self, Causal};

use crate::batch::Batch;
use crate::network::Network;
use crate::plain::dropout::Dropout;
use crate::plan::NormPlan;
use crate::tensors::Gradients;

/// The context of one pass: network, threads, batch and settings.
#[derive(Clone, Copy)]
pub(crate) struct Pass<'a> {
    pub(crate) network: &'a Network,
    pub(crate) team: &'a Team<'a>,
    pub(crate) batch: &'a Batch,
    pub(crate) recompute: bool,
    /// `None` when only the loss is computed.
    pub(crate) dropout: Option<Dropout>,
}

impl<'a> Pass<'a> {
    pub(crate) fn norm(self, norm: NormPlan, x: &[f32], out: &mut [f32]) {
        let (parameters, epsilon) = (self.network.parameters(), self.network.config().norm_epsilon);
        let weight = self.norm_weight(norm);
        match norm.bias {
            Some(bias) => ops::layer_norm(self.team, x, &weight, parameters.at(bias), epsilon, out),
            None => ops::rms_norm(self.team, x, &weight, epsilon, out),
        }
    }

    /// Adds the gradient of the norm's input to `dx`, and those of its parameters to `gradients`.
    pub(crate) fn norm_backward(
        self,
        norm: NormPlan,
        x: &[f32],
        dy: &[f32],
        dx: &mut [f32],
        gradients: &mut Gradients,
    ) {
        let (weight, epsilon) = (self.norm_weight(norm), self.network.config().norm_epsilon);
        let (mut dweight, mut dbias) = (vec![0.0; weight.len()], vec![0.0; weight.len()]);
        let backward = ops::NormBackward { x, weight: &weight, epsilon, dy };
        match norm.bias {
            Some(_) => ops::layer_norm_backward(self.team, backward, dx, &mut dweight, &mut dbias),
            None => ops::rms_norm_backward(self.team, backward, dx, &mut dweight),
        }
        if self.network.adapters().is_none() {
            ops::add(self.team, gradients.at_mut(norm.weight), &dweight);
            if let Some(bias) = norm.bias {
                ops::add(self.team, gradients.at_mut(bias), &dbias);
            }
        }
    }

    /// The weight of a norm: the stored weight plus its offset.
    fn norm_weight(self, norm: NormPlan) -> Cow<'a, [f32]> {
        let weight = self.network.parameters().at(norm.weight);
        if norm.offset == 0.0 {
            return Cow::Borrowed(weight);
        }
        Cow::Owned(weight.iter().map(|weight| weight + norm.offset).collect())
    }

    pub(crate) fn causal(self, layer: usize) -> Causal {
        let config = self.network.config();
        Causal {
            tokens: self.batch.tokens,
            heads: config.n_heads,
            kv_heads: config.n_kv_heads,
            head_dim: config.head_dim,
            scale: config.score_scale(layer),
        }
    }

    /// Number of tokens in the batch.
    pub(crate) fn rows(self) -> usize {
        self.batch.sequences * self.batch.tokens
    }

    pub(crate) fn d(self) -> usize {
        self.network.config().d_model
    }
}
