//! Text, one token at a time: feed the prompt, pick a token from the scores, feed it, repeat.

use crate::error::Error;
use crate::session::Session;

/// Why a text ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The model gave a token that ends a text.
    EndOfText,
    /// As many tokens as were asked for.
    Length,
    /// The context is full.
    ContextFull,
}

/// Generated tokens, an iterator.
///
/// A token is fed when the next one is asked for: after [`Stop::EndOfText`] all tokens given have been fed to
/// the session, after [`Stop::Length`] and [`Stop::ContextFull`] all but the last.
///
/// ```no_run
/// use glassbox_model::{Checkpoint, Generation};
/// use glassbox_tensor::{Level, Pool};
///
/// let checkpoint = Checkpoint::open("model.gguf")?;
/// let model = checkpoint.run_on(Pool::new(2, Level::detect())?)?;
/// let mut session = model.session(1024);
/// // The likeliest token each time; a sampler of `glassbox-sampler` is bolder.
/// let likeliest = |logits: &[f32]| {
///     let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]));
///     Ok::<u32, std::convert::Infallible>(best.unwrap_or(0) as u32)
/// };
/// for id in Generation::new(&mut session, &[1, 2, 3], 20, &[0], likeliest)? {
///     println!("{}", id.unwrap());
/// }
/// # Ok::<(), glassbox_model::Error>(())
/// ```
pub struct Generation<'s, P> {
    session: &'s mut Session,
    pick: P,
    logits: Vec<f32>,
    growth: Growth,
}

/// An error while generating: the model's, or that of whoever picks the tokens.
#[derive(Debug)]
pub enum GenerateError<E> {
    /// The model's.
    Model(Error),
    /// The picker's.
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
    /// Feeds `prompt` to the session; the iterator then gives at most `limit` tokens picked by `pick`, and
    /// ends in front of any of `ends`, which is not given.
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
        Ok(Generation { session, pick, logits, growth: Growth::new(limit, ends) })
    }

    /// Why the text ended, once the iterator has.
    pub fn stop(&self) -> Option<Stop> {
        self.growth.stop
    }

    fn step(&mut self) -> Result<Option<u32>, GenerateError<E>> {
        match self.growth.turn(self.session.positions() < self.session.context()) {
            Turn::Ended(_) => return Ok(None),
            Turn::Feed(id) => {
                let logits = self.session.feed(&[id]).map_err(GenerateError::Model)?;
                self.logits.copy_from_slice(logits);
            }
            Turn::Pick => {}
        }
        let id = (self.pick)(&self.logits).map_err(GenerateError::Pick)?;
        Ok(self.growth.take(id))
    }
}

/// A text between two tokens: how many may still come, which ones end it, what is to be done next. [`Generation`] is this
/// with a session; with a [`Batch`](crate::Batch) there is one for each text.
#[derive(Clone, Debug)]
pub struct Growth {
    ends: Vec<u32>,
    left: usize,
    /// The token picked last, not yet fed.
    pending: Option<u32>,
    stop: Option<Stop>,
}

/// What a text needs next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// A token picked from the scores at hand, handed to [`Growth::take`].
    Pick,
    /// This token fed, then one picked from the scores after it.
    Feed(u32),
    /// Nothing: it has ended.
    Ended(Stop),
}

impl Growth {
    /// A text whose prompt has been fed, to get at most `limit` tokens and to end in front of any of `ends`.
    pub fn new(limit: usize, ends: &[u32]) -> Growth {
        Growth { ends: ends.to_vec(), left: limit, pending: None, stop: None }
    }

    /// What comes next; `room` is whether the context has room for another token.
    pub fn turn(&mut self, room: bool) -> Turn {
        if let Some(stop) = self.stop {
            return Turn::Ended(stop);
        }
        let stop = match self.pending {
            _ if self.left == 0 => Stop::Length,
            Some(_) if !room => Stop::ContextFull,
            None => return Turn::Pick,
            Some(id) => {
                self.pending = None;
                return Turn::Feed(id);
            }
        };
        self.stop = Some(stop);
        Turn::Ended(stop)
    }

    /// Takes the token that was picked; gives it back unless it ends the text.
    pub fn take(&mut self, id: u32) -> Option<u32> {
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
