//! Looking at a run: every named value of the forward pass, from the very code that generates.
//!
//! The forward pass takes an [`Observer`] and hands it each intermediate value as soon as it is there. The
//! observer is a generic parameter, so with [`Blind`] nothing of it is left in the machine code. What an
//! observer writes into a value, the rest of the pass computes with.

use std::fmt;

/// A place in the forward pass, by TransformerLens's names (without `hook_`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
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
    /// `attn.scores`: what each token thinks of each, `[n_heads, tokens, positions]`; −∞ where it may not look.
    Scores,
    /// `attn.pattern`: how much each token looks at each, `[n_heads, tokens, positions]`.
    Pattern,
    /// `attn.z`: what each head brings, `[tokens, n_heads, head_dim]`.
    Z,
    /// `attn_out`: what attention adds to the residual stream, `[tokens, d_model]`.
    AttentionOut,
    /// `resid_mid`: the residual stream between attention and feed-forward, `[tokens, d_model]`.
    ResidMid,
    /// `ln2.normalized`: what the feed-forward layer reads, `[tokens, d_model]`.
    Norm2,
    /// `mlp.pre`: its neurons before the activation function, `[tokens, d_ff]`.
    MlpPre,
    /// `mlp.pre_linear`: the ungated half of a gated layer, `[tokens, d_ff]`.
    MlpPreLinear,
    /// `mlp.post`: its neurons, `[tokens, d_ff]`.
    MlpPost,
    /// `mlp_out`: what the feed-forward layer adds to the residual stream, `[tokens, d_model]`.
    MlpOut,
    /// `resid_post`: the residual stream leaving a block, `[tokens, d_model]`.
    ResidPost,
    /// `ln_final.normalized`: what the unembedding reads, `[tokens, d_model]`.
    NormFinal,
    /// `logits`: a score for every possible next token, `[tokens, vocab_size]`.
    Logits,
}

impl Place {
    /// The name, without the block.
    pub fn name(self) -> &'static str {
        match self {
            Place::Embed => "embed",
            Place::PositionEmbed => "pos_embed",
            Place::ResidPre => "resid_pre",
            Place::Norm1 => "ln1.normalized",
            Place::Q => "attn.q",
            Place::K => "attn.k",
            Place::V => "attn.v",
            Place::RotQ => "attn.rot_q",
            Place::RotK => "attn.rot_k",
            Place::Scores => "attn.scores",
            Place::Pattern => "attn.pattern",
            Place::Z => "attn.z",
            Place::AttentionOut => "attn_out",
            Place::ResidMid => "resid_mid",
            Place::Norm2 => "ln2.normalized",
            Place::MlpPre => "mlp.pre",
            Place::MlpPreLinear => "mlp.pre_linear",
            Place::MlpPost => "mlp.post",
            Place::MlpOut => "mlp_out",
            Place::ResidPost => "resid_post",
            Place::NormFinal => "ln_final.normalized",
            Place::Logits => "logits",
        }
    }
}

/// A value of the forward pass, lent to an observer.
pub struct Observed<'a> {
    /// Where in the pass.
    pub place: Place,
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
            Some(layer) => write!(f, "blocks.{layer}.{}", self.place.name()),
            None => f.write_str(self.place.name()),
        }
    }
}

/// Somebody who looks at the values of a forward pass.
pub trait Observer: Send {
    /// Whether the value at this place is wanted; it is not even prepared if it is not.
    fn wants(&self, place: Place, layer: Option<usize>) -> bool;
    /// Is shown a wanted value.
    fn see(&mut self, observed: Observed<'_>);
}

/// Nobody looks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Blind;

impl Observer for Blind {
    #[inline(always)]
    fn wants(&self, _: Place, _: Option<usize>) -> bool {
        false
    }
    #[inline(always)]
    fn see(&mut self, _: Observed<'_>) {}
}

/// Sees everything through a closure.
impl<F: FnMut(Observed<'_>) + Send> Observer for F {
    fn wants(&self, _: Place, _: Option<usize>) -> bool {
        true
    }
    fn see(&mut self, observed: Observed<'_>) {
        self(observed);
    }
}

/// An observer together with where the pass stands: what the layers call.
pub(crate) struct Watch<'a, O> {
    pub(crate) observer: &'a mut O,
    pub(crate) first_position: usize,
    pub(crate) layer: Option<usize>,
}

impl<O: Observer> Watch<'_, O> {
    /// Whether the value at this place of the current layer is wanted.
    #[inline(always)]
    pub(crate) fn wants(&self, place: Place) -> bool {
        self.observer.wants(place, self.layer)
    }

    /// Shows `values`, `rows` rows of which each is `[shape[0], shape[1]]`.
    #[inline(always)]
    pub(crate) fn rows(&mut self, place: Place, rows: usize, shape: [usize; 2], values: &mut [f32]) {
        self.see(place, [rows, shape[0], shape[1]], values);
    }

    /// Shows `values` of shape `shape`.
    #[inline(always)]
    pub(crate) fn see(&mut self, place: Place, shape: [usize; 3], values: &mut [f32]) {
        if self.wants(place) {
            let (layer, first_position) = (self.layer, self.first_position);
            self.observer.see(Observed { place, layer, first_position, shape, values });
        }
    }
}
