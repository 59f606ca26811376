//! Every operation gives the bits of its plain version: at every level, with any number of threads, at
//! every length, whatever is computed beside it.

use glassbox_tensor::ops::{self, Activation, Attention, KeyValues, Rotation};
use glassbox_tensor::quant::f16::{f16_to_f32, f32_to_f16};
use glassbox_tensor::quant::q8_0;
use glassbox_tensor::{
    Activations, CacheFormat, Engine, Format, Level, PackedMatrix, Pool, Tensor, reference,
};
use proptest::prelude::*;

/// A small generator (splitmix64), so that every case is the same on every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// Uniform in -1..1.
    fn number(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    fn numbers(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.number()).collect()
    }
}

/// All levels of this machine, each with one thread and with three, and the reference as an engine.
fn pools() -> Vec<Pool> {
    let levels = Level::available().into_iter();
    let kernels = levels.flat_map(|level| [1, 3].map(|threads| Pool::new(threads, level).unwrap()));
    kernels.chain([plain_pool()]).collect()
}

fn plain_pool() -> Pool {
    Pool::new(1, Engine::Reference).unwrap()
}

fn append(pool: &Pool, cache: &mut KeyValues, keys: &[f32], values: &[f32]) {
    pool.enter(|team| cache.append(team, keys, values));
}

#[track_caller]
fn assert_same_bits(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!(
            a == b || a.is_nan() && b.is_nan(),
            "{what}: element {i} is {a:e}, the plain version says {b:e}"
        );
    }
}

/// A matrix of random bits in the format, its scales tame.
fn random_matrix(random: &mut Random, format: Format, outputs: usize, inputs: usize) -> Tensor {
    let size = format.bytes_for(outputs * inputs).unwrap();
    let mut bytes: Vec<u8> = (0..size).map(|_| random.next() as u8).collect();
    let block = format.block_bytes();
    let scale_at: &[usize] = match format {
        Format::F32 | Format::F16 | Format::BF16 => &[0],
        Format::Q8_0 | Format::Q4_0 | Format::Q5_0 => &[0],
        Format::Q4_1 | Format::Q5_1 | Format::Q4_K | Format::Q5_K => &[0, 2],
        Format::Q6_K => &[208],
    };
    for block in bytes.chunks_exact_mut(block) {
        for &at in scale_at {
            let value = random.number();
            match format {
                Format::F32 => block[at..at + 4].copy_from_slice(&value.to_le_bytes()),
                Format::BF16 => {
                    block[at..at + 2].copy_from_slice(&((value.to_bits() >> 16) as u16).to_le_bytes())
                }
                // A random half-precision number between 2⁻⁷ and 2⁻⁴ in size.
                _ => {
                    let bits = (random.next() as u16 & 0x83ff) | (8 + random.next() as u16 % 4) << 10;
                    block[at..at + 2].copy_from_slice(&bits.to_le_bytes());
                }
            }
        }
    }
    Tensor::from_bytes(format, [outputs, inputs], bytes).unwrap()
}

#[test]
fn matmul_of_every_format_and_shape() {
    let mut random = Random(1);
    for format in Format::ALL {
        let step = format.block_len();
        for (outputs, inputs) in [(1, 1), (5, 3), (16, 1), (17, 2), (33, 7), (70, 9), (129, 20)] {
            let inputs = if step == 1 { inputs * 29 } else { (inputs.min(3)) * step };
            let matrix = random_matrix(&mut random, format, outputs, inputs);
            let dense = matrix.to_f32();
            for rows in [1, 2, 3, 4, 5, 6, 7, 13, 31] {
                let x = random.numbers(rows * inputs);
                let mut expected = vec![f32::NAN; rows * outputs];
                reference::matmul(&x, &dense, inputs, &mut expected);
                for pool in pools() {
                    let mut out = vec![f32::NAN; rows * outputs];
                    pool.enter(|team| {
                        let packed = PackedMatrix::pack(team, &matrix).unwrap();
                        ops::matmul(team, &x, &packed, &mut out);
                    });
                    let what = format!("{format} {rows}×{inputs}×{outputs} at {}", pool.level());
                    assert_same_bits(&out, &expected, &what);
                }
            }
        }
    }
}

