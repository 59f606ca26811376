//! The operations of a forward pass in their plainest form: loops over slices, one number at a time.
//!
//! Read this file to learn what the operations are; the kernels only do the same faster. It is also their
//! oracle: it adds in the order they promise and uses the same polynomials, so the tests demand equality
//! (`==`), not closeness. Where [`ops`](crate::ops) takes all rows, a function here may take one row, one head or one
//! number, as its docs say; `reference/operations.rs` loops over the rest, so that a whole model runs on this file. The
//! backward pass has its plain version in the crate that trains.

mod operations;

use std::ops::Range;

pub(crate) use self::operations::Reference;
use crate::activations::Activations;
use crate::kernels::math::{ERFC_POLYNOMIAL, EXP_POLYNOMIAL, EXP_RANGE, LN_2};
use crate::operands::{Activation, Gemm, Start, ViewMut};
use crate::simd::LANES;
pub use crate::weights::IntegerRow;

/// `out = x · Wᵀ`: `x` is `[rows, inputs]`, `weight` is `[outputs, inputs]`.
pub fn matmul(x: &[f32], weight: &[f32], inputs: usize, out: &mut [f32]) {
    let outputs = weight.len() / inputs;
    for (x, out) in x.chunks_exact(inputs).zip(out.chunks_exact_mut(outputs)) {
        for (weight, out) in weight.chunks_exact(inputs).zip(out) {
            *out = chain(x.iter().zip(weight));
        }
    }
}

/// `Σ a·b`, in order, one rounding a step: the order of summation of a matmul's output.
fn chain<'a>(pairs: impl Iterator<Item = (&'a f32, &'a f32)>) -> f32 {
    pairs.fold(0.0, |sum, (a, b)| a.mul_add(*b, sum))
}

/// `Σ f(x[i])` in sixteen partial sums, `i mod 16`, then in a tree: the order of summation along a row.
/// `f` takes a partial sum and an element to the next partial sum.
fn row_sum(row: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut sums = [0.0; LANES];
    for (i, &x) in row.iter().enumerate() {
        sums[i % LANES] = f(sums[i % LANES], x);
    }
    for width in [8, 4, 2, 1] {
        for i in 0..width {
            sums[i] += sums[i + width];
        }
    }
    sums[0]
}

/// Turns one row of scores into probabilities, in place. As [`exp`] has a least value, −∞ becomes some 10⁻³⁸.
pub fn softmax(row: &mut [f32]) {
    let largest = row.iter().fold(f32::NEG_INFINITY, |a, &b| if b > a || b.is_nan() { b } else { a });
    for x in row.iter_mut() {
        *x = exp(*x - largest);
    }
    let inverse = 1.0 / row_sum(row, |sum, x| sum + x);
    for x in row {
        *x *= inverse;
    }
}

/// RMS norm of one row.
pub fn rms_norm(x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) {
    let mean_square = row_sum(x, |sum, x| x.mul_add(x, sum)) / x.len() as f32;
    let scale = 1.0 / (mean_square + epsilon).sqrt();
    for ((x, weight), out) in x.iter().zip(weight).zip(out) {
        *out = weight * (x * scale);
    }
}

/// Layer norm of one row.
pub fn layer_norm(x: &[f32], weight: &[f32], bias: &[f32], epsilon: f32, out: &mut [f32]) {
    let mean = row_sum(x, |sum, x| sum + x) / x.len() as f32;
    let variance = row_sum(x, |sum, x| (x - mean).mul_add(x - mean, sum)) / x.len() as f32;
    let scale = 1.0 / (variance + epsilon).sqrt();
    for (((x, weight), bias), out) in x.iter().zip(weight).zip(bias).zip(out) {
        *out = (x - mean) * scale * weight + bias;
    }
}

