//! Gemma 3 270M, the real model: ids of its own tokenizer, logits and greedy text of transformers.
//!
//! Runs when `GLASSBOX_GEMMA3` names the GGUF (`scripts/fetch-gemma3.sh` prints it); must run where `CI` is set.

use std::convert::Infallible;
use std::path::{Path, PathBuf};

use glassbox_model::chat::{ChatTemplate, Message, SpecialTokens};
use glassbox_model::{Checkpoint, Generation, Runtime, tokenizer_of_gguf};
use glassbox_tensor::file::gguf::Gguf;
use glassbox_tensor::{Activations, Level, Pool};
use glassbox_tokenizer::{EncodeOptions, Special, Tokenizer};
use serde_json::Value;

fn gemma3() -> Option<PathBuf> {
    let path = std::env::var_os("GLASSBOX_GEMMA3").map(PathBuf::from);
    if path.is_none() {
        assert!(std::env::var_os("CI").is_none(), "GLASSBOX_GEMMA3 must be set in CI");
        eprintln!("skipped: set GLASSBOX_GEMMA3 to the file that scripts/fetch-gemma3.sh prints");
    }
    path
}

fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/gemma3").join(name);
    std::fs::read_to_string(path).unwrap()
}

fn goldens() -> Value {
    serde_json::from_str(&fixture("goldens.json")).unwrap()
}

fn tokenizer(path: &Path) -> Tokenizer {
    tokenizer_of_gguf(&Gguf::open(path).unwrap()).unwrap().unwrap()
}

