//! Hooks: every named value of the forward pass, from the very code that generates.
//!
//! The forward pass takes an [`Observer`] and hands it each intermediate value as soon as it is computed. The observer is a
//! generic parameter, so with [`NoObserver`] nothing of it is left in the machine code. What an observer writes into a
//! value, the rest of the pass computes with.

use std::fmt;

/// A point in the forward pass, by TransformerLens's names (without `hook_`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HookPoint {
    /// `embed`: the tokens' vectors, `[tokens, d_model]`.
    Embed,
    /// `pos_embed`: the positions' vectors, `[tokens, d_model]` (learned positions only).
    PositionEmbed,
    /// `resid_pre`: the residual stream entering a block, `[tokens, d_model]`.
    ResidPre,
    /// `ln1.normalized`: what attention reads, `[tokens, d_model]`.
    Norm1,
    /// `attn.q`: queries before rotation, `[tokens, n_heads, head_dim]`.
    Q,
    /// `attn.k`: keys before rotation, `[tokens, n_kv_heads, head_dim]`.
    K,
    /// `attn.v`: values, `[tokens, n_kv_heads, head_dim]`.
    V,
    /// `attn.rot_q`: queries turned by their position (rotary positions only).
    RotQ,
    /// `attn.rot_k`: keys turned by their position (rotary positions only).
    RotK,
    /// `attn.scores`: scaled dot products of queries and keys, `[n_heads, tokens, positions]`; −∞ where masked.
    Scores,
    /// `attn.pattern`: attention weights, `[n_heads, tokens, positions]`.
    Pattern,
    /// `attn.z`: each head's weighted sum of values, `[tokens, n_heads, head_dim]`.
    Z,
    /// `attn.out`: attention's result in front of its post norm, `[tokens, d_model]` (only with such a norm).
    AttentionResult,
    /// `attn_out`: what attention adds to the residual stream, `[tokens, d_model]`.
    AttentionOut,
    /// `resid_mid`: the residual stream between attention and feed-forward, `[tokens, d_model]` (not with a
    /// parallel residual).
    ResidMid,
    /// `ln2.normalized`: what the feed-forward layer reads, `[tokens, d_model]`.
    Norm2,
    /// `mlp.pre`: its neurons before the activation function, `[tokens, d_ff]` (not with experts).
    MlpPre,
    /// `mlp.pre_linear`: the ungated half of a gated layer, `[tokens, d_ff]`.
    MlpPreLinear,
    /// `mlp.post`: its neurons, `[tokens, d_ff]` (not with experts).
    MlpPost,
    /// `mlp.router_logits`: a score for each expert, `[tokens, experts]` (experts only).
    RouterLogits,
    /// `mlp.expert_weights`: what each expert's result is multiplied by, 0 for those not chosen, `[tokens, experts]`
    /// (experts only). A weight set to 0 by an observer turns the expert off.
    ExpertWeights,
    /// `mlp.out`: the feed-forward layer's result in front of its post norm, `[tokens, d_model]` (only with such a norm).
    MlpResult,
    /// `mlp_out`: what the feed-forward layer adds to the residual stream, `[tokens, d_model]`.
    MlpOut,
    /// `resid_post`: the residual stream leaving a block, `[tokens, d_model]`.
    ResidPost,
    /// `ln_final.normalized`: what the unembedding reads, `[tokens, d_model]`.
    FinalNorm,
    /// `logits`: a score for every possible next token, `[tokens, vocab_size]`.
    Logits,
}

