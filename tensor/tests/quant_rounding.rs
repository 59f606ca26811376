//! What the quantised formats promise about rounding, and what the quantisers promise about errors.

use glassbox_tensor::error::Error;
use glassbox_tensor::format::Format;
use glassbox_tensor::quant;
use glassbox_tensor::quant::f16::{f16_to_f32, f32_to_f16};
use proptest::prelude::*;

/// Every format with blocks.
const QUANTIZED: [Format; 8] = [
    Format::Q8_0,
    Format::Q4_0,
    Format::Q4_1,
    Format::Q5_0,
    Format::Q5_1,
    Format::Q4_K,
    Format::Q5_K,
    Format::Q6_K,
];

fn exact(a: f32, b: f32) -> bool {
    f64::from(a * b) == f64::from(a) * f64::from(b)
}

#[test]
fn a_scale_times_a_quant_is_exact() {
    assert!(!exact(1.1, 1.1), "the check must be able to fail");
    // Every finite f16 and every quant of the formats with one scale: -128..=127 includes 0..=15, 0..=31, -16..=15.
    for half in (0..0x7c00).chain(0x8000..0xfc00) {
        let d = f16_to_f32(half);
        for q in -128..128 {
            assert!(exact(d, q as f32), "{d:e} · {q}");
        }
    }
}

#[test]
fn a_scale_times_a_group_scale_times_a_quant_is_exact() {
    // Only the bits of the fraction decide whether a product fits, as long as it is inside the range of f32.
    for fraction in 0..1024 {
        let d = f16_to_f32(0x3c00 | fraction);
        for scale in -128..128 {
            let group = d * scale as f32;
            assert!(exact(d, scale as f32));
            let quants = if (0..64).contains(&scale) { -32..32 } else { -32..17 };
            assert!(quants.into_iter().all(|q| exact(group, q as f32)), "{d:e} · {scale}");
        }
    }
    let (smallest, largest) = (f16_to_f32(1), f16_to_f32(0x7bff));
    assert!(smallest.is_normal() && largest * 128.0 * 32.0 < f32::MAX);
}

fn blocks(format: Format) -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), format.block_bytes())
}

proptest! {
    #[test]
    fn one_rounding_makes_fma_equal_to_multiply_then_add(block in blocks(Format::Q4_1), wide in blocks(Format::Q5_1)) {
        let half = |block: &[u8], at: usize| f16_to_f32(u16::from_le_bytes([block[at], block[at + 1]]));
        let mut out = [0.0f32; 32];
        quant::dequantize(Format::Q4_1, &block, &mut out);
        for i in 0..32 {
            let q = block[4 + i % 16] >> (4 * (i / 16)) & 15;
            let fused = half(&block, 0).mul_add(q.into(), half(&block, 2));
            prop_assert!(out[i].to_bits() == fused.to_bits() || (out[i].is_nan() && fused.is_nan()));
        }
        quant::dequantize(Format::Q5_1, &wide, &mut out);
        for i in 0..32 {
            let fifth = wide[4 + i / 8] >> (i % 8) & 1;
            let q = wide[8 + i % 16] >> (4 * (i / 16)) & 15 | fifth << 4;
            let fused = half(&wide, 0).mul_add(q.into(), half(&wide, 2));
            prop_assert!(out[i].to_bits() == fused.to_bits() || (out[i].is_nan() && fused.is_nan()));
        }
    }

    #[test]
    fn quantized_values_are_within_half_a_step(
        values in proptest::collection::vec(-1000.0f32..1000.0, 64),
        shrink in -20i32..0,
    ) {
        let values: Vec<f32> = values.iter().map(|value| value * (shrink as f32).exp2()).collect();
        for format in [Format::Q8_0, Format::Q4_0, Format::Q4_1, Format::Q5_0, Format::Q5_1] {
            let bytes = quant::quantize(format, &values).unwrap();
            let mut back = vec![f32::NAN; 64];
            quant::dequantize(format, &bytes, &mut back);
            for (values, back) in values.chunks(32).zip(back.chunks(32)) {
                let largest = values.iter().fold(0.0f32, |a, b| a.max(b.abs()));
                let spread = values.iter().fold(f32::MIN, |a, &b| a.max(b)) - values.iter().fold(f32::MAX, |a, &b| a.min(b));
                // A step, the most it can be off in steps, and the largest product of a scale with a quant, whose
                // rounding to f16 (relative 2^-11, absolute 2^-25) counts as well; those with a minimum round it too.
                let (step, steps, scaled) = match format {
                    Format::Q8_0 => (largest / 127.0, 0.5, largest),
                    // -8..=7 reaches the largest magnitude at one end only; at the other a whole step can be lost.
                    Format::Q4_0 => (largest / 8.0, 1.0, largest),
                    Format::Q5_0 => (largest / 16.0, 1.0, largest),
                    Format::Q5_1 => (spread / 31.0, 0.5, spread + largest),
                    _ => (spread / 15.0, 0.5, spread + largest),
                };
                let allowed = step * steps * 1.0001 + scaled / 2048.0 + 128.0 * 2f32.powi(-25);
                for (value, back) in values.iter().zip(back) {
                    prop_assert!((value - back).abs() <= allowed, "{format}: {value} became {back}, allowed {allowed}");
                }
            }
        }
    }

    #[test]
    fn quantizing_again_changes_nothing(values in proptest::collection::vec(-8.0f32..8.0, 32)) {
        let once = quant::quantize(Format::Q8_0, &values).unwrap();
        let mut back = vec![0.0; 32];
        quant::dequantize(Format::Q8_0, &once, &mut back);
        let mut again = vec![0.0; 32];
        quant::dequantize(Format::Q8_0, &quant::quantize(Format::Q8_0, &back).unwrap(), &mut again);
        let largest = back.iter().fold(0.0f32, |a, b| a.max(b.abs()));
        for (a, b) in back.iter().zip(&again) {
            prop_assert!((a - b).abs() <= largest / 1024.0, "{a} became {b}");
        }
    }
}

