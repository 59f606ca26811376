//! Matrix products: ours beside `gemm` and `matrixmultiply` on transformer shapes, and one row at a time compared with
//! the memory bandwidth, for each number format.
//!
//! `cargo bench -p glassbox-benches --bench matmul`; `GLASSBOX_THREADS` and `GLASSBOX_LEVEL` set threads and level.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use glassbox_benches::{matrix, numbers, pool, verify};
use glassbox_tensor::machine::{peak_flops, read_bandwidth};
use glassbox_tensor::{Format, PackedMatrix, ops};

fn many_rows(criterion: &mut Criterion) {
    let pool = pool();
    eprintln!("peak {:.1} GFLOP/s", pool.enter(peak_flops) / 1e9);
    let mut group = criterion.benchmark_group("gemm");
    group.sample_size(10);
    // There are many shapes, each of which takes much less than a second.
    group.warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_millis(800));
    let layers = [1, 8, 64, 128, 512].into_iter().flat_map(|rows| {
        let sizes = [576, 768, 3072].into_iter();
        sizes.flat_map(move |inputs| [576, 768, 1536, 3072].map(|outputs| (rows, inputs, outputs)))
    });
    for (rows, inputs, outputs) in layers.chain([(64, 768, 50257), (1024, 1024, 1024)]) {
        let name = format!("{rows}x{inputs}x{outputs}");
        let (x, weight) = (numbers(rows * inputs, 1), matrix(Format::F32, outputs, inputs));
        let mut out = vec![f32::NAN; rows * outputs];
        group.throughput(Throughput::Elements((2 * rows * inputs * outputs) as u64));

        let packed = pool.enter(|team| PackedMatrix::pack(team, &weight)).expect("a matrix");
        pool.enter(|team| ops::matmul(team, &x, &packed, &mut out));
        verify(&x, &weight, &out);
        group.bench_function(BenchmarkId::new("glassbox", &name), |b| {
            pool.enter(|team| b.iter(|| ops::matmul(team, &x, &packed, &mut out)));
        });

        for (format, label) in [(Format::Q8_0, "glassbox Q8_0"), (Format::Q4_0, "glassbox Q4_0")] {
            let weight = matrix(format, outputs, inputs);
            let packed = pool.enter(|team| PackedMatrix::pack(team, &weight)).expect("a matrix");
            pool.enter(|team| ops::matmul(team, &x, &packed, &mut out));
            verify(&x, &weight, &out);
            group.bench_function(BenchmarkId::new(label, &name), |b| {
                pool.enter(|team| b.iter(|| ops::matmul(team, &x, &packed, &mut out)));
            });
        }

        let dense = weight.to_f32();
        gemm_crate(pool.threads(), rows, inputs, outputs, &x, &dense, &mut out);
        verify(&x, &weight, &out);
        group.bench_function(BenchmarkId::new("gemm crate", &name), |b| {
            b.iter(|| gemm_crate(pool.threads(), rows, inputs, outputs, &x, &dense, &mut out));
        });

        if pool.threads() == 1 {
            matrixmultiply_crate(rows, inputs, outputs, &x, &dense, &mut out);
            verify(&x, &weight, &out);
            group.bench_function(BenchmarkId::new("matrixmultiply", &name), |b| {
                b.iter(|| matrixmultiply_crate(rows, inputs, outputs, &x, &dense, &mut out));
            });
        }
    }
}

/// `out = x · Wᵀ` by the `gemm` crate, the weight stored `[outputs, inputs]`.
#[allow(unsafe_code)]
fn gemm_crate(
    threads: usize,
    rows: usize,
    inputs: usize,
    outputs: usize,
    x: &[f32],
    weight: &[f32],
    out: &mut [f32],
) {
    assert!(x.len() == rows * inputs && weight.len() == outputs * inputs && out.len() == rows * outputs);
    let parallel = if threads == 1 { gemm::Parallelism::None } else { gemm::Parallelism::Rayon(threads) };
    // SAFETY: the assertion above checks that the three slices have the sizes given by the shape and strides.
    unsafe {
        gemm::gemm(
            rows,
            outputs,
            inputs,
            out.as_mut_ptr(),
            1,
            outputs as isize,
            false,
            x.as_ptr(),
            1,
            inputs as isize,
            weight.as_ptr(),
            inputs as isize,
            1,
            0.0,
            1.0,
            false,
            false,
            false,
            parallel,
        );
    }
}

/// `out = x · Wᵀ` by the `matrixmultiply` crate, the weight stored `[outputs, inputs]`.
#[allow(unsafe_code)]
fn matrixmultiply_crate(
    rows: usize,
    inputs: usize,
    outputs: usize,
    x: &[f32],
    weight: &[f32],
    out: &mut [f32],
) {
    assert!(x.len() == rows * inputs && weight.len() == outputs * inputs && out.len() == rows * outputs);
    // SAFETY: the assertion above checks that the three slices have the sizes given by the shape and strides.
    unsafe {
        matrixmultiply::sgemm(
            rows,
            inputs,
            outputs,
            1.0,
            x.as_ptr(),
            inputs as isize,
            1,
            weight.as_ptr(),
            1,
            inputs as isize,
            0.0,
            out.as_mut_ptr(),
            outputs as isize,
            1,
        );
    }
}

fn one_row(criterion: &mut Criterion) {
    let pool = pool();
    eprintln!("memory bandwidth {:.1} GB/s", pool.enter(read_bandwidth) / 1e9);
    let mut group = criterion.benchmark_group("gemv");
    let (inputs, outputs) = (576, 49152);
    for format in [Format::F32, Format::F16, Format::Q8_0, Format::Q4_0, Format::Q4_1] {
        let (x, weight) = (numbers(inputs, 1), matrix(format, outputs, inputs));
        let packed = pool.enter(|team| PackedMatrix::pack(team, &weight)).expect("a matrix");
        let mut out = vec![f32::NAN; outputs];
        pool.enter(|team| ops::matmul(team, &x, &packed, &mut out));
        verify(&x, &weight, &out);
        group.throughput(Throughput::Bytes(packed.size_bytes() as u64));
        group.bench_function(BenchmarkId::new("glassbox", format.name()), |b| {
            pool.enter(|team| b.iter(|| ops::matmul(team, &x, &packed, &mut out)));
        });
    }
}

criterion_group!(benches, many_rows, one_row);
criterion_main!(benches);
