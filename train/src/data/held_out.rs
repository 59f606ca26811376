//! Which part of the text is kept back, to see how the model does on what it has never read.

use super::documents::Documents;
use crate::random::mix;

/// The documents in two parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Splits {
    /// The pieces to learn from: a document and how many of its bytes, from its beginning.
    pub training: Vec<(usize, usize)>,
    /// The pieces kept back: a document and from which of its bytes to its end.
    pub validation: Vec<(usize, usize)>,
}

/// Keeps back `share` of the bytes (0.02 is one part in fifty).
///
/// Whole documents are kept back, in an order shuffled by `seed`; one that is longer than what is still wanted is passed
/// over. Where that gives nothing (a single document, or very long ones) it is the end of the last document instead.
/// A share of 0 keeps back nothing.
pub fn split_documents(documents: &Documents, share: f64, seed: u64) -> Splits {
    let wanted = (documents.total_bytes() as f64 * share).round() as usize;
    let mut order: Vec<usize> = (0..documents.len()).collect();
    order.sort_by_key(|&index| (mix(seed ^ mix(index as u64)), index));
    let mut kept = vec![false; documents.len()];
    let mut left = wanted;
    for index in order {
        let len = documents.byte_len(index);
        if len <= left && documents.len() > 1 {
            kept[index] = true;
            left -= len;
        }
    }
    let mut parts = Splits { training: Vec::new(), validation: Vec::new() };
    for (index, &kept) in kept.iter().enumerate() {
        match kept {
            true => parts.validation.push((index, 0)),
            false => parts.training.push((index, documents.byte_len(index))),
        }
    }
    if let (true, true, Some(last)) = (wanted > 0, parts.validation.is_empty(), parts.training.last_mut()) {
        let text = documents.get(last.0);
        let mut cut = text.len().saturating_sub(wanted);
        while !text.is_char_boundary(cut) {
            cut -= 1;
        }
        last.1 = cut;
        parts.validation.push((last.0, cut));
    }
    parts
}