/// Activations in integers, the largest integer, and how many inputs share a step.
const INTEGERS: [(Activations, f32, usize); 2] =
    [(Activations::Int8, 127.0, 32), (Activations::Int16, 32512.0, 128)];

/// Rows of `inputs` rounded to whole multiples of a step: the largest of each `group` divided by `largest`.
fn rounded(x: &[f32], inputs: usize, largest: f32, group: usize) -> Vec<f64> {
    let mut out = Vec::new();
    for group in x.chunks(inputs).flat_map(|row| row.chunks(group)) {
        let size = group.iter().fold(0.0f32, |a, x| a.max(x.abs()));
        let (inverse, step) = (if size > 0.0 { largest / size } else { 0.0 }, size / largest);
        out.extend(group.iter().map(|x| f64::from((x * inverse).round_ties_even()) * f64::from(step)));
    }
    out
}

#[test]
fn matmul_of_every_quantised_format_with_integer_inputs() {
    let mut random = Random(7);
    for format in Format::ALL.into_iter().filter(|format| format.block_len() > 1) {
        // Few rows and many, more than are walked at a time, and inputs that make one stretch, or some, or uneven ones;
        // one group of inputs and several, the last of them whole or not.
        let few = [(1, 1, 1), (17, 3, 2), (17, 2, 3), (5, 2, 4), (18, 3, 7), (16, 1, 8)];
        let groups = [(17, 5, 1), (17, 9, 2), (5, 13, 3), (18, 6, 5), (18, 7, 6), (16, 37, 8)];
        let many = [(33, 2, 29), (70, 1, 13), (3, 2, 265), (2, 5, 9), (2, 9, 10), (2, 19, 9), (1, 37, 12)];
        let stretches = [(33, 41, 9), (3, if format.block_len() == 32 { 21 } else { 3 }, 265)];
        // A tile or two for each of three threads.
        let shared = [(33, 5, 16), (18, 9, 23), (17, 2, 24), (5, 3, 25)];
        for (outputs, blocks, rows) in [&few[..], &groups, &many, &stretches, &shared].concat() {
            let inputs = blocks * format.block_len();
            let matrix = random_matrix(&mut random, format, outputs, inputs);
            let dense = matrix.to_f32();
            let mut x = random.numbers(rows * inputs);
            x[..16].fill(0.0);
            if rows > 2 {
                x[inputs..][..inputs.min(128)].fill(0.0);
                x[(rows - 1) * inputs..][(inputs - 1) / 128 * 128..inputs].fill(0.0);
            }
            for (activations, largest, group) in INTEGERS {
                let run = |pool: Pool| {
                    let pool = pool.with_activations(activations);
                    let mut out = vec![f32::NAN; rows * outputs];
                    pool.enter(|team| {
                        ops::matmul(team, &x, &PackedMatrix::pack(team, &matrix).unwrap(), &mut out);
                    });
                    out
                };
                let expected = run(Pool::new(1, Engine::Reference).unwrap());
                for pool in pools() {
                    let what =
                        format!("{format} {activations} {rows}×{inputs}×{outputs} at {}", pool.level());
                    assert_same_bits(&run(pool), &expected, &what);
                }
                // The reference itself: the exact product of the rounded inputs, but for rounding sums.
                let x = rounded(&x, inputs, largest, group);
                for (i, &found) in expected.iter().enumerate() {
                    let (row, output) = (i / outputs, i % outputs);
                    let pairs =
                        || x[row * inputs..][..inputs].iter().zip(&dense[output * inputs..][..inputs]);
                    let exact: f64 = pairs().map(|(x, w)| x * f64::from(*w)).sum();
                    // The parts of a sum are up to 256 steps of a weight times an input.
                    let weight = dense[output * inputs..][..inputs].iter().fold(0.0, |a, w| w.abs().max(a));
                    let sizes: f64 = x[row * inputs..][..inputs].iter().map(|x| x.abs()).sum();
                    let bound =
                        4.0 * f64::from(f32::EPSILON) * inputs as f64 * sizes * f64::from(weight) + 1e-30;
                    assert!(
                        (f64::from(found) - exact).abs() <= bound,
                        "{format} {activations}: {found} {exact}"
                    );
                }
            }
        }
    }
}

