//! `exp`, `tanh`, `erf` and the activations made of them, as polynomials of our own.
//!
//! The C library's functions differ between systems and have no vector form; these are the same few
//! correctly rounded operations at every level, so they give the same bits everywhere. Errors are
//! relative to the exact function: `exp` 2·10⁻⁷, GELU and SiLU 5·10⁻⁷ of the larger of |x|·2⁻²⁴ and the result.

use crate::operands::Activation;
use crate::simd::Lanes;

/// `exp` clamps its argument to this range, in which `2ⁿ` is an ordinary number: results from 10⁻³⁸ to 10³⁸.
pub(crate) const EXP_RANGE: (f32, f32) = (-87.3, 88.0);
/// ln 2 in two parts: the first has trailing zeros, so that `n · LN_2.0` is exact.
pub(crate) const LN_2: (f32, f32) = (0.693_359_4, -2.121_944_4e-4);
/// `(exp(r) - 1 - r) / r²` for |r| ≤ ln 2 / 2, lowest power first (a Chebyshev fit; error of `exp` 1.1·10⁻⁸).
pub(crate) const EXP_POLYNOMIAL: [f32; 5] =
    [0.5, 0.166_665_76, 0.041_666_467, 0.008_363_182, 0.001_393_365_2];
/// `ln(erfc(z)·exp(z²)/t)` for `t = 1/(1 + z/2)`, lowest power of `t` first (a Chebyshev fit; error 1.0·10⁻⁷).
pub(crate) const ERFC_POLYNOMIAL: [f32; 10] = [
    -1.265_491_4,
    0.999_546_5,
    0.378_535_42,
    0.074_412_47,
    -0.118_510_32,
    0.149_587_05,
    -0.978_760_84,
    1.371_955_3,
    -0.773_369_8,
    0.162_095_6,
];

/// `c[0] + c[1]·x + c[2]·x² + …` by Horner's rule.
#[inline(always)]
fn polynomial<S: Lanes>(s: S, x: S::F, c: &[f32]) -> S::F {
    let mut sum = s.splat(c[c.len() - 1]);
    for &c in c[..c.len() - 1].iter().rev() {
        sum = s.mul_add(sum, x, s.splat(c));
    }
    sum
}

/// `eˣ`, for `x` clamped to [`EXP_RANGE`]; NaN stays NaN.
///
/// `x = n·ln 2 + r` with whole `n` and |r| ≤ ln 2 / 2; then `eˣ = 2ⁿ · (1 + r + r²·p(r))`.
#[inline(always)]
pub(crate) fn exp<S: Lanes>(s: S, x: S::F) -> S::F {
    let x = s.max(s.splat(EXP_RANGE.0), s.min(s.splat(EXP_RANGE.1), x));
    let n = s.round(s.mul(x, s.splat(std::f32::consts::LOG2_E)));
    let minus_n = s.sub(s.splat(0.0), n);
    let r = s.mul_add(minus_n, s.splat(LN_2.1), s.mul_add(minus_n, s.splat(LN_2.0), x));
    let p = s.mul_add(s.mul(r, r), polynomial(s, r, &EXP_POLYNOMIAL), r);
    let power = s.exp2_whole(n);
    s.mul_add(p, power, power)
}

/// Applies the activation to each lane.
#[inline(always)]
pub(crate) fn activate<S: Lanes>(s: S, activation: Activation, x: S::F) -> S::F {
    match activation {
        Activation::GeluErf => gelu_erf(s, x),
        Activation::GeluTanh => {
            let cubed = s.mul(s.mul(x, x), x);
            let inner = s.mul_add(cubed, s.splat(0.044715), x);
            // ½·(1 + tanh(u)) is σ(2u).
            times_sigmoid(s, x, s.mul(inner, s.splat(2.0 * 0.797_884_6)))
        }
        Activation::GeluQuick => times_sigmoid(s, x, s.mul(x, s.splat(1.702))),
        Activation::Silu => times_sigmoid(s, x, x),
        Activation::Relu => s.max(s.splat(0.0), x),
        Activation::ReluSquared => {
            let positive = s.max(s.splat(0.0), x);
            s.mul(positive, positive)
        }
    }
}

