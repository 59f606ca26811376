//! SmolLM2-135M-Instruct: the logits and greedy text of transformers, and the same bits on every path.
//!
//! Runs when `GLASSBOX_SMOLLM2` names the GGUF (`scripts/fetch-smollm2.sh` prints it); must run where `CI` is set.

use std::convert::Infallible;
use std::path::{Path, PathBuf};

use glassbox_model::glass::{Name, Reference, verify};
use glassbox_model::{Checkpoint, Generation, Runtime};
use glassbox_tensor::{Level, Pool};
use glassbox_tokenizer::{EncodeOptions, Special};
use serde_json::Value;

fn smollm2() -> Option<PathBuf> {
    let path = std::env::var_os("GLASSBOX_SMOLLM2").map(PathBuf::from);
    if path.is_none() {
        assert!(std::env::var_os("CI").is_none(), "GLASSBOX_SMOLLM2 must be set in CI");
        eprintln!("skipped: set GLASSBOX_SMOLLM2 to the file that scripts/fetch-smollm2.sh prints");
    }
    path
}

fn load(path: &Path, threads: usize, level: Level) -> Runtime {
    Checkpoint::open(path).unwrap().run_on(Pool::new(threads, level).unwrap()).unwrap()
}

fn goldens() -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/smollm2/goldens.json");
    let goldens: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    goldens["prompts"].as_array().unwrap().clone()
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

#[test]
fn logits_and_greedy_text_are_those_of_transformers() {
    let Some(path) = smollm2() else { return };
    let tokenizer = Checkpoint::open(&path).unwrap().tokenizer().unwrap().unwrap();
    let model = load(&path, 2, Level::detect());
    let prompts = goldens();
    assert!(prompts.len() >= 6);
    for prompt in &prompts {
        let name = &prompt["name"];
        let special = if prompt["special"] == true { Special::Parse } else { Special::AsText };
        let options = EncodeOptions { special, add_special_tokens: false };
        let prompt_ids = tokenizer.encode(prompt["text"].as_str().unwrap(), &options).unwrap();
        assert_eq!(prompt_ids, ids(&prompt["ids"]), "{name}: ids");

        let mut session = model.session(2048);
        let logits = session.feed(&prompt_ids).unwrap();
        let mut compared = 0;
        for entry in prompt["top"].as_array().unwrap() {
            let (id, expected) = (entry[0].as_u64().unwrap() as usize, entry[1].as_f64().unwrap());
            let distance = (f64::from(logits[id]) - expected).abs();
            assert!(distance <= 2e-3, "{name}: the logit of {id} is {}, not {expected}", logits[id]);
            compared += 1;
        }
        assert_eq!(compared, 50, "{name}");

        let greedy = ids(&prompt["greedy_ids"]);
        session.truncate(0);
        let greedy_pick = |logits: &[f32]| {
            let best = (0..logits.len()).rev().max_by(|&a, &b| logits[a].total_cmp(&logits[b]));
            Ok::<_, Infallible>(best.unwrap() as u32)
        };
        let generation = Generation::new(&mut session, &prompt_ids, greedy.len(), &[], greedy_pick).unwrap();
        let generated: Vec<u32> = generation.map(Result::unwrap).collect();
        assert_eq!(generated, greedy, "{name}: the greedy continuation");
    }
}

#[test]
fn a_prompt_of_300_tokens_has_the_same_bits_on_every_path() {
    let Some(path) = smollm2() else { return };
    let prompts = goldens();
    let long = prompts.iter().find(|prompt| prompt["name"] == "long").unwrap();
    let long = ids(&long["ids"]);
    assert!(long.len() >= 300);
    let bits = |threads, level, chunk| -> Vec<u32> {
        let model = load(&path, threads, level);
        let mut session = model.session(2048).with_chunk(chunk);
        session.feed(&long).unwrap().iter().map(|logit| logit.to_bits()).collect()
    };
    let expected = bits(1, Level::detect(), 512);
    for (threads, level, chunk) in
        [(2, Level::detect(), 7), (4, Level::detect(), 512), (2, Level::detect(), 1)]
    {
        assert_eq!(bits(threads, level, chunk), expected, "{threads} threads, {level}, chunks of {chunk}");
    }
    for level in Level::available() {
        assert_eq!(bits(2, level, 512), expected, "{level}");
    }
}

/// All values of the first, a middle and the last block, the stream after each block, and the logits agree with
/// transformers (`scripts/README.md` describes how the dump was made).
#[test]
fn every_value_agrees_with_transformers() {
    let Some(path) = smollm2() else { return };
    let dump = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/glass/smollm2.safetensors");
    let model = load(&path, 2, Level::detect());
    let verdict = verify(&model, &Reference::open(dump).unwrap(), 1e-4).unwrap();
    assert!(verdict.agrees(), "{:?}", verdict.first_departure());
    assert_eq!(verdict.comparisons.len(), 84);
    let names = |layer| Name::all(&model.config).iter().filter(|name| name.layer == Some(layer)).count();
    let compared =
        |layer| verdict.comparisons.iter().filter(|comparison| comparison.name.layer == Some(layer)).count();
    for layer in [0, 15, 29] {
        assert_eq!(compared(layer), names(layer));
    }
    assert!(verdict.comparisons.iter().all(|comparison| comparison.relative_error < 1e-5));
    let logits = verdict.logits.unwrap();
    assert!(logits.max_kl < 1e-8 && logits.top1_agreeing == logits.positions, "{logits:?}");
}
