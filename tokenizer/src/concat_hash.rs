//! A hash of texts with which the hash of a concatenation is computed without reading the texts again.
//!
//! The bytes of a text are the digits of a number in a random base, modulo the prime 2⁶¹ − 1 (Karp and Rabin, 1987).
//! The hash of a concatenation takes one multiplication and one addition. Since the base is secret, nobody can
//! construct collisions: two texts of at most `n` bytes collide with probability `n` / 2⁶¹.

use std::hash::{BuildHasher, RandomState};

const PRIME: u64 = (1 << 61) - 1;
/// Number of bytes that are summed before the sum is reduced.
const CHUNK: usize = 64;

#[derive(Clone)]
pub(crate) struct ConcatHash {
    /// The powers of the base, from exponent 0 on.
    powers: [u64; CHUNK + 1],
}

impl Default for ConcatHash {
    fn default() -> ConcatHash {
        // The base is larger than any digit, so short texts never collide.
        let base = 512 + RandomState::new().hash_one(0u64) % (PRIME - 512);
        let mut powers = [1; CHUNK + 1];
        for exponent in 1..powers.len() {
            powers[exponent] = product(powers[exponent - 1], base);
        }
        ConcatHash { powers }
    }
}

impl ConcatHash {
    /// The hash of a text.
    #[inline]
    pub(crate) fn of(&self, text: &[u8]) -> u64 {
        if text.len() <= CHUNK {
            return self.of_chunk(text);
        }
        text.chunks(CHUNK).fold(0, |hash, chunk| self.joined(hash, self.of_chunk(chunk), chunk.len()))
    }

    #[inline]
    fn of_chunk(&self, chunk: &[u8]) -> u64 {
        let powers = self.powers[..chunk.len()].iter().rev();
        // Digits are never 0, because leading zeros would not count.
        let digit = |&byte: &u8| u128::from(byte) + 1;
        reduced(chunk.iter().zip(powers).map(|(byte, &power)| digit(byte) * u128::from(power)).sum())
    }

    /// The hash of the concatenation of two texts, of which the right one has `right_len` bytes.
    #[inline]
    pub(crate) fn joined(&self, left: u64, right: u64, right_len: usize) -> u64 {
        reduced(u128::from(left) * u128::from(self.power(right_len)) + u128::from(right))
    }

    #[inline]
    fn power(&self, exponent: usize) -> u64 {
        match self.powers.get(exponent) {
            Some(&power) => power,
            None => self.high_power(exponent),
        }
    }

    #[cold]
    fn high_power(&self, exponent: usize) -> u64 {
        let half = self.power(exponent / 2);
        let even = product(half, half);
        if exponent.is_multiple_of(2) { even } else { product(even, self.powers[1]) }
    }
}

#[inline]
fn product(a: u64, b: u64) -> u64 {
    reduced(u128::from(a) * u128::from(b))
}

/// The remainder of a number below 2¹²³; 2⁶¹ is congruent to 1.
#[inline]
fn reduced(number: u128) -> u64 {
    let once = (number as u64 & PRIME) + (number >> 61) as u64;
    let twice = (once & PRIME) + (once >> 61);
    if twice >= PRIME { twice - PRIME } else { twice }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reduction_agrees_with_division() {
        let prime = u128::from(PRIME);
        for number in [0, 1, prime - 1, prime, prime + 1, 2 * prime, prime * prime, (1 << 123) - 1] {
            assert_eq!(u128::from(reduced(number)), number % prime);
        }
    }

    #[test]
    fn texts_of_zeros_differ() {
        let hash = ConcatHash::default();
        let hashes: std::collections::HashSet<u64> = (0..300).map(|n| hash.of(&vec![0; n])).collect();
        assert_eq!(hashes.len(), 300);
    }

    proptest! {
        #[test]
        fn the_hash_of_a_concatenation_is_that_of_the_whole(
            text in prop::collection::vec(any::<u8>(), 0..400),
            cut in any::<prop::sample::Index>(),
        ) {
            let hash = ConcatHash::default();
            let (left, right) = text.split_at(cut.index(text.len() + 1));
            prop_assert_eq!(hash.joined(hash.of(left), hash.of(right), right.len()), hash.of(&text));
            let digits = text.iter().map(|&byte| u128::from(byte) + 1);
            let by_definition =
                digits.fold(0, |sum, digit| (sum * u128::from(hash.powers[1]) + digit) % u128::from(PRIME));
            prop_assert_eq!(u128::from(hash.of(&text)), by_definition);
        }
    }
}
