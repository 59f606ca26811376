//! The families of decoders, a page each: what a family's files say, and how it differs from Llama.
//!
//! Every family is computed by the same code ([`decoder`](crate::decoder)); a page only turns a `config.json` or a
//! GGUF's metadata into a [`Config`], and names the tensors. **A new family** is a new page, its line in [`ALL`], its
//! golden, and a word in README.

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

use glassbox_tensor::file::gguf::Gguf;
use serde_json::{Map, Value};

use crate::config::{Config, Sizes};
use crate::error::Error;
use crate::fields::Fields;
use crate::metadata::{Metadata, MetadataWriter};
use crate::spec::Names;

/// Every family that runs here.
///
/// Where two share an architecture in GGUF, the first that recognises a file takes it.
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

/// What is particular about a family.
#[derive(Clone, Copy)]
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// What `config.json` calls it (`model_type`).
    pub(crate) model_type: &'static str,
    /// What a GGUF calls it (`general.architecture`).
    pub(crate) architecture: &'static str,
    /// Whether a GGUF of that architecture is of this family.
    recognises: fn(&Metadata<'_>) -> bool,
    /// The key of the activation function in `config.json`, and its default.
    activation: (&'static str, &'static str),
    /// Settings beyond the common ones that the page reads.
    reads: Reads,
    from_hf: fn(&Fields) -> Result<Config, Error>,
    to_hf: fn(&Config) -> Map<String, Value>,
    from_gguf: fn(&Metadata<'_>) -> Result<Config, Error>,
    to_gguf: fn(&Config, &mut MetadataWriter),
    /// What must hold besides [`Config::contradictions`].
    contradictions: fn(&Config) -> Vec<String>,
    /// A model to be trained from scratch, as the family's authors would make it.
    new: Option<fn(Sizes) -> Config>,
    /// How Hugging Face names the tensors.
    pub(crate) hf: Names,
    /// Other ways in which it has named them.
    pub(crate) hf_others: &'static [Names],
    /// How a GGUF names the tensors.
    pub(crate) gguf: Names,
}

/// Settings that some pages read. For the other pages they are unsupported.
#[derive(Clone, Copy, Default)]
struct Reads {
    /// Rotary positions that turn a part of each head.
    partial_rotary: bool,
    /// Rotary parameters for each type of layer.
    rope_by_layer_type: bool,
    /// Experts.
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
    by_name(config.family).expect("a configuration names a family of the list")
}

/// A model of these sizes to be trained from scratch; `None` if nobody trains this family from scratch here.
pub fn new_config(family: &str, sizes: Sizes) -> Option<Config> {
    Some((by_name(family)?.new?)(sizes))
}

/// The families with which a training from scratch can begin.
pub fn trainable_from_scratch() -> impl Iterator<Item = &'static str> {
    ALL.iter().filter(|family| family.new.is_some()).map(|family| family.name)
}

/// The keys of `config.json` that say what this configuration says.
pub fn to_hf(config: &Config) -> Map<String, Value> {
    let family = of(config);
    let mut keys = (family.to_hf)(config);
    keys.insert("model_type".to_owned(), family.model_type.into());
    keys
}

/// Whether [`to_hf`] says all that a configuration says: whether it would be read back the same.
pub fn can_write_hf(config: &Config) -> bool {
    let read = || -> Result<Config, Error> {
        from_hf(&Fields::of(std::path::Path::new("config.json"), Value::Object(to_hf(config)))?)
    };
    read().is_ok_and(|read| read == *config)
}

/// The names of Hugging Face's tensors for a decoder of this shape.
pub fn hf_names(config: &Config) -> &'static Names {
    &of(config).hf
}

/// Reads a model's `config.json`.
pub(crate) fn from_hf(fields: &Fields) -> Result<Config, Error> {
    let name = fields.text("model_type")?;
    let name = name.ok_or_else(|| fields.wrong("model_type", "a family's name", "nothing"))?;
    let Some(family) = ALL.iter().find(|family| family.model_type == name) else {
        return Err(unknown(&fields.path, name, |family| family.model_type));
    };
    let parts = hf::unsupported_parts(fields, family)?;
    if !parts.is_empty() {
        return Err(Error::Unsupported { path: fields.path.clone(), parts });
    }
    checked((family.from_hf)(fields)?, family, &fields.path)
}

/// Reads a model's configuration from a GGUF.
pub(crate) fn from_gguf(file: &Gguf) -> Result<Config, Error> {
    let name = file.get_str("general.architecture")?;
    let metadata = Metadata { file, architecture: name };
    let of_name = |family: &&Family| family.architecture == name && (family.recognises)(&metadata);
    let Some(family) = ALL.iter().find(of_name) else {
        return Err(unknown(file.path(), name, |family| family.architecture));
    };
    let parts = metadata.unsupported_parts(family.reads.experts, family.reads.partial_rotary)?;
    if !parts.is_empty() {
        return Err(Error::Unsupported { path: file.path().into(), parts });
    }
    checked((family.from_gguf)(&metadata)?, family, file.path())
}

/// The metadata of a GGUF that say what this configuration says, and what they cannot say, a phrase each.
pub(crate) fn to_gguf(config: &Config) -> MetadataWriter {
    let family = of(config);
    let mut keys = MetadataWriter::new(family.architecture);
    keys.sizes(config);
    (family.to_gguf)(config, &mut keys);
    keys
}

fn checked(config: Config, family: &Family, path: &std::path::Path) -> Result<Config, Error> {
    let mut problems = config.contradictions();
    problems.extend((family.contradictions)(&config));
    if problems.is_empty() { Ok(config) } else { Err(Error::Contradiction { path: path.into(), problems }) }
}

fn unknown(path: &std::path::Path, found: &str, name: fn(&Family) -> &'static str) -> Error {
    let mut known: Vec<&'static str> = ALL.iter().map(name).collect();
    known.dedup();
    Error::UnknownFamily { path: path.into(), found: found.into(), known }
}
