//! Fine-tuning: trains an existing model on more text or on chats.
//!
//! It trains all parameters, or only [LoRA adapters](crate::Adapters) beside the linear layers, which need about a
//! hundredth of the optimiser's memory and of the disk space. The data is plain text, or chats; in chats only the
//! assistant's messages count in the loss.

mod adapter_files;
mod chats;
mod layout;
mod merge;
mod records;
mod sequences;

use std::path::{Path, PathBuf};

use glassbox_model::Checkpoint;
use glassbox_tensor::Pool;
use glassbox_tokenizer::Tokenizer;
use serde::Serialize;

use crate::data::permute;
use crate::export::{self, Description};
use crate::plain::dropout::Dropout;
use crate::run::{Losses, Monitor, Outcome, Row, draw_losses};
use crate::run_error::RunError;
use crate::{AdamW, AdamWConfig, LoraConfig, Network, Schedule, Tensors, clip_by_global_norm};

pub use layout::Layout;
pub use merge::merge;
pub use sequences::{TrainingData, TrainingSequence, read_sequences};

/// The settings of a fine-tuning.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Settings {
    /// The adapters; `None` trains all parameters.
    pub lora: Option<LoraSettings>,
    /// Number of steps.
    pub steps: u64,
    /// Sequences per step.
    pub batch: usize,
    /// Sequences computed at a time.
    pub micro_batch: usize,
    /// Maximum sequence length in tokens; longer ones are truncated.
    pub context: usize,
    /// The learning rate after the warm-up.
    pub learning_rate: f64,
    /// Steps of linear warm-up; afterwards the rate decays to zero.
    pub warm_up: u64,
    /// AdamW's weight decay of matrices.
    pub weight_decay: f64,
    /// Maximum global norm of the gradient; 0 disables clipping.
    pub clip: f64,
    /// Dropout probability.
    pub dropout: f64,
    /// Random seed.
    pub seed: u64,
}

/// The settings of the adapters.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LoraSettings {
    /// The inner dimension of `B · A`.
    pub rank: usize,
    /// The product is scaled by `alpha / rank`.
    pub alpha: f64,
    /// The layers that get an adapter, by the last component of their names; empty: all linear layers.
    pub targets: Vec<String>,
}

/// A fine-tuning, ready to train.
pub struct FineTuning {
    folder: PathBuf,
    base: PathBuf,
    settings: Settings,
    network: Network,
    tokenizer: Tokenizer,
    chat_template: Option<String>,
    eos_ids: Vec<u32>,
    data: TrainingData,
}

/// The mean loss of the data before and after, in nats per token in the loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FineTuned {
    /// Before fine-tuning.
    pub before: f64,
    /// After fine-tuning.
    pub after: f64,
    /// Whether all steps were done.
    pub outcome: Outcome,
}

impl FineTuning {
    /// Reads the checkpoint's parameters, in any number format, and the sequences of `data`.
    ///
    /// # Errors
    /// [`RunError`] if either cannot be read, or a part of the model has no backward pass.
    pub fn new(
        folder: &Path,
        checkpoint: &Checkpoint,
        data: &Path,
        settings: Settings,
    ) -> Result<FineTuning, RunError> {
        let folder = folder.to_path_buf();
        if folder.join(LOSSES).exists() {
            return Err(RunError::Taken { path: folder });
        }
        check_trainable(checkpoint, &settings)?;
        let tokenizer = checkpoint.tokenizer()?.ok_or_else(|| RunError::Broken {
            path: checkpoint.path().into(),
            problem: "the checkpoint has no tokenizer, which is needed to encode text".into(),
        })?;
        let template = checkpoint.chat_template()?;
        let context = settings.context.min(checkpoint.config().context_length);
        let data = read_sequences(data, template.as_ref(), &tokenizer, context)?;
        let mut network = network(checkpoint)?;
        if let Some(LoraSettings { rank, alpha, targets }) = settings.lora.clone() {
            network
                .add_adapters(LoraConfig { rank, alpha, targets }, settings.seed)
                .map_err(RunError::Train)?;
        } else if !export::can_export(checkpoint.config()) {
            return Err(RunError::Broken {
                path: checkpoint.path().into(),
                problem: "config.json cannot express a fine-tuned copy of it; train adapters instead".into(),
            });
        }
        let chat_template = template.map(|template| template.original().to_owned());
        let eos_ids = checkpoint.generation().eos_ids.clone();
        let base = checkpoint.path().to_path_buf();
        Ok(FineTuning { folder, base, settings, network, tokenizer, chat_template, eos_ids, data })
    }

