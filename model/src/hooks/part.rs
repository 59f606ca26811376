//! The parts of a model that can be ablated, and their names: `head 23.4`, `mlp 29`.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use super::point::HookPoint;
use super::view_error::{ViewError, check};
use crate::config::{Config, MlpKind};

/// A part of the model, which an ablation sets to zero. Layers, heads, neurons and experts count from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// A head: its [`HookPoint::Z`]. This equals zeroing its columns of the output projection; the projection's bias
    /// remains. A post norm rescales what the other heads write. Michel et al., "Are sixteen heads really better than
    /// one?" (2019).
    Head {
        /// Its layer.
        layer: usize,
        /// The head.
        head: usize,
    },
    /// All heads of a layer: its [`HookPoint::AttentionOut`], biases included.
    Attention {
        /// The layer.
        layer: usize,
    },
    /// An MLP: its [`HookPoint::MlpOut`], biases included.
    Mlp {
        /// The layer.
        layer: usize,
    },
    /// A block, attention and MLP: the residual stream passes it unchanged.
    Block {
        /// The block.
        layer: usize,
    },
    /// A neuron of an MLP: its [`HookPoint::MlpPost`].
    Neuron {
        /// Its layer.
        layer: usize,
        /// The neuron, one of `d_ff`.
        neuron: usize,
    },
    /// An expert: its [`HookPoint::ExpertWeights`]. The router's choice and the other experts' weights remain.
    Expert {
        /// Its layer.
        layer: usize,
        /// The expert.
        expert: usize,
    },
}

/// The kinds of parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PartKind {
    /// [`Part::Head`]
    Head,
    /// [`Part::Attention`]
    Attention,
    /// [`Part::Mlp`]
    Mlp,
    /// [`Part::Block`]
    Block,
    /// [`Part::Neuron`]
    Neuron,
    /// [`Part::Expert`]
    Expert,
}

impl PartKind {
    /// All kinds.
    pub const ALL: [PartKind; 6] = [
        PartKind::Head,
        PartKind::Attention,
        PartKind::Mlp,
        PartKind::Block,
        PartKind::Neuron,
        PartKind::Expert,
    ];

    /// The word in a part's name.
    pub fn name(self) -> &'static str {
        match self {
            PartKind::Head => "head",
            PartKind::Attention => "attention",
            PartKind::Mlp => "mlp",
            PartKind::Block => "block",
            PartKind::Neuron => "neuron",
            PartKind::Expert => "expert",
        }
    }

    /// Whether a layer has several, so that a name is `neuron 12.345` and not `mlp 12`.
    pub fn is_indexed(self) -> bool {
        matches!(self, PartKind::Head | PartKind::Neuron | PartKind::Expert)
    }

    /// The number of such parts in a layer of the model.
    pub fn count(self, config: &Config) -> usize {
        match (self, config.mlp) {
            (PartKind::Head, _) => config.n_heads,
            (PartKind::Attention | PartKind::Mlp | PartKind::Block, _) => 1,
            (PartKind::Neuron, MlpKind::Experts { .. }) => 0,
            (PartKind::Neuron, _) => config.d_ff,
            (PartKind::Expert, MlpKind::Experts { count, .. }) => count,
            (PartKind::Expert, _) => 0,
        }
    }

    /// All such parts of some layers of the model, in order.
    pub fn all(self, config: &Config, layers: Range<usize>) -> Vec<Part> {
        let count = self.count(config);
        layers.flat_map(|layer| (0..count).map(move |index| self.part(layer, index))).collect()
    }

    /// The part of this kind; `index` is ignored if it is the only one of its layer.
    pub fn part(self, layer: usize, index: usize) -> Part {
        match self {
            PartKind::Head => Part::Head { layer, head: index },
            PartKind::Attention => Part::Attention { layer },
            PartKind::Mlp => Part::Mlp { layer },
            PartKind::Block => Part::Block { layer },
            PartKind::Neuron => Part::Neuron { layer, neuron: index },
            PartKind::Expert => Part::Expert { layer, expert: index },
        }
    }
}

impl Part {
    /// Its kind.
    pub fn kind(self) -> PartKind {
        match self {
            Part::Head { .. } => PartKind::Head,
            Part::Attention { .. } => PartKind::Attention,
            Part::Mlp { .. } => PartKind::Mlp,
            Part::Block { .. } => PartKind::Block,
            Part::Neuron { .. } => PartKind::Neuron,
            Part::Expert { .. } => PartKind::Expert,
        }
    }

    /// Its layer.
    pub fn layer(self) -> usize {
        match self {
            Part::Head { layer, .. }
            | Part::Attention { layer }
            | Part::Mlp { layer }
            | Part::Block { layer }
            | Part::Neuron { layer, .. }
            | Part::Expert { layer, .. } => layer,
        }
    }

