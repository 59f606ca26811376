//! Every layer's forward and backward as plain loops, over `f32` or `f64`. **Read this first.**
//!
//! # How a backward pass is read
//!
//! Each file holds one layer: `forward`, and beside it `backward`, which is handed `dy`, the derivative of
//! the loss by each of the layer's outputs, and says what follows for its inputs (`dx`, returned) and its
//! parameters (added to `dw`, `db`). All of it is the chain rule: if `y` depends on `x`, then
//! `dx[i] = Σ_j dy[j] · ∂y[j]/∂x[i]`. Matrices are row-major, a token a row.
//!
//! [`network`] puts the layers together, forward from the first to the last and backward the same way
//! back. The fast network does the same with vectors and threads and is compared with this one, which in
//! turn is compared, in `f64`, with central differences.

pub mod activation;
pub mod attention;
pub mod cross_entropy;
pub mod dropout;
pub mod embedding;
mod float;
pub mod linear;
pub mod network;
pub mod norm;
pub mod rotary;

pub use float::Float;
