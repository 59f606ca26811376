//! AVX-512: sixteen lanes in one 512-bit register.

use std::arch::x86_64::*;

use super::avx2::pairs_apart;
use super::tile::sums_in_16_bits;
use super::{Kernel, LANES, Lanes, Tile, TileSize};

/// Vector operations with AVX-512 F, BW, DQ and VL, and with `VNNI` those too. A value exists only where the machine
/// has them.
#[derive(Clone, Copy)]
pub(super) struct Avx512<const VNNI: bool> {
    _proof: (),
}

impl<const VNNI: bool> Avx512<VNNI> {
    /// The operations, if this machine has the instructions.
    #[inline]
    pub(super) fn new() -> Option<Avx512<VNNI>> {
        let has = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && (!VNNI || is_x86_feature_detected!("avx512vnni"));
        has.then_some(Avx512 { _proof: () })
    }

    /// Runs `kernel`, compiled for these instructions.
    #[inline]
    pub(super) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        // SAFETY: `self` proves that the machine has the features the function is compiled for.
        unsafe { if VNNI { run_with_vnni(self, kernel) } else { run_compiled(self, kernel) } }
    }
}

/// # Safety
/// The machine must have AVX-512 F, BW, DQ and VL.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn run_compiled<K: Kernel>(s: impl Tile, kernel: K) -> K::Output {
    kernel.run(s)
}

/// # Safety
/// The machine must have AVX-512 F, BW, DQ, VL and VNNI.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn run_with_vnni<K: Kernel>(s: impl Tile, kernel: K) -> K::Output {
    kernel.run(s)
}

// Every method below is safe because `self` proves that the machine has its instructions; the pointers
// come from references to arrays of the very size that is read or written, and need no alignment.
impl<const VNNI: bool> Lanes for Avx512<VNNI> {
    type F = __m512;
    type I = __m512i;

