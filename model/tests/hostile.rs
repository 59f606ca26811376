//! Hostile checkpoints: whatever is changed in the files of a valid one, opening, loading and running it gives logits
//! or an error that names the file, never a panic, and never allocates memory out of proportion to the files.

mod changed;
#[path = "../../tensor/tests/counting_allocator/mod.rs"]
mod counting_allocator;
#[path = "../../tensor/tests/mutations/mod.rs"]
mod mutations;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use changed::{Changed, changed_gguf, fixture};
use counting_allocator::memory_of;
use glassbox_model::{Checkpoint, Error};
use glassbox_tensor::file::gguf::{self, Gguf};
use glassbox_tensor::{CacheFormat, Level, Pool, Tensor};
use glassbox_tokenizer::EncodeOptions;
use mutations::{Random, mutate};
use serde_json::{Value, json};

/// Uses a checkpoint in every way; returns the errors.
fn use_all(checkpoint: Result<Checkpoint, Error>) -> Vec<Error> {
    let checkpoint = match checkpoint {
        Ok(checkpoint) => checkpoint,
        Err(error) => return vec![error],
    };
    let mut errors = Vec::new();
    match checkpoint.tokenizer() {
        Ok(Some(tokenizer)) => {
            if let Ok(ids) = tokenizer.encode("the end,\n 12 of\u{e9} it", &EncodeOptions::default()) {
                tokenizer.decode(&ids, false);
            }
            tokenizer.decode(&[0, 1, 7, 200, u32::MAX], true);
        }
        Ok(None) => {}
        Err(error) => errors.push(error),
    }
    errors.extend(checkpoint.chat_template().err());
    let _ = checkpoint.config().cache_bytes(CacheFormat::F32, checkpoint.config().context_length);
    match checkpoint.run_on(Pool::new(1, Level::Scalar).unwrap()) {
        Ok(model) => {
            let mut session = model.session(usize::MAX);
            // A small vocabulary and a short context are valid.
            if let Ok(logits) = session.feed(&[1, 0, 2]) {
                assert_eq!(logits.len(), model.config.vocab_size);
            }
        }
        Err(error) => errors.push(error),
    }
    errors
}

/// Prints the case if it panics.
struct Case(String);

impl Drop for Case {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the case: {}", self.0);
        }
    }
}

/// Counts the outcomes of a test's cases.
#[derive(Debug, Default)]
struct Tally {
    whole: u64,
    refused: u64,
}

impl Tally {
    /// Uses the checkpoint of `open` within `allowed` bytes of memory; every error must name `path`.
    fn case(
        &mut self,
        name: String,
        path: &Path,
        allowed: isize,
        open: impl FnOnce() -> Result<Checkpoint, Error>,
    ) {
        let case = Case(name);
        let mut errors = Vec::new();
        let memory = memory_of(|| errors = use_all(open()));
        assert!(memory <= allowed, "{} takes {memory} bytes, more than {allowed}", case.0);
        for error in &errors {
            let text = error.to_string();
            assert!(text.contains(path.to_str().unwrap()), "{}: {text}", case.0);
        }
        if errors.is_empty() {
            self.whole += 1;
        } else {
            self.refused += 1;
        }
    }

    /// Fails if nearly all cases have the same outcome, since the test would then be weak.
    fn assert_both(&self, least: u64) {
        assert!(self.whole >= least && self.refused >= least, "{self:?}");
    }
}

/// Twice the memory of the unchanged checkpoint, plus some for error messages.
fn allowed(open: impl FnOnce() -> Result<Checkpoint, Error>) -> isize {
    let memory = memory_of(|| {
        let errors = use_all(open());
        assert!(errors.is_empty(), "{errors:?}");
    });
    2 * memory + (1 << 20)
}

/// Unexpected values for a key of a JSON file.
fn unexpected() -> Vec<Value> {
    let deep = (0..100).fold(json!(1), |inside, _| json!([inside]));
    vec![
        json!(null),
        json!(true),
        json!(false),
        json!("text"),
        json!(""),
        json!("x".repeat(100_000)),
        json!(-1),
        json!(0),
        json!(1),
        json!(2),
        json!(3),
        json!(1.5),
        json!(4.0),
        json!(-0.0),
        json!(1e-320),
        json!(1e-30),
        json!(1e30),
        json!(-1e300),
        json!(1e300),
        json!(65_536),
        json!(1u64 << 20),
        json!(1u64 << 28),
        json!((1u64 << 28) + 1),
        json!(1u64 << 31),
        json!(1u64 << 40),
        json!(1u64 << 60),
        json!(i64::MIN),
        json!(u64::MAX),
        json!([]),
        json!({}),
        json!([1, "two", null]),
        json!({"rope_type": "yarn"}),
        json!({"rope_type": "yarn", "factor": 1e-30, "original_max_position_embeddings": 0.0}),
        json!({"rope_type": "llama3", "factor": 8, "low_freq_factor": 0, "high_freq_factor": 0}),
        json!({"rope_type": "linear", "factor": 0}),
        json!({"full_attention": {"rope_type": "default"}}),
        deep,
    ]
}

