//! Tokens in context: the nearest vocabulary directions of a token's vector, and its similarity to another occurrence.
//!
//! A token has the same embedding everywhere; each layer adds information from its context. Ethayarajh, "How contextual
//! are contextualized word representations?" (2019).
//!
//! The residual streams of all tokens share a large part, so the cosine of any two is near 1. It says something about
//! two tokens only after the [`Baseline`]'s mean is subtracted from both. Mu and Viswanath, "All-but-the-top: simple
//! and effective postprocessing for word representations" (2018).

use glassbox_tensor::{PackedMatrix, ops};

use super::baseline::{Baseline, RandomCosines, all_streams, centred, cosine, length};
use super::neurons::{TokenEffect, raised_and_lowered};
use super::top_k::most;
use crate::hooks::{ViewError, check};
use crate::runtime::Runtime;
use crate::spec::Role;

/// The vocabulary directions nearest to a token's vector after one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerNeighbors {
    /// The layer, counted from 0.
    pub layer: usize,
    /// The neighbours, nearest first.
    pub neighbors: Vec<Neighbor>,
    /// The cosines of the vector and all vocabulary directions.
    pub random: RandomCosines,
}

/// A token of the vocabulary near a vector.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbor {
    /// The token.
    pub id: u32,
    /// The cosine of its direction and the vector, both without their mean.
    pub cosine: f64,
    /// The cosine of the two as they are.
    pub raw: f64,
}

/// Selects a token in a context, and its neighbours.
#[derive(Clone, Debug, PartialEq)]
pub struct NeighborOptions {
    /// The token's position.
    pub position: usize,
    /// Only after this layer; `None`: after every layer.
    pub layer: Option<usize>,
    /// Number of neighbours.
    pub top: usize,
}

/// The vocabulary directions nearest to the token at `options.position` of `ids`, after each layer.
///
/// The vector is the residual stream leaving the layer ([`ResidPost`](crate::hooks::HookPoint::ResidPost)) after the
/// final norm, minus the mean of the same over `baseline`. The directions are the rows of the unembedding minus their
/// mean. This is the logit lens by angle, independent of the rows' lengths and of what all tokens share.
///
/// # Errors
/// [`ViewError::OutOfRange`] for a layer or position, or errors of [`Session::feed`](crate::Session::feed).
pub fn neighbors_in_context(
    model: &Runtime,
    ids: &[u32],
    options: &NeighborOptions,
    baseline: &Baseline,
) -> Result<Vec<LayerNeighbors>, ViewError> {
    let (d_model, vocab_size) = (model.config.d_model, model.config.vocab_size);
    check("position", options.position, ids.len())?;
    options.layer.map_or(Ok(()), |layer| check("layer", layer, model.config.n_layers))?;
    let layers = options.layer.map_or(0..model.config.n_layers, |layer| layer..layer + 1);
    let streams = all_streams(model, &ids[..=options.position], options.position..options.position + 1)?;

    let directions = model.adapted_vocabulary(Role::Unembedding)?;
    let mut rows = vec![0.0; d_model];
    let mut mean_row = vec![0.0; d_model];
    for id in 0..vocab_size {
        directions.row(id, &mut rows);
        mean_row.iter_mut().zip(&rows).for_each(|(sum, &x)| *sum += f64::from(x) / vocab_size as f64);
    }
    let lengths: Vec<[f64; 2]> = (0..vocab_size)
        .map(|id| {
            directions.row(id, &mut rows);
            [length(&centred(&rows, &mean_row)), length(&centred(&rows, &[]))]
        })
        .collect();

    let mut shown = Vec::new();
    for layer in layers {
        let mut normed = vec![0.0; d_model];
        let mut dots = vec![0.0; vocab_size];
        model.pool.enter(|team| {
            model.adapted_final_norm().forward(team, &streams[layer + 1], &mut normed);
            ops::matmul(team, &normed, &directions, &mut dots);
        });
        let mean = baseline.normed_mean(model, layer);
        let mut mean_dots = vec![0.0; vocab_size];
        let narrow: Vec<f32> = mean.iter().map(|&x| x as f32).collect();
        model.pool.enter(|team| ops::matmul(team, &narrow, &directions, &mut mean_dots));
        let own = centred(&normed, &mean);
        let own_by_mean: f64 = own.iter().zip(&mean_row).map(|(a, b)| a * b).sum();
        let (own, raw) = (length(&own), length(&centred(&normed, &[])));
        let ratio = |dot: f64, product: f64| if product > 0.0 { dot / product } else { 0.0 };
        let neighbors: Vec<Neighbor> = (0..vocab_size)
            .map(|id| {
                // (x − mean) · (row − mean_row)
                let dot = f64::from(dots[id]) - f64::from(mean_dots[id]) - own_by_mean;
                let cosine = ratio(dot, own * lengths[id][0]);
                Neighbor { id: id as u32, cosine, raw: ratio(f64::from(dots[id]), raw * lengths[id][1]) }
            })
            .collect();
        let random = RandomCosines::of(neighbors.iter().map(|neighbor| neighbor.cosine).collect());
        let order = |a: &Neighbor, b: &Neighbor| b.cosine.total_cmp(&a.cosine).then(a.id.cmp(&b.id));
        shown.push(LayerNeighbors { layer, neighbors: most(neighbors, options.top, order), random });
    }
    Ok(shown)
}

