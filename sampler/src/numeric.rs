//! Exponential and logarithm from additions, multiplications and divisions in a fixed order.
//!
//! The standard library delegates `exp` and `ln` to the platform, and platforms differ in the last bit. One such bit
//! can move a draw to the neighbouring token. IEEE 754 fixes the result of `+ − × ÷`, and Rust never fuses or reorders
//! them, so the functions here return the same bits on every machine.

/// The smallest argument of [`exp`] that does not give zero; e^−708 ≈ 3.3·10⁻³⁰⁸ is just above the subnormal numbers.
pub const EXP_SMALLEST: f64 = -708.0;
const EXP_LARGEST: f64 = 709.0;

/// ln 2 in two parts. The low 32 bits of the first are zero, so its product with a small integer is exact.
const LN_2_HIGH: f64 = 6.931_471_803_691_238e-1;
const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;

/// e^x within two units in the last place, with the same bits on every platform.
///
/// Below [`EXP_SMALLEST`] it is 0, above 709 it is +∞, and NaN stays NaN.
///
/// Method: x = k·ln 2 + r with |r| ≤ ½·ln 2, e^r by its Taylor series to r¹³/13! (the remainder is below 5·10⁻¹⁸), and
/// 2^k by writing the exponent bits.
///
/// ```
/// assert_eq!(glassbox_sampler::numeric::exp(0.0), 1.0);
/// ```
#[inline]
pub fn exp(x: f64) -> f64 {
    // Adding 1.5·2^52 rounds to the nearest integer, which is then in the low bits of the sum.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    let rounded = x * std::f64::consts::LOG2_E + ROUND;
    let k = rounded - ROUND;
    let r = (x - k * LN_2_HIGH) - k * LN_2_LOW;
    let mut series = EXP_TAYLOR[0];
    for coefficient in &EXP_TAYLOR[1..] {
        series = series * r + coefficient;
    }
    // Within the limits, k is −1021 to 1023, so the exponent k + 1023 is in 2..=2046; the shift drops all higher bits
    // of the sum. Selecting the result last, without a branch, lets loops over `exp` be vectorised.
    let power_of_two = f64::from_bits((rounded.to_bits() << 52).wrapping_add(1023 << 52));
    let result = series * power_of_two;
    let result = if x < EXP_SMALLEST { 0.0 } else { result };
    if x > EXP_LARGEST { f64::INFINITY } else { result }
}

/// 1/13!, 1/12!, …, 1/1!, 1/0!.
const EXP_TAYLOR: [f64; 14] = {
    let mut coefficients = [1.0; 14];
    let mut factorial = 1.0;
    let mut n = 1;
    while n < 14 {
        factorial *= n as f64;
        coefficients[13 - n] = 1.0 / factorial;
        n += 1;
    }
    coefficients
};

/// The natural logarithm within a few units in the last place, with the same bits on every platform.
///
/// ln 0 is −∞; the logarithm of a negative number or NaN is NaN.
///
/// Method: x = m·2^e with m in [√½, √2), s = (m − 1)/(m + 1), ln m = 2·(s + s³/3 + s⁵/5 + … + s²³/23).
///
/// ```
/// assert_eq!(glassbox_sampler::numeric::ln(1.0), 0.0);
/// ```
pub fn ln(x: f64) -> f64 {
    if x.is_nan() || x < 0.0 {
        return f64::NAN;
    }
    if x == 0.0 {
        return f64::NEG_INFINITY;
    }
    if x == f64::INFINITY {
        return x;
    }
    // A subnormal number is scaled by 2^54 into the normal range first.
    let (x, scaled) = if x < f64::MIN_POSITIVE { (x * 18_014_398_509_481_984.0, -54) } else { (x, 0) };
    let bits = x.to_bits();
    let mut exponent = (bits >> 52) as i64 - 1023 + scaled;
    let mut m = f64::from_bits((bits & 0x000f_ffff_ffff_ffff) | 0x3ff0_0000_0000_0000);
    if m >= std::f64::consts::SQRT_2 {
        m *= 0.5;
        exponent += 1;
    }
    let s = (m - 1.0) / (m + 1.0);
    let square = s * s;
    let mut series = 0.0;
    for n in (0..12).rev() {
        series = series * square + 1.0 / (2 * n + 1) as f64;
    }
    let e = exponent as f64;
    e * LN_2_HIGH + (2.0 * s * series + e * LN_2_LOW)
}

/// ln Σ e^logit over all logits, summed in the order of the ids. Subtracting it turns logits into log-probabilities.
///
/// It is −∞ if there are no logits or all are −∞, and NaN if a logit is NaN or +∞.
///
/// ```
/// let sum = glassbox_sampler::numeric::log_sum_exp(&[0.0, 0.0, f32::NEG_INFINITY]);
/// assert!((sum - 2f64.ln()).abs() < 1e-15);
/// ```
pub fn log_sum_exp(logits: &[f32]) -> f64 {
    if logits.iter().any(|&x| x.is_nan() || x == f32::INFINITY) {
        return f64::NAN;
    }
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if largest == f32::NEG_INFINITY {
        return f64::NEG_INFINITY;
    }
    let largest = f64::from(largest);
    let sum: f64 = logits.iter().map(|&x| exp(f64::from(x) - largest)).sum();
    largest + ln(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_agrees_with_the_platform_within_a_few_bits() {
        let mut x = EXP_SMALLEST;
        while x < 709.0 {
            let (ours, theirs) = (exp(x), x.exp());
            assert!((ours - theirs).abs() <= 4e-16 * theirs, "x = {x}: {ours:e} and {theirs:e}");
            x += 0.003_7;
        }
        assert_eq!(exp(-1e300), 0.0);
        assert_eq!(exp(f64::NEG_INFINITY), 0.0);
        assert_eq!(exp(1e300), f64::INFINITY);
        assert!(exp(f64::NAN).is_nan());
    }

    #[test]
    fn ln_agrees_with_the_platform_within_a_few_bits() {
        let positive =
            (0..200_000).map(|i| f64::from_bits(i * 46_000_000_000_000 + 1)).filter(|x| x.is_finite());
        for x in positive {
            let (ours, theirs) = (ln(x), x.ln());
            assert!((ours - theirs).abs() <= 7e-16 * theirs.abs(), "x = {x:e}: {ours} and {theirs}");
        }
        for i in 1..200_000 {
            let x = f64::from(i) * 1e-5;
            assert!((ln(x) - x.ln()).abs() <= 7e-16 * x.ln().abs() + 4e-17, "x = {x}");
        }
        assert_eq!(ln(0.0), f64::NEG_INFINITY);
        assert_eq!(ln(f64::INFINITY), f64::INFINITY);
        assert!(ln(-1.0).is_nan() && ln(f64::NAN).is_nan());
    }

    #[test]
    fn known_bits() {
        assert_eq!(exp(-1.0).to_bits(), 0x3fd7_8b56_362c_ef38);
        assert_eq!(exp(-0.1).to_bits(), 0x3fec_f46d_99d5_2b3a);
        assert_eq!(ln(10.0).to_bits(), 0x4002_6bb1_bbb5_5516);
    }
}
