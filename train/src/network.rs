//! A GPT-2 or Llama that can be trained.

use std::sync::Arc;

use glassbox_model::{Config, Family};
use glassbox_tensor::Pool;
use glassbox_tensor::ops::{Activation, Rotation};

use crate::adapters::{Adapters, LoraConfig};
use crate::batch::{Batch, Loss};
use crate::error::Error;
use crate::initial;
use crate::pass::Pass;
use crate::plain::dropout::Dropout;
use crate::plan::Plan;
use crate::tensors::{Gradients, Layout, Parameters, Tensors};
use crate::workspace::Workspace;

/// A transformer with its parameters, and with adapters if it is fine-tuned that way.
#[derive(Debug)]
pub struct Network {
    config: Config,
    plan: Plan,
    parameters: Parameters,
    adapters: Option<Adapters>,
    rotation: Option<Rotation>,
    recompute: bool,
    dropout: Option<Dropout>,
    workspace: Workspace,
}

/// A GPT-2 of `vocab_size` tokens, `context_length` positions, `d_model` components, `n_heads` heads and
/// `n_layers` blocks; all else as in the original.
pub fn gpt2_config(
    vocab_size: usize,
    context_length: usize,
    d_model: usize,
    n_heads: usize,
    n_layers: usize,
) -> Config {
    Config {
        family: Family::Gpt2,
        vocab_size,
        context_length,
        d_model,
        n_layers,
        n_heads,
        n_kv_heads: n_heads,
        head_dim: d_model / n_heads.max(1),
        d_ff: 4 * d_model,
        norm_epsilon: 1e-5,
        activation: Activation::GeluTanh,
        tied: true,
        scale_scores: true,
        scale_scores_by_layer: false,
        qkv_bias: true,
        attention_out_bias: true,
        mlp_bias: true,
        qk_norm: false,
        windows: vec![None; n_layers],
        rope: None,
    }
}

impl Network {
    /// A network that has learnt nothing yet.
    ///
    /// # Errors
    /// [`Error::Contradiction`] or [`Error::Unsupported`] if there can be no such network here.
    pub fn new(config: Config, seed: u64) -> Result<Network, Error> {
        let (plan, layout) = Plan::new(&config)?;
        let parameters = initial::parameters(&plan, Arc::new(layout), seed);
        Ok(Network::with(config, plan, parameters))
    }

    /// A network from named tensors `(name, shape, values)` in any order, as a checkpoint has them.
    ///
    /// # Errors
    /// As [`Network::new`], and [`Tensors::from_named`]'s if a tensor is missing, misshapen or unknown.
    pub fn from_named(
        config: Config,
        named: impl IntoIterator<Item = (String, Vec<usize>, Vec<f32>)>,
    ) -> Result<Network, Error> {
        let (plan, layout) = Plan::new(&config)?;
        let parameters = Tensors::from_named(Arc::new(layout), named)?;
        Ok(Network::with(config, plan, parameters))
    }

    /// The names, shapes and order of the tensors that a network of this configuration has.
    ///
    /// # Errors
    /// As [`Network::new`].
    pub fn layout_of(config: &Config) -> Result<Layout, Error> {
        Ok(Plan::new(config)?.1)
    }

    fn with(config: Config, plan: Plan, parameters: Parameters) -> Network {
        let rotation = config.rope.as_ref().map(|rope| {
            let mut rotation = rope.rotation(config.head_dim);
            rotation.extend_to(config.context_length);
            rotation
        });
        Network {
            config,
            plan,
            parameters,
            adapters: None,
            rotation,
            recompute: false,
            dropout: None,
            workspace: Workspace::default(),
        }
    }

    /// Freezes the parameters and puts an adapter beside linear layers. The network computes the same as
    /// before until the adapters have been trained.
    ///
    /// # Errors
    /// [`Error::Setting`] or [`Error::Contradiction`] if there can be no such adapters.
    pub fn add_adapters(&mut self, config: LoraConfig, seed: u64) -> Result<(), Error> {
        self.adapters = Some(Adapters::new(&self.plan, self.parameters.layout(), config, seed)?);
        Ok(())
    }

