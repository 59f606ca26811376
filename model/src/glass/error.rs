//! Everything that can go wrong between a run and its trace or its reference.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// An error of the glass.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// No value of the model fits a glob.
    NoSuchName {
        /// The glob.
        glob: String,
        /// The names there are.
        names: Vec<String>,
    },
    /// The spool or the file could not be written.
    Write {
        /// The file that was to be written.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A reference that does not say which tokens it is about.
    NoIds {
        /// The reference.
        path: PathBuf,
        /// What is wrong with what it says.
        found: String,
    },
    /// A reference without a single value.
    NothingToCompare {
        /// The reference.
        path: PathBuf,
    },
    /// A reference with values that the model does not have.
    UnknownNames {
        /// The reference.
        path: PathBuf,
        /// Their names.
        unknown: Vec<String>,
        /// The names that the model has.
        names: Vec<String>,
    },
    /// A reference whose values have other shapes than the model's.
    Shapes {
        /// The reference.
        path: PathBuf,
        /// How many tokens the reference is about.
        tokens: usize,
        /// Name, expected shape, found shape.
        different: Vec<(String, Vec<usize>, Vec<usize>)>,
    },
    /// Two models that are not of one shape, and so cannot be compared layer by layer.
    Unlike {
        /// The size's name, what it is in the first model, what in the second.
        different: Vec<(&'static str, usize, usize)>,
    },
    /// The model could not be run over the tokens.
    Model(crate::Error),
    /// A file of tensors could not be read or written.
    Tensor(glassbox_tensor::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NoSuchName { glob, names } => {
                write!(f, "no value of this model is called {glob}; there are {}", some(names))
            }
            Error::Write { path, source } => write!(f, "cannot write {}: {source}", path.display()),
            Error::NoIds { path, found } => {
                write!(f, "{} does not say which tokens it is about: {found}; ", path.display())?;
                f.write_str(
                    "expected \"ids\" in its metadata, a JSON array, or a tensor ids of whole numbers",
                )
            }
            Error::NothingToCompare { path } => write!(f, "{} has no values to compare", path.display()),
            Error::UnknownNames { path, unknown, names } => {
                let (unknown, names) = (some(unknown), some(names));
                write!(f, "{} has values that this model does not have: {unknown}; ", path.display())?;
                write!(f, "the model has {names}")
            }
            Error::Shapes { path, tokens, different } => {
                write!(f, "{} is not of this model: over {tokens} tokens", path.display())?;
                for (i, (name, expected, found)) in different.iter().take(SHOWN).enumerate() {
                    let separator = if i == 0 { "" } else { ";" };
                    write!(f, "{separator} {name} has the shape {expected:?} here and {found:?} there")?;
                }
                match different.len().saturating_sub(SHOWN) {
                    0 => Ok(()),
                    more => write!(f, "; and {more} more"),
                }
            }
            Error::Unlike { different } => {
                f.write_str("the models are not of one shape:")?;
                for (i, (name, first, second)) in different.iter().enumerate() {
                    let separator = if i == 0 { "" } else { "," };
                    write!(f, "{separator} {name} is {first} in one and {second} in the other")?;
                }
                Ok(())
            }
            Error::Model(source) => source.fmt(f),
            Error::Tensor(source) => source.fmt(f),
        }
    }
}

/// How many of many things a message names.
const SHOWN: usize = 8;

/// The first of `names`, and how many more there are.
fn some(names: &[String]) -> String {
    // What a file calls its tensors may hold anything.
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
