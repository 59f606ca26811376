//! Batched generation: a step reads every weight once and returns the next logits of several sequences.
//!
//! Generating one token of one sequence reads all weights from memory for a single row. With eight sequences the same
//! read serves eight rows. The logits of a sequence are bit-identical to those of a [`Session`](crate::Session) with
//! the same tokens, whatever other sequences the batch has.
//!
//! A new sequence that shares a prefix with another one, as prompts of the same task do, reuses the keys and values of
//! that prefix. The other sequence may have ended, if its slot is still free.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::adapter::Adapter;
use crate::decoder::Start;
use crate::error::Error;
use crate::hooks::NoObserver;
use crate::kv_cache::KvCache;
use crate::model::Wanted;
use crate::runtime::Runtime;
use crate::scratch::Scratch;
use crate::sequences::Sequence;
use crate::session::{PROMPT_CHUNK, prefill};

/// Several sequences that are computed together. Each occupies a slot.
///
/// ```no_run
/// use glassbox_model::Checkpoint;
/// use glassbox_tensor::{Level, Pool};
///
/// let model = Checkpoint::open("model.gguf")?.run_on(Pool::new(2, Level::detect())?)?;
/// let mut batch = model.batch(2, 1024);
/// let first = batch.add(&[1, 2, 3])?.slot;
/// let second = batch.add(&[1, 2, 4, 5])?; // the keys and values of 1 and 2 are reused
/// assert_eq!(second.reused, 2);
/// let second = second.slot;
/// for logits in batch.step(&[(first, &[7]), (second, &[8, 9])])? {
///     println!("{} logits", logits.len());
/// }
/// # Ok::<(), glassbox_model::Error>(())
/// ```
pub struct Batch {
    runtime: Runtime,
    /// Distinguishes the slots of this batch from those of other batches.
    number: u64,
    context: usize,
    chunk: usize,
    slots: Vec<SlotState>,
    scratch: Scratch,
    /// `[sequences of the last step, vocab_size]`
    logits: Vec<f32>,
}

/// The state of a slot, with the sequence in it or the last one.
struct SlotState {
    /// All tokens fed; those of an ended sequence stay until the slot is taken again.
    ids: Vec<u32>,
    cache: KvCache,
    /// The adapter that `ids` were fed with.
    adapter: Option<Arc<Adapter>>,
    taken: bool,
    /// The number of sequences that the slot has had so far.
    generation: u64,
}

/// A handle of a sequence in a batch, valid until the sequence ends. A slot whose sequence has ended, or of another
/// batch, is an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot {
    batch: u64,
    index: usize,
    generation: u64,
}

/// A sequence that was added to a batch.
#[derive(Debug)]
pub struct Added<'b> {
    /// Its slot.
    pub slot: Slot,
    /// The number of its first tokens that were reused from another sequence instead of computed.
    pub reused: usize,
    /// The logits of the token after its prompt, `[vocab_size]`.
    pub logits: &'b [f32],
}

/// The next batch number.
static BATCHES: AtomicU64 = AtomicU64::new(0);

impl Runtime {
    /// Creates a batch of at most `slots` sequences, each of at most `context` tokens. The model's context length also
    /// limits each sequence.
    pub fn batch(&self, slots: usize, context: usize) -> Batch {
        let state = |_| SlotState {
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
            slots: (0..slots).map(state).collect(),
            scratch: Scratch::new(&self.config),
            logits: Vec::new(),
            runtime: self.clone(),
        }
    }
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (slots, free) = (self.slots.len(), self.free());
        f.debug_struct("Batch").field("slots", &slots).field("free", &free).finish_non_exhaustive()
    }
}

impl Batch {
    /// Sets the number of prompt tokens per forward pass, as [`Session::with_chunk`](crate::Session::with_chunk).
    pub fn with_chunk(mut self, chunk: usize) -> Batch {
        self.chunk = chunk.max(1);
        self
    }

