//! A decoder that can be trained: its parameters, and its adapters if it is fine-tuned that way.

use std::sync::Arc;

use glassbox_model::config::Sizes;
use glassbox_model::{Config, families};
use glassbox_tensor::ops::Rotation;

use crate::adapters::{Adapters, LoraConfig};
use crate::error::Error;
use crate::initial;
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
    rotations: Vec<Rotation>,
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
    let (n_kv_heads, head_dim, d_ff) = (n_heads, d_model / n_heads.max(1), 4 * d_model);
    let sizes = Sizes { vocab_size, context_length, d_model, n_layers, n_heads, n_kv_heads, head_dim, d_ff };
    families::new_config("gpt2", sizes).expect("a GPT-2 can be trained from scratch")
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
        let rotations = config.ropes.iter().map(|rope| rope.rotation()).collect();
        Network {
            config,
            plan,
            parameters,
            adapters: None,
            rotations,
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

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The angles that turn layer `layer`'s queries and keys, as far as a batch of `tokens` tokens has needed them.
    pub(crate) fn rotation(&self, layer: usize) -> Option<&Rotation> {
        self.rotations.get(self.config.rope_of_layer[layer]?)
    }

    /// Computes the angles of the first `tokens` positions.
    pub(crate) fn extend_rotations(&mut self, tokens: usize) {
        self.rotations.iter_mut().for_each(|rotation| rotation.extend_to(tokens));
    }

    /// The buffers of a pass, taken until they are put back.
    pub(crate) fn workspace(&mut self) -> &mut Workspace {
        &mut self.workspace
    }

    pub(crate) fn recompute(&self) -> bool {
        self.recompute
    }
}
