//! Neurons equal a plain computation from the hidden vector and the columns of the down projection.

mod tiny;

use glassbox_model::Runtime;
use glassbox_model::glass::{
    Baseline, Component, NeuronMeasure, NeuronOptions, ViewError, attribute, neurons,
};
use glassbox_model::hooks::HookPoint;
use glassbox_model::linear::Linear;
use glassbox_model::mlp::{GatedMlp, Mlp};
use tiny::{close, ids, kinds, length, logits_of_part, models, part_after_norm, rows, widened};

fn all(position: usize, layer: Option<usize>, by: NeuronMeasure, answer: u32) -> NeuronOptions {
    NeuronOptions { position, layer, by, answer: Some(answer), top: usize::MAX, tokens: 0 }
}

fn down(model: &Runtime, layer: usize, expert: Option<usize>) -> &Linear {
    match (&model.decoder.blocks[layer].mlp.layer, expert) {
        (Mlp::Plain { down, .. } | Mlp::Gated(GatedMlp { down, .. }), None) => down,
        (Mlp::Experts(experts), Some(expert)) => &experts.experts[expert].down,
        _ => panic!("an expert without experts, or the reverse"),
    }
}

/// Of every family: nothing of the MLP's share in a logit is lost or counted twice.
#[test]
fn the_neurons_of_an_mlp_and_its_biases_add_up_to_its_attribution() {
    for (name, model) in models() {
        let (ids, position) = (ids(&model), 8);
        let context = &ids[..=position];
        let token = ids[2];
        let attribution = attribute(&model, context, Some(token)).unwrap();
        let stream = &rows(&model, context, HookPoint::ResidPost, Some(model.config.n_layers - 1))[position];
        for contribution in &attribution.contributions {
            let Component::Mlp { layer } = contribution.part else { continue };
            let options = all(position, Some(layer), NeuronMeasure::Logit, token);
            let found = neurons(&model, &ids, &options, None).unwrap();
            assert_eq!(found.neurons.len(), found.count);
            assert!(found.neurons.is_sorted_by(|a, b| a.logit.abs() >= b.logit.abs()), "{name}");
            assert_eq!((found.answer.id, found.answer.logit), (token, attribution.logit), "{name}");
            let mut sum: f64 = found.neurons.iter().map(|neuron| neuron.logit).sum();
            let branch = &model.decoder.blocks[layer].mlp;
            if branch.post.is_none()
                && !matches!(branch.layer, Mlp::Experts(_))
                && let Some(bias) = &down(&model, layer, None).bias
            {
                sum += logits_of_part(&model, stream, &widened(bias))[token as usize];
            }
            let error = (sum - contribution.logit).abs();
            let scale: f64 = found.neurons.iter().map(|neuron| neuron.logit.abs()).sum();
            // Quantised products round their inputs to 16 bits.
            assert!(error <= 2e-4 * scale, "{name}, layer {layer}: {sum} and {}", contribution.logit);
        }
    }
}

#[test]
fn a_neuron_adds_its_column_times_its_activation() {
    for (name, model) in kinds() {
        let (ids, position) = (ids(&model), 6);
        let token = ids[4];
        let options = all(position, None, NeuronMeasure::Size, token);
        let found = neurons(&model, &ids, &options, None).unwrap();
        assert!(found.neurons.is_sorted_by(|a, b| a.size >= b.size), "{name}");
        let stream = &rows(&model, &ids, HookPoint::ResidPost, Some(model.config.n_layers - 1))[position];
        for neuron in found.neurons.iter().step_by(5) {
            let layer = Some(neuron.layer);
            let down = &down(&model, neuron.layer, neuron.expert).weight;
            let (weight, width) = (down.to_f32(), down.inputs());
            let column = weight.chunks_exact(width).map(|row| f64::from(row[neuron.neuron]));
            let mut added: Vec<f64> = column.map(|x| x * neuron.activation).collect();
            if neuron.expert.is_none() {
                let post = &rows(&model, &ids, HookPoint::MlpPost, layer)[position];
                assert_eq!(neuron.activation, post[neuron.neuron], "{name}");
            }
            if let Some(norm) = &model.decoder.blocks[neuron.layer].mlp.post {
                let whole = &rows(&model, &ids, HookPoint::MlpResult, layer)[position];
                added = part_after_norm(norm, whole, &added);
            }
            assert!(close(neuron.size, length(&added), 1e-9, 1e-9 + neuron.size), "{name}: {neuron:?}");
            let expected = logits_of_part(&model, stream, &added)[token as usize];
            assert!(
                close(neuron.logit, expected, 1e-6, 1.0 + expected.abs()),
                "{name}: {neuron:?}, {expected}"
            );
        }
        let options = NeuronOptions { top: 3, tokens: 4, ..options };
        let strongest = neurons(&model, &ids, &options, None).unwrap().neurons;
        assert_eq!(strongest.len(), 3);
        for (neuron, same) in strongest.iter().zip(&found.neurons) {
            assert_eq!((neuron.layer, neuron.neuron, neuron.size), (same.layer, same.neuron, same.size));
            let down = &down(&model, neuron.layer, neuron.expert).weight;
            let weight = down.to_f32();
            let column = weight.chunks_exact(down.inputs()).map(|row| f64::from(row[neuron.neuron]));
            let mut added: Vec<f64> = column.map(|x| x * neuron.activation).collect();
            if let Some(norm) = &model.decoder.blocks[neuron.layer].mlp.post {
                let whole = &rows(&model, &ids, HookPoint::MlpResult, Some(neuron.layer))[position];
                added = part_after_norm(norm, whole, &added);
            }
            let effects = logits_of_part(&model, stream, &added);
            let mut order = effects.clone();
            order.sort_by(f64::total_cmp);
            let scale = order.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
            for (i, raised) in neuron.raises.iter().enumerate() {
                assert!(close(raised.logit, effects[raised.id as usize], 1e-4, scale), "{name}");
                assert!(close(raised.logit, order[order.len() - 1 - i], 1e-4, scale), "{name}");
            }
            for (i, lowered) in neuron.lowers.iter().enumerate() {
                assert!(close(lowered.logit, effects[lowered.id as usize], 1e-4, scale), "{name}");
                assert!(close(lowered.logit, order[i], 1e-4, scale), "{name}");
            }
            assert_eq!((neuron.raises.len(), neuron.lowers.len()), (4, 4), "{name}");
        }
    }
}

