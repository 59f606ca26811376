//! The backward passes of rowwise and elementwise operations: norms, activations, softmax.
//!
//! **Order of summation.** Sums along a row are those of [`rowwise`](super::rowwise); sums over rows (a
//! norm's gradient) go from the first row to the last of a piece.

use super::math::{activate_with_slope, exp};
use super::rowwise::for_each_vector;
use crate::operands::Activation;
use crate::simd::{Kernel, LANES, Lanes, fold_max, fold_sum};

/// Some rows of a norm's backward pass. With `x̂` the normed `x`, `s` its scale and `g = dy · weight`:
/// `dx += s · (g − mean(g) − x̂ · mean(g · x̂))`, `dweight += dy · x̂`, `dbias += dy`; an RMS norm subtracts
/// no means of `x` and `g` and has no bias.
pub(crate) struct NormBackwardRows<'a> {
    /// `[rows, d]`
    pub(crate) x: &'a [f32],
    /// `[d]`
    pub(crate) weight: &'a [f32],
    pub(crate) epsilon: f32,
    /// `[rows, d]`
    pub(crate) dy: &'a [f32],
    /// `[rows, d]`, added to.
    pub(crate) dx: &'a mut [f32],
    /// `[d]`, added to.
    pub(crate) dweight: &'a mut [f32],
    /// `[d]`, added to; none for an RMS norm.
    pub(crate) dbias: Option<&'a mut [f32]>,
}

impl Kernel for NormBackwardRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(mut self, s: S) {
        let d = self.weight.len();
        for row in 0..self.x.len() / d {
            self.row(s, row * d);
        }
    }
}

impl NormBackwardRows<'_> {
    #[inline(always)]
    fn row<S: Lanes>(&mut self, s: S, from: usize) {
        let d = self.weight.len();
        let (x, dy, count) = (&self.x[from..][..d], &self.dy[from..][..d], d as f32);
        let mut mean = 0.0;
        if self.dbias.is_some() {
            let mut sum = s.splat(0.0);
            for_each_vector!(s, x, 0.0, |x| sum = s.add(sum, x));
            mean = fold_sum(s.to_array(sum)) / count;
        }
        let mean_lanes = s.splat(mean);
        let mut squares = s.splat(0.0);
        for_each_vector!(s, x, mean, |x| {
            let distance = s.sub(x, mean_lanes);
            squares = s.mul_add(distance, distance, squares);
        });
        let scale = 1.0 / (fold_sum(s.to_array(squares)) / count + self.epsilon).sqrt();
        let scale_lanes = s.splat(scale);
        // Missing elements of the last step count as zero: their weight is.
        let (mut sum_g, mut sum_gx) = (s.splat(0.0), s.splat(0.0));
        for i in (0..d).step_by(LANES) {
            let g = s.mul(s.load_partial(&dy[i..], 0.0), s.load_partial(&self.weight[i..], 0.0));
            let normed = s.mul(s.sub(s.load_partial(&x[i..], 0.0), mean_lanes), scale_lanes);
            sum_g = s.add(sum_g, g);
            sum_gx = s.mul_add(g, normed, sum_gx);
        }
        let mean_g = if self.dbias.is_some() { fold_sum(s.to_array(sum_g)) / count } else { 0.0 };
        let (mean_g, mean_gx) = (s.splat(mean_g), s.splat(fold_sum(s.to_array(sum_gx)) / count));
        for i in (0..d).step_by(LANES) {
            let dy = s.load_partial(&dy[i..], 0.0);
            let g = s.mul(dy, s.load_partial(&self.weight[i..], 0.0));
            let normed = s.mul(s.sub(s.load_partial(&x[i..], 0.0), mean_lanes), scale_lanes);
            let change = s.sub(s.sub(g, mean_g), s.mul(normed, mean_gx));
            let dx = &mut self.dx[from..][..d];
            s.store_partial(s.mul_add(scale_lanes, change, s.load_partial(&dx[i..], 0.0)), &mut dx[i..]);
            s.store_partial(
                s.mul_add(dy, normed, s.load_partial(&self.dweight[i..], 0.0)),
                &mut self.dweight[i..],
            );
            if let Some(dbias) = &mut self.dbias {
                s.store_partial(s.add(s.load_partial(&dbias[i..], 0.0), dy), &mut dbias[i..]);
            }
        }
    }
}

/// `dy[i] ← dy[i] · activation′(x[i])`
pub(crate) struct ActivateBackward<'a> {
    pub(crate) activation: Activation,
    pub(crate) x: &'a [f32],
    pub(crate) dy: &'a mut [f32],
}

