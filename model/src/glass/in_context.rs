//! Tokens in context: the nearest vocabulary directions of a token's vector, and its similarity to another occurrence.
//!
//! A token has the same embedding everywhere; each layer adds information from its context.
//! Ethayarajh, "How contextual are contextualized word representations?" (2019).

use glassbox_tensor::ops;

use super::keep::Keep;
use super::top_k::most;
use super::view_error::{ViewError, check};
use crate::hooks::HookPoint;
use crate::runtime::Runtime;
use crate::spec::Role;

/// The vocabulary directions nearest to a token's vector after one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerNeighbors {
    /// The layer, counted from 0.
    pub layer: usize,
    /// The neighbours, nearest first.
    pub neighbors: Vec<Neighbor>,
}

/// A token of the vocabulary near a vector.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbor {
    /// The token.
    pub id: u32,
    /// The cosine of its direction and the vector.
    pub cosine: f64,
}

/// The `top` vocabulary directions nearest to the token at `position` of `ids`, after each layer or after `layer`.
///
/// The vector is the residual stream leaving the layer ([`HookPoint::ResidPost`]) after the final norm; the directions
/// are the rows of the unembedding. This is the logit lens by angle, independent of the rows' norms.
///
/// # Errors
/// [`ViewError::OutOfRange`] for a layer or position, or errors of [`Session::feed`](crate::Session::feed).
pub fn neighbors_in_context(
    model: &Runtime,
    ids: &[u32],
    position: usize,
    layer: Option<usize>,
    top: usize,
) -> Result<Vec<LayerNeighbors>, ViewError> {
    layer.map_or(Ok(()), |layer| check("layer", layer, model.config.n_layers))?;
    let layers = layer.map_or(0..model.config.n_layers, |layer| layer..layer + 1);
    let streams = streams(model, ids, position)?;
    let (d_model, vocab_size) = (model.config.d_model, model.config.vocab_size);
    let x = &streams[(layers.start + 1) * d_model..(layers.end + 1) * d_model];

    let changed = model.adapted_vocabulary(Role::Unembedding)?;
    let directions = changed.as_ref().unwrap_or(model.vocabulary().unembedding());
    let mut normed = vec![0.0; x.len()];
    let mut dots = vec![0.0; layers.len() * vocab_size];
    model.pool.enter(|team| {
        model.adapted_final_norm().forward(team, x, &mut normed);
        ops::matmul(team, &normed, directions, &mut dots);
    });
    let mut row = vec![0.0; d_model];
    let lengths: Vec<f64> = (0..vocab_size)
        .map(|id| {
            directions.row(id, &mut row);
            length(&row)
        })
        .collect();
    let of_layer = |((layer, x), dots): ((usize, &[f32]), &[f32])| {
        let own = length(x);
        let neighbors = dots.iter().zip(&lengths).zip(0..).map(|((&dot, &length), id)| {
            let product = own * length;
            Neighbor { id, cosine: if product > 0.0 { f64::from(dot) / product } else { 0.0 } }
        });
        let neighbors = most(neighbors, top, |a, b| b.cosine.total_cmp(&a.cosine).then(a.id.cmp(&b.id)));
        LayerNeighbors { layer, neighbors }
    };
    Ok(layers.zip(normed.chunks_exact(d_model)).zip(dots.chunks_exact(vocab_size)).map(of_layer).collect())
}

/// The similarity of two tokens in two contexts.
#[derive(Clone, Debug, PartialEq)]
pub struct Similarities {
    /// The cosine before the first layer.
    pub before: f64,
    /// The cosine after each layer.
    pub after: Vec<f64>,
}

/// The cosines of the residual streams of two tokens, each given by ids and a position, after each layer.
///
/// # Errors
/// [`ViewError::OutOfRange`] for a position, or errors of [`Session::feed`](crate::Session::feed).
pub fn compare_in_context(
    model: &Runtime,
    (a, a_position): (&[u32], usize),
    (b, b_position): (&[u32], usize),
) -> Result<Similarities, ViewError> {
    let (a, b) = (streams(model, a, a_position)?, streams(model, b, b_position)?);
    let d_model = model.config.d_model;
    let mut cosines = a.chunks_exact(d_model).zip(b.chunks_exact(d_model)).map(|(a, b)| cosine(a, b));
    Ok(Similarities { before: cosines.next().unwrap_or(0.0), after: cosines.collect() })
}

/// The residual stream of one token before the first layer and after each, `[n_layers + 1, d_model]`. Later tokens do
/// not affect it and are not computed.
fn streams(model: &Runtime, ids: &[u32], position: usize) -> Result<Vec<f32>, ViewError> {
    check("position", position, ids.len())?;
    let n_layers = model.config.n_layers;
    let points = (0..n_layers).map(|layer| (HookPoint::ResidPost, Some(layer)));
    let mut keep = Keep::new(points.chain([(HookPoint::ResidPre, Some(0))]))?;
    let mut session = model.session(usize::MAX);
    if position > 0 {
        session.feed(&ids[..position])?;
    }
    session.feed_observed(&ids[position..=position], &mut keep)?;
    let before = keep.rows(HookPoint::ResidPre, Some(0)).into_iter();
    let after = (0..n_layers).filter_map(|layer| keep.rows(HookPoint::ResidPost, Some(layer)));
    Ok(before.chain(after).flat_map(|rows| rows.values.iter().copied()).collect())
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot: f64 = a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
    let product = length(a) * length(b);
    if product > 0.0 { dot / product } else { 0.0 }
}

fn length(x: &[f32]) -> f64 {
    x.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt()
}