/// The paths of all values in `value`, of objects and arrays alike.
fn places(value: &Value) -> Vec<String> {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(map) => {
            map.iter().map(|(key, value)| (key.replace('~', "~0").replace('/', "~1"), value)).collect()
        }
        Value::Array(list) => list.iter().enumerate().map(|(i, value)| (i.to_string(), value)).collect(),
        _ => Vec::new(),
    };
    let below = |(key, value): (String, &Value)| -> Vec<String> {
        let inside = places(value).into_iter().map(|path| format!("/{key}{path}"));
        [format!("/{key}")].into_iter().chain(inside).collect()
    };
    children.into_iter().flat_map(below).collect()
}

fn remove(value: &mut Value, place: &str) {
    let (parent, key) = place.rsplit_once('/').unwrap();
    match value.pointer_mut(parent) {
        Some(Value::Object(map)) => drop(map.remove(&key.replace("~1", "/").replace("~0", "~"))),
        Some(Value::Array(list)) => drop(list.remove(key.parse().unwrap())),
        _ => {}
    }
}

#[test]
fn every_key_of_the_configuration_with_every_unexpected_value() {
    let mut tally = Tally::default();
    for name in ["gpt2-odd", "llama-rope-yarn-explicit", "mistral-window", "qwen2-layer-types", "qwen3-plain"]
    {
        let directory = Changed::copy(name);
        let path = directory.path();
        let allowed = allowed(|| Checkpoint::open(path));
        for file in ["config.json", "generation_config.json"] {
            let file = path.join(file);
            let text = fs::read_to_string(&file).unwrap();
            let original: Value = serde_json::from_str(&text).unwrap();
            for place in places(&original) {
                let mut changed = original.clone();
                remove(&mut changed, &place);
                fs::write(&file, changed.to_string()).unwrap();
                let case = format!("{name}: {} without {place}", file.display());
                tally.case(case, path, allowed, || Checkpoint::open(path));
                for value in unexpected() {
                    let case = format!("{name}: {} with {place} = {value:.60}", file.display());
                    let mut changed = original.clone();
                    *changed.pointer_mut(&place).unwrap() = value;
                    fs::write(&file, changed.to_string()).unwrap();
                    tally.case(case, path, allowed, || Checkpoint::open(path));
                }
            }
            fs::write(&file, text).unwrap();
        }
    }
    tally.assert_both(1000);
}

#[test]
fn several_keys_with_values_that_may_match_the_tensors() {
    let values = [1, 2, 3, 4, 5, 6, 8, 9, 12, 16, 18, 24, 30, 32, 34, 36, 48, 64, 96, 101, 128];
    let values: Vec<Value> =
        values.map(Value::from).into_iter().chain([json!(null), json!(true), json!(false)]).collect();
    let mut tally = Tally::default();
    for name in ["gpt2-plain", "llama-gqa", "mistral-window", "qwen2-layer-types", "qwen3-plain"] {
        let directory = Changed::copy(name);
        let path = directory.path();
        let allowed = allowed(|| Checkpoint::open(path));
        let file = path.join("config.json");
        let original: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        // The keys that say something about shapes, whose values are numbers or truth values.
        let is_number_or_flag = |place: &String| {
            original
                .pointer(place)
                .is_some_and(|value| value.is_u64() || value.is_boolean() || value.is_null())
        };
        let places: Vec<String> = places(&original).into_iter().filter(is_number_or_flag).collect();
        for seed in 0..600 {
            let random = &mut Random(seed);
            let mut changed = original.clone();
            for _ in 0..1 + random.below(3) {
                let place = &places[random.below(places.len())];
                *changed.pointer_mut(place).unwrap() = values[random.below(values.len())].clone();
            }
            fs::write(&file, changed.to_string()).unwrap();
            tally.case(format!("{name}, seed {seed}: {changed}"), path, allowed, || Checkpoint::open(path));
        }
    }
    tally.assert_both(500);
}

