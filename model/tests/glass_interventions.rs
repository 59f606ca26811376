//! A runtime with interventions is the changed model in sessions, batches and views, and ablations one by one are whole
//! runs without each part.

#[allow(dead_code)]
mod changed;

use std::ops::ControlFlow;
use std::sync::Arc;

use changed::{Changed, fixture};
use glassbox_model::glass::{
    Ablations, Component, Intervention, Interventions, Keep, KeptRows, LensOptions, Part, PartKind,
    ViewError, ablate, attribute, attribute_each, candidate, lens, likeliest,
};
use glassbox_model::hooks::HookPoint;
use glassbox_model::{Checkpoint, Runtime};
use glassbox_tensor::{Level, Pool, Tensor};

const FAMILIES: [&str; 6] =
    ["gpt2-text", "llama-mqa-biased", "qwen3-plain", "mistral-window", "gemma3_text-plain", "mixtral-window"];

fn run(checkpoint: &Checkpoint) -> Runtime {
    checkpoint.run_on(Pool::new(2, Level::detect()).unwrap()).unwrap_or_else(|error| panic!("{error}"))
}

fn load(name: &str) -> Runtime {
    run(&Checkpoint::open(fixture(name)).unwrap())
}

fn ids(model: &Runtime) -> Vec<u32> {
    [1, 57, 3, 40, 40, 9, 12, 57, 33].iter().map(|id| id % model.config.vocab_size as u32).collect()
}

fn with(model: &Runtime, list: Vec<Intervention>) -> Runtime {
    let interventions = Interventions::new(&model.config, list).unwrap();
    model.clone().with_interventions(Some(Arc::new(interventions)))
}

