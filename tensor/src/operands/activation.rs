//! The activation functions of feed-forward layers, by name.

/// An activation function of the feed-forward layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    /// `x·½·(1 + erf(x/√2))` (Hendrycks and Gimpel, 2016).
    GeluErf,
    /// `½·x·(1 + tanh(√(2/π)·(x + 0.044715·x³)))`, GPT-2's form.
    GeluTanh,
    /// `x·σ(1.702·x)`.
    GeluQuick,
    /// `x·σ(x)`, also called swish.
    Silu,
    /// `max(x, 0)`.
    Relu,
    /// `max(x, 0)²`.
    ReluSquared,
}