/// Changes the bytes of one file of a checkpoint, within its first `header_len` bytes.
fn mutated(name: &str, file: &str, header_len: usize, mutations: u64) -> Tally {
    let mut tally = Tally::default();
    let directory = Changed::copy(name);
    let path = directory.path();
    let allowed = allowed(|| Checkpoint::open(path));
    let target = path.join(file);
    let original = fs::read(&target).unwrap();
    for seed in 0..mutations {
        let mut bytes = original.clone();
        mutate(&mut Random(seed), &mut bytes, header_len);
        fs::write(&target, bytes).unwrap();
        tally.case(format!("{name}/{file}, mutation {seed}"), path, allowed, || Checkpoint::open(path));
    }
    for cut in 0..64 {
        let len = original.len() * cut / 64;
        fs::write(&target, &original[..len]).unwrap();
        tally.case(format!("{name}/{file} cut to {len} bytes"), path, allowed, || Checkpoint::open(path));
    }
    tally
}

#[test]
fn mutated_configurations() {
    for name in ["gpt2-hub", "llama-rope-llama3", "llama-head-dim"] {
        for file in ["config.json", "generation_config.json"] {
            mutated(name, file, usize::MAX, 300).assert_both(10);
        }
    }
}

#[test]
fn mutated_tensor_files() {
    let header_len = |path: PathBuf| {
        let bytes = fs::read(path).unwrap();
        8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize
    };
    for name in ["gpt2-hub", "llama-mha-tied", "qwen3-tied"] {
        let header_len = header_len(fixture(name).join("model.safetensors"));
        mutated(name, "model.safetensors", header_len, 500).assert_both(1);
    }
    mutated("llama-bf16-sharded", "model.safetensors.index.json", usize::MAX, 500).assert_both(1);
}

#[test]
fn mutated_tokenizers() {
    mutated("llama-text", "tokenizer.json", usize::MAX, 300).assert_both(10);
    mutated("llama-text", "tokenizer_config.json", usize::MAX, 100).assert_both(10);
    mutated("gpt2-text", "vocab.json", usize::MAX, 100).assert_both(10);
    mutated("gpt2-text", "merges.txt", usize::MAX, 100).assert_both(10);
}

#[test]
fn mutated_ggufs() {
    let mut tally = Tally::default();
    for name in ["gpt2-text", "llama-text", "llama-rope-llama3", "llama-rope-yarn", "qwen3-text"] {
        let path = fixture("gguf").join(format!("{name}.gguf"));
        let original = fs::read(&path).unwrap();
        let open = |bytes: Vec<u8>| Checkpoint::open_gguf(Gguf::from_bytes(&path, bytes)?);
        let header_len = Gguf::open(&path).unwrap().tensors().iter().map(|t| t.bytes.start).min().unwrap();
        let allowed = allowed(|| open(original.clone()));
        for seed in 0..600 {
            let mut bytes = original.clone();
            mutate(&mut Random(seed), &mut bytes, header_len);
            tally.case(format!("{name}, mutation {seed}"), &path, allowed, || open(bytes));
        }
        for cut in 0..64 {
            let bytes = original[..original.len() * cut / 64].to_vec();
            tally.case(format!("{name} cut to {} bytes", bytes.len()), &path, allowed, || open(bytes));
        }
    }
    tally.assert_both(100);
}

#[test]
fn every_key_of_a_gguf_with_every_unexpected_value() {
    use gguf::{Array, Value as V};
    let unexpected = || {
        let numbers = [0.0, 1.0, -1.0, 0.5, f32::NAN, f32::INFINITY, 1e-40, 1e38].map(V::F32);
        let integers = [0, 1, 2, 3, 64, 4096, 65_536, 1 << 28, u32::MAX].map(V::U32);
        let others = [
            V::U64(1 << 60),
            V::I64(-1),
            V::I32(i32::MIN),
            V::F64(2.0),
            V::Bool(true),
            V::String("text".into()),
            V::String("none".into()),
            V::String("llama".into()),
            V::String("yarn".into()),
            V::Array(Array::from_f32(&[f32::NAN; 3])),
            V::Array(Array::from_i32(&[-1; 300])),
            V::Array(Array::from_strings(&["a"; 300])),
            V::Array(Array::from_strings(&["", "a b", " ", "\u{120}"])),
        ];
        numbers.into_iter().chain(integers).chain(others).map(Some).chain([None])
    };
    let also = [
        "attention.head_count_kv",
        "attention.key_length",
        "attention.value_length",
        "attention.sliding_window",
        "rope.scaling.yarn_ext_factor",
        "rope.scaling.attn_factor",
        "rope.scaling.yarn_beta_fast",
        "rope.scale_linear",
        "expert_count",
    ];
    let mut tally = Tally::default();
    for name in ["gpt2-text", "llama-text", "llama-rope-yarn"] {
        let path = fixture("gguf").join(format!("{name}.gguf"));
        let file = Gguf::open(&path).unwrap();
        let architecture = file.get_str("general.architecture").unwrap();
        let keys = file.metadata().iter().map(|(key, _)| key.clone());
        let keys = keys.chain(also.map(|key| format!("{architecture}.{key}")));
        let keys = keys.collect::<BTreeSet<String>>().into_iter();
        let allowed = allowed(|| changed_gguf(name, |_| ()));
        for key in keys.filter(|key| key != "general.alignment") {
            for value in unexpected() {
                let case = format!("{name} with {key} = {value:?}");
                tally.case(case, &path, allowed, || changed_gguf(name, |file| file.set(&key, value)));
            }
        }
    }
    tally.assert_both(200);
}

