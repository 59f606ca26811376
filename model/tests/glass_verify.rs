//! Verification: the references of transformers agree, and an altered weight is found where it first has an effect.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use glassbox_model::glass::{self, Error, Reference, Selection, TraceOptions, Verdict, verify};
use glassbox_model::{Checkpoint, Runtime};
use glassbox_tensor::file::safetensors::{self, SafeTensors};
use glassbox_tensor::{Engine, Level, Pool, Tensor};
use tempfile::TempDir;

const IDS: [u32; 6] = [5, 17, 3, 99, 42, 8];
const TOLERANCE: f64 = 1e-4;

fn load(path: &Path, engine: impl Into<Engine>) -> Runtime {
    Checkpoint::open(path).unwrap().run_on(Pool::new(1, engine).unwrap()).unwrap()
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny").join(name)
}

fn dump(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/glass/{name}.safetensors"))
}

#[test]
fn both_engines_agree_with_transformers() {
    // Every family, and a scaled rotary embedding: all values.
    for (name, values) in [
        ("gpt2-text", 34),
        ("llama-text", 39),
        ("llama-rope-yarn", 39),
        ("mistral-window", 57),
        ("qwen2-text", 39),
        ("qwen3-text", 39),
        ("gemma3_text-plain", 143),
        ("gpt_neox-plain", 35),
        ("mixtral-window", 37),
    ] {
        for engine in [Engine::Kernels(Level::detect()), Engine::Reference] {
            let model = load(&fixture(name), engine);
            assert_eq!(glass::Name::all(&model.config).len(), values, "{name}");
            let verdict = verify(&model, &Reference::open(dump(name)).unwrap(), TOLERANCE).unwrap();
            assert!(verdict.agrees(), "{:?}", verdict.first_departure());
            assert_eq!(verdict.comparisons.len(), values);
            let logits = verdict.logits.unwrap();
            assert!(logits.max_kl < 1e-9 && logits.top1_agreeing == logits.positions, "{logits:?}");
            assert!(verdict.comparisons.iter().all(|comparison| comparison.relative_error < 1e-5));
        }
    }
}

/// The trace of an unchanged checkpoint.
fn trace(name: &str, folder: &TempDir) -> Reference {
    let model = load(&fixture(name), Level::detect());
    let out = folder.path().join("reference.safetensors");
    glass::record(&model, &IDS, &Selection::all(&model), &out, &BTreeMap::new(), &TraceOptions::default())
        .unwrap();
    Reference::open(out).unwrap()
}

/// The name of the first differing value after a tensor is scaled by 1.1.
fn departure(name: &str, reference: &Reference, tensor: &str) -> Option<String> {
    let copy = tempfile::tempdir().unwrap();
    fs::copy(fixture(name).join("config.json"), copy.path().join("config.json")).unwrap();
    let file = SafeTensors::open(fixture(name).join("model.safetensors")).unwrap();
    let mut tensors = tensors(&file);
    let weight = tensors.get_mut(tensor).unwrap_or_else(|| panic!("{name} has no {tensor}"));
    let values = weight.to_f32().iter().map(|x| x * 1.1).collect();
    *weight = Tensor::from_f32(weight.shape().to_vec(), values).unwrap();
    safetensors::write(copy.path().join("model.safetensors"), &BTreeMap::new(), &tensors).unwrap();
    let verdict = verify(&load(copy.path(), Level::detect()), reference, TOLERANCE).unwrap();
    verdict.first_departure().map(|first| first.name.to_string())
}

fn tensors(file: &SafeTensors) -> BTreeMap<String, Tensor> {
    file.tensors().iter().map(|info| (info.name.clone(), file.tensor(&info.name).unwrap())).collect()
}

