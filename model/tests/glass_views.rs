//! Views equal a plain computation; interventions equal a changed checkpoint.

mod tiny;

use glassbox_model::Runtime;
use glassbox_model::config::{NormKind, Residual};
use glassbox_model::glass::{
    AttentionPattern, Baseline, Component, EdgeMeasure, EdgeOptions, Intervention, Interventions, Keep,
    LensOptions, NeighborOptions, Part, Then, ViewError, attribute, compare_in_context, lens, likeliest,
    neighbors_in_context, strongest_edges,
};
use glassbox_model::hooks::{HookPoint, Observed, Observer};
use glassbox_tensor::file::safetensors::{self, SafeTensors};
use glassbox_tensor::{Tensor, reference};
use tiny::{IDS, fixtures, ids, load, models};

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

/// The logits after a prompt, fed in chunks of `chunk`, and after two more tokens.
fn run<O: Observer>(model: &Runtime, observer: &mut O, chunk: usize) -> Vec<f32> {
    let mut session = model.session(usize::MAX).with_chunk(chunk);
    let mut logits = Vec::new();
    for ids in [&ids(model)[..], &[4], &[11]] {
        logits.extend_from_slice(session.feed_observed(ids, observer).unwrap());
    }
    logits
}

fn run_with(model: &Runtime, list: Vec<Intervention>, chunk: usize) -> Vec<f32> {
    run(model, &mut Interventions::new(&model.config, list).unwrap(), chunk)
}

fn blind(model: &Runtime) -> Vec<f32> {
    run(model, &mut glassbox_model::hooks::NoObserver, 512)
}

#[test]
fn the_lens_after_the_last_layer_is_the_prediction() {
    for (name, model) in models() {
        let ids = ids(&model);
        let mut expected = Vec::new();
        model.session(usize::MAX).feed_all(&ids, |_, logits| expected.push(likeliest(logits, 3))).unwrap();
        let layers = lens(&model, &ids, &LensOptions { top: 3, ..LensOptions::default() }).unwrap();
        assert_eq!(layers.len(), model.config.n_layers);
        assert_eq!(layers.last().unwrap().readings, expected, "{name}");
        for layer in &layers {
            let options =
                LensOptions { layer: Some(layer.layer), positions: Some(4..9), top: 3, token: None };
            let part = lens(&model, &ids, &options).unwrap();
            assert_eq!(part.len(), 1);
            assert_eq!(part[0].readings, layer.readings[4..9], "{name}");
            for reading in &layer.readings {
                assert!(reading[0].probability >= reading[1].probability && reading[2].probability > 0.0);
            }
        }
    }
}

#[test]
fn candidates_are_the_most_likely_tokens_with_probabilities() {
    let found = likeliest(&[0.0, 2.0, f32::NEG_INFINITY, 2.0, 1.0], 3);
    let ids: Vec<u32> = found.iter().map(|candidate| candidate.id).collect();
    assert_eq!(ids, [1, 3, 4]);
    let sum = 1.0 + 2.0 * 2f64.exp() + 1f64.exp();
    assert!((found[0].probability - 2f64.exp() / sum).abs() < 1e-12);
    assert!((found[2].probability - 1f64.exp() / sum).abs() < 1e-12);
    assert_eq!(likeliest(&[1e30, 1.0], 9)[0].probability, 1.0);
}

#[test]
fn attribution_adds_up_to_the_logit() {
    for (name, model) in models() {
        let ids = ids(&model);
        let logits = model.session(usize::MAX).feed(&ids).unwrap().to_vec();
        let best = likeliest(&logits, 1)[0].id;
        assert_eq!(attribute(&model, &ids, None).unwrap().token, best);
        let largest = logits.iter().fold(0f32, |a, b| a.max(b.abs()));
        for token in [best, 0, 7, model.config.vocab_size as u32 - 1] {
            let attribution = attribute(&model, &ids, Some(token)).unwrap();
            assert_eq!(attribution.logit.to_bits(), logits[token as usize].to_bits());
            // Relative to the logit, or to the largest one if it is near zero.
            let error = (attribution.sum() - f64::from(attribution.logit)).abs();
            let scale = f64::from(attribution.logit.abs().max(0.1 * largest));
            assert!(error <= 1e-4 * scale, "{name}, token {token}: off by {error:e} of {scale}");
            let config = &model.config;
            let biases = if config.attention_out_bias { config.n_layers } else { 0 };
            let outside =
                1 + usize::from(config.learned_positions) + usize::from(config.norm == NormKind::Layer);
            let parts = config.n_layers * (config.n_heads + 1) + biases + outside;
            assert_eq!(attribution.contributions.len(), parts, "{name}");
        }
    }
}

