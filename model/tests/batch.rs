//! Texts side by side: each has the bits that it has alone, whoever is beside it, begins as it does, or ends earlier.

mod random_model;

use std::path::{Path, PathBuf};

use glassbox_model::{Batch, Checkpoint, Error, GenerationState, NextAction, Runtime, Slot, Stop};
use glassbox_tensor::{Activations, Format, Level, Pool};
use proptest::prelude::*;

use random_model::{CONTEXT, Random, VOCAB_SIZE, sizes};

fn bits(logits: &[f32]) -> Vec<u32> {
    logits.iter().map(|logit| logit.to_bits()).collect()
}

/// A text to be fed: its prompt, then one token a step.
#[derive(Clone, Debug)]
struct Script {
    prompt: Vec<u32>,
    rest: Vec<u32>,
}

impl Script {
    /// The scores after the prompt and after each further token, in a session of their own.
    fn alone(&self, model: &Runtime) -> Vec<Vec<u32>> {
        let mut session = model.session(CONTEXT);
        let first = bits(session.feed(&self.prompt).unwrap());
        let rest = self.rest.iter().map(|&id| bits(session.feed(&[id]).unwrap()));
        [first].into_iter().chain(rest).collect()
    }
}

/// Runs all texts through a batch of `slots` places; also how many tokens were not computed again.
fn together(batch: &mut Batch, scripts: &[Script], random: &mut Random) -> (Vec<Vec<Vec<u32>>>, usize) {
    let mut seen = vec![Vec::new(); scripts.len()];
    let (mut running, mut waiting, mut reused): (Vec<(usize, Slot)>, _, _) = (Vec::new(), 0, 0);
    while waiting < scripts.len() || !running.is_empty() {
        while batch.free() > 0 && waiting < scripts.len() {
            let added = batch.add(&scripts[waiting].prompt).unwrap();
            seen[waiting].push(bits(added.logits));
            reused += added.reused;
            running.push((waiting, added.slot));
            waiting += 1;
        }
        running.retain(|&(text, slot)| {
            let goes_on = seen[text].len() <= scripts[text].rest.len();
            if !goes_on {
                batch.end(slot).unwrap();
            }
            goes_on
        });
        // Any order, and not every text in every step.
        running.sort_by_cached_key(|_| random.next());
        let some = running.len().min(1 + random.next() as usize % running.len().max(1));
        let next: Vec<(Slot, &[u32])> = running[..some]
            .iter()
            .map(|&(text, slot)| (slot, &scripts[text].rest[seen[text].len() - 1..][..1]))
            .collect();
        for (logits, &(text, _)) in batch.step(&next).unwrap().zip(&running) {
            seen[text].push(bits(logits));
        }
    }
    (seen, reused)
}

fn ids(len: std::ops::Range<usize>) -> impl Strategy<Value = Vec<u32>> {
    prop::collection::vec(0..VOCAB_SIZE as u32, len)
}

/// Texts that begin with some of the tokens of `beginning`.
fn scripts(beginning: Vec<u32>) -> impl Strategy<Value = Vec<Script>> {
    let script = (0..=beginning.len(), ids(1..12), ids(0..10))
        .prop_map(move |(shared, own, rest)| Script { prompt: [&beginning[..shared], &own].concat(), rest });
    prop::collection::vec(script, 1..9)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_text_has_the_bits_it_has_alone(
        sizes in sizes(),
        format in prop::option::of(prop::sample::select(Format::ALL.to_vec())),
        activations in prop::sample::select(Activations::ALL.to_vec()),
        scripts in ids(0..20).prop_flat_map(scripts),
        slots in 1usize..7,
        chunk in 1usize..24,
        seed: u64,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let pool = |threads, level| Pool::new(threads, level).unwrap().with_activations(activations);
        let path = sizes.write_as(format, folder.path(), &pool(1, Level::detect()));
        let load = |threads, level| Checkpoint::open(&path).unwrap().run_on(pool(threads, level)).unwrap();
        let model = load(1, Level::detect());
        let expected: Vec<_> = scripts.iter().map(|script| script.alone(&model)).collect();
        for level in [Level::Scalar, Level::detect()] {
            for threads in [1, 2] {
                let model = load(threads, level);
                let mut batch = model.batch(slots, CONTEXT).with_chunk(chunk);
                let (found, _) = together(&mut batch, &scripts, &mut Random(seed));
                prop_assert!(found == expected, "{} threads at {}", threads, level);
            }
        }
    }
}