/// Two tokens in two contexts.
#[derive(Clone, Debug, PartialEq)]
pub struct ContextComparison {
    /// The similarity before the first layer.
    pub before: Similarity,
    /// The similarity after each layer.
    pub after: Vec<LayerComparison>,
}

/// The similarity of two vectors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Similarity {
    /// The cosine of the two vectors without what all tokens share at this place.
    pub cosine: f64,
    /// The cosine of the two vectors as they are.
    pub raw: f64,
    /// The cosines of pairs of tokens of the baseline, without the mean too.
    pub random: RandomCosines,
}

/// The comparison after one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerComparison {
    /// The layer, counted from 0.
    pub layer: usize,
    /// The similarity of the two vectors.
    pub similarity: Similarity,
    /// What the first vector has that the second lacks: the tokens whose lens logits are larger by the most.
    pub only_a: Vec<TokenEffect>,
    /// What the second has that the first lacks; the differences are negative.
    pub only_b: Vec<TokenEffect>,
}

/// Compares the residual streams of two tokens, each given by ids and a position, before the first layer and after
/// each.
///
/// The mean is taken over the tokens of `baseline` and of both contexts, without the first of each, which is often an
/// attention sink with a stream far from all others. The lens logits are those of [`lens`](super::lens): final norm
/// and unembedding. `tokens` is the number of tokens on each side.
///
/// # Errors
/// [`ViewError::OutOfRange`] for a position, or errors of [`Session::feed`](crate::Session::feed).
pub fn compare_in_context(
    model: &Runtime,
    (a, a_position): (&[u32], usize),
    (b, b_position): (&[u32], usize),
    tokens: usize,
    baseline: &Baseline,
) -> Result<ContextComparison, ViewError> {
    check("position", a_position, a.len())?;
    check("position", b_position, b.len())?;
    let d_model = model.config.d_model;
    let (a, b) = (all_streams(model, a, 0..a.len())?, all_streams(model, b, 0..b.len())?);
    let unembedding = model.adapted_vocabulary(Role::Unembedding)?;
    let mut before = None;
    let mut after = Vec::new();
    for (place, (a, b)) in a.iter().zip(&b).enumerate() {
        let mean = baseline.mean_with(place, &[a, b]);
        let row = |x: &[f32], position: usize| x[position * d_model..][..d_model].to_vec();
        let (a, b) = (row(a, a_position), row(b, b_position));
        let similarity = Similarity {
            cosine: cosine(&centred(&a, &mean), &centred(&b, &mean)),
            raw: cosine(&centred(&a, &[]), &centred(&b, &[])),
            random: baseline.random_cosines(place, &mean),
        };
        if place == 0 {
            before = Some(similarity);
            continue;
        }
        let [only_a, only_b] = if tokens > 0 {
            raised_and_lowered(&lens_difference(model, &unembedding, &a, &b), tokens)
        } else {
            [Vec::new(), Vec::new()]
        };
        after.push(LayerComparison { layer: place - 1, similarity, only_a, only_b });
    }
    Ok(ContextComparison { before: before.ok_or(crate::Error::NoTokens)?, after })
}

/// The lens logits of `a` minus those of `b`, `[vocab_size]`.
fn lens_difference(model: &Runtime, unembedding: &PackedMatrix, a: &[f32], b: &[f32]) -> Vec<f32> {
    let (mut a_normed, mut b_normed) = (vec![0.0; a.len()], vec![0.0; b.len()]);
    let mut logits = vec![0.0; model.config.vocab_size];
    model.pool.enter(|team| {
        model.adapted_final_norm().forward(team, a, &mut a_normed);
        model.adapted_final_norm().forward(team, b, &mut b_normed);
        a_normed.iter_mut().zip(&b_normed).for_each(|(a, b)| *a -= b);
        ops::matmul(team, &a_normed, unembedding, &mut logits);
    });
    logits
}
