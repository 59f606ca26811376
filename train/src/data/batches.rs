//! The training examples of each step: windows of the text, shuffled as a function of seed and example number.
//!
//! The training ids are cut into windows of the context length. Each epoch visits every window once, in a new order and
//! with shifted boundaries. Example number `n` of the run, counted from 0, is a function of `(seed, n)` only, so a run
//! that is resumed at step `k` sees the same examples, and the state to save is `k`.
//!
//! The order is a permutation computed element by element: a Feistel network over the next power of four, iterated
//! until it reaches a number in range ("cycle walking": Black and Rogaway, "Ciphers with arbitrary finite domains",
//! 2002).

use super::error::DataError;
use super::token_file::{Split, TokenFile};
use crate::random::mix;

/// Rounds of the Feistel network; four suffice for an order without visible pattern.
const ROUNDS: u64 = 4;

/// The examples of the training split.
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
    /// The number of complete epochs before it.
    pub epoch: u64,
}

impl Batches {
    /// Examples of `context` ids from the training split.
    ///
    /// # Errors
    /// [`DataError::TooShort`] if it is too short for one.
    pub fn new(tokens: &TokenFile, context: usize, seed: u64) -> Result<Batches, DataError> {
        let ids = tokens.len(Split::Training);
        if ids <= context {
            return Err(DataError::TooShort { part: "training", found: ids, needed: context + 1 });
        }
        // One window fewer than fit, so that the boundaries can shift.
        Ok(Batches { seed, context, ids, windows: ((ids - 1) / context).saturating_sub(1).max(1) })
    }

    /// Number of examples per epoch.
    pub fn epoch_len(&self) -> usize {
        self.windows
    }

    /// Example number `n`.
    pub fn example(&self, n: u64) -> Example {
        let (epoch, index) = (n / self.windows as u64, n % self.windows as u64);
        let key = mix(self.seed ^ mix(epoch));
        let window = permute(index, self.windows as u64, key) as usize;
        // The ids that remain are split between both ends, differently in each epoch.
        let spare = (self.ids - 1) - self.windows * self.context;
        let shift = (mix(key) % (spare as u64 + 1)) as usize;
        Example { start: window * self.context + shift, epoch }
    }

    /// The ids and the targets of examples `first..first + rows`, each `[rows, context]`.
    ///
    /// # Errors
    /// [`DataError`] if the file cannot be read.
    pub fn read(
        &self,
        tokens: &TokenFile,
        first: u64,
        rows: usize,
    ) -> Result<(Vec<u32>, Vec<u32>), DataError> {
        let (mut ids, mut targets) = (Vec::new(), Vec::new());
        for row in 0..rows as u64 {
            let start = self.example(first + row).start;
            tokens.read(Split::Training, start, self.context, &mut ids)?;
            tokens.read(Split::Training, start + 1, self.context, &mut targets)?;
        }
        Ok((ids, targets))
    }
}

/// The index at which a permutation of `0..len`, selected by `key`, puts `index`.
pub(crate) fn permute(index: u64, len: u64, key: u64) -> u64 {
    let half = u64::BITS.saturating_sub((len - 1).leading_zeros()).div_ceil(2).max(1);
    let mask = (1u64 << half) - 1;
    let mut at = index;
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
    fn a_permutation_has_every_number_once() {
        for len in (1..70).chain([255, 256, 257, 1000]) {
            for key in [0, 1, u64::MAX, 0x1234_5678_9abc_def0] {
                let mut seen: Vec<u64> = (0..len).map(|index| permute(index, len, key)).collect();
                if len > 100 {
                    assert!(seen.iter().zip(0..).filter(|&(&to, from)| to == from).count() < 12);
                }
                seen.sort_unstable();
                assert_eq!(seen, (0..len).collect::<Vec<_>>(), "{len} {key}");
            }
        }
    }

    #[test]
    fn each_epoch_reads_every_window_once_in_a_new_order() {
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
