//! The families of decoders, one page each: how a family differs from Llama, and how its files describe it.
//!
//! The same code computes all families ([`decoder`](crate::decoder)). A page only converts a `config.json` or the
//! metadata of a GGUF to a [`Config`] and back, and names the tensors. **A new family** is a new page, its line in
//! [`ALL`], its golden, and a word in README.

mod gguf_names;
pub(crate) mod hf;
mod hf_rope;

mod gemma3;
mod gpt2;
mod gpt_neox;
mod llama;
mod mistral;
mod mixtral;
mod qwen2;
mod qwen3;
mod unread;

use glassbox_tensor::file::gguf::Gguf;
use serde_json::{Map, Value};

use crate::config::{Config, Sizes};
use crate::error::Error;
use crate::fields::Fields;
use crate::metadata::{Metadata, MetadataWriter};
use crate::names::Names;
use crate::warning::Warning;

/// All supported families.
///
/// If several share an architecture name in GGUF, the first that recognises a file is used.
pub static ALL: &[Family] = &[
    gpt2::FAMILY,
    mixtral::FAMILY,
    llama::FAMILY,
    mistral::FAMILY,
    qwen2::FAMILY,
    qwen3::FAMILY,
    gemma3::FAMILY,
    gpt_neox::FAMILY,
];

/// The description of a family.
#[derive(Clone, Copy)]
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// Its `model_type` in `config.json`.
    pub(crate) model_type: &'static str,
    /// Its `general.architecture` in a GGUF.
    pub(crate) architecture: &'static str,
    /// Whether a GGUF of that architecture is of this family.
    recognises: fn(&Metadata<'_>) -> bool,
    /// The key of the activation function in `config.json`, and its default.
    activation: (&'static str, &'static str),
    /// Optional settings that the page reads.
    reads: Reads,
    from_hf: fn(&Fields) -> Result<Config, Error>,
    to_hf: fn(&Config) -> Map<String, Value>,
    from_gguf: fn(&Metadata<'_>) -> Result<Config, Error>,
    to_gguf: fn(&Config, &mut MetadataWriter),
    /// Checks in addition to [`Config::contradictions`].
    contradictions: fn(&Config) -> Vec<String>,
    /// The configuration of a new model with these sizes, to train from scratch.
    new: Option<fn(Sizes) -> Config>,
    /// Hugging Face's tensor names.
    pub(crate) hf: Names,
    /// Hugging Face's other naming schemes.
    pub(crate) hf_others: &'static [Names],
    /// GGUF's tensor names.
    pub(crate) gguf: Names,
}

/// Settings that only some pages read; they are unsupported for the other families.
#[derive(Clone, Copy, Default)]
struct Reads {
    /// Partial rotary embeddings.
    partial_rotary: bool,
    /// Rotary embeddings per type of layer.
    rope_by_layer_type: bool,
    /// Mixtures of experts.
    experts: bool,
}

impl std::fmt::Debug for Family {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Family").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The family of that name.
pub fn by_name(name: &str) -> Option<&'static Family> {
    ALL.iter().find(|family| family.name == name)
}

/// The family of a configuration.
///
/// # Panics
/// If the configuration names a family that is not in [`ALL`].
pub(crate) fn of(config: &Config) -> &'static Family {
    by_name(config.family).expect("a configuration has a family of the list")
}

/// The configuration of a new model with these sizes; `None` if the family cannot be trained from scratch.
pub fn new_config(family: &str, sizes: Sizes) -> Option<Config> {
    Some((by_name(family)?.new?)(sizes))
}

/// The families that can be trained from scratch.
pub fn trainable_from_scratch() -> impl Iterator<Item = &'static str> {
    ALL.iter().filter(|family| family.new.is_some()).map(|family| family.name)
}

/// The configuration as keys of `config.json`.
pub fn to_hf(config: &Config) -> Map<String, Value> {
    let family = of(config);
    let mut keys = (family.to_hf)(config);
    keys.insert("model_type".to_owned(), family.model_type.into());
    keys
}

/// Whether [`to_hf`] expresses a configuration completely, so that reading it back gives the same one.
pub fn can_write_hf(config: &Config) -> bool {
    let read = || -> Result<Config, Error> {
        let path = std::path::Path::new("config.json");
        from_hf(&Fields::of(path, Value::Object(to_hf(config)))?, &mut Vec::new())
    };
    read().is_ok_and(|read| read == *config)
}

/// Hugging Face's tensor names for a configuration.
pub fn hf_names(config: &Config) -> &'static Names {
    &of(config).hf
}

/// All of Hugging Face's naming schemes for a configuration, the usual one first.
pub(crate) fn all_hf_names(config: &Config) -> impl Iterator<Item = &'static Names> {
    let family = of(config);
    std::iter::once(&family.hf).chain(family.hf_others)
}

/// Reads a model's `config.json`. Keys that have no effect are a warning.
pub(crate) fn from_hf(fields: &Fields, warnings: &mut Vec<Warning>) -> Result<Config, Error> {
    let name = fields.text("model_type")?;
    let name = name.ok_or_else(|| fields.wrong("model_type", "a model type", "nothing"))?;
    let Some(family) = ALL.iter().find(|family| family.model_type == name) else {
        return Err(unknown(&fields.path, name, |family| family.model_type));
    };
    let parts = hf::unsupported_parts(fields, family)?;
    if !parts.is_empty() {
        return Err(Error::Unsupported { path: fields.path.clone(), parts });
    }
    let config = (family.from_hf)(fields)?;
    warnings.extend(unread::check(fields)?);
    checked(config, &fields.path)
}

/// Reads a model's configuration from a GGUF. Keys that have no effect are a warning.
pub(crate) fn from_gguf(file: &Gguf, warnings: &mut Vec<Warning>) -> Result<Config, Error> {
    let name = file.get_str("general.architecture")?;
    let metadata = Metadata::new(file, name);
    let of_name = |family: &&Family| family.architecture == name && (family.recognises)(&metadata);
    let Some(family) = ALL.iter().find(of_name) else {
        return Err(unknown(file.path(), name, |family| family.architecture));
    };
    let parts = metadata.unsupported_parts(family.reads.experts, family.reads.partial_rotary)?;
    if !parts.is_empty() {
        return Err(Error::Unsupported { path: file.path().into(), parts });
    }
    let config = (family.from_gguf)(&metadata)?;
    warnings.extend(metadata.check_unread()?);
    checked(config, file.path())
}

/// The configuration as metadata of a GGUF, with a phrase for each part that they cannot express.
pub(crate) fn to_gguf(config: &Config) -> MetadataWriter {
    let family = of(config);
    let mut keys = MetadataWriter::new(family.architecture);
    keys.sizes(config);
    (family.to_gguf)(config, &mut keys);
    keys
}

/// Every relation between a configuration's numbers that must hold in its family and does not, a sentence each.
pub fn contradictions(config: &Config) -> Vec<String> {
    let mut problems = config.contradictions();
    problems.extend((of(config).contradictions)(config));
    problems
}

fn checked(config: Config, path: &std::path::Path) -> Result<Config, Error> {
    let problems = contradictions(&config);
    if problems.is_empty() { Ok(config) } else { Err(Error::Contradiction { path: path.into(), problems }) }
}

fn unknown(path: &std::path::Path, found: &str, name: fn(&Family) -> &'static str) -> Error {
    let mut known: Vec<&'static str> = Vec::new();
    for family in ALL.iter().map(name) {
        if !known.contains(&family) {
            known.push(family);
        }
    }
    Error::UnknownFamily { path: path.into(), found: found.into(), known }
}
