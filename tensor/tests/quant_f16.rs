//! f16 and bf16 against their definition: all 65,536 values, and every point where rounding changes its mind.

use glassbox_tensor::quant::f16::{bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16};

/// A format of 16 bits with this many exponent bits.
struct Half {
    exponent_bits: u32,
    widen: fn(u16) -> f32,
    narrow: fn(f32) -> u16,
}

const F16: Half = Half { exponent_bits: 5, widen: f16_to_f32, narrow: f32_to_f16 };
const BF16: Half = Half { exponent_bits: 8, widen: bf16_to_f32, narrow: f32_to_bf16 };

impl Half {
    /// The value by IEEE 754's formula, in f64, which holds all of them.
    fn value(&self, bits: u16) -> f64 {
        let fraction_bits = 15 - self.exponent_bits;
        let bias = (1 << (self.exponent_bits - 1)) - 1;
        let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
        let exponent = i32::from(bits & 0x7fff) >> fraction_bits;
        let fraction = f64::from(bits & ((1 << fraction_bits) - 1)) / f64::from(1 << fraction_bits);
        if exponent == (1 << self.exponent_bits) - 1 {
            return if fraction == 0.0 { sign * f64::INFINITY } else { f64::NAN };
        }
        match exponent {
            0 => sign * fraction * 2f64.powi(1 - bias),
            _ => sign * (1.0 + fraction) * 2f64.powi(exponent - bias),
        }
    }

    fn infinity(&self) -> u16 {
        ((1 << self.exponent_bits) - 1) << (15 - self.exponent_bits)
    }
}

#[test]
fn all_values_widen_exactly_and_come_back() {
    for half in [F16, BF16] {
        for bits in 0..=u16::MAX {
            let (value, wide) = (half.value(bits), (half.widen)(bits));
            if value.is_nan() {
                assert!(wide.is_nan() && wide.is_sign_negative() == (bits >> 15 == 1), "{bits:#06x}");
                let back = (half.narrow)(wide);
                assert!(
                    half.value(back).is_nan() && back >> 15 == bits >> 15,
                    "{bits:#06x} became {back:#06x}"
                );
            } else {
                assert_eq!(f64::from(wide).to_bits(), value.to_bits(), "{bits:#06x}");
                assert_eq!((half.narrow)(wide), bits);
            }
        }
    }
}

#[test]
fn narrowing_goes_to_the_nearest_and_ties_to_even() {
    for half in [F16, BF16] {
        // Past the largest finite value the next step, were there one, decides.
        let largest = half.infinity() - 1;
        for low in 0..=largest {
            let (a, b) = (half.value(low), half.value(low + 1));
            let b = if b.is_infinite() { 2.0 * a - half.value(low - 1) } else { b };
            let middle = (a + b) / 2.0;
            let wide = middle as f32;
            assert_eq!(f64::from(wide), middle, "half way is an f32");
            let even = low + (low & 1);
            for (value, expected) in [(wide.next_down(), low), (wide, even), (wide.next_up(), low + 1)] {
                assert_eq!((half.narrow)(value), expected, "{value:e}");
                assert_eq!((half.narrow)(-value), expected | 0x8000, "{:e}", -value);
            }
        }
    }
}

#[test]
fn what_is_too_large_is_infinite_and_nan_stays_nan() {
    for value in [f32::MAX, f32::INFINITY] {
        assert_eq!((f32_to_f16(value), f32_to_f16(-value)), (0x7c00, 0xfc00));
        assert_eq!((f32_to_bf16(value), f32_to_bf16(-value)), (0x7f80, 0xff80));
    }
    // A NaN whose payload is all in the bits that are dropped must not become infinite.
    let narrow_nan = f32::from_bits(0x7f80_0001);
    assert_eq!((f32_to_f16(narrow_nan), f32_to_bf16(narrow_nan)), (0x7e00, 0x7fc0));
    assert_eq!((f32_to_f16(-narrow_nan), f32_to_bf16(-narrow_nan)), (0xfe00, 0xffc0));
}
