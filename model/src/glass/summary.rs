//! Summary statistics of a value: mean, standard deviation, extremes, norm.

use crate::hooks::Name;

/// Summary statistics of a value. Elements that are not finite (masked scores are −∞) are counted and otherwise
/// excluded.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// The value's name.
    pub name: Name,
    /// Its dimensions.
    pub shape: Vec<usize>,
    /// The mean. If no element is finite, it and all other statistics except the norm are NaN.
    pub mean: f64,
    /// The population standard deviation.
    pub std: f64,
    /// The minimum.
    pub min: f32,
    /// The maximum.
    pub max: f32,
    /// The L2 norm of the whole value.
    pub norm: f64,
    /// The number of elements that are infinite or NaN.
    pub not_finite: usize,
}

/// An incremental summary: elements may arrive in pieces.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    count: usize,
    mean: f64,
    /// Σ (x − mean)²
    scatter: f64,
    squares: f64,
    extremes: Option<(f32, f32)>,
    not_finite: usize,
}

impl Tally {
    pub(super) fn add(&mut self, values: &[f32]) {
        let finite = || values.iter().copied().filter(|value| value.is_finite());
        let count = finite().count();
        self.not_finite += values.len() - count;
        if count == 0 {
            return;
        }
        let mean = finite().map(f64::from).sum::<f64>() / count as f64;
        let scatter: f64 = finite().map(|value| (f64::from(value) - mean).powi(2)).sum();
        self.squares += finite().map(|value| f64::from(value).powi(2)).sum::<f64>();
        let (low, high) = self.extremes.unwrap_or((f32::INFINITY, f32::NEG_INFINITY));
        self.extremes = Some((finite().fold(low, f32::min), finite().fold(high, f32::max)));
        // Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances" (1979).
        let (before, now, apart) = (self.count as f64, count as f64, mean - self.mean);
        self.count += count;
        self.mean += apart * now / (before + now);
        self.scatter += scatter + apart * apart * before * now / (before + now);
    }

    pub(super) fn finish(self, name: Name, shape: Vec<usize>) -> Summary {
        let known = |number: f64| if self.count == 0 { f64::NAN } else { number };
        let (min, max) = self.extremes.unwrap_or((f32::NAN, f32::NAN));
        let std = (self.scatter / self.count as f64).sqrt();
        let (mean, norm, not_finite) = (known(self.mean), self.squares.sqrt(), self.not_finite);
        Summary { name, shape, mean, std: known(std), min, max, norm, not_finite }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::hooks::HookPoint;

    fn summary(pieces: &[&[f32]]) -> Summary {
        let mut tally = Tally::default();
        pieces.iter().for_each(|piece| tally.add(piece));
        tally.finish(Name { point: HookPoint::Embed, layer: None }, vec![1])
    }

    #[test]
    fn numbers_worked_out_by_hand() {
        let all = summary(&[&[1.0, 2.0], &[3.0, 6.0]]);
        assert_eq!((all.mean, all.min, all.max, all.not_finite), (3.0, 1.0, 6.0, 0));
        assert_eq!((all.std, all.norm), (3.5f64.sqrt(), 50f64.sqrt()));
        let masked = summary(&[&[f32::NEG_INFINITY, -4.0], &[f32::NAN], &[-2.0]]);
        assert_eq!((masked.mean, masked.std, masked.min, masked.max), (-3.0, 1.0, -4.0, -2.0));
        assert_eq!(masked.not_finite, 2);
        let nothing = summary(&[&[f32::NAN]]);
        assert!(
            nothing.mean.is_nan() && nothing.std.is_nan() && nothing.min.is_nan() && nothing.max.is_nan()
        );
        assert_eq!((nothing.norm, nothing.not_finite), (0.0, 1));
    }

    proptest! {
        #[test]
        fn pieces_add_up(values in prop::collection::vec(-1e3f32..1e3, 1..40), cut in 0usize..40) {
            let (first, second) = values.split_at(cut.min(values.len()));
            let (whole, parts) = (summary(&[&values]), summary(&[first, second]));
            prop_assert!((whole.mean - parts.mean).abs() < 1e-9 && (whole.std - parts.std).abs() < 1e-9);
            prop_assert!((whole.norm - parts.norm).abs() < 1e-9);
            prop_assert_eq!((whole.min, whole.max), (parts.min, parts.max));
        }
    }
}
