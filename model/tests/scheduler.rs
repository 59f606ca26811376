//! The scheduler: whatever its load, each sequence gets the bits that it gets alone.

mod tiny;

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use glassbox_model::scheduler::{Choice, Continuation, Limits, Outcome, Refused, Request, Scheduler, Ticket};
use glassbox_model::{Checkpoint, Error, Runtime};
use glassbox_tensor::{CacheFormat, Level, Pool};

const WAIT: Duration = Duration::from_secs(60);

fn model(name: &str) -> Runtime {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny").join(name);
    Checkpoint::open(path).unwrap().run_on(Pool::new(2, Level::detect()).unwrap()).unwrap()
}

/// Random numbers from a seed (SplitMix64).
#[derive(Clone)]
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((x ^ (x >> 31)) % end as u64) as usize
    }
}

/// One of the three most likely tokens: the choice depends on every bit of the logits that decides their order.
fn pick(logits: &[f32], random: &mut Random) -> u32 {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
    order[random.below(3)] as u32
}

/// What is left of a sequence when it has ended.
#[derive(Clone, Debug, PartialEq)]
struct Answer {
    ids: Vec<u32>,
    /// Of each choice: the sum of the bits of all logits.
    digests: Vec<u64>,
    prompt_digests: Vec<u64>,
    outcome: Outcome,
}

fn digest(logits: &[f32]) -> u64 {
    logits.iter().fold(0, |sum: u64, x| sum.wrapping_mul(31).wrapping_add(u64::from(x.to_bits())))
}

/// Records what it is shown, and sends it at the end.
struct Recorder {
    random: Random,
    wants_prompt: bool,
    /// Ends after this token.
    end: Option<u32>,
    /// Is ready once in this many times.
    slow: usize,
    answer: Answer,
    sender: Sender<Answer>,
}

impl Continuation for Recorder {
    fn wants_prompt(&self) -> bool {
        self.wants_prompt
    }
    fn see_prompt(&mut self, position: usize, logits: &[f32]) {
        assert_eq!(position, self.answer.prompt_digests.len(), "prompt positions come in order");
        self.answer.prompt_digests.push(digest(logits));
    }
    fn is_ready(&mut self) -> bool {
        self.slow < 2 || self.random.clone().below(self.slow) == 0 || {
            self.slow -= 1;
            false
        }
    }
    fn choose(&mut self, logits: &[f32]) -> Choice {
        self.answer.digests.push(digest(logits));
        let id = pick(logits, &mut self.random);
        if Some(id) == self.end {
            return Choice::End;
        }
        self.answer.ids.push(id);
        Choice::Token(id)
    }
    fn end(&mut self, outcome: Outcome) {
        self.answer.outcome = outcome;
        let _ = self.sender.send(self.answer.clone());
    }
}

/// A request as data.
#[derive(Clone, Debug)]
struct Asked {
    client: u64,
    prompt: Vec<u32>,
    tokens: usize,
    seed: u64,
    wants_prompt: bool,
    end: Option<u32>,
    slow: usize,
}

impl Asked {
    fn new(prompt: &[u32], tokens: usize) -> Asked {
        let prompt = prompt.to_vec();
        Asked { client: 0, prompt, tokens, seed: 1, wants_prompt: false, end: None, slow: 0 }
    }

    fn request(&self) -> (Request, Receiver<Answer>) {
        let (sender, receiver) = channel();
        let empty = Answer {
            ids: Vec::new(),
            digests: Vec::new(),
            prompt_digests: Vec::new(),
            outcome: Outcome::Failed,
        };
        let recorder = Recorder {
            random: Random(self.seed),
            wants_prompt: self.wants_prompt,
            end: self.end,
            slow: self.slow,
            answer: empty,
            sender,
        };
        let request = Request {
            client: self.client,
            prompt: self.prompt.clone(),
            tokens: self.tokens,
            adapter: None,
            continuation: Box::new(recorder),
        };
        (request, receiver)
    }

    fn submit(&self, scheduler: &Scheduler) -> (Ticket, Receiver<Answer>) {
        let (request, receiver) = self.request();
        (scheduler.submit(request).unwrap(), receiver)
    }

