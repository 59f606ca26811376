//! AVX2 with FMA and F16C: sixteen lanes in two 256-bit registers.

use std::arch::x86_64::*;

use super::tile::sums_in_16_bits;
use super::{Kernel, LANES, Lanes, Tile, TileSize};

/// Vector operations with AVX2, FMA and F16C. A value exists only where the machine has them.
#[derive(Clone, Copy)]
pub(super) struct Avx2 {
    _proof: (),
}

impl Avx2 {
    /// The operations, if this machine has the instructions.
    #[inline]
    pub(super) fn new() -> Option<Avx2> {
        let has = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c");
        has.then_some(Avx2 { _proof: () })
    }

    /// Runs `kernel`, compiled for these instructions.
    #[inline]
    pub(super) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        // SAFETY: `self` proves that the machine has the features the function is compiled for.
        unsafe { run_compiled(self, kernel) }
    }
}

/// # Safety
/// The machine must have AVX2, FMA and F16C.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn run_compiled<K: Kernel>(s: Avx2, kernel: K) -> K::Output {
    kernel.run(s)
}

// Every method below is safe because `self` proves that the machine has its instructions; the pointers
// come from references to arrays of the very size that is read or written, and need no alignment.
impl Lanes for Avx2 {
    type F = [__m256; 2];
    type I = [__m256i; 2];

