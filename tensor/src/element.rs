//! A number as it is stored: `f32`, or half precision as the bits of a `u16`.
//!
//! A kernel that is generic over its elements is written once and compiled for each format; all it does with them is
//! to load a vector of them, which widens them exactly.

use crate::quant::f16::{f16_to_f32, f32_to_f16};
use crate::simd::{LANES, Lanes};

/// A number format that kernels read.
pub(crate) trait Element: Copy + Default + Send + Sync + 'static {
    /// Lane `i` is the number `x[i]`.
    fn load<S: Lanes>(s: S, x: &[Self; LANES]) -> S::F;
    /// The number.
    fn widen(self) -> f32;
    /// The number of this format nearest to `x`, ties to even; the largest finite one where `x` is larger.
    fn narrow(x: f32) -> Self;
}

impl Element for f32 {
    #[inline(always)]
    fn load<S: Lanes>(s: S, x: &[f32; LANES]) -> S::F {
        s.load(x)
    }
    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }
    #[inline(always)]
    fn narrow(x: f32) -> f32 {
        x
    }
}

/// The largest finite half.
const LARGEST_HALF: f32 = 65504.0;

impl Element for u16 {
    #[inline(always)]
    fn load<S: Lanes>(s: S, x: &[u16; LANES]) -> S::F {
        s.load_f16(x)
    }
    #[inline(always)]
    fn widen(self) -> f32 {
        f16_to_f32(self)
    }
    #[inline(always)]
    fn narrow(x: f32) -> u16 {
        f32_to_f16(x.clamp(-LARGEST_HALF, LARGEST_HALF))
    }
}