    /// The same by a session of its own.
    fn alone(&self, model: &Runtime, context: usize) -> Answer {
        let mut session = model.session(context);
        let mut answer = Answer {
            ids: Vec::new(),
            digests: Vec::new(),
            prompt_digests: Vec::new(),
            outcome: Outcome::Length,
        };
        let mut logits = Vec::new();
        let digests = &mut answer.prompt_digests;
        session
            .feed_all(&self.prompt, |_, row| {
                if self.wants_prompt {
                    digests.push(digest(row));
                }
                logits = row.to_vec();
            })
            .unwrap();
        let mut random = Random(self.seed);
        while answer.ids.len() < self.tokens {
            answer.digests.push(digest(&logits));
            let id = pick(&logits, &mut random);
            if Some(id) == self.end {
                answer.outcome = Outcome::Finished;
                break;
            }
            answer.ids.push(id);
            if answer.ids.len() < self.tokens && session.positions() == session.context() {
                answer.outcome = Outcome::ContextFull;
                break;
            }
            if answer.ids.len() < self.tokens {
                logits = session.feed(&[id]).unwrap().to_vec();
            }
        }
        answer
    }
}

/// Requests with long and short prompts, some with a common prefix, some with an end token or a slow reader.
fn mixed(count: usize, vocab: usize, context: usize) -> Vec<Asked> {
    let mut random = Random(7);
    let shared: Vec<u32> = (0..context).map(|_| random.below(vocab) as u32).collect();
    let mut one = |i: usize| {
        let prefix = if random.below(2) == 0 { random.below(context * 3 / 4) } else { 0 };
        let own = 1 + random.below(context / 8);
        let own: Vec<u32> = (0..own).map(|_| random.below(vocab) as u32).collect();
        Asked {
            client: random.below(4) as u64,
            prompt: shared[..prefix].iter().copied().chain(own).collect(),
            tokens: [0, 1, 5, 30, 200][i % 5],
            seed: i as u64,
            wants_prompt: i % 7 == 3,
            end: i.is_multiple_of(3).then_some(random.below(vocab) as u32),
            slow: if i % 4 == 1 { 4 } else { 0 },
        }
    };
    (0..count).map(&mut one).collect()
}

#[test]
fn every_answer_is_the_one_it_would_be_alone() {
    for (name, format) in [
        ("llama-gqa", CacheFormat::F32),
        ("llama-gqa", CacheFormat::F16),
        ("gpt2-plain", CacheFormat::F32),
        ("gemma3_text-plain", CacheFormat::F32),
    ] {
        let model = model(name).with_cache_format(format);
        let context = model.config.context_length;
        let asked = mixed(64, model.config.vocab_size, context);
        let alone: Vec<Answer> = asked.iter().map(|asked| asked.alone(&model, context)).collect();
        for (sequences, step_rows, pages) in [(1, 512, 1000), (8, 5, 40), (64, 64, 1000), (3, 1, 8)] {
            let page = model.config.cache_bytes(format, 64);
            let most = model.config.cache_bytes(format, context);
            let cache_bytes = (pages * page).max(most);
            let limits = Limits { sequences, step_rows, cache_bytes, queue: 64, context: usize::MAX };
            let scheduler = Scheduler::start(model.clone(), limits).unwrap();
            let mut random = Random(sequences as u64);
            let submitted: Vec<_> = asked
                .iter()
                .map(|asked| {
                    let (ticket, answer) = asked.submit(&scheduler);
                    // Some leave at once, some later, some arrive a little later than the others.
                    let leaves = random.below(6);
                    if leaves == 0 {
                        ticket.cancel();
                    }
                    std::thread::sleep(Duration::from_micros(random.below(300) as u64));
                    (if leaves == 1 { None } else { Some(ticket) }, answer)
                })
                .collect();
            for ((asked, alone), (_ticket, answer)) in asked.iter().zip(&alone).zip(&submitted) {
                let answer = answer.recv_timeout(WAIT).unwrap();
                if answer.outcome == Outcome::Cancelled {
                    assert!(alone.ids.starts_with(&answer.ids), "{name}: {asked:?}");
                    assert!(alone.digests.starts_with(&answer.digests), "{name}: {asked:?}");
                } else {
                    assert_eq!(&answer, alone, "{name}, {limits:?}: {asked:?}");
                }
            }
            let status = scheduler.status();
            assert_eq!((status.queued, status.finished + status.cancelled), (0, 64));
        }
    }
}

