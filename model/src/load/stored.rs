//! Finds a decoder's parameters in a file by the names of its family, and checks them.

use std::collections::BTreeSet;

use glassbox_tensor::Tensor;
use glassbox_tensor::file::TensorInfo;

use super::container::Container;
use crate::config::{Config, MlpKind};
use crate::error::Error;
use crate::families;
use crate::names::{Names, RowMap, Source};
use crate::spec::{self, Parameter, Role, Site};

/// Number of experts in all layers above which their size is compared with the file's before they are listed.
const MANY_EXPERTS: usize = 1 << 12;

/// The parameters of a decoder in a file.
pub(crate) struct Stored<'a> {
    pub(crate) file: &'a Container,
    pub(crate) config: &'a Config,
    names: &'static Names,
    /// Whether the file's names lack the usual prefix.
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

    /// The storage of a parameter in the file.
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

    /// Whether the file has the tensor of a parameter.
    pub(crate) fn is_here(&self, parameter: &Parameter) -> bool {
        self.source(parameter).is_some_and(|source| self.file.info(&source.name).is_some())
    }

    /// The stored matrix or vector of a parameter, as `[outputs, inputs]`, and the parameter's rows in it.
    ///
    /// # Errors
    /// If it cannot be read. [`Stored::problems`] checks names and shapes.
    pub(crate) fn tensor(&self, parameter: &Parameter) -> Result<(Tensor, RowMap), Error> {
        let missing = || Error::Tensors {
            path: self.file.path().into(),
            problems: vec![format!("{:?}: the file format has no name for it", parameter.site)],
        };
        let source = self.source(parameter).ok_or_else(missing)?;
        let mut tensor = self.file.tensor(&source.name)?;
        if tensor.shape().dims() != source.shape {
            // The same sizes but for dimensions of 1, as `problem` has checked.
            tensor = tensor.reshape(source.shape.clone())?;
        }
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
        let (values, offset) = (tensor.try_to_f32()?, self.offset(parameter));
        let columns: usize = parameter.shape[1..].iter().product();
        let row = |i: usize| values[rows.at(i) * columns..][..columns].iter().map(|x| x + offset);
        Ok((0..parameter.shape[0]).flat_map(row).collect())
    }

    /// The number to add to the stored values of a parameter.
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

    /// Checks names, shapes and formats: one sentence for each tensor that is missing, misshapen, unreadable or
    /// unexpected.
    pub(crate) fn problems(&self) -> Vec<String> {
        self.survey().problems
    }

    /// The names of tensors that the model does without; [`Stored::problems`] has those that it cannot do without.
    pub(crate) fn unused(&self) -> Vec<String> {
        self.survey().unused
    }

    fn survey(&self) -> Survey {
        let failed = |problem| Survey { problems: vec![problem], unused: Vec::new() };
        // Checked first, since the list of missing tensors grows with the claimed number of layers, not with the file.
        let (layers, tensors) = (self.config.n_layers, self.file.tensors().len());
        if layers > tensors {
            return failed(format!("the file has {tensors} tensors, too few for {layers} layers"));
        }
        if let MlpKind::Experts { count, .. } = self.config.mlp
            && layers.saturating_mul(count) > MANY_EXPERTS
        {
            let stored: usize = self.file.tensors().iter().map(|tensor| tensor.shape.elements()).sum();
            let expert = self.config.d_model.saturating_mul(self.config.d_ff);
            if layers.saturating_mul(count).saturating_mul(expert) > stored {
                return failed(format!(
                    "the file has {stored} values, too few for {layers} layers of {count} experts"
                ));
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
                problems.push(format!("{:?}: the file format has no name for it", parameter.site.role));
                continue;
            };
            if used.insert(source.name.clone()) {
                problems.extend(self.problem(&source));
            }
        }
        let mut unused = Vec::new();
        for tensor in self.file.tensors() {
            if used.contains(&tensor.name) || self.names.is_table(&tensor.name) {
                continue;
            }
            if self.is_dispensable(tensor) {
                unused.push(tensor.name.clone());
            } else {
                let family = self.config.family;
                problems
                    .push(format!("{}: unexpected tensor, this {family} has no such parameter", tensor.name));
            }
        }
        Survey { problems, unused }
    }

    /// Whether a tensor that no parameter uses leaves the decoder complete: masks and counters, and anything that is
    /// neither inside a block nor beside a parameter. Transformers ignores those and others.
    fn is_dispensable(&self, tensor: &TensorInfo) -> bool {
        if tensor.element.is_integer() || tensor.shape.dims().is_empty() {
            return true;
        }
        // With the usual prefix too, which files may omit.
        let names = [tensor.name.clone(), format!("{}{}", self.names.prefix, tensor.name)];
        let belongs = |(_, template): &(Role, &str)| {
            names.iter().any(|name| match template.split_once("{layer}") {
                Some((blocks, _)) => {
                    let layer = name.strip_prefix(blocks);
                    layer.is_some_and(|layer| layer.starts_with(|c: char| c.is_ascii_digit()))
                }
                None => name.rsplit_once('.').is_some_and(|(stem, _)| stem == *template),
            })
        };
        !self.names.lists.iter().copied().flatten().any(belongs)
    }

    fn problem(&self, Source { name, shape, .. }: &Source) -> Option<String> {
        let Some(info) = self.file.info(name) else {
            return Some(format!("{name}: missing, expected shape {shape:?}"));
        };
        if !self.fits(info.shape.dims(), shape) {
            return Some(format!("{name}: expected shape {shape:?}, found {:?}", info.shape.dims()));
        }
        let unreadable = info.element.format().is_none();
        unreadable.then(|| format!("{name}: unsupported number format {}", info.element.name()))
    }

    /// Whether a tensor has the shape `expected`. In a GGUF, where every tensor has four dimensions, leading ones do
    /// not count.
    fn fits(&self, found: &[usize], expected: &[usize]) -> bool {
        let significant = |shape: &[usize]| {
            let ones = shape.iter().take_while(|&&size| size == 1).count();
            shape[ones..].to_vec()
        };
        match self.file {
            Container::Gguf(_) => significant(found) == significant(expected),
            Container::SafeTensors(_) => found == expected,
        }
    }

    /// Checks that the file has all parameters and nothing else.
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

/// What is wrong with a file's list of tensors, and what is left over.
struct Survey {
    problems: Vec<String>,
    unused: Vec<String>,
}

/// The naming scheme of a Hugging Face checkpoint: the one that finds its first MLP.
fn hf_names(file: &Container, config: &Config, family: &'static families::Family) -> &'static Names {
    let parameters = spec::parameters(&Config { n_layers: 1, ..config.clone() });
    let mut down = parameters.into_iter().filter(|parameter| parameter.site.role == Role::Down);
    let Some(down) = down.next() else { return &family.hf };
    let here =
        |names: &&Names| names.source(config, &down).is_some_and(|source| file.info(&source.name).is_some());
    std::iter::once(&family.hf).chain(family.hf_others).find(here).unwrap_or(&family.hf)
}

/// The embedding or unembedding, even if the list of parameters does not have it.
pub(crate) fn vocabulary_matrix(config: &Config, role: Role) -> Parameter {
    let shape = vec![config.vocab_size, config.d_model];
    Parameter { site: Site::outside(role), is_bias: false, shape }
}
