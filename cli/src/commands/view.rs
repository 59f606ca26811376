//! Shared by the views: the prompt with its model, and the selection of a token in the prompt.

use std::ffi::OsString;

use anyhow::{anyhow, bail};
use clap::Args;
use glassbox_model::Runtime;
use glassbox_tokenizer::{EncodeOptions, Special, Tokenizer};

use super::predict::{shown, text};
use crate::args::{MachineArgs, ModelArgs, argument_bytes};
use crate::exit::Usage;
use crate::model_source::Source;
use crate::prompt::{Prompt, PromptArgs, special};

/// A prompt and the model that reads it.
#[derive(Args, Debug)]
pub(super) struct ViewArgs {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    prompt: PromptArgs,
    /// Recognise special tokens in the prompt (otherwise plain text)
    #[arg(long)]
    special: bool,
    #[command(flatten)]
    machine: MachineArgs,
}

/// A token, given by its text or its id.
#[derive(Args, Debug)]
#[group(multiple = false)]
pub(super) struct TokenArgs {
    /// The token as text, as written or with a space in front, as for words inside a text
    #[arg(long, value_name = "TEXT")]
    token: Option<OsString>,
    /// The token as an id
    #[arg(long, value_name = "ID")]
    token_id: Option<u32>,
}

impl ViewArgs {
    /// Reads the prompt and opens the model.
    pub(super) fn open(&self) -> anyhow::Result<(Source, Vec<u32>)> {
        let prompt = self.prompt.read()?;
        let source = Source::open(&self.model)?;
        let ids = ids(prompt, &source, special(self.special))?;
        Ok((source, ids))
    }

    /// Loads the model.
    pub(super) fn load(&self, source: &Source) -> anyhow::Result<Runtime> {
        Ok(source.load(&self.machine)?.0)
    }
}

/// The ids of a prompt, checked against the model's context length and vocabulary.
pub(super) fn ids(prompt: Prompt, source: &Source, special: Special) -> anyhow::Result<Vec<u32>> {
    let ids = prompt.ids(source, special)?;
    let (context, vocab_size) = (source.context(None)?, source.checkpoint.config().vocab_size);
    if ids.len() > context {
        bail!("the prompt has {} tokens and does not fit a context of {context}", ids.len());
    }
    if let Some(id) = ids.iter().find(|&&id| id as usize >= vocab_size) {
        bail!("token id {id} is outside the vocabulary of {vocab_size} tokens");
    }
    Ok(ids)
}

/// Checks that the model has this layer.
pub(super) fn check_layer(layer: Option<usize>, source: &Source) -> anyhow::Result<()> {
    check("layer", layer, source.checkpoint.config().n_layers)
}

/// Checks that `index`, if given, is below `count`.
pub(super) fn check(what: &str, index: Option<usize>, count: usize) -> anyhow::Result<()> {
    match index {
        Some(index) if index >= count => {
            bail!("there is no {what} {index}: expected 0 to {}", count - 1)
        }
        _ => Ok(()),
    }
}

/// The tokens' texts, for JSON.
pub(super) fn texts(tokenizer: Option<&Tokenizer>, ids: &[u32]) -> Vec<String> {
    ids.iter().map(|&id| text(tokenizer, id)).collect()
}

impl TokenArgs {
    /// Whether a token is given.
    pub(super) fn is_given(&self) -> bool {
        self.token.is_some() || self.token_id.is_some()
    }

    /// The id of the given token; `None` if none is given.
    pub(super) fn id(&self, source: &Source) -> anyhow::Result<Option<u32>> {
        let vocab_size = source.checkpoint.config().vocab_size;
        let id = match (&self.token, self.token_id) {
            (Some(word), _) => {
                let tokenizer = source.tokenizer().map_err(by_id)?;
                super::neighbors::token_of(tokenizer, &argument_bytes(word))?
            }
            (None, Some(id)) => id,
            (None, None) => return Ok(None),
        };
        if id as usize >= vocab_size {
            bail!("token id {id} is outside the vocabulary of {vocab_size} tokens");
        }
        Ok(Some(id))
    }

    /// The last position of the given token in `ids`; `None` if none is given. For a word of several tokens it is the
    /// position of its last token, which attends to the others.
    pub(super) fn position(&self, source: &Source, ids: &[u32]) -> anyhow::Result<Option<usize>> {
        let (words, name) = match (&self.token, self.token_id) {
            (Some(word), _) => {
                let tokenizer = source.tokenizer().map_err(by_id)?;
                let word = argument_bytes(word);
                if word.is_empty() {
                    return Err(Usage("the token is empty".into()).into());
                }
                let options = EncodeOptions { special: Special::Parse, add_special_tokens: false };
                let alone = tokenizer.encode_bytes(&word, &options)?;
                let inside = tokenizer.encode_bytes(&[b" ", &word[..]].concat(), &options)?;
                (vec![alone, inside], format!("{:?}", String::from_utf8_lossy(&word)))
            }
            (None, Some(id)) => (vec![vec![id]], format!("token {id}")),
            (None, None) => return Ok(None),
        };
        let ends = |word: &Vec<u32>| {
            (0..ids.len()).rev().find(|&last| !word.is_empty() && ids[..=last].ends_with(word))
        };
        words.iter().filter_map(ends).max().map(Some).ok_or_else(|| {
            let tokenizer = source.tokenizer().ok();
            let shown: Vec<String> = ids.iter().map(|&id| shown(tokenizer, id)).collect();
            anyhow!("{name} is not in the prompt, whose tokens are {}", shown.join(" · "))
        })
    }
}

fn by_id(error: anyhow::Error) -> anyhow::Error {
    anyhow!("{error}; give the token with --token-id")
}