#[test]
fn a_prompt_reuses_the_pages_of_an_earlier_one() {
    let model = model("llama-gqa");
    let scheduler = Scheduler::start(model, Limits::default()).unwrap();
    let prompt: Vec<u32> = (0..100).map(|i| i % 90).collect();
    let ask = |prompt: &[u32]| {
        let (_ticket, answer) = Asked::new(prompt, 3).submit(&scheduler);
        answer.recv_timeout(WAIT).unwrap();
    };
    ask(&prompt);
    assert_eq!(scheduler.status().reused_tokens, 0);
    ask(&prompt);
    assert_eq!(scheduler.status().reused_tokens, 64, "one whole page of 100 tokens");
    ask(&prompt[..64]);
    assert_eq!(scheduler.status().reused_tokens, 64, "a prompt's last token is always computed");
}

#[test]
fn a_full_queue_and_a_request_that_never_fits_are_refused() {
    let model = model("llama-gqa");
    let (context, format) = (model.config.context_length, CacheFormat::F32);
    let needed = model.config.cache_bytes(format, context);
    let limits =
        Limits { sequences: 1, queue: 2, context: usize::MAX, step_rows: 1, cache_bytes: needed - 1 };
    let scheduler = Scheduler::start(model.clone(), limits).unwrap();
    let refused = |asked: &Asked| scheduler.submit(asked.request().0).unwrap_err();
    assert!(
        matches!(refused(&Asked::new(&[1], context)), Refused::TooLarge { limit, .. } if limit == needed - 1)
    );
    assert!(matches!(refused(&Asked::new(&[], 1)), Refused::Invalid(Error::NoTokens)));
    let long = vec![1; context + 1];
    assert!(matches!(refused(&Asked::new(&long, 1)), Refused::Invalid(Error::ContextFull { .. })));
    let unknown = Asked::new(&[u32::MAX], 1);
    assert!(matches!(refused(&unknown), Refused::Invalid(Error::TokenOutOfRange { .. })));

    // One never gets ready, so the queue stays as it is.
    struct Never;
    impl Continuation for Never {
        fn is_ready(&mut self) -> bool {
            false
        }
        fn choose(&mut self, _: &[f32]) -> Choice {
            Choice::Token(1)
        }
        fn end(&mut self, _: Outcome) {}
    }
    let request =
        Request { client: 9, prompt: vec![1], tokens: 5, adapter: None, continuation: Box::new(Never) };
    let never = scheduler.submit(request).unwrap();
    while scheduler.status().active == 0 {
        std::thread::yield_now();
    }
    let waiting: Vec<_> = (0..2).map(|_| Asked::new(&[1, 2], 2).submit(&scheduler)).collect();
    assert!(matches!(refused(&Asked::new(&[1], 1)), Refused::QueueFull { limit: 2 }));
    never.cancel();
    for (_ticket, answer) in waiting {
        assert_eq!(answer.recv_timeout(WAIT).unwrap().outcome, Outcome::Length);
    }
    assert_eq!(scheduler.status().queued, 0);
}

