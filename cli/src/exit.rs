//! Exit codes: 0 success, 1 failure, 2 wrong usage, 130 interrupted. A closed pipe counts as success: the reader has
//! read enough.

use std::fmt;
use std::io;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};

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
pub(crate) fn of_arguments(mut error: clap::Error) -> ExitCode {
    let hint = hint(&error);
    if hint.is_some() && error.kind() == ErrorKind::UnknownArgument {
        // Clap's advice to write `--` in front does not help here.
        error.remove(ContextKind::Suggested);
    }
    let printed = error.print();
    if let Some(hint) = hint {
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
        ErrorKind::UnknownArgument => match error.get(ContextKind::InvalidArg)? {
            ContextValue::String(unknown) => unknown_argument(&first, unknown),
            _ => None,
        },
        _ => None,
    }
}

/// What was meant by an argument that the command called `name` does not know: a word of a prompt without quotes, or an
/// option of other commands.
fn unknown_argument(name: &str, unknown: &str) -> Option<String> {
    let program = commands::definition();
    let command = program.find_subcommand(name)?;
    if let Some(option) = unknown.strip_prefix("--") {
        let has =
            |command: &&clap::Command| command.get_arguments().any(|arg| arg.get_long() == Some(option));
        let others: Vec<&str> = program.get_subcommands().filter(has).map(clap::Command::get_name).collect();
        let few = (1..=4).contains(&others.len());
        return few.then(|| format!("{unknown} is an option of other commands: {}", others.join(", ")));
    }
    if unknown.starts_with('-') {
        return None;
    }
    if name == "chat" {
        return Some(format!("Start `glassbox chat` and type, or pipe: echo {unknown:?} | glassbox chat"));
    }
    let is_prompt = |arg: &clap::Arg| arg.get_value_names().is_some_and(|names| names == ["PROMPT"]);
    if !command.get_positionals().any(is_prompt) {
        return None;
    }
    let words: Vec<String> = std::env::args_os()
        .skip(2)
        .map(|word| word.to_string_lossy().into_owned())
        .take_while(|word| !word.starts_with('-'))
        .collect();
    let prompt = if words.len() > 1 { words.join(" ") } else { "…".to_owned() };
    Some(format!("Put the prompt in quotes: glassbox {name} \"{prompt}\""))
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