#[test]
fn an_altered_weight_is_found_where_it_first_has_an_effect() {
    let folder = tempfile::tempdir().unwrap();
    let gpt2 = [
        ("ln_1.weight", "ln1.normalized"),
        ("ln_1.bias", "ln1.normalized"),
        ("attn.c_attn.weight", "attn.q"),
        ("attn.c_attn.bias", "attn.q"),
        ("attn.c_proj.weight", "attn_out"),
        ("attn.c_proj.bias", "attn_out"),
        ("ln_2.weight", "ln2.normalized"),
        ("mlp.c_fc.weight", "mlp.pre"),
        ("mlp.c_proj.weight", "mlp_out"),
        ("mlp.c_proj.bias", "mlp_out"),
    ];
    let llama = [
        ("input_layernorm.weight", "ln1.normalized"),
        ("self_attn.q_proj.weight", "attn.q"),
        ("self_attn.k_proj.weight", "attn.k"),
        ("self_attn.v_proj.weight", "attn.v"),
        ("self_attn.o_proj.weight", "attn_out"),
        ("post_attention_layernorm.weight", "ln2.normalized"),
        ("mlp.gate_proj.weight", "mlp.pre"),
        ("mlp.up_proj.weight", "mlp.pre_linear"),
        ("mlp.down_proj.weight", "mlp_out"),
    ];
    // A q/k norm cancels a longer query or key, except for its epsilon.
    let qwen3 = [("self_attn.q_norm.weight", "attn.q"), ("self_attn.k_norm.weight", "attn.k")];
    let qwen2 = [("self_attn.v_proj.bias", "attn.v")];
    for (name, prefix, weights) in [
        ("gpt2-plain", "transformer.h", &gpt2[..]),
        ("llama-gqa", "model.layers", &llama),
        ("mistral-full", "model.layers", &llama),
        ("qwen2-plain", "model.layers", &qwen2),
        ("qwen3-plain", "model.layers", &qwen3),
    ] {
        let reference = trace(name, &folder);
        for (layer, (weight, place)) in
            [0, 1].into_iter().flat_map(|layer| weights.iter().map(move |weight| (layer, weight)))
        {
            let found = departure(name, &reference, &format!("{prefix}.{layer}.{weight}"));
            assert_eq!(found, Some(format!("blocks.{layer}.{place}")), "{name}: {weight} of block {layer}");
        }
    }
    let outside = [
        ("gpt2-plain", "transformer.wpe.weight", "pos_embed"),
        ("gpt2-plain", "transformer.wte.weight", "embed"),
        ("gpt2-plain", "transformer.ln_f.weight", "ln_final.normalized"),
        ("llama-gqa", "model.norm.weight", "ln_final.normalized"),
        ("qwen3-plain", "lm_head.weight", "logits"),
    ];
    for (name, tensor, place) in outside {
        assert_eq!(
            departure(name, &trace(name, &folder), tensor).as_deref(),
            Some(place),
            "{name}: {tensor}"
        );
    }
}

/// A modified copy of a dump.
fn rewritten(
    folder: &TempDir,
    change: impl FnOnce(&mut BTreeMap<String, String>, &mut BTreeMap<String, Tensor>),
) -> Result<Reference, Error> {
    let file = SafeTensors::open(dump("qwen3-text")).unwrap();
    let mut tensors = tensors(&file);
    let mut metadata = file.metadata().clone();
    change(&mut metadata, &mut tensors);
    let out = folder.path().join("changed.safetensors");
    safetensors::write(&out, &metadata, &tensors).unwrap();
    Reference::open(out)
}

fn verdict(reference: Result<Reference, Error>) -> Result<Verdict, Error> {
    verify(&load(&fixture("qwen3-text"), Level::detect()), &reference?, TOLERANCE)
}

#[test]
fn one_wrong_number_of_a_reference_is_found() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bad) in [("embed", f32::NAN), ("blocks.1.attn.pattern", 0.5), ("logits", f32::INFINITY)] {
        let found = verdict(rewritten(&folder, |_, tensors| {
            let tensor = tensors.get_mut(name).unwrap();
            let mut values = tensor.to_f32();
            values[5] = bad;
            *tensor = Tensor::from_f32(tensor.shape().to_vec(), values).unwrap();
        }))
        .unwrap();
        let first = found.first_departure().unwrap();
        assert_eq!(first.name.to_string(), name);
        let position =
            first.worst.iter().zip(&first.shape).fold(0, |position, (&along, size)| position * size + along);
        assert_eq!(position, 5);
        assert_eq!(first.worst_expected.to_bits(), bad.to_bits());
        assert_eq!(found.comparisons.iter().filter(|comparison| !comparison.agrees).count(), 1);
    }
}

