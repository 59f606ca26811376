//! NEON: sixteen lanes in four 128-bit registers.

use std::arch::aarch64::*;
use std::arch::{asm, is_aarch64_feature_detected};

use super::{Kernel, LANES, Lanes, Tile, TileSize};

/// Vector operations with NEON, and with `DOTPROD` dot products of bytes too. A value exists only where the machine has
/// them.
#[derive(Clone, Copy)]
pub(super) struct Neon<const DOTPROD: bool> {
    _proof: (),
}

impl<const DOTPROD: bool> Neon<DOTPROD> {
    /// The operations, if this machine has the instructions.
    #[inline]
    pub(super) fn new() -> Option<Neon<DOTPROD>> {
        let has =
            is_aarch64_feature_detected!("neon") && (!DOTPROD || is_aarch64_feature_detected!("dotprod"));
        has.then_some(Neon { _proof: () })
    }

    /// Runs `kernel`, compiled for these instructions.
    #[inline]
    pub(super) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        // SAFETY: `self` proves that the machine has the features the function is compiled for.
        unsafe { if DOTPROD { run_with_dotprod(self, kernel) } else { run_compiled(self, kernel) } }
    }
}

/// # Safety
/// The machine must have NEON.
#[target_feature(enable = "neon")]
unsafe fn run_compiled<K: Kernel>(s: impl Tile, kernel: K) -> K::Output {
    kernel.run(s)
}

/// # Safety
/// The machine must have NEON and dot products of bytes.
#[target_feature(enable = "neon,dotprod")]
unsafe fn run_with_dotprod<K: Kernel>(s: impl Tile, kernel: K) -> K::Output {
    kernel.run(s)
}

/// `f` of each of the four registers.
#[inline(always)]
fn each<T>(f: impl Fn(usize) -> T) -> [T; 4] {
    [f(0), f(1), f(2), f(3)]
}

// Every method below is safe because `self` proves that the machine has its instructions; the pointers
// come from references to arrays of the very size that is read or written, and need no alignment.
impl<const DOTPROD: bool> Lanes for Neon<DOTPROD> {
    type F = [float32x4_t; 4];
    type I = [uint32x4_t; 4];

