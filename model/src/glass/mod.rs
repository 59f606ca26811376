//! The glass: every named value of a run, kept, summed up or compared with a reference.
//!
//! All of it stands on [`observe`](crate::observe): what is seen here are the very numbers that a generation computes
//! with. A text that was generated token by token has, bit for bit, the values of one pass over the whole of it
//! (there is one order of summation), so looking at a generation means looking at its text.
//!
//! - [`Name`] and [`Selection`]: which values there are, and which of them are wanted.
//! - [`record`] writes them to a safetensors file, [`summarise`] tells their shape, mean, spread and size.
//! - [`verify`] compares them with a [`Reference`], and finds the first that departs.
//! - [`lens`], [`AttentionPattern`], [`strongest_edges`], [`attribute`], [`neighbors_in_context`], [`compare_in_context`]:
//!   views that say something about it.
//! - [`compare_models`] tells what quantisation costs, layer by layer and in the end.
//! - [`Interventions`] change a run, [`Keep`] keeps what can be put into another.

mod attention;
mod attribution;
mod compare;
mod error;
mod glob;
mod in_context;
mod intervene;
mod keep;
mod lens;
mod models;
mod most;
mod names;
mod reference;
mod spool;
mod summary;
mod trace;
mod verify;
mod view_error;

pub use attention::{AttentionPattern, Edge, EdgeOptions, strongest_edges};
pub use attribution::{Attribution, Component, Contribution, attribute};
pub use compare::{Comparison, LogitComparison};
pub use error::Error;
pub use glob::{Glob, GlobError};
pub use in_context::{LayerNeighbors, Neighbor, Similarities, compare_in_context, neighbors_in_context};
pub use intervene::{Intervention, Interventions, Then};
pub use keep::{Keep, KeptRows};
pub use lens::{Candidate, LensLayer, LensOptions, lens, likeliest};
pub use models::{ModelComparison, compare_models};
pub use names::{Name, Selection};
pub use reference::Reference;
pub use summary::Summary;
pub use trace::{record, summarise};
pub use verify::{Verdict, verify};
pub use view_error::ViewError;
