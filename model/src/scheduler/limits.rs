//! What a scheduler takes at most.

use std::fmt;

use super::request::Request;
use crate::error::Error;
use crate::runtime::Runtime;

/// Limits of a scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Sequences in progress.
    pub sequences: usize,
    /// Tokens per sequence, prompt and answer together.
    pub context: usize,
    /// Requests that wait.
    pub queue: usize,
    /// Rows per step. Fewer let a new request begin sooner; more read long prompts faster.
    pub step_rows: usize,
    /// Bytes of keys and values, of sequences in progress and of cached prefixes together.
    pub cache_bytes: usize,
}

impl Default for Limits {
    /// Eight sequences of the model's context length, 64 waiting requests, 128 rows per step, a GiB.
    fn default() -> Limits {
        Limits { sequences: 8, context: usize::MAX, queue: 64, step_rows: 128, cache_bytes: 1 << 30 }
    }
}

/// Why a request was not taken.
#[derive(Debug)]
pub enum Refused {
    /// It has no tokens, an unknown token, or more than the context has space for.
    Invalid(Error),
    /// Its keys and values take more memory than all sequences together may.
    TooLarge {
        /// Bytes it needs.
        needed: usize,
        /// [`Limits::cache_bytes`]
        limit: usize,
    },
    /// As many requests wait as may.
    QueueFull {
        /// [`Limits::queue`]
        limit: usize,
    },
    /// The scheduler has ended.
    Stopped,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Invalid(error) => error.fmt(f),
            Refused::TooLarge { needed, limit } => write!(
                f,
                "prompt and answer need {needed} bytes for keys and values, and all sequences together have {limit}"
            ),
            Refused::QueueFull { limit } => write!(f, "{limit} requests are waiting already"),
            Refused::Stopped => f.write_str("the scheduler has ended"),
        }
    }
}

impl std::error::Error for Refused {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Refused::Invalid(error) => Some(error),
            _ => None,
        }
    }
}

impl Limits {
    /// The same, with nothing less than one, and a context that the model has.
    pub(super) fn for_model(self, runtime: &Runtime) -> Limits {
        Limits {
            sequences: self.sequences.max(1),
            context: self.context.min(runtime.config.context_length),
            step_rows: self.step_rows.max(1),
            ..self
        }
    }

    /// Checks a request. Returns the positions to reserve for it.
    pub(super) fn check(&self, runtime: &Runtime, request: &Request) -> Result<usize, Refused> {
        runtime.check(&request.prompt, 0, self.context).map_err(Refused::Invalid)?;
        // The last token that is chosen is never fed.
        let positions =
            request.prompt.len().saturating_add(request.tokens.saturating_sub(1)).min(self.context);
        let needed = runtime.config.cache_bytes(runtime.cache_format, positions);
        if needed > self.cache_bytes {
            return Err(Refused::TooLarge { needed, limit: self.cache_bytes });
        }
        Ok(positions)
    }
}
