//! Writing a file so that nobody ever sees half of it.
//!
//! The content goes to a temporary name in the same directory, is brought to the disk, and takes the final name in one
//! step. If anything fails, the temporary file is removed and a file that was there before is as it was; those who have
//! the old one open keep it.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use crate::error::{Error, FileProblem};
use crate::file::temporary::Temporary;
use crate::tensor::Tensor;

/// Creates or replaces the file at `path` with what `content` writes.
pub(super) fn replace<E: From<Error>>(
    path: &Path,
    content: impl FnOnce(&mut BufWriter<File>) -> Result<(), E>,
) -> Result<(), E> {
    let (temporary, file) = Temporary::beside(path).map_err(|source| Error::io(path, "create", source))?;
    let mut writer = BufWriter::with_capacity(1 << 20, file);
    content(&mut writer)?;
    let file = writer.into_inner().map_err(|error| Error::io(path, "write", error.into_error()))?;
    Ok(publish(temporary, file, path)?)
}

/// Brings a complete temporary file to the disk and gives it its final name.
pub(super) fn publish(temporary: Temporary, file: File, path: &Path) -> Result<(), Error> {
    let write_error = |source| Error::io(path, "write", source);
    file.sync_all().map_err(write_error)?;
    drop(file);
    temporary.rename(path).map_err(write_error)?;
    sync_directory(path).map_err(write_error)
}

/// Brings the new name to the disk. Only on Unix can a directory be opened for that.
fn sync_directory(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(directory.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}

/// A writer that counts, and gives errors a path.
pub(super) struct Output<'a, W> {
    writer: W,
    path: &'a Path,
    written: u64,
}

impl<'a, W: Write> Output<'a, W> {
    pub(super) fn new(writer: W, path: &'a Path) -> Output<'a, W> {
        Output { writer, path, written: 0 }
    }

    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.written += bytes.len() as u64;
        self.writer.write_all(bytes).map_err(|source| Error::io(self.path, "write", source))
    }

    /// The bytes of a tensor, of a copy if it is a view with gaps.
    pub(super) fn put_tensor(&mut self, name: &str, tensor: &Tensor) -> Result<(), Error> {
        let Ok(tensor) = tensor.to_contiguous() else {
            let problem = FileProblem::ScatteredBlocks { tensor: name.to_owned(), format: tensor.format() };
            return Err(problem.in_file(self.path));
        };
        tensor.each_piece(|bytes| self.put(bytes))
    }

    /// Zeros up to the next multiple of `alignment`.
    #[cfg(feature = "gguf")]
    pub(super) fn pad(&mut self, alignment: u64) -> Result<(), Error> {
        let mut missing = self.written.next_multiple_of(alignment) - self.written;
        while missing > 0 {
            let zeros = &[0; 4096][..missing.min(4096) as usize];
            self.put(zeros)?;
            missing -= zeros.len() as u64;
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<(), Error> {
        self.writer.flush().map_err(|source| Error::io(self.path, "write", source))
    }
}

/// Checks that no name occurs twice.
pub(super) fn check_unique<'a>(mut names: impl Iterator<Item = &'a str>) -> Result<(), FileProblem> {
    let mut seen = HashSet::new();
    match names.find(|name| !seen.insert(*name)) {
        Some(name) => Err(FileProblem::DuplicateTensor { tensor: name.to_owned() }),
        None => Ok(()),
    }
}

/// Tensors to be written, each name once.
pub(super) struct Named<S, T>(Vec<(S, T)>);

impl<S: AsRef<str>, T: Borrow<Tensor>> Named<S, T> {
    pub(super) fn collect(tensors: impl IntoIterator<Item = (S, T)>) -> Result<Named<S, T>, FileProblem> {
        let tensors: Vec<(S, T)> = tensors.into_iter().collect();
        check_unique(tensors.iter().map(|(name, _)| name.as_ref()))?;
        Ok(Named(tensors))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.0.iter().map(|(name, tensor)| (name.as_ref(), tensor.borrow()))
    }
}
