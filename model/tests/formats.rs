//! Quantised weights are used with their exact values: the logits are bit-identical to those of a model with the
//! weights dequantised to `f32`, in every format, at every level, for prompts and single tokens.

use std::path::{Path, PathBuf};

use glassbox_model::{Checkpoint, Runtime};
use glassbox_tensor::file::gguf::{self, Value};
use glassbox_tensor::quant::{self, f16::f32_to_f16};
use glassbox_tensor::{Format, Level, Pool, Tensor};

/// Random numbers: the upper bits of a linear congruential generator.
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as u32
    }

    /// From -1 to 1.
    fn number(&mut self) -> f32 {
        self.bits() as f32 / 2f32.powi(30) - 1.0
    }
}

const VOCAB: usize = 75;
const D_MODEL: usize = 256;
const D_FF: usize = 512;
const N_HEADS: usize = 4;
const LAYERS: usize = 2;

/// Whether a tensor is quantised, its name and its shape.
type TensorPlan = (bool, String, Vec<usize>);

fn llama_parts() -> Vec<TensorPlan> {
    let d_kv = D_MODEL / 2;
    let mut parts = vec![
        (true, "token_embd.weight".to_string(), vec![VOCAB, D_MODEL]),
        (true, "output.weight".to_string(), vec![VOCAB, D_MODEL]),
        (false, "output_norm.weight".to_string(), vec![D_MODEL]),
    ];
    for layer in 0..LAYERS {
        for (name, shape) in [
            ("attn_q", [D_MODEL, D_MODEL]),
            ("attn_k", [d_kv, D_MODEL]),
            ("attn_v", [d_kv, D_MODEL]),
            ("attn_output", [D_MODEL, D_MODEL]),
            ("ffn_gate", [D_FF, D_MODEL]),
            ("ffn_up", [D_FF, D_MODEL]),
            ("ffn_down", [D_MODEL, D_FF]),
        ] {
            parts.push((true, format!("blk.{layer}.{name}.weight"), shape.to_vec()));
        }
        for name in ["attn_norm", "ffn_norm"] {
            parts.push((false, format!("blk.{layer}.{name}.weight"), vec![D_MODEL]));
        }
    }
    parts
}

fn gpt2_parts() -> Vec<TensorPlan> {
    let mut parts = vec![
        (true, "token_embd.weight".to_string(), vec![VOCAB, D_MODEL]),
        (true, "position_embd.weight".to_string(), vec![32, D_MODEL]),
    ];
    for layer in 0..LAYERS {
        for (name, shape) in [
            ("attn_qkv", [3 * D_MODEL, D_MODEL]),
            ("attn_output", [D_MODEL, D_MODEL]),
            ("ffn_up", [D_FF, D_MODEL]),
            ("ffn_down", [D_MODEL, D_FF]),
        ] {
            parts.push((true, format!("blk.{layer}.{name}.weight"), shape.to_vec()));
            parts.push((false, format!("blk.{layer}.{name}.bias"), vec![shape[0]]));
        }
    }
    let in_blocks = (0..LAYERS).flat_map(|i| ["attn_norm", "ffn_norm"].map(|name| format!("blk.{i}.{name}")));
    for norm in in_blocks.chain(["output_norm".to_string()]) {
        parts.push((false, format!("{norm}.weight"), vec![D_MODEL]));
        parts.push((false, format!("{norm}.bias"), vec![D_MODEL]));
    }
    parts
}

fn metadata(architecture: &str) -> Vec<(String, Value)> {
    let number = |key: &str, value: usize| (format!("{architecture}.{key}"), Value::U32(value as u32));
    let epsilon = |key: &str| (format!("{architecture}.attention.{key}"), Value::F32(1e-5));
    vec![
        ("general.architecture".to_string(), Value::String(architecture.to_string())),
        number("context_length", 32),
        number("embedding_length", D_MODEL),
        number("block_count", LAYERS),
        number("feed_forward_length", D_FF),
        number("attention.head_count", N_HEADS),
        number("attention.head_count_kv", if architecture == "gpt2" { N_HEADS } else { N_HEADS / 2 }),
        epsilon("layer_norm_epsilon"),
        epsilon("layer_norm_rms_epsilon"),
    ]
}