/// The activation and its slope in each lane. As `σ′ = σ·(1 − σ)`, the slope of `x·σ(u)` is
/// `σ + x·u′·σ·(1 − σ)`; and the slope of the normal distribution function is the bell curve.
#[cfg(feature = "train")]
#[inline(always)]
pub(crate) fn activate_with_slope<S: Lanes>(s: S, activation: Activation, x: S::F) -> (S::F, S::F) {
    let step = s.min(s.splat(1.0), s.max(s.splat(0.0), s.mul(x, s.splat(1e38))));
    match activation {
        Activation::GeluErf => {
            let value = gelu_erf(s, x);
            let half_erfc = half_erfc(s, x);
            let twice_down = s.mul_add(step, s.splat(-2.0), s.splat(1.0));
            let normal = s.mul_add(twice_down, half_erfc, step);
            let bell = s.mul(s.splat(0.398_942_3), exp(s, s.mul(s.mul(x, x), s.splat(-0.5))));
            (value, s.mul_add(x, bell, normal))
        }
        Activation::GeluTanh => {
            let square = s.mul(x, x);
            let inner = s.mul_add(s.mul(square, x), s.splat(0.044715), x);
            let slope = s.mul_add(square, s.splat(3.0 * 0.044715), s.splat(1.0));
            let twice = s.splat(2.0 * 0.797_884_6);
            sigmoid_with_slope(s, x, s.mul(inner, twice), s.mul(slope, twice))
        }
        Activation::GeluQuick => sigmoid_with_slope(s, x, s.mul(x, s.splat(1.702)), s.splat(1.702)),
        Activation::Silu => sigmoid_with_slope(s, x, x, s.splat(1.0)),
        Activation::Relu => (s.max(s.splat(0.0), x), step),
        Activation::ReluSquared => {
            let positive = s.max(s.splat(0.0), x);
            (s.mul(positive, positive), s.mul(s.splat(2.0), positive))
        }
    }
}

/// `x · σ(u)` and its slope, `du` being that of `u`.
#[cfg(feature = "train")]
#[inline(always)]
fn sigmoid_with_slope<S: Lanes>(s: S, x: S::F, u: S::F, du: S::F) -> (S::F, S::F) {
    let power = exp(s, s.sub(s.splat(0.0), u));
    let sigmoid = s.div(s.splat(1.0), s.add(s.splat(1.0), power));
    let rest = s.sub(s.splat(1.0), sigmoid);
    let value = s.mul(x, sigmoid);
    (value, s.mul_add(s.mul(value, rest), du, sigmoid))
}

/// `x · σ(y)` as `x / (1 + e⁻ʸ)`.
#[inline(always)]
fn times_sigmoid<S: Lanes>(s: S, x: S::F, y: S::F) -> S::F {
    s.div(x, s.add(s.splat(1.0), exp(s, s.sub(s.splat(0.0), y))))
}

/// `½·x·erfc(-x/√2)`.
#[inline(always)]
fn gelu_erf<S: Lanes>(s: S, x: S::F) -> S::F {
    // For x < 0: x·half_erfc. For x ≥ 0: x·(1 - half_erfc) = x - |x|·half_erfc. Both are max(x, 0) - |x|·half_erfc.
    let size = s.max(x, s.sub(s.splat(0.0), x));
    s.sub(s.max(s.splat(0.0), x), s.mul(size, half_erfc(s, x)))
}

/// `½·erfc(|x|/√2)`, with `erfc(z) = t·exp(P(t) - z²)`.
#[inline(always)]
fn half_erfc<S: Lanes>(s: S, x: S::F) -> S::F {
    let z = s.mul(x, s.splat(std::f32::consts::FRAC_1_SQRT_2));
    let magnitude = s.max(z, s.sub(s.splat(0.0), z));
    let t = s.div(s.splat(1.0), s.mul_add(magnitude, s.splat(0.5), s.splat(1.0)));
    let exponent = s.sub(polynomial(s, t, &ERFC_POLYNOMIAL), s.mul(magnitude, magnitude));
    s.mul(s.mul(t, s.splat(0.5)), exp(s, exponent))
}
