//! Which tensors a network of a configuration consists of, and what each is for.
//!
//! The list of parameters is the model's own ([`spec`]); tensors are arranged as Hugging Face stores them, so that what is
//! trained is what is written to a file.

use std::collections::HashMap;

use glassbox_model::Config;
use glassbox_model::config::{MlpKind, Residual};
use glassbox_model::families;
use glassbox_model::spec::{self, Parameter, Role, Site, StoredTensor};

use crate::error::Error;
use crate::plain::linear::{Order, Shape};
use crate::tensors::Layout;

/// A network's parts, each naming its tensors by their index in the layout.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) embedding: usize,
    pub(crate) positions: Option<usize>,
    pub(crate) blocks: Vec<Block>,
    pub(crate) final_norm: Norm,
    /// `None` if it is the embedding.
    pub(crate) unembedding: Option<usize>,
}

#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) attention_norm: Norm,
    pub(crate) qkv: Qkv,
    /// Norms of each head's query and key.
    pub(crate) qk_norms: Option<[Norm; 2]>,
    pub(crate) attention_out: Linear,
    pub(crate) attention_post_norm: Option<Norm>,
    pub(crate) mlp_norm: Norm,
    /// Before the activation.
    pub(crate) mlp_in: Linear,
    /// What the activations are multiplied by, in a gated feed-forward layer.
    pub(crate) mlp_gated: Option<Linear>,
    pub(crate) mlp_out: Linear,
    pub(crate) mlp_post_norm: Option<Norm>,
    pub(crate) residual: Residual,
}

