//! Scales for a group of numbers that K-formats share: those with the smallest squared error, by a short search.
//!
//! A group is stored as `scale·q` or `scale·q + offset` with small integers `q`. Neither half of that is hard alone: to
//! given scales the nearest integers are found by rounding, and to given integers the best scale and offset by
//! weighted least squares. So the search takes a few scales around the obvious one (the one that just reaches the
//! extremes), rounds, solves, rounds again, solves again, and keeps what has the smallest error. The alternation is
//! Lloyd's ("Least squares quantization in PCM", 1982); that several starts are worth their time, and that numbers far
//! from zero deserve more weight, is known from the quantisers of llama.cpp (ikawrakow, 2023).
//!
//! Sums run in eight lanes, always in the same order: the result is the same on every machine.

/// Lanes of a sum.
const LANES: usize = 8;

/// How often a start is rounded and solved.
const ROUNDS: usize = 2;

/// `x ≈ scale·q + offset`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Affine {
    pub(super) scale: f32,
    /// At most 0, for the formats hold what is subtracted.
    pub(super) offset: f32,
}

/// The affine fit of 32 finite numbers to the integers `0..=levels`.
pub(super) fn affine(values: &[f32; 32], levels: f32) -> Affine {
    let smallest = values.iter().fold(0.0f32, |a, &b| a.min(b));
    let largest = values.iter().fold(smallest, |a, &b| a.max(b));
    let spread = largest - smallest;
    let mut best = Affine { scale: spread / levels, offset: smallest };
    let root_mean_square = (sum(|i| values[i] * values[i], 32) / 32.0).sqrt();
    let mut weights = [0.0f32; 32];
    for (weight, value) in weights.iter_mut().zip(values) {
        *weight = root_mean_square + value.abs();
    }
    let mut least = f32::INFINITY;
    for start in 0..13 {
        // From a whole level below the obvious scale's inverse to a little above it.
        let inverse = (levels - 1.0 + 0.125 * start as f32) / spread;
        let mut fit = Affine { scale: 1.0 / inverse, offset: smallest };
        for _ in 0..ROUNDS {
            let q = integers(values, fit.scale, fit.offset, 0.0, levels);
            let Some(solved) = solve_affine(values, &weights, &q) else { break };
            fit = solved;
            let error = sum(
                |i| {
                    let off = values[i] - fit.scale * q[i] - fit.offset;
                    weights[i] * off * off
                },
                32,
            );
            if error < least {
                (least, best) = (error, fit);
            }
        }
    }
    best
}

/// The scale that fits 16 finite numbers to the integers `-32..=31`.
pub(super) fn symmetric(values: &[f32; 16]) -> f32 {
    let mut extreme = 0.0f32;
    for &value in values {
        if value.abs() > extreme.abs() {
            extreme = value;
        }
    }
    let mut best = extreme / -32.0;
    let mut least = f32::INFINITY;
    for start in 0..15 {
        // -32 is the integer of largest magnitude, so the scale's sign is the one that gives it to the extreme.
        let mut scale = extreme / (-32.7 + 0.1 * start as f32);
        for _ in 0..ROUNDS {
            let q = integers(values, scale, 0.0, -32.0, 31.0);
            // Weights x²: what is far from zero matters most.
            let products = sum(|i| values[i] * values[i] * values[i] * q[i], 16);
            let squares = sum(|i| values[i] * values[i] * q[i] * q[i], 16);
            scale = products / squares;
            let error = sum(
                |i| {
                    let off = values[i] * (values[i] - scale * q[i]);
                    off * off
                },
                16,
            );
            if error < least {
                (least, best) = (error, scale);
            }
        }
    }
    best
}

/// The integers in `lowest..=highest` nearest to `(x - offset) / scale`; 0 or `lowest` where that is no number.
pub(super) fn integers<const N: usize>(
    values: &[f32; N],
    scale: f32,
    offset: f32,
    lowest: f32,
    highest: f32,
) -> [f32; N] {
    let inverse = super::reciprocal(scale);
    let mut q = [0.0; N];
    for (q, value) in q.iter_mut().zip(values) {
        *q = nearest(((value - offset) * inverse).max(lowest).min(highest));
    }
    q
}

