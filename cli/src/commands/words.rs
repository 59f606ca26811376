//! Words as tokens: an answer whose logit is asked about, and the words of `neighbors`.

use std::ffi::OsString;

use anyhow::bail;
use clap::Args;
use glassbox_model::glass::next_word;
use glassbox_tokenizer::Tokenizer;

use super::view::{join, quoted, token_id};
use crate::exit::Usage;
use crate::model_source::Source;

/// A token as an answer, given by its text or its id.
#[derive(Args, Debug)]
#[group(multiple = false)]
pub(super) struct AnswerArgs {
    /// The token whose logit is meant, by default the most likely one; as for words inside a text, with a space in
    /// front if that is one token
    #[arg(long, value_name = "TEXT")]
    answer: Option<OsString>,
    /// The token whose logit is meant, as an id
    #[arg(long, value_name = "ID")]
    answer_id: Option<u32>,
}

impl AnswerArgs {
    /// The id of the given token, as one that comes after `prompt`; `None` if none is given.
    pub(super) fn id_after(&self, source: &Source, prompt: &[u32]) -> anyhow::Result<Option<u32>> {
        token_id("--answer", self.answer.as_ref(), self.answer_id, source, prompt)
    }
}

/// Checks that the model has this token.
pub(super) fn check_id(id: u32, source: &Source) -> anyhow::Result<()> {
    let vocab_size = source.checkpoint.config().vocab_size;
    if id as usize >= vocab_size {
        bail!("token id {id} is outside the vocabulary of {vocab_size} tokens");
    }
    Ok(())
}

/// The id of a word that is one token: with a space in front, as inside a text, or as it is written.
pub(super) fn word_token(tokenizer: &Tokenizer, word: &[u8]) -> anyhow::Result<u32> {
    match next_word(tokenizer, word, &[])? {
        None => Err(Usage("the word is empty".into()).into()),
        Some(read) if read.ids.len() == 1 => Ok(read.ids[0]),
        Some(read) => bail!(
            "{} is not one token but {}: {}; give one of these",
            quoted(word),
            read.ids.len(),
            join(tokenizer, &read.ids)
        ),
    }
}
