//! A session: one sequence with its KV cache.

use std::sync::Arc;

use crate::decoder::Start;
use crate::error::Error;
use crate::hooks::{Intervened, NoObserver, Observer};
use crate::kv_cache::KvCache;
use crate::model::{Model, Wanted};
use crate::runtime::Runtime;
use crate::scratch::Scratch;
use crate::sequences::Sequence;

/// A sequence: the KV cache of the tokens fed so far, and the logits of the next token.
pub struct Session {
    runtime: Runtime,
    context: usize,
    chunk: usize,
    cache: KvCache,
    scratch: Scratch,
    logits: Vec<f32>,
}

/// Default number of prompt tokens per forward pass: enough to amortise unpacking the weights, few enough to keep the
/// activations small.
pub const PROMPT_CHUNK: usize = 512;

impl Runtime {
    /// Creates a session for at most `context` tokens; the model's context length is a limit too.
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
    /// Sets the number of prompt tokens per forward pass. It affects memory, but not a bit of the results.
    pub fn with_chunk(mut self, chunk: usize) -> Session {
        self.chunk = chunk.max(1);
        self
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        &self.runtime.model
    }

    /// Number of tokens fed so far.
    pub fn positions(&self) -> usize {
        self.cache.positions()
    }

    /// Maximum number of tokens.
    pub fn context(&self) -> usize {
        self.context
    }

    /// Removes all tokens from position `positions` on.
    pub fn truncate(&mut self, positions: usize) {
        self.cache.truncate(positions);
    }

    /// Feeds `ids` and returns the logits of the token after the last, `[vocab_size]`.
    ///
    /// # Errors
    /// [`Error::NoTokens`] without ids, [`Error::TokenOutOfRange`], [`Error::ContextFull`]. After an error the session
    /// is unchanged.
    pub fn feed(&mut self, ids: &[u32]) -> Result<&[f32], Error> {
        self.feed_observed(ids, &mut NoObserver)
    }

    /// As [`Session::feed`], with an observer. It receives the values of each chunk of the prompt in order
    /// ([`Session::with_chunk`]), and the logits of the last token only.
    ///
    /// # Errors
    /// As [`Session::feed`].
    pub fn feed_observed<O: Observer>(&mut self, ids: &[u32], observer: &mut O) -> Result<&[f32], Error> {
        self.runtime.check(ids, self.positions(), self.context)?;
        self.logits.resize(self.runtime.config.vocab_size, 0.0);
        let Session { runtime, chunk, cache, scratch, logits, .. } = self;
        prefill(runtime, ids, *chunk, cache, scratch, logits, observer);
        Ok(logits)
    }

    /// Feeds `ids` and calls `each(i, logits)` with the logits after each of them; `i` is the index in `ids`.
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
        self.runtime.check(ids, self.positions(), self.context)?;
        let Session { runtime, chunk, cache, scratch, .. } = self;
        for (i, piece) in ids.chunks(*chunk).enumerate() {
            let first = i * *chunk;
            let mut each = |row: usize, logits: &[f32]| each(first + row, logits);
            pass(runtime, Start::Ids(piece), cache, scratch, observer, Wanted::All(&mut each));
        }
        Ok(())
    }
}

/// Feeds `ids` after those in the cache, in chunks of `chunk` tokens. Leaves the logits of the token after the last in
/// `logits`, `[vocab_size]`.
pub(crate) fn prefill<O: Observer>(
    runtime: &Runtime,
    ids: &[u32],
    chunk: usize,
    cache: &mut KvCache,
    scratch: &mut Scratch,
    logits: &mut [f32],
    observer: &mut O,
) {
    let chunks = ids.len().div_ceil(chunk);
    for (i, piece) in ids.chunks(chunk).enumerate() {
        let wanted = if i + 1 == chunks { Wanted::Last(&mut *logits) } else { Wanted::None };
        pass(runtime, Start::Ids(piece), cache, scratch, observer, wanted);
    }
}

/// One forward pass of one sequence, with the interventions of `runtime`.
pub(crate) fn pass<O: Observer>(
    runtime: &Runtime,
    start: Start<'_>,
    cache: &mut KvCache,
    scratch: &mut Scratch,
    observer: &mut O,
    wanted: Wanted<'_>,
) {
    let (model, adapter) = (&runtime.model, runtime.adapter.as_deref());
    runtime.pool.enter(|team| {
        let mut sequence = [Sequence { cache, adapter, rows: start.tokens(&model.config) }];
        match &runtime.interventions {
            None => model.forward(team, start, &mut sequence, scratch, observer, wanted),
            Some(interventions) => {
                let mut observer = Intervened { interventions, then: observer };
                model.forward(team, start, &mut sequence, scratch, &mut observer, wanted);
            }
        }
    });
}