    #[inline(always)]
    fn splat(self, x: f32) -> Self::F {
        // SAFETY: the machine has the instruction, proven by `self`.
        unsafe { [vdupq_n_f32(x); 4] }
    }
    #[inline(always)]
    fn load(self, x: &[f32; LANES]) -> Self::F {
        // SAFETY: the machine has the instruction, proven by `self`; the array has the size that is accessed.
        each(|i| unsafe { vld1q_f32(x.as_ptr().add(4 * i)) })
    }
    #[inline(always)]
    fn load_f16(self, x: &[u16; LANES]) -> Self::F {
        // SAFETY: the machine has the instruction, proven by `self`; the array has the size that is accessed.
        each(|i| unsafe { widen_f16(vld1_u16(x.as_ptr().add(4 * i))) })
    }
    #[inline(always)]
    fn load_bf16(self, x: &[u16; LANES]) -> Self::F {
        // SAFETY: the machine has the instruction, proven by `self`; the array has the size that is accessed.
        each(|i| unsafe { vreinterpretq_f32_u32(vshll_n_u16::<16>(vld1_u16(x.as_ptr().add(4 * i)))) })
    }
    #[inline(always)]
    fn store(self, x: Self::F, out: &mut [f32; LANES]) {
        for (x, out) in x.into_iter().zip(out.as_chunks_mut::<4>().0) {
            // SAFETY: the machine has the instruction, proven by `self`; the array has the size that is accessed.
            unsafe { vst1q_f32(out.as_mut_ptr(), x) };
        }
    }
    #[inline(always)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        // SAFETY: the machine has the instruction, proven by `self`.
        each(|i| unsafe { vaddq_f32(a[i], b[i]) })
    }
    #[inline(always)]
    fn sub(self, a: Self::F, b: Self::F) -> Self::F {
        // SAFETY: the machine has the instruction, proven by `self`.
        each(|i| unsafe { vsubq_f32(a[i], b[i]) })
    }
    #[inline(always)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        // SAFETY: the machine has the instruction, proven by `self`.
        each(|i| unsafe { vmulq_f32(a[i], b[i]) })
    }
    #[inline(always)]
    fn div(self, a: Self::F, b: Self::F) -> Self::F {
        // SAFETY: the machine has the instruction, proven by `self`.
        each(|i| unsafe { vdivq_f32(a[i], b[i]) })
    }
    #[inline(always)]
    fn mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        // SAFETY: the machine has the instruction, proven by `self`.
        each(|i| unsafe { vfmaq_f32(c[i], a[i], b[i]) })
    }
    /// Compared and chosen: the instruction for a maximum would give NaN where either is.
    #[inline(always)]
    fn max(self, a: Self::F, b: Self::F) -> Self::F {
        // SAFETY: the machine has the instructions, proven by `self`.
        each(|i| unsafe { vbslq_f32(vcgtq_f32(a[i], b[i]), a[i], b[i]) })
    }
    #[inline(always)]
    fn min(self, a: Self::F, b: Self::F) -> Self::F {
        // SAFETY: the machine has the instructions, proven by `self`.
        each(|i| unsafe { vbslq_f32(vcltq_f32(a[i], b[i]), a[i], b[i]) })
    }
    #[inline(always)]
    fn round(self, a: Self::F) -> Self::F {
        // SAFETY: the machine has the instruction, proven by `self`.
        each(|i| unsafe { vrndnq_f32(a[i]) })
    }
    #[inline(always)]
    fn exp2_whole(self, n: Self::F) -> Self::F {
        // SAFETY: the machine has the instructions, proven by `self`.
        each(|i| unsafe {
            let exponent = vaddq_s32(vcvtq_s32_f32(n[i]), vdupq_n_s32(127));
            vreinterpretq_f32_s32(vshlq_n_s32::<23>(exponent))
        })
    }
    #[inline(always)]
    fn load_words(self, x: &[u32; LANES]) -> Self::I {
        // SAFETY: the machine has the instruction, proven by `self`; the array has the size that is accessed.
        each(|i| unsafe { vld1q_u32(x.as_ptr().add(4 * i)) })
    }
    #[inline(always)]
    fn store_words(self, x: Self::I, out: &mut [u32; LANES]) {
        for (x, out) in x.into_iter().zip(out.as_chunks_mut::<4>().0) {
            // SAFETY: the machine has the instruction, proven by `self`; the array has the size that is accessed.
            unsafe { vst1q_u32(out.as_mut_ptr(), x) };
        }
    }
    #[inline(always)]
    fn load_u8(self, x: &[u8; LANES]) -> Self::I {
        // SAFETY: the machine has the instructions, proven by `self`; the array has the size that is accessed.
        unsafe {
            let x = vld1q_u8(x.as_ptr());
            let (front, back) = (vmovl_u8(vget_low_u8(x)), vmovl_high_u8(x));
            let quarters =
                [vget_low_u16(front), vget_high_u16(front), vget_low_u16(back), vget_high_u16(back)];
            each(|i| vmovl_u16(quarters[i]))
        }
    }
    #[inline(always)]
    fn load_i8(self, x: &[i8; LANES]) -> Self::I {
        // SAFETY: the machine has the instructions, proven by `self`; the array has the size that is accessed.
        unsafe {
            let x = vld1q_s8(x.as_ptr());
            let (front, back) = (vmovl_s8(vget_low_s8(x)), vmovl_high_s8(x));
            let quarters =
                [vget_low_s16(front), vget_high_s16(front), vget_low_s16(back), vget_high_s16(back)];
            each(|i| vreinterpretq_u32_s32(vmovl_s16(quarters[i])))
        }
    }
    #[inline(always)]
    fn bits(self, x: Self::I, shift: u32, mask: u32) -> Self::I {
        // SAFETY: the machine has the instructions, proven by `self`.
        each(|i| unsafe { vandq_u32(vshlq_u32(x[i], vdupq_n_s32(-(shift as i32))), vdupq_n_u32(mask)) })
    }
    #[inline(always)]
    fn shift_left(self, x: Self::I, shift: u32) -> Self::I {
        // SAFETY: the machine has the instruction, proven by `self`.
        each(|i| unsafe { vshlq_u32(x[i], vdupq_n_s32(shift as i32)) })
    }
    #[inline(always)]
    fn or(self, a: Self::I, b: Self::I) -> Self::I {
        // SAFETY: the machine has the instruction, proven by `self`.
        each(|i| unsafe { vorrq_u32(a[i], b[i]) })
    }
    #[inline(always)]
    fn to_f32(self, x: Self::I) -> Self::F {
        // SAFETY: the machine has the instruction, proven by `self`.
        each(|i| unsafe { vcvtq_f32_s32(vreinterpretq_s32_u32(x[i])) })
    }
    #[inline(always)]
    fn to_integer(self, x: Self::F) -> Self::I {
        // SAFETY: the machine has the instruction, proven by `self`.
        each(|i| unsafe { vreinterpretq_u32_s32(vcvtq_s32_f32(x[i])) })
    }
}

