//! The merges of a SentencePiece vocabulary, which has no list of merges.
//!
//! There, two adjacent pieces are merged whenever their concatenation is a piece, the piece with the highest score
//! first. Large vocabularies have half a million such pairs. They are not stored: whether the concatenation of two
//! pieces is a piece is looked up when needed.

use super::Merge;
use crate::error::Result;
use crate::limits;
use crate::vocab::Vocab;

/// The pieces that merges combine and produce.
#[derive(Clone)]
pub(crate) struct Pieces {
    vocab: Vocab,
    /// By id.
    pieces: Vec<Piece>,
}

/// The properties of a token that merging needs.
#[derive(Clone, Copy)]
struct Piece {
    hash: u64,
    bytes: u32,
    /// The rank of a merge to this piece with an empty left half; each byte of the left half lowers the rank by one.
    /// [`NO_PIECE`] if the token is not a piece.
    last_rank: u32,
}

const NO_PIECE: u32 = 0;

impl Pieces {
    /// The pieces of a vocabulary with ids from 0 on, and their scores.
    ///
    /// The merge to the piece with the highest score comes first; among merges to one piece, the one with the longest
    /// left half, as in Hugging Face's lists of merges. Among pieces with equal scores, the longest left half comes
    /// first, then the leftmost pair.
    ///
    /// # Errors
    /// [`Error::TooLarge`](crate::Error::TooLarge) if the ranks do not fit 32 bits.
    pub(crate) fn new(vocab: Vocab, mut scores: Vec<(u32, f32)>) -> Result<Pieces> {
        scores.sort_by(|a, b| b.1.total_cmp(&a.1));
        let mut pieces: Vec<Piece> = vocab
            .hashes()
            .map(|(hash, bytes)| Piece { hash, bytes: bytes as u32, last_rank: NO_PIECE })
            .collect();
        let mut ranks = 0;
        for equals in scores.chunk_by(|a, b| a.1 == b.1) {
            let ids = equals.iter().map(|&(id, _)| id as usize);
            ranks +=
                ids.clone().filter_map(|id| Some(pieces.get(id)?.bytes as usize)).max().unwrap_or(0).max(1);
            limits::check("the bytes of all pieces".to_owned(), ranks, u32::MAX as usize)?;
            for id in ids {
                // An empty token is never part of an encoding.
                if let Some(piece) = pieces.get_mut(id).filter(|piece| piece.bytes > 0) {
                    piece.last_rank = ranks as u32;
                }
            }
        }
        Ok(Pieces { vocab, pieces })
    }

    /// The merge of two pieces.
    #[inline]
    pub(super) fn merge(&self, left: u32, right: u32) -> Option<Merge> {
        let (first, second) = (self.piece(left)?, self.piece(right)?);
        let hash = self.vocab.hash_of_joined(first.hash, second.hash, second.bytes as usize);
        let result = self.vocab.id_of_joined(hash, left, right)?;
        Some(Merge { rank: self.piece(result)?.last_rank.checked_sub(first.bytes)?, result })
    }

    #[inline]
    fn piece(&self, id: u32) -> Option<&Piece> {
        self.pieces.get(id as usize).filter(|piece| piece.last_rank != NO_PIECE)
    }

    fn is_piece(&self, id: u32) -> bool {
        self.piece(id).is_some()
    }

    /// The texts of the pieces that merges produce. Of several tokens with one text, only the last is ever produced.
    fn found(&self) -> impl Iterator<Item = &str> {
        let all = self.vocab.all();
        all.filter(|&(id, text)| self.is_piece(id) && self.vocab.id(text) == Some(id)).map(|(_, text)| text)
    }

    /// All merges, in arbitrary order.
    pub(super) fn merges(&self) -> impl Iterator<Item = ((u32, u32), Merge)> {
        // Only lengths that occur are looked up. Otherwise one enormous token would take time quadratic in its length.
        let longest = self.found().map(str::len).max().unwrap_or_default();
        let mut occurs = vec![false; longest + 1];
        self.found().for_each(|text| occurs[text.len()] = true);
        self.found().flat_map(move |text| {
            let cuts = (1..text.len()).filter(|&cut| text.is_char_boundary(cut));
            let cuts = cuts.filter(|&cut| occurs[cut] && occurs[text.len() - cut]).collect::<Vec<_>>();
            cuts.into_iter().filter_map(|cut| {
                let pair = (self.vocab.id(&text[..cut])?, self.vocab.id(&text[cut..])?);
                Some((pair, self.merge(pair.0, pair.1)?))
            })
        })
    }

    /// See [`Merges::join_before`](super::Merges::join_before).
    pub(super) fn join_before(&self, mark: char) -> bool {
        let is_piece = |text| self.vocab.id(text).is_some_and(|id| self.is_piece(id));
        self.found().any(|text| {
            let places = text.match_indices(mark).map(|found| found.0);
            let mut inside = places.filter(|&at| at > 0 && !text[..at].ends_with(mark));
            inside.any(|at| is_piece(&text[..at]) && is_piece(&text[at..]))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn merges_are_all_pairs_whose_texts_together_are_a_piece(
            tokens in prop::collection::vec(("[aé▁]{0,5}", prop::option::of(0u8..4)), 0..20),
        ) {
            let texts: Vec<&str> = tokens.iter().map(|token| &*token.0).collect();
            let vocab = Vocab::of_list(texts.iter().collect());
            let last = |text: &str| texts.iter().rposition(|&other| other == text);
            let scores = (0..).zip(&tokens).filter_map(|(id, token)| Some((id, f32::from(token.1?)))).collect();
            let pieces = Pieces::new(vocab, scores).unwrap();
            let is_piece = |id: &usize| tokens[*id].1.is_some() && !texts[*id].is_empty();
            let is_found = |id: usize| last(texts[id]) == Some(id);
            let mut all = BTreeSet::new();
            // The highest score first, then the longest left half.
            let mut order = Vec::new();
            for left in 0..texts.len() {
                for right in 0..texts.len() {
                    let joined = texts[left].to_owned() + texts[right];
                    let result = last(&joined).filter(is_piece).filter(|_| is_piece(&left) && is_piece(&right));
                    let merge = pieces.merge(left as u32, right as u32);
                    prop_assert_eq!(merge.map(|merge| merge.result as usize), result);
                    if let (Some(merge), Some(result)) = (merge, result) {
                        let length = texts[left].len();
                        order.push((std::cmp::Reverse((tokens[result].1, length)), merge.rank));
                        if is_found(left) && is_found(right) {
                            all.insert((left as u32, right as u32, merge.result, merge.rank));
                        }
                    }
                }
            }
            order.sort();
            prop_assert!(order.is_sorted_by(|a, b| (a.0 == b.0) == (a.1 == b.1) && a.1 <= b.1), "{:?}", order);
            let listed: Vec<_> =
                pieces.merges().map(|((left, right), merge)| (left, right, merge.result, merge.rank)).collect();
            prop_assert_eq!(listed.len(), all.len());
            prop_assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), all);
            let marks = pieces.merges().any(|((left, right), _)| {
                texts[right as usize].starts_with('▁') && !texts[left as usize].ends_with('▁')
            });
            prop_assert_eq!(pieces.join_before('▁'), marks);
        }
    }
}