/// Computed by the formula, from the weights in the file and the values of the run.
#[test]
fn a_heads_share_is_its_columns_of_the_projection() {
    let path = fixtures().join("llama-text");
    let (model, file) = (load(&path), SafeTensors::open(path.join("model.safetensors")).unwrap());
    let tensor = |name: &str| file.tensor(name).unwrap().to_f32();
    let (d, head_dim) = (model.config.d_model, model.config.head_dim);
    let last = model.config.n_layers - 1;
    let mut keep =
        Keep::new([(HookPoint::Z, Some(1)), (HookPoint::ResidPost, Some(last)), (HookPoint::Embed, None)])
            .unwrap();
    let ids = ids(&model);
    model.session(usize::MAX).feed_observed(&ids, &mut keep).unwrap();
    let at_end = |place, layer| keep.rows(place, layer).unwrap().at(ids.len() - 1).unwrap();
    let x = at_end(HookPoint::ResidPost, Some(last));
    let epsilon = f64::from(model.config.norm_epsilon);
    let scale = 1.0 / (x.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / d as f64 + epsilon).sqrt();
    let (unembedding, norm) = (tensor("model.embed_tokens.weight"), tensor("model.norm.weight"));
    let token = 42;
    let share = |vector: &[f32]| -> f64 {
        let each =
            (0..d).map(|i| f64::from(unembedding[token * d + i]) * f64::from(norm[i]) * f64::from(vector[i]));
        each.sum::<f64>() * scale
    };
    let attribution = attribute(&model, &ids, Some(token as u32)).unwrap();
    let found = |part| attribution.contributions.iter().find(|found| found.part == part).unwrap().logit;
    assert!((found(Component::Embedding) - share(at_end(HookPoint::Embed, None))).abs() < 1e-9);
    let projection = tensor("model.layers.1.self_attn.o_proj.weight");
    let width = model.config.n_heads * head_dim;
    let z = at_end(HookPoint::Z, Some(1));
    for head in 0..model.config.n_heads {
        let own = head * head_dim..(head + 1) * head_dim;
        let brought: Vec<f32> = (0..d)
            .map(|i| {
                own.clone().map(|j| f64::from(projection[i * width + j]) * f64::from(z[j])).sum::<f64>()
                    as f32
            })
            .collect();
        let (found, expected) = (found(Component::Head { layer: 1, head }), share(&brought));
        assert!((found - expected).abs() < 1e-6 && found != 0.0, "head {head}: {found} and {expected}");
    }
}

#[test]
fn patterns_and_edges_are_those_of_the_run() {
    for (name, model) in models() {
        let ids = ids(&model);
        let config = &model.config;
        let mut all = Vec::new();
        let mut see = |observed: Observed<'_>| {
            if observed.point == HookPoint::Pattern {
                all.push(observed.values.to_vec());
            }
        };
        model.session(usize::MAX).feed_observed(&ids, &mut see).unwrap();
        let n = ids.len();
        assert_eq!(all.len(), config.n_layers);
        let mut edges = Vec::new();
        for (layer, whole) in all.iter().enumerate() {
            for head in 0..config.n_heads {
                let pattern = AttentionPattern::of(&model, &ids, layer, head).unwrap();
                assert_eq!(bits(&pattern.weights), bits(&whole[head * n * n..][..n * n]), "{name}");
                for query in 0..n {
                    let sum: f32 = pattern.row(query).iter().sum();
                    assert!((sum - 1.0).abs() < 1e-5);
                    edges.extend((0..=query).map(|key| (pattern.row(query)[key], layer, head, query, key)));
                }
            }
        }
        edges.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2, a.3, a.4).cmp(&(b.1, b.2, b.3, b.4))));
        for (layer, include_first) in [(None, true), (None, false), (Some(config.n_layers - 1), false)] {
            let by = EdgeMeasure::Weight;
            let options =
                EdgeOptions { layer, by, include_first, include_self: true, ..EdgeOptions::default() };
            let found = strongest_edges(&model, &ids, &options).unwrap().edges;
            let found: Vec<_> = found.iter().map(|e| (e.weight, e.layer, e.head, e.query, e.key)).collect();
            let expected =
                edges.iter().filter(|e| layer.is_none_or(|l| l == e.1) && (include_first || e.4 > 0));
            assert_eq!(found, expected.take(20).copied().collect::<Vec<_>>(), "{name}");
        }
    }
}

