//! The names of a model's values, in the order of computation.

use std::fmt;

use super::point::{HookPoint, Observed};
use crate::config::{Config, MlpKind, NormPlacement, Residual};

/// The name of a value: the hook point, and the block if it is inside one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Name {
    /// The hook point.
    pub point: HookPoint,
    /// The block, counted from 0; `None` outside the blocks.
    pub layer: Option<usize>,
}

impl fmt::Display for Name {
    /// As the name of an [`Observed`] value, such as `blocks.3.attn.pattern`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shape = [0; 3];
        Observed { point: self.point, layer: self.layer, first_position: 0, shape, values: &mut [] }.fmt(f)
    }
}

impl Name {
    /// All values of a model, in the order of computation.
    pub fn all(config: &Config) -> Vec<Name> {
        let outside = |point| Name { point, layer: None };
        let mut names = vec![outside(HookPoint::Embed)];
        if config.learned_positions {
            names.push(outside(HookPoint::PositionEmbed));
        }
        for layer in 0..config.n_layers {
            names.extend(in_block(config, layer).map(|point| Name { point, layer: Some(layer) }));
        }
        names.extend([HookPoint::FinalNorm, HookPoint::Logits].map(outside));
        names
    }

    /// Whether a model computes this value.
    pub fn exists(self, config: &Config) -> bool {
        match (self.point, self.layer) {
            (HookPoint::PositionEmbed, None) => config.learned_positions,
            (HookPoint::Embed | HookPoint::FinalNorm | HookPoint::Logits, None) => true,
            (point, Some(layer)) if layer < config.n_layers => {
                in_block(config, layer).any(|here| here == point)
            }
            _ => false,
        }
    }

    /// The dimensions of the value over a sequence of `tokens` tokens in one pass, as [`HookPoint`] gives them.
    pub fn shape(self, config: &Config, tokens: usize) -> Vec<usize> {
        match self.point {
            HookPoint::Q | HookPoint::RotQ | HookPoint::Z => vec![tokens, config.n_heads, config.head_dim],
            HookPoint::K | HookPoint::V | HookPoint::RotK => vec![tokens, config.n_kv_heads, config.head_dim],
            HookPoint::Scores | HookPoint::Pattern => vec![config.n_heads, tokens, tokens],
            point => vec![tokens, row_len(point, config)],
        }
    }
}

/// The number of elements per token at a point, of all heads together. [`HookPoint::Scores`] and
/// [`HookPoint::Pattern`] have no row for each token and count as `d_model`.
pub(crate) fn row_len(point: HookPoint, config: &Config) -> usize {
    match point {
        HookPoint::Q | HookPoint::RotQ | HookPoint::Z => config.n_heads * config.head_dim,
        HookPoint::K | HookPoint::RotK | HookPoint::V => config.n_kv_heads * config.head_dim,
        HookPoint::MlpPre | HookPoint::MlpPreLinear | HookPoint::MlpPost => config.d_ff,
        HookPoint::RouterLogits | HookPoint::ExpertWeights => match config.mlp {
            MlpKind::Experts { count, .. } => count,
            MlpKind::Plain | MlpKind::Gated => 0,
        },
        HookPoint::Logits => config.vocab_size,
        _ => config.d_model,
    }
}

/// The points inside a block, in the order of computation.
fn in_block(config: &Config, layer: usize) -> impl Iterator<Item = HookPoint> {
    let rotary = config.rope(layer).is_some();
    let post_norms = config.norm_placement == NormPlacement::Around;
    let sequential = config.residual == Residual::Sequential;
    let experts = matches!(config.mlp, MlpKind::Experts { .. });
    let gated = config.mlp == MlpKind::Gated;
    [
        (HookPoint::ResidPre, true),
        (HookPoint::Norm1, true),
        (HookPoint::Q, true),
        (HookPoint::K, true),
        (HookPoint::V, true),
        (HookPoint::RotQ, rotary),
        (HookPoint::RotK, rotary),
        (HookPoint::Scores, true),
        (HookPoint::Pattern, true),
        (HookPoint::Z, true),
        (HookPoint::AttentionResult, post_norms),
        (HookPoint::AttentionOut, true),
        (HookPoint::ResidMid, sequential),
        (HookPoint::Norm2, true),
        (HookPoint::MlpPre, !experts),
        (HookPoint::MlpPreLinear, gated),
        (HookPoint::MlpPost, !experts),
        (HookPoint::RouterLogits, experts),
        (HookPoint::ExpertWeights, experts),
        (HookPoint::MlpResult, post_norms),
        (HookPoint::MlpOut, true),
        (HookPoint::ResidPost, true),
    ]
    .into_iter()
    .filter_map(|(point, here)| here.then_some(point))
}