#[test]
fn as_many_inputs_share_a_step_as_is_said() {
    let (outputs, inputs, rows) = (40, 160, 3);
    let matrix = random_matrix(&mut Random(11), Format::Q8_0, outputs, inputs);
    let mut x = Random(12).numbers(rows * inputs);
    let sizes = [1.0, 0.25, 0.5, 0.125, 0.75];
    x.chunks_mut(32).zip(sizes.iter().cycle()).for_each(|(x, size)| x.iter_mut().for_each(|x| *x *= size));
    for (activations, largest, group) in INTEGERS {
        let pool = plain_pool().with_activations(activations);
        let mut found = vec![0.0; rows * outputs];
        pool.enter(|team| {
            ops::matmul(team, &x, &PackedMatrix::pack(team, &matrix).unwrap(), &mut found);
        });
        // How far the results are from those of inputs that share a step in groups of so many.
        let distance = |group: usize| {
            let x = rounded(&x, inputs, largest, group);
            let weights = matrix.to_f32();
            let exact = |i: usize| -> f64 {
                let row = x[i / outputs * inputs..].iter();
                row.zip(&weights[i % outputs * inputs..][..inputs]).map(|(x, w)| x * f64::from(*w)).sum()
            };
            found.iter().enumerate().map(|(i, &y)| (f64::from(y) - exact(i)).powi(2)).sum::<f64>().sqrt()
        };
        for other in [16, 32, 64, 128, 256].into_iter().filter(|&other| other != group) {
            let (right, wrong) = (distance(group), distance(other));
            assert!(10.0 * right < wrong, "{activations}: {right:e} in {group}s, {wrong:e} in {other}s");
        }
    }
}

