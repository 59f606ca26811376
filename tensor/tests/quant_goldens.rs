//! Every number format against gguf-py, bit for bit: `data/quant_goldens.bin`, made by `scripts/quant_goldens.py`, says
//! in its first line by which versions and from which seed.

use glassbox_tensor::format::Format;
use glassbox_tensor::quant;

const GOLDENS: &[u8] = include_bytes!("data/quant_goldens.bin");

struct Section {
    quantizing: bool,
    format: Format,
    bytes: Vec<u8>,
    values: Vec<f32>,
}

fn sections() -> Vec<Section> {
    let (content, checksum) = GOLDENS.split_last_chunk::<8>().unwrap();
    let fnv1a = content.iter().fold(0xcbf2_9ce4_8422_2325, |state: u64, &byte| {
        (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    assert_eq!(fnv1a, u64::from_le_bytes(*checksum), "the goldens are damaged");
    let line_end = content.iter().position(|&byte| byte == b'\n').unwrap();
    let mut rest = &content[line_end + 1..];
    let mut take = |len: usize| {
        let (taken, after) = rest.split_at(len);
        rest = after;
        (taken, after.is_empty())
    };
    let mut sections = Vec::new();
    loop {
        let quantizing = take(1).0[0] == 1;
        let mut number = || u32::from_le_bytes(take(4).0.try_into().unwrap());
        let format = Format::from_ggml_id(number()).unwrap();
        let (byte_len, value_len) = (number() as usize, number() as usize);
        let bytes = take(byte_len).0.to_vec();
        let (values, last) = take(4 * value_len);
        let values = values.as_chunks::<4>().0.iter().map(|&value| f32::from_le_bytes(value)).collect();
        sections.push(Section { quantizing, format, bytes, values });
        if last {
            return sections;
        }
    }
}

/// The same bits, or both NaN: which NaN comes out of an operation on NaN is left open by the standard.
fn same(a: f32, b: f32) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}

#[test]
fn the_comparison_rejects_what_it_should() {
    for (a, b) in [(1.0, -1.0), (0.0, -0.0), (1.0, f32::NAN), (1.0, 1.0 + f32::EPSILON), (f32::INFINITY, 1.0)]
    {
        assert!(!same(a, b) && !same(b, a) && same(a, a) && same(b, b));
    }
}

#[test]
fn dequantized_values_are_those_of_gguf_py() {
    let mut seen = Vec::new();
    for Section { format, bytes, values, .. } in sections().iter().filter(|section| !section.quantizing) {
        let mut out = vec![f32::NAN; values.len()];
        quant::dequantize(*format, bytes, &mut out);
        for (i, (&ours, &theirs)) in out.iter().zip(values).enumerate() {
            assert!(same(ours, theirs), "{format} value {i}: {ours:e}, gguf-py has {theirs:e}");
        }
        assert!(out.iter().filter(|value| value.is_finite() && **value != 0.0).count() > out.len() / 2);
        seen.push(*format);
    }
    let all: Vec<Format> = Format::ALL.into_iter().filter(|format| *format != Format::F32).collect();
    assert!(all.iter().all(|format| seen.contains(format)), "goldens only for {seen:?}");
}

#[test]
fn quantized_bytes_are_those_of_gguf_py() {
    let mut seen = 0;
    for Section { format, bytes, values, .. } in sections().iter().filter(|section| section.quantizing) {
        let ours = quant::quantize(*format, values).unwrap();
        let block = format.block_bytes();
        for (i, (ours, theirs)) in ours.chunks(block).zip(bytes.chunks(block)).enumerate() {
            assert_eq!(ours, theirs, "{format} block {i}");
        }
        assert_eq!(ours.len(), bytes.len());
        seen += 1;
    }
    assert_eq!(seen, 7);
}
