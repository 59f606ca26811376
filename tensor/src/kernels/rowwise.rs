//! Operations on one row that need a sum over it: softmax and the two norms.
//!
//! **Order of summation.** Lane `i` of sixteen adds up elements `i`, `i + 16`, `i + 32`, …; missing
//! elements of the last step count as zero; then the lanes are added in the fixed tree of
//! [`fold_sum`](crate::simd::fold_sum).

use super::math::exp;
use crate::simd::{Kernel, LANES, Lanes, fold_max, fold_sum};

// These loops are macros, not functions that take a closure: a closure is a function of its own, which the compiler
// need not inline, and compiled without the instructions of the level it is many times slower.

/// Runs `$body` with `$lanes` bound to each vector of the row; `$filler` stands for elements missing in the last one.
macro_rules! for_each_vector {
    ($s:expr, $x:expr, $filler:expr, |$lanes:ident| $body:expr) => {
        for i in (0..$x.len()).step_by($crate::simd::LANES) {
            let $lanes = $s.load_partial(&$x[i..], $filler);
            $body;
        }
    };
}
#[cfg(feature = "train")]
pub(super) use for_each_vector;

/// Replaces each vector `$lanes` of the row by `$body`.
macro_rules! map {
    ($s:expr, $x:expr, |$lanes:ident| $body:expr) => {
        for i in (0..$x.len()).step_by($crate::simd::LANES) {
            let $lanes = $s.load_partial(&$x[i..], 0.0);
            let value = $body;
            $s.store_partial(value, &mut $x[i..]);
        }
    };
}
pub(super) use map;

/// `out[i] = $body`, with `$a` and `$b` bound to a vector of each.
macro_rules! zip {
    ($s:expr, $x:expr, $y:expr, $out:expr, |$a:ident, $b:ident| $body:expr) => {
        for i in (0..$out.len()).step_by(LANES) {
            let ($a, $b) = ($s.load_partial(&$x[i..], 0.0), $s.load_partial(&$y[i..], 0.0));
            let value = $body;
            $s.store_partial(value, &mut $out[i..]);
        }
    };
}

/// `row[i] ← exp(row[i] - max) · (1/Σ)`: scores to probabilities, in place.
pub(crate) struct Softmax<'a> {
    pub(crate) row: &'a mut [f32],
}

impl Kernel for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, s: S) {
        let mut largest = s.splat(f32::NEG_INFINITY);
        for_each_vector!(s, self.row, f32::NEG_INFINITY, |x| largest = s.max(largest, x));
        let shift = s.splat(fold_max(s.to_array(largest)));
        let mut sum = s.splat(0.0);
        let (whole, rest) = self.row.as_chunks_mut::<LANES>();
        for x in whole {
            let power = exp(s, s.sub(s.load(x), shift));
            s.store(power, x);
            sum = s.add(sum, power);
        }
        map!(s, rest, |x| exp(s, s.sub(x, shift)));
        for_each_vector!(s, rest, 0.0, |x| sum = s.add(sum, x));
        let inverse = s.splat(1.0 / fold_sum(s.to_array(sum)));
        map!(s, self.row, |x| s.mul(x, inverse));
    }
}

/// `out[i] = weight[i] · (x[i] / √(mean(x²) + epsilon))` (Zhang and Sennrich, 2019).
pub(crate) struct RmsNorm<'a> {
    pub(crate) x: &'a [f32],
    pub(crate) weight: &'a [f32],
    pub(crate) epsilon: f32,
    pub(crate) out: &'a mut [f32],
}

impl Kernel for RmsNorm<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, s: S) {
        let mut sum = s.splat(0.0);
        for_each_vector!(s, self.x, 0.0, |x| sum = s.mul_add(x, x, sum));
        let mean_square = fold_sum(s.to_array(sum)) / self.x.len() as f32;
        let scale = s.splat(1.0 / (mean_square + self.epsilon).sqrt());
        zip!(s, self.x, self.weight, self.out, |x, weight| s.mul(weight, s.mul(x, scale)));
    }
}

/// `out[i] = (x[i] - mean) / √(variance + epsilon) · weight[i] + bias[i]` (Ba, Kiros and Hinton, 2016),
/// with the variance of the population.
pub(crate) struct LayerNorm<'a> {
    pub(crate) x: &'a [f32],
    pub(crate) weight: &'a [f32],
    pub(crate) bias: &'a [f32],
    pub(crate) epsilon: f32,
    pub(crate) out: &'a mut [f32],
}

impl Kernel for LayerNorm<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, s: S) {
        let count = self.x.len() as f32;
        let mut sum = s.splat(0.0);
        for_each_vector!(s, self.x, 0.0, |x| sum = s.add(sum, x));
        let mean = fold_sum(s.to_array(sum)) / count;
        let mean_lanes = s.splat(mean);
        let mut squares = s.splat(0.0);
        // Missing elements stand at the mean, so that they add nothing.
        for_each_vector!(s, self.x, mean, |x| {
            let distance = s.sub(x, mean_lanes);
            squares = s.mul_add(distance, distance, squares);
        });
        let variance = fold_sum(s.to_array(squares)) / count;
        let scale = s.splat(1.0 / (variance + self.epsilon).sqrt());
        zip!(s, self.x, self.weight, self.out, |x, weight| s.mul(s.mul(s.sub(x, mean_lanes), scale), weight));
        add_assign(s, self.out, self.bias);
    }
}

/// `out[i] ← out[i] + x[i]`
#[inline(always)]
pub(crate) fn add_assign<S: Lanes>(s: S, out: &mut [f32], x: &[f32]) {
    let ((whole, rest), (x, x_rest)) = (out.as_chunks_mut::<LANES>(), x.as_chunks::<LANES>());
    for (out, x) in whole.iter_mut().zip(x) {
        s.store(s.add(s.load(out), s.load(x)), out);
    }
    for (out, x) in rest.iter_mut().zip(x_rest) {
        *out += x;
    }
}
