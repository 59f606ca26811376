//! Q4_K: 256 four-bit integers in eight groups of 32, each with a six-bit scale and minimum, 4.5 bits an element.
//!
//! ```text
//! byte   0  1 │ 2  3 │ 4 … 15          │ 16 … 47        48 … 79        80 … 111       112 … 143
//!        d    │ dmin │ s0…s7 and m0…m7 │ group 1│0      group 3│2      group 5│4      group 7│6
//!                                        high low half of byte i holds element i of the two groups
//!
//! element i of group g = d·s[g] · q[i] - dmin·m[g],  q[i] in 0..=15,  s and m in 0..=63
//! ```
//!
//! The twelve bytes of group scales hold four groups in their low six bits; the other four groups have their low
//! half in the last four bytes and their two high bits on top of the first eight:
//!
//! ```text
//! byte 0..4    s4 top 2 bits │ s0 six bits        and s5│s1, s6│s2, s7│s3
//! byte 4..8    m4 top 2 bits │ m0 six bits        and m5│m1, m6│m2, m7│m3
//! byte 8..12   m4 low 4 bits │ s4 low 4 bits      and m5│s5, m6│s6, m7│s7
//! ```

use super::fit::{self, Affine};
use super::{scale_at, scale_bytes};

/// Dequantises a super-block: eight groups of 32 four-bit integers, each with its own scale and minimum.
pub fn dequantize(block: &[u8; 144], out: &mut [f32; 256]) {
    let (d, dmin) = (scale_at(block, 0), scale_at(block, 2));
    for pair in 0..4 {
        let quants = &block[16 + 32 * pair..][..32];
        for half in 0..2 {
            let group = 2 * pair + half;
            let (scale, min) = group_scale(&block[4..16], group);
            let (scale, min) = (d * f32::from(scale), dmin * f32::from(min));
            for (value, &q) in out[32 * group..][..32].iter_mut().zip(quants) {
                *value = scale * f32::from(q >> (4 * half) & 15) - min;
            }
        }
    }
}

/// Scale and minimum of a group of 32, each in 0..=63, from the twelve bytes that hold them.
pub fn group_scale(packed: &[u8], group: usize) -> (u8, u8) {
    if group < 4 {
        (packed[group] & 63, packed[group + 4] & 63)
    } else {
        let low = packed[group + 4];
        (low & 15 | packed[group - 4] >> 6 << 4, low >> 4 | packed[group] >> 6 << 4)
    }
}

/// The block for `values`: each group's scale and minimum have the least squared error, then all are rounded to six
/// bits of the block's. `None` if a scale of the block does not fit an f16.
pub fn quantize(values: &[f32; 256]) -> Option<[u8; 144]> {
    let groups = Groups::fit(values, 15.0)?;
    let mut block = [0; 144];
    block[..16].copy_from_slice(&groups.header);
    for pair in 0..4 {
        for i in 0..32 {
            block[16 + 32 * pair + i] = groups.q[64 * pair + i] | groups.q[64 * pair + 32 + i] << 4;
        }
    }
    Some(block)
}

/// What Q4_K and Q5_K have in common: eight groups with scales and minima of six bits.
pub(super) struct Groups {
    /// `d`, `dmin` and the packed scales, as they begin a block.
    pub(super) header: [u8; 16],
    /// The integers.
    pub(super) q: [u8; 256],
}

impl Groups {
    /// Fits the groups to the integers `0..=levels`. `None` if `d` or `dmin` does not fit an f16.
    pub(super) fn fit(values: &[f32; 256], levels: f32) -> Option<Groups> {
        let groups = values.as_chunks::<32>().0;
        let mut fits = [Affine { scale: 0.0, offset: 0.0 }; 8];
        for (fit, group) in fits.iter_mut().zip(groups) {
            *fit = fit::affine(group, levels);
        }
        let largest = |of: fn(&Affine) -> f32| fits.iter().map(of).fold(0.0f32, f32::max);
        let mut header = [0; 16];
        header[..2].copy_from_slice(&scale_bytes(largest(|fit| fit.scale) / 63.0)?);
        header[2..4].copy_from_slice(&scale_bytes(largest(|fit| -fit.offset) / 63.0)?);
        let (d, dmin) = (scale_at(&header, 0), scale_at(&header, 2));
        let mut q = [0; 256];
        for (group, (values, fit)) in groups.iter().zip(fits).enumerate() {
            let [scale] = fit::integers(&[fit.scale], d, 0.0, 0.0, 63.0);
            let [min] = fit::integers(&[-fit.offset], dmin, 0.0, 0.0, 63.0);
            set_group_scale(&mut header[4..], group, scale as u8, min as u8);
            // The integers belong to the scales that a reader will see, not to those that were fitted.
            let integers = fit::integers(values, d * scale, -(dmin * min), 0.0, levels);
            for (q, integer) in q[32 * group..][..32].iter_mut().zip(integers) {
                *q = integer as u8;
            }
        }
        Some(Groups { header, q })
    }
}

/// Writes scale and minimum of a group, each in 0..=63, where [`group_scale`] reads them.
fn set_group_scale(packed: &mut [u8], group: usize, scale: u8, min: u8) {
    if group < 4 {
        packed[group] |= scale;
        packed[group + 4] |= min;
    } else {
        packed[group + 4] = scale & 15 | min << 4;
        packed[group - 4] |= scale >> 4 << 6;
        packed[group] |= min >> 4 << 6;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_scales_are_read_back() {
        let mut packed = [0; 12];
        for group in 0..8u8 {
            set_group_scale(&mut packed, group.into(), 63 - 5 * group, 7 * group + 1);
        }
        for group in 0..8u8 {
            assert_eq!(group_scale(&packed, group.into()), (63 - 5 * group, 7 * group + 1));
        }
    }
}
