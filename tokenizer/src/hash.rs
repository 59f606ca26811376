//! A hash map with a fast hash function: keys are folded with one wide multiplication, from a random seed for each map.
//!
//! Looking up merges and words is the encoder's inner loop, where the standard library's hash would take most of the
//! time. The seed prevents a crafted vocabulary from making all keys collide. No result depends on the iteration order
//! of a map, so results do not depend on the seed.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};

pub(crate) type Map<K, V> = HashMap<K, V, Seed>;

/// An empty map with capacity for `capacity` keys.
pub(crate) fn map<K, V>(capacity: usize) -> Map<K, V> {
    HashMap::with_capacity_and_hasher(capacity, Seed::default())
}

#[derive(Clone)]
pub(crate) struct Seed(u64);

impl Default for Seed {
    fn default() -> Seed {
        Seed(RandomState::new().hash_one(0u64))
    }
}

impl BuildHasher for Seed {
    type Hasher = Fold;

    fn build_hasher(&self) -> Fold {
        Fold { state: self.0, seed: self.0 }
    }
}

pub(crate) struct Fold {
    state: u64,
    seed: u64,
}

impl Hasher for Fold {
    fn finish(&self) -> u64 {
        self.state
    }

    fn write_u64(&mut self, word: u64) {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        let wide = u128::from(self.state ^ word) * u128::from((self.seed ^ ODD) | 1);
        self.state = (wide as u64) ^ ((wide >> 64) as u64) ^ self.seed.rotate_left(17);
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(u64::from(word));
    }

    fn write_u8(&mut self, byte: u8) {
        self.write_u64(u64::from(byte) | 0x100);
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }

    fn write(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            self.write_u64(u64::from_le_bytes(chunk.try_into().unwrap_or_default()));
        }
        let mut last = [0; 8];
        last[..chunks.remainder().len()].copy_from_slice(chunks.remainder());
        self.write_u64(u64::from_le_bytes(last));
        self.write_u64(bytes.len() as u64);
    }
}
