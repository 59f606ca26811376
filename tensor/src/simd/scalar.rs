//! The plain level: sixteen lanes as an array, one Rust operation each. The other levels are judged by it.

use super::{Kernel, LANES, Lanes, Tile, TileSize};
use crate::quant::f16::{bf16_to_f32, f16_to_f32};

/// Vector operations in plain Rust.
#[derive(Clone, Copy)]
pub(super) struct Scalar;

/// Runs `kernel` in plain Rust.
///
/// `mul_add` is a function call on an x86-64 that promises no FMA, and one instruction on one that does.
/// The bits are the same; only the speed differs. So the same plain code is compiled twice.
#[inline]
pub(super) fn run<K: Kernel>(kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("fma") {
        // SAFETY: the FMA feature was found on the line above.
        return unsafe { run_with_fma(kernel) };
    }
    kernel.run(Scalar)
}

/// # Safety
/// The machine must have FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "fma")]
unsafe fn run_with_fma<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Scalar)
}

#[inline(always)]
fn each(mut f: impl FnMut(usize) -> f32) -> [f32; LANES] {
    let mut out = [0.0; LANES];
    for (i, out) in out.iter_mut().enumerate() {
        *out = f(i);
    }
    out
}

#[inline(always)]
fn each_word(mut f: impl FnMut(usize) -> u32) -> [u32; LANES] {
    let mut out = [0; LANES];
    for (i, out) in out.iter_mut().enumerate() {
        *out = f(i);
    }
    out
}

impl Lanes for Scalar {
    type F = [f32; LANES];
    type I = [u32; LANES];

    #[inline(always)]
    fn splat(self, x: f32) -> Self::F {
        [x; LANES]
    }
    #[inline(always)]
    fn load(self, x: &[f32; LANES]) -> Self::F {
        *x
    }
    #[inline(always)]
    fn load_f16(self, x: &[u16; LANES]) -> Self::F {
        each(|i| f16_to_f32(x[i]))
    }
    #[inline(always)]
    fn load_bf16(self, x: &[u16; LANES]) -> Self::F {
        each(|i| bf16_to_f32(x[i]))
    }
    #[inline(always)]
    fn store(self, x: Self::F, out: &mut [f32; LANES]) {
        *out = x;
    }
    #[inline(always)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        each(|i| a[i] + b[i])
    }
    #[inline(always)]
    fn sub(self, a: Self::F, b: Self::F) -> Self::F {
        each(|i| a[i] - b[i])
    }
    #[inline(always)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        each(|i| a[i] * b[i])
    }
    #[inline(always)]
    fn div(self, a: Self::F, b: Self::F) -> Self::F {
        each(|i| a[i] / b[i])
    }
    #[inline(always)]
    fn mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        each(|i| a[i].mul_add(b[i], c[i]))
    }
    #[inline(always)]
    fn max(self, a: Self::F, b: Self::F) -> Self::F {
        each(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn min(self, a: Self::F, b: Self::F) -> Self::F {
        each(|i| if a[i] < b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn round(self, a: Self::F) -> Self::F {
        each(|i| a[i].round_ties_even())
    }
    #[inline(always)]
    fn exp2_whole(self, n: Self::F) -> Self::F {
        each(|i| f32::from_bits(((n[i] as i32 + 127) as u32) << 23))
    }
    #[inline(always)]
    fn load_words(self, x: &[u32; LANES]) -> Self::I {
        *x
    }
    #[inline(always)]
    fn store_words(self, x: Self::I, out: &mut [u32; LANES]) {
        *out = x;
    }
    #[inline(always)]
    fn load_u8(self, x: &[u8; LANES]) -> Self::I {
        each_word(|i| u32::from(x[i]))
    }
    #[inline(always)]
    fn load_i8(self, x: &[i8; LANES]) -> Self::I {
        each_word(|i| i32::from(x[i]) as u32)
    }
    #[inline(always)]
    fn bits(self, x: Self::I, shift: u32, mask: u32) -> Self::I {
        each_word(|i| (x[i] >> shift) & mask)
    }
    #[inline(always)]
    fn shift_left(self, x: Self::I, shift: u32) -> Self::I {
        each_word(|i| x[i] << shift)
    }
    #[inline(always)]
    fn or(self, a: Self::I, b: Self::I) -> Self::I {
        each_word(|i| a[i] | b[i])
    }
    #[inline(always)]
    fn to_f32(self, x: Self::I) -> Self::F {
        each(|i| x[i] as i32 as f32)
    }
    #[inline(always)]
    fn to_integer(self, x: Self::F) -> Self::I {
        each_word(|i| x[i] as i32 as u32)
    }
}

impl Tile for Scalar {
    type Size = TileSize<4, 1>;
    const INTEGER_ROWS: usize = 4;

    #[inline(always)]
    fn out_of_line<K: Kernel>(self, kernel: K) -> K::Output {
        run(kernel)
    }
    #[inline(always)]
    fn inputs8(self, x: Self::I) -> [u32; 4] {
        std::array::from_fn(|w| u32::from_le_bytes(std::array::from_fn(|b| x[4 * w + b] as u8)))
    }
    #[inline(always)]
    fn inputs16(self, x: Self::I) -> [u32; 8] {
        std::array::from_fn(|w| x[2 * w] & 0xffff | x[2 * w + 1] << 16)
    }
    #[inline(always)]
    fn dot8<const N: usize, const MAX: u32, const R: usize>(
        self,
        weights: &[[Self::I; 4]; N],
        inputs: [&[[u32; 4]; N]; R],
    ) -> [Self::I; R] {
        inputs.map(|input| dot(weights, |n, w, b| i32::from(input[n][w].to_le_bytes()[b] as i8)))
    }
    #[inline(always)]
    fn dot16<const N: usize, const R: usize>(
        self,
        weights: &[[Self::I; 4]; N],
        inputs: [&[[u32; 8]; N]; R],
    ) -> [Self::I; R] {
        inputs.map(|input| {
            dot(weights, |n, w, b| i32::from((input[n][2 * w + b / 2] >> (16 * (b % 2))) as i16))
        })
    }
}

/// The sums of products of all bytes of the weights with `input(n, word, byte)`.
#[inline(always)]
fn dot<const N: usize>(
    weights: &[[[u32; LANES]; 4]; N],
    input: impl Fn(usize, usize, usize) -> i32,
) -> [u32; LANES] {
    let mut sums = [0i32; LANES];
    for (n, weights) in weights.iter().enumerate() {
        for (w, weights) in weights.iter().enumerate() {
            for b in 0..4 {
                let input = input(n, w, b);
                for (sum, weight) in sums.iter_mut().zip(weights) {
                    *sum += (weight >> (8 * b) & 255) as i32 * input;
                }
            }
        }
    }
    sums.map(|sum| sum as u32)
}
