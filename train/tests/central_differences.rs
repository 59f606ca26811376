//! Every plain layer's backward pass against central differences of its forward pass, in `f64` on tiny shapes.
//!
//! `f′(x) ≈ (f(x + h) − f(x − h)) / 2h` has the error `h²·f‴/6` plus rounding of about `10⁻¹⁶/h`. Richardson
//! extrapolation, `(4·D(h) − D(2h)) / 3`, removes the first, so `h = 10⁻³` gives about eleven correct digits.

mod common;

use glassbox_tensor::ops::{Activation, Rotation};
use glassbox_train::Random;
use glassbox_train::oracle::loss_and_gradients;
use glassbox_train::plain::dropout::Dropout;
use glassbox_train::plain::linear::WeightOrder;
use glassbox_train::plain::{activation, attention, cross_entropy, embedding, linear, norm, rotary};

/// Maximum error of a gradient, relative to its largest element.
const TOLERANCE: f64 = 1e-8;
const STEP: f64 = 1e-3;

fn numbers(count: usize, seed: u64) -> Vec<f64> {
    let mut random = Random::new(seed);
    (0..count).map(|_| random.normal()).collect()
}

/// The derivative of `loss` with respect to each element of `x`.
fn differences(x: &[f64], loss: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let mut moved = x.to_vec();
    let mut slope = |i: usize, step: f64| {
        let mut at = |to: f64| {
            moved[i] = to;
            loss(&moved)
        };
        let slope = (at(x[i] + step) - at(x[i] - step)) / (2.0 * step);
        moved[i] = x[i];
        slope
    };
    (0..x.len()).map(|i| (4.0 * slope(i, STEP) - slope(i, 2.0 * STEP)) / 3.0).collect()
}

/// `Σ y · dy`, whose derivative with respect to `y` is `dy`.
fn dot(y: &[f64], dy: &[f64]) -> f64 {
    assert_eq!(y.len(), dy.len());
    y.iter().zip(dy).map(|(y, dy)| y * dy).sum()
}

fn distance(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let most = expected.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
    let each = found.iter().zip(expected).map(|(found, expected)| (found - expected).abs() / most);
    each.fold(0.0, |worst: f64, x| if x.is_nan() { f64::INFINITY } else { worst.max(x) })
}

#[track_caller]
fn same(what: &str, found: &[f64], x: &[f64], loss: impl Fn(&[f64]) -> f64) {
    let off = distance(found, &differences(x, loss));
    assert!(off <= TOLERANCE, "{what} is off by {off:e}");
}

#[test]
fn the_distance_rejects_wrong_values() {
    let good = [-1.0, 0.2, -3.0];
    assert_eq!(distance(&good, &good), 0.0);
    for bad in [[0.0; 3], [f64::NAN; 3], [1.0, -0.2, 3.0], [-2.0, 0.4, -6.0], [-1.0, 0.2 + 1e-7, -3.0]] {
        assert!(distance(&bad, &good) > TOLERANCE, "{bad:?} passed");
    }
    let cubes = differences(&[2.0, -1.0], |x| x.iter().map(|x| x * x * x).sum());
    assert!(distance(&cubes, &[12.0, 3.0]) < 1e-10, "{cubes:?}");
}

#[test]
fn linear_layers() {
    for order in [WeightOrder::OutputsInputs, WeightOrder::InputsOutputs] {
        let shape = linear::LinearShape { inputs: 5, outputs: 4, order };
        let (x, w, b, dy) = (numbers(15, 1), numbers(20, 2), numbers(4, 3), numbers(12, 4));
        let (mut dw, mut db) = (vec![0.0; 20], vec![0.0; 4]);
        let dx = linear::backward(shape, &x, &w, &dy, Some(&mut dw), Some(&mut db));
        same("dx", &dx, &x, |x| dot(&linear::forward(shape, x, &w, Some(&b)), &dy));
        same("dw", &dw, &w, |w| dot(&linear::forward(shape, &x, w, Some(&b)), &dy));
        same("db", &db, &b, |b| dot(&linear::forward(shape, &x, &w, Some(b)), &dy));
    }
}

#[test]
fn norms() {
    let (x, w, b, dy) = (numbers(21, 1), numbers(7, 2), numbers(7, 3), numbers(21, 4));
    let (mut dw, mut db) = (vec![0.0; 7], vec![0.0; 7]);
    let dx = norm::layer_norm_backward(&x, &w, 1e-5, &dy, Some(&mut dw), Some(&mut db));
    same("layer norm, dx", &dx, &x, |x| dot(&norm::layer_norm(x, &w, &b, 1e-5), &dy));
    same("layer norm, dw", &dw, &w, |w| dot(&norm::layer_norm(&x, w, &b, 1e-5), &dy));
    same("layer norm, db", &db, &b, |b| dot(&norm::layer_norm(&x, &w, b, 1e-5), &dy));
    let mut dw = vec![0.0; 7];
    let dx = norm::rms_norm_backward(&x, &w, 1e-5, &dy, Some(&mut dw));
    same("RMS norm, dx", &dx, &x, |x| dot(&norm::rms_norm(x, &w, 1e-5), &dy));
    same("RMS norm, dw", &dw, &w, |w| dot(&norm::rms_norm(&x, w, 1e-5), &dy));
}

