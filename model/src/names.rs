//! How files store a decoder's parameters: [`Names`] describes one kind of file of a family.
//!
//! Files may fuse parameters: GPT-2 stores the projections to queries, keys and values as one matrix. [`Source`] gives
//! the rows of the stored tensor that belong to a parameter; [`tensors`] lists the tensors of a whole file.

use crate::config::{Config, MlpKind};
use crate::spec::{self, Parameter, ParameterKind, Role, Site};

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
    for parameter in spec::parameters(config) {
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