#[test]
fn a_long_context_needs_no_memory_until_used() {
    let config = |change: fn(&mut Value)| Changed::copy("llama-gqa").json("config.json", change);
    // Both longer than the space reserved ahead of a prompt.
    let ordinary = config(|value| value["max_position_embeddings"] = json!(1u64 << 10));
    let long = config(|value| value["max_position_embeddings"] = json!(1u64 << 28));
    let memory = |directory: &Changed| memory_of(|| assert!(use_all(directory.open()).is_empty()));
    // The first run also allocates the thread-local scratch buffers.
    memory(&ordinary);
    assert!(memory(&long) <= memory(&ordinary) + 1000);
}

#[test]
fn nan_weights_give_nan_logits() {
    for name in ["gpt2-plain", "llama-gqa", "mistral-window", "qwen3-plain"] {
        for level in Level::available() {
            let directory = Changed::copy(name).tensors(|tensors| {
                for tensor in tensors.values_mut() {
                    let values = vec![f32::NAN; tensor.elements()];
                    *tensor = Tensor::from_f32(tensor.shape().dims(), values).unwrap();
                }
            });
            let model = directory.open().unwrap().run_on(Pool::new(2, level).unwrap()).unwrap();
            let mut session = model.session(64);
            assert!(session.feed(&[5; 30]).unwrap().iter().all(|logit| logit.is_nan()));
            assert!(session.feed(&[5]).unwrap().iter().all(|logit| logit.is_nan()));
        }
    }
}

#[test]
fn an_error_leaves_the_session_unchanged() {
    let checkpoint = Checkpoint::open(fixture("gpt2-plain")).unwrap();
    let model = checkpoint.run_on(Pool::new(1, Level::detect()).unwrap()).unwrap();
    let context = model.config.context_length;
    let vocab_size = model.config.vocab_size as u32;
    let mut session = model.session(usize::MAX);
    assert_eq!(session.context(), context);
    let error = |result: Result<&[f32], Error>| result.unwrap_err().to_string();
    assert_eq!(error(session.feed(&[])), "no tokens to feed: the prompt is empty");
    assert_eq!(
        error(session.feed(&[0, vocab_size])),
        format!("token id {vocab_size} is outside the vocabulary of {vocab_size} tokens")
    );
    let too_long = vec![3; context + 1];
    assert_eq!(
        error(session.feed(&too_long)),
        format!("{} tokens exceed the context of {context} tokens", context + 1)
    );
    assert_eq!(session.positions(), 0);
    session.feed(&too_long[1..]).unwrap();
    assert!(matches!(session.feed(&[3]), Err(Error::ContextFull { .. })));
    assert_eq!(session.positions(), context);

    assert!(matches!(model.session(0).feed(&[3]), Err(Error::ContextFull { needed: 1, context: 0 })));
}

#[test]
fn deeply_nested_json_is_an_error() {
    for (name, file) in [
        ("llama-text", "config.json"),
        ("llama-text", "generation_config.json"),
        ("llama-text", "tokenizer.json"),
        ("llama-text", "tokenizer_config.json"),
        ("llama-bf16-sharded", "model.safetensors.index.json"),
    ] {
        for opening in ["[", "{\"a\":"] {
            let directory = Changed::copy(name);
            fs::write(directory.path().join(file), opening.repeat(200_000)).unwrap();
            let errors = use_all(directory.open());
            assert!(!errors.is_empty() && errors[0].to_string().contains(file), "{file}: {errors:?}");
        }
    }
}
