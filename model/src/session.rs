//! A session: one sequence, fed token by token.

use std::sync::Arc;

use crate::error::Error;
use crate::hooks::{NoObserver, Observer};
use crate::kv_cache::KvCache;
use crate::model::{Model, Wanted};
use crate::runtime::Runtime;
use crate::scratch::Scratch;
use crate::sequences::Sequence;

/// A sequence in progress: the tokens fed so far, and the scores of what may come next.
pub struct Session {
    runtime: Runtime,
    context: usize,
    chunk: usize,
    cache: KvCache,
    scratch: Scratch,
    logits: Vec<f32>,
}

/// Tokens of a prompt that are fed at a time by default: enough that unpacking a weight is shared by many rows, few enough
/// that the activations stay small.
pub const PROMPT_CHUNK: usize = 512;

/// Tokens after a prompt for which the cache is reserved along with it.
const RESERVE_AHEAD: usize = 256;

impl Runtime {
    /// A session for at most `context` tokens, and at most the model's own context length.
    pub fn session(&self, context: usize) -> Session {
        Session {
            context: context.min(self.config.context_length),
            chunk: PROMPT_CHUNK,
            cache: KvCache::new(&self.config, self.cache_format),
            scratch: Scratch::new(&self.config),
            logits: Vec::new(),
            runtime: self.clone(),
        }
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Session { context, chunk, .. } = self;
        let mut fields = f.debug_struct("Session");
        fields.field("positions", &self.positions()).field("context", context).field("chunk", chunk);
        fields.finish_non_exhaustive()
    }
}

impl Session {
    /// Feeds prompts in chunks of `chunk` tokens. The result does not depend on it, bit for bit; memory does.
    pub fn with_chunk(mut self, chunk: usize) -> Session {
        self.chunk = chunk.max(1);
        self
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        &self.runtime.model
    }

    /// How many tokens have been fed.
    pub fn positions(&self) -> usize {
        self.cache.positions()
    }

    /// How many tokens fit in all.
    pub fn context(&self) -> usize {
        self.context
    }

    /// Forgets all tokens from position `positions` on.
    pub fn truncate(&mut self, positions: usize) {
        self.cache.truncate(positions);
    }

    /// Feeds `ids` and returns the scores of the token after the last, `[vocab_size]`.
    ///
    /// # Errors
    /// [`Error::NoTokens`] without ids, [`Error::TokenOutOfRange`], [`Error::ContextFull`]. The session is then as before.
    pub fn feed(&mut self, ids: &[u32]) -> Result<&[f32], Error> {
        self.feed_observed(ids, &mut NoObserver)
    }

    /// As [`Session::feed`], with an observer, which receives the values of each chunk of the prompt in turn
    /// ([`Session::with_chunk`]), and logits only of the last token.
    ///
    /// # Errors
    /// As [`Session::feed`].
    pub fn feed_observed<O: Observer>(&mut self, ids: &[u32], observer: &mut O) -> Result<&[f32], Error> {
        self.prepare(ids)?;
        self.logits.resize(self.runtime.config.vocab_size, 0.0);
        let Session { runtime, chunk, cache, scratch, logits, .. } = self;
        prefill(runtime, ids, *chunk, cache, scratch, logits, observer);
        Ok(logits)
    }

    /// Feeds `ids` and calls `each(i, logits)` with the scores after every one of them, `i` counted from the first of
    /// `ids`.
    ///
    /// # Errors
    /// As [`Session::feed`].
    pub fn feed_all(&mut self, ids: &[u32], each: impl FnMut(usize, &[f32]) + Send) -> Result<(), Error> {
        self.feed_all_observed(ids, &mut NoObserver, each)
    }

    /// As [`Session::feed_all`], with an observer.
    ///
    /// # Errors
    /// As [`Session::feed`].
    pub fn feed_all_observed<O: Observer>(
        &mut self,
        ids: &[u32],
        observer: &mut O,
        mut each: impl FnMut(usize, &[f32]) + Send,
    ) -> Result<(), Error> {
        self.prepare(ids)?;
        let Session { runtime, chunk, cache, scratch, .. } = self;
        let (model, adapter) = (&runtime.model, runtime.adapter.as_deref());
        for (i, piece) in ids.chunks(*chunk).enumerate() {
            let (observer, each, cache) = (&mut *observer, &mut each, &mut *cache);
            let first = i * *chunk;
            runtime.pool.enter(|team| {
                let mut sequence = [Sequence { cache, adapter, rows: piece.len() }];
                let mut each = |row: usize, logits: &[f32]| each(first + row, logits);
                model.forward(team, piece, &mut sequence, scratch, observer, Wanted::All(&mut each));
            });
        }
        Ok(())
    }

    /// Checks `ids` and reserves the cache for a prompt at once, with some more for what follows it: memory that is not
    /// used yet costs nothing, moving what is there does. Later the cache grows by steps of its own.
    fn prepare(&mut self, ids: &[u32]) -> Result<(), Error> {
        self.runtime.check(ids, self.positions(), self.context)?;
        if ids.len() > 1 {
            self.cache.reserve(reserved_for(self.positions() + ids.len(), self.context));
        }
        Ok(())
    }
}

/// Feeds `ids`, which follow those in the cache, in chunks of `chunk` tokens; leaves the scores of the token after the last
/// in `logits`, `[vocab_size]`.
pub(crate) fn prefill<O: Observer>(
    runtime: &Runtime,
    ids: &[u32],
    chunk: usize,
    cache: &mut KvCache,
    scratch: &mut Scratch,
    logits: &mut [f32],
    observer: &mut O,
) {
    let (model, adapter) = (&runtime.model, runtime.adapter.as_deref());
    let chunks = ids.len().div_ceil(chunk);
    for (i, piece) in ids.chunks(chunk).enumerate() {
        let (observer, cache, logits) = (&mut *observer, &mut *cache, &mut *logits);
        runtime.pool.enter(|team| {
            let mut sequence = [Sequence { cache, adapter, rows: piece.len() }];
            let wanted = if i + 1 == chunks { Wanted::Last(logits) } else { Wanted::None };
            model.forward(team, piece, &mut sequence, scratch, observer, wanted);
        });
    }
}

/// Positions to reserve when a prompt ends at `positions`.
pub(crate) fn reserved_for(positions: usize, context: usize) -> usize {
    (positions + RESERVE_AHEAD).min(context)
}
