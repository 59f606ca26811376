//! Comparing models: no difference from itself, more with fewer bits, and the same figures as a plain computation.

use std::path::{Path, PathBuf};

use glassbox_model::glass::{Error, compare_models};
use glassbox_model::quantize::{Mix, Quantization};
use glassbox_model::{Checkpoint, Runtime};
use glassbox_tensor::{Format, Level, Pool};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny").join(name)
}

fn load(path: &Path) -> Runtime {
    Checkpoint::open(path).unwrap().run_on(Pool::new(2, Level::detect()).unwrap()).unwrap()
}

const IDS: [u32; 21] = [1, 57, 3, 40, 40, 9, 12, 57, 33, 2, 60, 5, 17, 8, 8, 21, 64, 30, 4, 11, 50];

#[test]
fn a_model_does_not_differ_from_itself() {
    for name in ["gpt2-plain", "llama-gqa", "gguf/llama-text.gguf"] {
        let model = load(&fixture(name));
        let found = compare_models(&model, &load(&fixture(name)), &IDS, 8).unwrap();
        assert_eq!(found.layers, vec![0.0; model.config.n_layers]);
        assert_eq!((found.logits.mean_kl, found.logits.max_kl), (0.0, 0.0));
        assert_eq!((found.logits.top1_agreeing, found.logits.positions), (21, 21));
        assert_eq!(found.loss, found.reference_loss);
    }
}

#[test]
fn fewer_bits_differ_more() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["gpt2-text", "llama-text", "qwen3-text"] {
        let reference = load(&fixture(name));
        let mut last = (0.0, vec![0.0; reference.config.n_layers]);
        for format in [Format::F16, Format::Q8_0, Format::Q5_0, Format::Q4_0] {
            let file = folder.path().join("model.gguf");
            let plan = Quantization::plan(fixture(name), Mix::mostly(format)).unwrap();
            plan.write(&reference.pool, &file, |_| {}).unwrap();
            let found = compare_models(&reference, &load(&file), &IDS, 16).unwrap();
            assert!(
                found.logits.mean_kl > last.0,
                "{name} {format}: {} after {}",
                found.logits.mean_kl,
                last.0
            );
            assert!(found.layers.iter().zip(&last.1).all(|(now, before)| now > before), "{name} {format}");
            last = (found.logits.mean_kl, found.layers);
        }
    }
}

#[test]
fn the_figures_are_those_of_a_plain_computation() {
    let (a, b) = (load(&fixture("gpt2-plain")), load(&fixture("gpt2-plain")));
    // Windows are independent: the same as each alone.
    let whole = compare_models(&a, &b, &IDS, 7).unwrap();
    let mut losses = Vec::new();
    for window in IDS.chunks(7) {
        a.session(usize::MAX)
            .feed_all(window, |i, row| {
                if let Some(&next) = window.get(i + 1) {
                    let sum: f64 = row.iter().map(|&x| f64::from(x).exp()).sum();
                    losses.push(sum.ln() - f64::from(row[next as usize]));
                }
            })
            .unwrap();
    }
    let mean = losses.iter().sum::<f64>() / losses.len() as f64;
    assert_eq!(losses.len(), 18);
    assert!((whole.loss - mean).abs() < 1e-9, "{} {mean}", whole.loss);
}

#[test]
fn models_of_different_sizes_are_an_error() {
    let (a, b) = (load(&fixture("gpt2-text")), load(&fixture("llama-gqa")));
    let error = compare_models(&a, &b, &IDS, 8).unwrap_err();
    assert!(matches!(&error, Error::Unlike { different } if !different.is_empty()));
    assert!(error.to_string().contains("d_model is"), "{error}");
    let same = load(&fixture("gpt2-text"));
    assert!(matches!(compare_models(&a, &same, &[1, 100_000], 8), Err(Error::Model(_))));
    assert!(matches!(compare_models(&a, &same, &[], 8), Err(Error::Model(_))));
}