fn load(path: &Path, activations: Activations) -> Runtime {
    let pool = Pool::new(2, Level::detect()).unwrap().with_activations(activations);
    Checkpoint::open(path).unwrap().run_on(pool).unwrap()
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

#[test]
fn ids_and_texts_are_those_of_the_models_own_tokenizer() {
    let Some(path) = gemma3() else { return };
    let tokenizer = tokenizer(&path);
    assert_eq!(tokenizer.warnings(), []);
    assert_eq!((tokenizer.vocab_size(), tokenizer.bos_id(), tokenizer.eos_id()), (262_144, Some(2), Some(1)));
    let goldens = goldens();
    let texts = goldens["texts"].as_array().unwrap();
    assert!(texts.len() > 80);
    let parse = EncodeOptions { special: Special::Parse, ..EncodeOptions::default() };
    for golden in texts {
        let text = golden["text"].as_str().unwrap();
        let expected = ids(&golden["ids"]);
        assert_eq!(tokenizer.encode(text, &parse).unwrap(), expected, "{text:?}");
        let decoded = golden.get("decoded").map_or(text, |decoded| decoded.as_str().unwrap());
        assert_eq!(tokenizer.decode(&expected, false), decoded, "{text:?}");
        let mut stream = tokenizer.stream(false);
        let streamed: String = expected.iter().map(|&id| stream.push(id)).collect();
        assert_eq!(streamed + &stream.finish(), decoded, "{text:?} as a stream");
    }
    let forged = tokenizer.encode("<start_of_turn>user", &EncodeOptions::default()).unwrap();
    assert!(forged.len() > 2 && !forged.contains(&105), "a role forged by a text: {forged:?}");
}

#[test]
fn a_tokenizer_written_as_json_and_as_gguf_gives_the_same_ids() {
    let Some(path) = gemma3() else { return };
    let tokenizer = tokenizer(&path);
    let json = Tokenizer::from_json(&tokenizer.to_json()).unwrap();
    let described = glassbox_tokenizer::GgufVocab::describe(&tokenizer, tokenizer.vocab_size()).unwrap();
    assert_eq!(described.tokens.get(139), Some("   "), "llama.cpp looks for runs of spaces as spaces");
    let gguf = described.load().unwrap();
    let parse = EncodeOptions { special: Special::Parse, ..EncodeOptions::default() };
    for golden in goldens()["texts"].as_array().unwrap() {
        let text = golden["text"].as_str().unwrap();
        for again in [&json, &gguf] {
            assert_eq!(again.encode(text, &parse).unwrap(), ids(&golden["ids"]), "{text:?}");
        }
    }
}

#[test]
fn a_chat_becomes_the_prompt_that_transformers_makes_of_it() {
    let Some(path) = gemma3() else { return };
    let goldens = goldens();
    let message = |message: &Value| {
        Message::new(message["role"].as_str().unwrap(), message["content"].as_str().unwrap())
    };
    let messages: Vec<Message> = goldens["chat_messages"].as_array().unwrap().iter().map(message).collect();
    let tokens = SpecialTokens::new(Some("<bos>"), Some("<eos>"));
    let template = ChatTemplate::parse("gemma3", &fixture("chat_template.jinja"), tokens).unwrap();
    let chat = template.render(&messages, true).unwrap();
    let prompts = goldens["prompts"].as_array().unwrap();
    let golden = prompts.iter().find(|prompt| prompt["name"] == "chat").unwrap();
    assert_eq!(chat, golden["text"].as_str().unwrap());
    let parse = EncodeOptions { special: Special::Parse, ..EncodeOptions::default() };
    assert_eq!(tokenizer(&path).encode(&chat, &parse).unwrap(), ids(&golden["ids"]));
}

/// Compares all prompts: the largest logits to within `tolerance`, and the greedy continuations.
fn compare(activations: Activations, tolerance: f64) {
    let Some(path) = gemma3() else { return };
    let (tokenizer, model) = (tokenizer(&path), load(&path, activations));
    let goldens = goldens();
    let prompts = goldens["prompts"].as_array().unwrap();
    assert!(prompts.len() >= 6);
    for prompt in prompts {
        let name = &prompt["name"];
        let add_special_tokens = prompt["add_special_tokens"].as_bool().unwrap();
        let options = EncodeOptions { special: Special::Parse, add_special_tokens };
        let prompt_ids = tokenizer.encode(prompt["text"].as_str().unwrap(), &options).unwrap();
        assert_eq!(prompt_ids, ids(&prompt["ids"]), "{name}: ids");

        let mut session = model.session(2048);
        let logits = session.feed(&prompt_ids).unwrap();
        let mut compared = 0;
        for entry in prompt["top"].as_array().unwrap() {
            let (id, expected) = (entry[0].as_u64().unwrap() as usize, entry[1].as_f64().unwrap());
            let distance = (f64::from(logits[id]) - expected).abs();
            assert!(distance <= tolerance, "{name}: the logit of {id} is {}, not {expected}", logits[id]);
            compared += 1;
        }
        assert_eq!(compared, 50, "{name}");
        let sum: f64 = logits.iter().map(|&logit| f64::from(logit).exp()).sum();
        let distance = (sum.ln() - prompt["logsumexp"].as_f64().unwrap()).abs();
        assert!(distance <= tolerance, "{name}: the logsumexp is off by {distance}");

        let greedy = ids(&prompt["greedy_ids"]);
        assert_eq!(greedy.len(), 40, "{name}");
        session.truncate(0);
        let likeliest = |logits: &[f32]| {
            let best = (0..logits.len()).rev().max_by(|&a, &b| logits[a].total_cmp(&logits[b]));
            Ok::<_, Infallible>(best.unwrap() as u32)
        };
        let generation = Generation::new(&mut session, &prompt_ids, greedy.len(), &[], likeliest).unwrap();
        let generated: Vec<u32> = generation.map(Result::unwrap).collect();
        assert_eq!(generated, greedy, "{name}: the greedy continuation");
    }
}

#[test]
fn logits_and_greedy_text_are_those_of_transformers() {
    compare(Activations::F32, 0.02);
}

#[test]
fn activations_in_16_bits_give_nearly_the_same_logits_and_the_same_text() {
    compare(Activations::Int16, 0.15);
}
