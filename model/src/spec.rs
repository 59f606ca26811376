//! The one list of a decoder's parameters: role, shape, and storage in files.
//!
//! [`parameters`] lists them for a [`Config`]; [`Names`] describes how a kind of file stores them. The loader,
//! `inspect`, the quantiser, LoRA, the cost of a pass and the training plan all walk this list, so each parameter is
//! described once.
//!
//! Files may fuse parameters: GPT-2 stores the projections to queries, keys and values as one matrix. [`Source`] gives
//! the rows of the stored tensor that belong to a parameter.

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

/// Tensor names by role.
pub type NameList = &'static [(Role, &'static str)];

/// How one kind of file stores a family's parameters.
#[derive(Clone, Copy, Debug)]
pub struct Names {
    /// The tensors' names without `.weight` or `.bias`; `{layer}` and `{expert}` are replaced by numbers. Earlier lists
    /// take precedence. If a name ends with `$`, the `$` is removed and no suffix is appended.
    pub lists: &'static [NameList],
    /// A prefix of all names that some files omit.
    pub prefix: &'static str,
    /// The groups of parameters that share a tensor.
    pub fused: &'static [Fused],
    /// Whether linear layers of the blocks are stored as `[inputs, outputs]`.
    pub transposed: bool,
    /// Whether all experts' matrices of a role are one tensor `[experts, rows, columns]`.
    pub stacked_experts: bool,
    /// Whether the two halves of each query and key head are interleaved, as llama.cpp's rotation for `llama` requires.
    pub interleaved_heads: bool,
    /// Added to the stored weights of norms: Gemma stores `w − 1`.
    pub norm_offset: f32,
    /// Whether such a file has an unembedding even where it is the embedding.
    pub always_unembedding: bool,
    /// Name endings of tensors that are not parameters but computed tables.
    pub tables: &'static [&'static str],
}

/// Parameters that share a tensor.
#[derive(Clone, Copy, Debug)]
pub struct Fused {
    /// Their roles, in order.
    pub roles: &'static [Role],
    /// Whether they alternate head by head (`q₀ k₀ v₀ q₁ k₁ v₁ …`) instead of following one another.
    pub by_head: bool,
}

/// The storage of a parameter in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The tensor's name.
    pub name: String,
    /// Its stored shape.
    pub shape: Vec<usize>,
    /// Whether it is stored as `[columns, rows]`.
    pub transposed: bool,
    /// The rows that belong to the parameter. A tensor of three dimensions counts as `[experts · rows, columns]`.
    pub rows: RowMap,
}

/// Maps a parameter's rows to a tensor's rows: row `i` is the tensor's row [`RowMap::at`]`(i)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowMap {
    first: usize,
    /// Consecutive rows per run.
    run: usize,
    /// Distance between the starts of consecutive runs.
    stride: usize,
    /// Whether the two halves of each run are interleaved.
    interleaved: bool,
}

impl RowMap {
    /// `count` consecutive rows from `first` on.
    fn together(first: usize, count: usize) -> RowMap {
        RowMap { first, run: count.max(1), stride: count.max(1), interleaved: false }
    }

    /// The tensor's row that is row `i` of the parameter.
    pub fn at(self, i: usize) -> usize {
        let (run, within) = (i / self.run, i % self.run);
        let half = self.run / 2;
        let within = if self.interleaved { 2 * (within % half) + within / half } else { within };
        self.first + run * self.stride + within
    }

    /// The first row, if the rows are consecutive and in order.
    pub fn in_order(self) -> Option<usize> {
        (self.run == self.stride && !self.interleaved).then_some(self.first)
    }
}

impl Names {
    /// Names only: nothing fused, transposed or offset.
    pub const fn plain(lists: &'static [NameList]) -> Names {
        Names {
            lists,
            prefix: "",
            fused: &[],
            transposed: false,
            stacked_experts: false,
            interleaved_heads: false,
            norm_offset: 0.0,
            always_unembedding: false,
            tables: &[],
        }
    }

