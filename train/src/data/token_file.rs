//! The token ids of the text in one file: written once, read in any order.
//!
//! ```text
//! "GLASSTOK" │ bytes per id u32 (2 or 4) │ vocab_size u32 │ training ids u64 │ validation ids u64 │ ids of both
//! ```
//!
//! All numbers are little-endian. Every document is followed by the token that ends it.

use std::io::Write;
use std::num::NonZero;
use std::path::{Path, PathBuf};

use glassbox_tensor::storage::Storage;
use glassbox_tokenizer::{EncodeOptions, Tokenizer};
use rayon::prelude::*;

use super::documents::Documents;
use super::error::DataError;
use super::held_out::Splits;
use super::train_tokenizer::end_of_document;
use crate::files;

const MAGIC: &[u8; 8] = b"GLASSTOK";
const HEADER: usize = 32;

/// Number of ids that are checked at a time.
const CHECKED_IDS: usize = 1 << 18;

/// A split of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// The text that the model is trained on.
    Training,
    /// The text that measures the loss on unseen text.
    Validation,
}

/// The token ids of a corpus, in their file.
pub struct TokenFile {
    storage: Storage,
    /// Bytes per id.
    width: usize,
    vocab_size: usize,
    training: usize,
    validation: usize,
}

impl TokenFile {
    /// Encodes both splits on all threads of rayon's pool and writes them.
    ///
    /// # Errors
    /// [`DataError`] if a text cannot be encoded or the file cannot be written.
    pub fn write(
        path: &Path,
        documents: &Documents,
        parts: &Splits,
        tokenizer: &Tokenizer,
    ) -> Result<(), DataError> {
        let end = end_of_document(tokenizer)?;
        let width = if tokenizer.vocab_size() <= 1 << 16 { 2 } else { 4 };
        // Many documents are distributed over the threads; if there are few, all threads encode each of them.
        let all = NonZero::new(rayon::current_num_threads()).unwrap_or(NonZero::<usize>::MIN);
        let threads = if parts.training.len() < all.get() { all } else { NonZero::<usize>::MIN };
        let encode = |text: &str, ended: bool| -> Result<Vec<u32>, DataError> {
            let mut ids = tokenizer.encode_on(threads, text, &EncodeOptions::default())?;
            ids.extend(ended.then_some(end));
            Ok(ids)
        };
        let training: Vec<Vec<u32>> = parts
            .training
            .par_iter()
            .map(|&(index, to)| encode(&documents.get(index)[..to], to == documents.byte_len(index)))
            .collect::<Result<_, _>>()?;
        let validation: Vec<Vec<u32>> = parts
            .validation
            .par_iter()
            .map(|&(index, from)| encode(&documents.get(index)[from..], true))
            .collect::<Result<_, _>>()?;
        let count = |texts: &[Vec<u32>]| texts.iter().map(Vec::len).sum::<usize>() as u64;
        let header = [
            &MAGIC[..],
            &(width as u32).to_le_bytes(),
            &(tokenizer.vocab_size() as u32).to_le_bytes(),
            &count(&training).to_le_bytes(),
            &count(&validation).to_le_bytes(),
        ]
        .concat();
        let written = files::replace(path, |file| {
            file.write_all(&header)?;
            for id in training.iter().chain(&validation).flatten() {
                file.write_all(&id.to_le_bytes()[..width])?;
            }
            Ok(())
        });
        written.map_err(|source| DataError::Read { path: path.to_path_buf(), source })
    }

    /// Opens a file of ids.
    ///
    /// # Errors
    /// [`DataError::BrokenTokens`] if it is not such a file, or incomplete.
    pub fn open(path: &Path) -> Result<TokenFile, DataError> {
        let storage = Storage::open(path)?;
        let broken = |expected: String, found: String| DataError::BrokenTokens {
            path: PathBuf::from(path),
            expected,
            found,
        };
        let mut header = [0; HEADER];
        if storage.len() >= HEADER {
            storage.read(0, &mut header)?;
        }
        if !header.starts_with(MAGIC) {
            return Err(broken(
                "a file of token ids".into(),
                format!("{} bytes of something else", storage.len()),
            ));
        }
        let number = |at: usize, len: usize| {
            header[at..at + len].iter().rev().fold(0u64, |number, &byte| number << 8 | u64::from(byte))
        };
        let (width, vocab_size) = (number(8, 4), number(12, 4));
        let (training, validation) = (number(16, 8), number(24, 8));
        if !matches!(width, 2 | 4) {
            return Err(broken("2 or 4 bytes per id".into(), width.to_string()));
        }
        let expected = u128::from(width) * (u128::from(training) + u128::from(validation)) + HEADER as u128;
        if expected != storage.len() as u128 {
            return Err(broken(format!("{expected} bytes"), format!("{} bytes", storage.len())));
        }
        let file = TokenFile {
            width: width as usize,
            vocab_size: vocab_size as usize,
            training: training as usize,
            validation: validation as usize,
            storage,
        };
        let (mut ids, all) = (Vec::new(), file.training + file.validation);
        for from in (0..all).step_by(CHECKED_IDS) {
            ids.clear();
            file.append(from, CHECKED_IDS.min(all - from), &mut ids)?;
            if let Some(id) = ids.iter().find(|&&id| u64::from(id) >= vocab_size) {
                return Err(broken(format!("ids below {vocab_size}"), id.to_string()));
            }
        }
        Ok(file)
    }

    /// Number of ids in a split.
    pub fn len(&self, split: Split) -> usize {
        match split {
            Split::Training => self.training,
            Split::Validation => self.validation,
        }
    }

    /// Whether a split has no ids.
    pub fn is_empty(&self, split: Split) -> bool {
        self.len(split) == 0
    }

    /// Size of the vocabulary.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// Appends the ids `start..start + count` of a split to `out`.
    ///
    /// # Errors
    /// [`DataError`] if the file cannot be read.
    ///
    /// # Panics
    /// If the split has fewer ids.
    pub fn read(
        &self,
        split: Split,
        start: usize,
        count: usize,
        out: &mut Vec<u32>,
    ) -> Result<(), DataError> {
        let len = self.len(split);
        assert!(start + count <= len, "ids {start}..{} of {len}", start + count);
        self.append(if split == Split::Training { start } else { self.training + start }, count, out)
    }

    /// Appends `count` ids to `out`, from id `first` of the file on.
    fn append(&self, first: usize, count: usize, out: &mut Vec<u32>) -> Result<(), DataError> {
        let mut bytes = vec![0; count * self.width];
        self.storage.read(HEADER + first * self.width, &mut bytes)?;
        out.extend(bytes.chunks_exact(self.width).map(id));
        Ok(())
    }
}

/// An id of two or four bytes.
fn id(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |id, &byte| id << 8 | u32::from(byte))
}
