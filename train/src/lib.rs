//! Training a GPT: where parameters come from.
//!
//! The core of the crate is a loss and its gradient:
//!
//! - [`Tensors`]: named `f32` tensors in one allocation. [`Parameters`], [`Gradients`] and the two moments of
//!   [`AdamW`] all are such, in the same order, so a checkpoint is three times the same list of names.
//!   Names, shapes and storage order are those of Hugging Face (GPT-2's `Conv1D` weights are
//!   `[inputs, outputs]`, Llama's `[outputs, inputs]`): what is trained is what is written to a file.
//! - [`Network`]: GPT-2 or Llama over such parameters. [`Network::loss`] and
//!   [`Network::loss_and_gradients`] run a [`Batch`] through it.
//! - [`AdamW`], [`Schedule`], [`clip_by_global_norm`]: how a gradient becomes a step.
//! - [`Adapters`]: LoRA. With adapters the parameters are frozen, and [`Network::trained`] and the
//!   gradients are the adapters' alone.
//! - [`plain`]: every layer's forward and backward as plain loops over `f32` or `f64`. **Read it first.**
//!
//! Around it stands all that makes a run of it: [`mod@data`] (from texts to batches), [`mod@recipe`] (what decides the
//! result), [`mod@run`] (the loop, checkpoints, going on after an interruption) and [`mod@export`].
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
//!     // Of several micro-batches, each would be divided by the weight of all.
//!     let loss = network.loss_and_gradients(&pool, &batch, batch.total_weight(), &mut gradients)?;
//!     clip_by_global_norm(&pool, &mut gradients, 1.0);
//!     optimizer.step(&pool, network.trained_mut(), &gradients, 1e-2);
//!     losses.push(loss.mean());
//! }
//! assert!(losses[19] < losses[0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The same bits again
//!
//! Parameters after any number of steps depend on the parameters before, the batches and the settings
//! alone: not on the number of threads nor on the instruction set.
#![forbid(unsafe_code)]

mod adamw;
mod adapters;
mod batch;
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
pub use run::{Run, RunError};
pub use schedule::Schedule;
pub use tensors::{Gradients, Kind, Layout, Parameters, Slot, Tensors};
