//! Owned handles: sequences in threads of their own, slots that outlive their sequences, adapters side by side.

mod tiny;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use glassbox_model::hooks::{HookPoint, Observed, Observer};
use glassbox_model::{Adapter, Checkpoint, Error, Runtime, Session, Slot};
use glassbox_tensor::{Level, Pool};

fn load(name: &str) -> Runtime {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny").join(name);
    Checkpoint::open(path).unwrap().run_on(Pool::new(2, Level::detect()).unwrap()).unwrap()
}

fn bits(logits: &[f32]) -> Vec<u32> {
    logits.iter().map(|logit| logit.to_bits()).collect()
}

#[test]
fn a_session_moves_into_another_thread_and_outlives_its_runtime() {
    let runtime = load("llama-gqa");
    let expected = bits(runtime.session(64).feed(&[1, 2, 3, 4]).unwrap());
    let mut sessions: Vec<Session> = (0..3).map(|_| runtime.session(64)).collect();
    for session in &mut sessions {
        session.feed(&[1, 2]).unwrap();
    }
    drop(runtime);
    let threads = sessions.into_iter().map(|mut session| {
        thread::spawn(move || {
            session.feed(&[3]).unwrap();
            bits(session.feed(&[4]).unwrap())
        })
    });
    for thread in threads.collect::<Vec<_>>() {
        assert!(thread.join().unwrap() == expected);
    }
}

#[test]
fn a_slot_is_good_for_its_own_sequence_alone() {
    let runtime = load("gpt2-plain");
    let mut batch = runtime.batch(1, 16);
    let first = batch.add(&[1, 2]).unwrap().slot;
    batch.end(first).unwrap();
    let unusable = |result: Result<(), Error>| matches!(result, Err(Error::UnknownSlot { .. }));
    assert!(unusable(batch.end(first)), "ended twice");
    let second = batch.add(&[3]).unwrap().slot;
    assert_ne!(first, second, "the place is the same, the sequence is not");
    assert!(unusable(batch.step(&[(first, &[4])]).map(|_| ())));
    assert!(unusable(batch.positions(first).map(|_| ())));
    assert!(unusable(batch.truncate(first, 0)));
    assert_eq!(batch.positions(second).unwrap(), 1);

    let mut other = runtime.batch(1, 16);
    let foreign: Slot = other.add(&[1, 2, 3]).unwrap().slot;
    assert!(unusable(batch.end(foreign)), "of another batch");
    assert!(unusable(batch.step(&[(second, &[4]), (foreign, &[4])]).map(|_| ())));
    assert!(matches!(batch.step(&[(second, &[4]), (second, &[5])]).map(|_| ()), Err(Error::SlotTwice)));
    assert_eq!(batch.positions(second).unwrap(), 1, "an error leaves the batch as it was");
}

#[test]
fn a_step_of_several_tokens_has_the_bits_of_single_ones() {
    for name in ["gpt2-plain", "llama-gqa", "gemma3_text-plain", "gpt_neox-plain"] {
        let runtime = load(name);
        let prompts: [&[u32]; 3] = [&[5, 6, 7, 8, 9], &[1], &[2, 3]];
        let mut batch = runtime.batch(3, 64);
        let slots: Vec<Slot> = prompts.iter().map(|prompt| batch.add(&prompt[..1]).unwrap().slot).collect();
        let next: [&[u32]; 3] = [&[6, 7, 8, 9, 11, 12], &[13], &[3, 14]];
        let order = [2, 0, 1];
        let step: Vec<(Slot, &[u32])> = order.iter().map(|&i| (slots[i], next[i])).collect();
        let found: Vec<_> = batch.step(&step).unwrap().map(bits).collect();
        for (&i, found) in order.iter().zip(&found) {
            let mut session = runtime.session(64);
            session.feed(&prompts[i][..1]).unwrap();
            let alone = next[i].iter().map(|id| bits(session.feed(&[*id]).unwrap())).last().unwrap();
            assert!(*found == alone, "{name}, sequence {i}");
            assert_eq!(batch.positions(slots[i]).unwrap(), 1 + next[i].len());
        }
    }
}

/// An adapter beside some of the linear layers of `llama-gqa`.
fn adapter(runtime: &Runtime, seed: f32) -> Arc<Adapter> {
    tiny::adapter(runtime, seed, &["self_attn.q_proj", "mlp.down_proj"])
}

#[test]
fn sequences_with_different_adapters_run_side_by_side() {
    let runtime = load("llama-gqa");
    let adapters = [None, Some(adapter(&runtime, 1.0)), Some(adapter(&runtime, 2.0))];
    let (prompt, next): (&[u32], &[u32]) = (&[1, 2, 3, 4], &[7, 8]);
    let mut batch = runtime.batch(3, 64);
    let slots: Vec<Slot> = adapters
        .iter()
        .map(|adapter| {
            let added = batch.add_with(prompt, adapter.clone()).unwrap();
            assert_eq!(added.reused, 0, "keys and values of another adapter are other keys and values");
            added.slot
        })
        .collect();
    let step: Vec<_> = slots.iter().map(|&slot| (slot, next)).collect();
    let together: Vec<_> = batch.step(&step).unwrap().map(bits).collect();
    for (adapter, together) in adapters.iter().zip(&together) {
        let mut session = runtime.clone().with_adapter(adapter.clone()).session(64);
        session.feed(prompt).unwrap();
        assert!(*together == bits(session.feed(next).unwrap()));
    }
    assert!(together[0] != together[1] && together[1] != together[2]);
    // With the same adapter they are shared.
    batch.end(slots[2]).unwrap();
    assert_eq!(batch.add_with(prompt, adapters[1].clone()).unwrap().reused, 3);
}

/// Feeds another session of the same pool from inside a pass.
struct Reentrant(Runtime);

impl Observer for Reentrant {
    fn wants(&self, point: HookPoint, layer: Option<usize>) -> bool {
        point == HookPoint::ResidPre && layer == Some(0)
    }

    fn see(&mut self, _: Observed<'_>) {
        let _ = self.0.session(8).feed(&[1]);
    }
}

#[test]
fn an_observer_that_feeds_another_session_panics_instead_of_waiting_for_ever() {
    for threads in [1, 2] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny/gpt2-plain");
        let pool = Pool::new(threads, Level::detect()).unwrap();
        let runtime = Checkpoint::open(path).unwrap().run_on(pool).unwrap();
        let mut observer = Reentrant(runtime.clone());
        let mut session = runtime.session(8);
        let fed = std::panic::AssertUnwindSafe(|| session.feed_observed(&[1, 2], &mut observer).map(drop));
        let panic = std::panic::catch_unwind(fed).expect_err("a panic");
        let message = panic.downcast_ref::<String>().cloned();
        let message =
            message.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap();
        assert!(message.contains("pool"), "{message}");
        // The pool is as good as before.
        assert!(runtime.session(8).feed(&[1]).is_ok());
    }
}
