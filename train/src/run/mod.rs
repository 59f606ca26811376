//! A run: a recipe, a text and a folder, brought to a trained model, however often it is interrupted.
//!
//! ```text
//! RUN/recipe.toml          all that decides the result, but for the text
//! RUN/run.json             the text's fingerprint, by which a wrong one is noticed
//! RUN/tokenizer.json       the tokenizer, learnt or taken over
//! RUN/tokens.bin           the text as token ids, mapped
//! RUN/last.safetensors     the checkpoint: parameters, AdamW's two moments, the number of steps
//! RUN/loss.csv, loss.svg   how it goes, step by step
//! RUN/samples.txt          what the model wrote on the way
//! RUN/watch.jsonl          snapshots of the model on the way, if wanted
//! RUN/best/                the model that did best on the text kept back, as a Hugging Face directory
//! RUN/config.json, model.safetensors, generation_config.json, tokenizer_config.json
//!                          once the run is done: the folder itself is the model's Hugging Face directory
//! ```
//!
//! Every file is written under another name and then renamed, so that none is ever half there. A step depends on the
//! checkpoint and its number alone: which examples it reads is computed from the seed and the number. So a run that was killed and goes on from its last checkpoint comes to the very same bits.

pub(crate) mod checkpoint;
mod error;
mod folder;
mod losses;
mod sample;
mod steps;

use std::path::{Path, PathBuf};

use glassbox_tensor::Pool;
use glassbox_tokenizer::Tokenizer;

use crate::data::{Batches, Documents, Split, TokenFile, split_documents, train_tokenizer};
use crate::recipe::Recipe;
use crate::watch;
use crate::{AdamW, AdamWConfig, Network};
use checkpoint::State;
pub(crate) use losses::Losses;
pub(crate) use steps::draw_losses;

pub use error::RunError;
pub use folder::WATCH;
pub use losses::{Row, read_losses};

/// A run, ready for its next step.
pub struct Run {
    folder: PathBuf,
    recipe: Recipe,
    tokenizer: Tokenizer,
    tokens: TokenFile,
    batches: Batches,
    network: Network,
    optimizer: AdamW,
    state: State,
    losses: Losses,
}

/// Somebody who follows a run.
pub trait Monitor {
    /// Whether the run is to write a checkpoint and end here.
    fn wants_to_stop(&mut self) -> bool {
        false
    }
    /// A step is done.
    fn step(&mut self, _row: &Row) {}
    /// The model has written a text.
    fn sample(&mut self, _step: u64, _text: &str) {}
    /// A checkpoint is written.
    fn checkpoint(&mut self, _step: u64) {}
    /// Something is being done before the first step.
    fn preparing(&mut self, _what: &str) {}
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All steps are done.
    Done,
    /// The monitor wanted it to stop; it can go on.
    Stopped,
}

impl Run {
    /// Begins a run in a folder that has none: finds the documents of `data`, keeps some back, learns a tokenizer from
    /// the others unless one is given, encodes them, and draws the model's first parameters.
    ///
    /// # Errors
    /// [`RunError::Exists`] if the folder has a run; [`RunError::Data`] if the text will not do.
    pub fn begin(
        folder: &Path,
        recipe: Recipe,
        data: &Path,
        tokenizer: Option<Tokenizer>,
        monitor: &mut dyn Monitor,
    ) -> Result<Run, RunError> {
        recipe.check().map_err(|problems| RunError::Recipe { name: "given".into(), problems })?;
        folder::check_free(folder)?;
        monitor.preparing("reading the text");
        let documents = Documents::open(data)?;
        let parts = split_documents(&documents, recipe.data.validation, recipe.training.seed);
        let tokenizer = match tokenizer {
            Some(tokenizer) => tokenizer,
            None => {
                monitor.preparing("learning the tokenizer");
                train_tokenizer(&documents, &parts, recipe.tokenizer.vocab_size)?
            }
        };
        monitor.preparing("encoding the text");
        folder::create(folder)?;
        folder::write_tokenizer(folder, &tokenizer)?;
        TokenFile::write(&folder.join(folder::TOKENS), &documents, &parts, &tokenizer)?;
        let tokens = TokenFile::open(&folder.join(folder::TOKENS))?;
        let needed = recipe.model.context_length + 1;
        // Looked at before the recipe is written, which is what makes a folder a run.
        Batches::new(&tokens, recipe.model.context_length, recipe.training.seed)?;
        let found = tokens.len(Split::Validation);
        if recipe.data.validation > 0.0 && found < needed {
            let part = "validation";
            return Err(crate::data::DataError::TooShort { part, found, needed }.into());
        }
        folder::write_facts(folder, documents.fingerprint())?;
        folder::write_recipe(folder, &recipe)?;
        let network = Network::new(recipe.config(tokens.vocab_size()), recipe.training.seed)
            .map_err(RunError::Train)?;
        let optimizer = AdamW::new(adamw(&recipe), network.trained());
        Run::assemble(folder, recipe, tokenizer, tokens, network, optimizer, State::default())
    }

