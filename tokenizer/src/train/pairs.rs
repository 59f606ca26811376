//! The adjacent pairs of all words: the count of each, and the words it occurs in.
//!
//! Merging a pair changes only the words that contain it, and in them only the counts of adjacent pairs. So the counts
//! are updated instead of recomputed.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use crate::hash::{Map, map};

pub(super) type Pair = (u32, u32);

/// The words as sequences of tokens, and the counts of their pairs.
pub(super) struct Pairs {
    words: Vec<(Vec<u32>, u64)>,
    counts: Map<Pair, i64>,
    queue: BinaryHeap<Candidate>,
}

/// A candidate for the next merge. Its count was correct when it was queued.
struct Candidate {
    count: i64,
    pair: Pair,
    /// The words that contain the pair, or did when it was queued.
    words: Vec<usize>,
}

impl Ord for Candidate {
    fn cmp(&self, other: &Candidate) -> Ordering {
        (self.count, Reverse(self.pair)).cmp(&(other.count, Reverse(other.pair)))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Candidate) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Candidate) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Candidate {}

/// The words in which new pairs have appeared.
struct Occurrences(Map<Pair, Vec<usize>>);

impl Occurrences {
    /// Adds a word. Words must be added in order, so comparing with the last one avoids duplicates.
    fn add(&mut self, pair: Pair, word: usize) {
        let words = self.0.entry(pair).or_default();
        if words.last() != Some(&word) {
            words.push(word);
        }
    }
}

impl Pairs {
    /// Counts the pairs of words, given with their counts.
    pub(super) fn new(words: Vec<(Vec<u32>, u64)>) -> Pairs {
        let mut counts: Map<Pair, i64> = map(0);
        let mut occurrences = Occurrences(map(0));
        for (number, (word, count)) in words.iter().enumerate() {
            for pair in word.windows(2) {
                let pair = (pair[0], pair[1]);
                *counts.entry(pair).or_default() += *count as i64;
                occurrences.add(pair, number);
            }
        }
        let mut pairs = Pairs { words, counts, queue: BinaryHeap::new() };
        pairs.enqueue(occurrences);
        pairs
    }

    fn enqueue(&mut self, occurrences: Occurrences) {
        for (pair, words) in occurrences.0 {
            let count = self.count(pair);
            if count > 0 {
                self.queue.push(Candidate { count, pair, words });
            }
        }
    }

    fn count(&self, pair: Pair) -> i64 {
        self.counts.get(&pair).copied().unwrap_or(0)
    }

    /// The most frequent pair (the one with the lower ids among equals), its count and its words.
    pub(super) fn most_frequent(&mut self) -> Option<(Pair, u64, Vec<usize>)> {
        loop {
            let mut top = self.queue.pop()?;
            let count = self.count(top.pair);
            if count == top.count {
                return Some((top.pair, count as u64, top.words));
            }
            if count > 0 {
                top.count = count;
                self.queue.push(top);
            }
        }
    }

    /// Replaces a pair by its token in all of these words.
    pub(super) fn merge(&mut self, pair: Pair, result: u32, words: &[usize]) {
        let mut occurrences = Occurrences(map(0));
        for &number in words {
            let (word, count) = &mut self.words[number];
            let count = *count as i64;
            merge_row(word, pair, result, |changed, by| {
                *self.counts.entry(changed).or_default() += by * count;
                if by > 0 {
                    occurrences.add(changed, number);
                }
            });
        }
        self.enqueue(occurrences);
    }
}

/// Merges a pair in a word from left to right. Calls `change` for adjacent pairs that disappear (-1) and appear (+1).
fn merge_row(row: &mut Vec<u32>, (left, right): Pair, result: u32, mut change: impl FnMut(Pair, i64)) {
    let (mut from, mut to) = (0, 0);
    while from < row.len() {
        if row[from] != left || row.get(from + 1) != Some(&right) {
            row[to] = row[from];
            (from, to) = (from + 1, to + 1);
            continue;
        }
        if to > 0 {
            change((row[to - 1], left), -1);
            change((row[to - 1], result), 1);
        }
        if let Some(&next) = row.get(from + 2) {
            change((right, next), -1);
            change((result, next), 1);
        }
        row[to] = result;
        (from, to) = (from + 2, to + 1);
    }
    row.truncate(to);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn counted(row: &[u32]) -> std::collections::BTreeMap<Pair, i64> {
        let mut counts = std::collections::BTreeMap::new();
        row.windows(2).for_each(|pair| *counts.entry((pair[0], pair[1])).or_default() += 1);
        counts
    }

    proptest! {
        #[test]
        fn updated_counts_equal_recomputed_counts(row in prop::collection::vec(0u32..3, 0..30)) {
            let mut counts = counted(&row);
            let mut merged = row;
            merge_row(&mut merged, (0, 1), 9, |pair, by| *counts.entry(pair).or_default() += by);
            counts.remove(&(0, 1));
            counts.retain(|_, count| *count != 0);
            prop_assert_eq!(counts, counted(&merged));
        }
    }
}
