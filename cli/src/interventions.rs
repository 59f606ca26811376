//! Interventions from the command line: `--without`, `--steer` and `--patch`, of the commands that compare a model with
//! a changed one.
//!
//! A command reads them against the checkpoint before it loads the model ([`InterventionArgs::read`]), and then runs
//! both the model and the changed one ([`Planned::apply`]).

mod edges;
mod files;

use std::sync::Arc;

use anyhow::anyhow;
use clap::Args;
use glassbox_model::Runtime;
use glassbox_model::glass::{Intervention, Interventions, Part, PartKind};
use serde::Serialize;

use crate::exit::Usage;
use crate::model_source::Source;

/// Changes to the run of a model.
#[derive(Args, Debug)]
pub(crate) struct InterventionArgs {
    /// Compare with the model without a part: "head 23.4", "attention 3", "mlp 29", "block 7", "neuron 12.345",
    /// "expert 1.2" or "edge 13.8 its→cat". May be repeated, or a list separated by commas
    ///
    /// Layers and the numbers in them count from 0. The part's output is set to zero, at all positions: an mlp and an
    /// attention with their biases, a head without the bias that all heads share. An edge is the attention of one token
    /// to another: its weight becomes 0, and the token's other weights grow to sum to 1. "edge 13 its→cat" cuts it in
    /// all heads of layer 13, "edge its→cat" everywhere. Tokens are words of the prompt or positions, counted from 0;
    /// its->cat is the same.
    #[arg(long, value_name = "PARTS")]
    without: Vec<String>,
    /// Compare with the model steered by a vector: FILE@LAYER*FACTOR adds it to the residual stream before a layer. May
    /// be repeated
    ///
    /// In full: `FILE:NAME[ROW]@LAYER:POSITIONS*FACTOR`. FILE is a safetensors file, such as `trace --out` writes. NAME
    /// is one of its tensors; without it, it is the only one, or the trace's blocks.LAYER.resid_pre. Of a tensor with a
    /// row for each token, the last row is used, or ROW. POSITIONS is a word, a position, or a range such as 3..5 or
    /// 3..; without it, all positions. For the difference of two vectors, steer with both, and factors such as 2 and
    /// -2. To make a vector: trace "I love you" --names blocks.6.resid_pre --out love.safetensors.
    #[arg(long, value_name = "FILE@LAYER")]
    steer: Vec<String>,
    /// Compare with values of another run patched in: FILE:NAME, from a file that `trace --out` wrote. May be repeated
    ///
    /// NAME is a value such as blocks.5.resid_post. All its rows are put in at their own positions. FILE:NAME@3 patches
    /// only position 3, and FILE:NAME@3→4 puts row 3 in at position 4. Positions may be words: FILE:NAME@Italy→France
    /// is the row of Italy in the other prompt, and the position of France in this one.
    #[arg(long, value_name = "FILE:NAME")]
    patch: Vec<String>,
}

/// Interventions that match the model.
pub(crate) struct Planned {
    interventions: Arc<Interventions>,
    /// What they are, such as `without head 23.4`.
    pub(crate) names: Vec<String>,
}

/// What `--json` writes if there are interventions: the usual object twice.
#[derive(Serialize)]
pub(crate) struct Pair<'a, T> {
    pub(crate) interventions: &'a [String],
    pub(crate) before: T,
    pub(crate) after: T,
}

impl InterventionArgs {
    /// Whether there are any.
    pub(crate) fn is_given(&self) -> bool {
        !(self.without.is_empty() && self.steer.is_empty() && self.patch.is_empty())
    }

    /// Checks the interventions against the checkpoint; `None` if there are none. Words in them are tokens of `ids`;
    /// without `ids`, positions are numbers.
    ///
    /// They apply in this order where they meet: patches, steering, ablations.
    pub(crate) fn read(&self, source: &Source, ids: Option<&[u32]>) -> anyhow::Result<Option<Planned>> {
        if !self.is_given() {
            return Ok(None);
        }
        let places = Places { source, ids };
        let mut names = Vec::new();
        let mut list = Vec::new();
        for patch in &self.patch {
            list.push(fitting("patch", patch, files::patch(patch, &places)?, source)?);
            names.push(format!("patched with {patch}"));
        }
        for steer in &self.steer {
            list.push(fitting("steer", steer, files::steer(steer, &places)?, source)?);
            names.push(format!("steered with {steer}"));
        }
        for without in &self.without {
            for item in items(without)? {
                let cut = edges::edges(&item, &places)?;
                list.extend(match cut {
                    Some(edges) => edges,
                    None => vec![Intervention::Ablate(part(&item)?)],
                });
                names.push(format!("without {item}"));
            }
        }
        let interventions = Interventions::new(source.checkpoint.config(), list)?;
        Ok(Some(Planned { interventions: Arc::new(interventions), names }))
    }
}

