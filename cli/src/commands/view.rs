//! Shared by the views: the prompt with its model, and the selection of a token in the prompt.

use std::ffi::OsString;

use anyhow::{anyhow, bail};
use clap::Args;
use glassbox_model::Runtime;
use glassbox_model::glass::next_word;
use glassbox_tokenizer::{Special, Tokenizer};

use super::position::{self, Place};
use super::predict::{shown, text};
use crate::args::{MachineArgs, ModelArgs, argument_bytes};
use crate::exit::Usage;
use crate::model_source::Source;
use crate::output::note;
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
    /// The token as a word: Paris is read with a space in front, as inside a text; a note says which token it is
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

    /// The id of the given token as one that comes after `prompt`; `None` if none is given. A word is read with a space
    /// in front, as inside a text; of a word of several tokens the first is taken. A note says so.
    pub(super) fn id_after(&self, source: &Source, prompt: &[u32]) -> anyhow::Result<Option<u32>> {
        token_id("--token", self.token.as_ref(), self.token_id, source, prompt)
    }

    /// The place of the given token in `ids`, the last one if it occurs several times; `None` if none is given.
    pub(super) fn place(&self, source: &Source, ids: &[u32]) -> anyhow::Result<Option<Place>> {
        match (&self.token, self.token_id) {
            (Some(word), _) => position::find(&argument_bytes(word), source, ids).map(Some),
            (None, Some(id)) => match ids.iter().rposition(|&other| other == id) {
                Some(position) => Ok(Some(Place::at(position))),
                None => Err(not_in_prompt(&format!("token {id}"), source, ids)),
            },
            (None, None) => Ok(None),
        }
    }
}

/// The token that a word means after `prompt`, or the one with this id; `None` if neither is given. The word is the
/// value of `option`; the id is that of the option with `-id` at its end.
pub(super) fn token_id(
    option: &str,
    word: Option<&OsString>,
    id: Option<u32>,
    source: &Source,
    prompt: &[u32],
) -> anyhow::Result<Option<u32>> {
    let id = match (word, id) {
        (Some(word), _) => {
            let tokenizer =
                source.tokenizer().map_err(|error| anyhow!("{error}; give the token with {option}-id"))?;
            word_after(option, tokenizer, &argument_bytes(word), prompt)?
        }
        (None, Some(id)) => id,
        (None, None) => return Ok(None),
    };
    let vocab_size = source.checkpoint.config().vocab_size;
    if id as usize >= vocab_size {
        bail!("token id {id} is outside the vocabulary of {vocab_size} tokens");
    }
    Ok(Some(id))
}

/// The token that `word` means after `prompt`. A note tells which one, unless it is the word as it is written.
fn word_after(option: &str, tokenizer: &Tokenizer, word: &[u8], prompt: &[u32]) -> anyhow::Result<u32> {
    let Some(read) = next_word(tokenizer, word, prompt)? else { return Err(empty_token()) };
    let id = read.ids[0];
    let name = quoted(word);
    if read.ids.len() > 1 {
        let parts = join(tokenizer, &read.ids);
        let count = read.ids.len();
        note(format_args!(
            "{name} is {count} tokens: {parts}; the first is used, {}",
            labelled(tokenizer, id)
        ));
    } else if let Some(other) = read.as_written {
        let other = match other[..] {
            [other] => format!("; without the space in front it is {option}-id {other}"),
            _ => String::new(),
        };
        note(format_args!("{name} is taken as {}{other}", labelled(tokenizer, id)));
    }
    Ok(id)
}

/// The position of `word` in `ids`, as [`position::find`] finds it.
pub(crate) fn position_of_word(source: &Source, word: &[u8], ids: &[u32]) -> anyhow::Result<usize> {
    Ok(position::find(word, source, ids)?.position)
}

pub(super) fn not_in_prompt(name: &str, source: &Source, ids: &[u32]) -> anyhow::Error {
    let tokenizer = source.tokenizer().ok();
    let shown: Vec<String> = ids.iter().map(|&id| shown(tokenizer, id)).collect();
    anyhow!("{name} is not in the prompt, whose tokens are {}", shown.join(" · "))
}

pub(super) fn empty_token() -> anyhow::Error {
    Usage("the token is empty".into()).into()
}

pub(super) fn quoted(word: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(word))
}

/// A token with its id, such as `␣Paris (7042)`.
pub(super) fn labelled(tokenizer: &Tokenizer, id: u32) -> String {
    format!("{} ({id})", shown(Some(tokenizer), id))
}

/// Tokens, separated by dots.
pub(super) fn join(tokenizer: &Tokenizer, ids: &[u32]) -> String {
    ids.iter().map(|&id| shown(Some(tokenizer), id)).collect::<Vec<_>>().join(" · ")
}
