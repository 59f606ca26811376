//! Output: results to stdout, everything else to stderr, colour only on a terminal.

use std::fmt;
use std::io::{self, IsTerminal, Write};

use serde::Serialize;

/// Writing to stdout failed.
#[derive(Debug)]
pub(crate) struct StdoutError(io::Error);

impl StdoutError {
    /// Whether the reader has closed the pipe.
    pub(crate) fn is_closed_pipe(&self) -> bool {
        self.0.kind() == io::ErrorKind::BrokenPipe
    }
}

impl fmt::Display for StdoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "writing to standard output: {}", self.0)
    }
}

impl std::error::Error for StdoutError {}

/// Stdout, and whether it is a terminal with colours.
pub(crate) struct Out {
    stdout: io::StdoutLock<'static>,
    terminal: bool,
    colour: bool,
}

impl Out {
    pub(crate) fn stdout() -> Out {
        let stdout = io::stdout();
        let terminal = stdout.is_terminal();
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            && std::env::var_os("TERM").is_none_or(|value| value != "dumb");
        Out { stdout: stdout.lock(), terminal, colour: terminal && wanted }
    }

    /// Whether stdout is a terminal.
    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Width of the terminal in columns; `None` if stdout is not a terminal, where lines have no limit.
    pub(crate) fn width(&self) -> Option<usize> {
        let size = terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
        if self.terminal { Some(size.unwrap_or(80).max(20)) } else { None }
    }

    /// Height of the terminal in lines; `None` if stdout is not a terminal.
    pub(crate) fn height(&self) -> Option<usize> {
        let size = terminal_size::terminal_size().map(|(_, height)| usize::from(height.0));
        if self.terminal { Some(size.unwrap_or(24)) } else { None }
    }

    /// `text` in an SGR colour (`36` is cyan) if colours are enabled.
    pub(crate) fn paint(&self, sgr: u8, text: &str) -> String {
        if self.colour { format!("\x1b[{sgr}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Writes bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), StdoutError> {
        self.stdout.write_all(bytes).map_err(StdoutError)
    }

    /// Writes a line.
    pub(crate) fn line(&mut self, line: impl fmt::Display) -> Result<(), StdoutError> {
        writeln!(self.stdout, "{line}").map_err(StdoutError)
    }

    /// Writes a value as one line of JSON.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> anyhow::Result<()> {
        let line = serde_json::to_string(value)?;
        Ok(self.line(line)?)
    }

    /// Writes generated text and flushes. On a terminal, control characters other than line breaks and tabs are
    /// replaced: a model must not move the cursor or change the title.
    pub(crate) fn stream(&mut self, text: &str) -> Result<(), StdoutError> {
        if text.is_empty() {
            return Ok(());
        }
        let harmless = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
        if !self.terminal || text.chars().all(harmless) {
            self.bytes(text.as_bytes())?;
        } else {
            let shown: String = text.chars().map(|c| if harmless(c) { c } else { '\u{fffd}' }).collect();
            self.bytes(shown.as_bytes())?;
        }
        self.flush()
    }

    /// Flushes the buffer.
    pub(crate) fn flush(&mut self) -> Result<(), StdoutError> {
        self.stdout.flush().map_err(StdoutError)
    }
}

/// Writes a line to stderr. A closed stderr is ignored.
pub(crate) fn note(line: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Writes a warning to stderr.
pub(crate) fn warn(line: impl fmt::Display) {
    note(format_args!("warning: {line}"));
}
