//! From files to documents: the texts that a model is to learn to continue.
//!
//! A document is what one text is, from its first word to its last: a tale, a chapter. In a file documents are ended by
//! [`END_OF_TEXT`]; a file without it is one document. Files are mapped, not copied, so that a corpus may be larger
//! than the memory.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use glassbox_tensor::storage::Storage;

use super::error::DataError;

/// What ends a document in a file, and the token that a model learns to end one with.
pub const END_OF_TEXT: &str = "<|endoftext|>";

/// The documents of a file or of all files in a folder, in the order of their paths.
pub struct Documents {
    files: Vec<(PathBuf, Storage)>,
    /// In which file, and which of its bytes.
    places: Vec<(usize, Range<usize>)>,
}

impl Documents {
    /// Finds the documents of a file, or of every file below a folder (hidden ones are passed over). Line breaks around a
    /// document are not part of it; documents of white space alone are none.
    ///
    /// # Errors
    /// [`DataError`] if there is no text, if a file cannot be read, or if one is not UTF-8 text.
    pub fn open(path: &Path) -> Result<Documents, DataError> {
        let mut documents = Documents { files: Vec::new(), places: Vec::new() };
        let mut paths = Vec::new();
        collect_files(path, &mut paths)?;
        paths.sort();
        for path in paths {
            documents.add(path)?;
        }
        if documents.places.is_empty() {
            return Err(DataError::NoText { path: path.to_path_buf() });
        }
        Ok(documents)
    }

    fn add(&mut self, path: PathBuf) -> Result<(), DataError> {
        let storage = Storage::map(&path).map_err(|source| DataError::Tensor { source })?;
        let text = text_of(&path, storage.bytes())?;
        let mut start = 0;
        for part in text.split(END_OF_TEXT) {
            let trimmed = part.trim_start_matches(['\n', '\r']);
            let skipped = part.len() - trimmed.len();
            let trimmed = trimmed.trim_end_matches(['\n', '\r']);
            if !trimmed.trim().is_empty() {
                let from = start + skipped;
                self.places.push((self.files.len(), from..from + trimmed.len()));
            }
            start += part.len() + END_OF_TEXT.len();
        }
        self.files.push((path, storage));
        Ok(())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none, which [`Documents::open`] does not allow.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The text of one.
    pub fn get(&self, index: usize) -> &str {
        let (file, range) = &self.places[index];
        // Checked when the file was opened; a file that somebody changes meanwhile gives an empty text.
        std::str::from_utf8(&self.files[*file].1.bytes()[range.clone()]).unwrap_or("")
    }

    /// The bytes of one.
    pub fn byte_len(&self, index: usize) -> usize {
        self.places[index].1.len()
    }

    /// The bytes of all.
    pub fn total_bytes(&self) -> usize {
        self.places.iter().map(|(_, range)| range.len()).sum()
    }

    /// A number that changes with any change of the texts (FNV-1a, 64 bits): not proof against forgery, but against
    /// going on with other data by mistake.
    pub fn fingerprint(&self) -> u64 {
        let mut hash = 0xcbf2_9ce4_8422_2325u64;
        let mut feed = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        for index in 0..self.len() {
            self.get(index).bytes().for_each(&mut feed);
            feed(0);
        }
        hash
    }
}

/// All regular files at or below a path.
fn collect_files(path: &Path, paths: &mut Vec<PathBuf>) -> Result<(), DataError> {
    let failed = |source| DataError::Read { path: path.to_path_buf(), source };
    if !fs::metadata(path).map_err(failed)?.is_dir() {
        paths.push(path.to_path_buf());
        return Ok(());
    }
    for entry in fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        // A link to a folder could lead round in a circle.
        let circle = entry.file_type().map_err(failed)?.is_symlink() && entry.path().is_dir();
        if !hidden && !circle {
            collect_files(&entry.path(), paths)?;
        }
    }
    Ok(())
}

/// The bytes as text, without a byte order mark.
fn text_of<'a>(path: &Path, bytes: &'a [u8]) -> Result<&'a str, DataError> {
    let not_text = |at, what| DataError::NotText { path: path.to_path_buf(), at, what };
    let text = std::str::from_utf8(bytes).map_err(|error| not_text(error.valid_up_to(), "is not UTF-8"))?;
    match text.find('\0') {
        Some(at) => Err(not_text(at, "is zero, which text has nowhere")),
        None => Ok(text),
    }
}
