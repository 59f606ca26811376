//! Shared by the benches: random numbers, matrices, verification and the thread pool.
#![forbid(unsafe_code)]

use glassbox_tensor::{Format, Pool, Tensor, quant};

/// `count` numbers, uniform in -1..1, the same on every run (splitmix64).
pub fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ z >> 31) >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// A random weight matrix `[outputs, inputs]`, in a format that has a quantiser.
pub fn matrix(format: Format, outputs: usize, inputs: usize) -> Tensor {
    let bytes = quant::quantize(format, &numbers(outputs * inputs, 7)).expect("a format with a quantiser");
    Tensor::from_bytes(format, [outputs, inputs], bytes).expect("as many bytes as the shape needs")
}

/// Panics unless the outputs of `x · Wᵀ` are within rounding error of the sums in `f64`.
pub fn verify(x: &[f32], weight: &Tensor, out: &[f32]) {
    let &[outputs, inputs] = weight.shape().dims() else { panic!("a matrix") };
    let weight = weight.to_f32();
    // A sample of the outputs, spread over all rows and columns.
    for i in (0..out.len()).step_by(out.len().div_ceil(1000).max(1)) {
        let (row, column) = (i / outputs, i % outputs);
        let pairs = || x[row * inputs..][..inputs].iter().zip(&weight[column * inputs..][..inputs]);
        let exact: f64 = pairs().map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        let size: f64 = pairs().map(|(a, b)| (f64::from(*a) * f64::from(*b)).abs()).sum();
        let bound = size * inputs as f64 * f64::from(f32::EPSILON);
        assert!((f64::from(out[i]) - exact).abs() <= bound, "output {i} is {}, not {exact}", out[i]);
    }
}

/// The thread pool of the benches: all cores, or `GLASSBOX_THREADS`; the best level, or `GLASSBOX_LEVEL`.
pub fn pool() -> Pool {
    let threads = std::env::var("GLASSBOX_THREADS").ok().and_then(|n| n.parse().ok());
    let threads = threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let level = std::env::var("GLASSBOX_LEVEL").map(|name| name.parse().expect("a level of this machine"));
    let pool =
        Pool::new(threads, level.unwrap_or_else(|_| glassbox_tensor::Level::detect())).expect("threads");
    eprintln!("{} threads at {}", pool.threads(), pool.level());
    pool
}
