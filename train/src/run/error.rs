//! What can go wrong with a run.

use std::fmt;
use std::path::PathBuf;

use crate::data::DataError;

/// An error of a run.
#[derive(Debug)]
pub enum RunError {
    /// A recipe that cannot be followed.
    Recipe {
        /// Its file, or the name of the preset.
        name: String,
        /// What is wrong, a sentence each.
        problems: Vec<String>,
    },
    /// The text.
    Data(DataError),
    /// The model or the checkpoint that was to be trained.
    Model(glassbox_model::Error),
    /// A file of tensors.
    Tensor(glassbox_tensor::Error),
    /// The training itself.
    Train(crate::Error),
    /// A file of the run's folder.
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is a run in the folder already.
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// There is something else in the folder.
    Taken {
        /// The folder.
        path: PathBuf,
    },
    /// There is no run in the folder.
    NoRun {
        /// The folder.
        path: PathBuf,
        /// The file that every run has.
        missing: &'static str,
    },
    /// A run was to be continued with something else than it was begun with.
    Changed {
        /// The folder.
        path: PathBuf,
        /// What differs, a phrase each.
        differences: Vec<String>,
    },
    /// A file of the run's folder does not say what it should.
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The loss, the gradient or a parameter is no number any more.
    NotFinite {
        /// The step, counted from 1.
        step: u64,
        /// What is no number.
        what: String,
        /// The last step whose checkpoint is kept, if there is one.
        kept: Option<u64>,
        /// The folder.
        path: PathBuf,
    },
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunError::Recipe { name, problems } => write!(f, "recipe {name}: {}", problems.join("; ")),
            RunError::Data(source) => source.fmt(f),
            RunError::Model(source) => source.fmt(f),
            RunError::Tensor(source) => source.fmt(f),
            RunError::Train(source) => source.fmt(f),
            RunError::File { path, source } => write!(f, "{}: {source}", path.display()),
            RunError::Exists { path } => write!(
                f,
                "{}: there is a run in this folder already; --resume goes on with it, or choose another folder",
                path.display()
            ),
            RunError::Taken { path } => {
                write!(
                    f,
                    "{}: this folder has the files of another training; choose another one",
                    path.display()
                )
            }
            RunError::NoRun { path, missing } => {
                write!(
                    f,
                    "{}: there is no run to go on with in this folder: {missing} is missing",
                    path.display()
                )
            }
            RunError::Changed { path, differences } => write!(
                f,
                "{}: this run was begun otherwise and can only go on as it began: {}",
                path.display(),
                differences.join("; ")
            ),
            RunError::Broken { path, problem } => write!(f, "{}: {problem}", path.display()),
            RunError::NotFinite { step, what, kept, path } => {
                write!(f, "step {step}: {what} is no number any more, so the training stops; ")?;
                match kept {
                    Some(kept) => write!(f, "the checkpoint of step {kept} is kept in {}; ", path.display())?,
                    None => write!(f, "no checkpoint was written yet; ")?,
                }
                write!(f, "a lower learning_rate, a longer warm_up or a shorter clip may help")
            }
        }
    }
}

impl std::error::Error for RunError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            RunError::Data(source) => Some(source),
            RunError::Model(source) => Some(source),
            RunError::Tensor(source) => Some(source),
            RunError::Train(source) => Some(source),
            RunError::File { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl From<DataError> for RunError {
    fn from(source: DataError) -> RunError {
        RunError::Data(source)
    }
}

impl From<glassbox_model::Error> for RunError {
    fn from(source: glassbox_model::Error) -> RunError {
        RunError::Model(source)
    }
}

impl From<glassbox_tensor::Error> for RunError {
    fn from(source: glassbox_tensor::Error) -> RunError {
        RunError::Tensor(source)
    }
}

impl From<glassbox_tokenizer::Error> for RunError {
    fn from(source: glassbox_tokenizer::Error) -> RunError {
        RunError::Data(source.into())
    }
}