impl<const DOTPROD: bool> Tile for Neon<DOTPROD> {
    type Size = TileSize<6, 1>;
    const INTEGER_ROWS: usize = 4;

    #[inline(always)]
    fn out_of_line<K: Kernel>(self, kernel: K) -> K::Output {
        self.run(kernel)
    }
    #[inline(always)]
    fn inputs8(self, x: Self::I) -> [u32; 4] {
        let mut words = [0; 4];
        // SAFETY: the machine has the instructions, proven by `self`; the array has the size that is written.
        unsafe {
            let halves = low_halves(x);
            let bytes = vuzp1q_u8(vreinterpretq_u8_u16(halves[0]), vreinterpretq_u8_u16(halves[1]));
            vst1q_u32(words.as_mut_ptr(), vreinterpretq_u32_u8(bytes));
        }
        words
    }
    /// With dot products two signed bytes a number, `256 · high + low`: all the high ones first. Without, of each four
    /// inputs a word with the first and the third, and one with the second and the fourth: all the former first.
    #[inline(always)]
    fn inputs16(self, x: Self::I) -> [u32; 8] {
        let mut words = [0; 8];
        if DOTPROD {
            // SAFETY: the machine has the instructions, proven by `self`.
            let high = each(|i| unsafe { vshrq_n_u32::<8>(vaddq_u32(x[i], vdupq_n_u32(128))) });
            words[..4].copy_from_slice(&self.inputs8(high));
            words[4..].copy_from_slice(&self.inputs8(x));
        } else {
            // SAFETY: the machine has the instructions, proven by `self`; the array has the size that is written.
            unsafe {
                let halves = low_halves(x);
                let (even, odd) = (vuzp1q_u16(halves[0], halves[1]), vuzp2q_u16(halves[0], halves[1]));
                vst1q_u32(words.as_mut_ptr(), vreinterpretq_u32_u16(even));
                vst1q_u32(words.as_mut_ptr().add(4), vreinterpretq_u32_u16(odd));
            }
        }
        words
    }
    #[inline(always)]
    fn dot8<const N: usize, const MAX: u32, const R: usize>(
        self,
        weights: &[[Self::I; 4]; N],
        inputs: [&[[u32; 4]; N]; R],
    ) -> [Self::I; R] {
        let mut sums = [self.load_words(&[0; LANES]); R];
        for (sums, inputs) in sums.iter_mut().zip(inputs) {
            // SAFETY: the machine has the instructions, proven by `self`; the array has the size that is read.
            *sums = unsafe {
                if DOTPROD {
                    dot_fours::<N, MAX>(weights, |n| vld1q_s8(inputs[n].as_ptr().cast()))
                } else {
                    each(|i| vreinterpretq_u32_s32(sum_pairs::<N, MAX>(weights, i, inputs)))
                }
            };
        }
        sums
    }
    #[inline(always)]
    fn dot16<const N: usize, const R: usize>(
        self,
        weights: &[[Self::I; 4]; N],
        inputs: [&[[u32; 8]; N]; R],
    ) -> [Self::I; R] {
        let mut sums = [self.load_words(&[0; LANES]); R];
        for (sums, inputs) in sums.iter_mut().zip(inputs) {
            // SAFETY: the machine has the instructions, proven by `self`; both halves have the size that is read.
            *sums = unsafe {
                if DOTPROD {
                    let half = |n: usize, from: usize| vld1q_s8(inputs[n][from..from + 4].as_ptr().cast());
                    let high = dot_fours::<N, 255>(weights, |n| half(n, 0));
                    let low = dot_fours::<N, 255>(weights, |n| half(n, 4));
                    each(|i| vaddq_u32(low[i], vshlq_n_u32::<8>(high[i])))
                } else {
                    each(|i| vreinterpretq_u32_s32(sum_long_pairs(weights, i, inputs)))
                }
            };
        }
        sums
    }
}

