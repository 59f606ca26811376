//! How a text becomes tokens, told step by step: the words, and within each word every merge.

use std::ops::Range;

use crate::encode::{EncodeOptions, Segment};
use crate::error::Result;
use crate::merge::{self, Symbol};
use crate::text::Piece;
use crate::tokenizer::Tokenizer;

/// One merge: two neighbouring tokens become one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergeStep {
    /// The age of the merge; among all that are possible, the lowest goes first.
    pub rank: u32,
    /// Which of the word's tokens, before the merge, is the left half.
    pub position: usize,
    /// The left half.
    pub left: u32,
    /// The right half.
    pub right: u32,
    /// What they become.
    pub result: u32,
    /// All tokens of the word after the merge.
    pub after: Vec<u32>,
}

/// How a part of the text became tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// It is an added token, found as a whole.
    AddedToken,
    /// It is a word that is a token as a whole, and the tokenizer ignores merges for those.
    WholeWord,
    /// It is a word that was merged.
    Merged {
        /// The smallest tokens that it began as.
        symbols: Vec<u32>,
        /// The merges in their order.
        merges: Vec<MergeStep>,
    },
}

/// A part of the text: an added token or a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplainedWord {
    /// Its bytes in the original text.
    pub range: Range<usize>,
    /// Its text, normalized.
    pub text: String,
    /// How it became tokens.
    pub how: How,
    /// The tokens.
    pub ids: Vec<u32>,
}

impl Tokenizer {
    /// The words of a text and every merge in them. The ids of all words together are what [`Tokenizer::encode`] gives
    /// without special tokens around the text. A SentencePiece model takes the whole text for one word; it is told in
    /// the parts that nothing is merged across.
    ///
    /// The time grows with the square of a word's length: this is for looking, not for encoding.
    pub fn explain(&self, text: &str, options: &EncodeOptions) -> Result<Vec<ExplainedWord>> {
        let mut words = Vec::new();
        self.segments(text, 0, options, &mut |segment| match segment {
            Segment::Added(id, piece) => words.push(explained(&piece, How::AddedToken, vec![id])),
            Segment::Word(piece) => {
                let parts = self.model().independent_parts(piece.as_str());
                words.extend(parts.map(|part| self.explain_word(&piece.slice(part))));
            }
        })?;
        Ok(words)
    }

    fn explain_word(&self, piece: &Piece<'_>) -> ExplainedWord {
        let (model, word) = (self.model(), self.word(piece.as_str()));
        if let Some(symbol) = model.whole(word) {
            return explained(piece, How::WholeWord, vec![symbol.id]);
        }
        let mut row = model.symbols(word);
        let symbols = ids(&row);
        let mut merges = Vec::new();
        while let Some((position, merge)) = merge::next_merge(&row, model.merges()) {
            let (left, right) = (row[position].id, row[position + 1].id);
            merge::apply(&mut row, position, merge);
            merges.push(MergeStep {
                rank: merge.rank,
                position,
                left,
                right,
                result: merge.result,
                after: ids(&row),
            });
        }
        explained(piece, How::Merged { symbols, merges }, ids(&row))
    }
}

fn ids(row: &[Symbol]) -> Vec<u32> {
    row.iter().map(|symbol| symbol.id).collect()
}

fn explained(piece: &Piece<'_>, how: How, ids: Vec<u32>) -> ExplainedWord {
    let text = piece.as_str().to_owned();
    ExplainedWord { range: piece.origin(0..text.len()), text, how, ids }
}