/// `eˣ`, by `x = n·ln 2 + r` and a polynomial in `r`; the argument is clamped to where the result is an
/// ordinary number.
pub fn exp(x: f32) -> f32 {
    if x.is_nan() {
        return x;
    }
    let x = x.clamp(EXP_RANGE.0, EXP_RANGE.1);
    let n = (x * std::f32::consts::LOG2_E).round_ties_even();
    let r = (-n).mul_add(LN_2.1, (-n).mul_add(LN_2.0, x));
    let p = (r * r).mul_add(polynomial(r, &EXP_POLYNOMIAL), r);
    let power = f32::from_bits(((n as i32 + 127) as u32) << 23);
    p.mul_add(power, power)
}

/// `c[0] + c[1]·x + c[2]·x² + …` by Horner's rule.
fn polynomial(x: f32, c: &[f32]) -> f32 {
    c.iter().rev().copied().reduce(|sum, c| sum.mul_add(x, c)).unwrap_or(0.0)
}

/// One value of an activation function.
pub fn activate(activation: Activation, x: f32) -> f32 {
    let times_sigmoid = |y: f32| x / (1.0 + exp(-y));
    match activation {
        Activation::GeluErf => gelu_erf(x),
        // ½·(1 + tanh(u)) is σ(2u), and 0.797… is √(2/π).
        Activation::GeluTanh => times_sigmoid((x * x * x).mul_add(0.044715, x) * (2.0 * 0.797_884_6)),
        Activation::GeluQuick => times_sigmoid(x * 1.702),
        Activation::Silu => times_sigmoid(x),
        Activation::Relu if x < 0.0 => 0.0,
        Activation::Relu => x,
        Activation::ReluSquared => activate(Activation::Relu, x) * activate(Activation::Relu, x),
    }
}

/// `½·x·erfc(-x/√2)`, which is `max(x, 0) - |x|·½·erfc(z)` with `z = |x|/√2`, because `erfc(-z) = 2 - erfc(z)`; and for
/// `z ≥ 0` `erfc(z) = t·exp(P(t) - z²)` with `t = 1/(1 + z/2)`.
fn gelu_erf(x: f32) -> f32 {
    let z = (x * std::f32::consts::FRAC_1_SQRT_2).abs();
    let t = 1.0 / z.mul_add(0.5, 1.0);
    let half_erfc = t * 0.5 * exp(polynomial(t, &ERFC_POLYNOMIAL) - z * z);
    activate(Activation::Relu, x) - x.abs() * half_erfc
}

/// Rotates one head by the angles of its position: components `i` and `i + cos.len()` are a pair.
pub fn rotate(head: &mut [f32], cos: &[f32], sin: &[f32]) {
    let half = cos.len();
    for i in 0..half {
        let (a, b) = (head[i], head[i + half]);
        head[i] = a.mul_add(cos[i], b * -sin[i]);
        head[i + half] = b.mul_add(cos[i], a * sin[i]);
    }
}

/// Scaled dot products of one query `[head_dim]` with the visible keys (each `[head_dim]`): fills `scores`
/// `[positions]`, −∞ elsewhere.
pub fn attention_scores(
    query: &[f32],
    keys: &[&[f32]],
    visible: Range<usize>,
    scale: f32,
    scores: &mut [f32],
) {
    scores.fill(f32::NEG_INFINITY);
    for position in visible {
        scores[position] = chain(query.iter().zip(keys[position])) * scale;
    }
}

/// Turns a row of scores into a row of the pattern, in place: a softmax over `visible`, zero elsewhere.
pub fn attention_pattern(row: &mut [f32], visible: Range<usize>) {
    // The sum begins at a multiple of sixteen, so that a position stays in the same partial sum.
    row[..visible.start].fill(f32::NEG_INFINITY);
    softmax(&mut row[visible.start / LANES * LANES..visible.end]);
    row[..visible.start].fill(0.0);
    row[visible.end..].fill(0.0);
}