#[test]
fn an_observer_that_only_reads_changes_nothing() {
    for (name, model) in models() {
        let expected = bits(&blind(&model));
        let nothing = Interventions::new(&model.config, vec![]).unwrap();
        let mut seen = 0;
        let look = |_: Observed<'_>| seen += 1;
        assert_eq!(bits(&run(&model, &mut Then(nothing, look), 5)), expected, "{name}");
        assert!(seen > 0);
    }
}

/// A copy of a checkpoint with some of its weights changed.
fn with_weights(name: &str, change: impl Fn(&str, &[usize], &mut [f32])) -> Runtime {
    let folder = tempfile::tempdir().unwrap();
    let from = fixtures().join(name);
    for file in ["config.json", "generation_config.json"] {
        std::fs::copy(from.join(file), folder.path().join(file)).unwrap();
    }
    let file = SafeTensors::open(from.join("model.safetensors")).unwrap();
    let tensors: Vec<(String, Tensor)> = file
        .tensors()
        .iter()
        .map(|info| {
            let tensor = file.tensor(&info.name).unwrap();
            let (dims, mut values) = (tensor.shape().dims().to_vec(), tensor.to_f32());
            change(&info.name, &dims, &mut values);
            (info.name.clone(), Tensor::from_f32(dims, values).unwrap())
        })
        .collect();
    let metadata = [("format".to_string(), "pt".to_string())].into_iter().collect();
    safetensors::write(folder.path().join("model.safetensors"), &metadata, tensors).unwrap();
    load(folder.path())
}

/// Sets the weights of input `inputs` of a projection to zero: columns, or rows where GPT-2 saves it transposed.
fn zero_inputs(name: &str, dims: &[usize], values: &mut [f32], inputs: std::ops::Range<usize>) {
    let transposed = name.contains("c_proj");
    for (i, value) in values.iter_mut().enumerate() {
        let (row, column) = (i / dims[1], i % dims[1]);
        if inputs.contains(if transposed { &row } else { &column }) {
            *value = 0.0;
        }
    }
}

const FAMILIES: [&str; 5] = ["gpt2-text", "llama-text", "llama-mqa-biased", "qwen3-plain", "mistral-window"];

#[test]
fn a_head_ablated_is_its_columns_zeroed() {
    for name in FAMILIES {
        let model = load(&fixtures().join(name));
        let plain = bits(&blind(&model));
        for (layer, head) in [(0, 1), (1, model.config.n_heads - 1)] {
            let own = head * model.config.head_dim..(head + 1) * model.config.head_dim;
            let projections =
                [format!("h.{layer}.attn.c_proj.weight"), format!("layers.{layer}.self_attn.o_proj.weight")];
            let changed = with_weights(name, |tensor, dims, values| {
                if projections.iter().any(|projection| tensor.ends_with(projection)) {
                    zero_inputs(tensor, dims, values, own.clone());
                }
            });
            let expected = bits(&blind(&changed));
            assert_ne!(expected, plain);
            for chunk in [512, 4, 1] {
                let found = run_with(&model, vec![Intervention::Ablate(Part::Head { layer, head })], chunk);
                assert_eq!(bits(&found), expected, "{name}, head {layer}.{head}, chunks of {chunk}");
            }
        }
    }
}

#[test]
fn a_neuron_an_mlp_and_a_block_ablated_are_their_weights_zeroed() {
    for name in FAMILIES {
        let model = load(&fixtures().join(name));
        let plain = bits(&blind(&model));
        let layer = 1;
        let down = |tensor: &str| {
            tensor.contains(&format!(".{layer}.mlp.c_proj"))
                || tensor.contains(&format!(".{layer}.mlp.down_proj"))
        };
        let out = |tensor: &str| {
            tensor.contains(&format!(".{layer}.attn.c_proj"))
                || tensor.contains(&format!(".{layer}.self_attn.o_proj"))
        };
        let neuron = with_weights(name, |tensor, dims, values| {
            if down(tensor) && dims.len() == 2 {
                zero_inputs(tensor, dims, values, 7..8);
            }
        });
        let mlp = with_weights(name, |tensor, _, values| {
            if down(tensor) {
                values.fill(0.0);
            }
        });
        let block = with_weights(name, |tensor, _, values| {
            if down(tensor) || out(tensor) {
                values.fill(0.0);
            }
        });
        for (intervention, changed) in [
            (Intervention::Ablate(Part::Neuron { layer, neuron: 7 }), neuron),
            (Intervention::Ablate(Part::Mlp { layer }), mlp),
            (Intervention::Ablate(Part::Block { layer }), block),
        ] {
            let expected = bits(&blind(&changed));
            assert_ne!(expected, plain);
            for chunk in [512, 1] {
                let found = run_with(&model, vec![intervention.clone()], chunk);
                assert_eq!(bits(&found), expected, "{name}, {intervention:?}, chunks of {chunk}");
            }
        }
    }
}

