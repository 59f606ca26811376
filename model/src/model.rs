//! A model in memory: configuration and packed parameters, and the forward pass to the logits.

use glassbox_tensor::Team;

use crate::adapter::AdapterRows;
use crate::config::Config;
use crate::decoder::{Decoder, Start};
use crate::error::Error;
use crate::hooks::{HookPoint, Hooks, Observer};
use crate::pass::Pass;
use crate::scratch::Scratch;
use crate::sequences::{Sequence, Sequences};
use crate::vocabulary::Vocabulary;

/// A model's configuration and parameters. A [`Runtime`](crate::Runtime) combines it with threads.
pub struct Model {
    /// The configuration.
    pub config: Config,
    /// The parameters.
    pub decoder: Decoder,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Rows of logits computed at a time if all are wanted: enough to amortise reading the unembedding, few enough to need
/// little memory with a large vocabulary.
const LOGIT_ROWS: usize = 32;

/// The rows whose logits a pass computes.
pub(crate) enum Wanted<'l> {
    /// None: the pass only fills the caches.
    None,
    /// Each sequence's last row, `[sequences, vocab_size]`.
    Last(&'l mut [f32]),
    /// These rows, `[rows, vocab_size]`.
    Rows(&'l [usize], &'l mut [f32]),
    /// Every row: calls `each(row, logits)` in order.
    All(&'l mut (dyn FnMut(usize, &[f32]) + Send)),
}

impl Model {
    /// Embedding and unembedding.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.decoder.vocabulary
    }

    /// One forward pass of the rows of the sequences, one sequence after the other.
    pub(crate) fn forward<O: Observer>(
        &self,
        team: &Team<'_>,
        start: Start<'_>,
        sequences: &mut [Sequence<'_>],
        scratch: &mut Scratch,
        observer: &mut O,
        wanted: Wanted<'_>,
    ) {
        let Config { vocab_size, d_model, .. } = self.config;
        let tokens = start.tokens(&self.config);
        let first_position = sequences.first().map_or(0, |sequence| sequence.cache.positions());
        let sequences = Sequences(sequences);
        let mut pass = Pass {
            team,
            adapters: sequences.adapters(),
            sequences,
            hooks: Hooks { observer, first_position, layer: None },
            tokens,
        };
        self.decoder.forward(&mut pass, start, scratch);

        let Pass { sequences, mut hooks, adapters, .. } = pass;
        let gathered = |rows: &[usize]| -> Vec<f32> {
            rows.iter().flat_map(|row| &scratch.normed[row * d_model..][..d_model]).copied().collect()
        };
        let mut unembed = |first_row: usize, adapters: &AdapterRows<'_>, x: &[f32], logits: &mut [f32]| {
            self.vocabulary().unembed(team, adapters, x, logits);
            hooks.first_position = first_position + first_row;
            hooks.rows(HookPoint::Logits, x.len() / d_model, [vocab_size, 1], logits);
        };
        match wanted {
            Wanted::None => {}
            // With a single sequence, or one row per sequence, the rows need not be gathered.
            Wanted::Last(logits) if sequences.0.len() == 1 => {
                let last = tokens - 1;
                unembed(last, &adapters.select(&[last]), &scratch.normed[last * d_model..], logits);
            }
            Wanted::Last(logits) if sequences.0.len() == tokens => {
                unembed(0, &adapters, &scratch.normed, logits);
            }
            Wanted::Last(logits) => {
                let mut end = 0;
                let last = sequences.0.iter().map(|sequence| {
                    end += sequence.rows;
                    end - 1
                });
                let last: Vec<usize> = last.collect();
                unembed(0, &adapters.select(&last), &gathered(&last), logits);
            }
            Wanted::Rows(rows, logits) => unembed(0, &adapters.select(rows), &gathered(rows), logits),
            Wanted::All(each) => {
                let mut logits = vec![0.0; LOGIT_ROWS.min(tokens) * vocab_size];
                for (i, x) in scratch.normed.chunks(LOGIT_ROWS * d_model).enumerate() {
                    let rows = x.len() / d_model;
                    let logits = &mut logits[..rows * vocab_size];
                    let rows: Vec<usize> = (i * LOGIT_ROWS..i * LOGIT_ROWS + rows).collect();
                    unembed(i * LOGIT_ROWS, &adapters.select(&rows), x, logits);
                    for (row, logits) in logits.chunks_exact(vocab_size).enumerate() {
                        each(i * LOGIT_ROWS + row, logits);
                    }
                }
            }
        }
    }

    /// Checks that `ids` can be fed after `positions` tokens in a context of `context` tokens.
    pub(crate) fn check(&self, ids: &[u32], positions: usize, context: usize) -> Result<(), Error> {
        if ids.is_empty() {
            return Err(Error::NoTokens);
        }
        let vocab_size = self.config.vocab_size;
        if let Some(&id) = ids.iter().find(|&&id| id as usize >= vocab_size) {
            return Err(Error::TokenOutOfRange { id, vocab_size });
        }
        let needed = positions + ids.len();
        if needed > context {
            return Err(Error::ContextFull { needed, context });
        }
        Ok(())
    }
}
