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
