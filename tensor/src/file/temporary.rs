//! Temporary files that do not outlive their use, nor a program that is interrupted.
//!
//! A [`Temporary`] is removed when it is dropped. A program that ends by a signal drops nothing; it calls
//! [`remove_all`] first.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The temporary files there are, and how many there have been.
static LIVE: Mutex<(Vec<PathBuf>, u64)> = Mutex::new((Vec::new(), 0));

/// A file under a name of its own in the directory of another, which it is to become or to serve.
#[derive(Debug)]
pub struct Temporary {
    path: PathBuf,
}

impl Temporary {
    /// A new file in the directory of `target`, open for writing.
    ///
    /// # Errors
    /// If `target` ends in no file name, or the directory cannot be written.
    pub fn beside(target: &Path) -> io::Result<(Temporary, File)> {
        let name = target.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
        let mut live = lock();
        loop {
            live.1 += 1;
            let mut temporary = OsString::from(".");
            temporary.push(name);
            temporary.push(format!(".{}-{}.tmp", std::process::id(), live.1));
            let path = target.with_file_name(temporary);
            match OpenOptions::new().read(true).write(true).create_new(true).open(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(error),
                Ok(file) => {
                    live.0.push(path.clone());
                    return Ok((Temporary { path }, file));
                }
            }
        }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives it its final name, taking the place of a file that has it.
    ///
    /// # Errors
    /// If the system refuses; then the file is removed.
    pub fn rename(self, target: &Path) -> io::Result<()> {
        // Dropped afterwards, it finds nothing under the old name.
        fs::rename(&self.path, target)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // There is nobody left to tell that it could not be removed.
        let _ = fs::remove_file(&self.path);
        lock().0.retain(|path| *path != self.path);
    }
}

/// While this lives, no temporary file comes into being.
#[derive(Debug)]
pub struct NoneLeft {
    _lock: MutexGuard<'static, (Vec<PathBuf>, u64)>,
}

/// Removes every temporary file that this crate's writers have open: for a program that is about to end without
/// dropping anything, such as on Ctrl-C. Writes in progress fail. Hold the result until the end.
pub fn remove_all() -> NoneLeft {
    let mut live = lock();
    for path in live.0.drain(..) {
        let _ = fs::remove_file(path);
    }
    NoneLeft { _lock: live }
}

fn lock() -> MutexGuard<'static, (Vec<PathBuf>, u64)> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}
