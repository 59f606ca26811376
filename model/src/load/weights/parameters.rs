//! A checkpoint's parameters as numbers under Hugging Face's names, whatever file they come from: what a training
//! begins with.

use glassbox_tensor::{Level, Pool, Tensor};

use super::{Container, Loader};
use crate::config::{Config, Family};
use crate::error::Error;
use crate::load::Named;
use crate::load::names::{Naming, Part};

/// Every parameter, dequantised, in the names and the arrangement of a Hugging Face checkpoint.
pub(crate) fn parameters(file: &Container, config: &Config) -> Result<Vec<Named>, Error> {
    let problems = super::problems(file, config)?;
    if !problems.is_empty() {
        return Err(Error::Tensors { path: file.path().into(), problems });
    }
    Pool::new(1, Level::Scalar)?.enter(|team| {
        let loader = Loader::new(team, file, config, false);
        let mut named = Vec::new();
        for (part, layer) in Part::all(config.n_layers) {
            for kind in ["weight", "bias"] {
                named.extend(loader.named(part, layer, kind)?);
            }
        }
        Ok(named)
    })
}

impl Loader<'_> {
    fn named(&self, part: Part, layer: Option<usize>, kind: &str) -> Result<Option<Named>, Error> {
        let naming = match self.config.family {
            Family::Gpt2 => Naming::HfGpt2,
            _ => Naming::HfLlama,
        };
        let stored = self.name(part, layer, kind);
        // Tied matrices are one parameter, even where a file has both.
        let twice = self.config.tied && part == Part::Unembedding;
        if !naming.has(part) || !self.naming.has(part) || self.file.info(&stored).is_none() || twice {
            return Ok(None);
        }
        let tensor = self.file.tensor(&stored)?;
        let from_columns = kind == "weight" && self.naming.is_stored_transposed(part);
        let tensor = if from_columns { tensor.transpose(0, 1)? } else { tensor };
        let tensor = self.in_row_order(part, tensor)?;
        let to_columns = kind == "weight" && naming.is_stored_transposed(part);
        let tensor = if to_columns { tensor.transpose(0, 1)? } else { tensor };
        let name = naming.name(part, layer, kind);
        Ok(Some((name, tensor.shape().to_vec(), tensor.to_f32())))
    }

    /// As f32, with the rows as Hugging Face has them.
    fn in_row_order(&self, part: Part, tensor: Tensor) -> Result<Tensor, Error> {
        let (row, rows) = (self.row_order(part), tensor.shape()[0]);
        let (values, len) = (tensor.to_f32(), tensor.elements() / rows.max(1));
        let ordered = (0..rows).flat_map(|i| values[row(i) * len..][..len].iter().copied()).collect();
        Ok(Tensor::from_f32(tensor.shape().to_vec(), ordered)?)
    }
}
