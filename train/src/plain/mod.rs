//! The forward and backward pass of every layer as plain loops over `f32` or `f64`. **Read this first.**
//!
//! # How to read a backward pass
//!
//! Most files have one layer with two functions, `forward` and `backward`. `backward` gets `dy`, the derivative of the
//! loss with respect to the layer's outputs. It returns `dx`, the derivative with respect to its inputs, and adds the
//! derivatives of its parameters to `dw` and `db`. (Rotary works in place; the embedding's inputs are ids and have no
//! derivative.) All of it is the chain rule: `dx[i] = Σ_j dy[j] · ∂y[j]/∂x[i]`. Matrices are row-major, one row per
//! token; the sequences of a batch follow one another.
//!
//! The [`oracle`](crate::oracle) composes the layers, forward from first to last and backward from last to first. The
//! fast network (`pass.rs`) does the same with kernels and threads. Tests compare it with the oracle, and the oracle in
//! `f64` with central differences, `(loss(x + h) - loss(x - h)) / 2h`.

pub mod activation;
pub mod attention;
pub mod cross_entropy;
pub mod dropout;
pub mod embedding;
mod float;
pub mod linear;
pub mod norm;
pub mod rotary;

pub use float::Float;
