//! Merging: the core of byte-pair encoding.
//!
//! A word starts as a sequence of symbols, one per byte or character. Training has produced a ranked list of pairs.
//! Encoding replays it: find the adjacent pair with the lowest rank (the leftmost among equals), merge it, and repeat
//! until no adjacent pair is in the list.
//!
//! [`naive`] is exactly that, in quadratic time. [`fast`] gives the same result in `n log n`, with a list or a queue of
//! candidate pairs and a linked list of symbols.

mod pieces;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::hash::{Map, map};
use crate::vocab::Vocab;
pub(crate) use pieces::Pieces;

/// A token within a word, and its byte range in the word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Symbol {
    /// The token's id.
    pub id: u32,
    /// Start of the byte range.
    pub start: usize,
    /// End of the byte range, exclusive.
    pub end: usize,
}

/// The merge of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Merge {
    /// The rank: lower ranks are merged first.
    pub rank: u32,
    /// The resulting token.
    pub result: u32,
}

/// All merges by pair.
#[derive(Clone)]
pub struct Merges {
    pairs: Pairs,
}

#[derive(Clone)]
enum Pairs {
    /// All of them.
    Listed(Map<u64, Merge>),
    /// Those that follow from a vocabulary.
    OfPieces(Pieces),
}

impl Default for Merges {
    fn default() -> Merges {
        Merges::with_capacity(0)
    }
}

impl std::fmt::Debug for Merges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.pairs {
            Pairs::Listed(pairs) => f.debug_struct("Merges").field("len", &pairs.len()).finish(),
            Pairs::OfPieces(_) => f.debug_struct("Merges").finish_non_exhaustive(),
        }
    }
}

fn key(left: u32, right: u32) -> u64 {
    u64::from(left) << 32 | u64::from(right)
}

impl Merges {
    /// An empty list with capacity for `capacity` pairs.
    pub fn with_capacity(capacity: usize) -> Merges {
        Merges { pairs: Pairs::Listed(map(capacity)) }
    }

    /// The merges of SentencePiece: two pieces are merged whenever their concatenation is a piece.
    pub(crate) fn of_pieces(pieces: Pieces) -> Merges {
        Merges { pairs: Pairs::OfPieces(pieces) }
    }

    /// Adds a pair, or replaces its merge if the pair is present.
    pub fn insert(&mut self, left: u32, right: u32, merge: Merge) {
        if let Pairs::OfPieces(pieces) = &self.pairs {
            let all = pieces.merges().map(|((left, right), merge)| (key(left, right), merge));
            let mut listed = map(0);
            listed.extend(all);
            self.pairs = Pairs::Listed(listed);
        }
        if let Pairs::Listed(pairs) = &mut self.pairs {
            pairs.insert(key(left, right), merge);
        }
    }

    /// The merge of a pair, `None` if it has none.
    #[inline]
    pub fn get(&self, left: u32, right: u32) -> Option<Merge> {
        match &self.pairs {
            Pairs::Listed(pairs) => pairs.get(&key(left, right)).copied(),
            Pairs::OfPieces(pieces) => pieces.merge(left, right),
        }
    }

    /// The number of pairs. If they follow from the vocabulary, counting takes linear time.
    pub fn len(&self) -> usize {
        match &self.pairs {
            Pairs::Listed(pairs) => pairs.len(),
            Pairs::OfPieces(pieces) => pieces.merges().count(),
        }
    }

    /// Whether there are no pairs.
    pub fn is_empty(&self) -> bool {
        self.all().next().is_none()
    }

    /// All pairs and their merges, in arbitrary order.
    pub(crate) fn all(&self) -> Box<dyn Iterator<Item = ((u32, u32), Merge)> + '_> {
        match &self.pairs {
            Pairs::Listed(pairs) => {
                Box::new(pairs.iter().map(|(&pair, &merge)| (((pair >> 32) as u32, pair as u32), merge)))
            }
            Pairs::OfPieces(pieces) => Box::new(pieces.merges()),
        }
    }

    /// Whether a merge joins a `mark` at the start of its right half to another character at the end of its left half.
    pub(crate) fn join_before(&self, mark: char, vocab: &Vocab) -> bool {
        let starts = |id| vocab.token(id).is_some_and(|token| token.starts_with(mark));
        let ends = |id| vocab.token(id).is_some_and(|token| token.ends_with(mark));
        match &self.pairs {
            Pairs::Listed(pairs) => {
                pairs.keys().any(|&pair| starts(pair as u32) && !ends((pair >> 32) as u32))
            }
            Pairs::OfPieces(pieces) => pieces.join_before(mark),
        }
    }

    /// All pairs and their merges, sorted by rank.
    pub fn sorted(&self) -> Vec<((u32, u32), Merge)> {
        let mut all: Vec<_> = self.all().collect();
        all.sort_unstable_by_key(|&(pair, merge)| (merge.rank, pair));
        all
    }
}

