//! The one list of a decoder's parameters: [`parameters`] gives the role and shape of each for a [`Config`].
//!
//! The loader, `inspect`, the quantiser, LoRA, the cost of a pass and the training plan all walk this list, so each
//! parameter is described once. How files store them is in [`names`](crate::names).

use crate::config::{Config, MlpKind, NormKind, NormPlacement};

/// The role of a parameter in the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// The embedding, `[vocab_size, d_model]`.
    Embedding,
    /// The position embedding, `[context_length, d_model]`.
    Positions,
    /// The norm before attention, `[d_model]`.
    AttentionNorm,
    /// The projection to queries, `[n_heads · head_dim, d_model]`.
    Q,
    /// The projection to keys, `[n_kv_heads · head_dim, d_model]`.
    K,
    /// The projection to values, `[n_kv_heads · head_dim, d_model]`.
    V,
    /// The norm of each head's query, `[head_dim]`.
    QNorm,
    /// The norm of each head's key, `[head_dim]`.
    KNorm,
    /// The output projection of attention, `[d_model, n_heads · head_dim]`.
    AttentionOut,
    /// The norm after attention, `[d_model]`.
    AttentionPostNorm,
    /// The norm before the MLP, `[d_model]`.
    MlpNorm,
    /// The router of a mixture of experts, `[experts, d_model]`.
    Router,
    /// The gate of a gated MLP, `[d_ff, d_model]`.
    Gate,
    /// From the residual stream to the hidden vector, `[d_ff, d_model]`.
    Up,
    /// From the hidden vector to the residual stream, `[d_model, d_ff]`.
    Down,
    /// The norm after the MLP, `[d_model]`.
    MlpPostNorm,
    /// The norm before the unembedding, `[d_model]`.
    FinalNorm,
    /// The unembedding, `[vocab_size, d_model]`; only if it is not tied.
    Unembedding,
}

/// The kind of a parameter, which decides its initial values, weight decay and storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParameterKind {
    /// An embedding or unembedding.
    Embedding,
    /// A linear layer's matrix.
    Weight,
    /// A linear layer's bias.
    Bias,
    /// The weight or bias of a norm.
    Norm,
}

impl Role {
    /// The kind of this role's weight.
    fn kind(self) -> ParameterKind {
        match self {
            Role::Embedding | Role::Positions | Role::Unembedding => ParameterKind::Embedding,
            Role::AttentionNorm | Role::QNorm | Role::KNorm | Role::AttentionPostNorm => ParameterKind::Norm,
            Role::MlpNorm | Role::MlpPostNorm | Role::FinalNorm => ParameterKind::Norm,
            Role::Q | Role::K | Role::V | Role::AttentionOut => ParameterKind::Weight,
            Role::Router | Role::Gate | Role::Up | Role::Down => ParameterKind::Weight,
        }
    }

    /// Whether this is the matrix of a linear layer inside the blocks.
    pub fn is_linear(self) -> bool {
        self.kind() == ParameterKind::Weight
    }

    /// Whether this linear layer adds to the residual stream.
    pub fn adds_to_residual(self) -> bool {
        matches!(self, Role::AttentionOut | Role::Down)
    }
}

/// The site of a parameter in the model: role, block and expert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Site {
    /// Its role.
    pub role: Role,
    /// Its block, counted from 0; `None` outside the blocks.
    pub layer: Option<usize>,
    /// Its expert, counted from 0; `None` without experts.
    pub expert: Option<usize>,
}

impl Site {
    /// A parameter outside the blocks.
    pub fn outside(role: Role) -> Site {
        Site { role, layer: None, expert: None }
    }

    /// A parameter of block `layer`.
    pub fn inside(role: Role, layer: usize) -> Site {
        Site { role, layer: Some(layer), expert: None }
    }
}

impl From<Role> for Site {
    fn from(role: Role) -> Site {
        Site::outside(role)
    }
}

