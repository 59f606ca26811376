//! A model in memory, and a session that feeds it tokens.

use glassbox_tensor::{CacheFormat, Pool, Team};

use crate::config::Config;
use crate::error::Error;
use crate::gpt2::Gpt2;
use crate::kv_cache::KvCache;
use crate::layers::Vocabulary;
use crate::llama::Llama;
use crate::observe::{Blind, Observer, Place, Watch};
use crate::scratch::Scratch;
use crate::texts::{Text, Texts};

/// The parameters of a model, packed for this machine, with the threads that compute with them.
pub struct Model {
    /// Its shape.
    pub config: Config,
    /// Its parameters.
    pub weights: Weights,
    /// The threads.
    pub pool: Pool,
    /// In which number format its sessions remember keys and values.
    pub cache_format: CacheFormat,
}

/// The parameters, in the form of the family's architecture.
pub enum Weights {
    /// GPT-2.
    Gpt2(Gpt2),
    /// Llama, Mistral, Qwen 2, Qwen 3.
    Llama(Llama),
}

impl Model {
    /// The vectors of the vocabulary.
    pub fn vocabulary(&self) -> &Vocabulary {
        match &self.weights {
            Weights::Gpt2(model) => &model.vocabulary,
            Weights::Llama(model) => &model.vocabulary,
        }
    }

    /// A session for at most `context` tokens, at the model's own context length or below.
    pub fn session(&self, context: usize) -> Session<'_> {
        Session {
            model: self,
            context: context.min(self.config.context_length),
            chunk: PROMPT_CHUNK,
            cache: KvCache::new(&self.config, self.cache_format),
            scratch: Scratch::new(&self.config),
            logits: Vec::new(),
        }
    }

    /// One forward pass: leaves the normed final vectors in `scratch.normed`.
    pub(crate) fn forward<O: Observer>(
        &self,
        team: &Team<'_>,
        ids: &[u32],
        texts: &mut Texts<'_, '_>,
        scratch: &mut Scratch,
        watch: &mut Watch<'_, O>,
    ) {
        match &self.weights {
            Weights::Gpt2(model) => model.forward(team, &self.config, ids, texts, scratch, watch),
            Weights::Llama(model) => model.forward(team, &self.config, ids, texts, scratch, watch),
        }
    }

    /// Feeds `ids`, which follow those in the cache, in pieces of `chunk` tokens; leaves the scores of the token after
    /// the last in `logits`, `[vocab_size]`.
    pub(crate) fn prefill<O: Observer>(
        &self,
        ids: &[u32],
        chunk: usize,
        cache: &mut KvCache,
        scratch: &mut Scratch,
        logits: &mut [f32],
        observer: &mut O,
    ) {
        let pieces = ids.len().div_ceil(chunk);
        for (i, piece) in ids.chunks(chunk).enumerate() {
            let (observer, cache, logits) = (&mut *observer, &mut *cache, &mut *logits);
            self.pool.enter(|team| {
                let mut watch = Watch { observer, first_position: cache.positions(), layer: None };
                let mut text = [Text { cache: &mut *cache, rows: piece.len() }];
                self.forward(team, piece, &mut Texts(&mut text), scratch, &mut watch);
                if i + 1 == pieces {
                    let last = &scratch.normed[(piece.len() - 1) * self.config.d_model..];
                    self.vocabulary().unembed(team, last, logits);
                    watch.first_position = cache.positions() - 1;
                    watch.rows(Place::Logits, 1, [self.config.vocab_size, 1], logits);
                }
            });
        }
    }

    /// Whether `ids` can be fed behind `positions` others in a context of `context` tokens.
    pub(crate) fn check(&self, ids: &[u32], positions: usize, context: usize) -> Result<(), Error> {
        if ids.is_empty() {
            return Err(Error::NoTokens);
        }
        let vocab_size = self.config.vocab_size;
        if let Some(&id) = ids.iter().find(|&&id| id as usize >= vocab_size) {
            return Err(Error::TokenOutOfRange { id, vocab_size });
        }
        let needed = positions + ids.len();
        if needed > context {
            return Err(Error::ContextFull { needed, context });
        }
        Ok(())
    }
}

/// A text in progress: what has been fed so far, and the scores of what may come next.
pub struct Session<'m> {
    model: &'m Model,
    context: usize,
    chunk: usize,
    cache: KvCache,
    scratch: Scratch,
    logits: Vec<f32>,
}

/// Tokens of a prompt that a session feeds at a time by default: enough that unpacking a weight is shared by
/// many rows, few enough that the activations stay small.
pub const PROMPT_CHUNK: usize = 512;