impl Kernel for ActivateBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, s: S) {
        for i in (0..self.dy.len()).step_by(LANES) {
            let (_, slope) = activate_with_slope(s, self.activation, s.load_partial(&self.x[i..], 0.0));
            let dy = s.mul(s.load_partial(&self.dy[i..], 0.0), slope);
            s.store_partial(dy, &mut self.dy[i..]);
        }
    }
}

/// Of `y = activation(gate) · up`: `gate ← dy · up · activation′(gate)`, `up ← dy · activation(gate)`.
pub(crate) struct GateBackward<'a> {
    pub(crate) activation: Activation,
    pub(crate) gate: &'a mut [f32],
    pub(crate) up: &'a mut [f32],
    pub(crate) dy: &'a [f32],
}

impl Kernel for GateBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, s: S) {
        for i in (0..self.dy.len()).step_by(LANES) {
            let (dy, up) = (s.load_partial(&self.dy[i..], 0.0), s.load_partial(&self.up[i..], 0.0));
            let (value, slope) =
                activate_with_slope(s, self.activation, s.load_partial(&self.gate[i..], 0.0));
            s.store_partial(s.mul(s.mul(dy, up), slope), &mut self.gate[i..]);
            s.store_partial(s.mul(dy, value), &mut self.up[i..]);
        }
    }
}

/// A row's maximum, scaled, and its sum of exponentials: what a softmax needs to be computed again.
pub(crate) type MaxAndSum = [f32; 2];

/// `row[j] ← exp(scale · row[j] − largest) / Σ` over the whole row; returns `[largest, Σ]`.
pub(crate) struct ScaledSoftmax<'a> {
    pub(crate) row: &'a mut [f32],
    pub(crate) scale: f32,
}

impl Kernel for ScaledSoftmax<'_> {
    type Output = MaxAndSum;

    #[inline(always)]
    fn run<S: Lanes>(self, s: S) -> MaxAndSum {
        let scale = s.splat(self.scale);
        let mut most = s.splat(f32::NEG_INFINITY);
        for_each_vector!(s, self.row, f32::NEG_INFINITY, |x| most = s.max(most, x));
        let largest = fold_max(s.to_array(most)) * self.scale;
        let (shift, len) = (s.splat(-largest), self.row.len());
        let mut sum = s.splat(0.0);
        for i in (0..len).step_by(LANES) {
            let power = exp(s, s.mul_add(s.load_partial(&self.row[i..], 0.0), scale, shift));
            s.store_partial(power, &mut self.row[i..]);
            if i + LANES <= len {
                sum = s.add(sum, power);
            }
        }
        if len % LANES > 0 {
            sum = s.add(sum, s.load_partial(&self.row[len / LANES * LANES..], 0.0));
        }
        let total = fold_sum(s.to_array(sum));
        let by_total = s.splat(1.0 / total);
        for i in (0..len).step_by(LANES) {
            s.store_partial(s.mul(s.load_partial(&self.row[i..], 0.0), by_total), &mut self.row[i..]);
        }
        [largest, total]
    }
}

/// Computes the pattern again, and the gradient of the scores: `row[j] ← p = exp(scale · row[j] − largest) / Σ`,
/// `d[j] ← p · (d[j] − mean) · scale`.
pub(crate) struct SoftmaxBackward<'a> {
    pub(crate) row: &'a mut [f32],
    pub(crate) d: &'a mut [f32],
    pub(crate) scale: f32,
    pub(crate) max_and_sum: MaxAndSum,
    pub(crate) mean: f32,
}

impl Kernel for SoftmaxBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, s: S) {
        let (scale, shift) = (s.splat(self.scale), s.splat(-self.max_and_sum[0]));
        let (by_total, mean) = (s.splat(1.0 / self.max_and_sum[1]), s.splat(self.mean));
        for i in (0..self.row.len()).step_by(LANES) {
            let p = s.mul(exp(s, s.mul_add(s.load_partial(&self.row[i..], 0.0), scale, shift)), by_total);
            let d = s.mul(s.mul(p, s.sub(s.load_partial(&self.d[i..], 0.0), mean)), scale);
            s.store_partial(p, &mut self.row[i..]);
            s.store_partial(d, &mut self.d[i..]);
        }
    }
}

/// `Σ a·b` along a row.
pub(crate) struct Dot<'a> {
    pub(crate) a: &'a [f32],
    pub(crate) b: &'a [f32],
}

impl Kernel for Dot<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Lanes>(self, s: S) -> f32 {
        let mut sum = s.splat(0.0);
        for i in (0..self.a.len()).step_by(LANES) {
            sum = s.mul_add(s.load_partial(&self.a[i..], 0.0), s.load_partial(&self.b[i..], 0.0), sum);
        }
        fold_sum(s.to_array(sum))
    }
}
