//! The MLP (feed-forward layer): transforms each token alone, through `d_ff` hidden neurons.
//!
//! A neuron's input weights are a direction that it responds to; its output weights are the vector that it then adds to
//! the residual stream. Geva et al., "Transformer feed-forward layers are key-value memories" (2021).

mod experts;

use glassbox_tensor::ops::{self, Activation};

use crate::hooks::{HookPoint, Observer};
use crate::linear::{Linear, forward_each};
use crate::pass::{Layer, Pass};
use crate::scratch::Scratch;
use crate::spec::Role;
pub use experts::Experts;

/// The parameters of an MLP.
pub enum Mlp {
    /// `down(activation(up(x)))`
    Plain {
        /// `d_model → d_ff`
        up: Linear,
        /// The activation function.
        activation: Activation,
        /// `d_ff → d_model`
        down: Linear,
    },
    /// `down(activation(gate(x)) · up(x))`
    Gated(GatedMlp),
    /// Several gated MLPs, of which a router selects a few for each token.
    Experts(Experts),
}

/// A gated MLP: `down(activation(gate(x)) · up(x))`.
///
/// Shazeer, "GLU variants improve transformer" (2020).
pub struct GatedMlp {
    /// `d_model → d_ff`
    pub gate: Linear,
    /// `d_model → d_ff`
    pub up: Linear,
    /// The gate's activation function.
    pub activation: Activation,
    /// `d_ff → d_model`
    pub down: Linear,
}

impl Layer for Mlp {
    const INPUT: HookPoint = HookPoint::Norm2;
    const BEFORE_POST_NORM: HookPoint = HookPoint::MlpResult;
    const OUTPUT: HookPoint = HookPoint::MlpOut;
    const NORMS: [Role; 2] = [Role::MlpNorm, Role::MlpPostNorm];

    /// `scratch.out = mlp(scratch.normed)`, both `[tokens, d_model]`.
    fn forward<O: Observer>(&self, pass: &mut Pass<'_, '_, O>, scratch: &mut Scratch) {
        // hidden, gated: [tokens, d_ff]
        let Scratch { normed, hidden, gated, out, .. } = scratch;
        match self {
            Mlp::Plain { up, activation, down } => {
                let Pass { team, adapters, hooks, tokens, .. } = pass;
                let neurons = [up.weight.outputs(), 1];
                forward_each(team, adapters, normed, [(up, hidden)]);
                hooks.rows(HookPoint::MlpPre, *tokens, neurons, hidden);
                ops::activate(team, *activation, hidden);
                hooks.rows(HookPoint::MlpPost, *tokens, neurons, hidden);
                forward_each(team, adapters, hidden, [(down, out)]);
            }
            Mlp::Gated(GatedMlp { gate, up, activation, down }) => {
                let Pass { team, adapters, hooks, tokens, .. } = pass;
                let neurons = [up.weight.outputs(), 1];
                forward_each(team, adapters, normed, [(gate, hidden), (up, gated)]);
                hooks.rows(HookPoint::MlpPre, *tokens, neurons, hidden);
                hooks.rows(HookPoint::MlpPreLinear, *tokens, neurons, gated);
                ops::gate(team, *activation, hidden, gated);
                hooks.rows(HookPoint::MlpPost, *tokens, neurons, hidden);
                forward_each(team, adapters, hidden, [(down, out)]);
            }
            Mlp::Experts(experts) => experts.forward(pass, normed, out),
        }
    }
}

impl Mlp {
    /// Its linear layers in order of use, each with the fraction of tokens that use it.
    pub(crate) fn linears(&self) -> Vec<(&Linear, f64)> {
        match self {
            Mlp::Plain { up, down, .. } => vec![(up, 1.0), (down, 1.0)],
            Mlp::Gated(GatedMlp { gate, up, down, .. }) => vec![(gate, 1.0), (up, 1.0), (down, 1.0)],
            Mlp::Experts(experts) => experts.linears(),
        }
    }
}
