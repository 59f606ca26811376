//! The steps: which rows a forward pass has, and what becomes of their logits.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};

use super::limits::Limits;
use super::prefix_cache::PrefixCache;
use super::queue::Queue;
use super::request::{Choice, Continuation, Outcome, Submitted};
use super::{Shared, Status};
use crate::adapter::Adapter;
use crate::decoder::Start;
use crate::hooks::NoObserver;
use crate::kv_cache::KvCache;
use crate::model::Wanted;
use crate::runtime::Runtime;
use crate::scratch::Scratch;
use crate::sequences::Sequence;

/// The requests of a scheduler, waiting and in progress.
pub(super) struct Steps {
    runtime: Runtime,
    limits: Limits,
    queue: Queue,
    /// In the order of admission.
    active: Vec<Active>,
    prefixes: PrefixCache,
    scratch: Scratch,
    /// `[rows with logits, vocab_size]`
    logits: Vec<f32>,
    counts: Status,
    shared: Arc<Shared>,
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// There is nothing to do.
    Idle,
    /// All sequences wait for space for their next token.
    Paused,
    /// One forward pass, or a change of the sequences.
    Stepped,
}

/// A sequence in progress.
struct Active {
    client: u64,
    continuation: Box<dyn Continuation>,
    cancelled: Arc<AtomicBool>,
    adapter: Option<Arc<Adapter>>,
    /// All tokens, those not fed yet included: some of the prompt's, or the last.
    ids: Vec<u32>,
    cache: KvCache,
    prompt_len: usize,
    /// Tokens that it may still choose.
    tokens_left: usize,
    /// Positions that memory is reserved for.
    positions: usize,
    /// Set once it has ended.
    outcome: Option<Outcome>,
}

/// The rows of one sequence in a step.
#[derive(Clone, Copy)]
struct Rows {
    /// The sequence's index.
    sequence: usize,
    count: usize,
    /// The first of its rows with logits; after the last row of a prompt, and of every other token, there are some.
    logits_from: usize,
}

impl Steps {
    pub(super) fn new(runtime: Runtime, limits: Limits, shared: Arc<Shared>) -> Steps {
        let page = glassbox_tensor::ops::KeyValues::PAGE;
        let page_bytes = runtime.config.cache_bytes(runtime.cache_format, page);
        Steps {
            scratch: Scratch::new(&runtime.config),
            prefixes: PrefixCache::new(page_bytes),
            queue: Queue::default(),
            active: Vec::new(),
            logits: Vec::new(),
            counts: Status::default(),
            limits,
            shared,
            runtime,
        }
    }

    /// Adds a request to those that wait.
    pub(super) fn queue(&mut self, submitted: Submitted) {
        self.queue.push(submitted);
    }

    /// Ends all requests, those that wait included.
    pub(super) fn cancel_all(&mut self) {
        for submitted in self.queue.take_all() {
            self.cancel(submitted);
        }
        for sequence in &mut self.active {
            sequence.outcome = Some(Outcome::Cancelled);
        }
        self.remove_ended();
    }

    /// Ends what was cancelled, admits what fits, and runs one forward pass.
    pub(super) fn step(&mut self) -> Progress {
        for submitted in self.queue.take_cancelled() {
            self.cancel(submitted);
        }
        for sequence in &mut self.active {
            if sequence.cancelled.load(Ordering::Acquire) {
                sequence.outcome = Some(Outcome::Cancelled);
            }
        }
        self.remove_ended();
        self.admit();
        self.publish();
        if self.active.is_empty() {
            return Progress::Idle;
        }
        let rows = self.plan();
        if rows.is_empty() {
            let ended = self.remove_ended();
            return if ended { Progress::Stepped } else { Progress::Paused };
        }
        self.forward(&rows);
        self.choose(&rows);
        self.remove_ended();
        Progress::Stepped
    }

    fn reserved_bytes(&self) -> usize {
        let Runtime { model, cache_format, .. } = &self.runtime;
        self.active.iter().map(|sequence| model.config.cache_bytes(*cache_format, sequence.positions)).sum()
    }

    /// Admits requests while there are slots and memory. The next one waits rather than let smaller ones pass.
    fn admit(&mut self) {
        while self.active.len() < self.limits.sequences {
            let Some(next) = self.queue.peek() else { return };
            let needed = self.runtime.config.cache_bytes(self.runtime.cache_format, next.positions);
            let Some(left) = self.limits.cache_bytes.checked_sub(self.reserved_bytes() + needed) else {
                return;
            };
            self.prefixes.shrink_to(left);
            let Some(Submitted { request, positions, cancelled }) = self.queue.pop() else { return };
            self.shared.queued.fetch_sub(1, Ordering::AcqRel);
            let reused = match request.continuation.wants_prompt() {
                false => self.prefixes.find(&request.prompt, request.adapter.as_ref()),
                true => None,
            };
            let cache =
                reused.unwrap_or_else(|| KvCache::new(&self.runtime.config, self.runtime.cache_format));
            self.counts.reused_tokens += cache.positions() as u64;
            self.active.push(Active {
                client: request.client,
                continuation: request.continuation,
                cancelled,
                adapter: request.adapter,
                prompt_len: request.prompt.len(),
                ids: request.prompt,
                cache,
                tokens_left: request.tokens,
                positions,
                outcome: None,
            });
        }
    }

