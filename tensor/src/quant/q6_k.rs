//! Q6_K: 256 six-bit integers around zero in sixteen groups of 16, each with a signed eight-bit scale, 6.5625 bits an
//! element.
//!
//! ```text
//! byte   0 … 127 │ 128 … 191 │ 192 … 207 │ 208 209
//!        l       │ h         │ s0 … s15  │ d
//!
//! each half of 128 elements has 64 bytes of l and 32 of h; byte i of h has the upper two bits of four elements:
//!
//! element       i        i + 32    i + 64    i + 96            (i in 0..32)
//! lower four    l[i] low l[i+32] low l[i] high l[i+32] high
//! upper two     h[i] bits 0,1   2,3       4,5       6,7
//!
//! element i = d·s[i / 16] · (lower + 16·upper - 32)
//! ```

use super::{fit, scale_at, scale_bytes};

/// Dequantises a super-block: sixteen groups of 16 six-bit integers, shifted to `-32..=31`, each with its own scale.
pub fn dequantize(block: &[u8; 210], out: &mut [f32; 256]) {
    let d = scale_at(block, 208);
    let scales = &block[192..208];
    for half in 0..2 {
        let lower = &block[64 * half..][..64];
        let upper = &block[128 + 32 * half..][..32];
        for quarter in 0..4 {
            let lower = &lower[32 * (quarter % 2)..][..32];
            let start = 128 * half + 32 * quarter;
            for i in 0..32 {
                let q = lower[i] >> (4 * (quarter / 2)) & 15 | (upper[i] >> (2 * quarter) & 3) << 4;
                let scale = d * f32::from(scales[(start + i) / 16] as i8);
                out[start + i] = scale * f32::from(q as i8 - 32);
            }
        }
    }
}

/// The block for `values`: each group's scale has the least squared error, then all are rounded to eight bits of the
/// block's. `None` if the block's scale does not fit an f16.
pub fn quantize(values: &[f32; 256]) -> Option<[u8; 210]> {
    let groups = values.as_chunks::<16>().0;
    let mut scales = [0.0f32; 16];
    let mut extreme = 0.0f32;
    for (scale, group) in scales.iter_mut().zip(groups) {
        *scale = fit::symmetric(group);
        if scale.abs() > extreme.abs() {
            extreme = *scale;
        }
    }
    let mut block = [0; 210];
    // -128 is the group scale of largest magnitude.
    block[208..].copy_from_slice(&scale_bytes(extreme / -128.0)?);
    let d = scale_at(&block, 208);
    let scales = fit::integers(&scales, d, 0.0, -128.0, 127.0);
    for (group, (values, scale)) in groups.iter().zip(scales).enumerate() {
        block[192 + group] = scale as i8 as u8;
        let q = fit::integers(values, d * scale, 0.0, -32.0, 31.0);
        for (i, q) in q.iter().enumerate() {
            let q = (q + 32.0) as u8;
            let (half, quarter, i) = (group / 8, group % 8 / 2, 16 * (group % 2) + i);
            block[64 * half + 32 * (quarter % 2) + i] |= (q & 15) << (4 * (quarter / 2));
            block[128 + 32 * half + i] |= q >> 4 << (2 * quarter);
        }
    }
    Some(block)
}
