//! Which values a model has, in the order in which it computes them, and which of them are wanted.

use std::collections::HashSet;
use std::fmt;

use super::error::Error;
use super::glob::Glob;
use crate::config::Config;
use crate::model::{Model, Weights};
use crate::observe::{Observed, Place};

/// The name of a value: a place, inside the blocks also the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Name {
    /// Where in the forward pass.
    pub place: Place,
    /// In which block, counted from 0; `None` outside the blocks.
    pub layer: Option<usize>,
}

impl fmt::Display for Name {
    /// As an [`Observed`] value is called, such as `blocks.3.attn.pattern`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shape = [0; 3];
        Observed { place: self.place, layer: self.layer, first_position: 0, shape, values: &mut [] }.fmt(f)
    }
}

impl Name {
    /// Every value of a model, in the order in which it is computed.
    pub fn all(model: &Model) -> Vec<Name> {
        let gpt2 = matches!(model.weights, Weights::Gpt2(_));
        let rotary = !gpt2 && model.config.rope.is_some();
        let there = |place: &Place| match place {
            Place::PositionEmbed => gpt2,
            Place::MlpPreLinear => !gpt2,
            Place::RotQ | Place::RotK => rotary,
            _ => true,
        };
        let outside = |place| Name { place, layer: None };
        let mut names: Vec<Name> =
            [Place::Embed, Place::PositionEmbed].into_iter().filter(there).map(outside).collect();
        for layer in 0..model.config.n_layers {
            let inside = |place| Name { place, layer: Some(layer) };
            names.extend(IN_A_BLOCK.into_iter().filter(there).map(inside));
        }
        names.extend([Place::NormFinal, Place::Logits].map(outside));
        names
    }

    /// The dimensions of the value over a text of `tokens` tokens in one pass, as [`Place`] gives them.
    pub fn shape(self, config: &Config, tokens: usize) -> Vec<usize> {
        match self.place {
            Place::Q | Place::RotQ | Place::Z => vec![tokens, config.n_heads, config.head_dim],
            Place::K | Place::V | Place::RotK => vec![tokens, config.n_kv_heads, config.head_dim],
            Place::Scores | Place::Pattern => vec![config.n_heads, tokens, tokens],
            Place::MlpPre | Place::MlpPreLinear | Place::MlpPost => vec![tokens, config.d_ff],
            Place::Logits => vec![tokens, config.vocab_size],
            _ => vec![tokens, config.d_model],
        }
    }
}

/// The places inside a block, in the order of computation.
const IN_A_BLOCK: [Place; 18] = [
    Place::ResidPre,
    Place::Norm1,
    Place::Q,
    Place::K,
    Place::V,
    Place::RotQ,
    Place::RotK,
    Place::Scores,
    Place::Pattern,
    Place::Z,
    Place::AttentionOut,
    Place::ResidMid,
    Place::Norm2,
    Place::MlpPre,
    Place::MlpPreLinear,
    Place::MlpPost,
    Place::MlpOut,
    Place::ResidPost,
];

/// The values that are wanted.
#[derive(Clone, Debug)]
pub struct Selection {
    wanted: HashSet<Name>,
}

impl Selection {
    /// All values of a model.
    pub fn all(model: &Model) -> Selection {
        Name::all(model).into_iter().collect()
    }

    /// The values of a model that fit any of the globs.
    ///
    /// # Errors
    /// [`Error::NoSuchName`] for a glob that nothing fits.
    pub fn matching(model: &Model, globs: &[Glob]) -> Result<Selection, Error> {
        let names: Vec<(Name, String)> =
            Name::all(model).into_iter().map(|name| (name, name.to_string())).collect();
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

    /// Whether a value is wanted.
    pub fn wants(&self, name: Name) -> bool {
        self.wanted.contains(&name)
    }

    /// How many are wanted.
    pub fn len(&self) -> usize {
        self.wanted.len()
    }

    /// Whether none is wanted.
    pub fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }
}

impl FromIterator<Name> for Selection {
    fn from_iter<I: IntoIterator<Item = Name>>(names: I) -> Selection {
        Selection { wanted: names.into_iter().collect() }
    }
}
