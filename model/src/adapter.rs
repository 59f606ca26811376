//! A LoRA adapter in memory: what it changes of a model, chosen per sequence.
//!
//! A branch adds `scale · (x · Aᵀ) · Bᵀ` to `y = x · Wᵀ`, with `A` `[rank, inputs]` and `B` `[outputs, rank]`. An
//! adapter may also scale the outputs (DoRA), and may have weights, biases, norms and embeddings of its own. The model
//! does not change, so sequences with different adapters, or none, share one model and one forward pass.
//!
//! Hu et al., "LoRA: Low-rank adaptation of large language models" (2021); Liu et al., "DoRA: Weight-decomposed
//! low-rank adaptation" (2024).

use std::collections::HashMap;
use std::ops::Range;

use glassbox_tensor::{PackedMatrix, Team, ops};

use crate::norm::Norm;
use crate::spec::{Role, Site};

/// The changes of an adapter, by the site of the layer.
#[derive(Default)]
pub struct Adapter {
    /// Linear layers of the blocks, and the unembedding.
    pub(crate) linears: HashMap<Site, LinearChange>,
    /// Norms that replace the model's.
    pub(crate) norms: HashMap<Site, Norm>,
    /// Token and position embedding.
    pub(crate) embeddings: HashMap<Role, EmbeddingChange>,
    pub(crate) warnings: Vec<String>,
}

impl std::fmt::Debug for Adapter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Adapter")
            .field("linears", &self.linears.len())
            .field("norms", &self.norms.len())
            .field("embeddings", &self.embeddings.len())
            .finish()
    }
}

impl Adapter {
    /// What in the adapter's files is unknown or has no effect, a sentence each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

/// The change of a linear layer: `y = gain ⊙ (x · Wᵀ + branch(x)) + bias`.
#[derive(Default)]
pub(crate) struct LinearChange {
    /// Replaces the weight, `[outputs, inputs]`.
    pub(crate) weight: Option<PackedMatrix>,
    /// The low-rank branch.
    pub(crate) branch: Option<LoraBranch>,
    /// DoRA's factors: magnitude / norm of the row, `[outputs]`.
    pub(crate) gain: Option<Vec<f32>>,
    /// Replaces the bias, `[outputs]`.
    pub(crate) bias: Option<Vec<f32>>,
}

/// The branch beside one linear layer.
pub(crate) struct LoraBranch {
    /// `[rank, inputs]`
    pub(crate) down: PackedMatrix,
    /// `[outputs, rank]`, already multiplied by the scale.
    pub(crate) up: PackedMatrix,
}

impl LinearChange {
    /// Finishes the outputs of a layer, without bias: `out` is `x · Wᵀ`, `[rows, outputs]`, with the adapter's own
    /// weight if it has one. `bias` is the model's.
    pub(crate) fn finish(&self, team: &Team<'_>, x: &[f32], bias: Option<&[f32]>, out: &mut [f32]) {
        if let Some(LoraBranch { down, up }) = &self.branch {
            let rows = x.len() / down.inputs().max(1);
            let mut low_rank = vec![0.0; rows * up.inputs()];
            ops::matmul(team, x, down, &mut low_rank);
            let mut update = vec![0.0; out.len()];
            ops::matmul(team, &low_rank, up, &mut update);
            ops::add(team, out, &update);
        }
        if let Some(gain) = &self.gain {
            scale_rows(out, gain);
        }
        if let Some(bias) = self.bias.as_deref().or(bias) {
            ops::add_row(team, out, bias);
        }
    }
}

/// The change of an embedding: `gain ⊙ (row of the table + scale · row of Aᵀ · Bᵀ)`.
#[derive(Default)]
pub(crate) struct EmbeddingChange {
    /// Replaces the table, `[tokens, d_model]`.
    pub(crate) table: Option<PackedMatrix>,
    /// `Aᵀ`, `[tokens, rank]`, and `Bᵀ`, `[rank, d_model]`, already multiplied by the scale.
    pub(crate) factors: Option<[Vec<f32>; 2]>,
    /// DoRA's factors, `[d_model]`.
    pub(crate) gain: Option<Vec<f32>>,
}

impl EmbeddingChange {
    /// The vector of `index`, `[d_model]`; `table` is the model's.
    pub(crate) fn row(&self, table: &PackedMatrix, index: usize, out: &mut [f32]) {
        self.table.as_ref().unwrap_or(table).row(index, out);
        if let Some([a, b]) = &self.factors {
            let rank = b.len() / out.len();
            let of_index = &a[index * rank..][..rank];
            for (&a, b) in of_index.iter().zip(b.chunks_exact(out.len())) {
                out.iter_mut().zip(b).for_each(|(out, &b)| *out = a.mul_add(b, *out));
            }
        }
        if let Some(gain) = &self.gain {
            scale_rows(out, gain);
        }
    }
}

fn scale_rows(rows: &mut [f32], gain: &[f32]) {
    rows.chunks_exact_mut(gain.len())
        .for_each(|row| row.iter_mut().zip(gain).for_each(|(x, gain)| *x *= gain));
}

/// The adapter of each row of a forward pass, as runs of consecutive rows; empty if no row has one.
#[derive(Clone, Debug, Default)]
pub(crate) struct AdapterRows<'a>(Vec<(usize, Option<&'a Adapter>)>);

