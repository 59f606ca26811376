//! Merges for rank files, which only rank their tokens.
//!
//! There, two adjacent tokens are merged whenever their concatenation is a token. So every split of a token into two
//! tokens is a merge, with the rank of the token.

use crate::hash::{Map, map};
use crate::merge::{Merge, Merges};

/// The merges of tokens `(text, id, rank)`.
pub(super) fn by_rank(tokens: &[(&[u8], u32, u32)]) -> Merges {
    let mut ids: Map<&[u8], u32> = map(tokens.len());
    for &(text, id, _) in tokens {
        ids.insert(text, id);
    }
    // Only lengths that occur are looked up. Otherwise one enormous token would take time quadratic in its length.
    let longest = tokens.iter().map(|token| token.0.len()).max().unwrap_or(0);
    let mut occurs = vec![false; longest + 1];
    tokens.iter().for_each(|token| occurs[token.0.len()] = true);
    let lengths: Vec<usize> = (1..=longest).filter(|&length| occurs[length]).collect();

    let mut merges = Merges::with_capacity(tokens.len() * 2);
    for &(text, result, rank) in tokens {
        let cuts = lengths.iter().copied().take_while(|&cut| cut < text.len());
        for cut in cuts.filter(|&cut| occurs[text.len() - cut]) {
            let (left, right) = text.split_at(cut);
            if let (Some(&left), Some(&right)) = (ids.get(left), ids.get(right)) {
                merges.insert(left, right, Merge { rank, result });
            }
        }
    }
    merges
}
