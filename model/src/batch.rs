//! Several texts side by side: a step reads every weight once and gives each of them its next scores.
//!
//! A token generated alone waits for all of the weights to come from memory, for the sake of one row of numbers. With
//! eight texts they come once for eight rows. What a text gets is, bit for bit, what it would get alone in a
//! [`Session`](crate::Session), whoever is beside it, comes later or ends earlier.
//!
//! A text that begins as another one did, as prompts of one task do, takes over the keys and values of what they
//! share, also from a text that has ended and whose place is still free.

use crate::error::Error;
use crate::kv_cache::KvCache;
use crate::model::{Model, PROMPT_CHUNK, room_for};
use crate::observe::{Blind, Watch};
use crate::scratch::Scratch;
use crate::texts::{Text, Texts};

/// Texts in progress, at most as many as there are places.
///
/// ```no_run
/// use glassbox_model::Checkpoint;
/// use glassbox_tensor::{Level, Pool};
///
/// let model = Checkpoint::open("model.gguf")?.load(Pool::new(2, Level::detect())?)?;
/// let mut batch = model.batch(2, 1024);
/// let first = batch.add(&[1, 2, 3])?.slot;
/// let second = batch.add(&[1, 2, 4, 5])?; // the keys and values of 1 and 2 are there already
/// assert_eq!(second.reused, 2);
/// let second = second.slot;
/// for logits in batch.step(&[(first, 7), (second, 8)])? {
///     println!("{} scores", logits.len());
/// }
/// # Ok::<(), glassbox_model::Error>(())
/// ```
pub struct Batch<'m> {
    model: &'m Model,
    context: usize,
    chunk: usize,
    places: Vec<Place>,
    scratch: Scratch,
    /// `[texts of the last step, vocab_size]`
    logits: Vec<f32>,
}

/// A place for a text.
struct Place {
    /// All tokens fed, those of a text that has ended while nobody has taken its place.
    ids: Vec<u32>,
    cache: KvCache,
    taken: bool,
}

/// The place of a text in its batch, until it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot(usize);

/// A text that has come into a batch.
#[derive(Debug)]
pub struct Added<'b> {
    /// Its place.
    pub slot: Slot,
    /// How many of its first tokens another text had been fed, so that they were not computed again.
    pub reused: usize,
    /// The scores of the token after its prompt, `[vocab_size]`.
    pub logits: &'b [f32],
}

impl Model {
    /// A batch of at most `slots` texts, each of at most `context` tokens, at the model's own context length or below.
    pub fn batch(&self, slots: usize, context: usize) -> Batch<'_> {
        let place =
            |_| Place { ids: Vec::new(), cache: KvCache::new(&self.config, self.cache_format), taken: false };
        Batch {
            model: self,
            context: context.min(self.config.context_length),
            chunk: PROMPT_CHUNK,
            places: (0..slots).map(place).collect(),
            scratch: Scratch::new(&self.config),
            logits: Vec::new(),
        }
    }
}