fn load(name: &str) -> Runtime {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny").join(name);
    let pool = Pool::new(2, Level::detect()).unwrap();
    Checkpoint::open(path).unwrap().run_on(pool).unwrap()
}

#[test]
fn what_texts_share_is_computed_once() {
    let model = load("llama-gqa");
    let shared: Vec<u32> = (0..20).map(|i| 3 * i + 1).collect();
    let prompt = |own: &[u32]| [&shared[..], own].concat();
    let mut batch = model.batch(3, 64);
    let first = batch.add(&prompt(&[1, 2])).unwrap();
    assert_eq!(first.reused, 0);
    let first = first.slot;
    // From a text that goes on, and the tokens generated since count too.
    assert_eq!(batch.step(&[(first, &[9])]).unwrap().count(), 1);
    assert_eq!(batch.positions(first).unwrap(), 23);
    let second = batch.add(&prompt(&[1, 2, 9, 4])).unwrap();
    assert_eq!(second.reused, 23);
    let second = second.slot;
    // The last token is computed in any case, since the scores after it are wanted.
    assert_eq!(batch.add(&prompt(&[])).unwrap().reused, 19);
    assert!(matches!(batch.add(&[1]), Err(Error::BatchFull { slots: 3 })));
    // From a text that has ended.
    batch.end(second).unwrap();
    assert_eq!(batch.free(), 1);
    let third = batch.add(&prompt(&[1, 2, 9, 5])).unwrap();
    assert_eq!(third.reused, 23);
    let found = bits(third.logits);
    assert!(found == bits(model.session(64).feed(&prompt(&[1, 2, 9, 5])).unwrap()));
}

#[test]
fn a_batch_refuses_what_a_session_refuses_and_stays_as_it_was() {
    let model = load("gpt2-plain");
    let mut batch = model.batch(2, 4);
    assert!(matches!(batch.add(&[]), Err(Error::NoTokens)));
    assert!(matches!(batch.add(&[1, 1_000_000]), Err(Error::TokenOutOfRange { id: 1_000_000, .. })));
    assert!(matches!(batch.add(&[1; 5]), Err(Error::ContextFull { needed: 5, context: 4 })));
    let (full, other) = (batch.add(&[1, 2, 3, 4]).unwrap().slot, batch.add(&[5]).unwrap().slot);
    assert!(matches!(
        batch.step(&[(other, &[6]), (full, &[5])]).err(),
        Some(Error::ContextFull { needed: 5, .. })
    ));
    assert!(matches!(batch.step(&[(other, &[1_000_000])]).err(), Some(Error::TokenOutOfRange { .. })));
    assert_eq!(batch.step(&[]).unwrap().count(), 0);
    assert_eq!((batch.positions(full).unwrap(), batch.positions(other).unwrap(), batch.context()), (4, 1, 4));
    batch.truncate(full, 1).unwrap();
    let found: Vec<_> = batch.step(&[(other, &[6]), (full, &[7])]).unwrap().map(bits).collect();
    let alone = |ids: &[u32]| bits(model.session(4).feed(ids).unwrap());
    assert!(found == [alone(&[5, 6]), alone(&[1, 7])]);
}

#[test]
fn a_text_grows_as_a_generation_does() {
    let mut state = GenerationState::new(2, &[9]);
    assert_eq!(state.next_action(false), NextAction::Pick, "the scores after the prompt need no room");
    assert_eq!((state.accept(5), state.next_action(true)), (Some(5), NextAction::Feed(5)));
    assert_eq!((state.accept(6), state.next_action(true)), (Some(6), NextAction::Ended(Stop::Length)));
    let mut state = GenerationState::new(9, &[9]);
    assert_eq!((state.accept(9), state.next_action(true)), (None, NextAction::Ended(Stop::EndOfText)));
    let mut state = GenerationState::new(9, &[]);
    assert_eq!((state.accept(9), state.next_action(false)), (Some(9), NextAction::Ended(Stop::ContextFull)));
    assert_eq!(state.next_action(true), NextAction::Ended(Stop::ContextFull), "what has ended stays so");
}
