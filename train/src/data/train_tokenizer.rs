//! Trains a tokenizer on the training split.

use glassbox_tokenizer::{Tokenizer, TrainOptions, Trainer};

use super::documents::{Documents, END_OF_TEXT};
use super::error::DataError;
use super::held_out::Splits;

/// Trains a byte-level BPE of at most `vocab_size` tokens on the training split. Token 0 is [`END_OF_TEXT`], which is
/// also the bos and eos token.
///
/// # Errors
/// Errors of the tokenizer crate.
pub fn train_tokenizer(
    documents: &Documents,
    parts: &Splits,
    vocab_size: usize,
) -> Result<Tokenizer, DataError> {
    let special_tokens = vec![END_OF_TEXT.to_owned()];
    let mut trainer = Trainer::new(TrainOptions { vocab_size, special_tokens, ..TrainOptions::default() });
    for &(index, end) in &parts.training {
        trainer.feed(&documents.get(index)[..end])?;
    }
    let mut tokenizer = trainer.train()?;
    let end = tokenizer.token_to_id(END_OF_TEXT);
    tokenizer.set_bos_id(end);
    tokenizer.set_eos_id(end);
    Ok(tokenizer)
}

/// The token that ends a document: [`END_OF_TEXT`], otherwise the tokenizer's eos token.
///
/// # Errors
/// [`DataError::NoEnd`] if it has neither.
pub fn end_of_document(tokenizer: &Tokenizer) -> Result<u32, DataError> {
    let found = tokenizer.token_to_id(END_OF_TEXT).or_else(|| tokenizer.eos_id());
    found.ok_or_else(|| DataError::NoEnd { looked_for: END_OF_TEXT.to_owned() })
}
