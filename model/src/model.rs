//! A model in memory: its configuration and its parameters, packed for this machine.

use glassbox_tensor::Team;

use crate::block::Pass;
use crate::config::Config;
use crate::decoder::Decoder;
use crate::error::Error;
use crate::hooks::{HookPoint, Hooks, Observer};
use crate::scratch::Scratch;
use crate::sequences::{Sequence, Sequences};
use crate::vocabulary::Vocabulary;

/// A model: what it computes is decided by this alone. A [`Runtime`](crate::Runtime) is a model with threads.
pub struct Model {
    /// Its shape.
    pub config: Config,
    /// Its parameters.
    pub decoder: Decoder,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Rows of logits computed at a time when all are wanted: enough to share one read of the vocabulary, few enough that a
/// large vocabulary stays small in memory.
const LOGIT_ROWS: usize = 32;

/// Which rows' logits a pass is for.
pub(crate) enum Wanted<'l> {
    /// Nobody's: the pass only fills the caches.
    None,
    /// Those of each sequence's last row, `[sequences, vocab_size]`.
    Last(&'l mut [f32]),
    /// Those of every row: `each(row, logits)` is called in turn.
    All(&'l mut (dyn FnMut(usize, &[f32]) + Send)),
}

impl Model {
    /// The vectors of the vocabulary.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.decoder.vocabulary
    }

    /// One forward pass of the tokens `ids`, the rows of each of `sequences` in turn.
    pub(crate) fn forward<O: Observer>(
        &self,
        team: &Team<'_>,
        ids: &[u32],
        sequences: &mut [Sequence<'_>],
        scratch: &mut Scratch,
        observer: &mut O,
        wanted: Wanted<'_>,
    ) {
        let Config { vocab_size, d_model, .. } = self.config;
        let first_position = sequences.first().map_or(0, |sequence| sequence.cache.positions());
        let sequences = Sequences(sequences);
        let mut pass = Pass {
            team,
            adapters: sequences.adapters(),
            sequences,
            hooks: Hooks { observer, first_position, layer: None },
            tokens: ids.len(),
        };
        self.decoder.forward(&mut pass, ids, scratch);

        let Pass { sequences, mut hooks, .. } = pass;
        let mut unembed = |first_row: usize, x: &[f32], logits: &mut [f32]| {
            self.vocabulary().unembed(team, x, logits);
            hooks.first_position = first_position + first_row;
            hooks.rows(HookPoint::Logits, x.len() / d_model, [vocab_size, 1], logits);
        };
        match wanted {
            Wanted::None => {}
            // Nothing to gather where one sequence is alone, or where each has one row.
            Wanted::Last(logits) if sequences.0.len() == 1 => {
                let last = ids.len() - 1;
                unembed(last, &scratch.normed[last * d_model..], logits);
            }
            Wanted::Last(logits) if sequences.0.len() == ids.len() => unembed(0, &scratch.normed, logits),
            Wanted::Last(logits) => {
                let mut last = Vec::with_capacity(sequences.0.len() * d_model);
                let mut end = 0;
                for sequence in sequences.0.iter() {
                    end += sequence.rows;
                    last.extend_from_slice(&scratch.normed[(end - 1) * d_model..end * d_model]);
                }
                unembed(0, &last, logits);
            }
            Wanted::All(each) => {
                let mut logits = vec![0.0; LOGIT_ROWS.min(ids.len()) * vocab_size];
                for (i, x) in scratch.normed.chunks(LOGIT_ROWS * d_model).enumerate() {
                    let logits = &mut logits[..x.len() / d_model * vocab_size];
                    unembed(i * LOGIT_ROWS, x, logits);
                    for (row, logits) in logits.chunks_exact(vocab_size).enumerate() {
                        each(i * LOGIT_ROWS + row, logits);
                    }
                }
            }
        }
    }

    /// Whether `ids` can be fed behind `positions` others in a context of `context` tokens.
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
