//! Batches: each sequence has the same bits as alone, whatever other sequences the batch has.

mod random_model;

use std::path::{Path, PathBuf};

use glassbox_model::{Batch, Checkpoint, Error, GenerationState, NextAction, Runtime, Slot, Stop};
use glassbox_tensor::{Activations, Format, Level, Pool};
use proptest::prelude::*;

use random_model::{CONTEXT, Random, VOCAB_SIZE, sizes};

fn bits(logits: &[f32]) -> Vec<u32> {
    logits.iter().map(|logit| logit.to_bits()).collect()
}

/// A sequence: its prompt, then one token per step.
#[derive(Clone, Debug)]
struct Script {
    prompt: Vec<u32>,
    rest: Vec<u32>,
}

impl Script {
    /// The logits after the prompt and after each further token, from its own session.
    fn alone(&self, model: &Runtime) -> Vec<Vec<u32>> {
        let mut session = model.session(CONTEXT);
        let first = bits(session.feed(&self.prompt).unwrap());
        let rest = self.rest.iter().map(|&id| bits(session.feed(&[id]).unwrap()));
        [first].into_iter().chain(rest).collect()
    }
}

/// Runs all sequences through a batch of `slots` slots; also returns the number of reused tokens.
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
        // In any order, and not every sequence in every step.
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

/// Sequences that share a prefix of `beginning`.
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
fn a_shared_prefix_is_computed_once() {
    let model = load("llama-gqa");
    let shared: Vec<u32> = (0..20).map(|i| 3 * i + 1).collect();
    let prompt = |own: &[u32]| [&shared[..], own].concat();
    let mut batch = model.batch(3, 64);
    let first = batch.add(&prompt(&[1, 2])).unwrap();
    assert_eq!(first.reused, 0);
    let first = first.slot;
    // Reused from a sequence in progress, including generated tokens.
    assert_eq!(batch.step(&[(first, &[9])]).unwrap().count(), 1);
    assert_eq!(batch.positions(first).unwrap(), 23);
    let second = batch.add(&prompt(&[1, 2, 9, 4])).unwrap();
    assert_eq!(second.reused, 23);
    let second = second.slot;
    // The last token is always computed, for its logits.
    assert_eq!(batch.add(&prompt(&[])).unwrap().reused, 19);
    assert!(matches!(batch.add(&[1]), Err(Error::BatchFull { slots: 3 })));
    // Reused from an ended sequence.
    batch.end(second).unwrap();
    assert_eq!(batch.free(), 1);
    let third = batch.add(&prompt(&[1, 2, 9, 5])).unwrap();
    assert_eq!(third.reused, 23);
    let found = bits(third.logits);
    assert!(found == bits(model.session(64).feed(&prompt(&[1, 2, 9, 5])).unwrap()));
}

#[test]
fn an_error_leaves_the_batch_unchanged() {
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
fn the_states_of_a_generation() {
    let mut state = GenerationState::new(2, &[9]);
    assert_eq!(state.next_action(false), NextAction::Pick, "choosing after the prompt needs no space");
    assert_eq!((state.accept(5), state.next_action(true)), (Some(5), NextAction::Feed(5)));
    assert_eq!((state.accept(6), state.next_action(true)), (Some(6), NextAction::Ended(Stop::Length)));
    let mut state = GenerationState::new(9, &[9]);
    assert_eq!((state.accept(9), state.next_action(true)), (None, NextAction::Ended(Stop::EndOfText)));
    let mut state = GenerationState::new(9, &[]);
    assert_eq!((state.accept(9), state.next_action(false)), (Some(9), NextAction::Ended(Stop::ContextFull)));
    assert_eq!(
        state.next_action(true),
        NextAction::Ended(Stop::ContextFull),
        "an ended generation stays ended"
    );
}
