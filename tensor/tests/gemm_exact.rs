//! A product of matrices gives the bits of its plain version: at every level, with any number of threads,
//! for every shape, whichever way the matrices lie in memory.

use glassbox_tensor::ops::{Gemm, Start, View, ViewMut, add_columns, gemm};
use glassbox_tensor::{Level, Pool, reference};

fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (((z ^ z >> 31) >> 40) as f32) / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

fn pools() -> Vec<Pool> {
    let levels = Level::available().into_iter();
    levels.flat_map(|level| [1, 3].map(|threads| Pool::new(threads, level).unwrap())).collect()
}

const SHAPES: [(usize, usize, usize); 19] = [
    (0, 0, 0),
    (0, 3, 5),
    (3, 4, 0),
    (1, 1, 1),
    (3, 0, 5),
    (1, 7, 16),
    (4, 3, 17),
    (12, 5, 32),
    (13, 9, 33),
    (25, 256, 48),
    (11, 257, 15),
    (31, 300, 70),
    (240, 20, 16),
    (253, 513, 31),
    (500, 17, 40),
    (7, 33, 300),
    (64, 600, 100),
    (265, 258, 47),
    (530, 30, 290),
];

/// The first `n` columns of `m` rows that are three longer.
fn first_columns(out: &mut [f32], m: usize, n: usize) -> ViewMut<'_> {
    ViewMut::new(out, m, n + 3).columns(0..n)
}

#[test]
fn every_shape_layout_and_start() {
    for (m, k, n) in SHAPES {
        let (a, b, bias) = (numbers(m * k, 1), numbers(k * n, 2), numbers(n, 3));
        let before = numbers(m * (n + 3), 4);
        let other = numbers(m * n, 5);
        for case in 0..8 {
            let a = if case & 1 == 0 { View::new(&a, m, k) } else { View::new(&a, k, m).transposed() };
            let b = if case & 2 == 0 { View::new(&b, k, n) } else { View::new(&b, n, k).transposed() };
            let bias = (case & 4 == 0).then_some(&bias[..]);
            let start = [Start::Zero, Start::Out, Start::At(View::new(&other, m, n))][case % 3];
            let mut expected = before.clone();
            let product = Gemm { a, b, start, bias };
            reference::gemm(product, first_columns(&mut expected, m, n));
            for pool in pools() {
                let mut found = before.clone();
                if matches!(start, Start::Zero | Start::At(_)) {
                    found.chunks_mut(n + 3).for_each(|row| row[..n].fill(f32::NAN));
                }
                pool.enter(|team| gemm(team, product, first_columns(&mut found, m, n)));
                assert_eq!(found, expected, "{m} × {k} × {n}, case {case}, {}", pool.level());
            }
        }
    }
}

#[test]
fn columns_of_a_wider_matrix() {
    let (a, b) = (numbers(20 * 30, 1), numbers(11 * 50, 2));
    let a = View::new(&a, 20, 30).columns(3..14);
    let b = View::new(&b, 11, 50).columns(7..43);
    let mut expected = vec![0.0; 20 * 36];
    reference::gemm(Gemm::new(a, b), ViewMut::new(&mut expected, 20, 36));
    for pool in pools() {
        let mut found = vec![f32::NAN; 20 * 36];
        pool.enter(|team| gemm(team, Gemm::new(a, b), ViewMut::new(&mut found, 20, 36)));
        assert_eq!(found, expected);
    }
}

#[test]
fn columns_are_added_up_in_order() {
    for (rows, columns) in [(1, 1), (5, 63), (100, 64), (33, 200)] {
        let x = numbers(rows * columns, 6);
        let mut expected = numbers(columns, 7);
        let start = expected.clone();
        for row in x.chunks_exact(columns) {
            expected.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
        }
        for pool in pools() {
            let mut found = start.clone();
            pool.enter(|team| add_columns(team, View::new(&x, rows, columns), &mut found));
            assert_eq!(found, expected);
        }
    }
}
