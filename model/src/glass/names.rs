//! The names of a model's values in the order of computation, and selections of them.

use std::collections::HashSet;
use std::fmt;

use super::error::Error;
use super::glob::Glob;
use crate::config::{Config, MlpKind, NormPlacement, Residual};
use crate::hooks::{HookPoint, Observed};
use crate::model::Model;

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
pub(super) fn row_len(point: HookPoint, config: &Config) -> usize {
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

/// A selection of values.
#[derive(Clone, Debug)]
pub struct Selection {
    wanted: HashSet<Name>,
}

impl Selection {
    /// All values of a model.
    pub fn all(model: &Model) -> Selection {
        Name::all(&model.config).into_iter().collect()
    }

    /// The values of a model that match any of the globs.
    ///
    /// # Errors
    /// [`Error::NoSuchName`] for a glob without a match.
    pub fn matching(model: &Model, globs: &[Glob]) -> Result<Selection, Error> {
        let names: Vec<(Name, String)> =
            Name::all(&model.config).into_iter().map(|name| (name, name.to_string())).collect();
        let mut wanted = HashSet::new();
        for glob in globs {
            let fitting: Vec<Name> =
                names.iter().filter(|(_, text)| glob.matches(text)).map(|(name, _)| *name).collect();
            if fitting.is_empty() {
                let names = names.iter().map(|(_, text)| text.clone()).collect();
                return Err(Error::NoSuchName { glob: glob.to_string(), names });
            }
            wanted.extend(fitting);
        }
        Ok(Selection { wanted })
    }

    /// Whether a value is selected.
    pub fn wants(&self, name: Name) -> bool {
        self.wanted.contains(&name)
    }

    /// Number of selected values.
    pub fn len(&self) -> usize {
        self.wanted.len()
    }

    /// Whether nothing is selected.
    pub fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }
}

impl FromIterator<Name> for Selection {
    fn from_iter<I: IntoIterator<Item = Name>>(names: I) -> Selection {
        Selection { wanted: names.into_iter().collect() }
    }
}