#[test]
fn a_cut_edge_removes_a_token_from_the_softmax() {
    for name in FAMILIES {
        let model = load(&fixtures().join(name));
        let ids = ids(&model);
        let (layer, head, query) = (1, 1, 8);
        let before = AttentionPattern::of(&model, &ids, layer, head).unwrap();
        let mut scores = Vec::new();
        let mut see = |observed: Observed<'_>| {
            if (observed.point, observed.layer) == (HookPoint::Scores, Some(layer)) {
                scores = observed.values.to_vec();
            }
        };
        model.session(usize::MAX).feed_observed(&ids, &mut see).unwrap();
        let n = ids.len();
        let cut: Vec<usize> = vec![6, 8];
        let list = cut.iter().map(|&key| Intervention::CutEdge { layer, head, query, key }).collect();
        let mut pattern = Vec::new();
        let look = |observed: Observed<'_>| {
            if (observed.point, observed.layer) == (HookPoint::Pattern, Some(layer)) {
                pattern = observed.values.to_vec();
            }
        };
        let interventions = Interventions::new(&model.config, list).unwrap();
        let mut session = model.session(usize::MAX).with_chunk(n);
        session.feed_observed(&ids, &mut Then(interventions, look)).unwrap();
        let row = |all: &[f32], query: usize| all[(head * n + query) * n..][..=query].to_vec();
        for other in (0..n).filter(|&other| other != query) {
            assert_eq!(row(&pattern, other), before.row(other), "{name}");
        }
        let mut expected = row(&scores, query);
        cut.iter().for_each(|&key| expected[key] = f32::NEG_INFINITY);
        reference::softmax(&mut expected);
        let found = row(&pattern, query);
        for (key, (&found, &expected)) in found.iter().zip(&expected).enumerate() {
            if cut.contains(&key) {
                assert_eq!(found, 0.0);
            } else {
                assert_eq!(found, expected, "{name}, key {key}");
            }
        }
    }
}

#[test]
fn a_token_cut_off_from_all_gets_zero() {
    for name in FAMILIES {
        let model = load(&fixtures().join(name));
        let cut = |query: usize| {
            (0..=query).map(move |key| Intervention::CutEdge { layer: 0, head: 0, query, key })
        };
        let positions = IDS.len() + 2;
        let all: Vec<Intervention> = (0..positions).flat_map(cut).collect();
        let expected = run_with(&model, vec![Intervention::Ablate(Part::Head { layer: 0, head: 0 })], 512);
        assert_ne!(bits(&expected), bits(&blind(&model)));
        for chunk in [512, 3, 1] {
            assert_eq!(bits(&run_with(&model, all.clone(), chunk)), bits(&expected), "{name}");
        }
    }
}

#[test]
fn a_run_patched_with_all_of_another_is_the_other() {
    for (name, model) in models() {
        let ids = ids(&model);
        let vocab_size = model.config.vocab_size as u32;
        let other: Vec<u32> = ids.iter().map(|id| (id + 31) % vocab_size).collect();
        for place in [HookPoint::ResidPre, HookPoint::ResidPost, HookPoint::ResidMid] {
            // Earlier layers have no effect; later layers and the cache follow from the patched value.
            let mut keep = Keep::new([(place, Some(0))]).unwrap();
            let expected = model.session(usize::MAX).feed_observed(&other, &mut keep).unwrap().to_vec();
            if place == HookPoint::ResidMid && model.config.residual == Residual::Parallel {
                assert!(keep.rows(place, Some(0)).is_none(), "a parallel residual has no middle");
                continue;
            }
            let rows = keep.rows(place, Some(0)).unwrap().clone();
            assert_eq!(rows.len(), ids.len());
            let patch = vec![Intervention::Patch { point: place, layer: Some(0), rows }];
            let mut patch = Interventions::new(&model.config, patch).unwrap();
            for chunk in [512, 3] {
                let mut session = model.session(usize::MAX).with_chunk(chunk);
                let found = session.feed_observed(&ids, &mut patch).unwrap().to_vec();
                assert_eq!(bits(&found), bits(&expected), "{name} at {}", place.name());
            }
        }
    }
}

