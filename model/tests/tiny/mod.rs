//! The tiny checkpoints, loaded, and values of a run as plain vectors.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use glassbox_model::glass::Keep;
use glassbox_model::hooks::HookPoint;
use glassbox_model::norm::Norm;
use glassbox_model::{Adapter, Checkpoint, Lora, Runtime};
use glassbox_tensor::file::safetensors;
use glassbox_tensor::{Engine, Level, Pool, Tensor};

pub(crate) const IDS: [u32; 13] = [1, 57, 3, 40, 40, 9, 12, 57, 33, 2, 60, 5, 17];

/// One of each kind: plain and grouped-query heads, biases, post norms, a parallel residual, a window, experts, and
/// quantised weights.
pub(crate) const KINDS: [&str; 9] = [
    "gpt2-text",
    "llama-gqa",
    "llama-mqa-biased",
    "gemma3_text-plain",
    "gpt_neox-plain",
    "mistral-window",
    "qwen3-plain",
    "mixtral-plain",
    "gguf/llama-text.gguf",
];

pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny")
}

pub(crate) fn load(path: &Path) -> Runtime {
    let checkpoint = Checkpoint::open(path).unwrap_or_else(|error| panic!("{error}"));
    let pool = Pool::new(2, Engine::Kernels(Level::detect())).unwrap();
    checkpoint.run_on(pool).unwrap_or_else(|error| panic!("{error}"))
}

/// All tiny checkpoints, directories and GGUFs.
pub(crate) fn models() -> Vec<(String, Runtime)> {
    let mut paths = Vec::new();
    for folder in [fixtures(), fixtures().join("gguf")] {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        paths.extend(
            entries.filter(|path| {
                path.join("config.json").is_file() || path.extension() == Some("gguf".as_ref())
            }),
        );
    }
    assert!(paths.len() >= 30);
    paths.sort();
    paths.iter().map(|path| (path.display().to_string(), load(path))).collect()
}

/// One checkpoint of each of [`KINDS`].
pub(crate) fn kinds() -> Vec<(&'static str, Runtime)> {
    KINDS.iter().map(|name| (*name, load(&fixtures().join(name)))).collect()
}

/// Ids that are in every vocabulary here.
pub(crate) fn ids(model: &Runtime) -> Vec<u32> {
    IDS.iter().map(|id| id % model.config.vocab_size as u32).collect()
}

/// An adapter of rank 2 with weights of size about 1 beside these modules of layer 1 of a Llama.
pub(crate) fn adapter(runtime: &Runtime, seed: f32, modules: &[&str]) -> Arc<Adapter> {
    let folder = tempfile::tempdir().unwrap();
    let config = r#"{"peft_type": "LORA", "r": 2, "lora_alpha": 4}"#;
    std::fs::write(folder.path().join("adapter_config.json"), config).unwrap();
    let config = &runtime.config;
    let (d, heads) = (config.d_model, config.n_heads * config.head_dim);
    let numbers = |len: usize, by: f32| (0..len).map(|i| ((i as f32 + seed) * by).sin()).collect::<Vec<_>>();
    let mut tensors = BTreeMap::new();
    for module in modules {
        let (inputs, outputs) = match *module {
            "self_attn.q_proj" => (d, heads),
            "self_attn.o_proj" => (heads, d),
            "mlp.down_proj" => (config.d_ff, d),
            other => panic!("{other}"),
        };
        let name = |kind: &str| format!("base_model.model.model.layers.1.{module}.lora_{kind}.weight");
        tensors.insert(name("A"), Tensor::from_f32([2, inputs], numbers(2 * inputs, 0.7)).unwrap());
        tensors.insert(name("B"), Tensor::from_f32([outputs, 2], numbers(2 * outputs, 0.3)).unwrap());
    }
    safetensors::write(folder.path().join("adapter_model.safetensors"), &Default::default(), &tensors)
        .unwrap();
    let lora = Lora::open(folder.path()).unwrap();
    Arc::new(Adapter::load(runtime, &lora, &runtime.pool).unwrap())
}

/// The rows of a value at all positions; empty if the model does not have it.
pub(crate) fn rows(model: &Runtime, ids: &[u32], point: HookPoint, layer: Option<usize>) -> Vec<Vec<f64>> {
    let mut keep = Keep::new([(point, layer)]).unwrap();
    model.session(usize::MAX).feed_observed(ids, &mut keep).unwrap();
    let Some(kept) = keep.rows(point, layer) else { return Vec::new() };
    kept.values.chunks_exact(kept.row_len).map(widened).collect()
}

pub(crate) fn widened(x: &[f32]) -> Vec<f64> {
    x.iter().copied().map(f64::from).collect()
}

pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

pub(crate) fn length(x: &[f64]) -> f64 {
    dot(x, x).sqrt()
}

pub(crate) fn cosine(a: &[f64], b: &[f64]) -> f64 {
    dot(a, b) / (length(a) * length(b))
}

/// The part `y` of a vector `x` after the norm of `x`, without the bias, by the norm's formula.
pub(crate) fn part_after_norm(norm: &Norm, x: &[f64], y: &[f64]) -> Vec<f64> {
    let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
    let (weight, epsilon, of_x, of_y) = match norm {
        Norm::Rms { weight, epsilon } => (weight, epsilon, 0.0, 0.0),
        Norm::Layer { weight, epsilon, .. } => (weight, epsilon, mean(x), mean(y)),
    };
    let squares: Vec<f64> = x.iter().map(|x| (x - of_x).powi(2)).collect();
    let size = (mean(&squares) + f64::from(*epsilon)).sqrt();
    y.iter().zip(weight).map(|(y, &weight)| f64::from(weight) * (y - of_y) / size).collect()
}

/// What `y`, a part of the stream `x` after the last layer, adds to the logit of every token.
pub(crate) fn logits_of_part(model: &Runtime, x: &[f64], y: &[f64]) -> Vec<f64> {
    let normed = part_after_norm(&model.decoder.final_norm, x, y);
    let unembedding = model.vocabulary().unembedding();
    let mut row = vec![0.0; y.len()];
    (0..unembedding.outputs())
        .map(|id| {
            unembedding.row(id, &mut row);
            dot(&normed, &widened(&row))
        })
        .collect()
}

/// Whether two numbers agree to `tolerance` relative to `scale`. NaN never does.
pub(crate) fn close(a: f64, b: f64, tolerance: f64, scale: f64) -> bool {
    (a - b).abs() <= tolerance * scale
}
