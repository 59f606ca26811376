//! Tiny random checkpoints of every family, saved by transformers: the same logits and greedy tokens as there.

use std::convert::Infallible;
use std::path::{Path, PathBuf};

use glassbox_model::{Checkpoint, Generation, Runtime};
use glassbox_tensor::file::safetensors::SafeTensors;
use glassbox_tensor::{Engine, Level, Pool};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny")
}

/// The largest |found - expected| / (1 + |expected|); infinite if anything is NaN.
fn distance(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let each =
        found.iter().zip(expected).map(|(found, expected)| (found - expected).abs() / (1.0 + expected.abs()));
    each.fold(0.0, |worst: f32, x| if x.is_nan() { f32::INFINITY } else { worst.max(x) })
}

#[test]
fn the_distance_rejects_wrong_values() {
    let good = [-1.0, 2.0, -30.0];
    assert_eq!(distance(&good, &good), 0.0);
    assert!(distance(&[-1.00001, 2.00001, -30.0002], &good) < 1e-4);
    for bad in [[0.0; 3], [f32::NAN; 3], [1.0, -2.0, 30.0], [-2.0, 4.0, -60.0], [-1.0, 2.001, -30.0]] {
        assert!(distance(&bad, &good) > 1e-4, "{bad:?} passed");
    }
}

fn load(path: &Path, threads: usize, engine: impl Into<Engine>) -> Runtime {
    let checkpoint = Checkpoint::open(path).unwrap_or_else(|error| panic!("{error}"));
    checkpoint.run_on(Pool::new(threads, engine).unwrap()).unwrap_or_else(|error| panic!("{error}"))
}

/// Compares a checkpoint with a golden: all logits of both prompts, then the greedy continuation.
fn compare(path: &Path, golden: &Path) {
    let model = load(path, 2, Level::detect());
    let golden = SafeTensors::open(golden).unwrap();
    let values = |name: &str| golden.tensor(name).unwrap().to_f32();
    // Ids are stored as i32, which the tensor crate does not support: read their bytes.
    let ids = |name: &str| integers(golden.path(), name);
    for prompt in ["long", "short"] {
        let (prompt_ids, logits) = (ids(&format!("{prompt}.ids")), values(&format!("{prompt}.logits")));
        let mut found = vec![f32::NAN; logits.len()];
        let vocab = model.config.vocab_size;
        let mut session = model.session(usize::MAX);
        session.feed_all(&prompt_ids, |i, row| found[i * vocab..][..vocab].copy_from_slice(row)).unwrap();
        let worst = distance(&found, &logits);
        assert!(worst <= 1e-4, "{}: logits of the {prompt} prompt are off by {worst:e}", path.display());

        let greedy = ids(&format!("{prompt}.greedy_ids"));
        let mut session = model.session(usize::MAX);
        let likeliest = |logits: &[f32]| {
            let best = (0..logits.len()).rev().max_by(|&a, &b| logits[a].total_cmp(&logits[b]));
            Ok::<_, Infallible>(best.unwrap() as u32)
        };
        let generation = Generation::new(&mut session, &prompt_ids, greedy.len(), &[], likeliest).unwrap();
        let generated: Vec<u32> = generation.map(Result::unwrap).collect();
        assert_eq!(generated, greedy, "{}: the {prompt} prompt's continuation", path.display());
    }
}

/// A one-dimensional I32 tensor of a safetensors file, by the header's own offsets.
fn integers(file: &Path, name: &str) -> Vec<u32> {
    let bytes = std::fs::read(file).unwrap();
    let header_len = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + header_len]).unwrap();
    assert_eq!(header[name]["dtype"], "I32");
    let offset = |i: usize| 8 + header_len + header[name]["data_offsets"][i].as_u64().unwrap() as usize;
    let data = &bytes[offset(0)..offset(1)];
    data.chunks_exact(4).map(|id| u32::from_le_bytes(id.try_into().unwrap())).collect()
}

fn manifest() -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(fixtures().join("manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
    manifest["checkpoints"].as_array().unwrap().clone()
}

#[test]
fn directories_of_every_family() {
    let checkpoints = manifest();
    assert!(checkpoints.len() >= 20);
    for checkpoint in &checkpoints {
        let directory = fixtures().join(checkpoint["name"].as_str().unwrap());
        compare(&directory, &directory.join("golden.safetensors"));
    }
}

#[test]
fn ggufs_of_every_family() {
    let mut compared = 0;
    for checkpoint in manifest() {
        let name = checkpoint["name"].as_str().unwrap();
        let gguf = fixtures().join("gguf").join(format!("{name}.gguf"));
        if gguf.is_file() {
            compare(&gguf, &fixtures().join(name).join("golden.safetensors"));
            compared += 1;
        }
    }
    assert!(compared >= 4);
}

#[test]
fn intermediate_values_of_two_families() {
    for name in ["gpt2-plain", "llama-gqa"] {
        let directory = fixtures().join(name);
        let golden = SafeTensors::open(directory.join("golden.safetensors")).unwrap();
        let model = load(&directory, 1, Level::detect());
        let mut compared = 0;
        let mut see = |observed: glassbox_model::hooks::Observed<'_>| {
            if let Ok(expected) = golden.tensor(&format!("long.{observed}"))
                && observed.layer.is_some() | observed.to_string().contains("embed")
            {
                let worst = distance(observed.values, &expected.to_f32());
                assert!(worst <= 1e-4, "{name}: {observed} is off by {worst:e}");
                compared += 1;
            }
        };
        let ids = integers(&directory.join("golden.safetensors"), "long.ids");
        model.session(usize::MAX).feed_observed(&ids, &mut see).unwrap();
        assert!(compared >= 7, "{name}: only {compared} values compared");
    }
}

#[test]
fn the_same_bits_however_it_is_computed() {
    let mut cases = 0;
    for checkpoint in manifest() {
        let directory = fixtures().join(checkpoint["name"].as_str().unwrap());
        let ids = integers(&directory.join("golden.safetensors"), "long.ids");
        let mut expected: Option<Vec<u32>> = None;
        for engine in Level::available().into_iter().map(Engine::Kernels).chain([Engine::Reference]) {
            for threads in [1, 2, 4] {
                let model = load(&directory, threads, engine);
                for chunk in [512, 7, 1] {
                    let mut session = model.session(usize::MAX).with_chunk(chunk);
                    let bits: Vec<u32> = session.feed(&ids).unwrap().iter().map(|x| x.to_bits()).collect();
                    let what = format!(
                        "{} by {engine:?}, {threads} threads, chunks of {chunk}",
                        directory.display()
                    );
                    assert_eq!(expected.get_or_insert_with(|| bits.clone()), &bits, "{what}");
                    cases += 1;
                }
            }
        }
    }
    assert!(cases >= 20 * 9);
}
