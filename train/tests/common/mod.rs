//! Tiny networks of every kind, and batches for them.
#![allow(dead_code)]

use std::path::Path;

use glassbox_model::config::Sizes;
use glassbox_model::{Checkpoint, Config, families};
use glassbox_tensor::ops::Activation;
use glassbox_train::{Batch, LoraConfig, Network, Random, gpt2_config};

/// A Llama with `group` query heads per key-value head.
pub(crate) fn llama_config(group: usize, tied: bool, bias: bool) -> Config {
    llama_of(sizes(2 * group), tied, bias)
}

pub(crate) fn llama_of(sizes: Sizes, tied: bool, bias: bool) -> Config {
    Config {
        tied,
        qkv_bias: bias,
        attention_out_bias: bias,
        mlp_bias: bias,
        ..families::new_config("llama", sizes).unwrap()
    }
}

/// The sizes of a network with two key-value heads.
fn sizes(n_heads: usize) -> Sizes {
    Sizes {
        vocab_size: 37,
        context_length: 80,
        d_model: 20,
        n_layers: 2,
        n_heads,
        n_kv_heads: 2,
        head_dim: 6,
        d_ff: 28,
    }
}

/// The configuration of one of the model crate's tiny checkpoints, with two blocks without attention windows.
fn of_fixture(name: &str) -> Config {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/tests/fixtures/tiny");
    let config = Checkpoint::open(fixtures.join(name)).unwrap().config().clone();
    let last = config.rope_of_layer.len() - 1;
    let rope_of_layer = vec![config.rope_of_layer[0], config.rope_of_layer[last - 1]];
    Config { n_layers: 2, windows: vec![None; 2], rope_of_layer, ..config }
}

/// A network with all parameters perturbed, so that norms are not 1 and biases not 0.
pub(crate) fn perturbed(config: Config) -> Network {
    let mut network = Network::new(config, 5).unwrap();
    let mut random = Random::new(6);
    network.parameters_mut().values_mut().iter_mut().for_each(|x| *x += (random.normal() * 0.1) as f32);
    network
}

/// The same with adapters that change the output.
pub(crate) fn with_adapters(config: Config) -> Network {
    let mut network = perturbed(config);
    network.add_adapters(LoraConfig { rank: 3, alpha: 6.0, targets: vec![] }, 7).unwrap();
    let mut random = Random::new(8);
    network.trained_mut().values_mut().iter_mut().for_each(|x| *x += (random.normal() * 0.1) as f32);
    network
}

/// Networks of each kind, with their names.
pub(crate) fn networks() -> Vec<(&'static str, Network)> {
    let erf = Config { activation: Activation::GeluErf, tied: false, ..gpt2_config(37, 80, 20, 2, 2) };
    vec![
        ("gpt2", perturbed(gpt2_config(37, 80, 24, 3, 2))),
        ("gpt2, erf, untied", perturbed(erf)),
        ("llama", perturbed(llama_config(1, true, false))),
        ("llama, grouped, untied, biases", perturbed(llama_config(3, false, true))),
        ("qwen3", perturbed(of_fixture("qwen3-plain"))),
        ("gemma3", perturbed(of_fixture("gemma3_text-plain"))),
        ("gemma3 with biases, untied", perturbed(of_fixture("gemma3_text-layer-types"))),
        ("gpt_neox", perturbed(of_fixture("gpt_neox-plain"))),
        ("gpt_neox, sequential", perturbed(of_fixture("gpt_neox-sequential"))),
        ("gemma3 with adapters", with_adapters(of_fixture("gemma3_text-plain"))),
        ("gpt_neox with adapters", with_adapters(of_fixture("gpt_neox-plain"))),
        ("gpt2 with adapters", with_adapters(gpt2_config(37, 80, 20, 2, 2))),
        ("llama with adapters", with_adapters(llama_config(2, true, false))),
    ]
}

/// Random tokens, some with weight 0.
pub(crate) fn batch(config: &Config, rows: usize, tokens: usize) -> Batch {
    let mut random = Random::new(9);
    let ids: Vec<u32> = (0..rows * (tokens + 1)).map(|_| random.below(config.vocab_size) as u32).collect();
    let mut batch = Batch::next_token(&ids, rows).unwrap();
    batch.weights.iter_mut().for_each(|weight| *weight = [0.0, 1.0, 1.0, 0.5][random.below(4)]);
    batch
}
