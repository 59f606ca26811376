//! Generation, one token at a time: feed the prompt, choose a token from the logits, feed it, repeat.

use crate::error::Error;
use crate::session::Session;

/// Why generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// An end-of-sequence token was chosen.
    EndOfText,
    /// The requested number of tokens was generated.
    Length,
    /// The context is full.
    ContextFull,
}

/// An iterator over generated tokens.
///
/// A token is fed only when the next one is requested. So after [`Stop::EndOfText`] all returned tokens have been fed
/// to the session, and after [`Stop::Length`] and [`Stop::ContextFull`] all but the last.
///
/// ```no_run
/// use glassbox_model::{Checkpoint, Generation};
/// use glassbox_tensor::{Level, Pool};
///
/// let checkpoint = Checkpoint::open("model.gguf")?;
/// let model = checkpoint.run_on(Pool::new(2, Level::detect())?)?;
/// let mut session = model.session(1024);
/// // Greedy; `glassbox-sampler` has samplers.
/// let greedy = |logits: &[f32]| {
///     let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]));
///     Ok::<u32, std::convert::Infallible>(best.unwrap_or(0) as u32)
/// };
/// for id in Generation::new(&mut session, &[1, 2, 3], 20, &[0], greedy)? {
///     println!("{}", id.unwrap());
/// }
/// # Ok::<(), glassbox_model::Error>(())
/// ```
pub struct Generation<'s, P> {
    session: &'s mut Session,
    pick: P,
    logits: Vec<f32>,
    state: GenerationState,
}

/// An error of the model, or of the closure that chooses tokens.
#[derive(Debug)]
pub enum GenerateError<E> {
    /// The model's error.
    Model(Error),
    /// The closure's error.
    Pick(E),
}

impl<E: std::fmt::Display> std::fmt::Display for GenerateError<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            GenerateError::Model(error) => error.fmt(f),
            GenerateError::Pick(error) => error.fmt(f),
        }
    }
}

impl<E: std::fmt::Debug + std::fmt::Display> std::error::Error for GenerateError<E> {}

impl<'s, P, E> Generation<'s, P>
where
    P: FnMut(&[f32]) -> Result<u32, E>,
{
    /// Feeds `prompt` to the session. The iterator then returns at most `limit` tokens chosen by `pick`. It ends when
    /// `pick` chooses one of `ends`, which is not returned.
    ///
    /// # Errors
    /// As [`Session::feed`].
    pub fn new(
        session: &'s mut Session,
        prompt: &[u32],
        limit: usize,
        ends: &[u32],
        pick: P,
    ) -> Result<Generation<'s, P>, Error> {
        let logits = session.feed(prompt)?.to_vec();
        Ok(Generation { session, pick, logits, state: GenerationState::new(limit, ends) })
    }

    /// Why generation ended; `None` until the iterator has ended.
    pub fn stop(&self) -> Option<Stop> {
        self.state.stop
    }

    fn step(&mut self) -> Result<Option<u32>, GenerateError<E>> {
        match self.state.next_action(self.session.positions() < self.session.context()) {
            NextAction::Ended(_) => return Ok(None),
            NextAction::Feed(id) => {
                let logits = self.session.feed(&[id]).map_err(GenerateError::Model)?;
                self.logits.copy_from_slice(logits);
            }
            NextAction::Pick => {}
        }
        let id = (self.pick)(&self.logits).map_err(GenerateError::Pick)?;
        Ok(self.state.accept(id))
    }
}

/// The state of a generation between two tokens: how many may follow, which ones end it, and what to do next.
/// [`Generation`] combines it with a session; with a [`Batch`](crate::Batch) there is one per sequence.
#[derive(Clone, Debug)]
pub struct GenerationState {
    ends: Vec<u32>,
    left: usize,
    /// The token chosen last, not yet fed.
    pending: Option<u32>,
    stop: Option<Stop>,
}

/// The next action of a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextAction {
    /// Choose a token from the current logits and pass it to [`GenerationState::accept`].
    Pick,
    /// Feed this token, then choose one from the logits after it.
    Feed(u32),
    /// None: generation has ended.
    Ended(Stop),
}

impl GenerationState {
    /// The state after the prompt was fed: at most `limit` tokens follow, and any of `ends` ends generation.
    pub fn new(limit: usize, ends: &[u32]) -> GenerationState {
        GenerationState { ends: ends.to_vec(), left: limit, pending: None, stop: None }
    }

    /// The next action; `has_space` is whether the context has space for another token.
    pub fn next_action(&mut self, has_space: bool) -> NextAction {
        if let Some(stop) = self.stop {
            return NextAction::Ended(stop);
        }
        let stop = match self.pending {
            _ if self.left == 0 => Stop::Length,
            Some(_) if !has_space => Stop::ContextFull,
            None => return NextAction::Pick,
            Some(id) => {
                self.pending = None;
                return NextAction::Feed(id);
            }
        };
        self.stop = Some(stop);
        NextAction::Ended(stop)
    }

    /// Accepts the chosen token; returns it unless it ends generation.
    pub fn accept(&mut self, id: u32) -> Option<u32> {
        if self.ends.contains(&id) {
            self.stop = Some(Stop::EndOfText);
            return None;
        }
        self.left = self.left.saturating_sub(1);
        self.pending = Some(id);
        Some(id)
    }
}

impl<P, E> Iterator for Generation<'_, P>
where
    P: FnMut(&[f32]) -> Result<u32, E>,
{
    type Item = Result<u32, GenerateError<E>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}
