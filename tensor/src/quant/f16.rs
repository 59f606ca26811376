//! The two 16-bit floating-point formats, converted to and from f32 with integer arithmetic.
//!
//! ```text
//!         sign exponent fraction
//! f32       1     8       23
//! f16       1     5       10      range ±65504, smallest normal 2^-14, smallest subnormal 2^-24
//! bf16      1     8        7      the upper half of an f32
//! ```
//!
//! Every f16 and bf16 is an f32, so widening is exact. Narrowing rounds to nearest, ties to even; what is too large
//! becomes infinite. A NaN stays a NaN, made quiet, with its sign and as much of its payload as fits: the bits that the
//! conversion instructions of x86 give.

/// The value of an f16.
#[inline]
pub const fn f16_to_f32(half: u16) -> f32 {
    let sign = (half as u32 & 0x8000) << 16;
    let magnitude = (half & 0x7fff) as u32;
    let bits = if magnitude >= 0x7c00 {
        // Infinity or NaN.
        let quiet = if magnitude > 0x7c00 { 0x0040_0000 } else { 0 };
        0x7f80_0000 | ((magnitude & 0x3ff) << 13) | quiet
    } else if magnitude >= 0x0400 {
        // The exponent's bias is 15 in f16 and 127 in f32.
        (magnitude << 13) + ((127 - 15) << 23)
    } else {
        // Zero or subnormal: the fraction counts steps of 2^-24.
        (magnitude as f32 * f32::from_bits((127 - 24) << 23)).to_bits()
    };
    f32::from_bits(sign | bits)
}

/// The f16 nearest to `value`.
#[inline]
pub const fn f32_to_f16(value: f32) -> u16 {
    let sign = (value.to_bits() >> 16) as u16 & 0x8000;
    let magnitude = value.to_bits() & 0x7fff_ffff;
    let half = if magnitude > 0x7f80_0000 {
        0x7e00 | (magnitude >> 13) as u16 & 0x03ff
    } else if magnitude >= 0x477f_f000 {
        // From 65520, half way between the largest f16 and the next power of two, it is infinite.
        0x7c00
    } else if magnitude >= 0x3880_0000 {
        // 13 bits are dropped; adding just under half of their range, or half when the last bit kept is odd, rounds
        // to even, and a carry into the exponent is right as it is.
        let odd = (magnitude >> 13) & 1;
        ((magnitude - ((127 - 15) << 23) + 0x0fff + odd) >> 13) as u16
    } else {
        // Subnormal: in the binade of 0.5 an f32 counts in steps of 2^-24, so that the addition rounds.
        ((f32::from_bits(magnitude) + 0.5).to_bits() - 0.5f32.to_bits()) as u16
    };
    sign | half
}

/// The value of a bf16.
#[inline]
pub const fn bf16_to_f32(half: u16) -> f32 {
    f32::from_bits((half as u32) << 16)
}

/// The bf16 nearest to `value`.
#[inline]
pub const fn f32_to_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    if bits & 0x7fff_ffff > 0x7f80_0000 {
        return (bits >> 16) as u16 | 0x0040;
    }
    // The sum cannot overflow: the largest value that is not a NaN is an infinity, 0xff80_0000.
    ((bits + 0x7fff + ((bits >> 16) & 1)) >> 16) as u16
}
