//! Compares values with their reference.
//!
//! An element agrees with its reference if `|Δ| ≤ tolerance · (1 + |reference| + largest / 100)`, where `largest` is
//! the largest magnitude in its row (of the last dimension). For elements much smaller than 1 this demands nothing, so
//! the whole value must agree too: `‖Δ‖ ≤ 100 · tolerance · ‖reference‖`. NaN agrees with nothing, infinity only with
//! itself.
//!
//! Why the row: float32 has 24 bits. Real models have a few components above ten thousand, where the last bit is worth
//! 0.001. Sums with such intermediate values are rounded accordingly, however small the result. With the usual
//! tolerance of 1e-4 the third term is about ten such bits, since earlier sums are rounded too.

use crate::hooks::Name;

/// The result of comparing a value with its reference.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// The value's name.
    pub name: Name,
    /// Its dimensions.
    pub shape: Vec<usize>,
    /// Whether it agrees.
    pub agrees: bool,
    /// The largest `|found − reference|`.
    pub max_difference: f64,
    /// `‖found − reference‖ / ‖reference‖`
    pub relative_error: f64,
    /// The cosine of the angle between the two; `None` if one of them is zero.
    pub cosine: Option<f64>,
    /// The index of the element with the largest error relative to its tolerance.
    pub worst: Vec<usize>,
    /// That element as found.
    pub worst_found: f32,
    /// That element in the reference.
    pub worst_expected: f32,
}

/// The comparison of next-token distributions.
#[derive(Clone, Debug, PartialEq)]
pub struct LogitComparison {
    /// The mean Kullback–Leibler divergence from the reference over the positions, in nats.
    pub mean_kl: f64,
    /// The largest of these divergences.
    pub max_kl: f64,
    /// The number of positions with the same most likely token.
    pub top1_agreeing: usize,
    /// The number of positions.
    pub positions: usize,
}

/// An incremental comparison: values may arrive in pieces.
#[derive(Clone, Debug)]
pub(super) struct Comparator {
    tolerance: f64,
    /// Length of a row.
    row: usize,
    compared: usize,
    max_difference: f64,
    /// The largest |Δ| / (1 + |reference| + largest / 100), with its index and values.
    worst: (f64, usize, f32, f32),
    /// Σ Δ², Σ found², Σ reference², Σ found · reference
    squares: [f64; 4],
}

impl Comparator {
    /// For a value with rows of `row` elements.
    pub(super) fn new(tolerance: f64, row: usize) -> Comparator {
        let (worst, row) = ((f64::NEG_INFINITY, 0, 0.0, 0.0), row.max(1));
        Comparator { tolerance, row, compared: 0, max_difference: 0.0, worst, squares: [0.0; 4] }
    }

    /// Number of elements compared so far.
    pub(super) fn compared(&self) -> usize {
        self.compared
    }

    /// Adds the next rows.
    ///
    /// # Panics
    /// If the lengths differ.
    pub(super) fn add(&mut self, found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len(), "Comparator::add: lengths differ");
        for (found, expected) in found.chunks(self.row).zip(expected.chunks(self.row)) {
            let finite = expected.iter().map(|x| f64::from(x.abs())).filter(|x| x.is_finite());
            let largest = finite.fold(0.0, f64::max);
            for (&found, &expected) in found.iter().zip(expected) {
                self.add_number(found, expected, largest);
            }
        }
    }

    fn add_number(&mut self, found: f32, expected: f32, largest: f64) {
        let (x, y) = (f64::from(found), f64::from(expected));
        let difference = match (x - y).abs() {
            _ if x == y => 0.0,
            finite if finite.is_finite() => finite,
            _ => f64::INFINITY,
        };
        // An infinite error is infinite, however large the reference.
        let allowed = 1.0 + y.abs() + largest / 100.0;
        let off = if difference.is_finite() { difference / allowed } else { difference };
        if off > self.worst.0 {
            self.worst = (off, self.compared, found, expected);
        }
        self.max_difference = self.max_difference.max(difference);
        self.squares[0] += difference * difference;
        if x.is_finite() && y.is_finite() {
            for (sum, term) in self.squares[1..].iter_mut().zip([x * x, y * y, x * y]) {
                *sum += term;
            }
        }
        self.compared += 1;
    }

    /// The result for the value `name`.
    pub(super) fn finish(self, name: Name, shape: Vec<usize>) -> Comparison {
        let [difference, found, expected, product] = self.squares;
        let relative_error = if difference == 0.0 { 0.0 } else { (difference / expected).sqrt() };
        let lengths = (found * expected).sqrt();
        let (off, worst, worst_found, worst_expected) = self.worst;
        let complete = self.compared > 0 && self.compared == shape.iter().product::<usize>();
        Comparison {
            name,
            agrees: complete && off <= self.tolerance && relative_error <= 100.0 * self.tolerance,
            max_difference: self.max_difference,
            relative_error,
            cosine: (lengths > 0.0).then(|| (product / lengths).clamp(-1.0, 1.0)),
            worst: index(worst, &shape),
            worst_found,
            worst_expected,
            shape,
        }
    }
}