#[test]
fn patching_a_position_with_itself_changes_nothing() {
    for name in FAMILIES {
        let model = load(&fixtures().join(name));
        let ids = ids(&model);
        let expected = model.session(usize::MAX).feed(&ids).unwrap().to_vec();
        for place in [
            HookPoint::Z,
            HookPoint::K,
            HookPoint::V,
            HookPoint::Q,
            HookPoint::MlpPost,
            HookPoint::AttentionOut,
        ] {
            let mut keep = Keep::new([(place, Some(1))]).unwrap().at(5..6);
            let mut session = model.session(usize::MAX).with_chunk(4);
            session.feed_observed(&ids, &mut keep).unwrap();
            let mut rows = keep.rows(place, Some(1)).unwrap().clone();
            assert_eq!((rows.first_position, rows.len()), (5, 1));
            let run = |rows| {
                let patch = vec![Intervention::Patch { point: place, layer: Some(1), rows }];
                let mut patch = Interventions::new(&model.config, patch).unwrap();
                let mut all = Vec::new();
                let mut session = model.session(usize::MAX);
                session.feed_all_observed(&ids, &mut patch, |_, logits| all.push(logits.to_vec())).unwrap();
                all
            };
            assert_eq!(bits(run(rows.clone()).last().unwrap()), bits(&expected), "{name}");
            rows.values.iter_mut().for_each(|x| *x = 1.0 - *x);
            let changed = run(rows);
            let mut plain = Vec::new();
            model.session(usize::MAX).feed_all(&ids, |_, logits| plain.push(logits.to_vec())).unwrap();
            let same: Vec<bool> = plain.iter().zip(&changed).map(|(a, b)| bits(a) == bits(b)).collect();
            assert!(same[..5].iter().all(|&same| same), "{name}: the past is as it was");
            // A changed key affects tokens that attend to it; a changed query affects its own token.
            assert!(same[5..].contains(&false), "{name} at {}", place.name());
        }
    }
}

#[test]
fn steering_adds_at_its_positions() {
    for name in FAMILIES {
        let model = load(&fixtures().join(name));
        let vector: Vec<f32> = (0..model.config.d_model).map(|i| (i as f32 - 3.0) * 0.25).collect();
        let steer =
            |vector: &[f32]| Intervention::Steer { layer: 1, positions: 4..14, vector: vector.to_vec() };
        let mut expected = Vec::new();
        let mut by_hand = |observed: Observed<'_>| {
            if (observed.point, observed.layer) == (HookPoint::ResidPre, Some(1)) {
                let first = observed.first_position;
                for (i, row) in observed.values.chunks_exact_mut(vector.len()).enumerate() {
                    if (4..14).contains(&(first + i)) {
                        row.iter_mut().zip(&vector).for_each(|(x, add)| *x += add);
                    }
                }
            }
        };
        expected.extend(run(&model, &mut by_hand, 512));
        for chunk in [512, 5, 1] {
            let found = run_with(&model, vec![steer(&vector)], chunk);
            assert_eq!(bits(&found), bits(&expected), "{name}");
        }
        assert_ne!(bits(&expected), bits(&blind(&model)));
        let nothing = run_with(&model, vec![steer(&vec![0.0; vector.len()])], 512);
        assert_eq!(nothing, blind(&model));
    }
}