    /// The storage of a parameter of this decoder in such a file; `None` if the file format has no name for it.
    pub fn source(&self, config: &Config, parameter: &Parameter) -> Option<Source> {
        let Site { role, layer, expert } = parameter.site;
        let template = self.lists.iter().copied().flatten().find(|(named, _)| *named == role)?.1;
        let mut name = template.to_owned();
        for (placeholder, number) in [("{layer}", layer), ("{expert}", expert)] {
            if let Some(number) = number {
                name = name.replace(placeholder, &number.to_string());
            }
        }
        match name.strip_suffix('$') {
            Some(whole) => name = whole.to_owned(),
            None => name.push_str(if parameter.is_bias { ".bias" } else { ".weight" }),
        }
        let transposed = self.transposed && parameter.kind() == ParameterKind::Weight;
        let mut shape = parameter.shape.clone();
        let mut rows = RowMap::together(0, shape[0]);
        if self.interleaved_heads && matches!(role, Role::Q | Role::K) {
            rows = RowMap { first: 0, run: config.head_dim, stride: config.head_dim, interleaved: true };
        }
        for fused in self.fused {
            let Some(index) = fused.roles.iter().position(|fused| *fused == role) else { continue };
            let before: usize = fused.roles[..index].iter().map(|role| rows_of(*role, config)).sum();
            shape[0] = fused.roles.iter().map(|role| rows_of(*role, config)).sum();
            rows = if fused.by_head {
                let head_dim = config.head_dim;
                let stride = fused.roles.len() * head_dim;
                RowMap { first: index * head_dim, run: head_dim, stride, interleaved: false }
            } else {
                RowMap::together(before, parameter.shape[0])
            };
        }
        if self.stacked_experts
            && let (Some(expert), MlpKind::Experts { count, .. }) = (expert, config.mlp)
        {
            rows.first += expert * shape[0];
            shape.insert(0, count);
        }
        if transposed {
            shape.reverse();
        }
        Some(Source { name, shape, transposed, rows })
    }

    /// The number to add to the stored values of a parameter.
    pub fn offset(&self, parameter: &Parameter) -> f32 {
        let weight_of_norm = parameter.kind() == ParameterKind::Norm && !parameter.is_bias;
        if weight_of_norm { self.norm_offset } else { 0.0 }
    }

    /// Whether a tensor is not a parameter but a computed table, which old files store too.
    pub fn is_table(&self, name: &str) -> bool {
        self.tables.iter().any(|table| name.ends_with(table))
    }
}

/// Number of rows of a matrix that may share a tensor.
fn rows_of(role: Role, config: &Config) -> usize {
    match role {
        Role::Q => config.n_heads * config.head_dim,
        Role::K | Role::V => config.n_kv_heads * config.head_dim,
        Role::Gate | Role::Up => config.d_ff,
        _ => config.d_model,
    }
}

/// A tensor of a file, and the parameters in it.
#[derive(Clone, Debug)]
pub struct StoredTensor {
    /// Its name.
    pub name: String,
    /// Its stored shape.
    pub shape: Vec<usize>,
    /// Whether it is stored as `[columns, rows]`.
    pub transposed: bool,
    /// The parameters, each with its rows.
    pub parts: Vec<(Parameter, RowMap)>,
}

/// The tensors of a file with a decoder's parameters, in the order of the forward pass.
pub fn tensors(config: &Config, names: &Names) -> Vec<StoredTensor> {
    let mut tensors: Vec<StoredTensor> = Vec::new();
    let mut index = std::collections::HashMap::new();
    for parameter in parameters(config) {
        let Some(Source { name, shape, transposed, rows }) = names.source(config, &parameter) else {
            continue;
        };
        let at = *index.entry(name.clone()).or_insert_with(|| {
            tensors.push(StoredTensor { name, shape, transposed, parts: Vec::new() });
            tensors.len() - 1
        });
        tensors[at].parts.push((parameter, rows));
    }
    tensors
}
