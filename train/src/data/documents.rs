//! From files to documents.
//!
//! A document is one complete text, such as a story or a chapter. [`END_OF_TEXT`] separates the documents of a file; a file
//! without it is one document. Files are memory-mapped, so a corpus may be larger than memory.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use glassbox_tensor::storage::Storage;

use super::error::DataError;

/// Ends a document in a file; also the token that ends a document in the training ids.
pub const END_OF_TEXT: &str = "<|endoftext|>";

/// The documents of a file or of all files in a folder, in the order of their paths.
pub struct Documents {
    files: Vec<(PathBuf, Storage)>,
    /// The file of each document, and its bytes in it.
    spans: Vec<(usize, Range<usize>)>,
}

impl Documents {
    /// Finds the documents of a file, or of every file below a folder (hidden ones are skipped). Line breaks
    /// around a document are removed; documents of only white space are skipped.
    ///
    /// # Errors
    /// [`DataError`] if there is no text, if a file cannot be read, or if one is not UTF-8 text.
    pub fn open(path: &Path) -> Result<Documents, DataError> {
        let mut documents = Documents { files: Vec::new(), spans: Vec::new() };
        let mut paths = Vec::new();
        collect_files(path, &mut paths)?;
        paths.sort();
        for path in paths {
            documents.add(path)?;
        }
        if documents.spans.is_empty() {
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
                self.spans.push((self.files.len(), from..from + trimmed.len()));
            }
            start += part.len() + END_OF_TEXT.len();
        }
        self.files.push((path, storage));
        Ok(())
    }

    /// Number of documents.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there are no documents; never true after [`Documents::open`].
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The text of a document.
    pub fn get(&self, index: usize) -> &str {
        let (file, range) = &self.spans[index];
        // Checked when the file was opened; a file that has changed since then gives an empty text.
        std::str::from_utf8(&self.files[*file].1.bytes()[range.clone()]).unwrap_or("")
    }

    /// Length of a document in bytes.
    pub fn byte_len(&self, index: usize) -> usize {
        self.spans[index].1.len()
    }

    /// Length of all documents in bytes.
    pub fn total_bytes(&self) -> usize {
        self.spans.iter().map(|(_, range)| range.len()).sum()
    }

    /// A 64-bit FNV-1a hash of all documents. It detects resuming with other data by mistake, not forgery.
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
        // A symbolic link to a folder could create a cycle.
        let cycle = entry.file_type().map_err(failed)?.is_symlink() && entry.path().is_dir();
        if !hidden && !cycle {
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
        Some(at) => Err(not_text(at, "is zero, which text never contains")),
        None => Ok(text),
    }
}