/// A mixture of experts has no hook between its products: the hidden vectors are computed again, for the experts that
/// the token uses.
#[test]
fn the_neurons_of_experts_add_up_to_the_output_of_the_mixture() {
    let model = tiny::load(&tiny::fixtures().join("mixtral-plain"));
    let (ids, position) = (ids(&model), 7);
    for layer in 0..model.config.n_layers {
        let found = neurons(&model, &ids, &all(position, Some(layer), NeuronMeasure::Size, 0), None).unwrap();
        let weights = &rows(&model, &ids, HookPoint::ExpertWeights, Some(layer))[position];
        let mut used: Vec<usize> = found.neurons.iter().filter_map(|neuron| neuron.expert).collect();
        used.sort_unstable();
        used.dedup();
        let expected: Vec<usize> = (0..weights.len()).filter(|&e| weights[e] != 0.0).collect();
        assert_eq!(used, expected);
        assert_eq!(found.count, used.len() * model.config.d_ff);
        let mut sum = vec![0.0; model.config.d_model];
        for neuron in &found.neurons {
            let down = &down(&model, layer, neuron.expert).weight;
            let weight = down.to_f32();
            for (sum, row) in sum.iter_mut().zip(weight.chunks_exact(down.inputs())) {
                *sum += neuron.activation * f64::from(row[neuron.neuron]);
            }
        }
        let out = &rows(&model, &ids, HookPoint::MlpOut, Some(layer))[position];
        assert!(sum.iter().zip(out).all(|(a, &b)| close(*a, b, 1e-5, length(out))), "layer {layer}");
    }
}

#[test]
fn there_is_no_neuron_outside_the_model() {
    let model = tiny::load(&tiny::fixtures().join("llama-gqa"));
    let ids = ids(&model);
    let by = NeuronMeasure::Size;
    for (options, expected) in [
        (all(13, None, by, 0), "position"),
        (all(0, Some(model.config.n_layers), by, 0), "layer"),
        (all(0, None, by, model.config.vocab_size as u32), "token"),
    ] {
        let error = neurons(&model, &ids, &options, None).unwrap_err();
        assert!(matches!(error, ViewError::OutOfRange { what, .. } if what == expected), "{error}");
    }
}

#[test]
fn what_is_unusual_is_the_distance_from_the_mean_in_standard_deviations() {
    for (name, model) in kinds() {
        let (ids, position) = (ids(&model), 5);
        let other: Vec<u32> = ids.iter().rev().copied().collect();
        let baseline = Baseline::of(&model, &other).unwrap();
        let options = all(position, None, NeuronMeasure::Unusual, 0);
        let found = neurons(&model, &ids, &options, Some(&baseline));
        if name.starts_with("mixtral") {
            let error = found.unwrap_err().to_string();
            assert!(error.contains("mlp.post") && error.contains("experts"), "{error}");
            continue;
        }
        let found = found.unwrap().neurons;
        assert!(found.is_sorted_by(|a, b| a.unusual >= b.unusual), "{name}");
        let usual: Vec<Vec<Vec<f64>>> = (0..model.config.n_layers)
            .map(|layer| rows(&model, &other, HookPoint::MlpPost, Some(layer))[1..].to_vec())
            .collect();
        let statistics = |layer: usize, neuron: usize| {
            let values: Vec<f64> = usual[layer].iter().map(|row| row[neuron]).collect();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let squares: f64 = values.iter().map(|x| (x - mean) * (x - mean)).sum();
            (mean, (squares / values.len() as f64).sqrt())
        };
        let d_ff = model.config.d_ff;
        let typical: Vec<f64> = (0..model.config.n_layers)
            .map(|layer| (0..d_ff).map(|neuron| statistics(layer, neuron).1).sum::<f64>() / d_ff as f64)
            .collect();
        assert!(found[0].unusual > 0.0 && found.iter().any(|neuron| neuron.unusual == 0.0), "{name}");
        for neuron in found.iter().step_by(11) {
            let (mean, deviation) = statistics(neuron.layer, neuron.neuron);
            let deviation = (deviation * deviation + typical[neuron.layer].powi(2)).sqrt();
            let more = if mean >= 0.0 {
                neuron.activation > mean || neuron.activation < 0.0
            } else {
                neuron.activation < mean || neuron.activation > 0.0
            };
            let expected = if more { (neuron.activation - mean).abs() / deviation } else { 0.0 };
            assert!(close(neuron.unusual, expected, 1e-9, 1e-9 + expected), "{name}: {neuron:?}, {expected}");
        }
    }
}