    /// Sets the number of steps; a tenth of them is warm-up.
    pub fn set_steps(&mut self, steps: u64) {
        self.settings.steps = steps;
        self.settings.warm_up = steps / 10;
    }

    /// The sequences that have at least one token in the loss.
    pub fn sequences(&self) -> &[TrainingSequence] {
        &self.data.sequences
    }

    /// The sequences, and what was found in the data.
    pub fn data(&self) -> &TrainingData {
        &self.data
    }

    /// The model.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Enables gradient checkpointing ([`Network::set_recompute`]).
    pub fn set_recompute(&mut self, recompute: bool) {
        self.network.set_recompute(recompute);
    }

    /// Runs all steps and writes the adapters or the model. If the monitor stops it early, the current state is
    /// written.
    ///
    /// # Errors
    /// [`RunError::NotFinite`] if the training diverges, [`RunError::File`] if the folder cannot be written.
    pub fn train(&mut self, pool: &Pool, monitor: &mut dyn Monitor) -> Result<FineTuned, RunError> {
        let Settings { steps, batch, learning_rate, warm_up, weight_decay, clip, seed, .. } =
            self.settings.clone();
        std::fs::create_dir_all(&self.folder)
            .map_err(|source| RunError::File { path: self.folder.clone(), source })?;
        let path = self.folder.join(LOSSES);
        let mut losses =
            Losses::open(&path, 0).map_err(|source| RunError::File { path: path.clone(), source })?;
        let before = self.mean_loss(pool)?;
        let schedule = Schedule { peak: learning_rate, end: 0.0, warm_up, steps };
        let adamw = AdamWConfig { weight_decay, ..AdamWConfig::default() };
        let mut optimizer = AdamW::new(adamw, self.network.trained());
        let mut gradients = self.network.gradients();
        let (mut tokens, mut outcome) = (0, Outcome::Done);
        for step in 0..steps {
            if monitor.wants_to_stop() {
                outcome = Outcome::Stopped;
                break;
            }
            let start = std::time::Instant::now();
            let chosen: Vec<usize> =
                (0..batch as u64).map(|i| self.sequence(seed, step * batch as u64 + i)).collect();
            gradients.zero();
            let (train_loss, read) = self.gradient(pool, &chosen, step, &mut gradients)?;
            let limit = if clip > 0.0 { clip } else { f64::INFINITY };
            let gradient_norm = clip_by_global_norm(pool, &mut gradients, limit);
            if !gradient_norm.is_finite() {
                return Err(self.diverged(step, "the gradient"));
            }
            let rate = schedule.rate(step);
            optimizer.step(pool, self.network.trained_mut(), &gradients, rate);
            tokens += read;
            let row = Row {
                step: step + 1,
                tokens,
                learning_rate: rate,
                train_loss,
                validation_loss: None,
                gradient_norm,
                tokens_per_second: read as f64 / start.elapsed().as_secs_f64(),
            };
            monitor.step(&row);
            losses.push(row).map_err(|source| RunError::File { path: path.clone(), source })?;
        }
        let after = self.mean_loss(pool)?;
        self.write()?;
        draw_losses(&self.folder, &losses.rows)?;
        Ok(FineTuned { before, after, outcome })
    }

