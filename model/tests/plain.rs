//! The plain page gives the very bits of the engine.

use std::fs;
use std::path::{Path, PathBuf};

use glassbox_model::plain::Gpt;
use glassbox_model::{Checkpoint, Error};
use glassbox_tensor::file::gguf::Gguf;
use glassbox_tensor::{Level, Pool};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny")
}

/// The bits of all logits, by the plain page and by the engine with float32 activations.
fn both(checkpoint: &Checkpoint, ids: &[u32]) -> Option<[Vec<u32>; 2]> {
    let plain = match Gpt::open(checkpoint) {
        Ok(plain) => plain,
        Err(Error::Unsupported { .. }) => return None,
        Err(error) => panic!("{error}"),
    };
    let model = checkpoint.run_on(Pool::new(2, Level::detect()).unwrap()).unwrap();
    let mut fast = Vec::new();
    let bits = |logits: &[f32]| logits.iter().map(|logit| logit.to_bits()).collect::<Vec<_>>();
    model.session(usize::MAX).feed_all(ids, |_, logits| fast.extend(bits(logits))).unwrap();
    Some([bits(&plain.logits(ids)), fast])
}

#[test]
fn every_tiny_gpt2_and_llama_has_the_engines_bits() {
    let ids = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2, 3, 8];
    let (mut compared, mut left_out) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(fixtures()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !path.join("config.json").is_file() {
            continue;
        }
        match both(&Checkpoint::open(&path).unwrap(), &ids) {
            Some([plain, fast]) => {
                assert!(plain == fast, "{name}");
                compared.push(name);
            }
            None => left_out.push(name),
        }
    }
    for family in ["gpt2", "llama"] {
        let of_family = |name: &&String| name.starts_with(family);
        assert!(compared.iter().filter(of_family).count() >= 7, "{compared:?}");
        assert!(!left_out.iter().any(|name| name.starts_with(family)), "{left_out:?}");
    }
}

#[test]
fn the_model_in_the_box_has_the_engines_bits() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cli/models/tales.gguf");
    let checkpoint = Checkpoint::open_gguf(Gguf::open(path).unwrap()).unwrap();
    let tokenizer = checkpoint.tokenizer().unwrap().unwrap();
    let ids = tokenizer.encode("Once upon a time there was a king", &Default::default()).unwrap();
    let [plain, fast] = both(&checkpoint, &ids).expect("the model in the box is a GPT-2");
    assert!(plain == fast);
}
