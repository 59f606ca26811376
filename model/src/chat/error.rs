//! Errors of chat templates, with their position.

use std::fmt;

use glassbox_jinja::{Fault, FaultKind};

/// An error of finding, parsing or rendering a chat template.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The template is invalid, or it failed while rendering.
    Template {
        /// The template's name.
        template: String,
        /// The line, counted from 1.
        line: usize,
        /// The character in the line, counted from 1.
        column: usize,
        /// An excerpt of the template, at most a line; empty if unknown.
        excerpt: String,
        /// What is wrong.
        message: String,
    },
    /// The template rejected the conversation with `raise_exception`.
    Raised {
        /// The template's name.
        template: String,
        /// The line, counted from 1.
        line: usize,
        /// The character in the line, counted from 1.
        column: usize,
        /// The template's message.
        message: String,
    },
    /// The template exceeds the length limit.
    TooLong {
        /// The template's name.
        template: String,
        /// Its length.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The template exceeded its work budget or time limit.
    TooMuchWork {
        /// The template's name.
        template: String,
        /// The line at which it was stopped, counted from 1; `None` after a timeout.
        line: Option<usize>,
    },
    /// The template's thread could not be started, or it failed.
    NoThread {
        /// The template's name.
        template: String,
        /// What happened.
        message: String,
    },
    /// The variables for a template are not valid JSON.
    Json {
        /// The variable, or `chat` for all of them.
        name: String,
        /// The parser's message.
        message: String,
    },
    /// A key of a file has a value of the wrong type.
    WrongType {
        /// The key.
        key: String,
        /// The expected value.
        expected: &'static str,
        /// The value found.
        found: String,
    },
    /// There is no template of this name.
    NoSuchTemplate {
        /// The requested name.
        name: String,
        /// The available names.
        found: Vec<String>,
    },
}

impl Error {
    /// Converts a fault of the interpreter, with the line and column of its byte range.
    pub(super) fn of(template: &str, source: &str, fault: &Fault) -> Error {
        let template = template.to_owned();
        let range =
            fault.range().and_then(|(start, end)| Some((source.get(..start)?, source.get(start..end)?)));
        let (before, excerpt) = range.unwrap_or(("", ""));
        let column = before.rsplit('\n').next().map_or(0, |start| start.chars().count()) + 1;
        let line = before.matches('\n').count() + 1;
        match fault.kind {
            FaultKind::Raised => Error::Raised { template, line, column, message: fault.message.clone() },
            FaultKind::Work => Error::TooMuchWork { template, line: Some(line) },
            _ => {
                let excerpt = excerpt.lines().next().unwrap_or("").to_owned();
                Error::Template { template, line, column, excerpt, message: fault.to_string() }
            }
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Template { template, line, column, excerpt, message } => {
                write!(f, "chat template {template}, line {line}, column {column}: {message}")?;
                if excerpt.is_empty() { Ok(()) } else { write!(f, ", at `{excerpt}`") }
            }
            Error::Raised { template, line, column, message } => {
                write!(f, "chat template {template} rejects this conversation: {message} ")?;
                write!(f, "(line {line}, column {column})")
            }
            Error::TooLong { template, bytes, limit } => {
                write!(f, "chat template {template}: expected at most {limit} bytes, found {bytes}")
            }
            Error::TooMuchWork { template, line } => {
                write!(f, "chat template {template} was stopped")?;
                if let Some(line) = line {
                    write!(f, " at line {line}")?;
                }
                write!(f, ": it exceeded the work limit for a conversation of this length")
            }
            Error::NoThread { template, message } => {
                write!(f, "chat template {template}: its thread failed: {message}")
            }
            Error::Json { name, message } => write!(f, "JSON of `{name}` for the chat template: {message}"),
            Error::WrongType { key, expected, found } => {
                write!(f, "`{key}`: expected {expected}, found {found}")
            }
            Error::NoSuchTemplate { name, found } => {
                write!(f, "no chat template named `{name}`; available: {}", found.join(", "))
            }
        }
    }
}

impl std::error::Error for Error {}