    #[inline(always)]
    fn splat(self, x: f32) -> Self::F {
        // SAFETY: the machine has the instruction, proven by `self`.
        unsafe { _mm512_set1_ps(x) }
    }
    #[inline(always)]
    fn load(self, x: &[f32; LANES]) -> Self::F {
        // SAFETY: the machine has the instruction, proven by `self`; the array has the size that is accessed.
        unsafe { _mm512_loadu_ps(x.as_ptr()) }
    }
    #[inline(always)]
    fn load_f16(self, x: &[u16; LANES]) -> Self::F {
        // SAFETY: the machine has the instruction, proven by `self`; the array has the size that is accessed.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(x.as_ptr().cast())) }
    }
    #[inline(always)]
    fn load_bf16(self, x: &[u16; LANES]) -> Self::F {
        // SAFETY: the machine has the instruction, proven by `self`; the array has the size that is accessed.
        unsafe {
            let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(x.as_ptr().cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
        }
    }
    #[inline(always)]
    fn store(self, x: Self::F, out: &mut [f32; LANES]) {
        // SAFETY: the machine has the instruction, proven by `self`; the array has the size that is accessed.
        unsafe { _mm512_storeu_ps(out.as_mut_ptr(), x) }
    }
    #[inline(always)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        // SAFETY: the machine has the instruction, proven by `self`.
        unsafe { _mm512_add_ps(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: Self::F, b: Self::F) -> Self::F {
        // SAFETY: the machine has the instruction, proven by `self`.
        unsafe { _mm512_sub_ps(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        // SAFETY: the machine has the instruction, proven by `self`.
        unsafe { _mm512_mul_ps(a, b) }
    }
    #[inline(always)]
    fn div(self, a: Self::F, b: Self::F) -> Self::F {
        // SAFETY: the machine has the instruction, proven by `self`.
        unsafe { _mm512_div_ps(a, b) }
    }
    #[inline(always)]
    fn mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        // SAFETY: the machine has the instruction, proven by `self`.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn max(self, a: Self::F, b: Self::F) -> Self::F {
        // SAFETY: the machine has the instruction, proven by `self`.
        unsafe { _mm512_max_ps(a, b) }
    }
    #[inline(always)]
    fn min(self, a: Self::F, b: Self::F) -> Self::F {
        // SAFETY: the machine has the instruction, proven by `self`.
        unsafe { _mm512_min_ps(a, b) }
    }
    #[inline(always)]
    fn round(self, a: Self::F) -> Self::F {
        // SAFETY: the machine has the instruction, proven by `self`.
        unsafe { _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a) }
    }
    #[inline(always)]
    fn exp2_whole(self, n: Self::F) -> Self::F {
        // SAFETY: the machine has the instruction, proven by `self`.
        unsafe {
            let biased = _mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127));
            _mm512_castsi512_ps(_mm512_slli_epi32::<23>(biased))
        }
    }
    #[inline(always)]
    fn load_words(self, x: &[u32; LANES]) -> Self::I {
        // SAFETY: the machine has the instruction, proven by `self`; the array has the size that is accessed.
        unsafe { _mm512_loadu_si512(x.as_ptr().cast()) }
    }
    #[inline(always)]
    fn store_words(self, x: Self::I, out: &mut [u32; LANES]) {
        // SAFETY: the machine has the instruction, proven by `self`; the array has the size that is accessed.
        unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), x) }
    }
    #[inline(always)]
    fn load_u8(self, x: &[u8; LANES]) -> Self::I {
        // SAFETY: the machine has the instruction, proven by `self`; the array has the size that is accessed.
        unsafe { _mm512_cvtepu8_epi32(_mm_loadu_si128(x.as_ptr().cast())) }
    }
    #[inline(always)]
    fn load_i8(self, x: &[i8; LANES]) -> Self::I {
        // SAFETY: the machine has the instruction, proven by `self`; the array has the size that is accessed.
        unsafe { _mm512_cvtepi8_epi32(_mm_loadu_si128(x.as_ptr().cast())) }
    }
    #[inline(always)]
    fn bits(self, x: Self::I, shift: u32, mask: u32) -> Self::I {
        // SAFETY: the machine has the instruction, proven by `self`.
        unsafe {
            let shifted = _mm512_srl_epi32(x, _mm_cvtsi32_si128(shift as i32));
            _mm512_and_si512(shifted, _mm512_set1_epi32(mask as i32))
        }
    }
    #[inline(always)]
    fn shift_left(self, x: Self::I, shift: u32) -> Self::I {
        // SAFETY: the machine has the instruction, proven by `self`.
        unsafe { _mm512_sll_epi32(x, _mm_cvtsi32_si128(shift as i32)) }
    }
    #[inline(always)]
    fn or(self, a: Self::I, b: Self::I) -> Self::I {
        // SAFETY: the machine has the instruction, proven by `self`.
        unsafe { _mm512_or_si512(a, b) }
    }
    #[inline(always)]
    fn to_f32(self, x: Self::I) -> Self::F {
        // SAFETY: the machine has the instruction, proven by `self`.
        unsafe { _mm512_cvtepi32_ps(x) }
    }
    #[inline(always)]
    fn to_integer(self, x: Self::F) -> Self::I {
        // SAFETY: the machine has the instruction, proven by `self`.
        unsafe { _mm512_cvtps_epi32(x) }
    }
}

impl<const VNNI: bool> Tile for Avx512<VNNI> {
    type Size = TileSize<12, 2>;
    const INTEGER_ROWS: usize = 8;

