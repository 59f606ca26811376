//! Files that are something else than a checkpoint, and checkpoints that are stored in an unusual way.

#[allow(dead_code, reason = "other tests use the rest of it")]
mod changed;

use std::fs;
use std::path::Path;

use changed::{Changed, changed_gguf, fixture};
use glassbox_model::quantize::{Mix, Quantization};
use glassbox_model::{Checkpoint, Error};
use glassbox_tensor::file::gguf::{self, Gguf, Value as V};
use glassbox_tensor::{Format, Level, Pool};
use serde_json::json;

#[track_caller]
fn assert_says<T>(result: Result<T, Error>, parts: &[&str]) {
    let error = result.err().expect("an error").to_string();
    for part in parts {
        assert!(error.contains(part), "no {part:?} in: {error}");
    }
}

/// What people find in place of weights, and what they should do.
const OTHER_KINDS: [(&[u8], &str); 9] = [
    (b"", "empty; download it again"),
    (&[0; 700], "unfinished download"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git lfs pull"),
    (b"<!DOCTYPE html><html><body>404</body></html>", "a web page"),
    (b"\xef\xbb\xbf\n<html lang=\"en\">", "a web page"),
    (b"PK\x03\x04\x00\x00", "weights of PyTorch; convert it"),
    (b"\x80\x02}q\x00", "weights of PyTorch; convert it"),
    (b"\x1f\x8b\x08\x00", "a gzip archive"),
    (b"tjgg\x03\x00\x00\x00", "before GGUF"),
];

#[test]
fn files_of_another_kind_are_called_what_they_are() {
    for (content, said) in OTHER_KINDS {
        let folder = Changed::copy("llama-gqa");
        let gguf = folder.path().join("model.gguf");
        fs::write(&gguf, content).unwrap();
        assert_says(Checkpoint::open(&gguf), &["model.gguf: ", said]);
        assert_says(Quantization::plan(&gguf, Mix::mostly(Format::F32)), &["model.gguf: ", said]);
        fs::write(folder.path().join("model.safetensors"), content).unwrap();
        assert_says(folder.open(), &["model.safetensors: ", said]);
        let sharded = Changed::copy("llama-bf16-sharded");
        fs::write(sharded.path().join("model-00002-of-00006.safetensors"), content).unwrap();
        assert_says(sharded.open(), &["model-00002-of-00006.safetensors: ", said]);
        let text = Changed::copy("llama-text");
        for file in ["tokenizer.json", "config.json"] {
            fs::write(text.path().join(file), content).unwrap();
        }
        assert_says(text.open(), &["config.json: "]);
    }
    let text = Changed::copy("llama-text");
    fs::write(text.path().join("tokenizer.json"), OTHER_KINDS[2].0).unwrap();
    assert_says(text.open().unwrap().tokenizer(), &["tokenizer.json: ", "git lfs pull"]);
}

#[test]
fn a_file_of_the_wrong_name_is_called_what_it_is() {
    let folder = Changed::copy("llama-gqa");
    let (gguf, safetensors) = (folder.path().join("x.gguf"), folder.path().join("model.safetensors"));
    fs::copy(&safetensors, &gguf).unwrap();
    assert_says(Checkpoint::open(&gguf), &["x.gguf: a safetensors file; give the folder"]);
    assert_says(Checkpoint::open(folder.path().join("config.json")), &["config.json", "GGUF"]);
    fs::copy(fixture("gguf/llama-text.gguf"), &safetensors).unwrap();
    assert_says(folder.open(), &["model.safetensors: a GGUF; give this file"]);
}

#[test]
fn a_truncated_file_is_called_incomplete() {
    let folder = Changed::copy("llama-gqa");
    let path = folder.path().join("model.safetensors");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 100]).unwrap();
    assert_says(folder.open(), &["model.safetensors", "is the file complete?"]);
}

