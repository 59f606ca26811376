//! Errors of training runs.

use std::fmt;
use std::path::PathBuf;

use crate::data::DataError;

/// An error of a training run.
#[derive(Debug)]
pub enum RunError {
    /// An invalid recipe.
    Recipe {
        /// Its file, or the name of the preset.
        name: String,
        /// One sentence per problem.
        problems: Vec<String>,
    },
    /// An error of the training data.
    Data(DataError),
    /// An error of the model or its checkpoint.
    Model(glassbox_model::Error),
    /// An error of a tensor file.
    Tensor(glassbox_tensor::Error),
    /// An error of the training core.
    Train(crate::Error),
    /// A file of the run's folder cannot be read or written.
    File {
        /// The path.
        path: PathBuf,
        /// The I/O error.
        source: std::io::Error,
    },
    /// The folder already contains a run.
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// The folder contains the files of another training.
    Taken {
        /// The folder.
        path: PathBuf,
    },
    /// The folder contains no run.
    NoRun {
        /// The folder.
        path: PathBuf,
        /// The file that is missing.
        missing: &'static str,
    },
    /// The recipe or text differs from those that the run was started with.
    Changed {
        /// The folder.
        path: PathBuf,
        /// One phrase per difference.
        differences: Vec<String>,
    },
    /// A file has invalid contents.
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The loss, the gradient or a parameter is infinite or NaN.
    NotFinite {
        /// The step, counted from 1.
        step: u64,
        /// What is not finite.
        what: String,
        /// The step of the last checkpoint, if there is one.
        checkpoint: Option<u64>,
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
                "{}: this folder already contains a run; continue it with --resume, or choose another folder",
                path.display()
            ),
            RunError::Taken { path } => {
                write!(
                    f,
                    "{}: this folder contains the files of another training; choose another folder",
                    path.display()
                )
            }
            RunError::NoRun { path, missing } => {
                write!(
                    f,
                    "{}: no training run to resume in this folder: {missing} is missing",
                    path.display()
                )
            }
            RunError::Changed { path, differences } => write!(
                f,
                "{}: cannot resume: this run differs from the recipe or text given: {}",
                path.display(),
                differences.join("; ")
            ),
            RunError::Broken { path, problem } => write!(f, "{}: {problem}", path.display()),
            RunError::NotFinite { step, what, checkpoint, path } => {
                write!(f, "step {step}: {what} is no longer finite, so training stops; ")?;
                match checkpoint {
                    Some(step) => write!(f, "the checkpoint of step {step} is in {}; ", path.display())?,
                    None => write!(f, "no checkpoint was written yet; ")?,
                }
                write!(f, "try a lower learning_rate, a longer warm_up or a lower clip")
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
