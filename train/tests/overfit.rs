//! A network trained repeatedly on one batch memorises it.

mod common;

use common::llama_config;
use glassbox_model::Config;
use glassbox_tensor::{Level, Pool};
use glassbox_train::{AdamW, AdamWConfig, Batch, Network, Random, clip_by_global_norm, gpt2_config};

fn overfits(config: Config) {
    let pool = Pool::new(2, Level::detect()).unwrap();
    let mut random = Random::new(3);
    let ids: Vec<u32> = (0..4 * 17).map(|_| random.below(config.vocab_size) as u32).collect();
    let batch = Batch::next_token(&ids, 4).unwrap();
    let mut network = Network::new(config, 1).unwrap();
    let mut optimizer = AdamW::new(AdamWConfig::default(), network.trained());
    let mut gradients = network.gradients();
    let first = network.loss(&pool, &batch).unwrap().mean();
    assert!(
        (first - (network.config().vocab_size as f64).ln()).abs() < 0.2,
        "the initial loss is not ln(vocab_size): {first}"
    );
    for _ in 0..250 {
        gradients.zero();
        network.loss_and_gradients(&pool, &batch, batch.total_weight(), &mut gradients).unwrap();
        clip_by_global_norm(&pool, &mut gradients, 1.0);
        optimizer.step(&pool, network.trained_mut(), &gradients, 5e-3);
    }
    let last = network.loss(&pool, &batch).unwrap().mean();
    assert!(last < 0.05, "{last}");
}

#[test]
fn gpt2() {
    overfits(gpt2_config(37, 16, 32, 2, 2));
}

#[test]
fn llama() {
    overfits(Config { d_model: 24, ..llama_config(2, true, false) });
}

#[test]
fn a_part_without_a_backward_pass_is_refused_by_name() {
    let fixtures = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/tests/fixtures/tiny");
    let config = |name: &str| glassbox_model::Checkpoint::open(fixtures.join(name)).unwrap().config().clone();
    let error = Network::new(config("mixtral-plain"), 1).unwrap_err().to_string();
    assert!(error.contains("mixtral") && error.contains("experts"), "{error}");
    // A window is none as long as the sequences are shorter.
    let mut network = Network::new(config("gemma3_text-plain"), 1).unwrap();
    let pool = Pool::new(1, Level::detect()).unwrap();
    let mut batch = |tokens: u32| {
        let ids: Vec<u32> = (0..=tokens).collect();
        network.loss(&pool, &glassbox_train::Batch::next_token(&ids, 1).unwrap())
    };
    assert!(batch(9).is_ok());
    let error = batch(10).unwrap_err().to_string();
    assert!(error.contains("10") && error.contains('9'), "{error}");
}
