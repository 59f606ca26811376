//! Final norm, unembedding and loss, with their backward pass.
//!
//! Logits are the largest intermediate value (a vocabulary per token), so they are computed for a chunk of tokens at a
//! time, forward and backward together. Tokens with weight 0 are skipped.

use glassbox_tensor::ops::{self, Gemm, View, ViewMut};

use crate::pass::Pass;
use crate::tensors::Gradients;
use crate::workspace::{Scratch, Workspace};

/// Maximum number of logits in a chunk: 64 MiB.
const CHUNK: usize = 1 << 24;

/// Maximum number of tokens in a chunk: enough to repay the packing of the matrix for each product.
const TOKENS: usize = 1024;

/// The loss of each position, 0 where the weight is 0.
pub(crate) fn forward(pass: Pass<'_>, work: &mut Workspace) -> Vec<f32> {
    chunks(pass, work, 1.0, None)
}

/// The same; leaves the gradient with respect to the stream after the last block in `work.scratch.dx`.
pub(crate) fn forward_and_backward(
    pass: Pass<'_>,
    work: &mut Workspace,
    total_weight: f64,
    gradients: &mut Gradients,
) -> Vec<f32> {
    let losses = chunks(pass, work, total_weight, Some(gradients));
    let Workspace { streams, scratch: Scratch { dx, dnormed, .. }, .. } = work;
    let norm = pass.network.plan().final_norm;
    if let Some(x) = streams.last() {
        dx.fill(0.0);
        pass.norm_backward(norm, x, dnormed, dx, gradients);
    }
    losses
}

fn chunks(
    pass: Pass<'_>,
    work: &mut Workspace,
    total_weight: f64,
    mut gradients: Option<&mut Gradients>,
) -> Vec<f32> {
    let (network, team, batch, d) = (pass.network, pass.team, pass.batch, pass.d());
    let (plan, vocab_size) = (network.plan(), network.config().vocab_size);
    let index = plan.unembedding.unwrap_or(plan.embedding);
    let head = View::new(network.parameters().at(index), vocab_size, d);

    let Workspace { streams, scratch, .. } = work;
    let Scratch { normed, dnormed, picked, logits, .. } = scratch;
    if let Some(x) = streams.last() {
        pass.norm(plan.final_norm, x, normed);
    }
    if gradients.is_some() {
        dnormed.fill(0.0);
    }
    let counting: Vec<usize> = (0..pass.rows()).filter(|&row| batch.weights[row] != 0.0).collect();
    let mut losses = vec![0.0; pass.rows()];
    let most = (CHUNK / vocab_size).clamp(48, TOKENS);
    let chunk = counting.len().div_ceil(counting.len().div_ceil(most).max(1)).max(1);
    for rows in counting.chunks(chunk) {
        picked.clear();
        rows.iter().for_each(|row| picked.extend_from_slice(&normed[row * d..][..d]));
        let targets: Vec<u32> = rows.iter().map(|&row| batch.targets[row]).collect();
        let factors: Vec<f32> =
            rows.iter().map(|&row| (f64::from(batch.weights[row]) / total_weight) as f32).collect();
        let mut of_rows = vec![0.0; rows.len()];

        logits.resize(rows.len() * vocab_size, 0.0);
        let x = View::new(picked, rows.len(), d);
        ops::gemm(team, Gemm::new(x, head.transposed()), ViewMut::new(logits, rows.len(), vocab_size));
        ops::cross_entropy(team, logits, vocab_size, &targets, &factors, &mut of_rows);
        rows.iter().zip(&of_rows).for_each(|(&row, &loss)| losses[row] = loss);

        let Some(gradients) = gradients.as_deref_mut() else { continue };
        let dlogits = View::new(logits, rows.len(), vocab_size);
        if network.adapters().is_none() {
            let dhead = ViewMut::new(gradients.at_mut(index), vocab_size, d);
            ops::gemm(team, Gemm::new(dlogits.transposed(), x).accumulate(), dhead);
        }
        ops::gemm(team, Gemm::new(dlogits, head), ViewMut::new(picked, rows.len(), d));
        for (&row, dx) in rows.iter().zip(picked.chunks_exact(d)) {
            dnormed[row * d..][..d].copy_from_slice(dx);
        }
    }
    losses
}
