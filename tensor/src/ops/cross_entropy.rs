//! The loss of some rows of logits, and its derivative in their place.

use crate::kernels::backward::ScaledSoftmax;
use crate::pool::Team;

/// `losses[r] = −ln softmax(logits[r])[targets[r]]`, and in place
/// `logits[r][j] ← (softmax(logits[r])[j] − [j = targets[r]]) · factors[r]`, the derivative of
/// `Σ factors[r] · losses[r]`.
///
/// # Panics
/// If there is not one target, factor and loss for each row of `vocab_size` logits.
pub fn cross_entropy(
    team: &Team<'_>,
    logits: &mut [f32],
    vocab_size: usize,
    targets: &[u32],
    factors: &[f32],
    losses: &mut [f32],
) {
    let rows = super::rows_of("cross_entropy", logits.len(), vocab_size);
    let one_each = [targets.len(), factors.len(), losses.len()].iter().all(|&len| len == rows);
    assert!(one_each, "cross_entropy: a target, a factor and a loss for each row");
    let mut parts: Vec<_> = logits.chunks_exact_mut(vocab_size).zip(losses).collect();
    team.run_on_pieces(&mut parts, 1, |row, part| {
        let (logits, loss) = &mut part[0];
        let target = targets[row] as usize;
        let score = logits[target];
        let [largest, sum] = team.level().run(ScaledSoftmax { row: logits, scale: 1.0 });
        **loss = sum.ln() + (largest - score);
        logits.iter_mut().for_each(|p| *p *= factors[row]);
        logits[target] -= factors[row];
    });
}
