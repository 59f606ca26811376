//! Training a GPT: loss, gradients and optimiser.
//!
//! The core of the crate is a loss and its gradient:
//!
//! - [`Tensors`]: named `f32` tensors in one allocation. [`Parameters`], [`Gradients`] and the two moments of
//!   [`AdamW`] are of this type, in the same order, so a checkpoint has the same list of names three times.
//!   Names, shapes and storage order are those of Hugging Face (GPT-2's `Conv1D` weights are
//!   `[inputs, outputs]`, Llama's `[outputs, inputs]`), so parameters are written to files as they are.
//! - [`Network`]: a decoder with such parameters, of any family whose parts all have a backward pass.
//!   [`Network::loss`] and [`Network::loss_and_gradients`] run a [`Batch`] through it.
//! - [`AdamW`], [`Schedule`], [`clip_by_global_norm`]: from a gradient to an update of the parameters.
//! - [`Adapters`]: LoRA. With adapters the parameters are frozen; [`Network::trained`] and the
//!   gradients hold only the adapters.
//! - [`plain`]: every layer's forward and backward as plain loops over `f32` or `f64`. **Read it first.**
//!
//! The rest makes it a training run: [`mod@data`] (from text files to batches), [`mod@recipe`] (all settings),
//! [`mod@run`] (the training loop, checkpoints, resuming), [`mod@finetune`] and [`mod@export`].
//!
//! # A step
//!
//! ```
//! use glassbox_model::Config;
//! use glassbox_tensor::{Level, Pool};
//! use glassbox_train::{AdamW, AdamWConfig, Batch, Network, clip_by_global_norm, gpt2_config};
//!
//! let config: Config = gpt2_config(20, 8, 16, 2, 2);
//! let mut network = Network::new(config, 1)?;
//! let mut optimizer = AdamW::new(AdamWConfig::default(), network.trained());
//! let mut gradients = network.gradients();
//! let pool = Pool::new(2, Level::detect())?;
//! let batch = Batch::next_token(&[1, 2, 3, 4, 5, 1, 2, 3, 4, 5], 2)?;
//!
//! let mut losses = Vec::new();
//! for _ in 0..20 {
//!     gradients.zero();
//!     // With several micro-batches, pass the total weight of all of them to each call.
//!     let loss = network.loss_and_gradients(&pool, &batch, batch.total_weight(), &mut gradients)?;
//!     clip_by_global_norm(&pool, &mut gradients, 1.0);
//!     optimizer.step(&pool, network.trained_mut(), &gradients, 1e-2);
//!     losses.push(loss.mean());
//! }
//! assert!(losses[19] < losses[0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Reproducible bits
//!
//! The parameters after any number of steps depend only on the initial parameters, the batches and the settings,
//! not on the number of threads or the instruction set.
#![forbid(unsafe_code)]

mod adamw;
mod adapters;
mod batch;
mod blocks;
pub mod data;
mod error;
pub mod export;
mod files;
pub mod finetune;
mod head;
mod initial;
mod linear;
mod loss;
mod network;
pub mod oracle;
mod pass;
pub mod plain;
mod plan;
pub mod plot;
mod random;
pub mod recipe;
pub mod run;
mod run_error;
mod schedule;
mod tensors;
pub mod watch;
mod workspace;

pub use adamw::{AdamW, AdamWConfig, clip_by_global_norm};
pub use adapters::{Adapters, LoraConfig};
pub use batch::{Batch, Loss};
pub use data::DataError;
pub use error::Error;
pub use network::{Network, gpt2_config};
pub use random::Random;
pub use recipe::Recipe;
pub use run::Run;
pub use run_error::RunError;
pub use schedule::Schedule;
pub use tensors::{Gradients, Layout, ParameterKind, Parameters, TensorSlot, Tensors};
