//! Tiny GPT-2 and Llama networks against PyTorch: the loss, all gradients, and the losses of ten AdamW steps.
//!
//! `scripts/train_goldens.py` made the goldens.

mod common;

use std::path::Path;

use common::llama_of;
use glassbox_model::Config;
use glassbox_model::config::Sizes;
use glassbox_tensor::file::safetensors::SafeTensors;
use glassbox_tensor::{Level, Pool};
use glassbox_train::oracle::loss_and_gradients;
use glassbox_train::{AdamW, AdamWConfig, Batch, Gradients, Network, clip_by_global_norm, gpt2_config};

/// Maximum relative error of a loss, and of a gradient relative to its tensor's largest element.
const TOLERANCE: f64 = 1e-5;

const RATES: [f64; 10] = [2e-3, 4e-3, 6e-3, 8e-3, 1e-2, 9e-3, 7e-3, 5e-3, 3e-3, 1e-3];
const VOCAB_SIZE: usize = 41;

fn configs() -> [(&'static str, Config); 3] {
    let llama = |group: usize, tied, bias, n_layers, d_ff| {
        let (n_kv_heads, n_heads) = (2, 2 * group);
        let head_dim = 16 / n_heads;
        let (vocab_size, context_length, d_model) = (VOCAB_SIZE, 16, 16);
        let sizes =
            Sizes { vocab_size, context_length, d_model, n_layers, n_heads, n_kv_heads, head_dim, d_ff };
        llama_of(sizes, tied, bias)
    };
    [
        ("gpt2", gpt2_config(VOCAB_SIZE, 16, 16, 2, 2)),
        ("llama", llama(2, false, false, 2, 24)),
        ("llama-tied", llama(1, true, true, 1, 24)),
    ]
}

/// A golden: the model before training, ten batches, and PyTorch's results.
struct Golden {
    network: Network,
    batches: Vec<Batch>,
    file: SafeTensors,
}

impl Golden {
    fn open(name: &str, config: Config) -> Golden {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
        let file = SafeTensors::open(folder.join(format!("{name}.safetensors"))).unwrap();
        let named = file.tensors().iter().filter_map(|info| {
            let tensor = file.tensor(&info.name).unwrap();
            let name = info.name.strip_prefix("before.")?.to_owned();
            Some((name, tensor.shape().dims().to_vec(), tensor.to_f32()))
        });
        let network = Network::from_named(config, named.collect::<Vec<_>>()).unwrap();
        let ids = file.tensor("ids").unwrap();
        let &[steps, rows, tokens] = ids.shape().dims() else { panic!("ids of {:?}", ids.shape()) };
        let ids: Vec<u32> = ids.to_f32().into_iter().map(|id| id as u32).collect();
        let batches = ids.chunks_exact(rows * tokens).map(|ids| Batch::next_token(ids, rows).unwrap());
        let batches: Vec<Batch> = batches.collect();
        assert_eq!((batches.len(), batches[0].sequences), (steps, rows));
        Golden { network, batches, file }
    }

    fn values(&self, name: &str) -> Vec<f64> {
        self.file.tensor(name).unwrap().to_f32().into_iter().map(f64::from).collect()
    }
}

/// The largest difference relative to the largest expected value; infinite if anything is NaN.
fn distance(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let most = expected.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
    let each = found.iter().zip(expected).map(|(found, expected)| (found - expected).abs() / most);
    each.fold(0.0, |worst: f64, x| if x.is_nan() { f64::INFINITY } else { worst.max(x) })
}

#[test]
fn the_distance_rejects_wrong_values() {
    let good = [-1.0, 0.2, -3.0];
    assert_eq!(distance(&good, &good), 0.0);
    assert!(distance(&[-1.00001, 0.20001, -3.00002], &good) < TOLERANCE);
    for bad in [[0.0; 3], [f64::NAN; 3], [1.0, -0.2, 3.0], [-2.0, 0.4, -6.0], [-1.0, 0.2001, -3.0]] {
        assert!(distance(&bad, &good) > TOLERANCE, "{bad:?} passed");
    }
}

/// The mean loss of a batch and its gradient.
type LossAndGradients<'a> = &'a dyn Fn(&mut Network, &Batch) -> (f64, Gradients);

fn plain<F: glassbox_train::plain::Float>(network: &mut Network, batch: &Batch) -> (f64, Gradients) {
    let trained: Vec<F> = network.trained().values().iter().map(|&x| F::of(x.into())).collect();
    let (losses, found) = loss_and_gradients(network, &trained, batch, batch.total_weight());
    let mut gradients = network.gradients();
    gradients.values_mut().iter_mut().zip(found).for_each(|(to, from)| *to = from.to_f64() as f32);
    let sum: f64 = losses.iter().map(|loss| loss.to_f64()).sum();
    (sum / losses.len() as f64, gradients)
}

fn check(way: &str, run: LossAndGradients<'_>) {
    let pool = Pool::new(1, Level::detect()).unwrap();
    for (name, config) in configs() {
        let mut golden = Golden::open(name, config);
        let (_, gradients) = run(&mut golden.network, &golden.batches[0]);
        for (slot, found) in gradients.iter() {
            let found: Vec<f64> = found.iter().map(|&x| x.into()).collect();
            let off = distance(&found, &golden.values(&format!("gradient.{}", slot.name)));
            assert!(off <= TOLERANCE, "{way}, {name}: the gradient of {} is off by {off:e}", slot.name);
        }
        let config = AdamWConfig { beta2: 0.95, weight_decay: 0.1, ..AdamWConfig::default() };
        let mut optimizer = AdamW::new(config, golden.network.trained());
        let (losses, norms) = (golden.values("losses"), golden.values("norms"));
        for (step, rate) in RATES.into_iter().enumerate() {
            let (loss, mut gradients) = run(&mut golden.network, &golden.batches[step]);
            let norm = clip_by_global_norm(&pool, &mut gradients, 1.0);
            for (what, found, expected) in [("loss", loss, losses[step]), ("norm", norm, norms[step])] {
                let off = distance(&[found], &[expected]);
                assert!(off <= TOLERANCE, "{way}, {name}, step {step}: the {what} is off by {off:e}");
            }
            optimizer.step(&pool, golden.network.trained_mut(), &gradients, rate);
        }
    }
}

#[test]
fn the_plain_layers_in_double_precision() {
    check("f64", &plain::<f64>);
}

#[test]
fn the_plain_layers_in_single_precision() {
    check("f32", &plain::<f32>);
}

#[test]
fn the_fast_network_at_every_level() {
    for level in Level::available() {
        let pool = Pool::new(2, level).unwrap();
        check(&format!("{level}"), &|network, batch| {
            let mut gradients = network.gradients();
            let total = batch.total_weight();
            let loss = network.loss_and_gradients(&pool, batch, total, &mut gradients).unwrap();
            (loss.mean(), gradients)
        });
    }
}