impl<'m> Batch<'m> {
    /// Feeds prompts in pieces of `chunk` tokens, as [`Session::with_chunk`](crate::Session::with_chunk).
    pub fn with_chunk(mut self, chunk: usize) -> Batch<'m> {
        self.chunk = chunk.max(1);
        self
    }

    /// How many places are free.
    pub fn free(&self) -> usize {
        self.places.iter().filter(|place| !place.taken).count()
    }

    /// How many tokens fit in each text.
    pub fn context(&self) -> usize {
        self.context
    }

    /// How many tokens the text has been fed.
    ///
    /// # Panics
    /// If the slot is of another batch.
    pub fn positions(&self, slot: Slot) -> usize {
        self.places[slot.0].ids.len()
    }

    /// Takes a free place for a text and feeds its prompt.
    ///
    /// # Errors
    /// [`Error::BatchFull`] if no place is free, else as [`Session::feed`](crate::Session::feed); the batch is then as
    /// before.
    pub fn add(&mut self, prompt: &[u32]) -> Result<Added<'_>, Error> {
        self.model.check(prompt, 0, self.context)?;
        let (slot, reused) = self.take_place(prompt).ok_or(Error::BatchFull { slots: self.places.len() })?;
        let Batch { model, context, chunk, places, scratch, logits } = self;
        let place = &mut places[slot];
        place.cache.reserve(room_for(prompt.len(), *context));
        place.ids.extend_from_slice(&prompt[reused..]);
        logits.resize(model.config.vocab_size, 0.0);
        model.prefill(&prompt[reused..], *chunk, &mut place.cache, scratch, logits, &mut Blind);
        Ok(Added { slot: Slot(slot), reused, logits })
    }

    /// Takes the place in which most of a text is already, or else copies as much as any other text shares with it into
    /// a free one. Gives the place and the number of tokens that it then remembers: never all, since the scores after
    /// the last are wanted.
    fn take_place(&mut self, prompt: &[u32]) -> Option<(usize, usize)> {
        let shared: Vec<usize> = self.places.iter().map(|place| common(&place.ids, prompt)).collect();
        let all = || (0..shared.len()).rev();
        let free = all().filter(|&place| !self.places[place].taken).max_by_key(|&place| shared[place])?;
        let richest = all().max_by_key(|&place| shared[place])?;
        let reused = shared[richest];
        if shared[free] < reused {
            self.places[free].cache = self.places[richest].cache.prefix(reused);
        }
        let place = &mut self.places[free];
        place.cache.truncate(reused);
        place.ids.clear();
        place.ids.extend_from_slice(&prompt[..reused]);
        place.taken = true;
        Some((free, reused))
    }

    /// Feeds one token to each of some texts and gives the scores of the tokens after them, `[vocab_size]` each, in the
    /// order of `next`.
    ///
    /// # Errors
    /// As [`Session::feed`](crate::Session::feed), for any of them; the batch is then as before.
    ///
    /// # Panics
    /// If a slot is free, or named twice.
    pub fn step(&mut self, next: &[(Slot, u32)]) -> Result<impl Iterator<Item = &[f32]>, Error> {
        for &(slot, id) in next {
            self.model.check(&[id], self.positions(slot), self.context)?;
        }
        let Batch { model, places, scratch, logits, .. } = self;
        let vocab_size = model.config.vocab_size;
        let mut caches: Vec<Option<&mut KvCache>> =
            places.iter_mut().map(|place| place.taken.then_some(&mut place.cache)).collect();
        let texts = next.iter().map(|(slot, _)| {
            let cache = caches[slot.0].take().expect("a text in the batch, named once");
            Text { cache, rows: 1 }
        });
        let mut texts: Vec<Text<'_>> = texts.collect();
        let ids: Vec<u32> = next.iter().map(|&(_, id)| id).collect();
        logits.resize(next.len() * vocab_size, 0.0);
        if !next.is_empty() {
            model.pool.enter(|team| {
                let mut watch = Watch { observer: &mut Blind, first_position: 0, layer: None };
                model.forward(team, &ids, &mut Texts(&mut texts), scratch, &mut watch);
                model.vocabulary().unembed(team, &scratch.normed, logits);
            });
        }
        for &(slot, id) in next {
            places[slot.0].ids.push(id);
        }
        Ok(logits.chunks_exact(vocab_size))
    }

    /// Lets a text forget all tokens from position `positions` on.
    ///
    /// # Panics
    /// If the slot is of another batch.
    pub fn truncate(&mut self, slot: Slot, positions: usize) {
        let place = &mut self.places[slot.0];
        place.cache.truncate(positions);
        place.ids.truncate(positions);
    }

    /// Ends a text, whose place is then free. What it remembers stays until another text takes the place.
    ///
    /// # Panics
    /// If the slot is of another batch.
    pub fn end(&mut self, slot: Slot) {
        self.places[slot.0].taken = false;
    }
}

/// How many of a prompt's tokens, but for its last, a text also begins with.
fn common(ids: &[u32], prompt: &[u32]) -> usize {
    let but_last = &prompt[..prompt.len() - 1];
    ids.iter().zip(but_last).take_while(|(a, b)| a == b).count()
}
