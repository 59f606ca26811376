//! Exit codes: 0 success, 1 failure, 2 wrong usage, 130 interrupted. A closed pipe counts as success: the reader has
//! read enough.

use std::fmt;
use std::io;
use std::process::ExitCode;

use clap::error::ErrorKind;

use crate::output::{self, StdoutError};
use crate::{commands, help};

const FAILED: u8 = 1;
const WRONG_USAGE: u8 = 2;
/// 128 + the number of SIGINT, as in shells.
pub(crate) const INTERRUPTED: u8 = 130;

/// The command was called with invalid arguments; exit code 2.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// The user pressed Ctrl-C; everything to report has been reported.
#[derive(Debug)]
pub(crate) struct Interrupted;

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// The exit code for `result`; an error is printed.
pub(crate) fn of(result: anyhow::Result<()>) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    if error.downcast_ref::<StdoutError>().is_some_and(StdoutError::is_closed_pipe) {
        return ExitCode::SUCCESS;
    }
    if error.is::<Interrupted>() {
        return ExitCode::from(INTERRUPTED);
    }
    output::note(format_args!("error: {}", chain(&error)));
    ExitCode::from(if error.is::<Usage>() { WRONG_USAGE } else { FAILED })
}

/// The exit code for arguments that clap rejected, or that asked for help. A hint follows where one is known.
pub(crate) fn of_arguments(error: &clap::Error) -> ExitCode {
    let printed = error.print();
    if let Some(hint) = hint(error) {
        output::note(format_args!("\n{hint}"));
    }
    match printed {
        Err(failure) if failure.kind() != io::ErrorKind::BrokenPipe => ExitCode::from(FAILED),
        _ if error.use_stderr() => ExitCode::from(WRONG_USAGE),
        _ => ExitCode::SUCCESS,
    }
}

/// The examples of a command that lacks something; the command for a text that stands where a command should.
fn hint(error: &clap::Error) -> Option<String> {
    let first = std::env::args_os().nth(1)?;
    let first = first.to_string_lossy();
    match error.kind() {
        ErrorKind::MissingRequiredArgument | ErrorKind::TooFewValues | ErrorKind::WrongNumberOfValues => {
            help::examples(&commands::definition(), &first)
        }
        ErrorKind::InvalidSubcommand if first.contains(' ') => {
            Some(format!("To continue a text: glassbox generate {first:?}"))
        }
        _ => None,
    }
}

/// The error and its causes, without causes that the text before already contains.
fn chain(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_printed_once() {
        let io = io::Error::other("disk on fire");
        let error = anyhow::Error::new(io).context("notes.txt: disk on fire").context("reading");
        assert_eq!(chain(&error), "reading: notes.txt: disk on fire");
    }
}
