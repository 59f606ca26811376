//! The hook points of the forward pass, and the observers that receive the values there.

use std::fmt;

/// A point in the forward pass, by TransformerLens's names (without `hook_`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HookPoint {
    /// `embed`: token embeddings, `[tokens, d_model]`.
    Embed,
    /// `pos_embed`: position embeddings, `[tokens, d_model]` (learned positions only).
    PositionEmbed,
    /// `resid_pre`: the residual stream entering a block, `[tokens, d_model]`.
    ResidPre,
    /// `ln1.normalized`: the input of attention, `[tokens, d_model]`.
    Norm1,
    /// `attn.q`: queries before rotation, `[tokens, n_heads, head_dim]`.
    Q,
    /// `attn.k`: keys before rotation, `[tokens, n_kv_heads, head_dim]`.
    K,
    /// `attn.v`: values, `[tokens, n_kv_heads, head_dim]`.
    V,
    /// `attn.rot_q`: queries after rotation, same shape (rotary embedding only).
    RotQ,
    /// `attn.rot_k`: keys after rotation, same shape (rotary embedding only).
    RotK,
    /// `attn.scores`: scaled dot products of queries and keys, `[n_heads, tokens, positions]`; −∞ where masked.
    Scores,
    /// `attn.pattern`: attention weights, `[n_heads, tokens, positions]`.
    Pattern,
    /// `attn.z`: each head's weighted sum of values, `[tokens, n_heads, head_dim]`.
    Z,
    /// `attn.out`: attention's output before its post norm, `[tokens, d_model]` (only with a post norm).
    AttentionResult,
    /// `attn_out`: attention's output, which is added to the residual stream, `[tokens, d_model]`.
    AttentionOut,
    /// `resid_mid`: the residual stream between attention and MLP, `[tokens, d_model]` (not with a parallel
    /// residual).
    ResidMid,
    /// `ln2.normalized`: the input of the MLP, `[tokens, d_model]`.
    Norm2,
    /// `mlp.pre`: hidden values before the activation function, `[tokens, d_ff]` (not with experts).
    MlpPre,
    /// `mlp.pre_linear`: the linear factor of a gated MLP, `[tokens, d_ff]`.
    MlpPreLinear,
    /// `mlp.post`: hidden values after activation and gate, `[tokens, d_ff]` (not with experts).
    MlpPost,
    /// `mlp.router_logits`: a logit for each expert, `[tokens, experts]` (experts only).
    RouterLogits,
    /// `mlp.expert_weights`: the factor of each expert's output, 0 for those not selected, `[tokens, experts]` (experts
    /// only). An observer can disable an expert by setting its weight to 0.
    ExpertWeights,
    /// `mlp.out`: the MLP's output before its post norm, `[tokens, d_model]` (only with a post norm).
    MlpResult,
    /// `mlp_out`: the MLP's output, which is added to the residual stream, `[tokens, d_model]`.
    MlpOut,
    /// `resid_post`: the residual stream leaving a block, `[tokens, d_model]`.
    ResidPost,
    /// `ln_final.normalized`: the input of the unembedding, `[tokens, d_model]`.
    FinalNorm,
    /// `logits`: the logits of the next token, `[tokens, vocab_size]`.
    Logits,
}

impl HookPoint {
    /// The name without the block.
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

/// An intermediate value, passed to an observer.
pub struct Observed<'a> {
    /// The hook point.
    pub point: HookPoint,
    /// The block, counted from 0; `None` outside the blocks.
    pub layer: Option<usize>,
    /// The position of the first token of this pass.
    pub first_position: usize,
    /// The dimensions of `values`, row-major; trailing dimensions of 1 fill up to three.
    pub shape: [usize; 3],
    /// The values. The rest of the pass uses what an observer writes here.
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

/// Receives intermediate values of a forward pass.
pub trait Observer: Send {
    /// Whether the value at this point is wanted. Values that are not wanted are not prepared.
    fn wants(&self, point: HookPoint, layer: Option<usize>) -> bool;
    /// Receives a wanted value. It must not feed a session of the same thread pool: that panics.
    fn see(&mut self, observed: Observed<'_>);
}

/// Wants no values and costs nothing.
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

/// A closure receives all values.
impl<F: FnMut(Observed<'_>) + Send> Observer for F {
    fn wants(&self, _: HookPoint, _: Option<usize>) -> bool {
        true
    }
    fn see(&mut self, observed: Observed<'_>) {
        self(observed);
    }
}

/// An observer, and the current position in the pass.
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

    /// Shows `values`: `rows` rows of shape `[shape[0], shape[1]]`.
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
