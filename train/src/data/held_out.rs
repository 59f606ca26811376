//! Splits the documents into training and validation, to measure the loss on unseen text.

use super::documents::Documents;
use crate::random::mix;

/// The documents of the two splits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Splits {
    /// The training pieces: a document, and the number of bytes from its start.
    pub training: Vec<(usize, usize)>,
    /// The validation pieces: a document, and the byte where the piece starts; it extends to the document's end.
    pub validation: Vec<(usize, usize)>,
}

/// Puts a fraction `share` of the bytes into the validation split.
///
/// Whole documents are chosen in an order shuffled by `seed`; a document longer than the bytes still needed is skipped.
/// If that selects nothing (a single document, or only very long ones), the split is the end of the last document. With
/// a share of 0 it is empty.
pub fn split_documents(documents: &Documents, share: f64, seed: u64) -> Splits {
    let wanted = (documents.total_bytes() as f64 * share).round() as usize;
    let mut order: Vec<usize> = (0..documents.len()).collect();
    order.sort_by_key(|&index| (mix(seed ^ mix(index as u64)), index));
    let mut chosen = vec![false; documents.len()];
    let mut remaining = wanted;
    for index in order {
        let len = documents.byte_len(index);
        if len <= remaining && documents.len() > 1 {
            chosen[index] = true;
            remaining -= len;
        }
    }
    let mut parts = Splits { training: Vec::new(), validation: Vec::new() };
    for (index, &chosen) in chosen.iter().enumerate() {
        match chosen {
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