#[test]
fn out_of_range_requests_are_errors() {
    let model = load(&fixtures().join("llama-text"));
    let ids = [1, 2, 3];
    let shown = |error: ViewError| error.to_string();
    let layer = LensOptions { layer: Some(99), ..LensOptions::default() };
    assert_eq!(shown(lens(&model, &ids, &layer).unwrap_err()), "there is no layer 99: expected 0 to 1");
    let positions = LensOptions { positions: Some(1..4), ..LensOptions::default() };
    assert!(shown(lens(&model, &ids, &positions).unwrap_err()).contains("position 3"));
    let nowhere = LensOptions { positions: Some(2..2), ..LensOptions::default() };
    assert!(lens(&model, &ids, &nowhere).unwrap().iter().all(|layer| layer.readings.is_empty()));
    assert!(shown(AttentionPattern::of(&model, &ids, 0, 4).unwrap_err()).contains("head 4"));
    assert!(shown(AttentionPattern::of(&model, &ids, 2, 0).unwrap_err()).contains("layer 2"));
    let edges = EdgeOptions { layer: Some(2), ..EdgeOptions::default() };
    assert!(shown(strongest_edges(&model, &ids, &edges).unwrap_err()).contains("layer 2"));
    assert!(shown(attribute(&model, &ids, Some(288)).unwrap_err()).contains("token 288"));
    let baseline = Baseline::of(&model, &[1, 2, 3, 4]).unwrap();
    let near = |position, layer| {
        let options = NeighborOptions { position, layer, top: 1 };
        shown(neighbors_in_context(&model, &ids, &options, &baseline).unwrap_err())
    };
    assert!(near(3, None).contains("position 3") && near(0, Some(2)).contains("layer 2"));
    let compared = compare_in_context(&model, (&ids, 0), (&ids, 9), 1, &baseline);
    assert!(shown(compared.unwrap_err()).contains("position 9"));
    assert!(shown(Baseline::of(&model, &[1, 2]).unwrap_err()).contains("baseline"));
    for error in [
        lens(&model, &[], &LensOptions::default()).unwrap_err(),
        attribute(&model, &[], None).unwrap_err(),
        AttentionPattern::of(&model, &[], 0, 0).unwrap_err(),
        strongest_edges(&model, &[], &EdgeOptions::default()).unwrap_err(),
    ] {
        assert!(matches!(error, ViewError::Model(glassbox_model::Error::NoTokens)), "{error}");
    }
    assert!(shown(attribute(&model, &[288], None).unwrap_err()).contains("288"));
    let too_long = vec![1; model.config.context_length + 1];
    assert!(shown(attribute(&model, &too_long, None).unwrap_err()).contains("context"));
    assert!(Keep::new([(HookPoint::Pattern, Some(0))]).is_err());
}

#[test]
fn interventions_must_match_the_model() {
    let model = load(&fixtures().join("llama-text"));
    let config = &model.config;
    let rows = |values: usize, row_len| glassbox_model::glass::KeptRows {
        first_position: 0,
        row_len,
        values: vec![0.0; values],
    };
    let patch = |point, layer, rows| Intervention::Patch { point, layer, rows };
    let steer = |layer, len| Intervention::Steer { layer, positions: 0..9, vector: vec![0.0; len] };
    let edge = |head, query, key| Intervention::CutEdge { layer: 0, head, query, key };
    for (intervention, words) in [
        (Intervention::Ablate(Part::Head { layer: 2, head: 0 }), "layer 2"),
        (Intervention::Ablate(Part::Head { layer: 1, head: 4 }), "head 4"),
        (Intervention::Ablate(Part::Neuron { layer: 1, neuron: 48 }), "neuron 48"),
        (Intervention::Ablate(Part::Mlp { layer: 99 }), "layer 99"),
        (Intervention::Ablate(Part::Block { layer: 99 }), "layer 99"),
        (edge(4, 0, 0), "head 4"),
        (edge(0, 2, 3), "later position 3"),
        (edge(0, 128, 3), "position 128"),
        (patch(HookPoint::Z, None, rows(32, 32)), "outside"),
        (patch(HookPoint::Embed, Some(0), rows(32, 32)), "inside"),
        (patch(HookPoint::Z, Some(0), rows(31, 31)), "rows of 32"),
        (patch(HookPoint::K, Some(0), rows(32, 32)), "rows of 16"),
        (patch(HookPoint::MlpPost, Some(0), rows(49, 48)), "rows of 48"),
        (patch(HookPoint::Pattern, Some(0), rows(32, 32)), "row for each token"),
        (patch(HookPoint::PositionEmbed, None, rows(32, 32)), "learned"),
        (steer(2, 32), "layer 2"),
        (steer(0, 33), "rows of 32"),
    ] {
        let error = Interventions::new(config, vec![intervention.clone()]).unwrap_err().to_string();
        assert!(error.contains(words), "{intervention:?}: {error}");
    }
    let gpt2 = load(&fixtures().join("gpt2-text"));
    for (place, words) in [(HookPoint::RotQ, "rotary"), (HookPoint::MlpPreLinear, "gate")] {
        let list = vec![patch(place, Some(0), rows(24, 24))];
        let error = Interventions::new(&gpt2.config, list).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}