/// The projections to queries, keys and values: one tensor in GPT-2 and GPT-NeoX, three in Llama.
#[derive(Clone, Debug)]
pub(crate) struct Qkv {
    /// Their outputs stand side by side.
    pub(crate) linears: Vec<Linear>,
    /// For each column of queries, keys and values, the column of `linears`' outputs it is; `None` if they are in that order.
    pub(crate) order: Option<Vec<usize>>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Norm {
    pub(crate) weight: usize,
    /// With a bias it is a layer norm, without one an RMS norm.
    pub(crate) bias: Option<usize>,
    /// What is added to the stored weight.
    pub(crate) offset: f32,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Linear {
    pub(crate) shape: Shape,
    pub(crate) weight: usize,
    pub(crate) bias: Option<usize>,
}

impl Block {
    /// All linear layers, in the order they are used.
    pub(crate) fn linears(&self) -> impl Iterator<Item = &Linear> {
        let mlp = [Some(&self.mlp_in), self.mlp_gated.as_ref(), Some(&self.mlp_out)];
        self.qkv.linears.iter().chain([&self.attention_out]).chain(mlp.into_iter().flatten())
    }
}

impl Plan {
    /// What is added to the stored weights of norms.
    pub(crate) fn norm_offset(&self) -> f32 {
        self.final_norm.offset
    }

    /// The parts of a network of this configuration, and the layout of its tensors.
    pub(crate) fn new(config: &Config) -> Result<(Plan, Layout), Error> {
        if let Some(problem) = config.contradictions().into_iter().next() {
            return Err(Error::Contradiction { problem });
        }
        let family = config.family;
        if let MlpKind::Experts { .. } = config.mlp {
            return Err(Error::Unsupported { family, what: "a mixture of experts" });
        }
        let tensors = Tensors::new(config);
        let plan = Plan {
            embedding: tensors.weight(Site::outside(Role::Embedding)),
            positions: tensors.maybe(Site::outside(Role::Positions)),
            blocks: (0..config.n_layers).map(|layer| tensors.block(layer)).collect(),
            final_norm: tensors.norm(Site::outside(Role::FinalNorm)),
            unembedding: tensors.maybe(Site::outside(Role::Unembedding)),
        };
        Ok((plan, tensors.layout))
    }
}

/// The tensors of a network, by the parameters in them.
struct Tensors<'a> {
    config: &'a Config,
    layout: Layout,
    stored: Vec<StoredTensor>,
    /// Where each parameter is, by its site and by whether it is a bias: the tensor, and the part of it.
    places: HashMap<(Site, bool), (usize, usize)>,
}

impl Tensors<'_> {
    fn new(config: &Config) -> Tensors<'_> {
        let stored = spec::tensors(config, families::hf_names(config));
        let (mut layout, mut places) = (Layout::default(), HashMap::new());
        for (index, tensor) in stored.iter().enumerate() {
            layout.push(tensor.name.clone(), &tensor.shape, tensor.parts[0].0.kind());
            for (part, (parameter, _)) in tensor.parts.iter().enumerate() {
                places.insert((parameter.site, parameter.is_bias), (index, part));
            }
        }
        Tensors { config, layout, stored, places }
    }

    fn maybe(&self, site: Site) -> Option<usize> {
        self.places.get(&(site, false)).map(|(tensor, _)| *tensor)
    }

    /// The tensor with the weight at a site that every decoder has.
    fn weight(&self, site: Site) -> usize {
        self.places[&(site, false)].0
    }

    fn norm(&self, site: Site) -> Norm {
        let weight = self.weight(site);
        let offset = families::hf_names(self.config).offset(&self.stored[weight].parts[0].0);
        Norm { weight, bias: self.places.get(&(site, true)).map(|(tensor, _)| *tensor), offset }
    }

    fn maybe_norm(&self, site: Site) -> Option<Norm> {
        self.maybe(site).map(|_| self.norm(site))
    }

    fn linear(&self, site: Site) -> Linear {
        let weight = self.weight(site);
        let tensor = &self.stored[weight];
        let (rows, columns) = (tensor.shape[0], tensor.shape[1]);
        let shape = if tensor.transposed {
            Shape { inputs: rows, outputs: columns, order: Order::InputsOutputs }
        } else {
            Shape { inputs: columns, outputs: rows, order: Order::OutputsInputs }
        };
        Linear { shape, weight, bias: self.places.get(&(site, true)).map(|(tensor, _)| *tensor) }
    }

    fn block(&self, layer: usize) -> Block {
        let at = |role| Site::inside(role, layer);
        let gated = self.config.mlp == MlpKind::Gated;
        let norms = [Role::QNorm, Role::KNorm].map(|role| self.maybe_norm(at(role)));
        Block {
            attention_norm: self.norm(at(Role::AttentionNorm)),
            qkv: self.qkv(layer),
            qk_norms: if let [Some(q), Some(k)] = norms { Some([q, k]) } else { None },
            attention_out: self.linear(at(Role::AttentionOut)),
            attention_post_norm: self.maybe_norm(at(Role::AttentionPostNorm)),
            mlp_norm: self.norm(at(Role::MlpNorm)),
            mlp_in: self.linear(at(if gated { Role::Gate } else { Role::Up })),
            mlp_gated: gated.then(|| self.linear(at(Role::Up))),
            mlp_out: self.linear(at(Role::Down)),
            mlp_post_norm: self.maybe_norm(at(Role::MlpPostNorm)),
            residual: self.config.residual,
        }
    }

    fn qkv(&self, layer: usize) -> Qkv {
        let (mut linears, mut order): (Vec<Linear>, Vec<usize>) = (Vec::new(), Vec::new());
        let mut first_columns = HashMap::new();
        let mut columns = 0;
        for role in [Role::Q, Role::K, Role::V] {
            let site = Site::inside(role, layer);
            let (index, part) = self.places[&(site, false)];
            let first = *first_columns.entry(index).or_insert_with(|| {
                let linear = self.linear(site);
                linears.push(linear);
                columns += linear.shape.outputs;
                columns - linear.shape.outputs
            });
            let (Parameter { shape, .. }, rows) = &self.stored[index].parts[part];
            order.extend((0..shape[0]).map(|i| first + rows.at(i)));
        }
        let in_order = order.iter().enumerate().all(|(column, &source)| column == source);
        Qkv { linears, order: (!in_order).then_some(order) }
    }
}
