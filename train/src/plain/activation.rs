//! The activation functions and their derivatives, and the gate of Llama's MLP.

use glassbox_tensor::ops::Activation;

use super::Float;

/// `y = activation(x)`
pub fn forward<F: Float>(activation: Activation, x: &[F]) -> Vec<F> {
    x.iter().map(|&x| value(activation, x)).collect()
}

/// `dx = dy · activation′(x)`
pub fn backward<F: Float>(activation: Activation, x: &[F], dy: &[F]) -> Vec<F> {
    x.iter().zip(dy).map(|(&x, &dy)| dy * derivative(activation, x)).collect()
}

/// `y = activation(gate) · up`
pub fn gate<F: Float>(activation: Activation, gate: &[F], up: &[F]) -> Vec<F> {
    gate.iter().zip(up).map(|(&gate, &up)| value(activation, gate) * up).collect()
}

/// `dgate = dy · up · activation′(gate)`, `dup = dy · activation(gate)`
pub fn gate_backward<F: Float>(activation: Activation, gate: &[F], up: &[F], dy: &[F]) -> (Vec<F>, Vec<F>) {
    let dgate = (0..dy.len()).map(|i| dy[i] * up[i] * derivative(activation, gate[i])).collect();
    let dup = (0..dy.len()).map(|i| dy[i] * value(activation, gate[i])).collect();
    (dgate, dup)
}

/// `activation(x)`
pub fn value<F: Float>(activation: Activation, x: F) -> F {
    match activation {
        Activation::GeluErf => x * normal_cdf(x),
        Activation::GeluTanh => x * sigmoid(tanh_argument(x)),
        Activation::GeluQuick => x * sigmoid(F::of(1.702) * x),
        Activation::Silu => x * sigmoid(x),
        Activation::Relu => relu(x),
        Activation::ReluSquared => relu(x) * relu(x),
    }
}

/// `activation′(x)`. `σ′ = σ·(1 − σ)`, so `(x·σ(u))′ = σ(u) + x·u′·σ(u)·(1 − σ(u))`; and the derivative of the
/// normal distribution function `Φ` is the normal density.
pub fn derivative<F: Float>(activation: Activation, x: F) -> F {
    let of_sigmoid = |u: F, du: F| sigmoid(u) + x * du * sigmoid(u) * (F::ONE - sigmoid(u));
    let step = if x > F::ZERO { F::ONE } else { F::ZERO };
    match activation {
        Activation::GeluErf => normal_cdf(x) + x * normal_density(x),
        Activation::GeluTanh => {
            let du = F::of(TWICE_ROOT_2_BY_PI) * (F::ONE + F::of(3.0 * 0.044715) * x * x);
            of_sigmoid(tanh_argument(x), du)
        }
        Activation::GeluQuick => of_sigmoid(F::of(1.702) * x, F::of(1.702)),
        Activation::Silu => of_sigmoid(x, F::ONE),
        Activation::Relu => step,
        Activation::ReluSquared => step * F::of(2.0) * x,
    }
}

/// `2·√(2/π)`
const TWICE_ROOT_2_BY_PI: f64 = 1.595_769_121_605_730_7;

/// `½·(1 + tanh(u))` is `σ(2u)`; this is `2u` of GPT-2's GELU.
fn tanh_argument<F: Float>(x: F) -> F {
    F::of(TWICE_ROOT_2_BY_PI) * (x + F::of(0.044715) * x * x * x)
}

fn sigmoid<F: Float>(x: F) -> F {
    F::ONE / (F::ONE + (-x).exp())
}

/// `Φ(x) = ½·(1 + erf(x/√2))`
fn normal_cdf<F: Float>(x: F) -> F {
    F::of(0.5) * (F::ONE + (x * F::of(std::f64::consts::FRAC_1_SQRT_2)).erf())
}

/// `exp(−x²/2)/√(2π)`
fn normal_density<F: Float>(x: F) -> F {
    F::of(0.398_942_280_401_432_7) * (F::of(-0.5) * x * x).exp()
}

fn relu<F: Float>(x: F) -> F {
    if x > F::ZERO { x } else { F::ZERO }
}