fn without(model: &Runtime, part: &str) -> Runtime {
    with(model, vec![Intervention::Ablate(part.parse().unwrap())])
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

fn logits(model: &Runtime, ids: &[u32]) -> Vec<u32> {
    bits(model.session(usize::MAX).feed(ids).unwrap())
}

/// A vector of the model's width, and a patch of the residual stream.
fn steering(model: &Runtime) -> Intervention {
    let vector = (0..model.config.d_model).map(|i| (i as f32 - 3.0) * 0.25).collect();
    Intervention::Steer { layer: 1, positions: 2..usize::MAX, vector }
}

/// Every kind of part that the model has.
fn parts(model: &Runtime) -> Vec<Part> {
    let of_kind = |kind: PartKind| kind.all(&model.config, 0..model.config.n_layers);
    PartKind::ALL.into_iter().flat_map(of_kind).collect()
}

#[test]
fn attention_and_an_expert_ablated_are_their_weights_zeroed() {
    let zero = |name: &str, suffix: &str| {
        let copy = Changed::copy(name).tensors(|tensors| {
            let (_, tensor) = tensors.iter_mut().find(|(tensor, _)| tensor.ends_with(suffix)).expect(suffix);
            let dims = tensor.shape().dims().to_vec();
            *tensor = Tensor::from_f32(dims.clone(), vec![0.0; dims.iter().product()]).unwrap();
        });
        run(&copy.open().unwrap())
    };
    for (name, part, suffix) in [
        ("llama-text", "attention 1", "layers.1.self_attn.o_proj.weight"),
        ("mixtral-window", "expert 1.2", "layers.1.block_sparse_moe.experts.2.w2.weight"),
        ("mixtral-window", "expert 0.0", "layers.0.block_sparse_moe.experts.0.w2.weight"),
    ] {
        let model = load(name);
        let (ids, changed) = (ids(&model), zero(name, suffix));
        assert_ne!(logits(&changed, &ids), logits(&model, &ids), "{name} {part}");
        assert_eq!(logits(&without(&model, part), &ids), logits(&changed, &ids), "{name} {part}");
    }
}

#[test]
fn sessions_and_batches_of_a_runtime_apply_its_interventions() {
    for name in FAMILIES {
        let plain = load(name);
        let ids = ids(&plain);
        let list = vec![steering(&plain), Intervention::Ablate("head 1.0".parse().unwrap())];
        let mut observer = Interventions::new(&plain.config, list.clone()).unwrap();
        let changed = with(&plain, list);
        let mut expected = Vec::new();
        let mut session = plain.session(usize::MAX);
        for ids in [&ids[..], &[4], &[5, 6]] {
            expected.push(bits(session.feed_observed(ids, &mut observer).unwrap()));
        }
        assert_ne!(expected[0], logits(&plain, &ids), "{name}");
        for chunk in [512, 2] {
            let mut session = changed.session(usize::MAX).with_chunk(chunk);
            for (ids, expected) in [&ids[..], &[4], &[5, 6]].iter().zip(&expected) {
                assert_eq!(&bits(session.feed(ids).unwrap()), expected, "{name}");
            }
        }
        // Another sequence at other positions shares the steps.
        let mut batch = changed.batch(2, 64);
        let other = batch.add(&ids[..3]).unwrap().slot;
        let added = batch.add(&ids).unwrap();
        assert_eq!(bits(added.logits), expected[0], "{name}");
        let slot = added.slot;
        for (next, expected) in [&[4][..], &[5, 6]].iter().zip(&expected[1..]) {
            let found: Vec<Vec<u32>> =
                batch.step(&[(other, &[7]), (slot, next)]).unwrap().map(bits).collect();
            assert_eq!(&found[1], expected, "{name}");
        }
        assert_eq!(batch.positions(slot).unwrap(), ids.len() + 3);
        // An observer sees the changed values.
        let mut keep = Keep::new([(HookPoint::Z, Some(1))]).unwrap();
        changed.session(64).feed_observed(&ids, &mut keep).unwrap();
        let head = &keep.rows(HookPoint::Z, Some(1)).unwrap().at(3).unwrap()[..plain.config.head_dim];
        assert!(head.iter().all(|&z| z == 0.0), "{name}");
        let none = with(&plain, vec![]);
        assert_eq!(logits(&none, &ids), logits(&plain, &ids));
    }
}

fn all(_: usize) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

#[test]
fn ablations_are_whole_runs_without_each_part() {
    for name in FAMILIES {
        let plain = load(name);
        for (base, prompt) in
            [(vec![], ids(&plain)), (vec![steering(&plain)], ids(&plain)), (vec![], vec![5])]
        {
            let model = with(&plain, base.clone());
            let before = model.session(usize::MAX).feed(&prompt).unwrap().to_vec();
            let parts = parts(&plain);
            let found = ablate(&model, &prompt, &parts, None, all).unwrap();
            assert_eq!(found.before, likeliest(&before, 1)[0]);
            assert_eq!(found.without.len(), parts.len());
            for ablation in &found.without {
                let list = [&base[..], &[Intervention::Ablate(ablation.part)]].concat();
                let mut session = with(&plain, list).session(usize::MAX);
                let alone = session.feed(&prompt).unwrap();
                let part = ablation.part;
                assert_eq!(ablation.token, candidate(alone, found.before.id), "{name} without {part}");
                assert_eq!(ablation.likeliest, likeliest(alone, 1)[0], "{name} without {part}");
                let changed = bits(alone) != bits(&before);
                assert!(ablation.divergence >= 0.0 && (changed || ablation.divergence == 0.0));
            }
        }
    }
}

/// Longer than a chunk of the prompt.
#[test]
fn ablations_of_a_long_prompt_are_whole_runs() {
    let longer = Changed::copy("llama-text").json("config.json", |config| {
        config["max_position_embeddings"] = 1024.into();
    });
    let model = run(&longer.open().unwrap());
    let prompt: Vec<u32> = (0..700).map(|i| i * 7 % 288).collect();
    let parts = ["head 0.1", "mlp 1", "attention 1"].map(|part| part.parse().unwrap());
    let found = ablate(&model, &prompt, &parts, Some(9), all).unwrap();
    for ablation in &found.without {
        let alone = without(&model, &ablation.part.to_string());
        let expected = candidate(alone.session(usize::MAX).feed(&prompt).unwrap(), 9);
        assert_eq!(ablation.token, expected, "{}", ablation.part);
    }
}

#[test]
fn the_parts_that_change_most_come_first_and_progress_can_stop() {
    let model = load("llama-text");
    let (ids, heads) = (ids(&model), PartKind::Head.all(&model.config, 0..2));
    let found = ablate(&model, &ids, &heads, Some(40), all).unwrap();
    let changes: Vec<f64> = found
        .ranked()
        .iter()
        .map(|ablation| (ablation.token.probability - found.before.probability).abs())
        .collect();
    assert!(changes.len() == 8 && changes.is_sorted_by(|a, b| a >= b) && changes[0] > 0.0);
    let mut calls = Vec::new();
    let stop_at_three = |done| {
        calls.push(done);
        if done == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let some = ablate(&model, &ids, &heads, Some(40), stop_at_three).unwrap();
    assert_eq!(calls, [0, 1, 2, 3]);
    assert_eq!(some.without, found.without[..3]);
    let none: Ablations = ablate(&model, &ids, &[], None, all).unwrap();
    assert!(none.without.is_empty());
}

#[test]
fn the_lens_reads_a_token_among_all() {
    for name in ["gpt2-text", "gemma3_text-plain"] {
        let model = load(name);
        let ids = ids(&model);
        let vocab_size = model.config.vocab_size;
        let full = LensOptions { top: vocab_size, ..LensOptions::default() };
        let full = lens(&model, &ids, &full).unwrap();
        for token in [0, 7, vocab_size as u32 - 1] {
            let options = LensOptions { token: Some(token), positions: Some(3..9), ..LensOptions::default() };
            for (layer, full) in lens(&model, &ids, &options).unwrap().iter().zip(&full) {
                assert_eq!((layer.token.len(), layer.readings.len()), (6, 6));
                for (reading, full) in layer.token.iter().zip(&full.readings[3..]) {
                    let at = full.iter().position(|candidate| candidate.id == token).unwrap();
                    assert_eq!((reading.rank, reading.candidate), (at + 1, full[at]), "{name}");
                }
            }
        }
        assert!(full.iter().all(|layer| layer.token.is_empty()));
        let outside = LensOptions { token: Some(vocab_size as u32), ..LensOptions::default() };
        assert!(lens(&model, &ids, &outside).unwrap_err().to_string().contains("no token"));
    }
}

#[test]
fn views_of_a_changed_model_end_with_its_prediction() {
    for name in FAMILIES {
        let plain = load(name);
        let ids = ids(&plain);
        let patch = |point, row_len| Intervention::Patch {
            point,
            layer: Some(0),
            rows: KeptRows { first_position: 8, row_len, values: vec![0.5; row_len] },
        };
        for list in [
            vec![Intervention::Ablate("head 1.0".parse().unwrap())],
            vec![Intervention::Ablate("attention 1".parse().unwrap())],
            vec![Intervention::Ablate("block 0".parse().unwrap()), steering(&plain)],
            vec![steering(&plain)],
            vec![patch(HookPoint::AttentionOut, plain.config.d_model)],
            vec![patch(HookPoint::ResidPost, plain.config.d_model)],
        ] {
            let model = with(&plain, list.clone());
            let expected = model.session(usize::MAX).feed(&ids).unwrap().to_vec();
            let layers = lens(&model, &ids, &LensOptions { top: 2, ..LensOptions::default() }).unwrap();
            assert_eq!(layers.last().unwrap().readings.last(), Some(&likeliest(&expected, 2)), "{name}");
            let attribution = attribute(&model, &ids, Some(7)).unwrap();
            assert_eq!(attribution.logit.to_bits(), expected[7].to_bits());
            let largest = expected.iter().fold(0f32, |a, b| a.max(b.abs()));
            let error = (attribution.sum() - f64::from(attribution.logit)).abs();
            assert!(error <= 1e-4 * f64::from(largest), "{name} {list:?}: off by {error}");
            let share = |part| {
                attribution.contributions.iter().find(|share| share.part == part).map(|share| share.logit)
            };
            if list[0] == Intervention::Ablate(Part::Head { layer: 1, head: 0 }) {
                assert_eq!(share(Component::Head { layer: 1, head: 0 }), Some(0.0), "{name}");
                assert_eq!(share(Component::Interventions), None);
            }
            if list[0] == Intervention::Ablate(Part::Attention { layer: 1 }) {
                assert_eq!(share(Component::Attention { layer: 1 }), Some(0.0), "{name}");
                assert_eq!(share(Component::Head { layer: 1, head: 0 }), None, "{name}");
            }
            if list[0] == steering(&plain) {
                assert!(share(Component::Interventions).unwrap().abs() > 1e-3, "{name}");
            }
        }
    }
}

#[test]
fn the_difference_of_two_attributions_is_that_of_the_logits() {
    for name in FAMILIES {
        let model = load(name);
        let ids = ids(&model);
        let both = attribute_each(&model, &ids, &[7, 30]).unwrap();
        let alone = [7, 30].map(|token| attribute(&model, &ids, Some(token)).unwrap());
        assert_eq!(both, alone, "{name}");
        let difference = alone[0].minus(&alone[1]);
        for ((found, a), b) in difference.iter().zip(&alone[0].contributions).zip(&alone[1].contributions) {
            assert_eq!((found.part, found.logit), (a.part, a.logit - b.logit));
            assert_eq!(a.part, b.part);
        }
        let sum: f64 = difference.iter().map(|share| share.logit).sum();
        let logits = f64::from(alone[0].logit) - f64::from(alone[1].logit);
        let scale = f64::from(alone[0].logit.abs() + alone[1].logit.abs());
        assert!((sum - logits).abs() <= 1e-4 * scale.max(1.0), "{name}: {sum} and {logits}");
    }
}

/// `there is no head 9 in layer 3: expected 0 to 8`.
#[test]
fn errors_name_what_the_model_has() {
    let model = load("llama-text");
    let ids = ids(&model);
    for (part, expected) in [
        ("head 1.4", "there is no head 4 in layer 1: expected 0 to 3"),
        ("head 2.0", "there is no layer 2: expected 0 to 1"),
        ("neuron 0.48", "there is no neuron 48 in layer 0: expected 0 to 47"),
        ("expert 0.0", "there is no expert 0 in layer 0: this model has none"),
    ] {
        let part: Part = part.parse().unwrap();
        assert_eq!(part.check(&model.config).unwrap_err().to_string(), expected);
        assert_eq!(ablate(&model, &ids, &[part], None, all).unwrap_err().to_string(), expected);
    }
    assert!(ablate(&model, &ids, &[], Some(288), all).unwrap_err().to_string().contains("no token 288"));
    assert!(matches!(ablate(&model, &[], &[], None, all), Err(ViewError::Model(_))));
    let vocab_size = model.config.vocab_size;
    let rows = KeptRows { first_position: 0, row_len: vocab_size, values: vec![0.0; vocab_size] };
    let patch = Intervention::Patch { point: HookPoint::Logits, layer: None, rows };
    let patched = with(&model, vec![patch]);
    for error in [
        lens(&patched, &ids, &LensOptions::default()).unwrap_err(),
        attribute(&patched, &ids, None).unwrap_err(),
    ] {
        assert!(error.to_string().contains("logits is computed from the residual stream"), "{error}");
    }
}
