//! The operations other than matrix products: attention over a cache, norms, softmax, activations, rotation.
//!
//! `cargo bench -p glassbox-benches --bench operations`

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use glassbox_benches::{numbers, pool};
use glassbox_tensor::ops::{self, Activation, Attention, KeyValues, Rotation};
use glassbox_tensor::{CacheFormat, reference};

/// SmolLM2's shape.
const HEADS: usize = 9;
const KV_HEADS: usize = 3;
const HEAD_DIM: usize = 64;

fn attention(criterion: &mut Criterion) {
    let pool = pool();
    let mut group = criterion.benchmark_group("attention");
    let layer = Attention { n_heads: HEADS, scale: 0.125, window: None };
    for (rows, positions) in [(1, 128), (1, 1024), (1, 8192), (512, 512)] {
        let mut cache = KeyValues::new(KV_HEADS, HEAD_DIM, CacheFormat::F32);
        let keys = numbers(positions * KV_HEADS * HEAD_DIM, 1);
        let values = numbers(positions * KV_HEADS * HEAD_DIM, 2);
        pool.enter(|team| cache.append(team, &keys, &values));
        let q = numbers(rows * HEADS * HEAD_DIM, 3);
        let mut z = vec![f32::NAN; q.len()];
        pool.enter(|team| ops::attention(team, layer, &q, &cache, &mut z));

        // The first head of the last row, by the reference.
        let head = |all: &[f32]| -> Vec<Vec<f32>> {
            all.chunks_exact(KV_HEADS * HEAD_DIM).map(|row| row[..HEAD_DIM].to_vec()).collect()
        };
        let (keys, values) = (head(&keys), head(&values));
        let (keys, values): (Vec<&[f32]>, Vec<&[f32]>) =
            (keys.iter().map(Vec::as_slice).collect(), values.iter().map(Vec::as_slice).collect());
        let (mut pattern, mut expected) = (vec![0.0; positions], vec![0.0; HEAD_DIM]);
        let at = (rows - 1) * HEADS * HEAD_DIM;
        let query = &q[at..][..HEAD_DIM];
        reference::attention_scores(query, &keys, 0..positions, layer.scale, &mut pattern);
        reference::attention_pattern(&mut pattern, 0..positions);
        reference::attention_mix(&pattern, &values, 0..positions, &mut expected);
        assert_eq!(z[at..][..HEAD_DIM], expected, "attention gives the reference's bits");

        group.throughput(Throughput::Elements(rows as u64));
        group.bench_function(BenchmarkId::new("queries", format!("{rows} over {positions}")), |b| {
            pool.enter(|team| b.iter(|| ops::attention(team, layer, &q, &cache, &mut z)));
        });
    }
}

fn rows(criterion: &mut Criterion) {
    let pool = pool();
    let mut group = criterion.benchmark_group("rows");
    let (rows, width) = (512, 576);
    let (x, weight) = (numbers(rows * width, 1), numbers(width, 2));
    let mut out = vec![f32::NAN; x.len()];
    group.throughput(Throughput::Bytes(size_of_val(x.as_slice()) as u64));

    let mut expected = vec![0.0; width];
    reference::rms_norm(&x[..width], &weight, 1e-5, &mut expected);
    pool.enter(|team| ops::rms_norm(team, &x, &weight, 1e-5, &mut out));
    assert_eq!(out[..width], expected);
    group.bench_function("rms_norm", |b| {
        pool.enter(|team| b.iter(|| ops::rms_norm(team, &x, &weight, 1e-5, &mut out)));
    });

    reference::layer_norm(&x[..width], &weight, &weight, 1e-5, &mut expected);
    pool.enter(|team| ops::layer_norm(team, &x, &weight, &weight, 1e-5, &mut out));
    assert_eq!(out[..width], expected);
    group.bench_function("layer_norm", |b| {
        pool.enter(|team| b.iter(|| ops::layer_norm(team, &x, &weight, &weight, 1e-5, &mut out)));
    });

    expected.copy_from_slice(&x[..width]);
    reference::softmax(&mut expected);
    out.copy_from_slice(&x);
    pool.enter(|team| ops::softmax(team, &mut out, width));
    assert_eq!(out[..width], expected);
    group.bench_function("softmax", |b| pool.enter(|team| b.iter(|| ops::softmax(team, &mut out, width))));

    for activation in [Activation::Silu, Activation::GeluTanh, Activation::GeluErf] {
        out.copy_from_slice(&x);
        pool.enter(|team| ops::activate(team, activation, &mut out));
        assert_eq!(out[0], reference::activate(activation, x[0]));
        group.bench_function(format!("{activation:?}"), |b| {
            pool.enter(|team| b.iter(|| ops::activate(team, activation, &mut out)));
        });
    }

    let mut rotation = Rotation::new((0..HEAD_DIM / 2).map(|i| 0.9f32.powi(i as i32)).collect(), 1.0);
    rotation.extend_to(rows);
    let positions: Vec<usize> = (0..rows).collect();
    expected.copy_from_slice(&x[..width]);
    let (cos, sin) = rotation.at(0);
    expected.chunks_exact_mut(HEAD_DIM).for_each(|head| reference::rotate(head, cos, sin));
    out.copy_from_slice(&x);
    pool.enter(|team| ops::rotate(team, &mut out, HEADS, HEAD_DIM, &rotation, &positions));
    assert_eq!(out[..width], expected);
    group.bench_function("rotate", |b| {
        pool.enter(|team| b.iter(|| ops::rotate(team, &mut out, HEADS, HEAD_DIM, &rotation, &positions)));
    });
}

criterion_group!(benches, attention, rows);
criterion_main!(benches);