/// What a format makes of the values.
fn there_and_back(format: Format, values: &[f32]) -> Vec<f32> {
    let bytes = quant::quantize(format, values).unwrap();
    let mut back = vec![f32::NAN; values.len()];
    quant::dequantize(format, &bytes, &mut back);
    back
}

fn squared_error(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
}

proptest! {
    #[test]
    fn k_formats_are_off_by_their_steps_at_most(
        values in proptest::collection::vec(-1.0f32..1.0, 256),
        loud in 0usize..8,
        shift in -1.0f32..1.0,
        size in -6i32..12,
    ) {
        // Groups of different size and place, as the groups' own scales and minima are made for.
        let size = (size as f32).exp2();
        let values: Vec<f32> = values.iter().enumerate().map(|(i, x)| {
            size * if i / 32 == loud { 4.0 * x } else { x + shift }
        }).collect();
        let largest = values.iter().fold(0.0f32, |a, b| a.max(b.abs()));
        for (format, levels) in [(Format::Q4_K, 15.0), (Format::Q5_K, 31.0), (Format::Q6_K, 63.0)] {
            let back = there_and_back(format, &values);
            for (values, back) in values.chunks(32).zip(back.chunks(32)) {
                let (low, high) = values.iter().fold((0.0f32, 0.0f32), |(low, high), &x| (low.min(x), high.max(x)));
                let spread = match format { Format::Q6_K => 2.0 * high.max(-low), _ => high - low };
                // Half a step where all is reached; a whole one where the search gave up an extreme; and a group's
                // scale and minimum are rounded to 1/63 of the block's largest (1/128 in Q6_K), f16 not counted twice.
                let coarse = if format == Format::Q6_K { largest / 120.0 } else { 3.0 * largest / 60.0 };
                let allowed = 1.2 * spread / levels + coarse;
                for (value, back) in values.iter().zip(back) {
                    prop_assert!((value - back).abs() <= allowed, "{format}: {value} became {back}, allowed {allowed}");
                }
            }
        }
    }

    #[test]
    fn quantizing_again_loses_next_to_nothing(values in proptest::collection::vec(-8.0f32..8.0, 512)) {
        for format in QUANTIZED {
            let once = there_and_back(format, &values);
            let twice = there_and_back(format, &once);
            let (lost, again) = (squared_error(&values, &once), squared_error(&once, &twice));
            prop_assert!(again <= 0.25 * lost, "{format}: {lost} lost at first, {again} more then");
        }
    }

    #[test]
    fn more_bits_lose_less(values in proptest::collection::vec(-8.0f32..8.0, 512)) {
        let lost = |format| squared_error(&values, &there_and_back(format, &values));
        for (coarse, fine) in [
            (Format::Q4_0, Format::Q5_0), (Format::Q5_0, Format::Q8_0), (Format::Q4_1, Format::Q5_1),
            (Format::Q4_K, Format::Q5_K), (Format::Q5_K, Format::Q6_K), (Format::Q6_K, Format::Q8_0),
        ] {
            prop_assert!(lost(fine) < lost(coarse), "{fine} loses more than {coarse}");
        }
        prop_assert!(lost(Format::Q4_K) < lost(Format::Q4_0));
    }

    #[test]
    fn any_finite_numbers_are_quantized_or_refused(bits in proptest::collection::vec(any::<u32>(), 256)) {
        let values: Vec<f32> = bits.iter().map(|&bits| f32::from_bits(bits)).map(|x| if x.is_finite() { x } else { 0.0 }).collect();
        let small: Vec<f32> = values.iter().map(|x| x * f32::MIN_POSITIVE).collect();
        for format in QUANTIZED {
            for values in [&values, &small] {
                match quant::quantize(format, values) {
                    Ok(bytes) => {
                        let mut back = vec![f32::NAN; 256];
                        quant::dequantize(format, &bytes, &mut back);
                        prop_assert!(back.iter().all(|x| x.is_finite()));
                    }
                    Err(error) => prop_assert!(matches!(error, Error::ScaleTooLarge { .. }), "{error}"),
                }
            }
        }
    }
}