/// The next merge of `symbols` and the index of its left symbol: the lowest rank, the leftmost among equals.
pub fn next_merge(symbols: &[Symbol], merges: &Merges) -> Option<(usize, Merge)> {
    let pairs = symbols.windows(2).enumerate();
    pairs
        .filter_map(|(at, pair)| Some((at, merges.get(pair[0].id, pair[1].id)?)))
        .min_by_key(|&(at, merge)| (merge.rank, at))
}

/// Merges until no pair can be merged. This is the definition.
pub fn naive(symbols: &mut Vec<Symbol>, merges: &Merges) {
    while let Some((at, merge)) = next_merge(symbols, merges) {
        apply(symbols, at, merge);
    }
}

/// Replaces the pair at `at` by the merged token.
pub(crate) fn apply(symbols: &mut Vec<Symbol>, at: usize, merge: Merge) {
    symbols[at] = Symbol { id: merge.result, start: symbols[at].start, end: symbols[at + 1].end };
    symbols.remove(at + 1);
}

/// The longest row that [`in_place`] merges.
pub(crate) const IN_PLACE: usize = 64;

/// The same as [`naive`]: short rows by the candidates in a list, long ones in `n log n` by those in a queue.
pub fn fast(symbols: &mut Vec<Symbol>, merges: &Merges) {
    let mut row = [0; IN_PLACE];
    let Some(row) = row.get_mut(..symbols.len()) else { return queued(symbols, merges) };
    row.iter_mut().zip(&*symbols).for_each(|(id, symbol)| *id = symbol.id);
    let next = merge_row(row, merges);
    let (mut kept, mut at) = (0, 0);
    while at < row.len() {
        let end = usize::from(next[at]);
        symbols[kept] = Symbol { id: row[at], start: symbols[at].start, end: symbols[end - 1].end };
        kept += 1;
        at = end;
    }
    symbols.truncate(kept);
}

/// The same as [`naive`] by a queue.
///
/// It holds `(rank, place of the left half)`. A candidate may be stale by the time it comes up, because one of its
/// halves has been merged with another neighbour: then the pair now at its place has another rank, or none.
fn queued(symbols: &mut Vec<Symbol>, merges: &Merges) {
    const NONE: usize = usize::MAX;
    let count = symbols.len();
    let mut next: Vec<usize> = (1..=count).map(|at| if at < count { at } else { NONE }).collect();
    let mut previous: Vec<usize> = (0..count).map(|at| at.checked_sub(1).unwrap_or(NONE)).collect();
    let mut alive = vec![true; count];

    let rank_at =
        |symbols: &[Symbol], left: usize, right: usize| merges.get(symbols[left].id, symbols[right].id);
    let candidates = (1..count).filter_map(|at| Some(Reverse((rank_at(symbols, at - 1, at)?.rank, at - 1))));
    let mut queue: BinaryHeap<Reverse<(u32, usize)>> = candidates.collect();

    while let Some(Reverse((rank, left))) = queue.pop() {
        let right = next[left];
        if !alive[left] || right == NONE {
            continue;
        }
        let Some(merge) = rank_at(symbols, left, right).filter(|merge| merge.rank == rank) else { continue };
        symbols[left].id = merge.result;
        symbols[left].end = symbols[right].end;
        alive[right] = false;
        next[left] = next[right];
        if let Some(back) = previous.get_mut(next[right]) {
            *back = left;
        }
        let neighbours = [(previous[left], left), (left, next[left])];
        for (first, second) in
            neighbours.into_iter().filter(|&(first, second)| first != NONE && second != NONE)
        {
            if let Some(merge) = rank_at(symbols, first, second) {
                queue.push(Reverse((merge.rank, first)));
            }
        }
    }
    let mut keep = alive.into_iter();
    symbols.retain(|_| keep.next().unwrap_or(false));
}

