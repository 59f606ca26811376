//! From the tensors of an adapter to the changes of a model: low-rank branches and replaced tensors.
//!
//! PEFT names a tensor after the module of transformers that it belongs to:
//!
//! | name after `base_model.model.X.` | content |
//! |---|---|
//! | `lora_A.weight`, `lora_B.weight` | the branch of a linear layer: `[rank, inputs]`, `[outputs, rank]` |
//! | `lora_embedding_A`, `lora_embedding_B` | the branch of an embedding: `[rank, tokens]`, `[d_model, rank]` |
//! | `lora_B.bias` | the branch's bias, `[outputs]` |
//! | `lora_magnitude_vector` | DoRA's magnitudes, `[outputs]` |
//! | `weight`, `bias`, `base_layer.weight`, `base_layer.bias` | replace the tensor of the base model |

use std::collections::BTreeSet;

use glassbox_tensor::Tensor;

use super::{Lora, NAME_PREFIX};
use crate::config::Config;
use crate::error::Error;
use crate::families;
use crate::load::vocabulary_matrix;
use crate::names::{self, Names, StoredTensor};
use crate::spec::{Parameter, ParameterKind, Role};

/// What an adapter does to one tensor, in Hugging Face's names and arrangement.
pub(crate) struct Change {
    /// The tensor of the base model.
    pub(crate) stored: StoredTensor,
    /// Takes its place.
    pub(crate) replaced: Option<Tensor>,
    /// Is added to it.
    pub(crate) low_rank: Option<LowRank>,
}

/// A low-rank branch: `W` becomes `gain ⊙ (W + scale · B · A)`, where `gain` is 1, or with DoRA
/// `magnitude / ‖W + scale · B · A‖` for each row. For an embedding `W` is `[d_model, tokens]`.
pub(crate) struct LowRank {
    /// `[rank, inputs]`
    pub(crate) a: Tensor,
    /// `[outputs, rank]`
    pub(crate) b: Tensor,
    /// The factor of `B · A`.
    pub(crate) scale: f64,
    /// The branch's bias times the scale, `[outputs]`.
    pub(crate) bias: Option<Vec<f32>>,
    /// DoRA's magnitudes, `[outputs]`.
    pub(crate) magnitude: Option<Vec<f32>>,
}

/// The changes of an adapter, and what in it has no effect.
pub(crate) struct Changes {
    pub(crate) list: Vec<Change>,
    pub(crate) warnings: Vec<String>,
}

impl Change {
    pub(crate) fn parameter(&self) -> &Parameter {
        &self.stored.parts[0].0
    }
}

impl Lora {
    /// The changes to a model of this configuration.
    ///
    /// # Errors
    /// [`Error::Tensors`] with every tensor that does not belong to the model or has another shape.
    pub(crate) fn changes(&self, config: &Config) -> Result<Changes, Error> {
        let mut reader = Reader {
            lora: self,
            used: BTreeSet::new(),
            problems: Vec::new(),
            warnings: self.settings.warnings.clone(),
        };
        let mut list = Vec::new();
        for stored in all_tensors(config) {
            if let Some(change) = reader.change(config, stored)? {
                list.push(change);
            }
        }
        for info in self.tensors.tensors().iter().filter(|info| !reader.used.contains(&info.name)) {
            let problem = format!("{}: unexpected tensor, the model has no such layer", info.name);
            reader.problems.push(problem);
        }
        if !reader.problems.is_empty() {
            return Err(Error::Tensors { path: self.path.clone(), problems: reader.problems });
        }
        let of_vocabulary = |change: &Change| change.parameter().kind() == ParameterKind::Embedding;
        if config.tied && self.settings.ensure_tying && list.iter().any(of_vocabulary) {
            let part = "ensure_weight_tying with a changed embedding".to_owned();
            return Err(Error::Unsupported { path: self.fields.path.clone(), parts: vec![part] });
        }
        Ok(Changes { list, warnings: reader.warnings })
    }
}

/// The tensors of a model, with the unembedding of a tied vocabulary, which is a module of its own.
fn all_tensors(config: &Config) -> Vec<StoredTensor> {
    let names = families::hf_names(config);
    let mut tensors = names::tensors(config, names);
    let unembedding = vocabulary_matrix(config, Role::Unembedding);
    if config.tied
        && let Some(source) = names.source(config, &unembedding)
    {
        let (name, shape, parts) = (source.name, source.shape, vec![(unembedding, source.rows)]);
        tensors.push(StoredTensor { name, shape, transposed: false, parts });
    }
    tensors
}

/// The names of a tensor in an adapter: those of the family's naming schemes in which it is the same tensor, each with
/// and without the prefix that a model without a head lacks.
fn aliases(config: &Config, parameter: &Parameter, shape: &[usize]) -> Vec<String> {
    let schemes: Vec<&Names> = families::all_hf_names(config).collect();
    let mut aliases: Vec<String> = Vec::new();
    for names in schemes {
        let Some(source) = names.source(config, parameter).filter(|source| source.shape == shape) else {
            continue;
        };
        let short = source.name.strip_prefix(names.prefix).map(str::to_owned);
        for name in [Some(source.name), short].into_iter().flatten() {
            if !aliases.contains(&name) {
                aliases.push(name);
            }
        }
    }
    aliases
}

