//! The loss: cross entropy, the surprise `−ln p` of the target token in nats.

use super::Float;

/// `loss[r] = −ln softmax(logits[r])[target[r]]` for each row of `vocab_size` logits.
pub fn forward<F: Float>(logits: &[F], vocab_size: usize, targets: &[u32]) -> Vec<F> {
    let rows = logits.chunks_exact(vocab_size).zip(targets);
    rows.map(|(logits, &target)| ln_sum_exp(logits) - logits[target as usize]).collect()
}

/// `loss = ln Σ_j exp(logits[j]) − logits[target]`, so `dlogits[j] = softmax(logits)[j] − [j = target]`, here
/// times the row's `factors[r]`: its weight divided by the total weight.
pub fn backward<F: Float>(logits: &[F], vocab_size: usize, targets: &[u32], factors: &[F]) -> Vec<F> {
    let mut dlogits = Vec::with_capacity(logits.len());
    for ((logits, &target), &factor) in logits.chunks_exact(vocab_size).zip(targets).zip(factors) {
        let all = ln_sum_exp(logits);
        dlogits.extend(logits.iter().enumerate().map(|(j, &logit)| {
            let indicator = if j == target as usize { F::ONE } else { F::ZERO };
            ((logit - all).exp() - indicator) * factor
        }));
    }
    dlogits
}

/// `ln Σ exp(x)`. The maximum is subtracted first, so that no exponential overflows.
fn ln_sum_exp<F: Float>(x: &[F]) -> F {
    let largest = x.iter().fold(x[0], |a, &b| if b > a { b } else { a });
    largest + x.iter().fold(F::ZERO, |sum, &x| sum + (x - largest).exp()).ln()
}
