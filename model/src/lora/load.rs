//! Loads an adapter for use beside a model.

use std::collections::HashMap;

use glassbox_tensor::{PackedMatrix, Pool, Team, Tensor};

use super::Lora;
use super::changes::{Change, LowRank};
use super::merge::{low_rank_row, norm};
use crate::adapter::{Adapter, EmbeddingChange, LoraBranch};
use crate::error::Error;
use crate::families;
use crate::linear::Linear;
use crate::model::Model;
use crate::names::RowMap;
use crate::norm::Norm;
use crate::spec::{Parameter, ParameterKind, Role, Site};

impl Adapter {
    /// Loads an adapter for a model. DoRA's norms are those of the weights in memory, so with a quantised model they
    /// are those of the dequantised weights.
    ///
    /// # Errors
    /// [`Error::Tensors`] with every tensor that does not belong to the model or has another shape.
    pub fn load(model: &Model, lora: &Lora, pool: &Pool) -> Result<Adapter, Error> {
        let changes = lora.changes(&model.config)?;
        let linears = model.decoder.linears().map(|(linear, _)| (linear.site, linear)).collect();
        let adapter = Adapter { warnings: changes.warnings, ..Adapter::default() };
        pool.enter(|team| {
            let mut loader = Loader { team, model, linears, added: HashMap::new(), adapter };
            for change in &changes.list {
                for (parameter, rows) in &change.stored.parts {
                    loader.add(change, parameter, *rows)?;
                }
            }
            Ok(loader.finish())
        })
    }
}

struct Loader<'a> {
    team: &'a Team<'a>,
    model: &'a Model,
    linears: HashMap<Site, &'a Linear>,
    /// What the branches' own biases add.
    added: HashMap<Site, Vec<f32>>,
    adapter: Adapter,
}

