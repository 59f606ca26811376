//! Text, one token at a time: feed the prompt, pick a token from the scores, feed it, repeat.

use crate::error::Error;
use crate::model::Session;

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
/// let model = checkpoint.load(Pool::new(2, Level::detect())?)?;
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
pub struct Generation<'s, 'm, P> {
    session: &'s mut Session<'m>,
    pick: P,
    ends: Vec<u32>,
    logits: Vec<f32>,
    left: usize,
    /// The token picked last, not yet fed.
    pending: Option<u32>,
    stop: Option<Stop>,
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

impl<'s, 'm, P, E> Generation<'s, 'm, P>
where
    P: FnMut(&[f32]) -> Result<u32, E>,
{
    /// Feeds `prompt` to the session; the iterator then gives at most `limit` tokens picked by `pick`, and
    /// ends in front of any of `ends`, which is not given.
    ///
    /// # Errors
    /// As [`Session::feed`].
    pub fn new(
        session: &'s mut Session<'m>,
        prompt: &[u32],
        limit: usize,
        ends: &[u32],
        pick: P,
    ) -> Result<Generation<'s, 'm, P>, Error> {
        let logits = session.feed(prompt)?.to_vec();
        Ok(Generation { session, pick, ends: ends.to_vec(), logits, left: limit, pending: None, stop: None })
    }

    /// Why the text ended, once the iterator has.
    pub fn stop(&self) -> Option<Stop> {
        self.stop
    }

    fn step(&mut self) -> Result<Option<u32>, GenerateError<E>> {
        if self.stop.is_some() {
            return Ok(None);
        }
        if self.left == 0 {
            self.stop = Some(Stop::Length);
            return Ok(None);
        }
        if let Some(id) = self.pending.take() {
            if self.session.positions() == self.session.context() {
                self.stop = Some(Stop::ContextFull);
                return Ok(None);
            }
            let logits = self.session.feed(&[id]).map_err(GenerateError::Model)?;
            self.logits.copy_from_slice(logits);
        }
        let id = (self.pick)(&self.logits).map_err(GenerateError::Pick)?;
        if self.ends.contains(&id) {
            self.stop = Some(Stop::EndOfText);
            return Ok(None);
        }
        self.left -= 1;
        self.pending = Some(id);
        Ok(Some(id))
    }
}

impl<P, E> Iterator for Generation<'_, '_, P>
where
    P: FnMut(&[f32]) -> Result<u32, E>,
{
    type Item = Result<u32, GenerateError<E>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}
