//! Q5_0: 32 five-bit integers around zero and one scale, 5.5 bits an element.
//!
//! ```text
//! byte   0  1 │ 2  3  4  5 │ 6       7       …  21
//!        d    │ h          │ l16│l0  l17│l1  …  l31│l15
//!               bit i of h is the fifth bit of element i; high and low half of each byte are the other four
//!
//! element i = d · (l[i] + 16·h[i] - 16)
//! ```

use super::{reciprocal, scale_at, scale_bytes, truncate};

/// Dequantises a block: 32 five-bit integers, shifted to `-16..=15`, times its scale.
pub fn dequantize(block: &[u8; 22], out: &mut [f32; 32]) {
    let d = scale_at(block, 0);
    let h = u32::from_le_bytes([block[2], block[3], block[4], block[5]]);
    for i in 0..16 {
        let fifth = |bit: usize| ((h >> bit & 1) << 4) as i8;
        let pair = block[6 + i];
        out[i] = d * f32::from((pair & 15) as i8 + fifth(i) - 16);
        out[i + 16] = d * f32::from((pair >> 4) as i8 + fifth(i + 16) - 16);
    }
}

/// The block for `values`: the first value of largest magnitude becomes -16, so that its sign decides that of the
/// scale. `None` if the scale does not fit an f16.
pub fn quantize(values: &[f32; 32]) -> Option<[u8; 22]> {
    let mut extreme = 0.0f32;
    for &value in values {
        if value.abs() > extreme.abs() {
            extreme = value;
        }
    }
    let d = extreme / -16.0;
    let inverse = reciprocal(d);
    let q = |value: f32| truncate(value * inverse + 16.5).clamp(0, 31) as u8;
    let mut block = [0; 22];
    block[..2].copy_from_slice(&scale_bytes(d)?);
    super::put_fifths(&mut block[2..], values.map(q));
    Some(block)
}
