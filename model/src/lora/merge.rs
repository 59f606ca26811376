//! Writes an adapter into a model's weights.

use std::collections::HashMap;

use super::Lora;
use super::changes::{Change, LowRank};
use crate::config::Config;
use crate::error::Error;
use crate::families;
use crate::load::{Named, vocabulary_matrix};
use crate::spec::Role;

impl Lora {
    /// Merges the adapter into the parameters of a model, which have Hugging Face's names and arrangement
    /// ([`Checkpoint::parameters`](crate::Checkpoint::parameters)). Returns the configuration of the result, and
    /// warnings about what has no effect. Sums are computed in `f64` and rounded once.
    ///
    /// In a tied vocabulary, an adapter changes the embedding or the unembedding alone, as PEFT does while it is not
    /// merged. Then the result is not tied.
    ///
    /// # Errors
    /// [`Error::Tensors`] with every tensor of the adapter that does not fit the model, or cannot be merged into it.
    pub fn merge_into(
        &self,
        config: &Config,
        parameters: &mut Vec<Named>,
    ) -> Result<(Config, Vec<String>), Error> {
        let changes = self.changes(config)?;
        let mut config = config.clone();
        let names = families::hf_names(&config);
        let name_of =
            |role| names.source(&config, &vocabulary_matrix(&config, role)).map(|source| source.name);
        let vocabulary = [name_of(Role::Embedding), name_of(Role::Unembedding)];
        let of_vocabulary =
            |change: &Change| vocabulary.iter().flatten().any(|name| *name == change.stored.name);
        if config.tied
            && changes.list.iter().any(of_vocabulary)
            && let [Some(embedding), Some(unembedding)] = vocabulary
        {
            config.tied = false;
            if !parameters.iter().any(|(name, ..)| *name == unembedding)
                && let Some((_, shape, values)) =
                    parameters.iter().find(|(name, ..)| *name == embedding).cloned()
            {
                parameters.push((unembedding, shape, values));
            }
        }
        let mut tensors: HashMap<&str, &mut Vec<f32>> =
            parameters.iter_mut().map(|(name, _, values)| (name.as_str(), values)).collect();
        let mut problems = Vec::new();
        // What is replaced comes first: a branch adds to it.
        for Change { stored, replaced, .. } in &changes.list {
            match (tensors.get_mut(stored.name.as_str()), replaced) {
                (None, _) => problems.push(format!("{}: the model has no such tensor", stored.name)),
                (Some(values), Some(replaced)) => **values = replaced.try_to_f32()?,
                (Some(_), None) => {}
            }
        }
        for Change { stored, low_rank, .. } in &changes.list {
            let (Some(low_rank), Some(weight)) = (low_rank, tensors.get_mut(stored.name.as_str())) else {
                continue;
            };
            let embeds = matches!(stored.parts[0].0.site.role, Role::Embedding | Role::Positions);
            merge(low_rank, weight, embeds || stored.transposed)?;
            let Some(added) = &low_rank.bias else { continue };
            let bias = format!("{}.bias", stored.name.trim_end_matches(".weight"));
            match tensors.get_mut(bias.as_str()) {
                Some(bias) => bias.iter_mut().zip(added).for_each(|(bias, added)| *bias += added),
                None => problems.push(format!(
                    "{bias}: the adapter adds a bias (lora_bias), but this layer of the model has none to merge it \
                     into; run it with --lora"
                )),
            }
        }
        match problems.is_empty() {
            true => Ok((config, changes.warnings)),
            false => Err(Error::Tensors { path: self.path.clone(), problems }),
        }
    }
}

/// Merges a branch into the matrix `weight`, which is stored as `[outputs, inputs]`, or transposed.
fn merge(low_rank: &LowRank, weight: &mut [f32], transposed: bool) -> Result<(), Error> {
    let (a, b) = (low_rank.a.try_to_f32()?, low_rank.b.try_to_f32()?);
    let (rank, inputs) = (low_rank.a.shape().dims()[0], low_rank.a.shape().dims()[1]);
    let outputs = b.len() / rank.max(1);
    let at = |output: usize, input: usize| {
        if transposed { input * outputs + output } else { output * inputs + input }
    };
    let mut row = vec![0.0; inputs];
    for (output, b) in b.chunks_exact(rank).enumerate() {
        low_rank_row(b, &a, low_rank.scale, &mut row);
        (0..inputs).for_each(|input| row[input] += f64::from(weight[at(output, input)]));
        let gain = match &low_rank.magnitude {
            Some(magnitude) => f64::from(magnitude[output]) / norm(&row),
            None => 1.0,
        };
        (0..inputs).for_each(|input| weight[at(output, input)] = (gain * row[input]) as f32);
    }
    Ok(())
}

/// A row of `scale · B · A`, from the row `b`, `[rank]`, of `B`, and `a`, `[rank, inputs]`.
pub(super) fn low_rank_row(b: &[f32], a: &[f32], scale: f64, row: &mut [f64]) {
    row.fill(0.0);
    for (&b, a) in b.iter().zip(a.chunks_exact(row.len().max(1))) {
        row.iter_mut().zip(a).for_each(|(sum, &a)| *sum += scale * f64::from(b) * f64::from(a));
    }
}

/// The Euclidean norm.
pub(super) fn norm(row: &[f64]) -> f64 {
    row.iter().map(|x| x * x).sum::<f64>().sqrt()
}
