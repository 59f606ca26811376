//! Several sequences side by side: a step reads every weight once and gives each of them its next scores.
//!
//! A token generated alone waits for all of the weights to come from memory, for the sake of one row of numbers. With
//! eight sequences they come once for eight rows. What a sequence gets is, bit for bit, what it would get alone in a
//! [`Session`](crate::Session), whoever is beside it, comes later or ends earlier.
//!
//! A sequence that begins as another one did, as prompts of one task do, takes over the keys and values of what they
//! share, also from a sequence that has ended and whose slot is still free.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::adapter::Adapter;
use crate::error::Error;
use crate::hooks::NoObserver;
use crate::kv_cache::KvCache;
use crate::model::Wanted;
use crate::runtime::Runtime;
use crate::scratch::Scratch;
use crate::sequences::Sequence;
use crate::session::{PROMPT_CHUNK, prefill, reserved_for};

/// Sequences in progress, at most as many as there are slots.
///
/// ```no_run
/// use glassbox_model::Checkpoint;
/// use glassbox_tensor::{Level, Pool};
///
/// let model = Checkpoint::open("model.gguf")?.run_on(Pool::new(2, Level::detect())?)?;
/// let mut batch = model.batch(2, 1024);
/// let first = batch.add(&[1, 2, 3])?.slot;
/// let second = batch.add(&[1, 2, 4, 5])?; // the keys and values of 1 and 2 are there already
/// assert_eq!(second.reused, 2);
/// let second = second.slot;
/// for logits in batch.step(&[(first, &[7]), (second, &[8, 9])])? {
///     println!("{} scores", logits.len());
/// }
/// # Ok::<(), glassbox_model::Error>(())
/// ```
pub struct Batch {
    runtime: Runtime,
    /// Tells the slots of this batch from those of others.
    number: u64,
    context: usize,
    chunk: usize,
    places: Vec<Place>,
    scratch: Scratch,
    /// `[sequences of the last step, vocab_size]`
    logits: Vec<f32>,
}

/// Room for one sequence.
struct Place {
    /// All tokens fed, those of a sequence that has ended until another takes its place.
    ids: Vec<u32>,
    cache: KvCache,
    /// The adapter that `ids` were fed with.
    adapter: Option<Arc<Adapter>>,
    taken: bool,
    /// How many sequences have had this place.
    generation: u64,
}

/// A sequence of a batch, until it ends. A slot of a sequence that has ended, or of another batch, is an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot {
    batch: u64,
    place: usize,
    generation: u64,
}

/// A sequence that has entered a batch.
#[derive(Debug)]
pub struct Added<'b> {
    /// Its slot.
    pub slot: Slot,
    /// How many of its first tokens another sequence had been fed, so that they were not computed again.
    pub reused: usize,
    /// The scores of the token after its prompt, `[vocab_size]`.
    pub logits: &'b [f32],
}

/// Numbers the batches of this process.
static BATCHES: AtomicU64 = AtomicU64::new(0);

impl Runtime {
    /// A batch of at most `slots` sequences, each of at most `context` tokens and at most the model's own context length.
    pub fn batch(&self, slots: usize, context: usize) -> Batch {
        let place = |_| Place {
            ids: Vec::new(),
            cache: KvCache::new(&self.config, self.cache_format),
            adapter: None,
            taken: false,
            generation: 0,
        };
        Batch {
            number: BATCHES.fetch_add(1, Ordering::Relaxed),
            context: context.min(self.config.context_length),
            chunk: PROMPT_CHUNK,
            places: (0..slots).map(place).collect(),
            scratch: Scratch::new(&self.config),
            logits: Vec::new(),
            runtime: self.clone(),
        }
    }
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (slots, free) = (self.places.len(), self.free());
        f.debug_struct("Batch").field("slots", &slots).field("free", &free).finish_non_exhaustive()
    }
}

impl Batch {
    /// Feeds prompts in chunks of `chunk` tokens, as [`Session::with_chunk`](crate::Session::with_chunk).
    pub fn with_chunk(mut self, chunk: usize) -> Batch {
        self.chunk = chunk.max(1);
        self
    }

    /// How many slots are free.
    pub fn free(&self) -> usize {
        self.places.iter().filter(|place| !place.taken).count()
    }

    /// How many tokens fit in each sequence.
    pub fn context(&self) -> usize {
        self.context
    }

    /// How many tokens the sequence has been fed.
    ///
    /// # Errors
    /// [`Error::UnknownSlot`]
    pub fn positions(&self, slot: Slot) -> Result<usize, Error> {
        Ok(self.places[self.find(slot)?].ids.len())
    }