/// In each lane the sum of the products of its weights with the inputs, sixteen bytes for each `n`; by dot products.
///
/// # Safety
/// The machine must have NEON and dot products of bytes.
#[inline(always)]
unsafe fn dot_fours<const N: usize, const MAX: u32>(
    weights: &[[[uint32x4_t; 4]; 4]; N],
    inputs: impl Fn(usize) -> int8x16_t,
) -> [uint32x4_t; 4] {
    // SAFETY: the machine has the instructions, by this function's contract.
    unsafe {
        let mut given_back = 0;
        if MAX > 127 {
            for n in 0..N {
                given_back += 128 * i32::from(vaddlvq_s8(inputs(n)));
            }
        }
        each(|i| {
            let mut sums = vdupq_n_s32(given_back);
            for (n, words) in weights.iter().enumerate() {
                sums = add_four::<0>(sums, signed::<MAX>(words[0][i]), inputs(n));
                sums = add_four::<1>(sums, signed::<MAX>(words[1][i]), inputs(n));
                sums = add_four::<2>(sums, signed::<MAX>(words[2][i]), inputs(n));
                sums = add_four::<3>(sums, signed::<MAX>(words[3][i]), inputs(n));
            }
            vreinterpretq_u32_s32(sums)
        })
    }
}

/// Four halves widened: the instruction is stable, but not yet its function.
///
/// # Safety
/// The machine must have NEON.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn widen_f16(halves: uint16x4_t) -> float32x4_t {
    let wide;
    // SAFETY: the machine has the instruction, which reads and writes nothing but the two registers.
    unsafe {
        asm!(
            "fcvtl {wide:v}.4s, {halves:v}.4h",
            wide = lateout(vreg) wide,
            halves = in(vreg) halves,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    wide
}

/// The low 16 bits of sixteen integers, in two registers.
///
/// # Safety
/// The machine must have NEON.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn low_halves(x: [uint32x4_t; 4]) -> [uint16x8_t; 2] {
    let [a, b, c, d] = each(|i| vreinterpretq_u16_u32(x[i]));
    [vuzp1q_u16(a, b), vuzp1q_u16(c, d)]
}

/// Unsigned bytes of at most `MAX` as signed ones: those that could be too large give away 128, and the sum of their
/// products has to get back 128 times the inputs.
///
/// # Safety
/// The machine must have NEON.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn signed<const MAX: u32>(bytes: uint32x4_t) -> int8x16_t {
    let bytes = vreinterpretq_u8_u32(bytes);
    vreinterpretq_s8_u8(if MAX > 127 { veorq_u8(bytes, vdupq_n_u8(128)) } else { bytes })
}