#[test]
fn an_invalid_reference_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let message = |result: Result<Verdict, Error>| result.map(|_| ()).unwrap_err().to_string();

    let unknown = message(verdict(rewritten(&folder, |_, tensors| {
        let value = tensors["embed"].clone();
        tensors.extend([("blocks.7.resid_pre".to_owned(), value.clone()), ("hook_embed".to_owned(), value)]);
    })));
    assert!(unknown.contains("blocks.7.resid_pre, hook_embed") && unknown.contains("resid_pre"), "{unknown}");

    let shapes = message(verdict(rewritten(&folder, |_, tensors| {
        let pattern = tensors["blocks.0.attn.pattern"].narrow(0, 0..3).unwrap();
        tensors.insert("blocks.0.attn.pattern".into(), pattern);
    })));
    assert!(shapes.contains("blocks.0.attn.pattern has shape [4, ") && shapes.contains("[3, "), "{shapes}");

    let ids = |json: &'static str| {
        message(verdict(rewritten(&folder, |metadata, _| {
            metadata.insert("ids".into(), json.into());
        })))
    };
    assert!(ids("[]").contains("empty"), "{}", ids("[]"));
    assert!(ids("[1, -2]").contains("ids"), "{}", ids("[1, -2]"));
    assert!(ids("[1, 2]").contains("with 2 tokens"), "{}", ids("[1, 2]"));
    let none = message(verdict(rewritten(&folder, |metadata, _| metadata.clear())));
    assert!(none.contains("no token ids"), "{none}");
    let float_ids = message(verdict(rewritten(&folder, |metadata, tensors| {
        metadata.clear();
        tensors.insert("ids".into(), Tensor::from_f32([2], vec![1.0, 2.0]).unwrap());
    })));
    assert!(float_ids.contains("F32"), "{float_ids}");
    let nothing = message(verdict(rewritten(&folder, |_, tensors| tensors.clear())));
    assert!(nothing.contains("no values"), "{nothing}");

    let other = Reference::open(dump("gpt2-text")).unwrap();
    let other = message(verify(&load(&fixture("qwen3-text"), Level::detect()), &other, TOLERANCE));
    assert!(other.contains("pos_embed"), "{other}");
    assert!(matches!(Reference::open("no-such-file"), Err(Error::Tensor(_))));
}

#[test]
fn ids_may_be_an_integer_tensor() {
    let folder = tempfile::tempdir().unwrap();
    let expected = Reference::open(dump("qwen3-text")).unwrap().ids().to_vec();
    let plain = rewritten(&folder, |_, _| {}).unwrap();
    assert_eq!(plain.ids(), expected);
    let path = folder.path().join("ids.safetensors");
    for (dtype, size) in [("I32", 4), ("U32", 4), ("I64", 8)] {
        let file = |ids: &[i64]| {
            let data: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()[..size].to_vec()).collect();
            let header = format!(
                "{{\"ids\":{{\"dtype\":\"{dtype}\",\"shape\":[{}],\"data_offsets\":[0,{}]}}}}",
                ids.len(),
                data.len()
            );
            let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat();
            fs::write(&path, bytes).unwrap();
            Reference::open(&path).map(|reference| reference.ids().to_vec())
        };
        let ids: Vec<i64> = expected.iter().map(|&id| i64::from(id)).collect();
        assert_eq!(file(&ids).unwrap(), expected, "{dtype}");
        assert!(file(&[]).is_err());
        if dtype != "U32" {
            assert!(file(&[1, -1]).is_err(), "{dtype}");
        }
    }
}
