//! A LoRA adapter in memory: low-rank branches beside some linear layers, chosen per sequence.
//!
//! A branch adds `scale · (x · Aᵀ) · Bᵀ` to `y = x · Wᵀ`, with `A` `[rank, inputs]` and `B` `[outputs, rank]`. The
//! weights do not change, so sequences with different adapters, or none, share one model and one forward pass.
//!
//! Hu et al., "LoRA: Low-rank adaptation of large language models" (2021).

use std::collections::HashMap;

use glassbox_tensor::{PackedMatrix, Team, ops};

use crate::spec::Site;

/// The branches of an adapter, by the site of their linear layer.
pub struct Adapter {
    branches: HashMap<Site, LoraBranch>,
}

impl std::fmt::Debug for Adapter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Adapter").field("branches", &self.branches.len()).finish()
    }
}

/// The branch beside one linear layer.
pub(crate) struct LoraBranch {
    /// `[rank, inputs]`
    pub(crate) down: PackedMatrix,
    /// `[outputs, rank]`, already multiplied by the scale.
    pub(crate) up: PackedMatrix,
}

impl LoraBranch {
    /// `out += (x · downᵀ) · upᵀ`: `x` is `[rows, inputs]`, `out` is `[rows, outputs]`.
    pub(crate) fn add(&self, team: &Team<'_>, x: &[f32], out: &mut [f32]) {
        let rows = x.len() / self.down.inputs().max(1);
        let mut low_rank = vec![0.0; rows * self.up.inputs()];
        ops::matmul(team, x, &self.down, &mut low_rank);
        let mut update = vec![0.0; out.len()];
        ops::matmul(team, &low_rank, &self.up, &mut update);
        ops::add(team, out, &update);
    }
}

impl Adapter {
    pub(crate) fn new(branches: HashMap<Site, LoraBranch>) -> Adapter {
        Adapter { branches }
    }

    /// The branch beside the linear layer at `site`, if there is one.
    pub(crate) fn branch(&self, site: Site) -> Option<&LoraBranch> {
        self.branches.get(&site)
    }
}

/// The adapter of each row of a forward pass, as runs of consecutive rows.
#[derive(Clone, Debug, Default)]
pub(crate) struct AdapterRows<'a>(Vec<(usize, Option<&'a Adapter>)>);

impl<'a> AdapterRows<'a> {
    pub(crate) fn new(rows: impl Iterator<Item = (usize, Option<&'a Adapter>)> + Clone) -> AdapterRows<'a> {
        if rows.clone().all(|(_, adapter)| adapter.is_none()) {
            return AdapterRows::default();
        }
        AdapterRows(rows.collect())
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

    /// Adds the output of the adapters' branches at `site` for `x`, `[rows, inputs]`, to `out`, `[rows, outputs]`.
    pub(crate) fn add(&self, team: &Team<'_>, site: Site, x: &[f32], out: &mut [f32]) {
        let (mut x, mut out) = (x, out);
        let rows: usize = self.0.iter().map(|(rows, _)| rows).sum();
        let (inputs, outputs) = (x.len() / rows.max(1), out.len() / rows.max(1));
        for &(rows, adapter) in &self.0 {
            let (own_x, rest_of_x) = x.split_at(rows * inputs);
            let (own_out, rest_of_out) = out.split_at_mut(rows * outputs);
            if let Some(branch) = adapter.and_then(|adapter| adapter.branch(site))
                && rows > 0
            {
                branch.add(team, own_x, own_out);
            }
            (x, out) = (rest_of_x, rest_of_out);
        }
    }
}
