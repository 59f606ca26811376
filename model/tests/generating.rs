//! Sessions that continue, truncate and end: the same bits as a new one, and every reason to stop.

use std::path::{Path, PathBuf};

use glassbox_model::{Checkpoint, GenerateError, Generation, Runtime, Session, Stop};
use glassbox_tensor::{Level, Pool};

fn load(name: &str) -> Runtime {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny").join(name);
    let pool = Pool::new(2, Level::detect()).unwrap();
    Checkpoint::open(path).unwrap().run_on(pool).unwrap()
}

fn bits(logits: &[f32]) -> Vec<u32> {
    logits.iter().map(|logit| logit.to_bits()).collect()
}

fn prompt(len: usize, first: u32) -> Vec<u32> {
    (0..len as u32).map(|i| (first + 37 * i) % 100).collect()
}

#[test]
fn a_truncated_session_has_the_bits_of_a_new_one() {
    // A window of 9 keeps all positions that a shorter sequence attends to.
    for name in ["gpt2-plain", "llama-gqa", "mistral-window", "qwen2-layer-types", "qwen3-plain"] {
        let model = load(name);
        let (start, end) = (prompt(40, 3), prompt(11, 8));
        let mut session = model.session(usize::MAX);
        for kept in [39, 33, 17, 16, 15, 1, 0] {
            session.feed(&start[session.positions()..]).unwrap();
            session.truncate(kept);
            assert_eq!(session.positions(), kept, "{name}");
            let found = bits(session.feed(&end).unwrap());
            let mut fresh = model.session(usize::MAX);
            let expected = bits(fresh.feed(&[&start[..kept], &end].concat()).unwrap());
            assert!(found == expected, "{name}, back to {kept}");
            session.truncate(kept);
        }
        session.truncate(1000);
        assert_eq!(session.positions(), 0, "{name}: going back never goes forth");
    }
}

#[test]
fn sessions_of_a_model_are_independent() {
    let model = load("llama-gqa");
    let (a, b) = (prompt(12, 1), prompt(9, 50));
    let alone = |ids: &[u32]| bits(model.session(64).feed(ids).unwrap());
    let (mut first, mut second) = (model.session(64), model.session(64));
    first.feed(&a[..5]).unwrap();
    second.feed(&b[..7]).unwrap();
    assert!(bits(first.feed(&a[5..]).unwrap()) == alone(&a));
    assert!(bits(second.feed(&b[7..]).unwrap()) == alone(&b));
}

/// Generates ids with `pick`, which gets the number of its call; returns them and why generation stopped.
fn generate(
    session: &mut Session,
    limit: usize,
    ends: &[u32],
    pick: impl Fn(u32) -> u32,
) -> (Vec<u32>, Option<Stop>) {
    let mut calls = 0;
    let mut generation = Generation::new(session, &[1, 2, 3], limit, ends, |_: &[f32]| {
        calls += 1;
        Ok::<u32, std::convert::Infallible>(pick(calls - 1))
    })
    .unwrap();
    assert_eq!(generation.stop(), None);
    let ids = generation.by_ref().map(Result::unwrap).collect();
    assert!(generation.next().is_none(), "what has ended stays so");
    (ids, generation.stop())
}

#[test]
fn every_reason_to_stop() {
    let model = load("llama-gqa");
    let mut session = model.session(10);
    assert_eq!(generate(&mut session, 4, &[9], |i| i), (vec![0, 1, 2, 3], Some(Stop::Length)));
    assert_eq!(session.positions(), 6, "the prompt and all but the last token were fed");
    session.truncate(0);
    assert_eq!(generate(&mut session, 0, &[9], |i| i), (vec![], Some(Stop::Length)));
    session.truncate(0);
    assert_eq!(generate(&mut session, 99, &[7, 2], |i| i), (vec![0, 1], Some(Stop::EndOfText)));
    assert_eq!(session.positions(), 5, "all tokens were fed");
    session.truncate(0);
    let (ids, stop) = generate(&mut session, 99, &[], |i| i);
    assert_eq!((ids.len(), stop), (8, Some(Stop::ContextFull)), "ten are fed, the eighth after three is not");
}

#[test]
fn errors_of_the_closure_and_the_model_are_distinguished() {
    let model = load("llama-gqa");
    let mut session = model.session(10);
    let mut refusing = Generation::new(&mut session, &[1], 5, &[], |_: &[f32]| Err("no")).unwrap();
    assert!(matches!(refusing.next(), Some(Err(GenerateError::Pick("no")))));
    session.truncate(0);
    let outside = |_: &[f32]| Ok::<u32, &str>(1_000_000);
    let mut outside = Generation::new(&mut session, &[1], 5, &[], outside).unwrap();
    assert_eq!(outside.next().unwrap().unwrap(), 1_000_000);
    let error = outside.next().unwrap().unwrap_err();
    assert!(error.to_string().contains("token id 1000000 is outside the vocabulary"), "{error}");
}
