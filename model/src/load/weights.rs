//! From a file's tensors to a model's parameters: found by name, checked, packed.
//!
//! The families' loaders below run twice. The first time nothing is packed: it only notes what is missing,
//! misshapen or left over, so that one error can name all of it. The second time everything is there.

mod parameters;

use std::collections::BTreeSet;
use std::path::Path;

use glassbox_tensor::file::TensorInfo;
use glassbox_tensor::file::gguf::Gguf;
use glassbox_tensor::file::safetensors::SafeTensors;
use glassbox_tensor::ops::Attention;
use glassbox_tensor::{Level, PackedMatrix, Pool, Team, Tensor};

use super::names::{Naming, Part};
use crate::config::{Config, Family};
use crate::error::Error;
use crate::gpt2::{self, Gpt2};
use crate::layers::{LayerNorm, Linear, RmsNorm, Vocabulary};
use crate::llama::{self, Llama};
use crate::model::Weights;
pub(crate) use parameters::parameters;

/// A file of tensors.
pub(crate) enum Container {
    Gguf(Gguf),
    SafeTensors(SafeTensors),
}

impl Container {
    pub(crate) fn path(&self) -> &Path {
        match self {
            Container::Gguf(file) => file.path(),
            Container::SafeTensors(file) => file.path(),
        }
    }

    pub(crate) fn tensors(&self) -> &[TensorInfo] {
        match self {
            Container::Gguf(file) => file.tensors(),
            Container::SafeTensors(file) => file.tensors(),
        }
    }

    pub(crate) fn info(&self, name: &str) -> Option<&TensorInfo> {
        match self {
            Container::Gguf(file) => file.tensor_info(name),
            Container::SafeTensors(file) => file.tensor_info(name),
        }
    }

    pub(crate) fn tensor(&self, name: &str) -> Result<Tensor, Error> {
        Ok(match self {
            Container::Gguf(file) => file.tensor(name)?,
            Container::SafeTensors(file) => file.tensor(name)?,
        })
    }

    pub(crate) fn naming(&self, family: Family) -> Naming {
        match (self, family) {
            (Container::Gguf(_), _) => Naming::Gguf,
            (_, Family::Gpt2) => Naming::HfGpt2,
            _ => Naming::HfLlama,
        }
    }
}

/// Loads the parameters of a model of this shape.
pub(crate) fn load(pool: &Pool, file: &Container, config: &Config) -> Result<Weights, Error> {
    let problems = problems(file, config)?;
    if !problems.is_empty() {
        return Err(Error::Tensors { path: file.path().into(), problems });
    }
    pool.enter(|team| Loader::new(team, file, config, false).family())
}

/// What keeps the file's tensors from being the parameters of a model of this shape, one sentence each.
pub(crate) fn problems(file: &Container, config: &Config) -> Result<Vec<String>, Error> {
    // Asked first: the list of what is missing grows with the layers that are claimed, not with the file.
    let (layers, tensors) = (config.n_layers, file.tensors().len());
    if layers > tensors {
        return Ok(vec![format!("{layers} layers cannot be made of {tensors} tensors")]);
    }
    Pool::new(1, Level::Scalar)?.enter(|team| {
        let mut check = Loader::new(team, file, config, true);
        check.family()?;
        Ok(check.into_problems())
    })
}

struct Loader<'a> {
    team: &'a Team<'a>,
    file: &'a Container,
    config: &'a Config,
    naming: Naming,
    /// Whether the names lack the usual prefix.
    bare: bool,
    /// Whether this is the first run, that only looks.
    checking: bool,
    problems: Vec<String>,
    used: BTreeSet<String>,
}

