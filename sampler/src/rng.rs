//! The seeded random generator: xoshiro256++, seeded by SplitMix64.
//!
//! Both use only integer arithmetic, so a seed gives the same sequence on every platform.
//!
//! - D. Blackman, S. Vigna, "Scrambled linear pseudorandom number generators", ACM TOMS 47(4), 2021.
//! - G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.

use serde::{Deserialize, Serialize};

/// The generator's state of four words. A deserialised generator continues the sequence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rng {
    state: [u64; 4],
}

impl Rng {
    /// A generator with this seed. Any seed is valid, including 0: SplitMix64 never yields four zeros in a row.
    pub fn new(seed: u64) -> Rng {
        let mut splitmix = seed;
        Rng { state: std::array::from_fn(|_| next_splitmix64(&mut splitmix)) }
    }

    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let result = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let (c, d) = (c ^ a, d ^ b);
        self.state = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        result
    }

    /// The next number in [0, 1), a multiple of 2⁻⁵³.
    pub fn next_unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }
}

fn next_splitmix64(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitmix64_gives_its_published_sequence() {
        let mut state = 1_234_567;
        let sequence: Vec<u64> = (0..5).map(|_| next_splitmix64(&mut state)).collect();
        assert_eq!(
            sequence,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423,
                4_593_380_528_125_082_431,
                16_408_922_859_458_223_821
            ]
        );
    }

    #[test]
    fn xoshiro256_plus_plus_gives_its_published_sequence() {
        let mut rng = Rng { state: [1, 2, 3, 4] };
        let sequence: Vec<u64> = (0..6).map(|_| rng.next_u64()).collect();
        assert_eq!(
            sequence,
            [
                41_943_041,
                58_720_359,
                3_588_806_011_781_223,
                3_591_011_842_654_386,
                9_228_616_714_210_784_205,
                9_973_669_472_204_895_162
            ]
        );
    }

    #[test]
    fn units_stay_below_one() {
        let mut rng = Rng::new(0);
        assert!((0..10_000).map(|_| rng.next_unit()).all(|u| (0.0..1.0).contains(&u)));
        assert!(((u64::MAX >> 11) as f64 / (1u64 << 53) as f64) < 1.0);
    }
}
