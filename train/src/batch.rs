//! A batch of sequences with their targets, and the loss of their predictions.

use glassbox_model::Config;

use crate::error::Error;

/// Sequences of equal length, the target of each position, and the weight of each prediction.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// `[sequences, tokens]`: the input token ids.
    pub ids: Vec<u32>,
    /// `[sequences, tokens]`: the token to predict at each position. Any id of the vocabulary where the weight is 0.
    pub targets: Vec<u32>,
    /// `[sequences, tokens]`: the weight of each prediction in the loss; 0 masks it.
    pub weights: Vec<f32>,
    /// Number of sequences, each starting at position 0.
    pub sequences: usize,
    /// Tokens per sequence.
    pub tokens: usize,
}

impl Batch {
    /// The batch in which each token of `ids` (`sequences` sequences of equal length) predicts its successor.
    ///
    /// # Errors
    /// [`Error::BatchLength`] if `ids` are not `sequences` sequences of at least two tokens.
    pub fn next_token(ids: &[u32], sequences: usize) -> Result<Batch, Error> {
        let tokens = ids.len() / sequences.max(1);
        if sequences == 0 || tokens < 2 || !ids.len().is_multiple_of(sequences) {
            return Err(Error::BatchLength {
                what: "ids",
                expected: sequences * tokens.max(2),
                found: ids.len(),
            });
        }
        let tokens = tokens - 1;
        let windows = |from: usize| {
            ids.chunks_exact(tokens + 1)
                .flat_map(|sequence| &sequence[from..from + tokens])
                .copied()
                .collect()
        };
        Ok(Batch {
            ids: windows(0),
            targets: windows(1),
            weights: vec![1.0; sequences * tokens],
            sequences,
            tokens,
        })
    }

    /// `Σ weights`, the divisor of the mean loss.
    pub fn total_weight(&self) -> f64 {
        self.weights.iter().map(|&weight| f64::from(weight)).sum()
    }

    /// Checks lengths and ids. A sequence must also fit every sliding window: the backward pass implements only full
    /// causal attention.
    pub(crate) fn check(&self, config: &Config) -> Result<(), Error> {
        let windows = config.windows.iter().flatten();
        let context_length = windows.fold(config.context_length, |least, &window| least.min(window));
        let vocab_size = config.vocab_size;
        let expected = self.sequences * self.tokens;
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

/// The loss of a batch: cross entropy in nats.
#[derive(Clone, Debug, PartialEq)]
pub struct Loss {
    /// `Σ weight · −ln p(target)`
    pub sum: f64,
    /// `Σ weight`
    pub weight: f64,
    /// `[sequences, tokens]`: `−ln p(target)` in nats, unweighted; 0 where the weight is 0.
    pub per_position: Vec<f32>,
}

impl Loss {
    /// The weighted mean in nats per token; 0 if all weights are 0.
    pub fn mean(&self) -> f64 {
        if self.weight == 0.0 { 0.0 } else { self.sum / self.weight }
    }

    /// Sums over the positions in order.
    pub(crate) fn of(batch: &Batch, per_position: Vec<f32>) -> Result<Loss, Error> {
        if let Some(at) = per_position.iter().position(|loss| !loss.is_finite()) {
            return Err(Error::NotANumber { row: at / batch.tokens });
        }
        let sum = per_position.iter().zip(&batch.weights).map(|(&l, &w)| f64::from(l) * f64::from(w)).sum();
        Ok(Loss { sum, weight: batch.total_weight(), per_position })
    }
}
