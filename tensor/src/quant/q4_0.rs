//! Q4_0: 32 four-bit integers around zero and one scale, 4.5 bits an element.
//!
//! ```text
//! byte   0  1 │ 2       3       …  17
//!        d    │ q16│q0  q17│q1  …  q31│q15        element i = d · (q[i] - 8),  q[i] in 0..=15
//!               high low half of each byte
//! ```

use super::{reciprocal, scale_at, scale_bytes, truncate};

/// Dequantises a block: 32 four-bit integers, shifted to `-8..=7`, times its scale.
pub fn dequantize(block: &[u8; 18], out: &mut [f32; 32]) {
    let d = scale_at(block, 0);
    let (low, high) = out.split_at_mut(16);
    for ((low, high), &pair) in low.iter_mut().zip(high).zip(&block[2..]) {
        *low = d * f32::from((pair & 15) as i8 - 8);
        *high = d * f32::from((pair >> 4) as i8 - 8);
    }
}

/// The block for `values`: the first value of largest magnitude becomes -8, so that its sign decides that of the
/// scale. `None` if the scale does not fit an f16.
pub fn quantize(values: &[f32; 32]) -> Option<[u8; 18]> {
    let mut extreme = 0.0f32;
    for &value in values {
        if value.abs() > extreme.abs() {
            extreme = value;
        }
    }
    let d = extreme / -8.0;
    let inverse = reciprocal(d);
    let q = |value: f32| truncate(value * inverse + 8.5).clamp(0, 15) as u8;
    let mut block = [0; 18];
    block[..2].copy_from_slice(&scale_bytes(d)?);
    for i in 0..16 {
        block[2 + i] = q(values[i]) | q(values[16 + i]) << 4;
    }
    Some(block)
}