/// Tokens after a prompt for which room is made along with it.
const ROOM_AHEAD: usize = 256;

/// Rows of logits computed at a time when all are wanted: enough to share the vocabulary's one read, few
/// enough that a large vocabulary stays small in memory.
const LOGIT_ROWS: usize = 32;

impl<'m> Session<'m> {
    /// Feeds a prompt in pieces of `chunk` tokens. The result does not depend on it, bit for bit; memory does.
    pub fn with_chunk(mut self, chunk: usize) -> Session<'m> {
        self.chunk = chunk.max(1);
        self
    }

    /// The model.
    pub fn model(&self) -> &'m Model {
        self.model
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
    /// [`Error::NoTokens`] without ids, [`Error::TokenOutOfRange`], [`Error::ContextFull`]; the session is
    /// then as before.
    pub fn feed(&mut self, ids: &[u32]) -> Result<&[f32], Error> {
        self.feed_observed(ids, &mut Blind)
    }

    /// As [`Session::feed`], under the eyes of an observer, who is shown each piece of the prompt in turn
    /// ([`Session::with_chunk`]); logits only of the last token.
    ///
    /// # Errors
    /// As [`Session::feed`].
    pub fn feed_observed<O: Observer>(&mut self, ids: &[u32], observer: &mut O) -> Result<&[f32], Error> {
        self.check(ids)?;
        self.make_room(ids.len());
        self.logits.resize(self.model.config.vocab_size, 0.0);
        let Session { model, chunk, cache, scratch, logits, .. } = self;
        model.prefill(ids, *chunk, cache, scratch, logits, observer);
        Ok(logits)
    }

    /// Feeds `ids` and calls `each(i, logits)` with the scores after every one of them, `i` counted from the
    /// first of `ids`.
    ///
    /// # Errors
    /// As [`Session::feed`].
    pub fn feed_all(&mut self, ids: &[u32], each: impl FnMut(usize, &[f32]) + Send) -> Result<(), Error> {
        self.feed_all_observed(ids, &mut Blind, each)
    }

    /// As [`Session::feed_all`], under the eyes of an observer.
    ///
    /// # Errors
    /// As [`Session::feed`].
    pub fn feed_all_observed<O: Observer>(
        &mut self,
        ids: &[u32],
        observer: &mut O,
        mut each: impl FnMut(usize, &[f32]) + Send,
    ) -> Result<(), Error> {
        self.check(ids)?;
        self.make_room(ids.len());
        let (model, vocab_size, d_model) =
            (self.model, self.model.config.vocab_size, self.model.config.d_model);
        let (cache, scratch) = (&mut self.cache, &mut self.scratch);
        let mut logits = vec![0.0; LOGIT_ROWS.min(ids.len()) * vocab_size];
        for (i, piece) in ids.chunks(self.chunk).enumerate() {
            let (observer, each, logits) = (&mut *observer, &mut each, &mut logits);
            let fed = i * self.chunk;
            model.pool.enter(|team| {
                let first_position = cache.positions();
                let mut watch = Watch { observer, first_position, layer: None };
                let mut text = [Text { cache: &mut *cache, rows: piece.len() }];
                model.forward(team, piece, &mut Texts(&mut text), scratch, &mut watch);
                for (b, x) in scratch.normed.chunks(LOGIT_ROWS * d_model).enumerate() {
                    let rows = x.len() / d_model;
                    let logits = &mut logits[..rows * vocab_size];
                    model.vocabulary().unembed(team, x, logits);
                    watch.first_position = first_position + b * LOGIT_ROWS;
                    watch.rows(Place::Logits, rows, [vocab_size, 1], logits);
                    for (row, logits) in logits.chunks_exact(vocab_size).enumerate() {
                        each(fed + b * LOGIT_ROWS + row, logits);
                    }
                }
            });
        }
        Ok(())
    }

    /// A prompt's place in the cache is taken at once, with some for what follows it: memory that is not used yet
    /// costs nothing, moving what is there does. Later the cache grows in steps of its own.
    fn make_room(&mut self, tokens: usize) {
        if tokens > 1 {
            self.cache.reserve(room_for(self.positions() + tokens, self.context));
        }
    }

    fn check(&self, ids: &[u32]) -> Result<(), Error> {
        self.model.check(ids, self.positions(), self.context)
    }
}

/// Positions to make room for when a prompt ends at `positions`.
pub(crate) fn room_for(positions: usize, context: usize) -> usize {
    (positions + ROOM_AHEAD).min(context)
}
