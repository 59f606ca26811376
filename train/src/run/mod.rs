//! A training run: a recipe, a text and a folder. It can be interrupted and resumed at any step.
//!
//! ```text
//! RUN/recipe.toml          all settings
//! RUN/run.json             the text's fingerprint, to detect resuming with another text
//! RUN/tokenizer.json       the tokenizer, trained or given
//! RUN/tokens.bin           the text as token ids
//! RUN/last.safetensors     the checkpoint: parameters, AdamW's two moments, the number of steps
//! RUN/loss.csv, loss.svg   loss, learning rate and gradient norm of each step
//! RUN/samples.txt          samples of the model during training
//! RUN/watch.jsonl          snapshots of the model during training, if enabled
//! RUN/best/                the model with the lowest validation loss, as a Hugging Face directory
//! RUN/config.json, model.safetensors, generation_config.json, tokenizer_config.json
//!                          when the run is done: the folder itself is the model's Hugging Face directory
//! ```
//!
//! Files are written under a temporary name and then renamed, so none is ever incomplete. A step depends only on the
//! checkpoint and its number: its examples are a function of seed and number. So a run that was killed and resumed from
//! its last checkpoint produces bit-identical parameters.

pub(crate) mod checkpoint;
mod folder;
mod glimpse;
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

pub use crate::run_error::RunError;
pub use folder::{BEST, RECIPE, WATCH};
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

/// Gets the events of a run, and can stop it.
pub trait Monitor {
    /// Whether the run should write a checkpoint and stop.
    fn wants_to_stop(&mut self) -> bool {
        false
    }
    /// A step was done.
    fn step(&mut self, _row: &Row) {}
    /// The model wrote a sample.
    fn sample(&mut self, _step: u64, _text: &str) {}
    /// A checkpoint was written.
    fn checkpoint(&mut self, _step: u64) {}
    /// A stage of the preparation starts.
    fn preparing(&mut self, _what: &str) {}
}

/// How training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All steps were done.
    Done,
    /// The monitor stopped it; it can be resumed.
    Stopped,
}

impl Run {
    /// Starts a run in a folder without one: reads the documents of `data`, splits them, trains a tokenizer on the
    /// training split unless one is given, encodes both splits, and initialises the parameters.
    ///
    /// # Errors
    /// [`RunError::Exists`] if the folder has a run; [`RunError::Data`] if the text is unsuitable.
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
                monitor.preparing("training the tokenizer");
                train_tokenizer(&documents, &parts, recipe.tokenizer.vocab_size)?
            }
        };
        monitor.preparing("encoding the text");
        folder::create(folder)?;
        folder::write_tokenizer(folder, &tokenizer)?;
        TokenFile::write(&folder.join(folder::TOKENS), &documents, &parts, &tokenizer)?;
        let tokens = TokenFile::open(&folder.join(folder::TOKENS))?;
        let needed = recipe.model.context_length + 1;
        // Checked before the recipe is written, since the recipe makes the folder a run.
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

    /// Resumes the run in a folder from its last checkpoint.
    ///
    /// # Errors
    /// [`RunError::NoRun`] if there is none, [`RunError::Broken`] if its files are inconsistent.
    pub fn resume(folder: &Path) -> Result<Run, RunError> {
        let recipe = folder::read_recipe(folder)?;
        let tokenizer = folder::read_tokenizer(folder)?;
        let tokens = TokenFile::open(&folder.join(folder::TOKENS))?;
        if tokens.vocab_size() != tokenizer.vocab_size() {
            return Err(RunError::Broken {
                path: folder.join(folder::TOKENS),
                problem: format!(
                    "expected token ids of a vocabulary of {1} tokens as in tokenizer.json, found {0}",
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

    /// Checks that this run was started with this recipe, and with this text, where given.
    ///
    /// # Errors
    /// [`RunError::Changed`] with the differences.
    pub fn check_same(&self, recipe: Option<&Recipe>, data: Option<&Path>) -> Result<(), RunError> {
        let mut differences = recipe.map_or_else(Vec::new, |recipe| self.recipe.differences(recipe));
        if let Some(data) = data {
            let documents = Documents::open(data)?;
            if folder::read_facts(&self.folder)? != documents.fingerprint() {
                differences.push(format!("{} is not the text that the run was started with", data.display()));
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

    /// Numbers of training tokens and validation tokens.
    pub fn corpus(&self) -> (usize, usize) {
        (self.tokens.len(Split::Training), self.tokens.len(Split::Validation))
    }

    /// Steps per epoch.
    pub fn steps_per_epoch(&self) -> f64 {
        self.batches.epoch_len() as f64 / self.recipe.training.batch as f64
    }

    /// Sets the number of steps between snapshots, which come more often in the beginning; 0 for none.
    pub fn watch_every(&mut self, steps: u64) {
        self.recipe.report.watch_every = steps;
    }

    /// Enables gradient checkpointing ([`Network::set_recompute`]).
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

    /// The lowest validation loss so far, and the step after which it was measured.
    pub fn best(&self) -> Option<(f64, u64)> {
        self.state.best
    }

    /// Measures the seconds per step, without updating the parameters.
    ///
    /// # Errors
    /// As [`Run::train`].
    pub fn seconds_per_step(&mut self, pool: &Pool) -> Result<f64, RunError> {
        steps::measure(self, pool)
    }

    /// Sets the number of steps of a run that has not started, to fit a given time.
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

    /// Runs the remaining steps and writes the model.
    ///
    /// # Errors
    /// [`RunError::NotFinite`] if the training diverges; [`RunError::File`] or [`RunError::Tensor`] if the folder
    /// cannot be written. The last checkpoint remains valid.
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