impl<'a> AdapterRows<'a> {
    pub(crate) fn new(rows: impl Iterator<Item = (usize, Option<&'a Adapter>)> + Clone) -> AdapterRows<'a> {
        if rows.clone().all(|(_, adapter)| adapter.is_none()) {
            return AdapterRows::default();
        }
        AdapterRows(rows.collect())
    }

    /// `rows` rows with the same adapter.
    pub(crate) fn one(rows: usize, adapter: Option<&'a Adapter>) -> AdapterRows<'a> {
        AdapterRows::new(std::iter::once((rows, adapter)))
    }

    /// The adapters of a subset of the rows, in ascending order.
    pub(crate) fn select(&self, rows: &[usize]) -> AdapterRows<'a> {
        let mut end = 0;
        let selected = self.0.iter().map(|&(count, adapter)| {
            let begin = end;
            end += count;
            (rows.iter().filter(|&&row| (begin..end).contains(&row)).count(), adapter)
        });
        AdapterRows(selected.collect())
    }

    /// The adapter of all rows, if they have the same.
    pub(crate) fn only(&self) -> Option<&'a Adapter> {
        match self.0[..] {
            [(_, adapter)] => adapter,
            _ => None,
        }
    }

    /// The runs of rows, each with its adapter. Without any adapter, one run of `all` rows.
    pub(crate) fn runs(&self, all: usize) -> impl Iterator<Item = (Range<usize>, Option<&'a Adapter>)> {
        let single = self.0.is_empty().then_some((all, None));
        let mut end = 0;
        single.into_iter().chain(self.0.iter().copied()).filter_map(move |(count, adapter)| {
            let rows = end..end + count;
            end = rows.end;
            (count > 0).then_some((rows, adapter))
        })
    }

    /// The number of rows, if any of them has an adapter.
    fn rows(&self) -> Option<usize> {
        (!self.0.is_empty()).then(|| self.0.iter().map(|(rows, _)| rows).sum())
    }

    /// The norm at `site`, which in the model is `norm`: `x` and `out` are `[rows, …]`.
    pub(crate) fn norm(&self, team: &Team<'_>, site: Site, norm: &Norm, x: &[f32], out: &mut [f32]) {
        let Some(rows) = self.rows() else { return norm.forward(team, x, out) };
        let len = x.len() / rows.max(1);
        for (rows, adapter) in self.runs(rows) {
            let norm = adapter.and_then(|adapter| adapter.norms.get(&site)).unwrap_or(norm);
            let values = rows.start * len..rows.end * len;
            norm.forward(team, &x[values.clone()], &mut out[values]);
        }
    }

    /// [`AdapterRows::norm`] in place. `spare` is a scratch buffer at least as long as `x`.
    pub(crate) fn norm_in_place(
        &self,
        team: &Team<'_>,
        site: Site,
        norm: &Norm,
        x: &mut [f32],
        spare: &mut [f32],
    ) {
        let spare = &mut spare[..x.len()];
        self.norm(team, site, norm, x, spare);
        x.copy_from_slice(spare);
    }

    /// Writes the vectors of `indices`, one for each row, to `out`, `[rows, d_model]`. `table` is the model's.
    pub(crate) fn embed(
        &self,
        role: Role,
        table: &PackedMatrix,
        indices: impl Iterator<Item = usize>,
        out: &mut [f32],
    ) {
        let d_model = table.inputs();
        let mut indices = indices.zip(out.chunks_exact_mut(d_model));
        for (rows, adapter) in self.runs(indices.size_hint().0) {
            let change = adapter.and_then(|adapter| adapter.embeddings.get(&role));
            for (index, out) in indices.by_ref().take(rows.len()) {
                match change {
                    Some(change) => change.row(table, index, out),
                    None => table.row(index, out),
                }
            }
        }
    }
}