    /// Takes a free slot for a sequence and feeds its prompt.
    ///
    /// # Errors
    /// [`Error::BatchFull`] if no slot is free, else as [`Session::feed`](crate::Session::feed). The batch is then as
    /// before.
    pub fn add(&mut self, prompt: &[u32]) -> Result<Added<'_>, Error> {
        self.add_with(prompt, self.runtime.adapter.clone())
    }

    /// As [`Batch::add`], with an adapter of the sequence's own, or `None` for the model as it is.
    ///
    /// # Errors
    /// As [`Batch::add`].
    pub fn add_with(&mut self, prompt: &[u32], adapter: Option<Arc<Adapter>>) -> Result<Added<'_>, Error> {
        self.runtime.check(prompt, 0, self.context)?;
        let taken = self.take_place(prompt, adapter);
        let (at, reused) = taken.ok_or(Error::BatchFull { slots: self.places.len() })?;
        let Batch { runtime, number, context, chunk, places, scratch, logits } = self;
        let place = &mut places[at];
        place.cache.reserve(reserved_for(prompt.len(), *context));
        place.ids.extend_from_slice(&prompt[reused..]);
        logits.resize(runtime.config.vocab_size, 0.0);
        let runtime = runtime.clone().with_adapter(place.adapter.clone());
        prefill(&runtime, &prompt[reused..], *chunk, &mut place.cache, scratch, logits, &mut NoObserver);
        let slot = Slot { batch: *number, place: at, generation: place.generation };
        Ok(Added { slot, reused, logits })
    }

    /// Takes the place in which most of a sequence is already, or else copies as much as any other sequence shares with it
    /// into a free one. Returns the place and the number of tokens in its cache: never all, since the scores after the last
    /// are wanted.
    fn take_place(&mut self, prompt: &[u32], adapter: Option<Arc<Adapter>>) -> Option<(usize, usize)> {
        let shared = |place: &Place| {
            let same_adapter = place.adapter.as_ref().map(Arc::as_ptr) == adapter.as_ref().map(Arc::as_ptr);
            if same_adapter { common(&place.ids, prompt) } else { 0 }
        };
        let shared: Vec<usize> = self.places.iter().map(shared).collect();
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
        place.adapter = adapter;
        place.taken = true;
        place.generation += 1;
        Some((free, reused))
    }

    /// Feeds some sequences their next tokens, one or several each, in one pass. Returns the scores of the token after each
    /// sequence's last, `[vocab_size]` each, in the order of `next`.
    ///
    /// # Errors
    /// As [`Session::feed`](crate::Session::feed), for any of them; [`Error::UnknownSlot`]; [`Error::SlotTwice`]. The batch
    /// is then as before.
    pub fn step<'b>(
        &'b mut self,
        next: &[(Slot, &[u32])],
    ) -> Result<impl Iterator<Item = &'b [f32]> + use<'b>, Error> {
        let mut rows: Vec<Option<usize>> = vec![None; self.places.len()];
        for (i, &(slot, ids)) in next.iter().enumerate() {
            let at = self.find(slot)?;
            self.runtime.check(ids, self.places[at].ids.len(), self.context)?;
            if rows[at].replace(i).is_some() {
                return Err(Error::SlotTwice);
            }
        }
        let Batch { runtime, places, scratch, logits, .. } = self;
        let model = &runtime.model;
        let vocab_size = model.config.vocab_size;
        let mut sequences: Vec<(usize, Sequence<'_>)> = Vec::with_capacity(next.len());
        for (place, i) in places.iter_mut().zip(&rows) {
            if let &Some(i) = i {
                let (cache, adapter) = (&mut place.cache, place.adapter.as_deref());
                sequences.push((i, Sequence { cache, adapter, rows: next[i].1.len() }));
            }
        }
        sequences.sort_unstable_by_key(|(i, _)| *i);
        let mut sequences: Vec<Sequence<'_>> = sequences.into_iter().map(|(_, sequence)| sequence).collect();
        let ids: Vec<u32> = next.iter().flat_map(|(_, ids)| *ids).copied().collect();
        logits.resize(next.len() * vocab_size, 0.0);
        if !next.is_empty() {
            runtime.pool.enter(|team| {
                let wanted = Wanted::Last(logits);
                model.forward(team, &ids, &mut sequences, scratch, &mut NoObserver, wanted);
            });
        }
        for &(slot, ids) in next {
            places[slot.place].ids.extend_from_slice(ids);
        }
        Ok(logits.chunks_exact(vocab_size))
    }

    /// Lets a sequence forget all tokens from position `positions` on.
    ///
    /// # Errors
    /// [`Error::UnknownSlot`]
    pub fn truncate(&mut self, slot: Slot, positions: usize) -> Result<(), Error> {
        let at = self.find(slot)?;
        self.places[at].cache.truncate(positions);
        self.places[at].ids.truncate(positions);
        Ok(())
    }

    /// Ends a sequence, whose slot is then free. Its keys and values stay until another sequence takes the slot.
    ///
    /// # Errors
    /// [`Error::UnknownSlot`]
    pub fn end(&mut self, slot: Slot) -> Result<(), Error> {
        let at = self.find(slot)?;
        self.places[at].taken = false;
        Ok(())
    }

    /// The place of a sequence.
    fn find(&self, slot: Slot) -> Result<usize, Error> {
        if slot.batch != self.number {
            return Err(Error::UnknownSlot { why: "it belongs to another batch" });
        }
        match self.places.get(slot.place) {
            Some(place) if place.taken && place.generation == slot.generation => Ok(slot.place),
            _ => Err(Error::UnknownSlot { why: "its sequence has ended" }),
        }
    }
}

/// How many of a prompt's tokens, but for its last, a sequence also begins with.
fn common(ids: &[u32], prompt: &[u32]) -> usize {
    let but_last = &prompt[..prompt.len() - 1];
    ids.iter().zip(but_last).take_while(|(a, b)| a == b).count()
}
