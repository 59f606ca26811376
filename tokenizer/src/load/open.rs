//! Opening a tokenizer by its file or folder name.

use std::path::Path;

use super::tiktoken::Encoding;
use crate::error::{Error, Result};
use crate::text_file;
use crate::tokenizer::Tokenizer;

impl Tokenizer {
    /// Opens a tokenizer: a `tokenizer.json`, a `vocab.json` or `merges.txt` with the other beside it, a `.tiktoken`
    /// rank file (its name or else its size gives the encoding), or a folder with one of the first two.
    ///
    /// In a folder, `tokenizer_config.json` and, if it lists no added tokens, `special_tokens_map.json` and
    /// `added_tokens.json` are read, too; the result is that of `AutoTokenizer.from_pretrained` in transformers 5. The
    /// path of a single file reads nothing else.
    ///
    /// # Errors
    /// [`Error::Io`] if a file cannot be read, [`Error::Unsupported`] for other file names, and [`Error::InFile`] for
    /// invalid content.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Tokenizer> {
        let path = path.as_ref();
        if path.is_dir() {
            return super::hf_folder::open(path);
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let read = if name == "merges.txt" || name.ends_with("-merges.txt") {
            gpt2(&path.with_file_name(name.replace("merges.txt", "vocab.json")), path)
        } else if name == "vocab.json" || name.ends_with("-vocab.json") {
            gpt2(path, &path.with_file_name(name.replace("vocab.json", "merges.txt")))
        } else if name.ends_with(".json") {
            Tokenizer::from_json(&read(path)?)
        } else if name.ends_with(".tiktoken") {
            Tokenizer::from_tiktoken(&read(path)?, Encoding::named(&name))
        } else {
            Err(Error::Unsupported {
                part: "tokenizer file".to_owned(),
                found: name.into_owned(),
                supported: "tokenizer.json, vocab.json beside merges.txt, *.tiktoken, or a folder with the first two",
            })
        };
        read.map_err(|error| error.in_file(path))
    }
}

fn gpt2(vocab: &Path, merges: &Path) -> Result<Tokenizer> {
    Tokenizer::from_gpt2_files(&read(vocab)?, &read(merges)?)
}

pub(super) fn read(path: &Path) -> Result<String> {
    text_file::read_to_string(path).map_err(|source| Error::Io { path: path.to_owned(), source })
}
