//! The fast network against the plain one in `f64`: losses and all gradients.

mod common;

use common::{batch, networks};
use glassbox_tensor::{Level, Pool};
use glassbox_train::oracle::loss_and_gradients;
use glassbox_train::plain::dropout::Dropout;

/// Maximum error of a gradient, relative to its tensor's largest element: rounding of sums of about a hundred `f32`
/// products through a few layers.
const TOLERANCE: f64 = 3e-5;

#[test]
fn losses_and_gradients_match_the_oracle() {
    let pool = Pool::new(2, Level::detect()).unwrap();
    for (name, mut network) in networks() {
        for (rows, tokens, dropout) in [(1, 1, 0.0), (3, 7, 0.0), (2, 70, 0.0), (3, 7, 0.3)] {
            network.set_dropout((dropout > 0.0).then_some(Dropout { rate: dropout, seed: 4 }));
            let batch = batch(network.config(), rows, tokens);
            let total = batch.total_weight().max(1.0) + 1.0;
            let trained: Vec<f64> = network.trained().values().iter().map(|&x| x.into()).collect();
            let (losses, expected) = loss_and_gradients(&network, &trained, &batch, total);
            let mut gradients = network.gradients();
            let loss = network.loss_and_gradients(&pool, &batch, total, &mut gradients).unwrap();
            for (found, expected) in loss.per_position.iter().zip(&losses) {
                assert!(
                    (f64::from(*found) - expected).abs() < 2e-6 * (1.0 + expected),
                    "{name}: {found} {expected}"
                );
            }
            assert_eq!(
                network.loss(&pool, &batch).unwrap() == loss,
                dropout == 0.0,
                "dropout applies only with gradients"
            );
            // A norm of queries and keys magnifies what rounding leaves of a difference that is 0.
            let floor = if network.config().qk_norm { 1e-6 } else { 1e-7 };
            for (slot, found) in gradients.iter() {
                let expected = &expected[slot.range.clone()];
                let most = expected.iter().fold(0.0f64, |most, x| most.max(x.abs()));
                for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
                    let off = (f64::from(*found) - expected).abs();
                    assert!(
                        off <= TOLERANCE * most + floor,
                        "{name}, {rows} × {tokens}, dropout {dropout}: {} at {i} is {}, not {expected}",
                        slot.name,
                        found
                    );
                }
            }
            // A second call adds to the gradients.
            let once = gradients.clone();
            network.loss_and_gradients(&pool, &batch, total, &mut gradients).unwrap();
            for (twice, once) in gradients.values().iter().zip(once.values()) {
                assert!((twice - 2.0 * once).abs() <= 1e-5 * once.abs() + 1e-6, "{name}: {twice} {once}");
            }
        }
    }
}

#[test]
fn gradient_checkpointing_gives_the_same_bits() {
    for (name, mut network) in networks() {
        let batch = batch(network.config(), 3, 9);
        network.set_dropout(Some(Dropout { rate: 0.2, seed: 5 }));
        let mut results = [false, true].map(|recompute| {
            // The number of threads differs too, and must not change the bits.
            let pool = Pool::new(1 + usize::from(recompute), Level::detect()).unwrap();
            let mut gradients = network.gradients();
            network.set_recompute(recompute);
            let loss = network.loss_and_gradients(&pool, &batch, 7.0, &mut gradients).unwrap();
            (loss, gradients.values().to_vec())
        });
        let [kept, again] = &mut results;
        assert!(kept == again, "{name}");
    }
}
