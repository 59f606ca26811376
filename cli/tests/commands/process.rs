//! Runs the binary with arguments and standard input, and captures its exit code and output.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// A call of `glassbox` in an environment without Glassbox's variables.
pub(crate) struct Call {
    command: Command,
    stdin: Vec<u8>,
}

/// A call with these arguments.
pub(crate) fn glassbox<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Call {
    let mut command = Command::new(env!("CARGO_BIN_EXE_glassbox"));
    command.args(arguments);
    for setting in ["GLASSBOX_MODEL", "GLASSBOX_MODELS", "GLASSBOX_LEVEL", "NO_COLOR"] {
        command.env_remove(setting);
    }
    command.env("XDG_CACHE_HOME", "/nonexistent");
    Call { command, stdin: Vec::new() }
}

/// The result of a call.
pub(crate) struct Ran {
    /// The exit code; −1 if a signal ended it.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) out: Vec<u8>,
    /// Standard error.
    pub(crate) err: String,
}

impl Call {
    /// Sets standard input.
    pub(crate) fn stdin(mut self, bytes: impl AsRef<[u8]>) -> Call {
        self.stdin = bytes.as_ref().to_vec();
        self
    }

    /// Sets an environment variable.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Call {
        self.command.env(name, value);
        self
    }

    /// Sets the working directory.
    #[allow(dead_code)]
    pub(crate) fn within(mut self, folder: &Path) -> Call {
        self.command.current_dir(folder);
        self
    }

    /// The command, to run in another way.
    pub(crate) fn command(self) -> Command {
        self.command
    }

    /// Runs it to completion.
    pub(crate) fn run(mut self) -> Ran {
        let mut child = self
            .command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut stdin = child.stdin.take().expect("stdin is a pipe");
        let bytes = std::mem::take(&mut self.stdin);
        // A program may end without reading its input, which closes the pipe.
        let writer = std::thread::spawn(move || drop(stdin.write_all(&bytes)));
        let Output { status, stdout, stderr } = child.wait_with_output().expect("the binary ends");
        writer.join().expect("the writer ends");
        let err = String::from_utf8_lossy(&stderr).into_owned();
        assert!(!err.contains("panicked"), "{err}");
        Ran { code: status.code().unwrap_or(-1), out: stdout, err }
    }

    /// Runs it, expects success, and returns standard output as text.
    pub(crate) fn text(self) -> String {
        let ran = self.run();
        assert_eq!(ran.code, 0, "{}", ran.err);
        String::from_utf8(ran.out).expect("the output is UTF-8")
    }

    /// Runs it, expects success, and returns standard output parsed as one line of JSON.
    pub(crate) fn json(self) -> Value {
        let text = self.text();
        assert_eq!(text.matches('\n').count(), 1, "one line: {text}");
        serde_json::from_str(&text).expect("the output is JSON")
    }

    /// Runs it, and expects this exit code, an error that contains all of `words`, and nothing on standard output.
    pub(crate) fn fails(self, code: i32, words: &[&str]) {
        let ran = self.run();
        assert_eq!(ran.code, code, "{}", ran.err);
        assert!(ran.err.contains("error: "), "{}", ran.err);
        for word in words {
            assert!(ran.err.contains(word), "{word:?} is not in: {}", ran.err);
        }
        assert_eq!(String::from_utf8_lossy(&ran.out), "");
    }
}

/// The path of one of the model crate's fixtures.
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/tests/fixtures").join(name)
}

/// The path of a tiny checkpoint, as an argument.
pub(crate) fn tiny(name: &str) -> String {
    fixture("tiny").join(name).to_str().expect("the path is UTF-8").to_owned()
}

/// A copy of a tiny checkpoint, to modify.
pub(crate) fn copy_of(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for entry in fs::read_dir(fixture("tiny").join(name)).expect("the fixture exists") {
        let entry = entry.expect("the fixture can be listed");
        fs::copy(entry.path(), folder.path().join(entry.file_name())).expect("the fixture can be copied");
    }
    folder
}

/// A path as an argument.
pub(crate) fn arg(path: &Path) -> String {
    path.to_str().expect("the path is UTF-8").to_owned()
}

/// Token ids from a JSON array.
pub(crate) fn ids(value: &Value) -> Vec<u32> {
    serde_json::from_value(value.clone()).expect("an array of ids")
}

/// Ids in the format of `--ids`.
pub(crate) fn joined(ids: &[u32]) -> String {
    ids.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}
