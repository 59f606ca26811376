//! The sixteen-lane vector that every kernel is written against.

use super::Kernel;

/// Number of `f32` lanes of [`Lanes::F`], the same at every level.
pub const LANES: usize = 16;

/// Operations on vectors of sixteen lanes. A value of the implementing type is the proof that this
/// machine has the instructions, which is why the methods are safe.
///
/// Every method is one correctly rounded operation a lane, so all levels give the same bits.
pub trait Lanes: Copy {
    /// Sixteen `f32`.
    type F: Copy;
    /// Sixteen 32-bit integers.
    type I: Copy;
    /// How many rows of sixteen outputs a matmul tile keeps in registers.
    const TILE_ROWS: usize;

    /// Runs `kernel` as a function of its own rather than inlined into the caller: for work that many
    /// kernels share, so that it is compiled once.
    fn apart<K: Kernel>(self, kernel: K) -> K::Output;

    /// `x` in every lane.
    fn splat(self, x: f32) -> Self::F;
    /// Lane `i` is `x[i]`.
    fn load(self, x: &[f32; LANES]) -> Self::F;
    /// Lane `i` is the half-precision number with the bits `x[i]`.
    fn load_f16(self, x: &[u16; LANES]) -> Self::F;
    /// Lane `i` is the bfloat16 number with the bits `x[i]`.
    fn load_bf16(self, x: &[u16; LANES]) -> Self::F;
    /// Writes lane `i` to `out[i]`.
    fn store(self, x: Self::F, out: &mut [f32; LANES]);
    /// `a + b`
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a - b`
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a · b`
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a / b`
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a · b + c`, rounded once.
    fn mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// `a` where `a > b`, else `b` (so `b` where either is NaN).
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a` where `a < b`, else `b` (so `b` where either is NaN).
    fn min(self, a: Self::F, b: Self::F) -> Self::F;
    /// The nearest whole number, ties to even.
    fn round(self, a: Self::F) -> Self::F;
    /// `2ⁿ` for whole `n` in `-126..=127`.
    fn exp2_whole(self, n: Self::F) -> Self::F;

    /// Lane `i` is the word `x[i]`.
    fn load_words(self, x: &[u32; LANES]) -> Self::I;
    /// Writes lane `i` to `out[i]`.
    fn store_words(self, x: Self::I, out: &mut [u32; LANES]);
    /// Lane `i` is the unsigned byte `x[i]`.
    fn load_u8(self, x: &[u8; LANES]) -> Self::I;
    /// Lane `i` is the signed byte `x[i]`.
    fn load_i8(self, x: &[i8; LANES]) -> Self::I;
    /// `(x >> shift) & mask`, zeros shifted in; `shift < 32`.
    fn bits(self, x: Self::I, shift: u32, mask: u32) -> Self::I;
    /// `x << shift`; `shift < 32`.
    fn shift_left(self, x: Self::I, shift: u32) -> Self::I;
    /// `a | b`
    fn or(self, a: Self::I, b: Self::I) -> Self::I;
    /// Each signed integer as `f32`, rounded to nearest, ties to even (exact below 2²⁴ in magnitude).
    fn to_f32(self, x: Self::I) -> Self::F;
    /// Each whole number below 2²⁴ in magnitude as a signed integer.
    fn to_integer(self, x: Self::F) -> Self::I;

    /// Sixteen integers in `-127..=127` as [`Lanes::dot8`] wants them.
    fn inputs8(self, x: Self::I) -> [u32; 4];
    /// Sixteen integers in `-32512..=32512` as [`Lanes::dot16`] wants them.
    fn inputs16(self, x: Self::I) -> [u32; 8];
    /// For each of `R` rows of inputs, in each lane the sum of the products of `16 · N` weights with them.
    ///
    /// Byte `b` (the lowest is 0) of word `weights[n][w]` is the lane's weight of input `16n + 4w + b`, unsigned and at
    /// most `MAX`; the inputs are those that [`Lanes::inputs8`] made and the same for all lanes.
    fn dot8<const N: usize, const MAX: u32, const R: usize>(
        self,
        weights: &[[Self::I; 4]; N],
        inputs: [&[[u32; 4]; N]; R],
    ) -> [Self::I; R];
    /// As [`Lanes::dot8`], with the inputs that [`Lanes::inputs16`] made.
    fn dot16<const N: usize, const R: usize>(
        self,
        weights: &[[Self::I; 4]; N],
        inputs: [&[[u32; 8]; N]; R],
    ) -> [Self::I; R];
}

/// Adds the sixteen partial sums of a row in one fixed tree: halves onto halves, 8, 4, 2, 1 apart.
#[inline(always)]
pub fn fold_sum(mut x: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            x[i] += x[i + width];
        }
        width /= 2;
    }
    x[0]
}

/// The largest of the sixteen partial maxima; NaN if any of them is NaN.
#[inline(always)]
pub fn fold_max(mut x: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            let other = x[i + width];
            x[i] = if other > x[i] || other.is_nan() { other } else { x[i] };
        }
        width /= 2;
    }
    x[0]
}

/// How many products of two neighbouring bytes, weights of at most `max` with signed inputs, add up in 16 bits.
#[cfg(target_arch = "x86_64")]
pub(super) const fn sums_in_16_bits(max: u32) -> usize {
    (i16::MAX as u32 / (2 * 127 * max)) as usize
}
