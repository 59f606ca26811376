//! Peak arithmetic and memory throughput of this machine, to compare an operation's speed with.

use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::pool::Team;
use crate::simd::{Kernel, LANES, Lanes, Tile, TileKernel, TileSizes};
use crate::weights::Blocks;

/// Peak floating-point operations per second of the whole team: fused multiply-adds in registers, counted as two each.
pub fn peak_flops(team: &Team<'_>) -> f64 {
    const STEPS: usize = 100_000;
    let level = team.level();
    best_rate(|| {
        let done = AtomicUsize::new(0);
        team.run(team.threads(), |_| {
            done.fetch_add(level.run(MultiplyAdds { steps: black_box(STEPS) }), Ordering::Relaxed);
        });
        2 * done.into_inner()
    })
}

/// Read bandwidth of the whole team in bytes per second: sequential reads of far more memory than the caches hold.
///
/// # Panics
/// If 256 MiB cannot be allocated.
pub fn read_bandwidth(team: &Team<'_>) -> f64 {
    const BYTES: usize = 256 << 20;
    const VECTORS: usize = BYTES / size_of::<[u32; LANES]>();
    let (level, piece) = (team.level(), VECTORS.div_ceil(team.threads()));
    let data = Blocks::build(team, VECTORS, piece, |i, put| {
        (i * piece..VECTORS.min((i + 1) * piece)).for_each(|_| put([1; LANES]));
        Ok(())
    });
    let data = data.expect("a quarter of a GiB of memory");
    best_rate(|| {
        team.run(team.threads(), |i| {
            let mine = &data[(i * piece).min(data.len())..((i + 1) * piece).min(data.len())];
            black_box(level.run(Read { data: mine }));
        });
        BYTES
    })
}

/// Best observed throughput, in units of `run` per second, over at least 200 ms.
fn best_rate(mut run: impl FnMut() -> usize) -> f64 {
    let (start, mut best, mut repeats) = (Instant::now(), 0.0f64, 0);
    while repeats < 5 || start.elapsed() < Duration::from_millis(200) {
        let start = Instant::now();
        let done = run();
        best = best.max(done as f64 / start.elapsed().as_secs_f64());
        repeats += 1;
    }
    best
}

/// As many independent chains of multiply-adds as a matmul tile has rows, so that no unit waits for a result.
struct MultiplyAdds {
    steps: usize,
}

impl Kernel for MultiplyAdds {
    /// How many multiply-adds were done.
    type Output = usize;

    #[inline(always)]
    fn run<S: Tile>(self, s: S) -> usize {
        S::Size::run(s, self)
    }
}

impl TileKernel for MultiplyAdds {
    type Output = usize;

    #[inline(always)]
    fn run<S: Tile, const ROWS: usize, const PANELS: usize>(self, s: S) -> usize {
        self.chains::<S, ROWS>(s)
    }
}

impl MultiplyAdds {
    #[inline(always)]
    fn chains<S: Lanes, const CHAINS: usize>(&self, s: S) -> usize {
        let (a, b) = (s.splat(black_box(0.5)), s.splat(black_box(1.0)));
        let mut sums = [b; CHAINS];
        for _ in 0..self.steps {
            for sum in &mut sums {
                *sum = s.mul_add(a, *sum, b);
            }
        }
        let mut out = [0.0; LANES];
        for sum in sums {
            s.store(sum, black_box(&mut out));
        }
        self.steps * CHAINS * LANES
    }
}

/// Reads everything once.
struct Read<'a> {
    data: &'a [[u32; LANES]],
}

impl Kernel for Read<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Lanes>(self, s: S) -> f32 {
        let zero = s.load_words(&[0; LANES]);
        let mut bits = [zero; 8];
        for rows in self.data.chunks_exact(8) {
            for (bits, row) in bits.iter_mut().zip(rows) {
                *bits = s.or(*bits, s.load_words(row));
            }
        }
        let mut out = [0.0; LANES];
        let all = bits.into_iter().fold(zero, |a, b| s.or(a, b));
        s.store(s.to_f32(all), &mut out);
        out[0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Level, Pool};

    #[test]
    fn the_peaks_are_those_of_a_computer() {
        for level in Level::available() {
            for threads in [1, 2] {
                Pool::new(threads, level).unwrap().enter(|team| {
                    assert!((1e7..1e15).contains(&peak_flops(team)));
                    assert!((1e7..1e14).contains(&read_bandwidth(team)));
                });
            }
        }
    }
}
