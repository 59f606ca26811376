//! The prompt: where its text or ids come from, and how it becomes the ids that are fed.

use std::ffi::OsString;
use std::fs;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use glassbox_tokenizer::{EncodeOptions, Special};

use crate::args::{Ids, argument_bytes};
use crate::exit::Usage;
use crate::model_source::Source;
use crate::output::warn;

/// Where a prompt comes from: one of these, or else standard input.
#[derive(Args, Debug)]
#[group(multiple = false)]
pub(crate) struct PromptArgs {
    /// The text to go on from; without it, text is read from standard input, byte for byte
    #[arg(value_name = "PROMPT")]
    text: Option<OsString>,
    /// The same, for a text that begins with a dash
    #[arg(short, long, value_name = "PROMPT", allow_hyphen_values = true)]
    prompt: Option<OsString>,
    /// A file with the text, read byte for byte
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Token ids in place of text, such as 1,2,3: fed as they are, nothing is put in front of them
    #[arg(long, value_name = "IDS")]
    ids: Option<Ids>,
}

/// A prompt as it was given.
#[derive(Clone)]
pub(crate) enum Prompt {
    Text(Vec<u8>),
    Ids(Vec<u32>),
}

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
            None => read_stdin("give a prompt, or -f FILE, or --ids, or text on standard input")?,
        }))
    }
}

impl Prompt {
    /// The ids to feed. Text gets the special tokens around it that the model was trained with. Of no text at all the
    /// token that begins a sequence remains, where there is one.
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
            warn("the prompt begins with the beginning-of-sequence token that is put in front of it anyway");
        }
        match (ids.is_empty(), tokenizer.bos_id()) {
            (false, _) => Ok(ids),
            (true, Some(bos)) => Ok(vec![bos]),
            (true, None) => bail!(
                "the prompt is empty, and this model has no token that begins a sequence to start from: give it some text"
            ),
        }
    }
}

/// How special tokens in a text are read under `--special`.
pub(crate) fn special(parse: bool) -> Special {
    if parse { Special::Parse } else { Special::AsText }
}

pub(crate) fn read_file(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("reading {}", path.display()))
}

/// All of standard input. Where that is a terminal, nobody meant it: `otherwise` says what to do instead.
pub(crate) fn read_stdin(otherwise: &str) -> anyhow::Result<Vec<u8>> {
    let mut stdin = io::stdin().lock();
    if stdin.is_terminal() {
        return Err(Usage(otherwise.to_owned()).into());
    }
    let mut bytes = Vec::new();
    stdin.read_to_end(&mut bytes).context("reading standard input")?;
    Ok(bytes)
}
