//! Q5_1: 32 five-bit integers, a scale and a minimum, 6 bits an element.
//!
//! ```text
//! byte   0  1 │ 2  3 │ 4  5  6  7 │ 8       9       …  23
//!        d    │ m    │ h          │ l16│l0  l17│l1  …  l31│l15
//!                      bit i of h is the fifth bit of element i; high and low half of each byte are the other four
//!
//! element i = d · (l[i] + 16·h[i]) + m
//! ```

use super::{reciprocal, scale_at, scale_bytes, truncate};

/// Dequantises a block: 32 five-bit integers in `0..=31` times its scale, plus its minimum.
pub fn dequantize(block: &[u8; 24], out: &mut [f32; 32]) {
    let (d, m) = (scale_at(block, 0), scale_at(block, 2));
    let h = u32::from_le_bytes([block[4], block[5], block[6], block[7]]);
    for i in 0..16 {
        let fifth = |bit: usize| ((h >> bit & 1) << 4) as u8;
        let pair = block[8 + i];
        out[i] = d * f32::from((pair & 15) + fifth(i)) + m;
        out[i + 16] = d * f32::from((pair >> 4) + fifth(i + 16)) + m;
    }
}

/// The block for `values`: the smallest becomes 0, the largest 31. `None` if scale or minimum do not fit an f16.
pub fn quantize(values: &[f32; 32]) -> Option<[u8; 24]> {
    let (mut smallest, mut largest) = (f32::MAX, f32::MIN);
    for &value in values {
        // Of zeros of either sign the first one counts, which `f32::min` would leave open.
        smallest = if value < smallest { value } else { smallest };
        largest = if value > largest { value } else { largest };
    }
    let d = (largest - smallest) / 31.0;
    let inverse = reciprocal(d);
    let q = |value: f32| truncate((value - smallest) * inverse + 0.5).clamp(0, 31) as u8;
    let mut block = [0; 24];
    block[..2].copy_from_slice(&scale_bytes(d)?);
    block[2..4].copy_from_slice(&scale_bytes(smallest)?);
    super::put_fifths(&mut block[4..], values.map(q));
    Some(block)
}
