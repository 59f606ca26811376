//! Views inside a model: all named values of a run, recorded, summarised, compared with a reference, or changed.
//!
//! Everything here is an observer ([`hooks`](crate::hooks)), so the values are those that generation uses. A sequence
//! that was generated token by token has the same bits as one pass over the whole sequence (there is one order of
//! summation), so a generation is observed by running its text.
//!
//! - [`Name`] and [`Selection`]: the values of a model, and a selection of them.
//! - [`record`] writes them to a safetensors file, [`summarise`] computes shape, mean, standard deviation and norm.
//! - [`verify`] compares them with a [`Reference`], and finds the first that differs.
//! - [`lens`], [`attribute`], [`AttentionPattern`], [`strongest_edges`], [`neurons`]: what a prediction consists of.
//! - [`neighbors_in_context`], [`compare_in_context`]: tokens in context, against a [`Baseline`];
//!   [`nearest_embeddings`], [`mutual_cosines`]: the vocabulary.
//! - [`matmuls`]: the work and the time of a pass by kind of matrix product.
//! - [`compare_models`] measures the error of quantisation, layer by layer and in the predictions.
//! - [`next_word`] and [`find_word`] read a word as a token.
//! - [`Interventions`] change a run, [`Keep`] records values to patch into another. A [`Runtime`](crate::Runtime) with
//!   interventions applies them in every view. [`ablate`] runs the model without each of many parts.
//! - [`first_non_finite`] finds where a run goes wrong whose logits are NaN.

mod ablate;
mod attention;
mod attribution;
mod baseline;
mod compare;
mod direction;
mod edges;
mod error;
mod glob;
mod in_context;
mod lens;
mod matmuls;
mod models;
mod nearby;
mod neurons;
mod non_finite;
mod pieces;
mod reference;
mod selection;
mod summary;
mod top_k;
mod trace;
mod verify;
mod word_forms;
mod words;

pub use crate::hooks::{
    Intervention, Interventions, Keep, KeptRows, Name, ParsePartError, Part, PartKind, Then, ViewError,
};
pub use ablate::{Ablation, Ablations, ablate};
pub use attention::AttentionPattern;
pub use attribution::{Attribution, Component, Contribution, attribute, attribute_each};
pub use baseline::{Baseline, RandomCosines};
pub use compare::{Comparison, LogitComparison};
pub use edges::{Answer, Edge, EdgeMeasure, EdgeOptions, Edges, strongest_edges};
pub use error::Error;
pub use glob::{Glob, GlobError};
pub use in_context::{
    ContextComparison, LayerComparison, LayerNeighbors, Neighbor, NeighborOptions, Similarity,
    compare_in_context, neighbors_in_context,
};
pub use lens::{Candidate, LensLayer, LensOptions, Reading, candidate, lens, likeliest};
pub use matmuls::{MatmulOptions, Matmuls, TimedProduct, matmuls};
pub use models::{ModelComparison, compare_models};
pub use nearby::{Nearby, NearbyOptions, Term, mutual_cosines, nearest_embeddings, random_embedding_cosines};
pub use neurons::{Neuron, NeuronMeasure, NeuronOptions, Neurons, TokenEffect, neurons};
pub use non_finite::{NonFinite, first_non_finite};
pub use reference::Reference;
pub use selection::Selection;
pub use summary::Summary;
pub use trace::{TraceOptions, record, summarise};
pub use verify::{Verdict, verify};
pub use word_forms::{are_forms_of_one_word, is_whole_word};
pub use words::{WordTokens, find_word, next_word};
