//! `tokenize`: the tokens of a text.

mod explain;

use std::ffi::OsString;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::Args;
use glassbox_model::{Checkpoint, open_gguf, tokenizer_of_gguf};
use glassbox_tokenizer::{EncodeOptions, Special, TemplatePart, Tokenizer};
use serde::Serialize;

use super::predict::{shown, text as token_text};
use crate::args::{CheckpointArgs, argument_bytes, encoding_threads};
use crate::escape;
use crate::model_source::{Found, built_in};
use crate::output::{Out, warn};
use crate::prompt::{read_file, read_stdin, special};

const EXAMPLES: &str = "Examples:\n\
\x20 glassbox tokenize \"Hello, world!\"\n\
\x20 glassbox tokenize --explain \"unbelievable 你好 🤖\"\n\
\x20 glassbox tokenize --tokenizer tokenizer.json --special \"<|im_start|>user\"";

/// Show the tokens of a text
///
/// Writes a table of the tokens with their ids and byte ranges in the text. Without an argument, the text is read from
/// standard input, byte for byte; it need not be UTF-8. No weights are loaded.
///
/// With --explain, each word of the text is shown with the symbols it starts as, the merges in the order in which they
/// are applied, and the reason why they end.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    tokenizer: TokenizerArgs,
    /// Text; without it, the text is read from standard input
    #[arg(value_name = "TEXT", conflicts_with = "file")]
    text: Option<OsString>,
    /// Read the text from a file
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Parse special tokens in the text, which are plain text otherwise
    #[arg(long)]
    special: bool,
    /// Add the special tokens that the model expects around a text, such as beginning of sequence
    #[arg(long)]
    add_special: bool,
    /// Write one JSON object: ids and tokens
    #[arg(long)]
    json: bool,
    /// Threads that encode a long text with --json; the ids do not depend on it [default: one per physical core]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Show the merges that lead from the bytes of each word to its tokens
    #[arg(long, conflicts_with_all = ["json", "add_special"])]
    explain: bool,
}

/// The tokenizer to use.
#[derive(Args, Debug)]
pub(crate) struct TokenizerArgs {
    #[command(flatten)]
    model: CheckpointArgs,
    /// Tokenizer without a model: tokenizer.json, vocab.json beside merges.txt, a .tiktoken file, or a GGUF
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<PathBuf>,
}

/// A token and its byte range in the text.
struct Row {
    id: u32,
    range: Range<usize>,
}

/// What `--json` writes.
#[derive(Serialize)]
struct Report {
    ids: Vec<u32>,
    tokens: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments, out: &mut Out) -> anyhow::Result<()> {
    let text = match (&arguments.text, &arguments.file) {
        (Some(text), _) => argument_bytes(text),
        (_, Some(file)) => read_file(file)?,
        _ => read_stdin("give a text or -f FILE, or pipe text to standard input")?,
    };
    let tokenizer = arguments.tokenizer.open()?;
    if arguments.explain {
        return explain::explain(&tokenizer, &text, special(arguments.special), out);
    }
    if arguments.json {
        let options =
            EncodeOptions { special: special(arguments.special), add_special_tokens: arguments.add_special };
        let ids = tokenizer.encode_bytes_on(encoding_threads(arguments.threads), &text, &options)?;
        let tokens = ids.iter().map(|&id| token_text(Some(&tokenizer), id)).collect();
        return out.json(&Report { ids, tokens });
    }
    let tokens = tokens(&tokenizer, &text, special(arguments.special), arguments.add_special)?;
    let rows: Vec<(String, &Row)> = tokens.iter().map(|row| (shown(Some(&tokenizer), row.id), row)).collect();
    let widest = rows.iter().map(|(token, _)| escape::width(token)).max().unwrap_or(0);
    let column = widest.clamp(5, out.width().map_or(usize::MAX, |width| width.saturating_sub(24).max(5)));
    if !rows.is_empty() {
        let heading = format!("{}  {:>7}  bytes", escape::fit("token", column), "id");
        out.line(out.paint(2, &heading))?;
    }
    for (token, row) in rows {
        let Range { start, end } = row.range;
        out.line(format_args!("{}  {:>7}  {start}..{end}", escape::fit(&token, column), row.id))?;
    }
    Ok(())
}

impl TokenizerArgs {
    /// Opens the tokenizer and writes its warnings to stderr.
    pub(crate) fn open(&self) -> anyhow::Result<Tokenizer> {
        let tokenizer = match &self.tokenizer {
            Some(file) if is_gguf(file)? => of_gguf(file)?,
            Some(file) => Tokenizer::from_file(file)?,
            None => of_model(&Found::by(self.model.model.as_deref())?)?,
        };
        tokenizer.warnings().iter().for_each(warn);
        Ok(tokenizer)
    }
}

/// The tokenizer of a model. The model need not be supported; a folder may have a tokenizer alone.
fn of_model(model: &Found) -> anyhow::Result<Tokenizer> {
    let path = match model {
        Found::At(path) if path.is_dir() => path,
        Found::At(path) => return of_gguf(path),
        Found::BuiltIn => {
            return tokenizer_of_gguf(&built_in()?)?.ok_or_else(|| without(model.path()));
        }
    };
    match Checkpoint::open(path) {
        Ok(checkpoint) => checkpoint.tokenizer()?.ok_or_else(|| without(path)),
        Err(_) => Ok(Tokenizer::from_file(path)?),
    }
}

/// The tokenizer of a GGUF. The model need not be supported.
fn of_gguf(path: &Path) -> anyhow::Result<Tokenizer> {
    tokenizer_of_gguf(&open_gguf(path)?)?.ok_or_else(|| without(path))
}

fn without(path: &Path) -> anyhow::Error {
    anyhow!("{} has no tokenizer", path.display())
}

/// Whether a file begins with the magic bytes of GGUF.
fn is_gguf(path: &Path) -> anyhow::Result<bool> {
    use std::io::Read;
    if path.is_dir() {
        return Ok(false);
    }
    let context = || format!("reading {}", path.display());
    let mut magic = Vec::new();
    std::fs::File::open(path).with_context(context)?.take(4).read_to_end(&mut magic).with_context(context)?;
    Ok(magic == b"GGUF")
}

/// The tokens of `text` with their byte ranges. Bytes that are not UTF-8 are tokens of their own.
fn tokens(tokenizer: &Tokenizer, text: &[u8], special: Special, around: bool) -> anyhow::Result<Vec<Row>> {
    let options = EncodeOptions { special, add_special_tokens: false };
    let mut inner = Vec::new();
    let mut at = 0;
    for chunk in text.utf8_chunks() {
        for token in tokenizer.encode_with_offsets(chunk.valid(), &options)? {
            let range = at + token.range.start..at + token.range.end;
            inner.push(Row { id: token.id, range });
        }
        at += chunk.valid().len();
        for &byte in chunk.invalid() {
            let ids = tokenizer.encode_bytes(&[byte], &options)?;
            inner.extend(ids.into_iter().map(|id| Row { id, range: at..at + 1 }));
            at += 1;
        }
    }
    if !around {
        return Ok(inner);
    }
    let mut rows = Vec::new();
    let mut offset = 0;
    for part in tokenizer.template().parts() {
        match part {
            TemplatePart::Text => {
                rows.append(&mut inner);
                offset = text.len();
            }
            TemplatePart::Ids(ids) => rows.extend(ids.iter().map(|&id| Row { id, range: offset..offset })),
        }
    }
    Ok(rows)
}
