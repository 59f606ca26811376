//! What can go wrong with a chat template, and where.

use std::fmt;

use minijinja::ErrorKind;

/// Why a chat template could not be found, read or rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The template is not valid, or it failed while rendering.
    Template {
        /// Where the template comes from.
        template: String,
        /// The line, counted from 1.
        line: usize,
        /// The character in the line, counted from 1.
        column: usize,
        /// The piece of the template, at most a line of it; empty where it is unknown.
        excerpt: String,
        /// What is wrong.
        message: String,
    },
    /// The template itself refuses the conversation, by `raise_exception`.
    Raised {
        /// Where the template comes from.
        template: String,
        /// The line, counted from 1.
        line: usize,
        /// The character in the line, counted from 1.
        column: usize,
        /// The template's own words.
        message: String,
    },
    /// The template is longer than any real one.
    TooLong {
        /// Where the template comes from.
        template: String,
        /// Its length.
        bytes: usize,
        /// The most that is read.
        limit: usize,
    },
    /// The template did more work than any real template needs for a conversation of this length.
    TooMuchWork {
        /// Where the template comes from.
        template: String,
        /// The line at which it was stopped, counted from 1; none where its time was up.
        line: Option<usize>,
    },
    /// The system has no thread or no stack for the template, or the thread failed.
    NoThread {
        /// Where the template comes from.
        template: String,
        /// What happened.
        message: String,
    },
    /// The variables for a template are not valid JSON.
    Json {
        /// The variable, or `chat` where it is all of them.
        name: String,
        /// What is wrong and where.
        message: String,
    },
    /// A file holds something else than was expected at a key.
    WrongType {
        /// The key.
        key: String,
        /// What can stand there.
        expected: &'static str,
        /// What stands there.
        found: String,
    },
    /// There is no template of this name.
    NoSuchTemplate {
        /// The name asked for.
        name: String,
        /// The names there are.
        found: Vec<String>,
    },
}

impl Error {
    /// The error of minijinja as ours, with the column that its byte range tells.
    pub(super) fn of(template: &str, source: &str, error: minijinja::Error) -> Error {
        let template = template.to_owned();
        let range = error.range().filter(|range| source.is_char_boundary(range.start));
        let line = error.line().unwrap_or(1);
        let before = range.as_ref().map_or("", |range| &source[..range.start]);
        let column = before.rsplit('\n').next().map_or(0, |start| start.chars().count()) + 1;
        let line = range.as_ref().map_or(line, |_| before.matches('\n').count() + 1);
        if let Some(Raised(message)) = raised(&error) {
            return Error::Raised { template, line, column, message: message.clone() };
        }
        if is_out_of_fuel(&error) {
            return Error::TooMuchWork { template, line: Some(line) };
        }
        let excerpt = range.and_then(|range| source.get(range)).and_then(|piece| piece.lines().next());
        let message = match error.detail() {
            Some(detail) => format!("{}: {detail}", error.kind()),
            None => error.kind().to_string(),
        };
        Error::Template { template, line, column, excerpt: excerpt.unwrap_or("").to_owned(), message }
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
                write!(f, "chat template {template} refuses this conversation: {message} ")?;
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
                write!(f, ": it does far more work than a conversation of this length needs")
            }
            Error::NoThread { template, message } => {
                write!(f, "chat template {template}: its thread failed: {message}")
            }
            Error::Json { name, message } => write!(f, "JSON of `{name}` for the chat template: {message}"),
            Error::WrongType { key, expected, found } => {
                write!(f, "`{key}`: expected {expected}, found {found}")
            }
            Error::NoSuchTemplate { name, found } => {
                write!(f, "no chat template named `{name}`; there are: {}", found.join(", "))
            }
        }
    }
}

impl std::error::Error for Error {}

/// What `raise_exception` was called with.
#[derive(Debug)]
pub(super) struct Raised(pub(super) String);

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Raised {}

fn raised(error: &minijinja::Error) -> Option<&Raised> {
    causes(error).find_map(|cause| cause.downcast_ref::<Raised>())
}

fn is_out_of_fuel(error: &minijinja::Error) -> bool {
    let mut errors = causes(error).filter_map(|cause| cause.downcast_ref::<minijinja::Error>());
    errors.any(|error| error.kind() == ErrorKind::OutOfFuel)
}

/// The error, its cause, the cause of that, and so on.
fn causes(error: &minijinja::Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    let first: &(dyn std::error::Error + 'static) = error;
    std::iter::successors(Some(first), |error| error.source())
}