#[test]
fn a_folder_with_the_weights_of_another_program() {
    let folder = Changed::copy("llama-gqa");
    let path = folder.path().to_path_buf();
    let missing = "model.safetensors and model.safetensors.index.json are missing";
    fs::remove_file(path.join("model.safetensors")).unwrap();
    assert_says(folder.open(), &[missing]);
    for (name, said) in [
        ("optimizer.bin", ""),
        ("model.safetensors.incomplete", "an unfinished download"),
        ("pytorch_model.bin", "pytorch_model.bin, weights of another program: convert it"),
        ("adapter_model.safetensors", "rename it"),
        ("model-00001-of-00002.safetensors", "download model.safetensors.index.json"),
        ("model.gguf", "it has model.gguf: give that file"),
    ] {
        fs::write(path.join(name), "x").unwrap();
        assert_says(folder.open(), &[missing, said]);
    }
    fs::remove_file(path.join("config.json")).unwrap();
    assert_says(folder.open(), &["config.json is missing; it has model.gguf: give that file"]);
    fs::remove_file(path.join("model.gguf")).unwrap();
    for name in ["snapshots", "blobs"] {
        fs::create_dir(path.join(name)).unwrap();
    }
    assert_says(folder.open(), &["config.json is missing", "inside snapshots"]);
    fs::write(path.join("adapter_config.json"), "{}").unwrap();
    assert_says(folder.open(), &["config.json is missing; it is a LoRA adapter", "--lora"]);
}

#[test]
fn a_missing_shard_is_named_with_its_index() {
    let folder = Changed::copy("llama-bf16-sharded");
    fs::remove_file(folder.path().join("model-00003-of-00006.safetensors")).unwrap();
    assert_says(
        folder.open(),
        &["model-00003-of-00006.safetensors: missing", "model.safetensors.index.json names it"],
    );
}

/// llama-gguf-split writes these keys; llama.cpp reads the parts together.
#[test]
fn a_part_of_a_split_gguf_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model-00002-of-00003.gguf");
    let file = Gguf::open(fixture("gguf/llama-text.gguf")).unwrap();
    let mut metadata = file.metadata().to_vec();
    metadata.push(("split.no".into(), V::U16(1)));
    metadata.push(("split.count".into(), V::U16(3)));
    let none: [(&str, glassbox_tensor::Tensor); 0] = [];
    gguf::write(&path, &metadata, none).unwrap();
    let said = ["model-00002-of-00003.gguf: part 2 of 3 of a split GGUF", "--merge"];
    assert_says(Checkpoint::open(&path), &said);
    assert_says(Quantization::plan(&path, Mix::mostly(Format::F32)), &said);
    let whole = changed_gguf("llama-text", |file| file.set("split.count", V::U16(1)));
    assert!(whole.is_ok());
}

fn logits(checkpoint: &Checkpoint) -> Vec<u32> {
    let model = checkpoint.run_on(Pool::new(1, Level::detect()).unwrap()).unwrap();
    let mut session = model.session(8);
    session.feed(&[5, 6, 7]).unwrap().iter().map(|x| x.to_bits()).collect()
}

/// In ggml every tensor has four dimensions, and those that are 1 at the end may be written or not.
#[test]
fn dimensions_of_one_at_the_end_do_not_count() {
    for name in ["llama-text", "qwen2-text", "gpt2-text", "mixtral-gguf", "llama-rope-llama3"] {
        if !Path::new(&fixture(&format!("gguf/{name}.gguf"))).is_file() {
            continue;
        }
        let original = changed_gguf(name, |_| {}).unwrap();
        for more in [1, 2] {
            let changed = changed_gguf(name, |file| {
                for tensor in file.tensors.values_mut() {
                    let mut dims = vec![1; more];
                    dims.extend(tensor.shape().dims());
                    if dims.len() <= 4 {
                        *tensor = tensor.reshape(dims).unwrap();
                    }
                }
            });
            let changed = changed.unwrap();
            assert_eq!(changed.config(), original.config(), "{name}");
            assert_eq!(logits(&changed), logits(&original), "{name}");
        }
    }
    let turned = changed_gguf("llama-text", |file| {
        let norm = file.tensors.get_mut("output_norm.weight").unwrap();
        let len = norm.shape().elements();
        *norm = norm.reshape([len, 1]).unwrap();
    });
    let problems = turned.unwrap().problems();
    assert!(
        problems.len() == 1 && problems[0].starts_with("output_norm.weight: expected shape"),
        "{problems:?}"
    );
}

#[test]
fn a_mistral_with_layer_types_is_written_and_read_again() {
    let folder = Changed::copy("mistral-layer-types");
    let config = folder.open().unwrap().config().clone();
    assert_eq!(config.windows, [Some(9), None, Some(9)]);
    assert!(glassbox_model::families::can_write_hf(&config));
    let keys = glassbox_model::families::to_hf(&config);
    assert_eq!(keys["layer_types"], json!(["sliding_attention", "full_attention", "sliding_attention"]));
}
