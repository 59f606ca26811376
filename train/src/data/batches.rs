//! Which windows of the text a step learns from: a shuffle that depends on a seed and a number alone.
//!
//! The training ids are cut into windows as long as the context. In each epoch every window comes once, in a new order,
//! and the cuts lie elsewhere. Example number `n` of the whole training, counted from 0, is computed from `(seed, n)` and
//! nothing else, so that a run continued at step `k` sees what it would have seen, and nothing but `k` need be kept.
//!
//! The order is a permutation computed element by element: a Feistel network over the next power of four, walked until it
//! meets a number in range ("cycle walking": Black and Rogaway, "Ciphers with arbitrary finite domains", 2002).

use super::error::DataError;
use super::token_file::{Split, TokenFile};
use crate::random::mix;

/// Rounds of the Feistel network; four already make an order without visible pattern.
const ROUNDS: u64 = 4;

/// Draws examples from a part of the text.
#[derive(Clone, Debug)]
pub struct Batches {
    seed: u64,
    context: usize,
    ids: usize,
    windows: usize,
}

/// An example: `context` ids from `start`, and the id that follows each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Example {
    /// The first id.
    pub start: usize,
    /// How many passes through the text came before.
    pub epoch: u64,
}

impl Batches {
    /// Examples of `context` ids from the training part.
    ///
    /// # Errors
    /// [`DataError::TooShort`] if it has not enough for one.
    pub fn new(tokens: &TokenFile, context: usize, seed: u64) -> Result<Batches, DataError> {
        let ids = tokens.len(Split::Training);
        if ids <= context {
            return Err(DataError::TooShort { part: "training", found: ids, needed: context + 1 });
        }
        // One window less than there is room for, so that there is room to move the cuts.
        Ok(Batches { seed, context, ids, windows: ((ids - 1) / context).saturating_sub(1).max(1) })
    }

    /// How many examples one pass through the text has.
    pub fn epoch_len(&self) -> usize {
        self.windows
    }

    /// Example number `n`.
    pub fn example(&self, n: u64) -> Example {
        let (epoch, place) = (n / self.windows as u64, n % self.windows as u64);
        let key = mix(self.seed ^ mix(epoch));
        let window = permute(place, self.windows as u64, key) as usize;
        // What the windows leave over is shared between the two ends, in each epoch differently.
        let spare = (self.ids - 1) - self.windows * self.context;
        let shift = (mix(key) % (spare as u64 + 1)) as usize;
        Example { start: window * self.context + shift, epoch }
    }

    /// The ids and the targets of examples `first..first + rows`, each `[rows, context]`.
    pub fn read(&self, tokens: &TokenFile, first: u64, rows: usize) -> (Vec<u32>, Vec<u32>) {
        let (mut ids, mut targets) = (Vec::new(), Vec::new());
        for row in 0..rows as u64 {
            let start = self.example(first + row).start;
            tokens.read(Split::Training, start, self.context, &mut ids);
            tokens.read(Split::Training, start + 1, self.context, &mut targets);
        }
        (ids, targets)
    }
}

/// Where `place` goes in a shuffle of `0..len`.
pub(crate) fn permute(place: u64, len: u64, key: u64) -> u64 {
    let half = u64::BITS.saturating_sub((len - 1).leading_zeros()).div_ceil(2).max(1);
    let mask = (1u64 << half) - 1;
    let mut at = place;
    loop {
        let (mut left, mut right) = (at >> half, at & mask);
        for round in 0..ROUNDS {
            (left, right) = (right, left ^ (mix(key ^ (right << 8 | round)) & mask));
        }
        at = left << half | right;
        if at < len {
            return at;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shuffle_has_every_number_once() {
        for len in (1..70).chain([255, 256, 257, 1000]) {
            for key in [0, 1, u64::MAX, 0x1234_5678_9abc_def0] {
                let mut seen: Vec<u64> = (0..len).map(|place| permute(place, len, key)).collect();
                if len > 100 {
                    assert!(seen.iter().zip(0..).filter(|&(&to, from)| to == from).count() < 12);
                }
                seen.sort_unstable();
                assert_eq!(seen, (0..len).collect::<Vec<_>>(), "{len} {key}");
            }
        }
    }

    #[test]
    fn an_epoch_reads_every_window_once_and_the_next_in_another_order() {
        let batches = Batches { seed: 7, context: 10, ids: 1019, windows: 100 };
        let starts = |epoch: u64| -> Vec<usize> {
            (0..100)
                .map(|n| batches.example(epoch * 100 + n))
                .inspect(|e| assert_eq!(e.epoch, epoch))
                .map(|e| e.start)
                .collect()
        };
        let (first, second) = (starts(0), starts(1));
        assert_ne!(first, second);
        assert_ne!(first.iter().min(), second.iter().min());
        for mut starts in [first, second] {
            starts.sort_unstable();
            assert!(starts.windows(2).all(|pair| pair[1] - pair[0] == 10));
            assert!(starts[99] + 10 < 1019);
        }
    }
}