impl Planned {
    /// The changed model.
    pub(crate) fn apply(&self, model: &Runtime) -> Runtime {
        model.clone().with_interventions(Some(Arc::clone(&self.interventions)))
    }

    /// All names in a line.
    pub(crate) fn heading(&self) -> String {
        self.names.join("; ")
    }

    /// As [`Pair`].
    pub(crate) fn pair<T>(&self, before: T, after: T) -> Pair<'_, T> {
        Pair { interventions: &self.names, before, after }
    }
}

/// Checks the intervention of an option, to name the option in an error.
fn fitting(option: &str, spec: &str, made: Intervention, source: &Source) -> anyhow::Result<Intervention> {
    made.check(source.checkpoint.config()).map_err(|error| anyhow!("--{option} {spec:?}: {error}"))?;
    Ok(made)
}

/// The items of a list separated by commas. An item of numbers alone has the kind of the one before: `head 3.1, 3.2`.
fn items(list: &str) -> anyhow::Result<Vec<String>> {
    let mut items: Vec<String> = Vec::new();
    for item in list.split(',').map(str::trim) {
        let bare = !item.is_empty() && item.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let kind =
            items.last().and_then(|last| last.split_whitespace().next()).filter(|kind| *kind != "edge");
        items.push(match (bare, kind) {
            _ if item.is_empty() => {
                return Err(Usage(format!("--without {list:?}: expected a part between the commas")).into());
            }
            (true, Some(kind)) => format!("{kind} {item}"),
            _ => item.to_owned(),
        });
    }
    Ok(items)
}

fn part(name: &str) -> anyhow::Result<Part> {
    name.parse().map_err(|error| Usage(format!("--without: {error}; or \"edge 3.1 its→cat\"")).into())
}

/// Positions in the prompt.
struct Places<'a> {
    source: &'a Source,
    ids: Option<&'a [u32]>,
}

impl Places<'_> {
    /// The position that a number or a word of the prompt stands for.
    fn find(&self, text: &str) -> anyhow::Result<usize> {
        if let Some(position) = number(text) {
            return Ok(position);
        }
        let ids = self.ids.ok_or_else(|| {
            Usage(format!("{text:?}: the text has many windows; give positions in them as numbers"))
        })?;
        crate::commands::position_of_word(self.source, text.as_bytes(), ids)
    }
}

/// A number without sign.
fn number(text: &str) -> Option<usize> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// Wrong usage of an option.
fn usage(option: &str, spec: &str, expected: &str) -> anyhow::Error {
    anyhow!(Usage(format!("--{option} {spec:?}: expected {expected}")))
}

/// The name of a kind of parts in a sentence.
pub(crate) fn plural(kind: PartKind) -> &'static str {
    match kind {
        PartKind::Head => "heads",
        PartKind::Attention => "attention layers",
        PartKind::Mlp => "MLPs",
        PartKind::Block => "blocks",
        PartKind::Neuron => "neurons",
        PartKind::Expert => "experts",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_alone_are_of_the_kind_before() {
        let split = |list: &str| items(list).unwrap();
        assert_eq!(split("head 3.1, 3.2,mlp 4 , 5"), ["head 3.1", "head 3.2", "mlp 4", "mlp 5"]);
        assert_eq!(split("edge 3.1 a→b, mlp 2"), ["edge 3.1 a→b", "mlp 2"]);
        assert_eq!(split("3.1"), ["3.1"]);
        for empty in ["", "head 1.2,", ", mlp 1"] {
            assert!(items(empty).is_err(), "{empty:?}");
        }
        assert!(part("3.1").unwrap_err().to_string().contains("edge"));
    }
}