    /// Takes the adapters off, so that the network is what it was before them.
    pub fn remove_adapters(&mut self) -> Option<Adapters> {
        self.adapters.take()
    }

    /// Adds what the adapters do to the parameters, `W ← W + scale · B · A`, and takes the adapters off.
    pub fn merge_adapters(&mut self) {
        let Some(adapters) = self.adapters.take() else { return };
        adapters.merge_into(&self.plan, &mut self.parameters);
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The network's own parameters, without adapters.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The network's own parameters, without adapters.
    pub fn parameters_mut(&mut self) -> &mut Parameters {
        &mut self.parameters
    }

    /// The adapters, if there are any.
    pub fn adapters(&self) -> Option<&Adapters> {
        self.adapters.as_ref()
    }

    /// What is trained: the adapters' tensors if there are any, else the parameters.
    pub fn trained(&self) -> &Parameters {
        self.adapters.as_ref().map_or(&self.parameters, |adapters| &adapters.tensors)
    }

    /// What is trained: the adapters' tensors if there are any, else the parameters.
    pub fn trained_mut(&mut self) -> &mut Parameters {
        self.adapters.as_mut().map_or(&mut self.parameters, |adapters| &mut adapters.tensors)
    }

    /// Zeros of the shape of what is trained.
    pub fn gradients(&self) -> Gradients {
        self.trained().zeros_like()
    }

    /// How well the network predicts a batch, without dropout.
    ///
    /// # Errors
    /// [`Error::BatchLength`], [`Error::TooLong`] or [`Error::UnknownToken`] if the batch does not fit,
    /// [`Error::NotANumber`] if a loss is infinite or NaN.
    pub fn loss(&mut self, pool: &Pool, batch: &Batch) -> Result<Loss, Error> {
        batch.check(&self.config)?;
        let losses = self.pass(pool, batch, |pass, work| Pass { dropout: None, ..pass }.forward(work));
        Loss::of(batch, losses)
    }

    /// The loss of a batch, and *added* to `gradients` the gradient of `Σ weight · loss / total_weight`.
    ///
    /// `total_weight` is [`Batch::total_weight`]; of a step made of several batches, the sum of theirs.
    ///
    /// # Errors
    /// As [`Network::loss`]; then the gradients are unusable.
    ///
    /// # Panics
    /// If `gradients` are not of what is trained (see [`Network::gradients`]).
    pub fn loss_and_gradients(
        &mut self,
        pool: &Pool,
        batch: &Batch,
        total_weight: f64,
        gradients: &mut Gradients,
    ) -> Result<Loss, Error> {
        batch.check(&self.config)?;
        assert_eq!(gradients.layout(), self.trained().layout(), "gradients of what is trained");
        let losses =
            self.pass(pool, batch, |pass, work| pass.forward_and_backward(work, total_weight, gradients));
        Loss::of(batch, losses)
    }

    /// Whether a block's activations are thrown away after its forward pass and computed again in front of its
    /// backward pass: a third more work, and the memory of one block instead of all. Off at first. The
    /// result has the same bits.
    pub fn set_recompute(&mut self, recompute: bool) {
        self.recompute = recompute;
    }

    /// What [`Network::loss_and_gradients`] leaves out. `None` at first; a training gives another seed for each
    /// batch.
    pub fn set_dropout(&mut self, dropout: Option<Dropout>) {
        self.dropout = dropout;
    }

    pub(crate) fn dropout(&self) -> Option<Dropout> {
        self.dropout
    }

    fn pass(
        &mut self,
        pool: &Pool,
        batch: &Batch,
        run: impl FnOnce(Pass<'_>, &mut Workspace) -> Vec<f32> + Send,
    ) -> Vec<f32> {
        let mut work = std::mem::take(&mut self.workspace);
        let network = &*self;
        let (recompute, dropout) = (network.recompute, network.dropout);
        let losses = pool.enter(|team| run(Pass { network, team, batch, recompute, dropout }, &mut work));
        self.workspace = work;
        losses
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(crate) fn rotation(&self) -> Option<&Rotation> {
        self.rotation.as_ref()
    }
}
