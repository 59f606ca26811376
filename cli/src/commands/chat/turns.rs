//! The user's turns: lines edited on a terminal, or lines from a pipe.

use std::io::{self, BufRead, IsTerminal};

use anyhow::{Context, anyhow};
use rustyline::config::Behavior;
use rustyline::error::ReadlineError;
use rustyline::{Config, DefaultEditor};

use super::typed::Typed;
use crate::exit::Interrupted;
use crate::output::note;

/// The source of turns.
pub(crate) enum Turns {
    /// A terminal, where commands are read too; with the history of lines.
    Terminal(Vec<String>),
    /// A pipe, with the number of lines read.
    Pipe(io::StdinLock<'static>, usize),
}

impl Turns {
    pub(crate) fn open() -> anyhow::Result<Turns> {
        let stdin = io::stdin();
        if !stdin.is_terminal() {
            return Ok(Turns::Pipe(stdin.lock(), 0));
        }
        Ok(Turns::Terminal(Vec::new()))
    }

    /// Whether turns come from a terminal.
    pub(crate) fn is_terminal(&self) -> bool {
        matches!(self, Turns::Terminal(_))
    }

    /// Waits for the next turn.
    pub(crate) fn next(&mut self) -> anyhow::Result<Typed> {
        match self {
            Turns::Terminal(history) => from_terminal(history),
            Turns::Pipe(stdin, lines) => {
                *lines += 1;
                from_pipe(stdin).with_context(|| format!("line {lines} of standard input"))
            }
        }
    }
}

/// Reads a line from the terminal. The editor is dropped after each line, because it captures Ctrl-C, which must stop
/// the answer. A Ctrl-C at the prompt may be meant for an answer that has just ended, so only a second one ends the
/// program.
fn from_terminal(history: &mut Vec<String>) -> anyhow::Result<Typed> {
    // The editor's prompt goes to the terminal, not to stdout.
    let config = Config::builder().behavior(Behavior::PreferTerm).build();
    let mut editor = DefaultEditor::with_config(config).context("opening the terminal")?;
    for line in history.iter() {
        editor.add_history_entry(line)?;
    }
    let mut interrupted = false;
    loop {
        let line = match editor.readline("> ") {
            Ok(line) => line,
            Err(ReadlineError::Eof) => return Ok(Typed::End),
            Err(ReadlineError::Interrupted) if interrupted => return Err(Interrupted.into()),
            Err(ReadlineError::Interrupted) => {
                note("press Ctrl-C again, or Ctrl-D, to end the chat");
                interrupted = true;
                continue;
            }
            Err(error) => return Err(anyhow!(error).context("reading the terminal")),
        };
        interrupted = false;
        if line.trim().is_empty() {
            continue;
        }
        history.push(line.clone());
        return Ok(Typed::parse(&line));
    }
}

/// Reads a line from the pipe, without its line break.
fn from_pipe(stdin: &mut io::StdinLock<'static>) -> anyhow::Result<Typed> {
    let mut line = Vec::new();
    if stdin.read_until(b'\n', &mut line)? == 0 {
        return Ok(Typed::End);
    }
    if line.pop_if(|byte| *byte == b'\n').is_some() {
        line.pop_if(|byte| *byte == b'\r');
    }
    let text = String::from_utf8(line)
        .map_err(|error| anyhow!("a message must be UTF-8: {}", error.utf8_error()))?;
    Ok(Typed::parse(&text))
}