    /// The rows of the next pass: one for each sequence that generates, then prompts, whose clients share the rest of
    /// the budget equally. A client's prompts are read one after the other.
    fn plan(&mut self) -> Vec<Rows> {
        let mut rows: Vec<Rows> = Vec::new();
        let mut prompts: Vec<(u64, usize)> = Vec::new();
        for (i, sequence) in self.active.iter_mut().enumerate() {
            if sequence.is_reading() {
                prompts.push((sequence.client, i));
            } else if let Some(outcome) = sequence.limit_reached(self.limits.context) {
                sequence.outcome = Some(outcome);
            } else {
                match caught(|| sequence.continuation.is_ready()) {
                    Some(true) => rows.push(Rows { sequence: i, count: 1, logits_from: 0 }),
                    Some(false) => {}
                    None => sequence.outcome = Some(Outcome::Failed),
                }
            }
        }
        prompts.sort_by_key(|&(client, _)| client);
        let mut clients: Vec<&[(u64, usize)]> = prompts.chunk_by(|a, b| a.0 == b.0).collect();
        // Those with the least left to read first: what they do not use is the others'.
        let unread = |prompts: &[(u64, usize)]| -> usize {
            prompts.iter().map(|&(_, i)| self.active[i].unread()).sum()
        };
        clients.sort_by_key(|prompts| unread(prompts));
        let mut budget = self.limits.step_rows.saturating_sub(rows.len()).max(usize::from(rows.is_empty()));
        let mut clients_left = clients.len();
        for prompts in clients {
            let mut share = budget.div_ceil(clients_left);
            clients_left -= 1;
            for &(_, i) in prompts {
                let sequence = &self.active[i];
                let count = sequence.unread().min(share);
                if count == 0 {
                    break;
                }
                let ends = count == sequence.unread();
                let logits_from = match (sequence.continuation.wants_prompt(), ends) {
                    (true, _) => 0,
                    (false, true) => count - 1,
                    (false, false) => count,
                };
                rows.push(Rows { sequence: i, count, logits_from });
                share -= count;
                budget -= count;
            }
        }
        rows.sort_unstable_by_key(|rows| rows.sequence);
        rows
    }

    /// Runs the rows through the model. Leaves the logits of those that have some in `self.logits`.
    fn forward(&mut self, rows: &[Rows]) {
        let Steps { runtime, active, scratch, logits, counts, queue, .. } = self;
        let mut ids = Vec::new();
        let mut with_logits = Vec::new();
        for rows in rows {
            let sequence = &active[rows.sequence];
            let from = sequence.cache.positions();
            with_logits.extend(ids.len() + rows.logits_from..ids.len() + rows.count);
            ids.extend_from_slice(&sequence.ids[from..from + rows.count]);
            queue.serve(sequence.client, rows.count);
            if from < sequence.prompt_len {
                counts.prompt_tokens += rows.count as u64;
            }
        }
        let mut planned = rows.iter().peekable();
        let mut sequences = Vec::with_capacity(rows.len());
        for (i, sequence) in active.iter_mut().enumerate() {
            if let Some(rows) = planned.next_if(|rows| rows.sequence == i) {
                let (cache, adapter) = (&mut sequence.cache, sequence.adapter.as_deref());
                sequences.push(Sequence { cache, adapter, rows: rows.count });
            }
        }
        logits.resize(with_logits.len() * runtime.config.vocab_size, 0.0);
        let wanted = if with_logits.is_empty() { Wanted::None } else { Wanted::Rows(&with_logits, logits) };
        runtime.pool.enter(|team| {
            let start = Start::Ids(&ids);
            runtime.model.forward(team, start, &mut sequences, scratch, &mut NoObserver, wanted);
        });
        counts.steps += 1;
    }

