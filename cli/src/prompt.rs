//! The prompt: its source, and its conversion to token ids.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use glassbox_tokenizer::{EncodeOptions, Special, text_file};

use crate::args::{Ids, argument_bytes};
use crate::exit::Usage;
use crate::model_source::Source;
use crate::output::{note, warn};

/// The source of a prompt: one of these, otherwise standard input.
#[derive(Args, Debug)]
#[group(multiple = false)]
pub(crate) struct PromptArgs {
    /// Prompt; without it, the prompt is read from standard input, byte for byte
    #[arg(value_name = "PROMPT")]
    text: Option<OsString>,
    /// Prompt that may begin with a dash
    #[arg(short, long, value_name = "PROMPT", allow_hyphen_values = true, hide_short_help = true)]
    prompt: Option<OsString>,
    /// Read the prompt from a file, byte for byte; a byte order mark at its head is no part of it
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Prompt as token ids, such as 1,2,3; no special tokens are added
    #[arg(long, value_name = "IDS")]
    ids: Option<Ids>,
}

/// A prompt as given by the user.
#[derive(Clone)]
pub(crate) enum Prompt {
    Text(Vec<u8>),
    Ids(Vec<u32>),
}

/// How to give a prompt.
const HOW_TO_GIVE: &str = "give a prompt, -f FILE or --ids, or pipe text to standard input";

impl PromptArgs {
    /// Reads the prompt.
    pub(crate) fn read(&self) -> anyhow::Result<Prompt> {
        if let Some(Ids(ids)) = &self.ids {
            return Ok(Prompt::Ids(ids.clone()));
        }
        if let Some(text) = self.text.as_ref().or(self.prompt.as_ref()) {
            return Ok(Prompt::Text(argument_bytes(text)));
        }
        Ok(Prompt::Text(match &self.file {
            Some(file) => read_file(file)?,
            None => match read_stdin(HOW_TO_GIVE)? {
                text if text.is_empty() => {
                    return Err(Usage(format!(
                        "standard input is empty: {HOW_TO_GIVE}; \"\" starts from nothing"
                    ))
                    .into());
                }
                text => text,
            },
        }))
    }
}

impl Prompt {
    /// The token ids to feed. Text gets the special tokens that the model was trained with; empty text becomes the
    /// beginning-of-sequence token, if there is one.
    pub(crate) fn ids(self, source: &Source, special: Special) -> anyhow::Result<Vec<u32>> {
        let text = match self {
            Prompt::Ids(ids) => return Ok(ids),
            Prompt::Text(text) => text,
        };
        let tokenizer = source.tokenizer()?;
        let ids = tokenizer.encode_bytes(&text, &EncodeOptions { special, add_special_tokens: true })?;
        if let [first, second, ..] = ids[..]
            && first == second
            && Some(first) == tokenizer.bos_id()
        {
            warn(
                "the prompt begins with a beginning-of-sequence token, and another one was added in front of it",
            );
        }
        match (ids.is_empty(), tokenizer.bos_id()) {
            (false, _) => Ok(ids),
            (true, Some(bos)) => {
                note("the prompt is empty: there is only the beginning-of-sequence token in front of it");
                Ok(vec![bos])
            }
            (true, None) => bail!(
                "the prompt is empty, and this model has no beginning-of-sequence token to start from: give some text"
            ),
        }
    }
}

/// How special tokens in a text are read, given `--special`.
pub(crate) fn special(parse: bool) -> Special {
    if parse { Special::Parse } else { Special::AsText }
}

pub(crate) fn read_file(path: &Path) -> anyhow::Result<Vec<u8>> {
    text_file::read(path).with_context(|| format!("reading {}", path.display()))
}

/// All of standard input. If that is a terminal, an error with the message `hint`: waiting for input was not intended.
pub(crate) fn read_stdin(hint: &str) -> anyhow::Result<Vec<u8>> {
    let mut stdin = io::stdin().lock();
    if stdin.is_terminal() {
        return Err(Usage(hint.to_owned()).into());
    }
    let mut bytes = Vec::new();
    stdin.read_to_end(&mut bytes).context("reading standard input")?;
    Ok(text_file::without_mark(&bytes).to_vec())
}