impl HookPoint {
    /// The name, without the block.
    pub fn name(self) -> &'static str {
        match self {
            HookPoint::Embed => "embed",
            HookPoint::PositionEmbed => "pos_embed",
            HookPoint::ResidPre => "resid_pre",
            HookPoint::Norm1 => "ln1.normalized",
            HookPoint::Q => "attn.q",
            HookPoint::K => "attn.k",
            HookPoint::V => "attn.v",
            HookPoint::RotQ => "attn.rot_q",
            HookPoint::RotK => "attn.rot_k",
            HookPoint::Scores => "attn.scores",
            HookPoint::Pattern => "attn.pattern",
            HookPoint::Z => "attn.z",
            HookPoint::AttentionResult => "attn.out",
            HookPoint::AttentionOut => "attn_out",
            HookPoint::ResidMid => "resid_mid",
            HookPoint::Norm2 => "ln2.normalized",
            HookPoint::MlpPre => "mlp.pre",
            HookPoint::MlpPreLinear => "mlp.pre_linear",
            HookPoint::MlpPost => "mlp.post",
            HookPoint::RouterLogits => "mlp.router_logits",
            HookPoint::ExpertWeights => "mlp.expert_weights",
            HookPoint::MlpResult => "mlp.out",
            HookPoint::MlpOut => "mlp_out",
            HookPoint::ResidPost => "resid_post",
            HookPoint::FinalNorm => "ln_final.normalized",
            HookPoint::Logits => "logits",
        }
    }
}

/// A value of the forward pass, lent to an observer.
pub struct Observed<'a> {
    /// Where in the pass.
    pub point: HookPoint,
    /// In which block, counted from 0; `None` outside the blocks.
    pub layer: Option<usize>,
    /// The position of the first token of this pass.
    pub first_position: usize,
    /// The dimensions of `values`, row-major; one of 1 fills up at the end.
    pub shape: [usize; 3],
    /// The numbers. What is written here is computed with from here on.
    pub values: &'a mut [f32],
}

impl fmt::Display for Observed<'_> {
    /// The full name, such as `blocks.3.attn.pattern`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.layer {
            Some(layer) => write!(f, "blocks.{layer}.{}", self.point.name()),
            None => f.write_str(self.point.name()),
        }
    }
}

/// Receives values of a forward pass.
pub trait Observer: Send {
    /// Whether the value at this point is wanted. One that is not is not even prepared.
    fn wants(&self, point: HookPoint, layer: Option<usize>) -> bool;
    /// Receives a wanted value. It must not feed a session of the same thread pool: that panics.
    fn see(&mut self, observed: Observed<'_>);
}

/// Receives nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoObserver;

impl Observer for NoObserver {
    #[inline(always)]
    fn wants(&self, _: HookPoint, _: Option<usize>) -> bool {
        false
    }
    #[inline(always)]
    fn see(&mut self, _: Observed<'_>) {}
}

/// A closure receives everything.
impl<F: FnMut(Observed<'_>) + Send> Observer for F {
    fn wants(&self, _: HookPoint, _: Option<usize>) -> bool {
        true
    }
    fn see(&mut self, observed: Observed<'_>) {
        self(observed);
    }
}

/// An observer together with where the pass is: what the layers call.
pub(crate) struct Hooks<'a, O> {
    pub(crate) observer: &'a mut O,
    pub(crate) first_position: usize,
    pub(crate) layer: Option<usize>,
}

impl<O: Observer> Hooks<'_, O> {
    /// Whether the value at this point of the current layer is wanted.
    #[inline(always)]
    pub(crate) fn wants(&self, point: HookPoint) -> bool {
        self.observer.wants(point, self.layer)
    }

    /// Shows `values`, `rows` rows of which each is `[shape[0], shape[1]]`.
    #[inline(always)]
    pub(crate) fn rows(&mut self, point: HookPoint, rows: usize, shape: [usize; 2], values: &mut [f32]) {
        self.see(point, [rows, shape[0], shape[1]], values);
    }

    /// Shows `values` of shape `shape`.
    #[inline(always)]
    pub(crate) fn see(&mut self, point: HookPoint, shape: [usize; 3], values: &mut [f32]) {
        if self.wants(point) {
            let (layer, first_position) = (self.layer, self.first_position);
            self.observer.see(Observed { point, layer, first_position, shape, values });
        }
    }
}