    /// The index of sequence number `n` of the training: each epoch visits every sequence once, in a new order.
    fn sequence(&self, seed: u64, n: u64) -> usize {
        let len = self.data.sequences.len() as u64;
        permute(n % len, len, seed ^ (n / len).wrapping_mul(0x9e37_79b9_7f4a_7c15)) as usize
    }

    /// Adds the gradient of the chosen sequences; returns their mean loss and the number of tokens read.
    fn gradient(
        &mut self,
        pool: &Pool,
        chosen: &[usize],
        step: u64,
        gradients: &mut Tensors,
    ) -> Result<(f64, u64), RunError> {
        let batches: Vec<_> = chosen
            .chunks(self.settings.micro_batch.max(1))
            .map(|chosen| {
                sequences::batch(&chosen.iter().map(|&i| &self.data.sequences[i]).collect::<Vec<_>>())
            })
            .collect();
        let total: f64 = batches.iter().map(crate::Batch::total_weight).sum();
        let (mut sum, mut read) = (0.0, 0);
        for (i, batch) in batches.iter().enumerate() {
            let first = step * chosen.len() as u64 + (i * self.settings.micro_batch.max(1)) as u64;
            self.network.set_dropout(Dropout::of(self.settings.dropout, self.settings.seed, first));
            match self.network.loss_and_gradients(pool, batch, total, gradients) {
                Ok(loss) => sum += loss.sum,
                Err(crate::Error::NotANumber { .. }) => return Err(self.diverged(step, "the loss")),
                Err(source) => return Err(RunError::Train(source)),
            }
            read += (batch.sequences * batch.tokens) as u64;
        }
        Ok((sum / total, read))
    }

    /// The mean loss of all sequences, or of 64 spread evenly over them.
    fn mean_loss(&mut self, pool: &Pool) -> Result<f64, RunError> {
        let count = self.data.sequences.len().min(64);
        let chosen: Vec<&TrainingSequence> =
            (0..count).map(|i| &self.data.sequences[i * self.data.sequences.len() / count]).collect();
        let (mut sum, mut weight) = (0.0, 0.0);
        for chosen in chosen.chunks(self.settings.micro_batch.max(1)) {
            let loss = self.network.loss(pool, &sequences::batch(chosen)).map_err(RunError::Train)?;
            (sum, weight) = (sum + loss.sum, weight + loss.weight);
        }
        Ok(sum / weight)
    }

    fn diverged(&self, step: u64, what: &str) -> RunError {
        RunError::NotFinite {
            step: step + 1,
            what: what.to_owned(),
            checkpoint: None,
            path: self.folder.clone(),
        }
    }

    fn write(&self) -> Result<(), RunError> {
        if let Some(settings) = &self.settings.lora {
            return adapter_files::write(&self.folder, &self.base, &self.network, settings);
        }
        let chat_template = self.chat_template.as_deref();
        let description =
            Description { tokenizer: Some(&self.tokenizer), chat_template, eos_ids: &self.eos_ids };
        let parameters = self.network.parameters().named("")?;
        export::write_directory(&self.folder, self.network.config(), parameters, &description)
    }
}

const LOSSES: &str = "loss.csv";

/// Refuses a model with a part that has no backward pass, before anything is loaded.
fn check_trainable(checkpoint: &Checkpoint, settings: &Settings) -> Result<(), RunError> {
    let config = checkpoint.config();
    Network::layout_of(config).map_err(RunError::Train)?;
    let context = settings.context.min(config.context_length);
    match config.windows.iter().flatten().min() {
        Some(&window) if window < context => Err(RunError::Broken {
            path: checkpoint.path().into(),
            problem: format!(
                "a sliding window of {window} tokens has no backward pass for sequences of {context}: \
                 use a context of at most {window}"
            ),
        }),
        _ => Ok(()),
    }
}

/// A network with a checkpoint's parameters.
fn network(checkpoint: &Checkpoint) -> Result<Network, RunError> {
    let config = checkpoint.config().clone();
    Network::from_named(config, checkpoint.parameters()?).map_err(RunError::Train)
}
