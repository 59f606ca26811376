//! The training plan: the tensors of a network, and the parts that they belong to.
//!
//! The list of parameters is the model crate's ([`spec`](glassbox_model::spec)). Tensors are arranged as Hugging Face
//! stores them, so that they are written to files as they are.

use std::collections::HashMap;

use glassbox_model::Config;
use glassbox_model::config::{MlpKind, Residual};
use glassbox_model::families;
use glassbox_model::names::{self, StoredTensor};
use glassbox_model::spec::{Parameter, Role, Site};

use crate::error::Error;
use crate::plain::linear::{LinearShape, WeightOrder};
use crate::tensors::Layout;

/// A network's parts; each refers to its tensors by their index in the layout.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) embedding: usize,
    pub(crate) positions: Option<usize>,
    pub(crate) blocks: Vec<BlockPlan>,
    pub(crate) final_norm: NormPlan,
    /// `None` if tied to the embedding.
    pub(crate) unembedding: Option<usize>,
}

#[derive(Clone, Debug)]
pub(crate) struct BlockPlan {
    pub(crate) attention_norm: NormPlan,
    pub(crate) qkv: QkvPlan,
    /// Norms of each head's query and key.
    pub(crate) qk_norms: Option<[NormPlan; 2]>,
    pub(crate) attention_out: LinearPlan,
    pub(crate) attention_post_norm: Option<NormPlan>,
    pub(crate) mlp_norm: NormPlan,
    /// Before the activation.
    pub(crate) mlp_in: LinearPlan,
    /// The factor of the activations in a gated MLP.
    pub(crate) mlp_gated: Option<LinearPlan>,
    pub(crate) mlp_out: LinearPlan,
    pub(crate) mlp_post_norm: Option<NormPlan>,
    pub(crate) residual: Residual,
}

/// The projections to queries, keys and values: one tensor in GPT-2 and GPT-NeoX, three in Llama.
#[derive(Clone, Debug)]
pub(crate) struct QkvPlan {
    /// Their outputs are concatenated.
    pub(crate) linears: Vec<LinearPlan>,
    /// For each column of queries, keys and values, its column in the outputs of `linears`; `None` if the order is the
    /// same.
    pub(crate) order: Option<Vec<usize>>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct NormPlan {
    pub(crate) weight: usize,
    /// With a bias it is a layer norm, without one an RMS norm.
    pub(crate) bias: Option<usize>,
    /// Added to the stored weight.
    pub(crate) offset: f32,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct LinearPlan {
    pub(crate) shape: LinearShape,
    pub(crate) weight: usize,
    pub(crate) bias: Option<usize>,
}

impl BlockPlan {
    /// All linear layers, in order of use.
    pub(crate) fn linears(&self) -> impl Iterator<Item = &LinearPlan> {
        let mlp = [Some(&self.mlp_in), self.mlp_gated.as_ref(), Some(&self.mlp_out)];
        self.qkv.linears.iter().chain([&self.attention_out]).chain(mlp.into_iter().flatten())
    }
}

impl Plan {
    /// The number that is added to the stored weights of norms.
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
        let tensors = StoredTensors::new(config);
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

/// The tensors of a network, indexed by the parameters in them.
struct StoredTensors<'a> {
    config: &'a Config,
    layout: Layout,
    stored: Vec<StoredTensor>,
    /// The tensor of each parameter and its part of it, by the parameter's site and whether it is a bias.
    places: HashMap<(Site, bool), (usize, usize)>,
}

impl StoredTensors<'_> {
    fn new(config: &Config) -> StoredTensors<'_> {
        let stored = names::tensors(config, families::hf_names(config));
        let (mut layout, mut places) = (Layout::default(), HashMap::new());
        for (index, tensor) in stored.iter().enumerate() {
            layout.push(tensor.name.clone(), &tensor.shape, tensor.parts[0].0.kind());
            for (part, (parameter, _)) in tensor.parts.iter().enumerate() {
                places.insert((parameter.site, parameter.is_bias), (index, part));
            }
        }
        StoredTensors { config, layout, stored, places }
    }

    fn maybe(&self, site: Site) -> Option<usize> {
        self.places.get(&(site, false)).map(|(tensor, _)| *tensor)
    }

    /// The tensor of the weight at a site that every decoder has.
    fn weight(&self, site: Site) -> usize {
        self.places[&(site, false)].0
    }

    fn norm(&self, site: Site) -> NormPlan {
        let weight = self.weight(site);
        let offset = families::hf_names(self.config).offset(&self.stored[weight].parts[0].0);
        NormPlan { weight, bias: self.places.get(&(site, true)).map(|(tensor, _)| *tensor), offset }
    }

    fn maybe_norm(&self, site: Site) -> Option<NormPlan> {
        self.maybe(site).map(|_| self.norm(site))
    }

    fn linear(&self, site: Site) -> LinearPlan {
        let weight = self.weight(site);
        let tensor = &self.stored[weight];
        let (rows, columns) = (tensor.shape[0], tensor.shape[1]);
        let shape = if tensor.transposed {
            LinearShape { inputs: rows, outputs: columns, order: WeightOrder::InputsOutputs }
        } else {
            LinearShape { inputs: columns, outputs: rows, order: WeightOrder::OutputsInputs }
        };
        LinearPlan { shape, weight, bias: self.places.get(&(site, true)).map(|(tensor, _)| *tensor) }
    }

    fn block(&self, layer: usize) -> BlockPlan {
        let at = |role| Site::inside(role, layer);
        let gated = self.config.mlp == MlpKind::Gated;
        let norms = [Role::QNorm, Role::KNorm].map(|role| self.maybe_norm(at(role)));
        BlockPlan {
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

    fn qkv(&self, layer: usize) -> QkvPlan {
        let (mut linears, mut order): (Vec<LinearPlan>, Vec<usize>) = (Vec::new(), Vec::new());
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
        QkvPlan { linears, order: (!in_order).then_some(order) }
    }
}