    #[inline(always)]
    fn splat(self, x: f32) -> Self::F {
        // SAFETY: the machine has the instruction, proven by `self`.
        unsafe { [_mm256_set1_ps(x); 2] }
    }
    #[inline(always)]
    fn load(self, x: &[f32; LANES]) -> Self::F {
        // SAFETY: the machine has the instruction, proven by `self`; the array has the size that is accessed.
        unsafe { [_mm256_loadu_ps(x.as_ptr()), _mm256_loadu_ps(x.as_ptr().add(8))] }
    }
    #[inline(always)]
    fn load_f16(self, x: &[u16; LANES]) -> Self::F {
        // SAFETY: the machine has the instruction, proven by `self`; the array has the size that is accessed.
        unsafe {
            let p: *const __m128i = x.as_ptr().cast();
            [_mm256_cvtph_ps(_mm_loadu_si128(p)), _mm256_cvtph_ps(_mm_loadu_si128(p.add(1)))]
        }
    }
    #[inline(always)]
    fn load_bf16(self, x: &[u16; LANES]) -> Self::F {
        // SAFETY: the machine has the instruction, proven by `self`; the array has the size that is accessed.
        unsafe {
            let p: *const __m128i = x.as_ptr().cast();
            let wide = |half| _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(half)));
            [wide(_mm_loadu_si128(p)), wide(_mm_loadu_si128(p.add(1)))]
        }
    }
    #[inline(always)]
    fn store(self, x: Self::F, out: &mut [f32; LANES]) {
        // SAFETY: the machine has the instruction, proven by `self`; the array has the size that is accessed.
        unsafe {
            _mm256_storeu_ps(out.as_mut_ptr(), x[0]);
            _mm256_storeu_ps(out.as_mut_ptr().add(8), x[1]);
        }
    }
    #[inline(always)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        // SAFETY: the machine has the instruction, proven by `self`.
        unsafe { [_mm256_add_ps(a[0], b[0]), _mm256_add_ps(a[1], b[1])] }
    }
    #[inline(always)]
    fn sub(self, a: Self::F, b: Self::F) -> Self::F {
        // SAFETY: the machine has the instruction, proven by `self`.
        unsafe { [_mm256_sub_ps(a[0], b[0]), _mm256_sub_ps(a[1], b[1])] }
    }
    #[inline(always)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        // SAFETY: the machine has the instruction, proven by `self`.
        unsafe { [_mm256_mul_ps(a[0], b[0]), _mm256_mul_ps(a[1], b[1])] }
    }
    #[inline(always)]
    fn div(self, a: Self::F, b: Self::F) -> Self::F {
        // SAFETY: the machine has the instruction, proven by `self`.
        unsafe { [_mm256_div_ps(a[0], b[0]), _mm256_div_ps(a[1], b[1])] }
    }
    #[inline(always)]
    fn mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        // SAFETY: the machine has the instruction, proven by `self`.
        unsafe { [_mm256_fmadd_ps(a[0], b[0], c[0]), _mm256_fmadd_ps(a[1], b[1], c[1])] }
    }
    #[inline(always)]
    fn max(self, a: Self::F, b: Self::F) -> Self::F {
        // SAFETY: the machine has the instruction, proven by `self`.
        unsafe { [_mm256_max_ps(a[0], b[0]), _mm256_max_ps(a[1], b[1])] }
    }
    #[inline(always)]
    fn min(self, a: Self::F, b: Self::F) -> Self::F {
        // SAFETY: the machine has the instruction, proven by `self`.
        unsafe { [_mm256_min_ps(a[0], b[0]), _mm256_min_ps(a[1], b[1])] }
    }
    #[inline(always)]
    fn round(self, a: Self::F) -> Self::F {
        // SAFETY: the machine has the instruction, proven by `self`.
        unsafe {
            [
                _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a[0]),
                _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a[1]),
            ]
        }
    }
    #[inline(always)]
    fn exp2_whole(self, n: Self::F) -> Self::F {
        // SAFETY: the machine has the instruction, proven by `self`.
        unsafe {
            let power = |n| {
                _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_add_epi32(
                    _mm256_cvtps_epi32(n),
                    _mm256_set1_epi32(127),
                )))
            };
            [power(n[0]), power(n[1])]
        }
    }
    #[inline(always)]
    fn load_words(self, x: &[u32; LANES]) -> Self::I {
        // SAFETY: the machine has the instruction, proven by `self`; the array has the size that is accessed.
        unsafe {
            let p: *const __m256i = x.as_ptr().cast();
            [_mm256_loadu_si256(p), _mm256_loadu_si256(p.add(1))]
        }
    }
    #[inline(always)]
    fn store_words(self, x: Self::I, out: &mut [u32; LANES]) {
        // SAFETY: the machine has the instruction, proven by `self`; the array has the size that is accessed.
        unsafe {
            let p: *mut __m256i = out.as_mut_ptr().cast();
            _mm256_storeu_si256(p, x[0]);
            _mm256_storeu_si256(p.add(1), x[1]);
        }
    }
    #[inline(always)]
    fn load_u8(self, x: &[u8; LANES]) -> Self::I {
        // SAFETY: the machine has the instruction, proven by `self`; the array has the size that is accessed.
        unsafe {
            let p: *const __m128i = x.as_ptr().cast();
            let x = _mm_loadu_si128(p);
            [_mm256_cvtepu8_epi32(x), _mm256_cvtepu8_epi32(_mm_srli_si128::<8>(x))]
        }
    }
    #[inline(always)]
    fn load_i8(self, x: &[i8; LANES]) -> Self::I {
        // SAFETY: the machine has the instruction, proven by `self`; the array has the size that is accessed.
        unsafe {
            let p: *const __m128i = x.as_ptr().cast();
            let x = _mm_loadu_si128(p);
            [_mm256_cvtepi8_epi32(x), _mm256_cvtepi8_epi32(_mm_srli_si128::<8>(x))]
        }
    }
    #[inline(always)]
    fn bits(self, x: Self::I, shift: u32, mask: u32) -> Self::I {
        // SAFETY: the machine has the instruction, proven by `self`.
        unsafe {
            let (count, mask) = (_mm_cvtsi32_si128(shift as i32), _mm256_set1_epi32(mask as i32));
            [
                _mm256_and_si256(_mm256_srl_epi32(x[0], count), mask),
                _mm256_and_si256(_mm256_srl_epi32(x[1], count), mask),
            ]
        }
    }
    #[inline(always)]
    fn shift_left(self, x: Self::I, shift: u32) -> Self::I {
        // SAFETY: the machine has the instruction, proven by `self`.
        unsafe {
            let count = _mm_cvtsi32_si128(shift as i32);
            [_mm256_sll_epi32(x[0], count), _mm256_sll_epi32(x[1], count)]
        }
    }
    #[inline(always)]
    fn or(self, a: Self::I, b: Self::I) -> Self::I {
        // SAFETY: the machine has the instruction, proven by `self`.
        unsafe { [_mm256_or_si256(a[0], b[0]), _mm256_or_si256(a[1], b[1])] }
    }
    #[inline(always)]
    fn to_f32(self, x: Self::I) -> Self::F {
        // SAFETY: the machine has the instruction, proven by `self`.
        unsafe { [_mm256_cvtepi32_ps(x[0]), _mm256_cvtepi32_ps(x[1])] }
    }
    #[inline(always)]
    fn to_integer(self, x: Self::F) -> Self::I {
        // SAFETY: the machine has the instruction, proven by `self`.
        unsafe { [_mm256_cvtps_epi32(x[0]), _mm256_cvtps_epi32(x[1])] }
    }
}

impl Tile for Avx2 {
    type Size = TileSize<6, 1>;
    const INTEGER_ROWS: usize = 4;