impl Loader<'_> {
    /// Adds the change of one parameter; `rows` are its rows of the stored tensor.
    fn add(&mut self, change: &Change, parameter: &Parameter, rows: RowMap) -> Result<(), Error> {
        let Parameter { site, is_bias, .. } = *parameter;
        match (site.role, parameter.kind()) {
            (Role::Embedding | Role::Positions, _) => self.embedding(change, site.role),
            (_, ParameterKind::Norm) => self.norm(change, parameter),
            _ if is_bias => {
                if let Some(replaced) = &change.replaced {
                    let bias = pick(&replaced.try_to_f32()?, parameter.shape[0], rows);
                    self.adapter.linears.entry(site).or_default().bias = Some(bias);
                }
                Ok(())
            }
            _ => self.linear(change, parameter, rows),
        }
    }

    fn linear(&mut self, change: &Change, parameter: &Parameter, rows: RowMap) -> Result<(), Error> {
        let (site, count) = (parameter.site, parameter.shape[0]);
        let pack = |tensor: &Tensor| PackedMatrix::pack_some_rows(self.team, tensor, count, |i| rows.at(i));
        let weight = match &change.replaced {
            Some(replaced) if change.stored.transposed => Some(pack(&replaced.transpose(0, 1)?)?),
            Some(replaced) => Some(pack(replaced)?),
            None => None,
        };
        let (mut branch, mut gain) = (None, None);
        if let Some(low_rank) = &change.low_rank {
            let LowRank { a, b, scale, bias, magnitude } = low_rank;
            let scaled = b.try_to_f32()?.iter().map(|x| (f64::from(*x) * scale) as f32).collect();
            let up = pack(&Tensor::from_f32(b.shape().dims().to_vec(), scaled)?)?;
            branch = Some(LoraBranch { down: PackedMatrix::pack(self.team, a)?, up });
            if let Some(magnitude) = magnitude {
                let own = match site.role {
                    Role::Unembedding => Some(self.model.vocabulary().unembedding()),
                    _ => self.linears.get(&site).map(|linear| &linear.weight),
                };
                if let Some(base) = weight.as_ref().or(own) {
                    gain = Some(self.gains(low_rank, &pick(magnitude, count, rows), base, rows)?);
                }
            }
            if let Some(bias) = bias {
                self.added.insert(site, pick(bias, count, rows));
            }
        }
        let linear = self.adapter.linears.entry(site).or_default();
        (linear.weight, linear.branch, linear.gain) = (weight, branch, gain);
        Ok(())
    }

    /// DoRA's factors, magnitude / ‖row of `base + scale · B · A`‖.
    fn gains(
        &self,
        low_rank: &LowRank,
        magnitude: &[f32],
        base: &PackedMatrix,
        rows: RowMap,
    ) -> Result<Vec<f32>, Error> {
        let (a, b) = (low_rank.a.try_to_f32()?, low_rank.b.try_to_f32()?);
        let (rank, inputs) = (low_rank.a.shape().dims()[0], base.inputs());
        let mut gains = magnitude.to_vec();
        self.team.run_on_pieces(&mut gains, PIECE, |piece, gains| {
            let (mut weight, mut row) = (vec![0.0f32; inputs], vec![0.0; inputs]);
            for (i, gain) in gains.iter_mut().enumerate() {
                let output = piece * PIECE + i;
                base.row(output, &mut weight);
                low_rank_row(&b[rows.at(output) * rank..][..rank], &a, low_rank.scale, &mut row);
                row.iter_mut().zip(&weight).for_each(|(x, &weight)| *x += f64::from(weight));
                *gain = (f64::from(*gain) / norm(&row)) as f32;
            }
        });
        Ok(gains)
    }

    fn embedding(&mut self, change: &Change, role: Role) -> Result<(), Error> {
        let table = change.replaced.as_ref().map(|table| PackedMatrix::pack(self.team, table)).transpose()?;
        let mut embedding = EmbeddingChange { table, ..EmbeddingChange::default() };
        if let Some(LowRank { a, b, scale, magnitude, .. }) = &change.low_rank {
            let transposed = |tensor: &Tensor, factor: f64| -> Result<Vec<f32>, Error> {
                let values = tensor.transpose(0, 1)?.try_to_f32()?;
                Ok(values.into_iter().map(|x| (f64::from(x) * factor) as f32).collect())
            };
            embedding.factors = Some([transposed(a, 1.0)?, transposed(b, *scale)?]);
            let decoder = &self.model.decoder;
            let model_table = match role {
                Role::Positions => decoder.positions.as_ref(),
                _ => Some(&decoder.vocabulary.embedding),
            };
            if let (Some(magnitude), Some(base)) = (magnitude, model_table) {
                let (mut row, mut squares) = (vec![0.0; base.inputs()], vec![0.0f64; base.inputs()]);
                for index in 0..base.outputs() {
                    embedding.row(base, index, &mut row);
                    squares.iter_mut().zip(&row).for_each(|(sum, &x)| *sum += f64::from(x) * f64::from(x));
                }
                let gains = magnitude.iter().zip(squares);
                embedding.gain =
                    Some(gains.map(|(&magnitude, sum)| (f64::from(magnitude) / sum.sqrt()) as f32).collect());
            }
        }
        self.adapter.embeddings.insert(role, embedding);
        Ok(())
    }

    fn norm(&mut self, change: &Change, parameter: &Parameter) -> Result<(), Error> {
        let Some(replaced) = &change.replaced else { return Ok(()) };
        let offset = families::hf_names(&self.model.config).offset(parameter);
        let values: Vec<f32> = replaced.try_to_f32()?.into_iter().map(|x| x + offset).collect();
        if let Some(model_norm) = self.model.decoder.norm(parameter.site) {
            let own = self.adapter.norms.entry(parameter.site).or_insert_with(|| model_norm.clone());
            match own {
                Norm::Layer { bias, .. } if parameter.is_bias => *bias = values,
                Norm::Rms { weight, .. } | Norm::Layer { weight, .. } => *weight = values,
            }
        }
        Ok(())
    }

    /// Adds the branches' biases to those of the layers.
    fn finish(mut self) -> Adapter {
        for (site, added) in self.added {
            let change = self.adapter.linears.entry(site).or_default();
            let own = || self.linears.get(&site).and_then(|linear| linear.bias.clone());
            let bias = change.bias.take().or_else(own);
            change.bias = Some(match bias {
                Some(bias) => bias.iter().zip(&added).map(|(bias, added)| bias + added).collect(),
                None => added,
            });
        }
        self.adapter
    }
}

/// Rows of a weight per piece of work.
const PIECE: usize = 16;

/// The values of a parameter among those of its tensor.
fn pick(values: &[f32], count: usize, rows: RowMap) -> Vec<f32> {
    (0..count).map(|i| values[rows.at(i)]).collect()
}
