//! Atomic replacement of files: written under a temporary name, then renamed.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Creates or replaces a file with what `content` writes. On failure the previous file is unchanged.
pub(crate) fn replace(
    path: &Path,
    content: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    let mut name = OsString::from(".");
    name.push(path.file_name().ok_or(io::ErrorKind::InvalidFilename)?);
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(name);
    let write = || {
        let mut writer = BufWriter::new(File::create(&temporary)?);
        content(&mut writer)?;
        let file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        drop(file);
        fs::rename(&temporary, path)
    };
    let written = write();
    if written.is_err() {
        // Report the first error, not one of the clean-up.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// [`replace`] with these bytes.
pub(crate) fn write(path: &Path, bytes: impl AsRef<[u8]>) -> io::Result<()> {
    replace(path, |file| file.write_all(bytes.as_ref()))
}
