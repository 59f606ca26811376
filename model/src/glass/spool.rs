//! A temporary file for values, until their names and shapes are known for the header of the final file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use glassbox_tensor::file::safetensors;
use glassbox_tensor::file::temporary::Temporary;
use glassbox_tensor::storage::Storage;
use glassbox_tensor::{Format, Shape, Tensor};

use super::error::Error;
use super::names::Name;
use crate::config::Config;

/// The temporary file; it is deleted when this is dropped.
pub(super) struct Spool {
    target: PathBuf,
    temporary: Temporary,
    file: BufWriter<File>,
    written: usize,
    values: Vec<(Name, Range<usize>)>,
    failed: Option<io::Error>,
}

impl Spool {
    /// Creates the temporary file in the folder of `target`, so that a full disk or a folder without write access is
    /// detected before anything is computed.
    pub(super) fn create_beside(target: &Path) -> Result<Spool, Error> {
        let fail = |source| Error::Write { path: target.to_owned(), source };
        if target.is_dir() {
            return Err(fail(io::ErrorKind::IsADirectory.into()));
        }
        let (temporary, file) = Temporary::beside(target).map_err(fail)?;
        let (target, file) = (target.to_owned(), BufWriter::with_capacity(1 << 20, file));
        Ok(Spool { target, temporary, file, written: 0, values: Vec::new(), failed: None })
    }

    /// Adds a value, or the next rows of the previous one. [`Spool::finish`] reports failures.
    pub(super) fn push(&mut self, name: Name, values: &[f32]) {
        if self.failed.is_some() {
            return;
        }
        let start = self.written;
        self.failed = self.write(values).err();
        match self.values.last_mut() {
            Some((last, bytes)) if *last == name => bytes.end = self.written,
            _ => self.values.push((name, start..self.written)),
        }
    }

    fn write(&mut self, values: &[f32]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for values in values.chunks(4096) {
            bytes.clear();
            bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            self.file.write_all(&bytes)?;
            self.written += bytes.len();
        }
        Ok(())
    }

    /// Writes the target, which is unchanged until then. The values have `tokens` tokens.
    pub(super) fn finish(
        mut self,
        config: &Config,
        tokens: usize,
        metadata: &BTreeMap<String, String>,
    ) -> Result<(), Error> {
        let flushed = self.failed.take().map_or_else(|| self.file.flush(), Err);
        flushed.map_err(|source| Error::Write { path: self.target.clone(), source })?;
        let storage = Storage::open(self.temporary.path())?;
        let tensors = self.values.iter().map(|(name, bytes)| {
            let part = storage.slice(bytes.clone()).unwrap_or_else(|| Vec::new().into());
            let shape = Shape::new(name.shape(config, tokens))?;
            Ok((name.to_string(), Tensor::from_storage(Format::F32, shape, part)?))
        });
        let tensors: Vec<(String, Tensor)> = tensors.collect::<Result<_, glassbox_tensor::Error>>()?;
        Ok(safetensors::write(&self.target, metadata, tensors)?)
    }
}
