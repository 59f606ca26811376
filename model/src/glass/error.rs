//! Errors of traces and references.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// An error of the module `glass`.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// No value of the model matches a glob.
    NoSuchName {
        /// The glob.
        glob: String,
        /// The names of the model's values.
        names: Vec<String>,
    },
    /// The temporary file or the file cannot be written.
    Write {
        /// The file.
        path: PathBuf,
        /// The I/O error.
        source: io::Error,
    },
    /// The reference has no token ids.
    NoIds {
        /// The reference.
        path: PathBuf,
        /// What was found instead.
        found: String,
    },
    /// The reference has no values.
    NothingToCompare {
        /// The reference.
        path: PathBuf,
    },
    /// The reference has values that the model does not have.
    UnknownNames {
        /// The reference.
        path: PathBuf,
        /// Their names.
        unknown: Vec<String>,
        /// The names that the model has.
        names: Vec<String>,
    },
    /// The reference's values have other shapes than the model's.
    Shapes {
        /// The reference.
        path: PathBuf,
        /// The number of the reference's tokens.
        tokens: usize,
        /// Name, expected shape, found shape.
        different: Vec<(String, Vec<usize>, Vec<usize>)>,
    },
    /// The two models differ in size, so they cannot be compared layer by layer.
    Unlike {
        /// The size's name, its value in the first model, and in the second.
        different: Vec<(&'static str, usize, usize)>,
    },
    /// The model cannot be run on the tokens.
    Model(crate::Error),
    /// A tensor file cannot be read or written.
    Tensor(glassbox_tensor::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NoSuchName { glob, names } => {
                write!(f, "no value of this model matches {glob}; available: {}", some(names))
            }
            Error::Write { path, source } => write!(f, "cannot write {}: {source}", path.display()),
            Error::NoIds { path, found } => {
                write!(f, "{}: no token ids: {found}; ", path.display())?;
                f.write_str("expected a JSON array \"ids\" in the metadata, or an integer tensor ids")
            }
            Error::NothingToCompare { path } => write!(f, "{}: no values to compare", path.display()),
            Error::UnknownNames { path, unknown, names } => {
                let (unknown, names) = (some(unknown), some(names));
                write!(f, "{}: values that this model does not have: {unknown}; ", path.display())?;
                write!(f, "the model has {names}")
            }
            Error::Shapes { path, tokens, different } => {
                write!(f, "{} does not match this model: with {tokens} tokens", path.display())?;
                for (i, (name, expected, found)) in different.iter().take(SHOWN).enumerate() {
                    let separator = if i == 0 { "" } else { ";" };
                    write!(
                        f,
                        "{separator} {name} has shape {expected:?} in the model and {found:?} in the file"
                    )?;
                }
                match different.len().saturating_sub(SHOWN) {
                    0 => Ok(()),
                    more => write!(f, "; and {more} more"),
                }
            }
            Error::Unlike { different } => {
                f.write_str("the models differ in size:")?;
                for (i, (name, first, second)) in different.iter().enumerate() {
                    let separator = if i == 0 { "" } else { "," };
                    write!(f, "{separator} {name} is {first} in one model and {second} in the other")?;
                }
                Ok(())
            }
            Error::Model(source) => source.fmt(f),
            Error::Tensor(source) => source.fmt(f),
        }
    }
}

/// Maximum number of items in a message.
const SHOWN: usize = 8;

/// The first of `names`, and how many more there are.
fn some(names: &[String]) -> String {
    // Tensor names of a file may contain any characters.
    let shown: Vec<String> =
        names.iter().take(SHOWN).map(|name| name.escape_debug().collect::<String>()).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{}, and {more} more", shown.join(", ")),
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Write { source, .. } => Some(source),
            Error::Model(source) => source.source(),
            Error::Tensor(source) => source.source(),
            _ => None,
        }
    }
}

impl From<crate::Error> for Error {
    fn from(error: crate::Error) -> Error {
        Error::Model(error)
    }
}

impl From<glassbox_tensor::Error> for Error {
    fn from(error: glassbox_tensor::Error) -> Error {
        Error::Tensor(error)
    }
}
