//! A request: a prompt, and what is done with the logits after it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::adapter::Adapter;

/// A prompt to continue.
pub struct Request {
    /// Who asks. Clients are served fairly, whatever their numbers of requests.
    pub client: u64,
    /// The prompt's tokens.
    pub prompt: Vec<u32>,
    /// Maximum number of tokens after the prompt.
    pub tokens: usize,
    /// The LoRA adapter, if any.
    pub adapter: Option<Arc<Adapter>>,
    /// Chooses the tokens.
    pub continuation: Box<dyn Continuation>,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Request { client, prompt, tokens, .. } = self;
        f.debug_struct("Request")
            .field("client", client)
            .field("prompt", &prompt.len())
            .field("tokens", tokens)
            .finish_non_exhaustive()
    }
}

/// What a sequence does with its logits. It is called from the model's threads and must not wait there: every other
/// sequence would wait with it. A panic ends this sequence alone.
pub trait Continuation: Send {
    /// Whether the sequence wants the logits after every prompt token. Then it reuses no prefix.
    fn wants_prompt(&self) -> bool {
        false
    }

    /// Receives the logits after the prompt's token `position`, `[vocab_size]`; the last position's too, before
    /// [`Continuation::choose`]. Only if [`Continuation::wants_prompt`].
    fn see_prompt(&mut self, position: usize, logits: &[f32]) {
        let _ = (position, logits);
    }

    /// Whether there is space for another token. While there is none, the sequence keeps its memory and takes part in
    /// no step.
    fn is_ready(&mut self) -> bool {
        true
    }

    /// Chooses the next token from the logits after the last one, `[vocab_size]`.
    fn choose(&mut self, logits: &[f32]) -> Choice;

    /// The sequence has ended. Called once, last.
    fn end(&mut self, outcome: Outcome);
}

/// The next token, or the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The sequence goes on with this token.
    Token(u32),
    /// The sequence has ended.
    End,
}

/// Why a sequence ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its continuation ended it.
    Finished,
    /// It has all the tokens it asked for.
    Length,
    /// The context is full.
    ContextFull,
    /// Its ticket was cancelled or dropped, or the scheduler was.
    Cancelled,
    /// Its continuation panicked, or chose a token that is not in the vocabulary.
    Failed,
}

/// A request in the queue.
pub(super) struct Submitted {
    pub(super) request: Request,
    /// The positions to reserve memory for: prompt and answer.
    pub(super) positions: usize,
    pub(super) cancelled: Arc<AtomicBool>,
}

impl Submitted {
    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }
}
