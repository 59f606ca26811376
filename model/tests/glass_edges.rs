//! Attention edges equal a plain computation from the queries' patterns, the values and the output projection.

mod tiny;

use glassbox_model::Runtime;
use glassbox_model::glass::{
    Component, Edge, EdgeMeasure, EdgeOptions, ViewError, attribute, strongest_edges,
};
use glassbox_model::hooks::{HookPoint, Observed};
use tiny::{close, ids, kinds, length, logits_of_part, models, part_after_norm, rows};

/// Every edge there is.
fn everything(by: EdgeMeasure) -> EdgeOptions {
    EdgeOptions { by, include_first: true, include_self: true, top: usize::MAX, ..EdgeOptions::default() }
}

/// Every attention weight: `[layer][head][query][key]`.
fn patterns(model: &Runtime, ids: &[u32]) -> Vec<Vec<Vec<Vec<f32>>>> {
    let mut all = Vec::new();
    let mut see = |observed: Observed<'_>| {
        if observed.point == HookPoint::Pattern {
            let [_, tokens, keys] = observed.shape;
            let heads = observed.values.chunks_exact(tokens * keys);
            all.push(heads.map(|head| head.chunks_exact(keys).map(<[f32]>::to_vec).collect()).collect());
        }
    };
    model.session(usize::MAX).feed_observed(ids, &mut see).unwrap();
    all
}

/// The vector f(x) that head `head` reads of a token whose values are `v`: through its columns of the projection.
fn through_head(model: &Runtime, layer: usize, head: usize, v: &[f64]) -> Vec<f64> {
    let config = &model.config;
    let weight = model.decoder.blocks[layer].attention.layer.out.weight.to_f32();
    let width = config.n_heads * config.head_dim;
    let kv_head = head * config.n_kv_heads / config.n_heads;
    (0..config.d_model)
        .map(|row| {
            (0..config.head_dim)
                .map(|i| {
                    f64::from(weight[row * width + head * config.head_dim + i])
                        * v[kv_head * config.head_dim + i]
                })
                .sum()
        })
        .collect()
}

#[test]
fn the_value_of_an_edge_is_the_length_of_the_vector_that_it_adds() {
    for (name, model) in kinds() {
        let (ids, config) = (ids(&model), &model.config);
        let last = ids.len() - 1;
        let found = strongest_edges(&model, &ids, &everything(EdgeMeasure::Value)).unwrap().edges;
        assert_eq!(found.len(), config.n_layers * config.n_heads * ids.len() * (ids.len() + 1) / 2, "{name}");
        assert!(found.is_sorted_by(|a, b| a.value >= b.value), "{name}");
        let answer = ids[3];
        let to_answer = EdgeOptions { answer: Some(answer), ..everything(EdgeMeasure::Logit) };
        let of_last = strongest_edges(&model, &ids, &to_answer).unwrap();
        assert_eq!(of_last.edges.len(), config.n_layers * config.n_heads * ids.len(), "{name}");
        let stream = rows(&model, &ids, HookPoint::ResidPost, Some(config.n_layers - 1))[last].clone();
        let patterns = patterns(&model, &ids);
        for (layer, patterns) in patterns.iter().enumerate() {
            let v = rows(&model, &ids, HookPoint::V, Some(layer));
            let before_norm = rows(&model, &ids, HookPoint::AttentionResult, Some(layer));
            let post = model.decoder.blocks[layer].attention.post.as_ref();
            assert_eq!(post.is_some(), name.starts_with("gemma"));
            // What an edge adds to the residual stream.
            let added = |edge: &Edge| -> Vec<f64> {
                let weight = f64::from(patterns[edge.head][edge.query][edge.key]);
                let moved = through_head(&model, layer, edge.head, &v[edge.key]);
                let moved: Vec<f64> = moved.iter().map(|x| weight * x).collect();
                post.map_or(moved.clone(), |norm| part_after_norm(norm, &before_norm[edge.query], &moved))
            };
            let own = found.iter().filter(|edge| edge.layer == layer);
            let most = own.clone().fold(0.0, |most: f64, edge| most.max(edge.value));
            assert!(most > 0.0);
            for edge in own.step_by(7) {
                assert_eq!(edge.weight, patterns[edge.head][edge.query][edge.key]);
                let expected = length(&added(edge));
                assert!(close(edge.value, expected, 1e-5, most), "{name}: {edge:?}, expected {expected}");
                assert_eq!(edge.logit, None);
            }
            for edge in of_last.edges.iter().filter(|edge| edge.layer == layer).step_by(3) {
                let expected = logits_of_part(&model, &stream, &added(edge))[answer as usize];
                let found = edge.logit.unwrap();
                assert!(close(found, expected, 1e-6, 1.0 + expected.abs()), "{name}: {found}, {expected}");
                assert_eq!(edge.query, last);
            }
        }
    }
}