    #[inline(always)]
    fn out_of_line<K: Kernel>(self, kernel: K) -> K::Output {
        self.run(kernel)
    }
    #[inline(always)]
    fn inputs8(self, x: Self::I) -> [u32; 4] {
        // SAFETY: the machine has the instructions, proven by `self`; the array has the size that is written.
        unsafe {
            // Packing works within halves of 128 bits: the words come out in the order 0 2 | 1 3.
            let halves = _mm256_packs_epi32(x[0], x[1]);
            let bytes = _mm256_packs_epi16(halves, halves);
            let mut words = [0; 8];
            _mm256_storeu_si256(words.as_mut_ptr().cast(), bytes);
            [words[0], words[4], words[1], words[5]]
        }
    }
    /// Of each four inputs a word with the first and the third, and one with the second and the fourth.
    #[inline(always)]
    fn inputs16(self, x: Self::I) -> [u32; 8] {
        let mut words = [0u32; LANES];
        self.store_words(x, &mut words);
        pairs_apart(&words)
    }
    #[inline(always)]
    fn dot8<const N: usize, const MAX: u32, const R: usize>(
        self,
        weights: &[[Self::I; 4]; N],
        inputs: [&[[u32; 4]; N]; R],
    ) -> [Self::I; R] {
        let together = const { sums_in_16_bits(MAX) };
        let mut sums = [[self.zero(); 2]; R];
        // SAFETY: the machine has the instructions, proven by `self`.
        unsafe {
            let ones = _mm256_set1_epi16(1);
            for half in 0..2 {
                let mut short = [self.zero(); R];
                for (i, weights) in weights.as_flattened().iter().enumerate() {
                    for r in 0..R {
                        let (sum, input) = (&mut sums[r][half], inputs[r].as_flattened()[i]);
                        let input = _mm256_set1_epi32(input as i32);
                        if together == 0 {
                            let even = _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(input));
                            let odd = _mm256_srai_epi16::<8>(input);
                            *sum = multiply_pairs(*sum, bytes_apart(weights[half]), even, odd);
                            continue;
                        }
                        short[r] = _mm256_add_epi16(short[r], _mm256_maddubs_epi16(weights[half], input));
                        if (i + 1) % together == 0 || i + 1 == 4 * N {
                            *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(short[r], ones));
                            short[r] = self.zero();
                        }
                    }
                }
            }
        }
        sums
    }
    #[inline(always)]
    fn dot16<const N: usize, const R: usize>(
        self,
        weights: &[[Self::I; 4]; N],
        inputs: [&[[u32; 8]; N]; R],
    ) -> [Self::I; R] {
        let mut sums = [[self.zero(); 2]; R];
        for half in 0..2 {
            for (i, weights) in weights.as_flattened().iter().enumerate() {
                // SAFETY: the machine has the instructions, proven by `self`.
                unsafe {
                    let apart = bytes_apart(weights[half]);
                    for r in 0..R {
                        let input = |w: usize| _mm256_set1_epi32(inputs[r].as_flattened()[2 * i + w] as i32);
                        sums[r][half] = multiply_pairs(sums[r][half], apart, input(0), input(1));
                    }
                }
            }
        }
        sums
    }
}

impl Avx2 {
    #[inline(always)]
    fn zero(self) -> __m256i {
        // SAFETY: the machine has the instruction, proven by `self`.
        unsafe { _mm256_setzero_si256() }
    }
}

/// The first and third byte of each word, and the second and fourth, as numbers of 16 bits.
///
/// # Safety
/// The machine must have AVX2.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn bytes_apart(words: __m256i) -> [__m256i; 2] {
    [_mm256_and_si256(words, _mm256_set1_epi16(255)), _mm256_srli_epi16::<8>(words)]
}

/// Adds the products of weights that [`bytes_apart`] made with two and two inputs of 16 bits.
///
/// # Safety
/// The machine must have AVX2.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn multiply_pairs(sums: __m256i, [evens, odds]: [__m256i; 2], even: __m256i, odd: __m256i) -> __m256i {
    let sums = _mm256_add_epi32(sums, _mm256_madd_epi16(evens, even));
    _mm256_add_epi32(sums, _mm256_madd_epi16(odds, odd))
}

/// Of each four integers a word with the low halves of the first and the third, and one of the others.
#[inline(always)]
pub(super) fn pairs_apart(x: &[u32; LANES]) -> [u32; 8] {
    std::array::from_fn(|w| {
        let first = w / 2 * 4 + w % 2;
        x[first] & 0xffff | x[first + 2] << 16
    })
}
