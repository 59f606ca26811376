//! The merges of a SentencePiece vocabulary, which lists none.
//!
//! There, two neighbouring pieces may be merged wherever their texts together are a piece, the piece of the highest score
//! first. Large vocabularies have half a million such pairs. None of them is written down: whether two pieces are a third
//! one is asked when it matters, and costs one look-up.

use super::Merge;
use crate::error::Result;
use crate::limits;
use crate::vocab::Vocab;

/// The pieces that merges make and are made of.
#[derive(Clone)]
pub(crate) struct Pieces {
    vocab: Vocab,
    /// By id: the rank that a merge to this piece would have were its left half empty. Each byte more goes one rank before.
    last_ranks: Vec<u32>,
}

/// The last rank of what is no piece.
const NO_PIECE: u32 = 0;

impl Pieces {
    /// The pieces of a vocabulary, whose ids are the numbers from 0 on, and their scores.
    ///
    /// The merge to the piece of the highest score comes first; of those to one piece, the one with the longest left half,
    /// as in Hugging Face's lists of merges. Among pieces of the same score, the longest left half comes first, then the
    /// leftmost pair.
    ///
    /// # Errors
    /// [`Error::TooLarge`](crate::Error::TooLarge) where there are more ranks than numbers of 32 bits.
    pub(crate) fn new(vocab: Vocab, mut scores: Vec<(u32, f32)>) -> Result<Pieces> {
        scores.sort_by(|a, b| b.1.total_cmp(&a.1));
        let mut last_ranks = vec![NO_PIECE; vocab.max_id().map_or(0, |id| id as usize + 1)];
        let bytes = |&(id, _): &(u32, f32)| vocab.bytes_of(id).unwrap_or_default();
        let mut ranks = 0;
        for equals in scores.chunk_by(|a, b| a.1 == b.1) {
            ranks += equals.iter().map(bytes).max().unwrap_or_default().max(1);
            limits::check("the bytes of all pieces".to_owned(), ranks, u32::MAX as usize)?;
            for &(id, _) in equals {
                if let Some(last) = last_ranks.get_mut(id as usize) {
                    *last = ranks as u32;
                }
            }
        }
        Ok(Pieces { vocab, last_ranks })
    }

    /// What two pieces become.
    #[inline]
    pub(super) fn merge(&self, left: u32, right: u32) -> Option<Merge> {
        if !self.is_piece(left) || !self.is_piece(right) {
            return None;
        }
        let result = self.vocab.id_of_joined(left, right)?;
        let last = *self.last_ranks.get(result as usize).filter(|&&last| last != NO_PIECE)?;
        Some(Merge { rank: last.checked_sub(self.vocab.bytes_of(left)? as u32)?, result })
    }

    #[inline]
    fn is_piece(&self, id: u32) -> bool {
        self.last_ranks.get(id as usize).is_some_and(|&last| last != NO_PIECE)
    }

    /// All merges, in no particular order.
    pub(super) fn merges(&self) -> impl Iterator<Item = ((u32, u32), Merge)> {
        // Only lengths that occur are worth a look-up, which keeps a file with one enormous token from costing the square
        // of its length.
        let is_found = |id, text| self.is_piece(id) && self.vocab.id(text) == Some(id);
        let pieces = move || self.vocab.all().filter(move |&(id, text)| is_found(id, text));
        let longest = pieces().map(|piece| piece.1.len()).max().unwrap_or_default();
        let mut occurs = vec![false; longest + 1];
        pieces().for_each(|piece| occurs[piece.1.len()] = true);
        pieces().flat_map(move |(_, text)| {
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
        let mut pieces = self.vocab.all().filter(|&(id, _)| self.is_piece(id));
        pieces.any(|(_, text)| {
            let places = text.match_indices(mark).map(|found| found.0);
            let mut inside = places.filter(|&at| at > 0 && !text[..at].ends_with(mark));
            inside.any(|at| is_piece(&text[..at]) && is_piece(&text[at..]))
        })
    }
}