#[test]
fn an_input_that_is_no_number_is_not_lost_in_rounding() {
    for (format, inputs) in [(Format::Q4_0, 160), (Format::Q6_K, 512)] {
        let matrix = random_matrix(&mut Random(8), format, 5, inputs);
        for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for (at, rows) in [(0, 2), (17, 3), (100, 9), (127, 2), (128, 1), (159, 17)] {
                let mut x = Random(9).numbers(rows * inputs);
                x[at] = wrong;
                for (pool, (activations, ..)) in INTEGERS
                    .map(|integers| (pools(), integers))
                    .into_iter()
                    .flat_map(|(pools, integers)| pools.into_iter().map(move |pool| (pool, integers)))
                {
                    let pool = pool.with_activations(activations);
                    let mut out = vec![0.0; rows * 5];
                    pool.enter(|team| {
                        ops::matmul(team, &x, &PackedMatrix::pack(team, &matrix).unwrap(), &mut out)
                    });
                    assert!(
                        out[..5].iter().all(|y| y.is_nan()) && out[5..].iter().all(|y| y.is_finite()),
                        "{out:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn tiny_inputs_count_as_zero_and_huge_ones_do_not_overflow() {
    let matrix = random_matrix(&mut Random(13), Format::Q8_0, 5, 32);
    for (size, is_zero) in [(1e-45, true), (1e-37, true), (1e-30, false), (1e37, false)] {
        let mut x = vec![0.0; 32];
        x[7] = size;
        for (activations, ..) in INTEGERS {
            for pool in pools() {
                let pool = pool.with_activations(activations);
                let mut out = vec![f32::NAN; 5];
                pool.enter(|team| {
                    ops::matmul(team, &x, &PackedMatrix::pack(team, &matrix).unwrap(), &mut out)
                });
                for (output, found) in out.into_iter().enumerate() {
                    let weight = f64::from(matrix.to_f32()[output * 32 + 7]);
                    let expected = if is_zero { 0.0 } else { weight * f64::from(size) };
                    let error = (f64::from(found) - expected).abs();
                    assert!(error <= 1e-3 * f64::from(size), "{activations}: {found} for {expected}");
                }
            }
        }
    }
}

#[test]
fn several_products_of_the_same_inputs_are_each_what_they_are_alone() {
    let mut random = Random(10);
    let shapes = [(Format::Q4_1, 70), (Format::F16, 5), (Format::Q8_0, 33)];
    let matrices = shapes.map(|(format, outputs)| random_matrix(&mut random, format, outputs, 96));
    // With so many rows as the last, threads have rows of their own.
    for rows in [1, 2, 14, 401] {
        let x = random.numbers(rows * 96);
        for pool in pools().into_iter().flat_map(|pool| {
            let (level, threads) = (pool.engine(), pool.threads());
            Activations::ALL.map(|a| Pool::new(threads, level).unwrap().with_activations(a))
        }) {
            pool.enter(|team| {
                let packed = matrices.each_ref().map(|matrix| PackedMatrix::pack(team, matrix).unwrap());
                let mut alone = shapes.map(|(_, outputs)| vec![f32::NAN; rows * outputs]);
                for (weight, out) in packed.iter().zip(&mut alone) {
                    ops::matmul(team, &x, weight, out);
                }
                let mut together = shapes.map(|(_, outputs)| vec![f32::NAN; rows * outputs]);
                let [a, b, c] = &mut together;
                ops::matmul_each(team, &x, [(&packed[0], a), (&packed[1], b), (&packed[2], c)]);
                assert_eq!(together, alone);
            });
        }
    }
}

#[test]
fn matmul_past_every_block_of_the_loops() {
    let mut random = Random(2);
    for (format, rows, inputs, outputs) in
        [(Format::F32, 401, 530, 50), (Format::Q4_K, 256, 512, 35), (Format::Q8_0, 245, 352, 18)]
    {
        let matrix = random_matrix(&mut random, format, outputs, inputs);
        let x = random.numbers(rows * inputs);
        let mut expected = vec![f32::NAN; rows * outputs];
        reference::matmul(&x, &matrix.to_f32(), inputs, &mut expected);
        for pool in pools() {
            let mut out = vec![f32::NAN; rows * outputs];
            pool.enter(|team| ops::matmul(team, &x, &PackedMatrix::pack(team, &matrix).unwrap(), &mut out));
            assert_same_bits(&out, &expected, &format!("{format} at {}", pool.level()));
        }
    }
}

#[test]
fn a_packed_row_is_the_dequantised_row() {
    let mut random = Random(3);
    let pool = Pool::new(1, Level::Scalar).unwrap();
    for format in Format::ALL {
        let (outputs, inputs) = (37, 2 * format.block_len());
        let matrix = random_matrix(&mut random, format, outputs, inputs);
        let packed =
            pool.enter(|team| PackedMatrix::pack_rows(team, &matrix, |row| outputs - 1 - row)).unwrap();
        let mut row = vec![f32::NAN; inputs];
        for i in 0..outputs {
            packed.row(i, &mut row);
            assert_same_bits(
                &row,
                &matrix.row_to_f32(outputs - 1 - i).unwrap(),
                &format!("{format} row {i}"),
            );
        }
    }
}

#[test]
fn a_transposed_matrix_is_packed_by_its_values() {
    let mut random = Random(4);
    let pool = Pool::new(2, Level::detect()).unwrap();
    let stored = Tensor::from_f32([7, 21], random.numbers(7 * 21)).unwrap();
    let packed = pool.enter(|team| PackedMatrix::pack(team, &stored.transpose(0, 1).unwrap())).unwrap();
    assert_eq!((packed.outputs(), packed.inputs()), (21, 7));
    let mut row = vec![0.0; 7];
    packed.row(20, &mut row);
    let column: Vec<f32> = (0..7).map(|i| stored.to_f32()[i * 21 + 20]).collect();
    assert_same_bits(&row, &column, "row 20");
}

#[test]
fn rowwise_operations_at_every_length() {
    let mut random = Random(5);
    for len in 1..=70 {
        let rows = 3;
        let x: Vec<f32> = random.numbers(rows * len).iter().map(|x| 20.0 * x).collect();
        let (weight, bias) = (random.numbers(len), random.numbers(len));
        let mut expected = [x.clone(), x.clone(), x.clone()];
        for row in 0..rows {
            let range = row * len..(row + 1) * len;
            reference::softmax(&mut expected[0][range.clone()]);
            reference::rms_norm(&x[range.clone()], &weight, 1e-5, &mut expected[1][range.clone()]);
            reference::layer_norm(&x[range.clone()], &weight, &bias, 1e-5, &mut expected[2][range]);
        }
        for pool in pools() {
            let mut out = [x.clone(), vec![f32::NAN; x.len()], vec![f32::NAN; x.len()]];
            pool.enter(|team| {
                ops::softmax(team, &mut out[0], len);
                ops::rms_norm(team, &x, &weight, 1e-5, &mut out[1]);
                ops::layer_norm(team, &x, &weight, &bias, 1e-5, &mut out[2]);
            });
            for (what, (out, expected)) in
                ["softmax", "rms_norm", "layer_norm"].iter().zip(out.iter().zip(&expected))
            {
                assert_same_bits(out, expected, &format!("{what} of {len} at {}", pool.level()));
            }
        }
    }
}

const ACTIVATIONS: [Activation; 6] = [
    Activation::GeluErf,
    Activation::GeluTanh,
    Activation::GeluQuick,
    Activation::Silu,
    Activation::Relu,
    Activation::ReluSquared,
];

#[test]
fn elementwise_operations_at_every_length_and_on_odd_numbers() {
    let mut random = Random(6);
    let odd = [
        0.0,
        -0.0,
        f32::MIN_POSITIVE,
        1e-40,
        88.1,
        -88.1,
        1e30,
        -1e30,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
    ];
    for len in (0..=70).chain([4095, 4097, 9000]) {
        let x: Vec<f32> = (0..len)
            .map(|i| if i % 5 == 0 { odd[i / 5 % odd.len()] } else { 8.0 * random.number() })
            .collect();
        let y = random.numbers(len);
        for pool in pools() {
            for activation in ACTIVATIONS {
                let activated: Vec<f32> = x.iter().map(|&x| reference::activate(activation, x)).collect();
                let gated: Vec<f32> = activated.iter().zip(&y).map(|(a, y)| a * y).collect();
                let (mut a, mut g) = (x.clone(), x.clone());
                pool.enter(|team| {
                    ops::activate(team, activation, &mut a);
                    ops::gate(team, activation, &mut g, &y);
                });
                assert_same_bits(&a, &activated, &format!("{activation:?} of {len} at {}", pool.level()));
                assert_same_bits(&g, &gated, &format!("gate {activation:?} of {len} at {}", pool.level()));
            }
            let mut sum = x.clone();
            pool.enter(|team| ops::add(team, &mut sum, &y));
            let expected: Vec<f32> = x.iter().zip(&y).map(|(x, y)| x + y).collect();
            assert_same_bits(&sum, &expected, "add");
            if len > 0 {
                let (mut rows, mut twice) = ([x.clone(), x.clone()].concat(), expected.clone());
                twice.extend(&expected);
                pool.enter(|team| ops::add_row(team, &mut rows, &y));
                assert_same_bits(&rows, &twice, "add_row");
            }
        }
    }
}

#[test]
fn activations_and_exp_are_close_to_their_definitions() {
    let erf = |x: f64| {
        // The series of erf, good below 6.
        let (mut term, mut sum) = (x, x);
        for n in 1..200 {
            term *= -x * x / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        sum * 2.0 / std::f64::consts::PI.sqrt()
    };
    for i in -6000..6000 {
        let x = i as f32 / 1500.0;
        let exact = f64::from(x);
        let cases = [
            (reference::exp(x), exact.exp()),
            (reference::activate(Activation::GeluErf, x), exact * 0.5 * (1.0 + erf(exact / 2f64.sqrt()))),
            (reference::activate(Activation::Silu, x), exact / (1.0 + (-exact).exp())),
            (reference::activate(Activation::GeluTanh, x), {
                let u = (2.0 / std::f64::consts::PI).sqrt() * (exact + 0.044715 * exact.powi(3));
                0.5 * exact * (1.0 + u.tanh())
            }),
            (reference::activate(Activation::GeluQuick, x), exact / (1.0 + (-1.702 * exact).exp())),
        ];
        for (case, (found, expected)) in cases.into_iter().enumerate() {
            let error = (f64::from(found) - expected).abs();
            assert!(
                error <= 6e-7 * expected.abs() + 3e-7 * exact.abs(),
                "case {case} at {x}: {found} not {expected}"
            );
        }
    }
    let worst = (-8700..8800)
        .map(|i| i as f32 / 100.0)
        .map(|x| (f64::from(reference::exp(x)) / f64::from(x).exp() - 1.0).abs())
        .fold(0.0, f64::max);
    assert!(worst < 2e-7, "exp is off by {worst:e}");
}

#[test]
fn rotation_at_every_number_of_pairs() {
    let mut random = Random(7);
    for pairs in 0..=40 {
        let (heads, head_dim, positions) = (3, 2 * pairs + 3, [5, 6, 2, 8]);
        let mut rotation = Rotation::new((0..pairs).map(|i| 0.9f32.powi(i as i32)).collect(), 1.25);
        rotation.extend_to(9);
        let x = random.numbers(positions.len() * heads * head_dim);
        let mut expected = x.clone();
        for (position, x) in positions.into_iter().zip(expected.chunks_exact_mut(heads * head_dim)) {
            let (cos, sin) = rotation.at(position);
            x.chunks_exact_mut(head_dim).for_each(|head| reference::rotate(head, cos, sin));
        }
        for pool in pools() {
            let mut out = x.clone();
            pool.enter(|team| ops::rotate(team, &mut out, heads, head_dim, &rotation, &positions));
            assert_same_bits(&out, &expected, &format!("{pairs} pairs at {}", pool.level()));
        }
    }
}

/// The plain attention of `rows` queries at the end of `positions`: `(z, pattern)`.
fn plain_attention(
    layer: Attention,
    kv_heads: usize,
    head_dim: usize,
    q: &[f32],
    k: &[f32],
    v: &[f32],
) -> (Vec<f32>, Vec<f32>) {
    let (width, kv_width) = (layer.n_heads * head_dim, kv_heads * head_dim);
    let (rows, positions) = (q.len() / width, k.len() / kv_width);
    let (mut z, mut pattern) = (vec![f32::NAN; q.len()], vec![f32::NAN; layer.n_heads * rows * positions]);
    for head in 0..layer.n_heads {
        let from = head / (layer.n_heads / kv_heads) * head_dim;
        let keys: Vec<&[f32]> = k.chunks_exact(kv_width).map(|k| &k[from..][..head_dim]).collect();
        let values: Vec<&[f32]> = v.chunks_exact(kv_width).map(|v| &v[from..][..head_dim]).collect();
        for row in 0..rows {
            let end = positions - rows + row + 1;
            let start = layer.window.map_or(0, |window| end.saturating_sub(window));
            let at = row * width + head * head_dim;
            let pattern = &mut pattern[(head * rows + row) * positions..][..positions];
            reference::attention_scores(&q[at..][..head_dim], &keys, start..end, layer.scale, pattern);
            reference::attention_pattern(pattern, start..end);
            reference::attention_mix(pattern, &values, start..end, &mut z[at..][..head_dim]);
        }
    }
    (z, pattern)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn attention_over_a_cache(
        seed: u64,
        kv_heads in 1usize..4,
        group in 1usize..5,
        head_dim in 1usize..40,
        before in 0usize..50,
        rows in 1usize..20,
        window in prop::option::of(1usize..40),
        format in prop::sample::select(CacheFormat::ALL.to_vec()),
    ) {
        let mut random = Random(seed);
        let layer = Attention { n_heads: kv_heads * group, scale: 0.7, window };
        let positions = before + rows;
        let q = random.numbers(positions * layer.n_heads * head_dim);
        let k = random.numbers(positions * kv_heads * head_dim);
        let v = random.numbers(positions * kv_heads * head_dim);
        let last = &q[before * layer.n_heads * head_dim..];
        let (cached_k, cached_v) = (cached(format, head_dim, &k), cached(format, head_dim, &v));
        let (expected_z, expected_pattern) =
            plain_attention(layer, kv_heads, head_dim, last, &cached_k, &cached_v);
        for pool in pools() {
            // The cache is filled in two steps, one of them partly undone.
            let mut cache = KeyValues::new(kv_heads, head_dim, format);
            let cut = before * kv_heads * head_dim;
            append(&pool, &mut cache, &k, &v);
            cache.truncate(before);
            append(&pool, &mut cache, &k[cut..], &v[cut..]);
            let (mut z, mut pattern) = (vec![f32::NAN; last.len()], vec![f32::NAN; expected_pattern.len()]);
            let mut mixed = z.clone();
            pool.enter(|team| {
                ops::attention(team, layer, last, &cache, &mut z);
                ops::attention_scores(team, layer, last, &cache, &mut pattern);
                ops::attention_pattern(team, layer, rows, &cache, &mut pattern);
                ops::attention_mix(team, layer, &pattern, &cache, &mut mixed);
            });
            assert_same_bits(&z, &expected_z, "z");
            assert_same_bits(&pattern, &expected_pattern, "pattern");
            assert_same_bits(&mixed, &expected_z, "z from the pattern");
        }
    }
}

/// Numbers as a cache keeps them: rows of `head_dim`.
fn cached(format: CacheFormat, head_dim: usize, x: &[f32]) -> Vec<f32> {
    match format {
        CacheFormat::F32 => x.to_vec(),
        CacheFormat::F16 => x.iter().map(|&x| f16_to_f32(f32_to_f16(x))).collect(),
        CacheFormat::Q8_0 => {
            let mut rounded = Vec::with_capacity(x.len());
            for block in x.chunks(head_dim).flat_map(|row| row.chunks(32)) {
                let (mut padded, mut back) = ([0.0; 32], [0.0; 32]);
                padded[..block.len()].copy_from_slice(block);
                q8_0::dequantize(&q8_0::quantize(&padded).unwrap(), &mut back);
                rounded.extend_from_slice(&back[..block.len()]);
            }
            rounded
        }
    }
}

/// Texts of one token and of several, short ones and ones long enough to be cut, few and many.
#[test]
fn attention_of_several_texts_is_each_ones_own() {
    let (kv_heads, group, head_dim) = (2, 3, 24);
    let all = [(30, 1), (1, 1), (700, 1), (17, 5), (9, 9), (600, 1)];
    for (texts, window) in [(&all[..0], None), (&all[2..3], None), (&all[2..4], Some(20)), (&all[..], None)] {
        let mut random = Random(texts.len() as u64);
        let layer = Attention { n_heads: kv_heads * group, scale: 0.6, window };
        let (mut caches, mut all_q, mut expected) = (Vec::new(), Vec::new(), Vec::new());
        for &(positions, rows) in texts {
            let q = random.numbers(rows * layer.n_heads * head_dim);
            let k = random.numbers(positions * kv_heads * head_dim);
            let v = random.numbers(positions * kv_heads * head_dim);
            let format = CacheFormat::ALL[rows % 3];
            let mut cache = KeyValues::new(kv_heads, head_dim, format);
            append(&plain_pool(), &mut cache, &k, &v);
            caches.push((cache, rows));
            let mut z = vec![f32::NAN; q.len()];
            plain_pool().enter(|team| ops::attention(team, layer, &q, &caches[caches.len() - 1].0, &mut z));
            all_q.extend(q);
            expected.extend(z);
        }
        let texts: Vec<(&KeyValues, usize)> = caches.iter().map(|(cache, rows)| (cache, *rows)).collect();
        for pool in pools() {
            let mut z = vec![f32::NAN; all_q.len()];
            pool.enter(|team| ops::attention_each(team, layer, &all_q, &texts, &mut z));
            assert_same_bits(&z, &expected, &format!("{} texts at {}", texts.len(), pool.level()));
        }
    }
}

#[test]
fn a_long_look_back_is_cut_without_a_trace() {
    let (kv_heads, group, positions) = (3, 2, 1300);
    for (head_dim, rows, window, format) in [
        (40, 1, None, CacheFormat::F32),
        (40, 1, None, CacheFormat::F16),
        (40, 3, Some(700), CacheFormat::F32),
        (16, 2, Some(90), CacheFormat::F16),
        (7, 1, Some(600), CacheFormat::F16),
        (33, 40, None, CacheFormat::F32),
        (33, 70, Some(620), CacheFormat::F16),
        (40, 1, None, CacheFormat::Q8_0),
        (70, 70, Some(620), CacheFormat::Q8_0),
    ] {
        let mut random = Random(head_dim as u64);
        let layer = Attention { n_heads: kv_heads * group, scale: 0.3, window };
        let q = random.numbers(rows * layer.n_heads * head_dim);
        let k = random.numbers(positions * kv_heads * head_dim);
        let v = random.numbers(positions * kv_heads * head_dim);
        let (cached_k, cached_v) = (cached(format, head_dim, &k), cached(format, head_dim, &v));
        let (expected, _) = plain_attention(layer, kv_heads, head_dim, &q, &cached_k, &cached_v);
        let mut cache = KeyValues::new(kv_heads, head_dim, format);
        append(&plain_pool(), &mut cache, &k, &v);
        for pool in pools() {
            let mut z = vec![f32::NAN; q.len()];
            pool.enter(|team| ops::attention(team, layer, &q, &cache, &mut z));
            let what = format!("{rows} rows of {head_dim}, {} threads at {}", pool.threads(), pool.level());
            assert_same_bits(&z, &expected, &what);
        }
    }
}

#[test]
fn a_half_precision_cache_rounds_to_even_and_saturates() {
    let layer = Attention { n_heads: 1, scale: 1.0, window: None };
    let largest = 65504.0;
    let cases = [
        (1.0 + 1.0 / 2048.0, 1.0),
        (1.0 + 3.0 / 2048.0, 1.0 + 4.0 / 2048.0),
        (-3e-8, -5.960_464_5e-8),
        (65519.9, largest),
        (65520.0, largest),
        (-1e30, -largest),
        (f32::INFINITY, largest),
        (f32::NEG_INFINITY, -largest),
    ];
    for (value, expected) in cases {
        // The only position there is: its value comes back.
        let mut cache = KeyValues::new(1, 1, CacheFormat::F16);
        append(&plain_pool(), &mut cache, &[1.0], &[value]);
        for pool in pools() {
            let mut z = [f32::NAN];
            pool.enter(|team| ops::attention(team, layer, &[1.0], &cache, &mut z));
            assert_eq!(z, [expected], "{value} at {}", pool.level());
        }
    }
    let mut cache = KeyValues::new(1, 1, CacheFormat::F16);
    append(&plain_pool(), &mut cache, &[1.0], &[f32::NAN]);
    let mut z = [0.0];
    Pool::new(1, Level::detect()).unwrap().enter(|team| ops::attention(team, layer, &[1.0], &cache, &mut z));
    assert!(z[0].is_nan(), "NaN stays");
}

#[test]
fn a_cache_of_bytes_saturates_and_keeps_nan() {
    let layer = Attention { n_heads: 1, scale: 1.0, window: None };
    let largest = 127.0 * 65504.0;
    for (values, expected) in [
        ([1.0, -127.0], [1.0, -127.0]),
        ([f32::INFINITY, -1.0], [largest, 0.0]),
        ([-1e38, 1e37], [-largest, largest]),
        ([0.0, 0.0], [0.0, 0.0]),
        ([1e-30, -1e-30], [0.0, 0.0]),
    ] {
        let mut cache = KeyValues::new(1, 2, CacheFormat::Q8_0);
        append(&plain_pool(), &mut cache, &[1.0, 1.0], &values);
        for pool in pools() {
            let mut z = [f32::NAN; 2];
            pool.enter(|team| ops::attention(team, layer, &[1.0, 1.0], &cache, &mut z));
            assert_eq!(z, expected, "{values:?} at {}", pool.level());
        }
    }
    let mut cache = KeyValues::new(1, 2, CacheFormat::Q8_0);
    append(&plain_pool(), &mut cache, &[1.0, 1.0], &[f32::NAN, 1.0]);
    let mut z = [0.0; 2];
    plain_pool().enter(|team| ops::attention(team, layer, &[1.0, 1.0], &cache, &mut z));
    assert!(z[0].is_nan(), "NaN stays");
}

#[test]
fn the_comparison_rejects_what_is_wrong() {
    let good = [-1.0, 2.0, -3.0];
    for bad in [[0.0; 3], [f32::NAN; 3], [1.0, -2.0, 3.0], [-2.0, 4.0, -6.0], [-1.0, 2.0, -3.0000002]] {
        let result = std::panic::catch_unwind(|| assert_same_bits(&bad, &good, "bad"));
        assert!(result.is_err(), "{bad:?} passed for {good:?}");
    }
}