#[test]
fn blocks_of_one_number_keep_it() {
    for format in QUANTIZED {
        for value in [0.0f32, 1.0, -1.0, 100.0, -0.01] {
            let back = there_and_back(format, &[value; 256]);
            assert!(
                back.iter().all(|x| (x - value).abs() <= value.abs() / 250.0),
                "{format}: {value} became {}",
                back[0]
            );
        }
    }
}

#[test]
fn signed_zeros_are_as_in_ggml() {
    // ggml begins with an extreme of 0.0 and replaces it only by something larger, so that the scale is 0 / -8.
    for zero in [0.0, -0.0] {
        assert_eq!(quant::quantize(Format::Q4_0, &[zero; 32]).unwrap()[..2], [0x00, 0x80]);
    }
    // Of equal extremes the first one counts.
    let mut values = [0.0f32; 32];
    (values[3], values[9]) = (-8.0, 8.0);
    assert_eq!(quant::quantize(Format::Q4_0, &values).unwrap()[..2], f32_to_f16(1.0).to_le_bytes());
    (values[3], values[9]) = (8.0, -8.0);
    assert_eq!(quant::quantize(Format::Q4_0, &values).unwrap()[..2], f32_to_f16(-1.0).to_le_bytes());
    values.fill(0.0);
    values[0] = -0.0;
    assert_eq!(quant::quantize(Format::Q4_1, &values).unwrap()[..4], [0, 0, 0x00, 0x80]);
}

#[test]
fn quantizing_refuses_what_it_cannot_hold() {
    let mut values = [1.0f32; 512];
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        values[300] = bad;
        for format in QUANTIZED {
            let result = quant::quantize(format, &values);
            assert!(matches!(result, Err(Error::NotFinite { index: 300, .. })), "{result:?}");
        }
    }
    values[300] = f32::MAX;
    for format in QUANTIZED {
        let bad = 300 / format.block_len();
        let result = quant::quantize(format, &values);
        assert!(matches!(result, Err(Error::ScaleTooLarge { block, .. }) if block == bad), "{result:?}");
    }
    assert!(matches!(
        quant::quantize(Format::Q8_0, &values[1..]),
        Err(Error::PartialBlock { elements: 511, .. })
    ));
}

#[test]
#[should_panic(expected = "cannot be 33 elements")]
fn dequantizing_asserts_lengths() {
    quant::dequantize(Format::Q8_0, &[0; 34], &mut [0.0; 33]);
}