struct Reader<'a> {
    lora: &'a Lora,
    used: BTreeSet<String>,
    problems: Vec<String>,
    warnings: Vec<String>,
}

impl Reader<'_> {
    /// What the adapter does to a tensor, if anything.
    fn change(&mut self, config: &Config, stored: StoredTensor) -> Result<Option<Change>, Error> {
        let parameter = &stored.parts[0].0;
        let role = parameter.site.role;
        let mut replaced = None;
        let mut low_rank = None;
        for alias in aliases(config, parameter, &stored.shape) {
            let Some((module, kind)) = alias.rsplit_once('.') else { continue };
            for name in [format!("{module}.{kind}"), format!("{module}.base_layer.{kind}")] {
                replaced = replaced.or(self.tensor(&name, &stored.shape)?);
            }
            if kind == "weight" {
                let embeds = matches!(role, Role::Embedding | Role::Positions);
                let linear = parameter.kind() == ParameterKind::Weight;
                if embeds || linear || role == Role::Unembedding {
                    low_rank = low_rank.or(self.low_rank(module, &stored, embeds, linear)?);
                }
            }
        }
        // Embedding and unembedding of a tied vocabulary are one tensor, stored beside either branch.
        let other = match role {
            Role::Embedding => Some(Role::Unembedding),
            Role::Unembedding => Some(Role::Embedding),
            _ => None,
        };
        if let Some(other) = other.filter(|_| config.tied) {
            for alias in aliases(config, &vocabulary_matrix(config, other), &stored.shape) {
                if let Some((module, kind)) = alias.rsplit_once('.') {
                    replaced =
                        replaced.or(self.tensor(&format!("{module}.base_layer.{kind}"), &stored.shape)?);
                }
            }
        }
        let changes = replaced.is_some() || low_rank.is_some();
        Ok(changes.then_some(Change { stored, replaced, low_rank }))
    }

    /// The branch of the module `module`.
    fn low_rank(
        &mut self,
        module: &str,
        stored: &StoredTensor,
        embeds: bool,
        linear: bool,
    ) -> Result<Option<LowRank>, Error> {
        let Lora { fields, settings, .. } = self.lora;
        let names = if embeds {
            ["lora_embedding_A", "lora_embedding_B"]
        } else {
            ["lora_A.weight", "lora_B.weight"]
        };
        let [a, b] = names.map(|name| format!("{module}.{name}"));
        if !self.has(&a) && !self.has(&b) {
            return Ok(None);
        }
        let (bias, magnitude) = (format!("{module}.lora_B.bias"), format!("{module}.lora_magnitude_vector"));
        let Some(key) = settings.targets.key(fields, module, linear)? else {
            for name in [a, b, bias, magnitude] {
                self.used.insert(format!("{NAME_PREFIX}{name}"));
            }
            let path = fields.path.display();
            self.warnings
                .push(format!("{path}: {module} is not among the targets, so its tensors have no effect"));
            return Ok(None);
        };
        let [outputs, inputs] = match stored.shape[..] {
            [rows, columns] if embeds || stored.transposed => [columns, rows],
            [rows, columns] => [rows, columns],
            _ => return Ok(None),
        };
        let rank = settings.rank_of(fields, &key)?;
        let scale = settings.scale_of(fields, &key, rank)?;
        let (a, b) = (self.required(&a, &[rank, inputs])?, self.required(&b, &[outputs, rank])?);
        let bias = match settings.lora_bias {
            true if !embeds => self.required(&bias, &[outputs])?,
            _ => None,
        };
        let magnitude = if settings.dora { self.required(&magnitude, &[outputs])? } else { None };
        let (Some(a), Some(b)) = (a, b) else { return Ok(None) };
        let scaled = |bias: Tensor| -> Result<Vec<f32>, Error> {
            Ok(bias.try_to_f32()?.into_iter().map(|x| (f64::from(x) * scale) as f32).collect())
        };
        let bias = bias.map(scaled).transpose()?;
        let magnitude = magnitude.map(|magnitude| magnitude.try_to_f32()).transpose()?;
        Ok(Some(LowRank { a, b, scale, bias, magnitude }))
    }

    fn has(&self, name: &str) -> bool {
        self.lora.tensors.tensor_info(&format!("{NAME_PREFIX}{name}")).is_some()
    }

    /// A tensor that must be there; `None` after noting a problem.
    fn required(&mut self, name: &str, shape: &[usize]) -> Result<Option<Tensor>, Error> {
        if !self.has(name) {
            self.problems.push(format!("{NAME_PREFIX}{name}: missing, expected shape {shape:?}"));
        }
        self.tensor(name, shape)
    }

    /// A tensor, if it is there and has the shape; another shape is a problem.
    fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<Option<Tensor>, Error> {
        let name = format!("{NAME_PREFIX}{name}");
        let Some(info) = self.lora.tensors.tensor_info(&name) else { return Ok(None) };
        let fits = info.shape.dims() == shape;
        if self.used.insert(name.clone()) && !fits {
            self.problems.push(format!("{name}: expected shape {shape:?}, found {:?}", info.shape.dims()));
        }
        if fits { Ok(Some(self.lora.tensors.tensor(&name)?)) } else { Ok(None) }
    }
}
