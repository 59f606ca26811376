//! Loading tokenizers from the files of models.

mod classes;
pub(crate) mod gguf;
pub(crate) mod gguf_pre;
mod gpt2_files;
mod hf_folder;
mod hf_json;
mod hf_steps;
mod json;
mod open;
mod rank_merges;
mod special_tokens;
pub(crate) mod tiktoken;

use crate::error::{Error, Result};
use crate::merge::{Merge, Merges};
use crate::vocab::Vocab;

/// Adds the merge of two tokens, given as text. The first `skip` bytes of the right token are not part of the result.
fn add_merge(
    merges: &mut Merges,
    vocab: &Vocab,
    rank: usize,
    left: &str,
    right: &str,
    skip: usize,
) -> Result<()> {
    let id = |token: &str| {
        vocab.id(token).ok_or_else(|| Error::MergeOutOfVocabulary { merge: rank, token: token.to_owned() })
    };
    let (left_id, right_id) = (id(left)?, id(right)?);
    let tail = right
        .get(skip..)
        .ok_or_else(|| Error::MergeOutOfVocabulary { merge: rank, token: right.to_owned() })?;
    let result = id(&format!("{left}{tail}"))?;
    merges.insert(left_id, right_id, Merge { rank: u32::try_from(rank).unwrap_or(u32::MAX), result });
    Ok(())
}