#[test]
fn a_short_prompt_does_not_wait_for_a_long_one() {
    let model = model("llama-gqa");
    let long = vec![3; model.config.context_length - 1];
    let order = Arc::new(Mutex::new(Vec::new()));
    struct Noted(&'static str, Arc<Mutex<Vec<&'static str>>>);
    impl Continuation for Noted {
        fn choose(&mut self, _: &[f32]) -> Choice {
            self.1.lock().unwrap().push(self.0);
            Choice::End
        }
        fn end(&mut self, _: Outcome) {}
    }
    /// Holds a step until it is opened.
    struct Gate(Receiver<()>);
    impl Continuation for Gate {
        fn choose(&mut self, _: &[f32]) -> Choice {
            let _ = self.0.recv_timeout(WAIT);
            Choice::End
        }
        fn end(&mut self, _: Outcome) {}
    }
    let scheduler = Scheduler::start(model, Limits { step_rows: 8, ..Limits::default() }).unwrap();
    let (open, gate) = channel();
    let continuation = Box::new(Gate(gate));
    let _gate = scheduler
        .submit(Request { client: 3, prompt: vec![1], tokens: 1, adapter: None, continuation })
        .unwrap();
    let submit = |client, prompt: &[u32], name| {
        let continuation = Box::new(Noted(name, order.clone()));
        scheduler
            .submit(Request { client, prompt: prompt.to_vec(), tokens: 1, adapter: None, continuation })
            .unwrap()
    };
    let _tickets = [submit(1, &long, "long"), submit(2, &[1, 2, 3, 4], "short")];
    open.send(()).unwrap();
    let begun = std::time::Instant::now();
    while scheduler.status().finished < 3 && begun.elapsed() < WAIT {
        std::thread::yield_now();
    }
    assert_eq!(*order.lock().unwrap(), ["short", "long"]);
}

#[test]
fn a_panic_or_an_unknown_token_ends_that_sequence_alone() {
    struct Wrong(Option<u32>, Sender<Outcome>);
    impl Continuation for Wrong {
        fn choose(&mut self, _: &[f32]) -> Choice {
            Choice::Token(self.0.expect("a panic of the test"))
        }
        fn end(&mut self, outcome: Outcome) {
            self.1.send(outcome).unwrap();
        }
    }
    let model = model("llama-gqa");
    let scheduler = Scheduler::start(model.clone(), Limits::default()).unwrap();
    let good = Asked::new(&[5, 6, 7], 20);
    let (_ticket, answer) = good.submit(&scheduler);
    for wrong in [None, Some(u32::MAX)] {
        let (sender, outcome) = channel();
        let continuation = Box::new(Wrong(wrong, sender));
        let request = Request { client: 1, prompt: vec![1, 2], tokens: 9, adapter: None, continuation };
        let _ticket = scheduler.submit(request).unwrap();
        assert_eq!(outcome.recv_timeout(WAIT).unwrap(), Outcome::Failed);
    }
    assert_eq!(answer.recv_timeout(WAIT).unwrap(), good.alone(&model, usize::MAX));
}

#[test]
fn dropping_the_scheduler_ends_all_requests() {
    let scheduler =
        Scheduler::start(model("llama-gqa"), Limits { sequences: 1, ..Limits::default() }).unwrap();
    let submitted: Vec<_> = (0..5).map(|_| Asked::new(&[1, 2, 3], 100).submit(&scheduler)).collect();
    drop(scheduler);
    for (_ticket, answer) in submitted {
        let outcome = answer.recv_timeout(WAIT).unwrap().outcome;
        assert!(matches!(outcome, Outcome::Cancelled | Outcome::Length), "{outcome:?}");
    }
}

#[test]
fn sequences_with_different_adapters_share_no_prefix() {
    let adapter = |model: &Runtime, seed| tiny::adapter(model, seed, &["self_attn.q_proj", "mlp.down_proj"]);
    let model = model("llama-gqa");
    let scheduler = Scheduler::start(model.clone(), Limits::default()).unwrap();
    let asked = Asked::new(&(0..90).collect::<Vec<u32>>(), 5);
    for adapter in [None, Some(adapter(&model, 1.0)), Some(adapter(&model, 2.0))] {
        let before = scheduler.status().reused_tokens;
        let alone = asked.alone(&model.clone().with_adapter(adapter.clone()), usize::MAX);
        for reused in [0, 64] {
            let (mut request, answer) = asked.request();
            request.adapter = adapter.clone();
            let _ticket = scheduler.submit(request).unwrap();
            assert_eq!(answer.recv_timeout(WAIT).unwrap(), alone);
            assert_eq!(scheduler.status().reused_tokens, before + reused);
        }
    }
}
