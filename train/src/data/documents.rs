//! From files to documents: the texts that a model is to learn to continue.
//!
//! A document is what one text is, from its first word to its last: a tale, a chapter. In a file documents are ended by
//! [`END_OF_TEXT`]; a file without it is one document. A document is read from its file when it is asked for, so that a
//! corpus may be larger than the memory.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use glassbox_tensor::storage::Storage;

use super::error::DataError;

/// What ends a document in a file, and the token that a model learns to end one with.
pub const END_OF_TEXT: &str = "<|endoftext|>";

/// Bytes of a file that are read at a time.
const READ: usize = 1 << 20;

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
        let failed = |source| DataError::Tensor { source };
        let storage = Storage::open(&path).map_err(failed)?;
        // The bytes from `start` on that are read, none of them of a document that is found.
        let (mut start, mut bytes) = (0, Vec::new());
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

    /// Adds what is text among the bytes of the file in hand that begin at `start`, up to the end of a document.
    fn add_document(&mut self, path: &Path, start: usize, bytes: &[u8]) -> Result<(), DataError> {
        let text = text_of(path, start, bytes)?;
        let trimmed = text.trim_start_matches(['\n', '\r']);
        let from = start + text.len() - trimmed.len();
        let trimmed = trimmed.trim_end_matches(['\n', '\r']);
        if !trimmed.trim().is_empty() {
            self.places.push((self.files.len(), from..from + trimmed.len()));
        }
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

    /// The text of one, read from its file.
    pub fn get(&self, index: usize) -> String {
        let (file, range) = &self.places[index];
        let bytes =
            self.files[*file].1.slice(range.clone()).and_then(|text| Some(text.bytes().ok()?.into_owned()));
        // Checked when the file was opened; a file that somebody changes meanwhile gives an empty text.
        bytes.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
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

/// The bytes as text; in the file they begin at `start`.
fn text_of<'a>(path: &Path, start: usize, bytes: &'a [u8]) -> Result<&'a str, DataError> {
    let not_text = |at, what| DataError::NotText { path: path.to_path_buf(), at: start + at, what };
    let text = std::str::from_utf8(bytes).map_err(|error| not_text(error.valid_up_to(), "is not UTF-8"))?;
    match text.find('\0') {
        Some(at) => Err(not_text(at, "is zero, which text has nowhere")),
        None => Ok(text),
    }
}

/// Where `part` is in `bytes` first.
fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}
