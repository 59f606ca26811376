//! A forward pass under way, and what a layer of it is.

use glassbox_tensor::Team;

use crate::adapter::AdapterRows;
use crate::hooks::{HookPoint, Hooks, Observer};
use crate::scratch::Scratch;
use crate::sequences::Sequences;
use crate::spec::{Role, Site};

/// The state of a forward pass.
pub(crate) struct Pass<'p, 's, O> {
    pub(crate) team: &'p Team<'p>,
    /// The adapter of each row.
    pub(crate) adapters: AdapterRows<'p>,
    /// The sequences of the rows, with their caches.
    pub(crate) sequences: Sequences<'p, 's>,
    pub(crate) hooks: Hooks<'p, O>,
    /// Number of rows, of all sequences together.
    pub(crate) tokens: usize,
}

impl<O: Observer> Pass<'_, '_, O> {
    /// The site of a parameter in the current block, or outside the blocks.
    pub(crate) fn site(&self, role: Role) -> Site {
        Site { role, layer: self.hooks.layer, expert: None }
    }

    /// Shows values of shape `[tokens, d_model]` to the observer.
    #[inline(always)]
    pub(crate) fn see_stream(&mut self, point: HookPoint, values: &mut [f32]) {
        let row = values.len() / self.tokens.max(1);
        self.hooks.rows(point, self.tokens, [row, 1], values);
    }
}

/// A layer of a branch: attention or MLP.
pub(crate) trait Layer {
    /// The layer's input, `[tokens, d_model]`.
    const INPUT: HookPoint;
    /// The layer's output before the post norm, `[tokens, d_model]`; observed only if there is a post norm.
    const BEFORE_POST_NORM: HookPoint;
    /// The branch's output, which is added to the residual stream, `[tokens, d_model]`.
    const OUTPUT: HookPoint;
    /// The norms before and after the layer.
    const NORMS: [Role; 2];

    /// Computes `scratch.out` from `scratch.normed`, both `[tokens, d_model]`.
    fn forward<O: Observer>(&self, pass: &mut Pass<'_, '_, O>, scratch: &mut Scratch);
}
