//! Number formats in bytes: reading any of them as f32, and writing f32 as some of them.
//!
//! A quantised format cuts a row into blocks and stores each element as a small integer `q` beside scales that the
//! block shares; an element is worth `d·q`, or `d·q + m` in the formats with a minimum. One file a format describes
//! its block, unpacks and packs it. The layouts are those of ggml, and so, bit for bit, are the quantisers of the
//! formats with blocks of 32; those of the K-formats search for their scales in a way of their own, described in `fit`.
//!
//! **One rounding.** A scale has at most 11 significant bits (an f16), 19 when a K-format multiplies it with a scale of
//! its own (6 or 8 bits), and `q` has at most 5 (a power of two counts as one). So `d·q` has at most 24 significant
//! bits: it is *exact* in f32. An element is therefore rounded once at most, when the minimum is added, and
//! `fma(d, q, m)` gives the same bits as multiplying and then adding.

mod fit;

pub mod f16;
pub mod q4_0;
pub mod q4_1;
pub mod q4_k;
pub mod q5_0;
pub mod q5_1;
pub mod q5_k;
pub mod q6_k;
pub mod q8_0;

use crate::error::Error;
use crate::format::Format;

/// Reads `bytes`, which are in `format`, into `out` as f32.
///
/// # Panics
/// If `bytes` are not exactly as many as `out.len()` elements take.
pub fn dequantize(format: Format, bytes: &[u8], out: &mut [f32]) {
    assert_eq!(
        format.bytes_for(out.len()),
        Some(bytes.len()),
        "{} bytes of {format} cannot be {} elements",
        bytes.len(),
        out.len()
    );
    match format {
        Format::F32 => {
            for (value, bytes) in out.iter_mut().zip(bytes.as_chunks::<4>().0) {
                *value = f32::from_le_bytes(*bytes);
            }
        }
        Format::F16 => {
            for (value, bytes) in out.iter_mut().zip(bytes.as_chunks::<2>().0) {
                *value = f16::f16_to_f32(u16::from_le_bytes(*bytes));
            }
        }
        Format::BF16 => {
            for (value, bytes) in out.iter_mut().zip(bytes.as_chunks::<2>().0) {
                *value = f16::bf16_to_f32(u16::from_le_bytes(*bytes));
            }
        }
        Format::Q8_0 => each_block(bytes, out, q8_0::dequantize),
        Format::Q4_0 => each_block(bytes, out, q4_0::dequantize),
        Format::Q4_1 => each_block(bytes, out, q4_1::dequantize),
        Format::Q5_0 => each_block(bytes, out, q5_0::dequantize),
        Format::Q5_1 => each_block(bytes, out, q5_1::dequantize),
        Format::Q4_K => each_block(bytes, out, q4_k::dequantize),
        Format::Q5_K => each_block(bytes, out, q5_k::dequantize),
        Format::Q6_K => each_block(bytes, out, q6_k::dequantize),
    }
}

/// Writes `values` in `format`: f32, f16 or bf16 rounded to nearest even, or quantised.
///
/// # Errors
/// If the values are not whole blocks, or if a block to be quantised has a value that is not finite or too large for an
/// f16 scale.
pub fn quantize(format: Format, values: &[f32]) -> Result<Vec<u8>, Error> {
    let size =
        format.bytes_for(values.len()).ok_or(Error::PartialBlock { format, elements: values.len() })?;
    let mut bytes = Vec::with_capacity(size);
    match format {
        Format::F32 => bytes.extend(values.iter().flat_map(|value| value.to_le_bytes())),
        Format::F16 => bytes.extend(values.iter().flat_map(|&value| f16::f32_to_f16(value).to_le_bytes())),
        Format::BF16 => bytes.extend(values.iter().flat_map(|&value| f16::f32_to_bf16(value).to_le_bytes())),
        Format::Q8_0 => quantize_blocks(format, values, &mut bytes, q8_0::quantize)?,
        Format::Q4_0 => quantize_blocks(format, values, &mut bytes, q4_0::quantize)?,
        Format::Q4_1 => quantize_blocks(format, values, &mut bytes, q4_1::quantize)?,
        Format::Q5_0 => quantize_blocks(format, values, &mut bytes, q5_0::quantize)?,
        Format::Q5_1 => quantize_blocks(format, values, &mut bytes, q5_1::quantize)?,
        Format::Q4_K => quantize_blocks(format, values, &mut bytes, q4_k::quantize)?,
        Format::Q5_K => quantize_blocks(format, values, &mut bytes, q5_k::quantize)?,
        Format::Q6_K => quantize_blocks(format, values, &mut bytes, q6_k::quantize)?,
    }
    Ok(bytes)
}

fn each_block<const BYTES: usize, const LEN: usize>(
    bytes: &[u8],
    out: &mut [f32],
    dequantize: impl Fn(&[u8; BYTES], &mut [f32; LEN]),
) {
    for (block, out) in bytes.as_chunks::<BYTES>().0.iter().zip(out.as_chunks_mut::<LEN>().0) {
        dequantize(block, out);
    }
}

fn quantize_blocks<const BYTES: usize, const LEN: usize>(
    format: Format,
    values: &[f32],
    bytes: &mut Vec<u8>,
    quantize: impl Fn(&[f32; LEN]) -> Option<[u8; BYTES]>,
) -> Result<(), Error> {
    if let Some(index) = values.iter().position(|value| !value.is_finite()) {
        return Err(Error::NotFinite { index, value: values[index] });
    }
    for (block, values) in values.as_chunks::<LEN>().0.iter().enumerate() {
        bytes.extend(quantize(values).ok_or(Error::ScaleTooLarge { format, block })?);
    }
    Ok(())
}

/// The f16 at `offset` in a block.
fn scale_at(block: &[u8], offset: usize) -> f32 {
    f16::f16_to_f32(u16::from_le_bytes([block[offset], block[offset + 1]]))
}

/// A scale or minimum as the two bytes of an f16; `None` if it is too large for one.
fn scale_bytes(scale: f32) -> Option<[u8; 2]> {
    let half = f16::f32_to_f16(scale);
    f16::f16_to_f32(half).is_finite().then(|| half.to_le_bytes())
}

/// Writes 32 five-bit integers: four bytes of fifth bits, then the low halves in pairs.
fn put_fifths(out: &mut [u8], q: [u8; 32]) {
    let fifths = q.iter().enumerate().fold(0u32, |fifths, (i, q)| fifths | u32::from(q >> 4) << i);
    out[..4].copy_from_slice(&fifths.to_le_bytes());
    for i in 0..16 {
        out[4 + i] = q[i] & 15 | q[i + 16] << 4;
    }
}

/// `1/d`, or 0 when `d` is 0.
fn reciprocal(d: f32) -> f32 {
    if d == 0.0 { 0.0 } else { 1.0 / d }
}

/// The integer part of a number inside i32, and 0 for any other. Others only arise when `1/d` overflows, that is,
/// when `d` is so small that its f16 is 0 and every element is worth the same whatever its integer says.
fn truncate(value: f32) -> i32 {
    if value.abs() < 2_147_483_648.0 { value as i32 } else { 0 }
}
