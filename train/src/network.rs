//! A decoder that can be trained: its configuration, parameters and optional LoRA adapters.

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

/// A decoder with its parameters and optional LoRA adapters.
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

/// A GPT-2 configuration with these sizes; everything else is as in the original.
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
    /// A network with random initial parameters.
    ///
    /// # Errors
    /// [`Error::Contradiction`] or [`Error::Unsupported`] if the configuration is inconsistent, or a
    /// part of it has no backward pass.
    pub fn new(config: Config, seed: u64) -> Result<Network, Error> {
        let (plan, layout) = Plan::new(&config)?;
        let parameters = initial::parameters(&plan, Arc::new(layout), seed);
        Ok(Network::with(config, plan, parameters))
    }

    /// A network from named tensors `(name, shape, values)` in any order, as a checkpoint has them.
    ///
    /// # Errors
    /// As [`Network::new`], and those of [`Tensors::from_named`] if a tensor is missing, has another shape or is
    /// unknown.
    pub fn from_named(
        config: Config,
        named: impl IntoIterator<Item = (String, Vec<usize>, Vec<f32>)>,
    ) -> Result<Network, Error> {
        let (plan, layout) = Plan::new(&config)?;
        let parameters = Tensors::from_named(Arc::new(layout), named)?;
        Ok(Network::with(config, plan, parameters))
    }

    /// The layout of a network's tensors: names, shapes and order.
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

    /// Freezes the parameters and adds adapters to linear layers. The output does not change until the adapters are
    /// trained.
    ///
    /// # Errors
    /// [`Error::Setting`] or [`Error::Contradiction`] if the rank, the scale or the targets are invalid.
    pub fn add_adapters(&mut self, config: LoraConfig, seed: u64) -> Result<(), Error> {
        self.adapters = Some(Adapters::new(&self.plan, self.parameters.layout(), config, seed)?);
        Ok(())
    }

    /// Removes the adapters; the network is as before [`Network::add_adapters`].
    pub fn remove_adapters(&mut self) -> Option<Adapters> {
        self.adapters.take()
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

    /// The adapters, if any.
    pub fn adapters(&self) -> Option<&Adapters> {
        self.adapters.as_ref()
    }

    /// The trained tensors: those of the adapters if there are any, otherwise the parameters.
    pub fn trained(&self) -> &Parameters {
        self.adapters.as_ref().map_or(&self.parameters, |adapters| &adapters.tensors)
    }

    /// The trained tensors: those of the adapters if there are any, otherwise the parameters.
    pub fn trained_mut(&mut self) -> &mut Parameters {
        self.adapters.as_mut().map_or(&mut self.parameters, |adapters| &mut adapters.tensors)
    }

    /// Zero gradients, with the layout of the trained tensors.
    pub fn gradients(&self) -> Gradients {
        self.trained().zeros_like()
    }

    /// Gradient checkpointing: whether a block's activations are discarded after its forward pass and recomputed before
    /// its backward pass. It costs a third more computation and saves the activations of all blocks but one. Off by
    /// default. The results are bit-identical.
    pub fn set_recompute(&mut self, recompute: bool) {
        self.recompute = recompute;
    }

    /// Sets the dropout of [`Network::loss_and_gradients`]; `None` by default. Use another seed for each batch.
    pub fn set_dropout(&mut self, dropout: Option<Dropout>) {
        self.dropout = dropout;
    }

    pub(crate) fn dropout(&self) -> Option<Dropout> {
        self.dropout
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The rotary embedding of a layer's queries and keys, for as many positions as [`Network::extend_rotations`]
    /// computed.
    pub(crate) fn rotation(&self, layer: usize) -> Option<&Rotation> {
        self.rotations.get(self.config.rope_of_layer[layer]?)
    }

    /// Computes the angles of the first `tokens` positions.
    pub(crate) fn extend_rotations(&mut self, tokens: usize) {
        self.rotations.iter_mut().for_each(|rotation| rotation.extend_to(tokens));
    }

    /// The buffers of a pass. They are taken out during a pass and put back after it.
    pub(crate) fn workspace(&mut self) -> &mut Workspace {
        &mut self.workspace
    }

    pub(crate) fn recompute(&self) -> bool {
        self.recompute
    }
}
