//! The sixteen-lane vector that every kernel is written against.

/// Number of `f32` lanes of [`Lanes::F`], the same at every level.
pub(crate) const LANES: usize = 16;

/// Operations on vectors of sixteen lanes. A value of the implementing type is the proof that this
/// machine has the instructions, which is why the methods are safe.
///
/// Every method is one correctly rounded operation a lane, so all levels give the same bits.
pub(crate) trait Lanes: Copy {
    /// Sixteen `f32`.
    type F: Copy;
    /// Sixteen 32-bit integers.
    type I: Copy;

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

    /// Lane `i` is `x[i]`, and `filler` where `x` is shorter: a masked load.
    #[inline(always)]
    fn load_partial(self, x: &[f32], filler: f32) -> Self::F {
        match x.first_chunk() {
            Some(x) => self.load(x),
            None => {
                let mut lanes = [filler; LANES];
                lanes[..x.len()].copy_from_slice(x);
                self.load(&lanes)
            }
        }
    }
    /// Writes lane `i` to `out[i]`, for as many lanes as `out` is long: a masked store.
    #[inline(always)]
    fn store_partial(self, x: Self::F, out: &mut [f32]) {
        match out.first_chunk_mut() {
            Some(out) => self.store(x, out),
            None => {
                let mut lanes = [0.0; LANES];
                self.store(x, &mut lanes);
                let len = out.len();
                out.copy_from_slice(&lanes[..len]);
            }
        }
    }
    /// The lanes as an array.
    #[inline(always)]
    fn to_array(self, x: Self::F) -> [f32; LANES] {
        let mut out = [0.0; LANES];
        self.store(x, &mut out);
        out
    }
}

/// Adds the sixteen partial sums of a row in one fixed tree: halves onto halves, 8, 4, 2, 1 apart.
#[inline(always)]
pub(crate) fn fold_sum(mut x: [f32; LANES]) -> f32 {
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
pub(crate) fn fold_max(mut x: [f32; LANES]) -> f32 {
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
