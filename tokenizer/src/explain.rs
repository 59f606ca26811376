//! How a text becomes tokens, step by step: the words, and every merge in each word.

use std::ops::Range;

use crate::encode::{EncodeOptions, Segment};
use crate::error::Result;
use crate::merge::{self, Symbol};
use crate::text::Piece;
use crate::tokenizer::Tokenizer;

/// One merge: two adjacent tokens become one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergeStep {
    /// The rank of the merge; of all possible merges, the lowest rank is applied first.
    pub rank: u32,
    /// The index of the left token in the word before the merge.
    pub position: usize,
    /// The left token.
    pub left: u32,
    /// The right token.
    pub right: u32,
    /// The resulting token.
    pub result: u32,
    /// All tokens of the word after the merge.
    pub after: Vec<u32>,
}

/// How a word became tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Derivation {
    /// It is an added token, matched as a whole.
    AddedToken,
    /// The whole word is in the vocabulary, and the tokenizer ignores merges for such words.
    WholeWord,
    /// Merging produced its tokens.
    Merged {
        /// The initial symbols, one per byte or character.
        symbols: Vec<u32>,
        /// The merges in order.
        merges: Vec<MergeStep>,
    },
}

/// A word of the text, or an added token in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplainedWord {
    /// Its byte range in the original text.
    pub range: Range<usize>,
    /// Its text, normalized.
    pub text: String,
    /// How it became tokens.
    pub derivation: Derivation,
    /// The tokens.
    pub ids: Vec<u32>,
}

impl Tokenizer {
    /// The words of a text and every merge in them. The ids of all words together are those of [`Tokenizer::encode`]
    /// without special tokens around the text. To a SentencePiece model the whole text is one word; it is split into
    /// parts that no merge crosses.
    ///
    /// Takes time quadratic in a word's length: meant for inspection, not for encoding.
    pub fn explain(&self, text: &str, options: &EncodeOptions) -> Result<Vec<ExplainedWord>> {
        let mut words = Vec::new();
        self.segments(text, 0, options, &mut |segment| match segment {
            Segment::Added(id, piece) => words.push(explained(&piece, Derivation::AddedToken, vec![id])),
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
            return explained(piece, Derivation::WholeWord, vec![symbol.id]);
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
        explained(piece, Derivation::Merged { symbols, merges }, ids(&row))
    }
}

fn ids(row: &[Symbol]) -> Vec<u32> {
    row.iter().map(|symbol| symbol.id).collect()
}

fn explained(piece: &Piece<'_>, derivation: Derivation, ids: Vec<u32>) -> ExplainedWord {
    let text = piece.as_str().to_owned();
    ExplainedWord { range: piece.origin(0..text.len()), text, derivation, ids }
}
