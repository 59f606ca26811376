//! Q8_0: 32 signed bytes and one scale, 8.5 bits an element.
//!
//! ```text
//! byte   0  1 │ 2  3  …  33
//!        d    │ q0 q1 …  q31        element i = d · q[i],  d an f16, q[i] in -128..=127
//! ```

use super::{reciprocal, scale_at, scale_bytes, truncate};

/// Dequantises a block: 32 signed bytes times its scale.
pub fn dequantize(block: &[u8; 34], out: &mut [f32; 32]) {
    let d = scale_at(block, 0);
    for (value, &q) in out.iter_mut().zip(&block[2..]) {
        *value = d * f32::from(q as i8);
    }
}

/// The block nearest to `values`: the largest magnitude becomes ±127, and halves round away from zero.
/// `None` if the scale does not fit an f16.
pub fn quantize(values: &[f32; 32]) -> Option<[u8; 34]> {
    let largest = values.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    let d = largest / 127.0;
    let inverse = reciprocal(d);
    let mut block = [0; 34];
    block[..2].copy_from_slice(&scale_bytes(d)?);
    for (q, value) in block[2..].iter_mut().zip(values) {
        *q = truncate((value * inverse).round()) as i8 as u8;
    }
    Some(block)
}
