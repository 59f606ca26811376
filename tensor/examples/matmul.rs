//! Multiplies matrices at every SIMD level of this machine and shows speed and equality:
//! `cargo run --release -p glassbox-tensor --example matmul`

use std::time::Instant;

use glassbox_tensor::{Level, PackedMatrix, Pool, Tensor, ops};

fn main() -> Result<(), glassbox_tensor::Error> {
    let (rows, inputs, outputs) = (512, 768, 3072);
    let numbers =
        |count: usize| (0..count).map(|i| (i * 7919 % 2003) as f32 / 1000.0 - 1.0).collect::<Vec<f32>>();
    let x = numbers(rows * inputs);
    let weight = Tensor::from_f32([outputs, inputs], numbers(outputs * inputs))?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);

    println!("[{rows}, {inputs}] · [{outputs}, {inputs}]ᵀ with {threads} threads");
    let mut first: Option<Vec<f32>> = None;
    for level in Level::available() {
        let pool = Pool::new(threads, level)?;
        let mut y = vec![0.0; rows * outputs];
        let packed = pool.enter(|team| PackedMatrix::pack(team, &weight))?;
        let mut best = f64::INFINITY;
        for _ in 0..5 {
            let start = Instant::now();
            pool.enter(|team| ops::matmul(team, &x, &packed, &mut y));
            best = best.min(start.elapsed().as_secs_f64());
        }
        let rate = 2.0 * (rows * inputs * outputs) as f64 / best / 1e9;
        let same = first.get_or_insert_with(|| y.clone()) == &y;
        println!("{level:>7}: {rate:6.1} GFLOP/s, {}", if same { "the same bits" } else { "OTHER BITS" });
    }
    Ok(())
}
