//! Operations without a sum: sums of two vectors, activations, the rotary embedding.

use super::math::activate;
use super::rowwise::{add_assign, map};
use crate::operands::Activation;
use crate::simd::{Kernel, LANES, Lanes};

/// `x[i] ← x[i] + y[i]`
pub(crate) struct Add<'a> {
    pub(crate) x: &'a mut [f32],
    pub(crate) y: &'a [f32],
}

impl Kernel for Add<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, s: S) {
        add_assign(s, self.x, self.y);
    }
}

/// `x[i] ← activation(x[i])`
pub(crate) struct Activate<'a> {
    pub(crate) activation: Activation,
    pub(crate) x: &'a mut [f32],
}

impl Kernel for Activate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, s: S) {
        map!(s, self.x, |x| activate(s, self.activation, x));
    }
}

/// `gate[i] ← activation(gate[i]) · up[i]`
pub(crate) struct Gate<'a> {
    pub(crate) activation: Activation,
    pub(crate) gate: &'a mut [f32],
    pub(crate) up: &'a [f32],
}

impl Kernel for Gate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, s: S) {
        for i in (0..self.gate.len()).step_by(LANES) {
            let (gate, up) = (s.load_partial(&self.gate[i..], 0.0), s.load_partial(&self.up[i..], 0.0));
            s.store_partial(s.mul(activate(s, self.activation, gate), up), &mut self.gate[i..]);
        }
    }
}

/// Rotates the pairs `(x[i], x[i + half])` of one head by the angles of its position:
/// `x[i] ← x[i]·cos[i] - x[i + half]·sin[i]`, `x[i + half] ← x[i + half]·cos[i] + x[i]·sin[i]`,
/// the second product of each rounded before the (fused) first.
pub(crate) struct Rotate<'a> {
    /// `[head_dim]`, of which the first `2 · cos.len()` are rotated.
    pub(crate) head: &'a mut [f32],
    pub(crate) cos: &'a [f32],
    pub(crate) sin: &'a [f32],
}

impl Kernel for Rotate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, s: S) {
        let half = self.cos.len();
        let (low, high) = self.head[..2 * half].split_at_mut(half);
        let whole = half - half % LANES;
        let (cos, sin) = (self.cos.as_chunks::<LANES>().0, self.sin.as_chunks::<LANES>().0);
        let pairs = low.as_chunks_mut::<LANES>().0.iter_mut().zip(high.as_chunks_mut::<LANES>().0);
        for ((low, high), (cos, sin)) in pairs.zip(cos.iter().zip(sin)) {
            let (a, b, cos, sin) = (s.load(low), s.load(high), s.load(cos), s.load(sin));
            let minus_sin = s.sub(s.splat(0.0), sin);
            s.store(s.mul_add(a, cos, s.mul(b, minus_sin)), low);
            s.store(s.mul_add(b, cos, s.mul(a, sin)), high);
        }
        for i in whole..half {
            let (a, b, cos, sin) = (low[i], high[i], self.cos[i], self.sin[i]);
            low[i] = a.mul_add(cos, b * -sin);
            high[i] = b.mul_add(cos, a * sin);
        }
    }
}
