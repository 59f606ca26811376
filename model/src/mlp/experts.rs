//! A mixture of experts: a router computes a logit for each expert, and the `top_k` experts with the largest process
//! the token.
//!
//! A token's output is `Σ weight_e · expert_e(x)` over its experts in ascending order. The order of summation does not
//! depend on the other tokens of the pass.
//!
//! Shazeer et al., "Outrageously large neural networks" (2017); Jiang et al., "Mixtral of experts" (2024).

use glassbox_tensor::{Team, ops, reference};

use super::GatedMlp;
use crate::adapter::AdapterRows;
use crate::hooks::{HookPoint, Observer};
use crate::linear::{Linear, forward_each};
use crate::pass::Pass;

/// The parameters of a mixture of experts.
pub struct Experts {
    /// `d_model → experts`
    pub router: Linear,
    /// The experts.
    pub experts: Vec<GatedMlp>,
    /// Experts per token.
    pub top_k: usize,
}

impl Experts {
    /// `out = Σ weight_e · expert_e(x)`; `x` and `out` are `[tokens, d_model]`.
    pub(super) fn forward<O: Observer>(&self, pass: &mut Pass<'_, '_, O>, x: &[f32], out: &mut [f32]) {
        let Pass { team, adapters, hooks, tokens, .. } = pass;
        let (count, d_model) = (self.experts.len(), out.len() / (*tokens).max(1));

        // [tokens, experts]
        let mut weights = vec![0.0; *tokens * count];
        forward_each(team, adapters, x, [(&self.router, &mut weights)]);
        hooks.rows(HookPoint::RouterLogits, *tokens, [count, 1], &mut weights);
        weights.chunks_exact_mut(count).for_each(|logits| select(logits, self.top_k));
        hooks.rows(HookPoint::ExpertWeights, *tokens, [count, 1], &mut weights);

        out.fill(0.0);
        for (e, expert) in self.experts.iter().enumerate() {
            let rows: Vec<usize> = (0..*tokens).filter(|row| weights[row * count + e] != 0.0).collect();
            if rows.is_empty() {
                continue;
            }
            let own: Vec<f32> =
                rows.iter().flat_map(|&row| &x[row * d_model..][..d_model]).copied().collect();
            let results = expert.forward(team, &adapters.select(&rows), &own);
            for (&row, result) in rows.iter().zip(results.chunks_exact(d_model)) {
                let weight = weights[row * count + e];
                let out = &mut out[row * d_model..][..d_model];
                out.iter_mut().zip(result).for_each(|(out, x)| *out = x.mul_add(weight, *out));
            }
        }
    }

    pub(super) fn linears(&self) -> Vec<(&Linear, f64)> {
        let share = self.top_k as f64 / self.experts.len().max(1) as f64;
        let experts = self.experts.iter().flat_map(|expert| [&expert.gate, &expert.up, &expert.down]);
        std::iter::once((&self.router, 1.0)).chain(experts.map(|linear| (linear, share))).collect()
    }
}

impl GatedMlp {
    /// The output for `x`, both `[rows, d_model]`.
    fn forward(&self, team: &Team<'_>, adapters: &AdapterRows<'_>, x: &[f32]) -> Vec<f32> {
        let hidden = self.hidden(team, adapters, x);
        let mut out = vec![0.0; hidden.len() / self.down.weight.inputs().max(1) * self.down.weight.outputs()];
        forward_each(team, adapters, &hidden, [(&self.down, &mut out)]);
        out
    }

    /// The hidden vectors for `x`, `[rows, d_model]`: `[rows, d_ff]`.
    pub(crate) fn hidden(&self, team: &Team<'_>, adapters: &AdapterRows<'_>, x: &[f32]) -> Vec<f32> {
        let rows = x.len() / self.up.weight.inputs();
        let mut hidden = vec![0.0; rows * self.up.weight.outputs()];
        let mut gated = vec![0.0; hidden.len()];
        forward_each(team, adapters, x, [(&self.gate, &mut hidden), (&self.up, &mut gated)]);
        ops::gate(team, self.activation, &mut hidden, &gated);
        hidden
    }
}

/// Converts one token's router logits to the experts' weights: the softmax over the `top_k` largest, 0 for all others.
/// Ties go to the lower index.
fn select(logits: &mut [f32], top_k: usize) {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
    order.truncate(top_k);
    order.sort_unstable();
    let mut chosen: Vec<f32> = order.iter().map(|&expert| logits[expert]).collect();
    reference::softmax(&mut chosen);
    logits.fill(0.0);
    for (expert, weight) in order.into_iter().zip(chosen) {
        logits[expert] = weight;
    }
}

#[cfg(test)]
mod tests {
    use super::select;

    #[test]
    fn the_selected_weights_sum_to_one() {
        let mut scores = [0.5, -1.0, 2.0, 0.5];
        select(&mut scores, 2);
        assert_eq!((scores[1], scores[3]), (0.0, 0.0), "ties go to the lower index");
        assert!((scores[0] + scores[2] - 1.0).abs() < 1e-6 && scores[2] > scores[0]);
        let ratio = (scores[2] / scores[0]).ln();
        assert!((ratio - 1.5).abs() < 1e-5, "{ratio}");
        let mut all = [0.0, 3.0];
        select(&mut all, 2);
        assert!(all[0] > 0.0);
    }
}