/// The index along each dimension of the element at `position` in row-major order.
fn index(mut position: usize, shape: &[usize]) -> Vec<usize> {
    let mut index: Vec<usize> = shape
        .iter()
        .rev()
        .map(|&size| {
            let along = position % size.max(1);
            position /= size.max(1);
            along
        })
        .collect();
    index.reverse();
    index
}

/// The comparison of logits, row by row.
#[derive(Clone, Debug, Default)]
pub(super) struct LogitComparator {
    sum: f64,
    max: f64,
    agreeing: usize,
    positions: usize,
}

impl LogitComparator {
    /// Adds the logits of one position.
    pub(super) fn add(&mut self, found: &[f32], expected: &[f32]) {
        let kl = divergence(found, expected);
        self.sum += kl;
        self.max = self.max.max(kl);
        self.agreeing += usize::from(likeliest(found) == likeliest(expected));
        self.positions += 1;
    }

    pub(super) fn finish(self) -> LogitComparison {
        LogitComparison {
            mean_kl: self.sum / self.positions as f64,
            // `max` ignores NaN, a sum does not.
            max_kl: if self.sum.is_nan() { f64::NAN } else { self.max },
            top1_agreeing: self.agreeing,
            positions: self.positions,
        }
    }
}

/// `Σ p · ln(p / q)` of the softmax `p` of `expected` and the softmax `q` of `found`.
pub(super) fn divergence(found: &[f32], expected: &[f32]) -> f64 {
    let (of_found, of_expected) = (normalizer(found), normalizer(expected));
    let terms = found.iter().zip(expected).map(|(&found, &expected)| {
        let (q, p) = (f64::from(found) - of_found, f64::from(expected) - of_expected);
        if p == f64::NEG_INFINITY { 0.0 } else { p.exp() * (p - q) }
    });
    // Rounding may make a sum of zero negative; `max` would turn NaN into zero.
    let sum: f64 = terms.sum();
    if sum < 0.0 { 0.0 } else { sum }
}

/// The log-sum-exp: subtracted from logits it gives log probabilities.
pub(super) fn normalizer(logits: &[f32]) -> f64 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&logit| (f64::from(logit) - f64::from(largest)).exp()).sum();
    f64::from(largest) + sum.ln()
}