    /// The number of free slots.
    pub fn free(&self) -> usize {
        self.slots.iter().filter(|state| !state.taken).count()
    }

    /// The maximum number of tokens per sequence.
    pub fn context(&self) -> usize {
        self.context
    }

    /// The number of tokens that the sequence has been fed.
    ///
    /// # Errors
    /// [`Error::UnknownSlot`]
    pub fn positions(&self, slot: Slot) -> Result<usize, Error> {
        Ok(self.slots[self.find(slot)?].ids.len())
    }

    /// Takes a free slot for a sequence and feeds its prompt.
    ///
    /// # Errors
    /// [`Error::BatchFull`] if no slot is free, otherwise as [`Session::feed`](crate::Session::feed). After an error
    /// the batch is unchanged.
    pub fn add(&mut self, prompt: &[u32]) -> Result<Added<'_>, Error> {
        self.add_with(prompt, self.runtime.adapter.clone())
    }

    /// As [`Batch::add`], with the sequence's own adapter, or `None` for the model without one.
    ///
    /// # Errors
    /// As [`Batch::add`].
    pub fn add_with(&mut self, prompt: &[u32], adapter: Option<Arc<Adapter>>) -> Result<Added<'_>, Error> {
        self.runtime.check(prompt, 0, self.context)?;
        let taken = self.claim_slot(prompt, adapter);
        let (at, reused) = taken.ok_or(Error::BatchFull { slots: self.slots.len() })?;
        let Batch { runtime, number, chunk, slots, scratch, logits, .. } = self;
        let state = &mut slots[at];
        state.ids.extend_from_slice(&prompt[reused..]);
        logits.resize(runtime.config.vocab_size, 0.0);
        let runtime = runtime.clone().with_adapter(state.adapter.clone());
        prefill(&runtime, &prompt[reused..], *chunk, &mut state.cache, scratch, logits, &mut NoObserver);
        let slot = Slot { batch: *number, index: at, generation: state.generation };
        Ok(Added { slot, reused, logits })
    }

    /// Claims the free slot whose cache shares the longest prefix with `prompt`; if another slot shares more, copies
    /// that prefix first. Returns the slot's index and the number of tokens in its cache, which is less than the
    /// prompt's length, since the last token must be computed for its logits.
    fn claim_slot(&mut self, prompt: &[u32], adapter: Option<Arc<Adapter>>) -> Option<(usize, usize)> {
        let shared = |state: &SlotState| {
            let same_adapter = state.adapter.as_ref().map(Arc::as_ptr) == adapter.as_ref().map(Arc::as_ptr);
            if same_adapter { common(&state.ids, prompt) } else { 0 }
        };
        let shared: Vec<usize> = self.slots.iter().map(shared).collect();
        let all = || (0..shared.len()).rev();
        let free = all().filter(|&index| !self.slots[index].taken).max_by_key(|&index| shared[index])?;
        let longest = all().max_by_key(|&index| shared[index])?;
        let reused = shared[longest];
        if shared[free] < reused {
            self.slots[free].cache = self.slots[longest].cache.prefix(reused);
        }
        let state = &mut self.slots[free];
        state.cache.truncate(reused);
        state.ids.clear();
        state.ids.extend_from_slice(&prompt[..reused]);
        state.adapter = adapter;
        state.taken = true;
        state.generation += 1;
        Some((free, reused))
    }

    /// Feeds sequences their next tokens, one or several each, in one forward pass. Returns the logits of the token
    /// after each sequence's last, `[vocab_size]` each, in the order of `next`.
    ///
    /// # Errors
    /// As [`Session::feed`](crate::Session::feed), for any of them; [`Error::UnknownSlot`]; [`Error::SlotTwice`]. After
    /// an error the batch is unchanged.
    pub fn step<'b>(
        &'b mut self,
        next: &[(Slot, &[u32])],
    ) -> Result<impl Iterator<Item = &'b [f32]> + use<'b>, Error> {
        let mut rows: Vec<Option<usize>> = vec![None; self.slots.len()];
        for (i, &(slot, ids)) in next.iter().enumerate() {
            let at = self.find(slot)?;
            self.runtime.check(ids, self.slots[at].ids.len(), self.context)?;
            if rows[at].replace(i).is_some() {
                return Err(Error::SlotTwice);
            }
        }
        let Batch { runtime, chunk, slots, scratch, logits, .. } = self;
        let vocab_size = runtime.config.vocab_size;
        logits.resize(next.len() * vocab_size, 0.0);
        if runtime.interventions.is_some() {
            // Interventions have positions in one sequence, so each gets its own pass.
            for (&(slot, ids), logits) in next.iter().zip(logits.chunks_exact_mut(vocab_size)) {
                let state = &mut slots[slot.index];
                let runtime = runtime.clone().with_adapter(state.adapter.clone());
                prefill(&runtime, ids, *chunk, &mut state.cache, scratch, logits, &mut NoObserver);
            }
        } else if !next.is_empty() {
            step_together(runtime, next, slots, &rows, scratch, logits);
        }
        for &(slot, ids) in next {
            slots[slot.index].ids.extend_from_slice(ids);
        }
        Ok(logits.chunks_exact(vocab_size))
    }

    /// Removes all tokens of a sequence from position `positions` on.
    ///
    /// # Errors
    /// [`Error::UnknownSlot`]
    pub fn truncate(&mut self, slot: Slot, positions: usize) -> Result<(), Error> {
        let at = self.find(slot)?;
        self.slots[at].cache.truncate(positions);
        self.slots[at].ids.truncate(positions);
        Ok(())
    }

    /// Ends a sequence and frees its slot. Its keys and values stay for reuse until the slot is taken again.
    ///
    /// # Errors
    /// [`Error::UnknownSlot`]
    pub fn end(&mut self, slot: Slot) -> Result<(), Error> {
        let at = self.find(slot)?;
        self.slots[at].taken = false;
        Ok(())
    }

    /// The index of a sequence's slot.
    fn find(&self, slot: Slot) -> Result<usize, Error> {
        if slot.batch != self.number {
            return Err(Error::UnknownSlot { why: "it belongs to another batch" });
        }
        match self.slots.get(slot.index) {
            Some(state) if state.taken && state.generation == slot.generation => Ok(slot.index),
            _ => Err(Error::UnknownSlot { why: "its sequence has ended" }),
        }
    }
}

