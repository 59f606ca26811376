//! Temporary files that do not outlive their use, nor a program that is interrupted.
//!
//! A [`Temporary`] is removed when it is dropped. A program that ends by a signal drops nothing; it calls
//! [`remove_all`] first. What a program leaves that was killed is removed by the next one that writes the same file: a
//! temporary file is locked as long as its program lives, so one that can be locked is abandoned.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The temporary files there are, and how many there have been.
static LIVE: Mutex<(Vec<PathBuf>, u64)> = Mutex::new((Vec::new(), 0));

/// A file under a name of its own in the directory of another, which it is to become or to serve.
#[derive(Debug)]
pub struct Temporary {
    path: PathBuf,
    /// Keeps the lock until the file has its final name.
    _locked: Option<File>,
}

impl Temporary {
    /// A new file in the directory of `target`, open for writing. Files for the same target that other programs have
    /// abandoned are removed.
    ///
    /// # Errors
    /// If `target` ends in no file name, or the directory cannot be written.
    pub fn beside(target: &Path) -> io::Result<(Temporary, File)> {
        let name = target.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
        let mut live = lock();
        remove_abandoned(target, name);
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
                    let locked = lock_of(&file);
                    // Another program may have taken it for abandoned before it was locked.
                    if locked.is_some() && !path.exists() {
                        continue;
                    }
                    live.0.push(path.clone());
                    return Ok((Temporary { path, _locked: locked }, file));
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

/// Locks a file for the life of the handle returned; `None` where files cannot be locked.
fn lock_of(file: &File) -> Option<File> {
    let handle = file.try_clone().ok()?;
    handle.lock().ok()?;
    Some(handle)
}

/// Removes the temporary files for `target`, whose name is `name`, that no program has locked. Failures are ignored:
/// they only leave what was there.
fn remove_abandoned(target: &Path, name: &OsStr) {
    let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty());
    for entry in fs::read_dir(parent.unwrap_or(Path::new("."))).into_iter().flatten().flatten() {
        if !is_temporary_of(&entry.file_name(), name) || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        let Ok(file) = OpenOptions::new().write(true).open(entry.path()) else { continue };
        match file.try_lock() {
            Ok(()) => drop(fs::remove_file(entry.path())),
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => {}
        }
    }
}

/// Whether `found` is a name that [`Temporary::beside`] gives a file for `name`: `.NAME.PROCESS-COUNT.tmp`.
fn is_temporary_of(found: &OsStr, name: &OsStr) -> bool {
    let between = found
        .as_encoded_bytes()
        .strip_prefix(b".")
        .and_then(|rest| rest.strip_prefix(name.as_encoded_bytes()))
        .and_then(|rest| rest.strip_prefix(b"."))
        .and_then(|rest| rest.strip_suffix(b".tmp"));
    let is_number = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    let mut parts = between.into_iter().flat_map(|between| between.split(|&byte| byte == b'-'));
    matches!((parts.next(), parts.next(), parts.next()), (Some(a), Some(b), None) if is_number(a) && is_number(b))
}

fn lock() -> MutexGuard<'static, (Vec<PathBuf>, u64)> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}
