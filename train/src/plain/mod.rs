//! Every layer's forward and backward as plain loops, over `f32` or `f64`. **Read this first.**
//!
//! # How a backward pass is read
//!
//! Most files hold one layer: `forward`, and beside it `backward`, which is handed `dy`, the derivative of
//! the loss by each of the layer's outputs, and says what follows for its inputs (`dx`, returned, unless the layer works in
//! place as rotary does, or has ids for inputs as the embedding) and its parameters (added to `dw`, `db`). All of it is
//! the chain rule: if `y` depends on `x`, then `dx[i] = Σ_j dy[j] · ∂y[j]/∂x[i]`. Matrices are row-major, a token a row;
//! `texts` of `tokens` tokens stand one after the other.
//!
//! The [`oracle`](crate::oracle) puts the layers together, forward from the first to the last and backward from the last to the
//! first. The fast network (`pass.rs`) does the same with vectors and threads and is compared with this one,
//! which in turn is compared, in `f64`, with central differences: `(loss(x + h) - loss(x - h)) / 2h`.

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