/// The weighted sum of the visible values (each `[head_dim]`): fills `z` `[head_dim]`.
pub fn attention_mix(pattern: &[f32], values: &[&[f32]], visible: Range<usize>, z: &mut [f32]) {
    for (d, z) in z.iter_mut().enumerate() {
        *z = visible.clone().fold(0.0, |sum, position| pattern[position].mul_add(values[position][d], sum));
    }
}

// The rest is for training and for quantised weights. Skip it at first.

/// `out = start + a · b + bias`, the products added in order of `k`.
pub fn gemm(Gemm { a, b, start, bias }: Gemm<'_>, out: ViewMut<'_>) {
    for row in 0..a.rows {
        for column in 0..b.columns {
            let out = &mut out.data[row * out.row_stride + column];
            let start = match start {
                Start::Zero => 0.0,
                Start::Out => *out,
                Start::At(view) => view.at(row, column),
            };
            let sum = (0..a.columns).fold(start, |sum, k| a.at(row, k).mul_add(b.at(k, column), sum));
            *out = bias.map_or(sum, |bias| sum + bias[column]);
        }
    }
}

/// Activations quantised to integers, one scale per span: `x ≈ scale · p`.
#[derive(Clone, Debug)]
pub struct IntegerInputs {
    /// `[rows, inputs]`: the integers.
    p: Vec<i32>,
    /// `[rows, spans]`
    scales: Vec<f32>,
    /// Inputs that share a scale. The last span of a row may have fewer.
    span: usize,
}

impl IntegerInputs {
    /// Quantises `x`, `[rows, inputs]`; `None` if activations stay in `f32`.
    pub fn round(activations: Activations, x: &[f32], inputs: usize) -> Option<IntegerInputs> {
        let (largest, span) = match activations {
            Activations::F32 => return None,
            Activations::Int8 => (127.0, 32),
            // 127 · 256: two signed bytes, a high and a low one, can hold it.
            Activations::Int16 => (32512.0, 128),
        };
        let (mut p, mut scales) = (Vec::new(), Vec::new());
        for x in x.chunks(inputs).flat_map(|row| row.chunks(span)) {
            let finite = x.iter().all(|x| x.is_finite());
            let size = if finite { x.iter().fold(0.0f32, |a, x| a.max(x.abs())) } else { f32::NAN };
            let inverse = largest / size;
            // All zero, or so small that it counts as zero; or NaN, which the scale keeps.
            let inverse = if inverse.is_finite() { inverse } else { 0.0 };
            let integer = |x: &f32| (x * inverse).round_ties_even().min(largest).max(-largest) as i32;
            p.extend(x.iter().map(integer));
            scales.push(size / largest);
        }
        Some(IntegerInputs { p, scales, span })
    }
}

/// One output of `x · Wᵀ` in integers, for every row of `x`: `weight` is the output's row of `W`, `out` is `[rows]`.
///
/// `out[row]` is the sum, over the spans of inputs, of the span's scale times `t`; and `t` is the sum, over the groups
/// of weights in a span, of `offset · Σp` and then `scale · Σqp`, each rounded once. Sums of integers are exact until
/// they become `f32`.
pub fn matmul_integers(x: &IntegerInputs, weight: &IntegerRow, out: &mut [f32]) {
    let inputs = weight.q.len();
    let group = inputs / weight.groups.len();
    let spans = inputs.div_ceil(x.span);
    for (row, out) in out.iter_mut().enumerate() {
        *out = 0.0;
        for (span, scales) in weight.groups.chunks(x.span / group).enumerate() {
            let mut t = 0.0;
            for (i, &(scale, offset)) in scales.iter().enumerate() {
                let from = span * x.span + i * group;
                let p = &x.p[row * inputs + from..][..group];
                let inputs_sum: i32 = p.iter().sum();
                let products: i32 = p.iter().zip(&weight.q[from..]).map(|(p, q)| p * i32::from(*q)).sum();
                t = offset.mul_add(inputs_sum as f32, t);
                t = scale.mul_add(products as f32, t);
            }
            *out = x.scales[row * spans + span].mul_add(t, *out);
        }
    }
}
