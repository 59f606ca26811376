//! Atomic replacement of files: written under a temporary name, then renamed.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use glassbox_tensor::file::temporary::Temporary;

/// Creates or replaces a file with what `content` writes. On failure the previous file is unchanged.
pub(crate) fn replace(
    path: &Path,
    content: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    let (temporary, file) = Temporary::beside(path)?;
    let mut writer = BufWriter::new(file);
    content(&mut writer)?;
    let file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    drop(file);
    temporary.rename(path)
}

/// [`replace`] with these bytes.
pub(crate) fn write(path: &Path, bytes: impl AsRef<[u8]>) -> io::Result<()> {
    replace(path, |file| file.write_all(bytes.as_ref()))
}
