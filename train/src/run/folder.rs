//! The small files of a run's folder.

use std::fs;
use std::io;
use std::path::Path;

use glassbox_tokenizer::Tokenizer;
use serde::{Deserialize, Serialize};

use super::RunError;
use crate::data::end_of_document;
use crate::files;
use crate::recipe::Recipe;

/// The recipe; every run has one.
pub const RECIPE: &str = "recipe.toml";
pub(super) const TOKENS: &str = "tokens.bin";
pub(super) const LAST: &str = "last.safetensors";
pub(super) const LOSSES: &str = "loss.csv";
pub(super) const CURVE: &str = "loss.svg";
pub(super) const SAMPLES: &str = "samples.txt";
/// The snapshots of [`mod@crate::watch`].
pub const WATCH: &str = "watch.jsonl";
/// The folder of the model with the lowest validation loss.
pub const BEST: &str = "best";
const TOKENIZER: &str = "tokenizer.json";
const FACTS: &str = "run.json";

/// `run.json`.
#[derive(Serialize, Deserialize)]
struct Facts {
    /// Hexadecimal, since many JSON readers do not preserve 64-bit integers.
    data_fingerprint: String,
    glassbox_version: String,
}

/// Checks that the folder contains no run and no part of one.
pub(super) fn check_free(folder: &Path) -> Result<(), RunError> {
    if folder.join(RECIPE).exists() || folder.join(LAST).exists() {
        return Err(RunError::Exists { path: folder.to_path_buf() });
    }
    Ok(())
}

/// Creates the folder and its parents.
pub(super) fn create(folder: &Path) -> Result<(), RunError> {
    fs::create_dir_all(folder).map_err(|source| failed(folder, source))
}

pub(super) fn write_recipe(folder: &Path, recipe: &Recipe) -> Result<(), RunError> {
    write(&folder.join(RECIPE), &recipe.to_toml())
}

/// Reads the recipe; a folder without one is not a run.
pub(super) fn read_recipe(folder: &Path) -> Result<Recipe, RunError> {
    let path = folder.join(RECIPE);
    match fs::read_to_string(&path) {
        Ok(text) => Recipe::parse(&path.display().to_string(), &text),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Err(RunError::NoRun { path: folder.to_path_buf(), missing: RECIPE })
        }
        Err(source) => Err(failed(&path, source)),
    }
}

pub(super) fn write_facts(folder: &Path, fingerprint: u64) -> Result<(), RunError> {
    let facts = Facts {
        data_fingerprint: format!("{fingerprint:016x}"),
        glassbox_version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let text = serde_json::to_string_pretty(&facts).unwrap_or_default();
    write(&folder.join(FACTS), &(text + "\n"))
}

/// Reads the fingerprint of the text.
pub(super) fn read_facts(folder: &Path) -> Result<u64, RunError> {
    let path = folder.join(FACTS);
    let text = fs::read_to_string(&path).map_err(|source| failed(&path, source))?;
    let facts: Option<Facts> = serde_json::from_str(&text).ok();
    let fingerprint = facts.and_then(|facts| u64::from_str_radix(&facts.data_fingerprint, 16).ok());
    fingerprint
        .ok_or_else(|| RunError::Broken { path, problem: "the fingerprint of the text is missing".into() })
}

pub(super) fn write_tokenizer(folder: &Path, tokenizer: &Tokenizer) -> Result<(), RunError> {
    write(&folder.join(TOKENIZER), &tokenizer.to_json())
}

/// Reads the tokenizer; the token that ends a document becomes eos, and bos if there is none.
pub(super) fn read_tokenizer(folder: &Path) -> Result<Tokenizer, RunError> {
    let path = folder.join(TOKENIZER);
    if !path.exists() {
        return Err(RunError::NoRun { path: folder.to_path_buf(), missing: TOKENIZER });
    }
    let mut tokenizer = Tokenizer::from_file(&path)?;
    let end = Some(end_of_document(&tokenizer)?);
    tokenizer.set_eos_id(end);
    tokenizer.set_bos_id(tokenizer.bos_id().or(end));
    Ok(tokenizer)
}

pub(super) fn write(path: &Path, text: &str) -> Result<(), RunError> {
    files::write(path, text).map_err(|source| failed(path, source))
}

pub(super) fn failed(path: &Path, source: io::Error) -> RunError {
    RunError::File { path: path.to_path_buf(), source }
}