/// The integer nearest to a small number: adding 1.5·2²³ leaves no room for a fraction.
fn nearest(value: f32) -> f32 {
    const NO_FRACTION: f32 = 12_582_912.0;
    (value + NO_FRACTION) - NO_FRACTION
}

/// The weighted least squares of `x = scale·q + offset` with an offset of at most 0; `None` if all `q` are zero or
/// sums leave the range of f32.
fn solve_affine(values: &[f32; 32], weights: &[f32; 32], q: &[f32; 32]) -> Option<Affine> {
    let w = sum(|i| weights[i], 32);
    let wq = sum(|i| weights[i] * q[i], 32);
    let wqq = sum(|i| weights[i] * q[i] * q[i], 32);
    let wx = sum(|i| weights[i] * values[i], 32);
    let wqx = sum(|i| weights[i] * q[i] * values[i], 32);
    let determinant = w * wqq - wq * wq;
    let fit = if determinant > 0.0 {
        Affine { scale: (w * wqx - wq * wx) / determinant, offset: (wqq * wx - wq * wqx) / determinant }
    } else {
        Affine { scale: wqx / wqq, offset: 0.0 }
    };
    let fit = if fit.offset > 0.0 { Affine { scale: wqx / wqq, offset: 0.0 } } else { fit };
    (fit.scale.is_finite() && fit.offset.is_finite()).then_some(fit)
}

/// The sum of `term(0)`, …, `term(count - 1)`, in eight lanes; `count` is a multiple of eight.
#[inline(always)]
fn sum(term: impl Fn(usize) -> f32, count: usize) -> f32 {
    let mut lanes = [0.0f32; LANES];
    for first in (0..count).step_by(LANES) {
        for (lane, sum) in lanes.iter_mut().enumerate() {
            *sum += term(first + lane);
        }
    }
    let [a, b, c, d, e, f, g, h] = lanes;
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_on_a_grid_is_found_exactly() {
        let mut values = [0.0f32; 32];
        for (i, value) in values.iter_mut().enumerate() {
            *value = 0.25 * (i % 16) as f32 - 1.5;
        }
        let fit = affine(&values, 15.0);
        assert!((fit.scale - 0.25).abs() < 1e-6 && (fit.offset + 1.5).abs() < 1e-5, "{fit:?}");
        let mut values = [0.0f32; 16];
        for (i, value) in values.iter_mut().enumerate() {
            *value = 0.5 * (4 * i as i32 - 32) as f32;
        }
        assert!((symmetric(&values) - 0.5).abs() < 1e-6);
    }

    #[test]
    fn rounding_is_to_the_nearest_integer_in_range() {
        let q = integers(&[-40.0, -2.6, -2.4, 0.4, 0.6, 30.9, 99.0, f32::NAN], 1.0, 0.0, -32.0, 31.0);
        assert_eq!(q, [-32.0, -3.0, -2.0, 0.0, 1.0, 31.0, 31.0, -32.0]);
    }

    #[test]
    fn the_search_is_better_than_the_obvious_scale() {
        let error = |values: &[f32; 32], fit: Affine| -> f32 {
            let q = integers(values, fit.scale, fit.offset, 0.0, 15.0);
            values.iter().zip(q).map(|(x, q)| (x - fit.scale * q - fit.offset).powi(2)).sum()
        };
        let (mut searched, mut obvious) = (0.0, 0.0);
        let mut state = 1u32;
        for _ in 0..200 {
            // The sum of four uniform numbers: most of them near zero, as weights are.
            let mut number = || {
                let mut sum = 0.0;
                for _ in 0..4 {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    sum += (state >> 8) as f32 / (1 << 24) as f32 - 0.5;
                }
                sum
            };
            let values = [(); 32].map(|()| number());
            let (low, high) = values.iter().fold((0.0f32, 0.0f32), |(a, b), &x| (a.min(x), b.max(x)));
            searched += error(&values, affine(&values, 15.0));
            obvious += error(&values, Affine { scale: (high - low) / 15.0, offset: low });
        }
        assert!(searched < 0.9 * obvious, "{searched} searched, {obvious} obvious");
    }
}
