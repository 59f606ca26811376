//! A block: attention, then feed-forward, each added to the residual stream.
//!
//! Nothing in the stream is ever overwritten, only added to: one vector per token runs through the whole model like a
//! stream, and every layer reads a normed copy of it. Elhage et al., "A mathematical framework for transformer circuits"
//! (2021).

use glassbox_tensor::{Team, ops};

use crate::adapter::AdapterRows;
use crate::attention::Attention;
use crate::config::Residual;
use crate::hooks::{HookPoint, Hooks, Observer};
use crate::mlp::Mlp;
use crate::norm::Norm;
use crate::scratch::Scratch;
use crate::sequences::Sequences;

/// Two branches, and how they join the residual stream.
pub struct Block {
    /// Tokens exchange information.
    pub attention: Branch<Attention>,
    /// Each token alone.
    pub mlp: Branch<Mlp>,
    /// How the branches join the stream.
    pub residual: Residual,
}

/// A layer with its norms: `post(layer(pre(x)))`.
pub struct Branch<L> {
    /// In front of the layer.
    pub pre: Option<Norm>,
    /// The layer.
    pub layer: L,
    /// Behind the layer.
    pub post: Option<Norm>,
}

/// What a branch may hold.
pub(crate) trait Layer {
    /// What the layer reads, `[tokens, d_model]`.
    const INPUT: HookPoint;
    /// The layer's result in front of the branch's post norm, `[tokens, d_model]`; observed only if there is one.
    const BEFORE_POST_NORM: HookPoint;
    /// What the branch adds to the residual stream, `[tokens, d_model]`.
    const OUTPUT: HookPoint;

    /// Computes `scratch.out` from `scratch.normed`, both `[tokens, d_model]`.
    fn forward<O: Observer>(&self, pass: &mut Pass<'_, '_, O>, scratch: &mut Scratch);
}

/// A forward pass under way.
pub(crate) struct Pass<'p, 's, O> {
    pub(crate) team: &'p Team<'p>,
    /// Which rows run with which adapter.
    pub(crate) adapters: AdapterRows<'p>,
    /// Which rows are whose, and the caches.
    pub(crate) sequences: Sequences<'p, 's>,
    pub(crate) hooks: Hooks<'p, O>,
    /// Rows of the pass, of all sequences.
    pub(crate) tokens: usize,
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
            Some(norm) => norm.forward(pass.team, &scratch.x, &mut scratch.normed),
            None => scratch.normed.copy_from_slice(&scratch.x),
        }
        pass.see_stream(L::INPUT, &mut scratch.normed);
        self.layer.forward(pass, scratch);
        if let Some(norm) = &self.post {
            pass.see_stream(L::BEFORE_POST_NORM, &mut scratch.out);
            norm.forward_in_place(pass.team, &mut scratch.out, &mut scratch.normed);
        }
        pass.see_stream(L::OUTPUT, &mut scratch.out);
    }
}

impl<O: Observer> Pass<'_, '_, O> {
    /// Shows values of shape `[tokens, d_model]`.
    #[inline(always)]
    pub(crate) fn see_stream(&mut self, point: HookPoint, values: &mut [f32]) {
        let row = values.len() / self.tokens.max(1);
        self.hooks.rows(point, self.tokens, [row, 1], values);
    }
}
