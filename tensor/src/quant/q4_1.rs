//! Q4_1: 32 four-bit integers, a scale and a minimum, 5 bits an element.
//!
//! ```text
//! byte   0  1 │ 2  3 │ 4       5       …  19
//!        d    │ m    │ q16│q0  q17│q1  …  q31│q15        element i = d · q[i] + m,  q[i] in 0..=15
//!                      high low half of each byte
//! ```

use super::{reciprocal, scale_at, scale_bytes, truncate};

/// Dequantises a block: 32 four-bit integers in `0..=15` times its scale, plus its minimum.
pub fn dequantize(block: &[u8; 20], out: &mut [f32; 32]) {
    let (d, m) = (scale_at(block, 0), scale_at(block, 2));
    let (low, high) = out.split_at_mut(16);
    for ((low, high), &pair) in low.iter_mut().zip(high).zip(&block[4..]) {
        *low = d * f32::from(pair & 15) + m;
        *high = d * f32::from(pair >> 4) + m;
    }
}

/// The block for `values`: the smallest becomes 0, the largest 15. `None` if scale or minimum do not fit an f16.
pub fn quantize(values: &[f32; 32]) -> Option<[u8; 20]> {
    let (mut smallest, mut largest) = (f32::MAX, f32::MIN);
    for &value in values {
        // Of zeros of either sign the first one counts, which `f32::min` would leave open.
        smallest = if value < smallest { value } else { smallest };
        largest = if value > largest { value } else { largest };
    }
    let d = (largest - smallest) / 15.0;
    let inverse = reciprocal(d);
    let q = |value: f32| truncate((value - smallest) * inverse + 0.5).clamp(0, 15) as u8;
    let mut block = [0; 20];
    block[..2].copy_from_slice(&scale_bytes(d)?);
    block[2..4].copy_from_slice(&scale_bytes(smallest)?);
    for i in 0..16 {
        block[4 + i] = q(values[i]) | q(values[16 + i]) << 4;
    }
    Some(block)
}
