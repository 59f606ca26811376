//! Every level does to each lane what plain Rust does, at the edges of the numbers too.

use super::{Kernel, LANES, Lanes, Level, Tile};

/// Numbers at which instructions differ if anywhere: halves to round, signed zeros, subnormals, infinities, NaN.
const EDGES: [f32; 2 * LANES] = [
    0.0,
    -0.0,
    0.5,
    -0.5,
    1.5,
    -1.5,
    2.5,
    -2.5,
    0.49999997,
    -0.49999997,
    1.0,
    -1.0,
    3.0,
    -7.25,
    0.1,
    -0.1,
    4194304.5,
    8388607.5,
    -8388607.5,
    16777216.0,
    1e10,
    -1e10,
    f32::MIN_POSITIVE,
    -f32::MIN_POSITIVE,
    1e-45,
    -1e-45,
    f32::MAX,
    f32::MIN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
    1.0000001,
];

fn levels() -> impl Iterator<Item = Level> {
    Level::available().into_iter()
}

/// Sixteen numbers of a vector.
fn numbers<S: Lanes>(s: S, x: S::F) -> [f32; LANES] {
    let mut out = [f32::NAN; LANES];
    s.store(x, &mut out);
    out
}

/// Sixteen integers of a vector.
fn words<S: Lanes>(s: S, x: S::I) -> [u32; LANES] {
    let mut out = [0xdead_beef; LANES];
    s.store_words(x, &mut out);
    out
}

/// Arithmetic on `a`, `b` and `c`, all three sixteen numbers.
struct Arithmetic {
    a: [f32; LANES],
    b: [f32; LANES],
    c: [f32; LANES],
}

impl Kernel for Arithmetic {
    type Output = [[f32; LANES]; 8];

    #[inline(always)]
    fn run<S: Lanes>(self, s: S) -> Self::Output {
        let (a, b, c) = (s.load(&self.a), s.load(&self.b), s.load(&self.c));
        let results = [
            s.add(a, b),
            s.sub(a, b),
            s.mul(a, b),
            s.div(a, b),
            s.mul_add(a, b, c),
            s.max(a, b),
            s.min(a, b),
            s.round(a),
        ];
        results.map(|x| numbers(s, x))
    }
}

#[test]
fn arithmetic_rounds_compares_and_keeps_signs_as_plain_rust_does() {
    for level in levels() {
        for (a, b, c) in triples() {
            let found = level.run(Arithmetic { a: [a; LANES], b, c });
            for lane in 0..LANES {
                let (b, c) = (b[lane], c[lane]);
                let larger = if a > b { a } else { b };
                let smaller = if a < b { a } else { b };
                let expected =
                    [a + b, a - b, a * b, a / b, a.mul_add(b, c), larger, smaller, a.round_ties_even()];
                for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
                    let same = found[lane].to_bits() == expected.to_bits();
                    assert!(
                        same || found[lane].is_nan() && expected.is_nan(),
                        "operation {i} of {a:?}, {b:?}, {c:?} at {level}: {:?}, not {expected:?}",
                        found[lane]
                    );
                }
            }
        }
    }
}

/// Every edge with every other.
fn triples() -> impl Iterator<Item = (f32, [f32; LANES], [f32; LANES])> {
    let halves = [0, LANES].map(|from| std::array::from_fn(|i| EDGES[from + i]));
    EDGES.into_iter().flat_map(move |a| {
        halves.into_iter().flat_map(move |b| {
            (0..2 * LANES).map(move |turn| (a, b, std::array::from_fn(|i| EDGES[(turn + i) % EDGES.len()])))
        })
    })
}

/// All 65,536 halves, as bfloat16 or as half precision.
struct Widen {
    brain: bool,
}

impl Kernel for Widen {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<S: Lanes>(self, s: S) -> Vec<f32> {
        let mut out = Vec::with_capacity(1 << 16);
        for first in (0..1 << 16).step_by(LANES) {
            let halves = std::array::from_fn(|i| (first + i) as u16);
            let wide = if self.brain { s.load_bf16(&halves) } else { s.load_f16(&halves) };
            out.extend(numbers(s, wide));
        }
        out
    }
}

#[test]
fn every_half_widens_to_the_same_bits() {
    for level in levels() {
        for brain in [false, true] {
            let [found, expected] = [level, Level::Scalar].map(|level| level.run(Widen { brain }));
            for (half, (found, expected)) in found.into_iter().zip(expected).enumerate() {
                assert_eq!(found.to_bits(), expected.to_bits(), "{half:#06x} at {level}, bfloat16: {brain}");
            }
        }
    }
}

/// What is done to integers, and to numbers that become integers.
struct Integers {
    x: [u32; LANES],
    y: [u32; LANES],
    shift: u32,
    mask: u32,
    bytes: [u8; LANES],
    whole: [f32; LANES],
    exponents: [f32; LANES],
}

impl Kernel for Integers {
    type Output = ([[u32; LANES]; 6], [[f32; LANES]; 2]);

    #[inline(always)]
    fn run<S: Lanes>(self, s: S) -> Self::Output {
        let (x, y) = (s.load_words(&self.x), s.load_words(&self.y));
        let integers = [
            s.load_u8(&self.bytes),
            s.load_i8(&self.bytes.map(|byte| byte as i8)),
            s.bits(x, self.shift, self.mask),
            s.shift_left(x, self.shift),
            s.or(x, y),
            s.to_integer(s.load(&self.whole)),
        ];
        let floats = [s.to_f32(x), s.exp2_whole(s.load(&self.exponents))];
        (integers.map(|x| words(s, x)), floats.map(|x| numbers(s, x)))
    }
}

