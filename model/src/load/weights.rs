//! Loads a decoder: each part requests its parameters by their sites.

use std::collections::HashMap;

use glassbox_tensor::ops;
use glassbox_tensor::{PackedMatrix, Pool, Team};

use super::container::Container;
use super::stored::{Stored, vocabulary_matrix};
use crate::attention::Attention;
use crate::block::{Block, Branch};
use crate::config::{Config, MlpKind, NormKind};
use crate::decoder::Decoder;
use crate::error::Error;
use crate::linear::Linear;
use crate::mlp::{Experts, GatedMlp, Mlp};
use crate::norm::Norm;
use crate::spec::{self, Parameter, Role, Site};
use crate::vocabulary::Vocabulary;

/// Loads and packs the parameters of a decoder.
pub(super) fn load(pool: &Pool, file: &Container, config: &Config) -> Result<Decoder, Error> {
    let stored = Stored::new(file, config);
    stored.check()?;
    let parameters = spec::parameters(config).into_iter();
    let parameters = parameters.map(|parameter| ((parameter.site, parameter.is_bias), parameter)).collect();
    pool.enter(|team| Loader { team, config, stored, parameters }.decoder())
}

struct Loader<'a> {
    team: &'a Team<'a>,
    config: &'a Config,
    stored: Stored<'a>,
    /// The parameters, by site and whether they are biases.
    parameters: HashMap<(Site, bool), Parameter>,
}

impl Loader<'_> {
    fn decoder(&self) -> Result<Decoder, Error> {
        Ok(Decoder {
            vocabulary: self.vocabulary()?,
            positions: self.maybe_matrix(Site::outside(Role::Positions))?,
            blocks: (0..self.config.n_layers).map(|layer| self.block(layer)).collect::<Result<_, _>>()?,
            final_norm: self.norm(Site::outside(Role::FinalNorm))?,
        })
    }

    fn vocabulary(&self) -> Result<Vocabulary, Error> {
        let unembedding = match self.stored.own_unembedding()? {
            Some(parameter) => Some(self.pack(&parameter)?),
            None => self.maybe_matrix(Site::outside(Role::Unembedding))?,
        };
        let embedding = self.pack(&vocabulary_matrix(self.config, Role::Embedding))?;
        Ok(Vocabulary { embedding, unembedding, scale: self.config.embedding_scale })
    }

    fn block(&self, layer: usize) -> Result<Block, Error> {
        let at = |role| Site::inside(role, layer);
        Ok(Block {
            attention: Branch {
                pre: self.maybe_norm(at(Role::AttentionNorm))?,
                layer: self.attention(layer)?,
                post: self.maybe_norm(at(Role::AttentionPostNorm))?,
            },
            mlp: Branch {
                pre: self.maybe_norm(at(Role::MlpNorm))?,
                layer: self.mlp(layer)?,
                post: self.maybe_norm(at(Role::MlpPostNorm))?,
            },
            residual: self.config.residual,
        })
    }

    fn attention(&self, layer: usize) -> Result<Attention, Error> {
        let config = self.config;
        let at = |role| Site::inside(role, layer);
        Ok(Attention {
            q: self.linear(at(Role::Q))?,
            k: self.linear(at(Role::K))?,
            v: self.linear(at(Role::V))?,
            q_norm: self.maybe_norm(at(Role::QNorm))?,
            k_norm: self.maybe_norm(at(Role::KNorm))?,
            out: self.linear(at(Role::AttentionOut))?,
            rope: config.rope_of_layer[layer],
            n_kv_heads: config.n_kv_heads,
            head_dim: config.head_dim,
            heads: ops::Attention {
                n_heads: config.n_heads,
                scale: config.score_scale(layer),
                window: config.windows[layer],
            },
        })
    }

    fn mlp(&self, layer: usize) -> Result<Mlp, Error> {
        let gated = |expert| -> Result<GatedMlp, Error> {
            let at = |role| Site { role, layer: Some(layer), expert };
            Ok(GatedMlp {
                gate: self.linear(at(Role::Gate))?,
                up: self.linear(at(Role::Up))?,
                activation: self.config.activation,
                down: self.linear(at(Role::Down))?,
            })
        };
        Ok(match self.config.mlp {
            MlpKind::Plain => Mlp::Plain {
                up: self.linear(Site::inside(Role::Up, layer))?,
                activation: self.config.activation,
                down: self.linear(Site::inside(Role::Down, layer))?,
            },
            MlpKind::Gated => Mlp::Gated(gated(None)?),
            MlpKind::Experts { count, top_k } => Mlp::Experts(Experts {
                router: self.linear(Site::inside(Role::Router, layer))?,
                experts: (0..count).map(|expert| gated(Some(expert))).collect::<Result<_, _>>()?,
                top_k,
            }),
        })
    }

    fn linear(&self, site: Site) -> Result<Linear, Error> {
        let weight = self.pack(&self.parameters[&(site, false)])?;
        let bias = self.parameters.get(&(site, true)).map(|bias| self.vector(bias)).transpose()?;
        Ok(Linear { site, weight, bias })
    }

    fn norm(&self, site: Site) -> Result<Norm, Error> {
        let epsilon = self.config.norm_epsilon;
        let weight = self.vector(&self.parameters[&(site, false)])?;
        Ok(match self.config.norm {
            NormKind::Rms => Norm::Rms { weight, epsilon },
            NormKind::Layer => {
                Norm::Layer { weight, bias: self.vector(&self.parameters[&(site, true)])?, epsilon }
            }
        })
    }

    fn maybe_norm(&self, site: Site) -> Result<Option<Norm>, Error> {
        self.parameters.contains_key(&(site, false)).then(|| self.norm(site)).transpose()
    }

    fn maybe_matrix(&self, site: Site) -> Result<Option<PackedMatrix>, Error> {
        self.parameters.get(&(site, false)).map(|parameter| self.pack(parameter)).transpose()
    }

    fn pack(&self, parameter: &Parameter) -> Result<PackedMatrix, Error> {
        let (tensor, rows) = self.stored.tensor(parameter)?;
        let count = parameter.shape[0];
        Ok(match rows.in_order() {
            Some(first) => PackedMatrix::pack(self.team, &tensor.narrow(0, first..first + count)?)?,
            None => PackedMatrix::pack_some_rows(self.team, &tensor, count, |i| rows.at(i))?,
        })
    }

    fn vector(&self, parameter: &Parameter) -> Result<Vec<f32>, Error> {
        self.stored.numbers(parameter)
    }
}