/// The index of the first maximum; `None` if one is NaN.
fn likeliest(logits: &[f32]) -> Option<usize> {
    if logits.iter().any(|logit| logit.is_nan()) {
        return None;
    }
    (0..logits.len()).rev().max_by(|&a, &b| logits[a].total_cmp(&logits[b]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::hooks::HookPoint;

    fn compare(found: &[f32], expected: &[f32], tolerance: f64) -> Comparison {
        let mut comparator = Comparator::new(tolerance, expected.len());
        comparator.add(found, expected);
        comparator.finish(Name { point: HookPoint::Embed, layer: None }, vec![1, expected.len()])
    }

    /// Errors that a comparison must reject.
    fn wrong(good: &[f32], at: usize) -> Vec<(&'static str, Vec<f32>)> {
        let each = |change: fn(f32) -> f32| good.iter().map(|&x| change(x)).collect();
        let one = |value: f32| {
            let mut bad = good.to_vec();
            bad[at] = value;
            bad
        };
        vec![
            ("zeros", vec![0.0; good.len()]),
            ("NaN", vec![f32::NAN; good.len()]),
            ("a sign flip", each(|x| -x)),
            ("a doubling", each(|x| x * 2.0)),
            ("a halving", each(|x| x / 2.0)),
            ("an infinity", one(f32::INFINITY)),
            ("a NaN", one(f32::NAN)),
            ("one bad element", one(good[at] + 0.01 * (1.0 + good[at].abs()))),
        ]
    }

    #[test]
    fn wrong_values_are_rejected_at_any_scale() {
        for scale in [1e-20f32, 1e-6, 1.0, 1e6, -1e-6, -1.0, -1e6] {
            let good: Vec<f32> = [1.0, -2.0, 30.0, -0.25, 7.0].iter().map(|x| x * scale).collect();
            assert!(compare(&good, &good, 0.0).agrees);
            for (what, bad) in wrong(&good, 3) {
                assert!(!compare(&bad, &good, 1e-4).agrees, "{what} at {scale:e} passed");
            }
        }
    }

    #[test]
    fn values_that_differ_by_rounding_agree() {
        let good = [1.0f32, -2.0, 30.0, -0.25];
        let near = [1.00001f32, -1.99999, 30.001, -0.25];
        let found = compare(&near, &good, 1e-4);
        assert!(found.agrees);
        assert!(!compare(&near, &good, 1e-6).agrees);
        assert_eq!((found.worst, found.worst_found, found.worst_expected), (vec![0, 2], 30.001, 30.0));
    }

    #[test]
    fn large_elements_of_the_row_raise_the_tolerance() {
        let good = [14_000.0f32, 0.5, -4.0];
        assert!(compare(&[14_000.0, 0.51, -4.01], &good, 1e-4).agrees);
        for bad in [[14_000.0, 0.53, -4.0], [14_000.0, 0.5, -3.98], [14_004.0, 0.5, -4.0]] {
            assert!(!compare(&bad, &good, 1e-4).agrees, "{bad:?}");
        }
        // The maximum of another row does not count.
        let mut comparator = Comparator::new(1e-4, 1);
        comparator.add(&[14_000.0, 0.501], &[14_000.0, 0.5]);
        assert!(!comparator.finish(Name { point: HookPoint::Embed, layer: None }, vec![2, 1]).agrees);
    }

    #[test]
    fn figures_computed_by_hand() {
        let found = compare(&[3.0, 4.0], &[4.0, 3.0], 1e-4);
        assert_eq!((found.max_difference, found.cosine), (1.0, Some(24.0 / 25.0)));
        assert_eq!((found.relative_error, found.worst), (2f64.sqrt() / 5.0, vec![0, 1]));
        assert_eq!(compare(&[0.0], &[1.0], 1.0).cosine, None);
        let found = compare(&[1.0], &[0.0], 1e-4);
        assert_eq!((found.agrees, found.relative_error), (false, f64::INFINITY));
        assert!(compare(&[0.0], &[0.0], 0.0).agrees);
    }

    #[test]
    fn infinity_agrees_only_with_itself() {
        let infinity = f32::INFINITY;
        assert!(compare(&[1.0, -infinity], &[1.0, -infinity], 1e-4).agrees);
        for (found, expected) in [
            (infinity, -infinity),
            (1.0, infinity),
            (infinity, 1.0),
            (f32::MIN, -infinity),
            (f32::NAN, infinity),
        ] {
            let comparison = compare(&[1.0, found], &[1.0, expected], 1e-4);
            assert!(!comparison.agrees, "{found} for {expected}");
            assert_eq!(comparison.worst, [0, 1]);
        }
        assert!(!compare(&[f32::NAN], &[f32::NAN], 1e-4).agrees);
    }

    #[test]
    fn an_incomplete_value_does_not_agree() {
        let mut comparator = Comparator::new(1e-4, 2);
        let name = Name { point: HookPoint::Embed, layer: None };
        assert!(!comparator.clone().finish(name, vec![2, 2]).agrees);
        comparator.add(&[1.0, 2.0], &[1.0, 2.0]);
        assert!(!comparator.clone().finish(name, vec![2, 2]).agrees);
        comparator.add(&[1.0, 2.0], &[1.0, 2.0]);
        assert!(comparator.finish(name, vec![2, 2]).agrees);
    }

    #[test]
    fn logits_are_compared_as_probabilities() {
        let mut comparator = LogitComparator::default();
        comparator.add(&[0.0, 0.0], &[1.0, 1.0]); // the same probabilities
        comparator.add(&[0.0, 3f32.ln()], &[0.0, 0.0]); // ¼, ¾ for ½, ½
        let found = comparator.clone().finish();
        let kl = 0.5 * 2f64.ln() + 0.5 * (2.0 / 3.0f64).ln();
        assert!((found.max_kl - kl).abs() < 1e-7 && (found.mean_kl - kl / 2.0).abs() < 1e-7);
        assert_eq!((found.top1_agreeing, found.positions), (1, 2));
        comparator.add(&[f32::NAN, 0.0], &[1.0, 0.0]);
        comparator.add(&[1.0, 0.0], &[1.0, 0.0]);
        let found = comparator.finish();
        assert!(found.max_kl.is_nan() && found.mean_kl.is_nan());
        assert_eq!((found.top1_agreeing, found.positions), (2, 4));
        let mut masked = LogitComparator::default();
        masked.add(&[0.0, f32::NEG_INFINITY], &[0.0, f32::NEG_INFINITY]);
        assert_eq!(masked.finish().mean_kl, 0.0);
    }

    proptest! {
        #[test]
        fn any_one_bad_number_is_found(
            good in prop::collection::vec(-100f32..100.0, 1..60),
            at in any::<prop::sample::Index>(),
            cut in any::<prop::sample::Index>(),
        ) {
            let at = at.index(good.len());
            for (what, bad) in wrong(&good, at).split_off(5) {
                let mut comparator = Comparator::new(1e-4, 3);
                let cut = cut.index(good.len()) / 3 * 3;
                comparator.add(&bad[..cut], &good[..cut]);
                comparator.add(&bad[cut..], &good[cut..]);
                let found = comparator.finish(Name { point: HookPoint::Embed, layer: None }, vec![1, good.len()]);
                prop_assert!(!found.agrees, "{} passed", what);
                prop_assert_eq!(found.worst, vec![0, at]);
            }
        }
    }
}
