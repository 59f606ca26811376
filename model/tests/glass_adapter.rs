//! Views of a model with an adapter: the weights that they use are those of the run.

mod tiny;

use glassbox_model::glass::{Component, EdgeMeasure, EdgeOptions, NeuronMeasure, NeuronOptions};
use glassbox_model::glass::{attribute, neurons, strongest_edges};
use tiny::{close, fixtures, ids, load};

/// The adapter's branches of the output and down projections were left out: the parts did not add up to the logit.
#[test]
fn with_an_adapter_the_parts_add_up_to_the_logit_of_the_run() {
    let plain = load(&fixtures().join("llama-gqa"));
    let ids = ids(&plain);
    let adapter = tiny::adapter(&plain, 1.0, &["self_attn.o_proj", "mlp.down_proj"]);
    let model = plain.clone().with_adapter(Some(adapter));
    let (last, token) = (ids.len() - 1, ids[2]);
    let attribution = attribute(&model, &ids, Some(token)).unwrap();
    let without = attribute(&plain, &ids, Some(token)).unwrap();
    assert!((attribution.logit - without.logit).abs() > 1e-3, "the adapter matters");
    let scale: f64 = attribution.contributions.iter().map(|part| part.logit.abs()).sum();
    assert!(close(attribution.sum(), attribution.logit.into(), 1e-5, scale), "{attribution:?}");

    let options = EdgeOptions { by: EdgeMeasure::Logit, answer: Some(token), ..EdgeOptions::default() };
    let options = EdgeOptions { include_first: true, include_self: true, top: 10_000, ..options };
    let edges = strongest_edges(&model, &ids, &options).unwrap().edges;
    for part in &attribution.contributions {
        let sum: f64 = match part.part {
            Component::Head { layer, head } => {
                let own = edges.iter().filter(|edge| (edge.layer, edge.head) == (layer, head));
                own.filter_map(|edge| edge.logit).sum()
            }
            Component::Mlp { layer } => {
                let options = NeuronOptions {
                    position: last,
                    layer: Some(layer),
                    by: NeuronMeasure::Logit,
                    answer: Some(token),
                    top: 10_000,
                    tokens: 0,
                };
                neurons(&model, &ids, &options, None).unwrap().neurons.iter().map(|neuron| neuron.logit).sum()
            }
            _ => continue,
        };
        assert!(close(sum, part.logit, 1e-5, scale), "{part:?}: {sum}");
    }
}