impl From<(Role, usize)> for Site {
    fn from((role, layer): (Role, usize)) -> Site {
        Site::inside(role, layer)
    }
}

/// A parameter of a decoder.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Parameter {
    /// Its site.
    pub site: Site,
    /// Whether it is the bias of its layer or norm, rather than the weight.
    pub is_bias: bool,
    /// `[rows, columns]` of a matrix, `[len]` of a vector.
    pub shape: Vec<usize>,
}

impl Parameter {
    /// Its kind.
    pub fn kind(&self) -> ParameterKind {
        match self.site.role.kind() {
            ParameterKind::Weight if self.is_bias => ParameterKind::Bias,
            kind => kind,
        }
    }

    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

/// Every parameter of a decoder, in the order of the forward pass.
pub fn parameters(config: &Config) -> Vec<Parameter> {
    let (d, vocab_size) = (config.d_model, config.vocab_size);
    let mut list = Parameters { config, list: Vec::new() };
    list.matrix(Site::outside(Role::Embedding), [vocab_size, d], false);
    if config.learned_positions {
        list.matrix(Site::outside(Role::Positions), [config.context_length, d], false);
    }
    for layer in 0..config.n_layers {
        list.block(layer);
    }
    list.norm(Site::outside(Role::FinalNorm), d);
    if !config.tied {
        list.matrix(Site::outside(Role::Unembedding), [vocab_size, d], false);
    }
    list.list
}

struct Parameters<'a> {
    config: &'a Config,
    list: Vec<Parameter>,
}

impl Parameters<'_> {
    fn block(&mut self, layer: usize) {
        let config = self.config;
        let (d, ff, head_dim) = (config.d_model, config.d_ff, config.head_dim);
        let (queries, keys) = (config.n_heads * head_dim, config.n_kv_heads * head_dim);
        let at = |role| Site::inside(role, layer);
        let around = config.norm_placement == NormPlacement::Around;

        self.norm(at(Role::AttentionNorm), d);
        self.matrix(at(Role::Q), [queries, d], config.qkv_bias);
        self.matrix(at(Role::K), [keys, d], config.qkv_bias);
        self.matrix(at(Role::V), [keys, d], config.qkv_bias);
        if config.qk_norm {
            self.norm(at(Role::QNorm), head_dim);
            self.norm(at(Role::KNorm), head_dim);
        }
        self.matrix(at(Role::AttentionOut), [d, queries], config.attention_out_bias);
        if around {
            self.norm(at(Role::AttentionPostNorm), d);
        }
        self.norm(at(Role::MlpNorm), d);
        let experts = match config.mlp {
            MlpKind::Experts { count, .. } => {
                self.matrix(at(Role::Router), [count, d], false);
                (0..count).map(Some).collect()
            }
            MlpKind::Plain | MlpKind::Gated => vec![None],
        };
        for expert in experts {
            let at = |role| Site { role, layer: Some(layer), expert };
            if config.mlp != MlpKind::Plain {
                self.matrix(at(Role::Gate), [ff, d], config.mlp_bias);
            }
            self.matrix(at(Role::Up), [ff, d], config.mlp_bias);
            self.matrix(at(Role::Down), [d, ff], config.mlp_bias);
        }
        if around {
            self.norm(at(Role::MlpPostNorm), d);
        }
    }

    fn matrix(&mut self, site: Site, shape: [usize; 2], bias: bool) {
        self.list.push(Parameter { site, is_bias: false, shape: shape.to_vec() });
        if bias {
            self.list.push(Parameter { site, is_bias: true, shape: vec![shape[0]] });
        }
    }

    fn norm(&mut self, site: Site, len: usize) {
        self.list.push(Parameter { site, is_bias: false, shape: vec![len] });
        if self.config.norm == NormKind::Layer {
            self.list.push(Parameter { site, is_bias: true, shape: vec![len] });
        }
    }
}