/// One forward pass of all sequences of `next`; `rows` is the index in `next` of each slot.
fn step_together(
    runtime: &Runtime,
    next: &[(Slot, &[u32])],
    slots: &mut [SlotState],
    rows: &[Option<usize>],
    scratch: &mut Scratch,
    logits: &mut [f32],
) {
    let mut sequences: Vec<(usize, Sequence<'_>)> = Vec::with_capacity(next.len());
    for (state, i) in slots.iter_mut().zip(rows) {
        if let &Some(i) = i {
            let (cache, adapter) = (&mut state.cache, state.adapter.as_deref());
            sequences.push((i, Sequence { cache, adapter, rows: next[i].1.len() }));
        }
    }
    sequences.sort_unstable_by_key(|(i, _)| *i);
    let mut sequences: Vec<Sequence<'_>> = sequences.into_iter().map(|(_, sequence)| sequence).collect();
    let ids: Vec<u32> = next.iter().flat_map(|(_, ids)| *ids).copied().collect();
    runtime.pool.enter(|team| {
        let (start, wanted) = (Start::Ids(&ids), Wanted::Last(logits));
        runtime.model.forward(team, start, &mut sequences, scratch, &mut NoObserver, wanted);
    });
}

/// The length of the common prefix of a sequence and a prompt without its last token.
fn common(ids: &[u32], prompt: &[u32]) -> usize {
    let without_last = &prompt[..prompt.len() - 1];
    ids.iter().zip(without_last).take_while(|(a, b)| a == b).count()
}