/// Adds to each lane the products of its four bytes with those of word `WORD` of the inputs: the instruction is stable,
/// but not yet its function.
///
/// # Safety
/// The machine must have NEON and dot products of bytes.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn add_four<const WORD: usize>(
    mut sums: int32x4_t,
    weights: int8x16_t,
    inputs: int8x16_t,
) -> int32x4_t {
    // SAFETY: the machine has the instruction, which reads and writes nothing but the three registers.
    unsafe {
        asm!(
            "sdot {sums:v}.4s, {weights:v}.16b, {inputs:v}.4b[{word}]",
            sums = inout(vreg) sums,
            weights = in(vreg) weights,
            inputs = in(vreg) inputs,
            word = const WORD,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}

/// In each lane of a register the sum of the products of its weights with the inputs, added up in 16 bits for as long
/// as they fit.
///
/// # Safety
/// The machine must have NEON.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn sum_pairs<const N: usize, const MAX: u32>(
    weights: &[[[uint32x4_t; 4]; 4]; N],
    register: usize,
    inputs: &[[u32; 4]; N],
) -> int32x4_t {
    let together = const { products_in_16_bits(MAX) };
    // Of two lanes each: four sums a lane in 16 bits, two in 32.
    let (mut short_front, mut short_back) = (vdupq_n_s16(0), vdupq_n_s16(0));
    let (mut front, mut back) = (vdupq_n_s32(0), vdupq_n_s32(0));
    for (i, (words, &inputs)) in weights.as_flattened().iter().zip(inputs.as_flattened()).enumerate() {
        // SAFETY: the machine has the instructions, by this function's contract.
        let weights = unsafe { signed::<MAX>(words[register]) };
        let inputs = vreinterpretq_s8_u32(vdupq_n_u32(inputs));
        short_front = vmlal_s8(short_front, vget_low_s8(weights), vget_low_s8(inputs));
        short_back = vmlal_high_s8(short_back, weights, inputs);
        if (i + 1) % together == 0 || i + 1 == 4 * N {
            (front, back) = (vpadalq_s16(front, short_front), vpadalq_s16(back, short_back));
            (short_front, short_back) = (vdupq_n_s16(0), vdupq_n_s16(0));
        }
    }
    let mut sums = vpaddq_s32(front, back);
    if MAX > 127 {
        for inputs in inputs {
            // SAFETY: the array has the size that is read.
            let sum = unsafe { vaddlvq_s8(vld1q_s8(inputs.as_ptr().cast())) };
            sums = vaddq_s32(sums, vdupq_n_s32(128 * i32::from(sum)));
        }
    }
    sums
}

/// How many products of a weight, made [`signed`], with an input of a byte add up in 16 bits.
const fn products_in_16_bits(max: u32) -> usize {
    let largest = if max > 127 { 128 } else { max };
    (i16::MAX as u32 / (127 * largest)) as usize
}

/// The same for inputs of 16 bits, added up in 32.
///
/// # Safety
/// The machine must have NEON.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn sum_long_pairs<const N: usize>(
    weights: &[[[uint32x4_t; 4]; 4]; N],
    register: usize,
    inputs: &[[u32; 8]; N],
) -> int32x4_t {
    // Of two lanes each, two sums a lane.
    let (mut front, mut back) = (vdupq_n_s32(0), vdupq_n_s32(0));
    for (words, inputs) in weights.iter().zip(inputs) {
        for w in 0..4 {
            let bytes = vreinterpretq_u16_u32(words[w][register]);
            let even = vreinterpretq_s16_u16(vandq_u16(bytes, vdupq_n_u16(255)));
            let odd = vreinterpretq_s16_u16(vshrq_n_u16::<8>(bytes));
            let even_inputs = vreinterpretq_s16_u32(vdupq_n_u32(inputs[w]));
            let odd_inputs = vreinterpretq_s16_u32(vdupq_n_u32(inputs[w + 4]));
            front = vmlal_s16(front, vget_low_s16(even), vget_low_s16(even_inputs));
            front = vmlal_s16(front, vget_low_s16(odd), vget_low_s16(odd_inputs));
            back = vmlal_high_s16(back, even, even_inputs);
            back = vmlal_high_s16(back, odd, odd_inputs);
        }
    }
    vpaddq_s32(front, back)
}