impl<'a> Loader<'a> {
    fn new(team: &'a Team<'a>, file: &'a Container, config: &'a Config, checking: bool) -> Loader<'a> {
        let naming = file.naming(config.family);
        let bare = naming.is_bare(file.tensors());
        Loader { team, file, config, naming, bare, checking, problems: Vec::new(), used: BTreeSet::new() }
    }

    fn family(&mut self) -> Result<Weights, Error> {
        Ok(match self.config.family {
            Family::Gpt2 => Weights::Gpt2(self.gpt2()?),
            _ => Weights::Llama(self.llama()?),
        })
    }

    /// What is wrong, after the first run.
    fn into_problems(mut self) -> Vec<String> {
        for tensor in self.file.tensors() {
            if !self.used.contains(&tensor.name) && !self.naming.is_table(&tensor.name) {
                self.problems
                    .push(format!("{}: has no place in a {} of this shape", tensor.name, self.config.family));
            }
        }
        self.problems
    }

    fn gpt2(&mut self) -> Result<Gpt2, Error> {
        let config = self.config;
        let (d, ff) = (config.d_model, config.d_ff);
        let vocabulary = self.vocabulary()?;
        let positions = self.matrix(Part::Positions, None, [config.context_length, d])?;
        let mut blocks = Vec::new();
        for layer in 0..config.n_layers {
            let at = Some(layer);
            let [q, k, v] = self.qkv(layer)?;
            blocks.push(gpt2::Block {
                norm1: self.layer_norm(Part::Norm1, at)?,
                q,
                k,
                v,
                attention_out: self.linear(Part::AttentionOut, at, [d, d], config.attention_out_bias)?,
                attention: self.attention(layer),
                norm2: self.layer_norm(Part::Norm2, at)?,
                mlp_in: self.linear(Part::MlpUp, at, [ff, d], config.mlp_bias)?,
                activation: config.activation,
                mlp_out: self.linear(Part::MlpDown, at, [d, ff], config.mlp_bias)?,
            });
        }
        Ok(Gpt2 { vocabulary, positions, blocks, norm_final: self.layer_norm(Part::NormFinal, None)? })
    }

    fn llama(&mut self) -> Result<Llama, Error> {
        let config = self.config;
        let (d, ff, head_dim) = (config.d_model, config.d_ff, config.head_dim);
        let (queries, keys) = (config.n_heads * head_dim, config.n_kv_heads * head_dim);
        let vocabulary = self.vocabulary()?;
        let mut blocks = Vec::new();
        for layer in 0..config.n_layers {
            let at = Some(layer);
            blocks.push(llama::Block {
                norm1: self.rms_norm(Part::Norm1, at, d)?,
                q: self.linear(Part::Q, at, [queries, d], config.qkv_bias)?,
                k: self.linear(Part::K, at, [keys, d], config.qkv_bias)?,
                v: self.linear(Part::V, at, [keys, d], config.qkv_bias)?,
                q_norm: config.qk_norm.then(|| self.rms_norm(Part::QNorm, at, head_dim)).transpose()?,
                k_norm: config.qk_norm.then(|| self.rms_norm(Part::KNorm, at, head_dim)).transpose()?,
                attention_out: self.linear(
                    Part::AttentionOut,
                    at,
                    [d, queries],
                    config.attention_out_bias,
                )?,
                attention: self.attention(layer),
                norm2: self.rms_norm(Part::Norm2, at, d)?,
                gate: self.linear(Part::MlpGate, at, [ff, d], config.mlp_bias)?,
                up: self.linear(Part::MlpUp, at, [ff, d], config.mlp_bias)?,
                activation: config.activation,
                down: self.linear(Part::MlpDown, at, [d, ff], config.mlp_bias)?,
            });
        }
        Ok(Llama { vocabulary, blocks, norm_final: self.rms_norm(Part::NormFinal, None, d)? })
    }

    fn attention(&self, layer: usize) -> Attention {
        let config = self.config;
        Attention { n_heads: config.n_heads, scale: config.score_scale(layer), window: config.windows[layer] }
    }

    /// Embedding and unembedding, which may be one matrix, stored under either name or both.
    fn vocabulary(&mut self) -> Result<Vocabulary, Error> {
        let shape = [self.config.vocab_size, self.config.d_model];
        let [embedding, unembedding] =
            [Part::Embedding, Part::Unembedding].map(|part| self.name(part, None, "weight"));
        let (has_in, has_out) =
            (self.file.info(&embedding).is_some(), self.file.info(&unembedding).is_some());
        if self.config.tied && !has_out {
            return Ok(Vocabulary {
                embedding: self.matrix(Part::Embedding, None, shape)?,
                unembedding: None,
            });
        }
        if self.config.tied && !has_in {
            return Ok(Vocabulary {
                embedding: self.matrix(Part::Unembedding, None, shape)?,
                unembedding: None,
            });
        }
        let one_matrix = self.config.tied && self.same_bytes(&embedding, &unembedding)?;
        let embedding = self.matrix(Part::Embedding, None, shape)?;
        if one_matrix {
            self.used.insert(unembedding);
            return Ok(Vocabulary { embedding, unembedding: None });
        }
        Ok(Vocabulary { embedding, unembedding: Some(self.matrix(Part::Unembedding, None, shape)?) })
    }

    fn same_bytes(&self, a: &str, b: &str) -> Result<bool, Error> {
        let readable = |name| self.file.tensor(name).ok();
        let (Some(a), Some(b)) = (readable(a), readable(b)) else { return Ok(false) };
        Ok(a.format() == b.format() && a.shape() == b.shape() && a.bytes()? == b.bytes()?)
    }

    /// GPT-2 keeps the three projections in one matrix, queries first.
    fn qkv(&mut self, layer: usize) -> Result<[Linear; 3], Error> {
        let d = self.config.d_model;
        let weight = self.tensor(Part::Qkv, Some(layer), "weight", &[3 * d, d])?;
        let bias = self.vector(Part::Qkv, Some(layer), "bias", 3 * d)?;
        let mut linears = Vec::new();
        for i in 0..3 {
            let rows = i * d..(i + 1) * d;
            let weight = weight.as_ref().map(|weight| weight.narrow(0, rows.clone())).transpose()?;
            linears.push(Linear {
                weight: self.pack(weight, |row| row)?,
                bias: Some(bias.get(rows).unwrap_or_default().to_vec()),
                detour: None,
            });
        }
        Ok(linears.try_into().unwrap_or_else(|_| unreachable!("three were pushed")))
    }

    fn linear(
        &mut self,
        part: Part,
        layer: Option<usize>,
        shape: [usize; 2],
        bias: bool,
    ) -> Result<Linear, Error> {
        let row = self.row_order(part);
        let weight = self.tensor(part, layer, "weight", &shape)?;
        let weight = self.pack(weight, row)?;
        let bias = bias.then(|| self.vector(part, layer, "bias", shape[0])).transpose()?;
        let bias = bias.map(|bias| (0..bias.len()).map(|i| bias[row(i)]).collect());
        Ok(Linear { weight, bias, detour: None })
    }

    /// Which row of the file is output `i`. llama.cpp's converter interleaves the two halves of each query
    /// and key head of a `llama`, since its rotation pairs neighbours; this takes them apart again.
    fn row_order(&self, part: Part) -> impl Fn(usize) -> usize + Copy + Sync + use<> {
        let llama_in_gguf = self.naming == Naming::Gguf && self.config.family == Family::Llama;
        let (interleaved, head_dim) =
            (llama_in_gguf && matches!(part, Part::Q | Part::K), self.config.head_dim);
        move |row| {
            let (head, i, half) = (row / head_dim, row % head_dim, head_dim / 2);
            if interleaved { head * head_dim + 2 * (i % half) + i / half } else { row }
        }
    }

    fn matrix(&mut self, part: Part, layer: Option<usize>, shape: [usize; 2]) -> Result<PackedMatrix, Error> {
        let tensor = self.tensor(part, layer, "weight", &shape)?;
        self.pack(tensor, |row| row)
    }

    fn pack(
        &self,
        tensor: Option<Tensor>,
        row: impl Fn(usize) -> usize + Copy + Sync,
    ) -> Result<PackedMatrix, Error> {
        match tensor {
            Some(tensor) if !self.checking => Ok(PackedMatrix::pack_rows(self.team, &tensor, row)?),
            _ => Ok(PackedMatrix::default()),
        }
    }

    fn rms_norm(&mut self, part: Part, layer: Option<usize>, len: usize) -> Result<RmsNorm, Error> {
        Ok(RmsNorm { weight: self.vector(part, layer, "weight", len)?, epsilon: self.config.norm_epsilon })
    }

    fn layer_norm(&mut self, part: Part, layer: Option<usize>) -> Result<LayerNorm, Error> {
        let len = self.config.d_model;
        Ok(LayerNorm {
            weight: self.vector(part, layer, "weight", len)?,
            bias: self.vector(part, layer, "bias", len)?,
            epsilon: self.config.norm_epsilon,
        })
    }

    fn vector(
        &mut self,
        part: Part,
        layer: Option<usize>,
        kind: &str,
        len: usize,
    ) -> Result<Vec<f32>, Error> {
        let tensor = self.tensor(part, layer, kind, &[len])?;
        Ok(match tensor {
            Some(tensor) if !self.checking => tensor.to_f32(),
            _ => Vec::new(),
        })
    }

    /// Finds a tensor and checks its shape; `None`, and a note, if it is not as it should be.
    fn tensor(
        &mut self,
        part: Part,
        layer: Option<usize>,
        kind: &str,
        shape: &[usize],
    ) -> Result<Option<Tensor>, Error> {
        let name = self.name(part, layer, kind);
        let Some(info) = self.file.info(&name) else {
            self.problems.push(format!("{name}: missing, should be {shape:?}"));
            return Ok(None);
        };
        self.used.insert(name.clone());
        let mut stored = shape.to_vec();
        let transposed = self.naming.is_stored_transposed(part) && kind == "weight";
        if transposed {
            stored.reverse();
        }
        if info.shape.dims() != stored {
            self.problems.push(format!("{name}: shape {:?}, should be {stored:?}", info.shape.dims()));
            return Ok(None);
        }
        if info.element.format().is_none() {
            self.problems.push(format!("{name}: number format {} cannot be read", info.element.name()));
            return Ok(None);
        }
        let tensor = self.file.tensor(&name)?;
        Ok(Some(if transposed { tensor.transpose(0, 1)? } else { tensor }))
    }

    fn name(&self, part: Part, layer: Option<usize>, kind: &str) -> String {
        self.naming.name_in(self.bare, part, layer, kind)
    }
}
