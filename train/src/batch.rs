//! What a step learns from, and what it says how well that was predicted.

use glassbox_model::Config;

use crate::error::Error;

/// Some texts of as many tokens each, the token that should follow each, and how much each of these counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// `[texts, tokens]`: what the model reads.
    pub ids: Vec<u32>,
    /// `[texts, tokens]`: what it should say next. Where the weight is 0 any id will do.
    pub targets: Vec<u32>,
    /// `[texts, tokens]`: how much each prediction counts; 0 masks it.
    pub weights: Vec<f32>,
    /// Texts side by side, each read from position 0.
    pub texts: usize,
    /// Tokens of a text.
    pub tokens: usize,
}

impl Batch {
    /// The batch in which each token of `ids` (`texts` texts, all of one length) is to predict its successor.
    ///
    /// # Errors
    /// [`Error::BatchLength`] if `ids` are not `texts` texts of at least two tokens.
    pub fn next_token(ids: &[u32], texts: usize) -> Result<Batch, Error> {
        let tokens = ids.len() / texts.max(1);
        if texts == 0 || tokens < 2 || !ids.len().is_multiple_of(texts) {
            return Err(Error::BatchLength {
                what: "ids",
                expected: texts * tokens.max(2),
                found: ids.len(),
            });
        }
        let tokens = tokens - 1;
        let of_texts = |from: usize| {
            ids.chunks_exact(tokens + 1).flat_map(|text| &text[from..from + tokens]).copied().collect()
        };
        Ok(Batch {
            ids: of_texts(0),
            targets: of_texts(1),
            weights: vec![1.0; texts * tokens],
            texts,
            tokens,
        })
    }

    /// `Σ weights`: what the loss of the whole batch is divided by.
    pub fn total_weight(&self) -> f64 {
        self.weights.iter().map(|&weight| f64::from(weight)).sum()
    }

    /// Checks lengths and ids. Rows must also fit into sliding windows, which training knows nothing of.
    pub(crate) fn check(&self, config: &Config) -> Result<(), Error> {
        let windows = config.windows.iter().flatten();
        let context_length = windows.fold(config.context_length, |least, &window| least.min(window));
        let vocab_size = config.vocab_size;
        let expected = self.texts * self.tokens;
        let lengths =
            [("ids", self.ids.len()), ("targets", self.targets.len()), ("weights", self.weights.len())];
        if let Some((what, found)) = lengths.into_iter().find(|&(_, found)| found != expected || found == 0) {
            return Err(Error::BatchLength { what, expected, found });
        }
        if self.tokens > context_length {
            return Err(Error::TooLong { tokens: self.tokens, context_length });
        }
        match self.ids.iter().chain(&self.targets).find(|&&id| id as usize >= vocab_size) {
            Some(&id) => Err(Error::UnknownToken { id, vocab_size }),
            None => Ok(()),
        }
    }
}

/// How well a batch was predicted.
#[derive(Clone, Debug, PartialEq)]
pub struct Loss {
    /// `Σ weight · −ln p(target)`
    pub sum: f64,
    /// `Σ weight`
    pub weight: f64,
    /// `[texts, tokens]`: `−ln p(target)` in nats, unweighted; 0 where the weight is 0.
    pub per_position: Vec<f32>,
}

impl Loss {
    /// The weighted mean in nats a token; 0 if nothing counts.
    pub fn mean(&self) -> f64 {
        if self.weight == 0.0 { 0.0 } else { self.sum / self.weight }
    }

    /// Sums up the positions in order.
    pub(crate) fn of(batch: &Batch, per_position: Vec<f32>) -> Result<Loss, Error> {
        if let Some(at) = per_position.iter().position(|loss| !loss.is_finite()) {
            return Err(Error::NotANumber { row: at / batch.tokens });
        }
        let sum = per_position.iter().zip(&batch.weights).map(|(&l, &w)| f64::from(l) * f64::from(w)).sum();
        Ok(Loss { sum, weight: batch.total_weight(), per_position })
    }
}
