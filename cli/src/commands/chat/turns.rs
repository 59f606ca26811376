//! The user's turns: lines edited on a terminal, or lines of a pipe.

use std::io::{self, BufRead, IsTerminal};

use anyhow::{Context, anyhow};
use rustyline::config::Behavior;
use rustyline::error::ReadlineError;
use rustyline::{Config, DefaultEditor};

use crate::exit::Interrupted;
use crate::output::note;

/// Where turns come from.
pub(crate) enum Turns {
    /// A person, who may also give commands; and the lines so far.
    Terminal(Vec<String>),
    /// A pipe, and how many lines it has given.
    Pipe(io::StdinLock<'static>, usize),
}

/// What was typed.
pub(crate) enum Typed {
    /// A turn.
    Turn(String),
    /// Begin a new conversation.
    Reset,
    /// No more turns.
    End,
}

impl Turns {
    pub(crate) fn open() -> anyhow::Result<Turns> {
        let stdin = io::stdin();
        if !stdin.is_terminal() {
            return Ok(Turns::Pipe(stdin.lock(), 0));
        }
        Ok(Turns::Terminal(Vec::new()))
    }

    /// Whether a person types.
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

/// A line of a person. The editor lives no longer than the line: as long as it does, it keeps Ctrl-C to itself, which
/// is to cut the answer short. Since it may be meant for an answer that has just ended, only a second one ends the program.
fn from_terminal(history: &mut Vec<String>) -> anyhow::Result<Typed> {
    // The prompt belongs to the terminal, not to the result.
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
                note("Ctrl-C once more, or Ctrl-D, ends the chat");
                interrupted = true;
                continue;
            }
            Err(error) => return Err(anyhow!(error).context("reading the terminal")),
        };
        interrupted = false;
        match line.trim() {
            "" => continue,
            "/exit" => return Ok(Typed::End),
            "/reset" => return Ok(Typed::Reset),
            _ => {}
        }
        history.push(line.clone());
        return Ok(Typed::Turn(line));
    }
}

/// A line without its line break.
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
    Ok(Typed::Turn(text))
}