    #[inline(always)]
    fn out_of_line<K: Kernel>(self, kernel: K) -> K::Output {
        self.run(kernel)
    }
    #[inline(always)]
    fn inputs8(self, x: Self::I) -> [u32; 4] {
        let mut words = [0; 4];
        // SAFETY: the machine has the instructions, proven by `self`; the array has the size that is written.
        unsafe { _mm_storeu_si128(words.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(x)) };
        words
    }
    /// With VNNI two bytes a number, `256 · high + low`: all the high ones first. Without, as for AVX2.
    #[inline(always)]
    fn inputs16(self, x: Self::I) -> [u32; 8] {
        if !VNNI {
            let mut words = [0u32; LANES];
            self.store_words(x, &mut words);
            return pairs_apart(&words);
        }
        // SAFETY: the machine has the instructions, proven by `self`.
        let (high, low) = unsafe {
            let high = _mm512_srai_epi32::<8>(_mm512_add_epi32(x, _mm512_set1_epi32(128)));
            (high, _mm512_sub_epi32(x, _mm512_slli_epi32::<8>(high)))
        };
        let (high, low) = (self.inputs8(high), self.inputs8(low));
        std::array::from_fn(|w| if w < 4 { high[w] } else { low[w - 4] })
    }
    #[inline(always)]
    fn dot8<const N: usize, const MAX: u32, const R: usize>(
        self,
        weights: &[[Self::I; 4]; N],
        inputs: [&[[u32; 4]; N]; R],
    ) -> [Self::I; R] {
        let together = const { sums_in_16_bits(MAX) };
        // SAFETY: the machine has the instructions, proven by `self`; those of VNNI are used only with it.
        unsafe {
            let zero = _mm512_setzero_si512();
            let (mut sums, mut short, ones) = ([zero; R], [zero; R], _mm512_set1_epi16(1));
            for (i, &weights) in weights.as_flattened().iter().enumerate() {
                for r in 0..R {
                    let input = _mm512_set1_epi32(inputs[r].as_flattened()[i] as i32);
                    if VNNI {
                        sums[r] = _mm512_dpbusd_epi32(sums[r], weights, input);
                    } else if together == 0 {
                        let even = _mm512_srai_epi16::<8>(_mm512_slli_epi16::<8>(input));
                        let odd = _mm512_srai_epi16::<8>(input);
                        sums[r] = multiply_pairs(sums[r], bytes_apart(weights), even, odd);
                    } else {
                        short[r] = _mm512_add_epi16(short[r], _mm512_maddubs_epi16(weights, input));
                        if (i + 1) % together == 0 || i + 1 == 4 * N {
                            sums[r] = _mm512_add_epi32(sums[r], _mm512_madd_epi16(short[r], ones));
                            short[r] = zero;
                        }
                    }
                }
            }
            sums
        }
    }
    #[inline(always)]
    fn dot16<const N: usize, const R: usize>(
        self,
        weights: &[[Self::I; 4]; N],
        inputs: [&[[u32; 8]; N]; R],
    ) -> [Self::I; R] {
        // SAFETY: the machine has the instructions, proven by `self`; those of VNNI are used only with it.
        unsafe {
            let mut sums = [_mm512_setzero_si512(); R];
            if !VNNI {
                for (i, &weights) in weights.as_flattened().iter().enumerate() {
                    let apart = bytes_apart(weights);
                    for r in 0..R {
                        let input = |w: usize| _mm512_set1_epi32(inputs[r].as_flattened()[2 * i + w] as i32);
                        sums[r] = multiply_pairs(sums[r], apart, input(0), input(1));
                    }
                }
                return sums;
            }
            sums = dot_bytes(sums, weights, inputs, 0);
            for sum in &mut sums {
                *sum = _mm512_slli_epi32::<8>(*sum);
            }
            sums = dot_bytes(sums, weights, inputs, 4);
            sums
        }
    }
}

/// Adds the products of the weights with four bytes of each of four words of inputs, those from `from` on.
///
/// # Safety
/// The machine must have AVX-512 F and VNNI.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn dot_bytes<const N: usize, const R: usize>(
    mut sums: [__m512i; R],
    weights: &[[__m512i; 4]; N],
    inputs: [&[[u32; 8]; N]; R],
    from: usize,
) -> [__m512i; R] {
    for n in 0..N {
        for w in 0..4 {
            for r in 0..R {
                let input = _mm512_set1_epi32(inputs[r][n][from + w] as i32);
                sums[r] = _mm512_dpbusd_epi32(sums[r], weights[n][w], input);
            }
        }
    }
    sums
}

/// The first and third byte of each word, and the second and fourth, as numbers of 16 bits.
///
/// # Safety
/// The machine must have AVX-512 F and BW.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn bytes_apart(words: __m512i) -> [__m512i; 2] {
    [_mm512_and_si512(words, _mm512_set1_epi16(255)), _mm512_srli_epi16::<8>(words)]
}

/// Adds the products of weights that [`bytes_apart`] made with two and two inputs of 16 bits.
///
/// # Safety
/// The machine must have AVX-512 F and BW.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn multiply_pairs(sums: __m512i, [evens, odds]: [__m512i; 2], even: __m512i, odd: __m512i) -> __m512i {
    let sums = _mm512_add_epi32(sums, _mm512_madd_epi16(evens, even));
    _mm512_add_epi32(sums, _mm512_madd_epi16(odds, odd))
}