/// Random weights of about ±0.1: quantised if there is a quantiser, otherwise random blocks.
fn weights(random: &mut Random, format: Format, shape: &[usize]) -> Tensor {
    let count: usize = shape.iter().product();
    // The offsets of the f16 scales in a block, and their values.
    let scales: &[(usize, f32)] = match format {
        Format::Q5_0 => &[(0, 6e-3)],
        Format::Q5_1 => &[(0, 6e-3), (2, 0.1)],
        Format::Q4_K | Format::Q5_K => &[(0, 1e-4), (2, 1e-3)],
        Format::Q6_K => &[(208, 3e-5)],
        _ => {
            let numbers: Vec<f32> = (0..count).map(|_| 0.1 * random.number()).collect();
            let bytes = quant::quantize(format, &numbers).unwrap();
            return Tensor::from_bytes(format, shape, bytes).unwrap();
        }
    };
    let mut bytes: Vec<u8> = (0..format.bytes_for(count).unwrap()).map(|_| random.bits() as u8).collect();
    for block in bytes.chunks_exact_mut(format.block_bytes()) {
        for &(at, size) in scales {
            block[at..at + 2].copy_from_slice(&f32_to_f16(size * random.number()).to_le_bytes());
        }
    }
    Tensor::from_bytes(format, shape, bytes).unwrap()
}

/// Writes a model with weights in `format`, and the same model dequantised.
fn write_pair(directory: &Path, architecture: &str, format: Format) -> [PathBuf; 2] {
    let random = &mut Random(1);
    let parts = if architecture == "gpt2" { gpt2_parts() } else { llama_parts() };
    let tensor = |(quantised, name, shape): TensorPlan| {
        let tensor = if quantised {
            weights(random, format, &shape)
        } else {
            let count = shape.iter().product::<usize>();
            Tensor::from_f32(shape, (0..count).map(|_| 1.0 + 0.5 * random.number()).collect()).unwrap()
        };
        (name, tensor)
    };
    let exact: Vec<(String, Tensor)> = parts.into_iter().map(tensor).collect();
    let plain = exact.iter().map(|(name, tensor)| {
        (name.clone(), Tensor::from_f32(tensor.shape().dims(), tensor.to_f32()).unwrap())
    });
    let paths = ["exact", "plain"].map(|name| directory.join(format!("{architecture}-{format}-{name}.gguf")));
    gguf::write(&paths[1], &metadata(architecture), plain).unwrap();
    gguf::write(&paths[0], &metadata(architecture), exact).unwrap();
    paths
}

fn load(path: &Path, threads: usize, level: Level) -> Runtime {
    let checkpoint = Checkpoint::open(path).unwrap_or_else(|error| panic!("{error}"));
    checkpoint.run_on(Pool::new(threads, level).unwrap()).unwrap_or_else(|error| panic!("{error}"))
}

/// The bits of the logits after a prompt of 13 tokens, fed in chunks of `chunk`, and after each of two more.
fn bits(model: &Runtime, chunk: usize) -> Vec<u32> {
    let mut session = model.session(usize::MAX).with_chunk(chunk);
    let prompt = [3, 74, 0, 17, 17, 42, 5, 6, 7, 63, 31, 2, 70];
    let mut bits = Vec::new();
    for ids in [&prompt[..], &[9], &[58]] {
        let logits = session.feed(ids).unwrap();
        assert!(
            logits.iter().all(|logit| logit.is_finite()) && logits.iter().any(|&logit| logit != logits[0])
        );
        bits.extend(logits.iter().map(|logit| logit.to_bits()));
    }
    bits
}

fn assert_exact(architecture: &str) {
    let directory = tempfile::tempdir().unwrap();
    for format in Format::ALL {
        let [exact, plain] = write_pair(directory.path(), architecture, format);
        let expected = bits(&load(&plain, 1, Level::Scalar), 13);
        for level in Level::available() {
            let model = load(&exact, 2, level);
            for chunk in [13, 4, 1] {
                assert!(
                    bits(&model, chunk) == expected,
                    "{architecture} in {format} at {level}, chunks of {chunk}"
                );
            }
        }
    }
}

#[test]
fn llama_in_every_format_is_the_same_model_dequantised() {
    assert_exact("llama");
}

#[test]
fn gpt2_in_every_format_is_the_same_model_dequantised() {
    assert_exact("gpt2");
}

#[test]
fn different_formats_give_different_logits() {
    let directory = tempfile::tempdir().unwrap();
    let models = [Format::F32, Format::Q8_0, Format::Q4_0].map(|format| {
        let [exact, _] = write_pair(directory.path(), "llama", format);
        bits(&load(&exact, 1, Level::detect()), 13)
    });
    assert!(models[0] != models[1] && models[1] != models[2]);
}
