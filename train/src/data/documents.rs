//! From files to documents.
//!
//! A document is one complete text, such as a story or a chapter. [`END_OF_TEXT`] separates the documents of a file; a
//! file without it is one document. Documents are read from their file when they are requested, so a corpus may be
//! larger than memory.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use glassbox_tensor::storage::Storage;
use glassbox_tokenizer::text_file::{BYTE_ORDER_MARK, without_mark};

use super::error::DataError;

/// Ends a document in a file; also the token that ends a document in the training ids.
pub const END_OF_TEXT: &str = "<|endoftext|>";

/// Number of bytes of a file that are read at a time.
const READ: usize = 1 << 20;

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
        let failed = |source| DataError::Tensor { source };
        let storage = Storage::open(&path).map_err(failed)?;
        let mut head = vec![0; storage.len().min(BYTE_ORDER_MARK.len())];
        storage.read(0, &mut head).map_err(failed)?;
        // The bytes from `start` on that were read and belong to no document yet.
        let (mut start, mut bytes) = (head.len() - without_mark(&head).len(), Vec::new());
        loop {
            let mut searched = bytes.len().saturating_sub(END_OF_TEXT.len() - 1);
            let (from, more) = (bytes.len(), READ.min(storage.len() - start - bytes.len()));
            bytes.resize(from + more, 0);
            storage.read(start + from, &mut bytes[from..]).map_err(failed)?;
            let mut done = 0;
            while let Some(at) = find(&bytes[searched..], END_OF_TEXT.as_bytes()) {
                self.add_document(&path, start + done, &bytes[done..searched + at])?;
                done = searched + at + END_OF_TEXT.len();
                searched = done;
            }
            bytes.drain(..done);
            start += done;
            if start + bytes.len() == storage.len() {
                break;
            }
        }
        self.add_document(&path, start, &bytes)?;
        self.files.push((path, storage));
        Ok(())
    }

    /// Adds the document in `bytes`, which start at offset `start` of the current file; skips it if it is only white
    /// space.
    fn add_document(&mut self, path: &Path, start: usize, bytes: &[u8]) -> Result<(), DataError> {
        let text = text_of(path, start, bytes)?;
        let trimmed = text.trim_start_matches(['\n', '\r']);
        let from = start + text.len() - trimmed.len();
        let trimmed = trimmed.trim_end_matches(['\n', '\r']);
        if !trimmed.trim().is_empty() {
            self.spans.push((self.files.len(), from..from + trimmed.len()));
        }
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

    /// The text of a document, read from its file.
    pub fn get(&self, index: usize) -> String {
        let (file, range) = &self.spans[index];
        let bytes =
            self.files[*file].1.slice(range.clone()).and_then(|text| Some(text.bytes().ok()?.into_owned()));
        // Checked when the file was opened; a file that has changed since then gives an empty text.
        bytes.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
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

/// The bytes as text; `start` is their offset in the file.
fn text_of<'a>(path: &Path, start: usize, bytes: &'a [u8]) -> Result<&'a str, DataError> {
    let not_text = |at, what| DataError::NotText { path: path.to_path_buf(), at: start + at, what };
    let text = std::str::from_utf8(bytes).map_err(|error| not_text(error.valid_up_to(), "is not UTF-8"))?;
    match text.find('\0') {
        Some(at) => Err(not_text(at, "is zero, which text never contains")),
        None => Ok(text),
    }
}

/// Where `part` is in `bytes` first.
fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}