    /// The head, neuron or expert within its layer.
    pub fn index(self) -> Option<usize> {
        match self {
            Part::Head { head, .. } => Some(head),
            Part::Neuron { neuron, .. } => Some(neuron),
            Part::Expert { expert, .. } => Some(expert),
            Part::Attention { .. } | Part::Mlp { .. } | Part::Block { .. } => None,
        }
    }

    /// Checks that the model has this part.
    ///
    /// # Errors
    /// [`ViewError::OutOfRange`] for the layer, [`ViewError::NoSuchPart`] for the rest.
    pub fn check(self, config: &Config) -> Result<(), ViewError> {
        check("layer", self.layer(), config.n_layers)?;
        let count = self.kind().count(config);
        match self.index() {
            Some(index) if index >= count => Err(ViewError::NoSuchPart { part: self, count }),
            _ => Ok(()),
        }
    }

    /// The points at which an ablation of this part sets values to zero.
    pub(crate) fn points(self) -> &'static [HookPoint] {
        match self {
            Part::Head { .. } => &[HookPoint::Z],
            Part::Attention { .. } => &[HookPoint::AttentionOut],
            Part::Mlp { .. } => &[HookPoint::MlpOut],
            Part::Block { .. } => &[HookPoint::AttentionOut, HookPoint::MlpOut],
            Part::Neuron { .. } => &[HookPoint::MlpPost],
            Part::Expert { .. } => &[HookPoint::ExpertWeights],
        }
    }

    /// Sets the part's values to zero in `values`, which are rows of `shape[0]` groups of `shape[1]` elements.
    pub(crate) fn ablate(self, shape: [usize; 2], values: &mut [f32]) {
        let row_len = shape[0] * shape[1];
        match self.index() {
            None => values.fill(0.0),
            Some(index) => {
                let own = index * shape[1]..(index + 1) * shape[1];
                values.chunks_exact_mut(row_len).for_each(|row| row[own.clone()].fill(0.0));
            }
        }
    }
}

impl fmt::Display for Part {
    /// Its name, such as `head 23.4` or `mlp 29`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind().name(), self.layer())?;
        self.index().map_or(Ok(()), |index| write!(f, ".{index}"))
    }
}

/// A name that is not a part's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsePartError {
    /// The name.
    pub name: String,
    /// Its kind, if it begins with one.
    pub kind: Option<PartKind>,
}

impl fmt::Display for ParsePartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a part of a model: expected ", self.name)?;
        match self.kind {
            Some(kind) if kind.is_indexed() => {
                write!(f, "\"{0} LAYER.{1}\", such as \"{0} 3.1\"", kind.name(), kind.name().to_uppercase())
            }
            Some(kind) => write!(f, "\"{0} LAYER\", such as \"{0} 3\"", kind.name()),
            None => f.write_str(
                "\"head 3.1\", \"attention 3\", \"mlp 3\", \"block 3\", \"neuron 3.17\" or \"expert 3.1\"",
            ),
        }
    }
}

impl std::error::Error for ParsePartError {}

impl FromStr for Part {
    type Err = ParsePartError;

    /// Reads a name as it is displayed: a kind, a layer, and for heads, neurons and experts a dot and an index.
    fn from_str(name: &str) -> Result<Part, ParsePartError> {
        let trimmed = name.trim();
        let (word, number) = trimmed.split_once(char::is_whitespace).unwrap_or((trimmed, ""));
        let kind = PartKind::ALL.into_iter().find(|kind| kind.name() == word);
        let error = || ParsePartError { name: trimmed.to_owned(), kind };
        let kind = kind.ok_or_else(error)?;
        let parse = |digits: &str| -> Result<usize, ParsePartError> {
            let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            if plain { digits.parse().map_err(|_| error()) } else { Err(error()) }
        };
        match (number.trim().split_once('.'), kind.is_indexed()) {
            (Some((layer, index)), true) => Ok(kind.part(parse(layer)?, parse(index)?)),
            (None, false) => Ok(kind.part(parse(number.trim())?, 0)),
            _ => Err(error()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for kind in PartKind::ALL {
            let part = kind.part(12, if kind.is_indexed() { 345 } else { 0 });
            assert_eq!(part.to_string().parse(), Ok(part));
            assert_eq!((part.kind(), part.layer()), (kind, 12));
        }
        assert_eq!(" head  23.4 ".parse(), Ok(Part::Head { layer: 23, head: 4 }));
        for name in [
            "",
            "head",
            "head 3",
            "head 3.",
            "head 3.x",
            "head +3.1",
            "mlp 3.1",
            "mlp -1",
            "tail 3.1",
            "mlp 3 4",
        ] {
            let error = name.parse::<Part>().unwrap_err();
            assert!(error.to_string().contains("expected \""), "{error}");
        }
        let huge = format!("mlp {}9", usize::MAX);
        assert!(huge.parse::<Part>().is_err());
    }
}
