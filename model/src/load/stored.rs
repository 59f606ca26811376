//! A decoder's parameters in a file: found by the names of its family, and checked.

use std::collections::BTreeSet;

use glassbox_tensor::Tensor;

use super::container::Container;
use crate::config::{Config, MlpKind};
use crate::error::Error;
use crate::families;
use crate::spec::{self, Names, Parameter, Role, RowMap, Site, Source};

/// Experts of all layers for which a list is made without asking whether the file is large enough for them.
const MANY_EXPERTS: usize = 1 << 12;

/// The parameters of a decoder in a file.
pub(crate) struct Stored<'a> {
    pub(crate) file: &'a Container,
    pub(crate) config: &'a Config,
    names: &'static Names,
    /// Whether the names lack the usual prefix.
    bare: bool,
    /// Whether the one matrix of a tied vocabulary is stored as the unembedding.
    embedding_as_unembedding: bool,
}

impl<'a> Stored<'a> {
    pub(crate) fn new(file: &'a Container, config: &'a Config) -> Stored<'a> {
        let family = families::of(config);
        let names = match file {
            Container::Gguf(_) => &family.gguf,
            Container::SafeTensors(_) => hf_names(file, config, family),
        };
        let bare = !file.tensors().iter().any(|tensor| tensor.name.starts_with(names.prefix));
        let mut stored = Stored { file, config, names, bare, embedding_as_unembedding: false };
        let here = |role| stored.is_here(&vocabulary_matrix(config, role));
        stored.embedding_as_unembedding = config.tied && !here(Role::Embedding) && here(Role::Unembedding);
        stored
    }

    /// Where the file keeps a parameter.
    fn source(&self, parameter: &Parameter) -> Option<Source> {
        let parameter = match parameter.site.role {
            Role::Embedding if self.embedding_as_unembedding => {
                &vocabulary_matrix(self.config, Role::Unembedding)
            }
            _ => parameter,
        };
        let mut source = self.names.source(self.config, parameter)?;
        if self.bare
            && let Some(short) = source.name.strip_prefix(self.names.prefix)
        {
            source.name = short.to_owned();
        }
        Some(source)
    }

    /// Whether the file has the tensor that keeps a parameter.
    pub(crate) fn is_here(&self, parameter: &Parameter) -> bool {
        self.source(parameter).is_some_and(|source| self.file.info(&source.name).is_some())
    }

    /// The matrix or vector that holds a parameter, each of its rows an output, and which rows are the parameter's.
    ///
    /// # Errors
    /// If it cannot be read. Names and shapes are [`Stored::problems`]'s affair.
    pub(crate) fn tensor(&self, parameter: &Parameter) -> Result<(Tensor, RowMap), Error> {
        let missing = || Error::Tensors {
            path: self.file.path().into(),
            problems: vec![format!("no place for {:?}", parameter.site)],
        };
        let source = self.source(parameter).ok_or_else(missing)?;
        let mut tensor = self.file.tensor(&source.name)?;
        if source.transposed {
            tensor = tensor.transpose(0, 1)?;
        }
        if let &[experts, rows, columns] = tensor.shape().dims() {
            tensor = tensor.reshape([experts * rows, columns])?;
        }
        Ok((tensor, source.rows))
    }

    /// A parameter as numbers, `[rows, columns]`.
    pub(crate) fn numbers(&self, parameter: &Parameter) -> Result<Vec<f32>, Error> {
        let (tensor, rows) = self.tensor(parameter)?;
        let (values, offset) = (tensor.to_f32(), self.offset(parameter));
        let columns: usize = parameter.shape[1..].iter().product();
        let row = |i: usize| values[rows.at(i) * columns..][..columns].iter().map(|x| x + offset);
        Ok((0..parameter.shape[0]).flat_map(row).collect())
    }

    /// What to add to the stored numbers of a parameter.
    pub(crate) fn offset(&self, parameter: &Parameter) -> f32 {
        self.names.offset(parameter)
    }

    /// The unembedding of a tied vocabulary, if the file has one whose bytes differ from the embedding's.
    pub(crate) fn own_unembedding(&self) -> Result<Option<Parameter>, Error> {
        let unembedding = vocabulary_matrix(self.config, Role::Unembedding);
        if !self.config.tied || self.embedding_as_unembedding || !self.is_here(&unembedding) {
            return Ok(None);
        }
        let (a, _) = self.tensor(&vocabulary_matrix(self.config, Role::Embedding))?;
        let (b, _) = self.tensor(&unembedding)?;
        let same = a.format() == b.format() && a.shape() == b.shape() && a.bytes()? == b.bytes()?;
        Ok((!same).then_some(unembedding))
    }

    /// What keeps the file's tensors from being the parameters of a decoder of this shape, by their names and shapes alone,
    /// a sentence each: those that are missing, misshapen, unreadable or superfluous.
    pub(crate) fn problems(&self) -> Vec<String> {
        // Asked first: the list of what is missing grows with the layers that are claimed, not with the file.
        let (layers, tensors) = (self.config.n_layers, self.file.tensors().len());
        if layers > tensors {
            return vec![format!("{layers} layers cannot be made of {tensors} tensors")];
        }
        if let MlpKind::Experts { count, .. } = self.config.mlp
            && layers.saturating_mul(count) > MANY_EXPERTS
        {
            let stored: usize = self.file.tensors().iter().map(|tensor| tensor.shape.elements()).sum();
            let expert = self.config.d_model.saturating_mul(self.config.d_ff);
            if layers.saturating_mul(count).saturating_mul(expert) > stored {
                return vec![format!(
                    "{layers} layers of {count} experts cannot be made of {stored} numbers"
                )];
            }
        }
        let mut parameters = spec::parameters(self.config);
        let unembedding = vocabulary_matrix(self.config, Role::Unembedding);
        if self.config.tied && self.is_here(&unembedding) {
            parameters.push(unembedding);
        }
        let (mut problems, mut used) = (Vec::new(), BTreeSet::new());
        for parameter in &parameters {
            let Some(source) = self.source(parameter) else {
                problems.push(format!("{:?}: these files have no name for it", parameter.site.role));
                continue;
            };
            if used.insert(source.name.clone()) {
                problems.extend(self.problem(&source));
            }
        }
        for tensor in self.file.tensors() {
            if !used.contains(&tensor.name) && !self.names.is_table(&tensor.name) {
                let family = self.config.family;
                problems.push(format!("{}: has no place in a {family} of this shape", tensor.name));
            }
        }
        problems
    }

    fn problem(&self, Source { name, shape, .. }: &Source) -> Option<String> {
        let Some(info) = self.file.info(name) else {
            return Some(format!("{name}: missing, should be {shape:?}"));
        };
        if info.shape.dims() != shape {
            return Some(format!("{name}: shape {:?}, should be {shape:?}", info.shape.dims()));
        }
        let unreadable = info.element.format().is_none();
        unreadable.then(|| format!("{name}: number format {} cannot be read", info.element.name()))
    }

    /// That the file has every parameter and nothing else.
    ///
    /// # Errors
    /// [`Error::Tensors`] with all of [`Stored::problems`].
    pub(crate) fn check(&self) -> Result<(), Error> {
        let problems = self.problems();
        if problems.is_empty() {
            Ok(())
        } else {
            Err(Error::Tensors { path: self.file.path().into(), problems })
        }
    }
}

/// The names that a Hugging Face checkpoint uses: those under which its first feed-forward layer is found.
fn hf_names(file: &Container, config: &Config, family: &'static families::Family) -> &'static Names {
    let parameters = spec::parameters(&Config { n_layers: 1, ..config.clone() });
    let mut down = parameters.into_iter().filter(|parameter| parameter.site.role == Role::Down);
    let Some(down) = down.next() else { return &family.hf };
    let here =
        |names: &&Names| names.source(config, &down).is_some_and(|source| file.info(&source.name).is_some());
    std::iter::once(&family.hf).chain(family.hf_others).find(here).unwrap_or(&family.hf)
}

/// Embedding or unembedding, whether the list of parameters has it or not.
pub(crate) fn vocabulary_matrix(config: &Config, role: Role) -> Parameter {
    let shape = vec![config.vocab_size, config.d_model];
    Parameter { site: Site::outside(role), is_bias: false, shape }
}