    /// Each sequence with logits sees them and chooses its next token; all at once, on the pool's threads.
    fn choose(&mut self, rows: &[Rows]) {
        let Steps { runtime, limits, active, logits, prefixes, counts, .. } = self;
        let vocab_size = runtime.config.vocab_size;
        let mut logits = &logits[..];
        let mut planned = rows.iter().peekable();
        let mut choosing = Vec::with_capacity(rows.len());
        for (i, sequence) in active.iter_mut().enumerate() {
            let Some(rows) = planned.next_if(|rows| rows.sequence == i) else { continue };
            let (own, rest) = logits.split_at((rows.count - rows.logits_from) * vocab_size);
            logits = rest;
            choosing.push((sequence, own, None));
        }
        runtime.pool.enter(|team| {
            team.run_on_pieces(&mut choosing, 1, |_, one| {
                for (sequence, logits, choice) in one {
                    *choice = caught(|| sequence.take_logits(logits, vocab_size));
                }
            });
        });
        for (sequence, _, choice) in choosing {
            // The prompt has been read: whoever sends the same one now reuses it.
            if sequence.cache.positions() == sequence.prompt_len {
                prefixes.add(&sequence.ids, &sequence.cache, sequence.adapter.as_ref());
            }
            match choice {
                Some(None) if sequence.is_reading() => {}
                Some(None) => sequence.outcome = sequence.limit_reached(limits.context),
                Some(Some(Choice::End)) => sequence.outcome = Some(Outcome::Finished),
                Some(Some(Choice::Token(id))) if (id as usize) < vocab_size => {
                    counts.generated_tokens += 1;
                    sequence.ids.push(id);
                    sequence.tokens_left -= 1;
                    sequence.outcome = sequence.limit_reached(limits.context);
                }
                Some(Some(Choice::Token(_))) | None => sequence.outcome = Some(Outcome::Failed),
            }
        }
        self.shrink_prefixes();
    }

    /// The prefix cache has the memory that sequences in progress leave.
    fn shrink_prefixes(&mut self) {
        let left = self.limits.cache_bytes.saturating_sub(self.reserved_bytes());
        self.prefixes.shrink_to(left);
    }

    /// Removes the sequences that have ended, and keeps their keys and values. Returns whether there were any.
    fn remove_ended(&mut self) -> bool {
        let (mut ended, active): (Vec<Active>, _) =
            std::mem::take(&mut self.active).into_iter().partition(|sequence| sequence.outcome.is_some());
        self.active = active;
        for sequence in &ended {
            let fed = sequence.cache.positions();
            self.prefixes.add(&sequence.ids[..fed], &sequence.cache, sequence.adapter.as_ref());
            self.queue.end(sequence.client);
            sequence.outcome.iter().for_each(|&outcome| self.count(outcome));
        }
        self.shrink_prefixes();
        self.publish();
        for sequence in &mut ended {
            if let Some(outcome) = sequence.outcome {
                caught(|| sequence.continuation.end(outcome));
            }
        }
        !ended.is_empty()
    }

    /// Ends a request that was cancelled in the queue.
    fn cancel(&mut self, mut submitted: Submitted) {
        self.shared.queued.fetch_sub(1, Ordering::AcqRel);
        self.count(Outcome::Cancelled);
        self.publish();
        caught(|| submitted.request.continuation.end(Outcome::Cancelled));
    }

    /// Lets the handles see the present state: before a request's end, so that it is counted when its client sees it.
    fn publish(&self) {
        let status = Status {
            queued: 0,
            active: self.active.len(),
            reserved_bytes: self.reserved_bytes(),
            cached_bytes: self.prefixes.bytes(),
            ..self.counts
        };
        *self.shared.status.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }

    fn count(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Cancelled => self.counts.cancelled += 1,
            _ => self.counts.finished += 1,
        }
    }
}

impl Active {
    /// Whether some of the prompt has not been fed.
    fn is_reading(&self) -> bool {
        self.cache.positions() < self.prompt_len
    }

    /// Tokens of the prompt that have not been fed.
    fn unread(&self) -> usize {
        self.prompt_len.saturating_sub(self.cache.positions())
    }

    /// Why it can have no further token.
    fn limit_reached(&self, context: usize) -> Option<Outcome> {
        if self.tokens_left == 0 {
            return Some(Outcome::Length);
        }
        (self.ids.len() > context).then_some(Outcome::ContextFull)
    }

    /// Takes the logits of its last rows, `[rows, vocab_size]`. Returns the next token, if there is to be one.
    fn take_logits(&mut self, logits: &[f32], vocab_size: usize) -> Option<Choice> {
        let positions = self.cache.positions();
        let rows = logits.len() / vocab_size;
        if self.continuation.wants_prompt() && positions <= self.prompt_len {
            for (position, logits) in (positions - rows..).zip(logits.chunks_exact(vocab_size)) {
                self.continuation.see_prompt(position, logits);
            }
        }
        if self.is_reading() || self.tokens_left == 0 {
            return None;
        }
        logits.chunks_exact(vocab_size).next_back().map(|last| self.continuation.choose(last))
    }
}

/// The result of `f`, or `None` if it panicked. A continuation that panicked is only told its end.
fn caught<T>(f: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(f)).ok()
}