#[test]
fn the_edges_of_a_head_add_up_to_its_attribution() {
    for (name, model) in kinds() {
        let ids = ids(&model);
        let token = ids[1];
        let options = EdgeOptions { answer: Some(token), ..everything(EdgeMeasure::Logit) };
        let edges = strongest_edges(&model, &ids, &options).unwrap();
        let attribution = attribute(&model, &ids, Some(token)).unwrap();
        let answer = edges.answer.unwrap();
        assert_eq!((answer.id, answer.position, answer.logit), (token, ids.len() - 1, attribution.logit));
        for contribution in &attribution.contributions {
            let Component::Head { layer, head } = contribution.part else { continue };
            let own = edges.edges.iter().filter(|edge| (edge.layer, edge.head) == (layer, head));
            let sum: f64 = own.map(|edge| edge.logit.unwrap()).sum();
            assert!(close(sum, contribution.logit, 1e-5, 1.0 + sum.abs()), "{name} {layer}.{head}: {sum}");
        }
    }
}

#[test]
fn what_is_left_out_is_counted() {
    for (name, model) in models() {
        let ids = ids(&model);
        let patterns = patterns(&model, &ids);
        let options = EdgeOptions { top: usize::MAX, ..EdgeOptions::default() };
        let found = strongest_edges(&model, &ids, &options).unwrap();
        assert!(found.edges.iter().all(|edge| edge.key > 0 && edge.key < edge.query), "{name}");
        let shown: f64 = found.edges.iter().map(|edge| f64::from(edge.weight)).sum();
        let all = (model.config.n_layers * model.config.n_heads * ids.len()) as f64;
        assert!(close(shown / all + found.first_share + found.self_share, 1.0, 1e-5, 1.0), "{name}");
        let first: f64 = patterns.iter().flatten().flatten().map(|row| f64::from(row[0])).sum();
        assert!(close(found.first_share, first / all, 1e-9, 1.0), "{name}");
    }
}

/// Which heads attend from one token to another?
#[test]
fn a_pair_of_tokens_has_an_edge_in_every_head() {
    for (name, model) in kinds() {
        let ids = ids(&model);
        let (n_layers, n_heads) = (model.config.n_layers, model.config.n_heads);
        let all = strongest_edges(&model, &ids, &everything(EdgeMeasure::Weight)).unwrap().edges;
        for (from, to) in [(9, 4), (9, 0), (5, 5), (0, 0)] {
            for by in [EdgeMeasure::Weight, EdgeMeasure::Value, EdgeMeasure::Logit] {
                let options = EdgeOptions { from: Some(from), to: Some(to), by, ..EdgeOptions::default() };
                let options = EdgeOptions { top: 1000, ..options };
                let found = strongest_edges(&model, &ids, &options).unwrap().edges;
                assert_eq!(found.len(), n_layers * n_heads, "{name} {from} {to}");
                for edge in &found {
                    let same = |other: &&Edge| (other.layer, other.head) == (edge.layer, edge.head);
                    let mut pair = all.iter().filter(|other| (other.query, other.key) == (from, to));
                    let other = pair.find(same).unwrap();
                    assert_eq!(edge.weight, other.weight, "{name}");
                    assert!(close(edge.value, other.value, 1e-6, 1e-6 + other.value), "{name}");
                    assert_eq!(edge.logit.is_some(), by == EdgeMeasure::Logit);
                }
            }
        }
        let options = EdgeOptions { from: Some(3), layer: Some(1), ..everything(EdgeMeasure::Value) };
        let one = strongest_edges(&model, &ids, &options).unwrap().edges;
        assert!(one.len() == 4 * n_heads && one.iter().all(|edge| (edge.layer, edge.query) == (1, 3)));
        let ending = |from, to| EdgeOptions { from, to, ..EdgeOptions::default() };
        let error = |options| strongest_edges(&model, &ids, &options).unwrap_err();
        assert!(matches!(error(ending(Some(2), Some(3))), ViewError::FutureKey { query: 2, key: 3 }));
        assert!(matches!(error(ending(Some(13), None)), ViewError::OutOfRange { index: 13, .. }));
        assert!(matches!(error(ending(None, Some(13))), ViewError::OutOfRange { index: 13, .. }));
    }
}
