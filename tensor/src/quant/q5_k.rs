//! Q5_K: 256 five-bit integers in eight groups of 32, each with a six-bit scale and minimum, 5.5 bits an element.
//!
//! ```text
//! byte   0  1 │ 2  3 │ 4 … 15          │ 16 … 47 │ 48 … 79        80 … 111       112 … 143      144 … 175
//!        d    │ dmin │ s0…s7 and m0…m7 │ h       │ group 1│0      group 3│2      group 5│4      group 7│6
//!                      packed as in Q4_K │         high low half of byte i holds four bits of element i of two groups
//!                                        bit g of byte i of h is the fifth bit of element i of group g
//!
//! element i of group g = d·s[g] · (l[i] + 16·h[i]) - dmin·m[g]
//! ```

use super::q4_k::{Groups, group_scale};
use super::scale_at;

/// Dequantises a super-block: eight groups of 32 five-bit integers, each with its own scale and minimum.
pub fn dequantize(block: &[u8; 176], out: &mut [f32; 256]) {
    let (d, dmin) = (scale_at(block, 0), scale_at(block, 2));
    let fifth_bits = &block[16..48];
    for pair in 0..4 {
        let quants = &block[48 + 32 * pair..][..32];
        for half in 0..2 {
            let group = 2 * pair + half;
            let (scale, min) = group_scale(&block[4..16], group);
            let (scale, min) = (d * f32::from(scale), dmin * f32::from(min));
            for ((value, &low), &high) in out[32 * group..][..32].iter_mut().zip(quants).zip(fifth_bits) {
                let q = low >> (4 * half) & 15 | (high >> group & 1) << 4;
                *value = scale * f32::from(q) - min;
            }
        }
    }
}

/// The block for `values`, found as that of Q4_K. `None` if a scale of the block does not fit an f16.
pub fn quantize(values: &[f32; 256]) -> Option<[u8; 176]> {
    let groups = Groups::fit(values, 31.0)?;
    let mut block = [0; 176];
    block[..16].copy_from_slice(&groups.header);
    for (group, q) in groups.q.as_chunks::<32>().0.iter().enumerate() {
        for (i, q) in q.iter().enumerate() {
            block[16 + i] |= (q >> 4) << group;
            block[48 + 32 * (group / 2) + i] |= (q & 15) << (4 * (group % 2));
        }
    }
    Some(block)
}