#[test]
fn integers_are_shifted_masked_and_converted_alike() {
    let mut random = Random(7);
    for round in 0..320 {
        let shift = round % 32;
        let x = std::array::from_fn(|i| match i {
            0 => i32::MAX as u32,
            1 => i32::MIN as u32,
            2 => (1 << 24) + 1,
            _ => random.next(),
        });
        let (y, mask) = (std::array::from_fn(|_| random.next()), random.next());
        let bytes = std::array::from_fn(|i| (round as usize * LANES + i) as u8);
        let whole =
            std::array::from_fn(|_| (random.next() >> 8) as f32 * [1.0, -1.0][random.next() as usize % 2]);
        let exponents = std::array::from_fn(|i| ((round as usize * LANES + i) % 254) as f32 - 126.0);
        for level in levels() {
            let (integers, floats) = level.run(Integers { x, y, shift, mask, bytes, whole, exponents });
            assert_eq!(integers[0], bytes.map(u32::from), "{level}");
            assert_eq!(integers[1], bytes.map(|byte| i32::from(byte as i8) as u32), "{level}");
            assert_eq!(integers[2], x.map(|x| x >> shift & mask), "{level}");
            assert_eq!(integers[3], x.map(|x| x << shift), "{level}");
            assert_eq!(integers[4], std::array::from_fn(|i| x[i] | y[i]), "{level}");
            assert_eq!(integers[5], whole.map(|x| x as i32 as u32), "{level}");
            assert_eq!(floats[0], x.map(|x| x as i32 as f32), "{level}");
            assert_eq!(floats[1], exponents.map(|n| 2f32.powi(n as i32)), "{level}");
        }
    }
}

/// Products of bytes with inputs of 8 and of 16 bits.
struct Dots<'a, const N: usize, const MAX: u32> {
    weights: &'a [[[u32; LANES]; 4]; N],
    short: &'a [[i32; LANES]; N],
    long: &'a [[i32; LANES]; N],
}

impl<const N: usize, const MAX: u32> Kernel for Dots<'_, N, MAX> {
    /// For the inputs, and for the same with the other sign as a second row.
    type Output = [[[u32; LANES]; 2]; 2];

    #[inline(always)]
    fn run<S: Tile>(self, s: S) -> Self::Output {
        let weights = self.weights.map(|words| words.map(|word| s.load_words(&word)));
        let load = |sign: i32, x: [i32; LANES]| s.load_words(&x.map(|x| (sign * x) as u32));
        let [short, short_negative] = [1, -1].map(|sign| self.short.map(|x| s.inputs8(load(sign, x))));
        let [long, long_negative] = [1, -1].map(|sign| self.long.map(|x| s.inputs16(load(sign, x))));
        [
            s.dot8::<N, MAX, 2>(&weights, [&short, &short_negative]).map(|x| words(s, x)),
            s.dot16::<N, 2>(&weights, [&long, &long_negative]).map(|x| words(s, x)),
        ]
    }
}

#[test]
fn sums_of_products_are_exact_for_the_largest_weights_and_inputs() {
    dots::<1, 15>();
    dots::<2, 15>();
    dots::<1, 63>();
    dots::<2, 63>();
    dots::<2, 127>();
    dots::<1, 255>();
    dots::<2, 255>();
}

fn dots<const N: usize, const MAX: u32>() {
    let mut random = Random(u64::from(MAX));
    // Weights and inputs each all largest, all smallest, and in between.
    for (weight, input) in (0..4).flat_map(|weight| (0..4).map(move |input| (weight, input))) {
        let mut byte = || match weight {
            0 => MAX,
            1 => 0,
            2 => random.next() % 2 * MAX,
            _ => random.next() % (MAX + 1),
        };
        let weights = std::array::from_fn(|_| {
            std::array::from_fn(|_| {
                std::array::from_fn(|_| u32::from_le_bytes(std::array::from_fn(|_| byte() as u8)))
            })
        });
        let mut draw = |largest: i32| {
            std::array::from_fn(|_| {
                std::array::from_fn(|_| match input {
                    0 => largest,
                    1 => -largest,
                    2 => random.next() as i32 % 2 * largest,
                    _ => random.next() as i32 % (largest + 1),
                })
            })
        };
        let (short, long) = (draw(127), draw(32512));
        let expected = [short, long].map(|inputs| {
            let sums = exact(&weights, &inputs);
            [sums, sums.map(u32::wrapping_neg)]
        });
        for level in levels() {
            let found = level.run(Dots::<N, MAX> { weights: &weights, short: &short, long: &long });
            assert_eq!(found, expected, "N {N}, MAX {MAX}, weights {weight}, inputs {input} at {level}");
        }
    }
}

/// The sums as their definition says.
fn exact<const N: usize>(weights: &[[[u32; LANES]; 4]; N], inputs: &[[i32; LANES]; N]) -> [u32; LANES] {
    std::array::from_fn(|lane| {
        let mut sum = 0;
        for (weights, inputs) in weights.iter().zip(inputs) {
            for (i, input) in inputs.iter().enumerate() {
                sum += i32::from(weights[i / 4][lane].to_le_bytes()[i % 4]) * input;
            }
        }
        sum as u32
    })
}

/// Numbers that look random and are the same in every run (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ z >> 31) >> 32) as u32
    }
}