/// The maximum length for [`in_place`].
pub(crate) const MAX_IN_PLACE: usize = 64;

/// The same as [`naive`] for a row of at most [`IN_PLACE`] ids; gives the number that are left, at the front of the
/// row.
pub(crate) fn in_place(row: &mut [u32], merges: &Merges) -> usize {
    let next = merge_row(row, merges);
    let (mut kept, mut at) = (0, 0);
    while at < row.len() {
        row[kept] = row[at];
        kept += 1;
        at = usize::from(next[at]);
    }
    kept
}

/// Merges a row of at most [`IN_PLACE`] ids; gives for each symbol that is left where the next one is.
///
/// A candidate is one number, its rank above its place: the smallest is the next merge. A symbol that was merged into
/// the one before it leaves a hole, which links step over.
fn merge_row(row: &mut [u32], merges: &Merges) -> [u8; IN_PLACE] {
    const NONE: u64 = u64::MAX;
    let count = row.len();
    assert!(count <= MAX_IN_PLACE, "{count} ids are too many");
    let mut candidates = [NONE; MAX_IN_PLACE];
    let mut results = [0; MAX_IN_PLACE];
    let mut next: [u8; MAX_IN_PLACE] = std::array::from_fn(|at| at as u8 + 1);
    let mut previous: [u8; MAX_IN_PLACE] = std::array::from_fn(|at| (at as u8).saturating_sub(1));
    let candidate = |row: &[u32], left: usize, right: usize| match merges.get(row[left], row[right]) {
        Some(merge) => (u64::from(merge.rank) << 8 | left as u64, merge.result),
        None => (NONE, 0),
    };
    for right in 1..count {
        (candidates[right - 1], results[right - 1]) = candidate(row, right - 1, right);
    }
    while let Some(&best) = candidates[..count].iter().min().filter(|&&best| best != NONE) {
        let left = (best & 0xff) as usize;
        let merged = usize::from(next[left]);
        let right = usize::from(next[merged]);
        row[left] = results[left];
        (candidates[left], candidates[merged]) = (NONE, NONE);
        next[left] = right as u8;
        if right < count {
            previous[right] = left as u8;
            (candidates[left], results[left]) = candidate(row, left, right);
        }
        if left > 0 {
            let before = usize::from(previous[left]);
            (candidates[before], results[before]) = candidate(row, before, left);
        }
    }
    next
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn symbols(ids: &[u32]) -> Vec<Symbol> {
        ids.iter().enumerate().map(|(at, &id)| Symbol { id, start: at, end: at + 1 }).collect()
    }

    #[test]
    fn merges_the_lowest_rank_first_and_the_leftmost_of_equals() {
        let mut merges = Merges::default();
        merges.insert(1, 1, Merge { rank: 0, result: 2 });
        merges.insert(2, 2, Merge { rank: 1, result: 3 });
        for merge in [naive, queued] {
            let mut row = symbols(&[1; 7]);
            merge(&mut row, &merges);
            assert_eq!(row.iter().map(|s| s.id).collect::<Vec<_>>(), [3, 2, 1]);
            assert_eq!((row[1].start, row[1].end), (4, 6));
        }
    }

    proptest! {
        #[test]
        fn all_implementations_agree_with_the_definition(
            pairs in prop::collection::vec((0u32..12, 0u32..12, 0u32..12, 0u32..9), 0..40),
            ids in prop::collection::vec(0u32..6, 0..=MAX_IN_PLACE),
        ) {
            let mut merges = Merges::default();
            for (left, right, result, rank) in pairs {
                merges.insert(left, right, Merge { rank, result });
            }
            let (mut expected, mut found) = (symbols(&ids), symbols(&ids));
            naive(&mut expected, &merges);
            queued(&mut found, &merges);
            prop_assert_eq!(&expected, &found);
            let mut short = symbols(&ids);
            fast(&mut short, &merges);
            prop_assert_eq!(&expected, &short);
            let mut row = ids;
            let count = in_place(&mut row, &merges);
            prop_assert_eq!(&row[..count], expected.iter().map(|symbol| symbol.id).collect::<Vec<_>>());
        }
    }
}
