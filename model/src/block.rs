//! A block: attention and an MLP, each added to the residual stream.
//!
//! One vector per token runs through the whole model like a stream. Layers never overwrite it: each reads a normed copy
//! and adds its output. Elhage et al., "A mathematical framework for transformer circuits" (2021).

use glassbox_tensor::ops;

use crate::attention::Attention;
use crate::config::Residual;
use crate::hooks::{HookPoint, Observer};
use crate::mlp::Mlp;
use crate::norm::Norm;
use crate::pass::{Layer, Pass};
use crate::scratch::Scratch;

/// Two branches, and how they join the residual stream.
pub struct Block {
    /// In which tokens exchange information.
    pub attention: Branch<Attention>,
    /// Which transforms each token alone.
    pub mlp: Branch<Mlp>,
    /// How the branches join the stream.
    pub residual: Residual,
}

/// A layer with its norms: `post(layer(pre(x)))`.
pub struct Branch<L> {
    /// The norm before the layer.
    pub pre: Option<Norm>,
    /// The layer.
    pub layer: L,
    /// The norm after the layer (post norm).
    pub post: Option<Norm>,
}

impl Block {
    /// Adds both branches to `scratch.x`, `[tokens, d_model]`.
    pub(crate) fn forward<O: Observer>(&self, pass: &mut Pass<'_, '_, O>, scratch: &mut Scratch) {
        pass.see_stream(HookPoint::ResidPre, &mut scratch.x);
        self.attention.forward(pass, scratch);
        match self.residual {
            Residual::Sequential => {
                ops::add(pass.team, &mut scratch.x, &scratch.out);
                pass.see_stream(HookPoint::ResidMid, &mut scratch.x);
                self.mlp.forward(pass, scratch);
            }
            Residual::Parallel => {
                scratch.attention_out.clone_from(&scratch.out);
                self.mlp.forward(pass, scratch);
                ops::add(pass.team, &mut scratch.x, &scratch.attention_out);
            }
        }
        ops::add(pass.team, &mut scratch.x, &scratch.out);
        pass.see_stream(HookPoint::ResidPost, &mut scratch.x);
    }
}

impl<L> Branch<L> {
    /// `scratch.out = post(layer(pre(scratch.x)))`
    fn forward<O: Observer>(&self, pass: &mut Pass<'_, '_, O>, scratch: &mut Scratch)
    where
        L: Layer,
    {
        match &self.pre {
            Some(norm) => {
                let site = pass.site(L::NORMS[0]);
                pass.adapters.norm(pass.team, site, norm, &scratch.x, &mut scratch.normed);
            }
            None => scratch.normed.copy_from_slice(&scratch.x),
        }
        pass.see_stream(L::INPUT, &mut scratch.normed);
        self.layer.forward(pass, scratch);
        if let Some(norm) = &self.post {
            pass.see_stream(L::BEFORE_POST_NORM, &mut scratch.out);
            let site = pass.site(L::NORMS[1]);
            pass.adapters.norm_in_place(pass.team, site, norm, &mut scratch.out, &mut scratch.normed);
        }
        pass.see_stream(L::OUTPUT, &mut scratch.out);
    }
}