    /// Goes on with the run in a folder, from its last checkpoint.
    ///
    /// # Errors
    /// [`RunError::NoRun`] if there is none, [`RunError::Broken`] if its files do not fit together.
    pub fn resume(folder: &Path) -> Result<Run, RunError> {
        let recipe = folder::read_recipe(folder)?;
        let tokenizer = folder::read_tokenizer(folder)?;
        let tokens = TokenFile::open(&folder.join(folder::TOKENS))?;
        if tokens.vocab_size() != tokenizer.vocab_size() {
            return Err(RunError::Broken {
                path: folder.join(folder::TOKENS),
                problem: format!(
                    "it was written with {} tokens, but tokenizer.json has {}",
                    tokens.vocab_size(),
                    tokenizer.vocab_size()
                ),
            });
        }
        let config = recipe.config(tokens.vocab_size());
        let path = folder.join(folder::LAST);
        let (network, optimizer, state) = if path.exists() {
            checkpoint::read(&path, config, adamw(&recipe))?
        } else {
            let network = Network::new(config, recipe.training.seed).map_err(RunError::Train)?;
            let optimizer = AdamW::new(adamw(&recipe), network.trained());
            (network, optimizer, State::default())
        };
        Run::assemble(folder, recipe, tokenizer, tokens, network, optimizer, state)
    }

    fn assemble(
        folder: &Path,
        recipe: Recipe,
        tokenizer: Tokenizer,
        tokens: TokenFile,
        network: Network,
        optimizer: AdamW,
        state: State,
    ) -> Result<Run, RunError> {
        let batches = Batches::new(&tokens, recipe.model.context_length, recipe.training.seed)?;
        let path = folder.join(folder::LOSSES);
        let losses = Losses::open(&path, state.step).map_err(|source| RunError::File { path, source })?;
        let path = folder.join(WATCH);
        watch::rewind(&path, state.step).map_err(|source| RunError::File { path, source })?;
        let folder = folder.to_path_buf();
        Ok(Run { folder, recipe, tokenizer, tokens, batches, network, optimizer, state, losses })
    }

    /// That this run was begun with this recipe, and with this text if one is given.
    ///
    /// # Errors
    /// [`RunError::Changed`] naming what differs.
    pub fn check_same(&self, recipe: Option<&Recipe>, data: Option<&Path>) -> Result<(), RunError> {
        let mut differences = recipe.map_or_else(Vec::new, |recipe| self.recipe.differences(recipe));
        if let Some(data) = data {
            let documents = Documents::open(data)?;
            if folder::read_facts(&self.folder)? != documents.fingerprint() {
                differences.push(format!("{} is another text", data.display()));
            }
        }
        match differences.is_empty() {
            true => Ok(()),
            false => Err(RunError::Changed { path: self.folder.clone(), differences }),
        }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The recipe.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// Steps done.
    pub fn steps_done(&self) -> u64 {
        self.state.step
    }

    /// Tokens to learn from, and tokens kept back.
    pub fn corpus(&self) -> (usize, usize) {
        (self.tokens.len(Split::Training), self.tokens.len(Split::Validation))
    }

    /// Steps in which the whole text is read once.
    pub fn steps_per_epoch(&self) -> f64 {
        self.batches.epoch_len() as f64 / self.recipe.training.batch as f64
    }

    /// Has a snapshot of the model written every so many steps; 0 for none.
    pub fn watch_every(&mut self, steps: u64) {
        self.recipe.report.watch_every = steps;
    }

    /// Whether blocks are computed again in front of their backward pass, to save memory
    /// ([`Network::set_recompute`]).
    pub fn set_recompute(&mut self, recompute: bool) {
        self.network.set_recompute(recompute);
    }

    /// The model.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The smallest loss on the text kept back so far, and after which step.
    pub fn best(&self) -> Option<(f64, u64)> {
        self.state.best
    }

    /// Seconds that one step takes here and now, measured without learning anything.
    ///
    /// # Errors
    /// What a step says.
    pub fn seconds_per_step(&mut self, pool: &Pool) -> Result<f64, RunError> {
        steps::measure(self, pool)
    }

    /// Sets the number of steps of a run that has not begun, for one that is to take a given time.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn set_steps(&mut self, steps: u64) -> Result<(), RunError> {
        if self.state.step == 0 {
            self.recipe.set_steps(steps.max(1));
            folder::write_recipe(&self.folder, &self.recipe)?;
        }
        Ok(())
    }

    /// Does the steps that are left, and writes the model.
    ///
    /// # Errors
    /// [`RunError::NotFinite`] if the training runs away; [`RunError::File`] or [`RunError::Tensor`] if the folder cannot
    /// be written. The last checkpoint stays.
    pub fn train(&mut self, pool: &Pool, monitor: &mut dyn Monitor) -> Result<Outcome, RunError> {
        steps::train(self, pool, monitor)
    }
}

fn adamw(recipe: &Recipe) -> AdamWConfig {
    let training = &recipe.training;
    AdamWConfig {
        beta1: training.beta1,
        beta2: training.beta2,
        epsilon: training.epsilon,
        weight_decay: training.weight_decay,
        ..AdamWConfig::default()
    }
}