#[test]
fn causal_attention_with_shared_and_own_keys() {
    for (heads, kv_heads) in [(2, 2), (4, 2), (3, 1)] {
        let shape = attention::AttentionShape { tokens: 5, heads, kv_heads, head_dim: 3, scale: 0.5 };
        let qkv = numbers(2 * 5 * shape.width(), 1);
        let dz = numbers(2 * 5 * heads * 3, 2);
        let dqkv = attention::backward(shape, &qkv, &dz);
        same("dqkv", &dqkv, &qkv, |qkv| dot(&attention::forward(shape, qkv), &dz));
    }
}

#[test]
fn activations_with_and_without_a_gate() {
    let all = [
        Activation::GeluErf,
        Activation::GeluTanh,
        Activation::GeluQuick,
        Activation::Silu,
        Activation::Relu,
        Activation::ReluSquared,
    ];
    for activation in all {
        // Away from 0, where two of them are not differentiable.
        let x: Vec<f64> = numbers(30, 1).into_iter().map(|x| x + 0.05 * x.signum()).collect();
        let (up, dy) = (numbers(30, 2), numbers(30, 3));
        let dx = activation::backward(activation, &x, &dy);
        same(&format!("{activation:?}"), &dx, &x, |x| dot(&activation::forward(activation, x), &dy));
        let (dgate, dup) = activation::gate_backward(activation, &x, &up, &dy);
        same("dgate", &dgate, &x, |x| dot(&activation::gate(activation, x, &up), &dy));
        same("dup", &dup, &up, |up| dot(&activation::gate(activation, &x, up), &dy));
    }
}

#[test]
fn cross_entropy_of_softmax() {
    let (logits, targets, factors) = (numbers(4 * 9, 1), [3, 0, 8, 3], [0.5, 0.0, 1.0, 2.0]);
    let dlogits = cross_entropy::backward(&logits, 9, &targets, &factors);
    same("dlogits", &dlogits, &logits, |x| dot(&cross_entropy::forward(x, 9, &targets), &factors));
}

#[test]
fn embeddings_and_rotations() {
    let (table, ids, dx) = (numbers(6 * 3, 1), [2, 5, 2, 0], numbers(4 * 3, 2));
    let mut dtable = vec![0.0; 18];
    embedding::backward(3, &ids, &dx, &mut dtable);
    same("dtable", &dtable, &table, |table| dot(&embedding::forward(table, 3, &ids), &dx));

    // Two heads of four components; the last third of each row is not rotated.
    let mut rotation = Rotation::new(vec![1.0, 0.1], 1.2);
    rotation.extend_to(3);
    let (x, dy) = (numbers(6 * 12, 3), numbers(6 * 12, 4));
    let mut dx = dy.clone();
    rotary::backward(&rotation, &mut dx, 12, 2, 4, 3);
    same("a rotation's dx", &dx, &x, |x| {
        let mut y = x.to_vec();
        rotary::forward(&rotation, &mut y, 12, 2, 4, 3);
        dot(&y, &dy)
    });
}

/// All gradients of a network at once: the directional derivative of the loss is the dot product of gradient and
/// direction.
#[test]
fn whole_networks_along_random_directions() {
    for (name, mut network) in common::networks() {
        for dropout in [None, Some(Dropout { rate: 0.3, seed: 4 })] {
            network.set_dropout(dropout);
            let batch = common::batch(network.config(), 2, 5);
            let weights: Vec<f64> = batch.weights.iter().map(|&weight| weight.into()).collect();
            let total = batch.total_weight();
            let trained: Vec<f64> = network.trained().values().iter().map(|&x| x.into()).collect();
            let direction = numbers(trained.len(), 11);
            let (_, gradients) = loss_and_gradients(&network, &trained, &batch, total);
            let slope = differences(&[0.0], |along| {
                let moved: Vec<f64> =
                    trained.iter().zip(&direction).map(|(x, d)| x + 0.01 * along[0] * d).collect();
                dot(&loss_and_gradients(&network, &moved, &batch, total).0, &weights) / total
            });
            let expected = 0.01 * dot(&gradients, &direction);
            let off = distance(&slope, &[expected]);
            assert!(off < 1e-7, "{name}, {dropout:?}: {slope:?}, {expected}, off by {off:e}");
        }
    }
}
