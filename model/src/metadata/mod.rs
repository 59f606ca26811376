//! A decoder's configuration in the metadata of a GGUF, with llama.cpp's keys: read here, written in `writer.rs`.

mod unread;
mod writer;

use std::cell::RefCell;
use std::collections::BTreeSet;

use glassbox_tensor::Format;
use glassbox_tensor::file::gguf::{Gguf, Optional, Value};
use glassbox_tensor::format::ElementType;

use crate::config::Sizes;
use crate::error::Error;
use crate::rope::{RopeConfig, RopeScaling, yarn_magnitude};
pub(crate) use writer::MetadataWriter;

/// The metadata of one architecture, whose name prefixes each key.
pub(crate) struct Metadata<'a> {
    pub(crate) file: &'a Gguf,
    pub(crate) architecture: &'a str,
    /// The full keys that were asked for.
    asked: RefCell<BTreeSet<String>>,
}

impl<'a> Metadata<'a> {
    /// The metadata of the architecture of that name.
    pub(crate) fn new(file: &'a Gguf, architecture: &'a str) -> Metadata<'a> {
        Metadata { file, architecture, asked: RefCell::default() }
    }
}

impl Metadata<'_> {
    /// The full name of a key, which counts as read from now on.
    fn key(&self, key: &str) -> String {
        let key = format!("{}.{key}", self.architecture);
        self.asked.borrow_mut().insert(key.clone());
        key
    }

    /// The sizes. `attention.key_length` defaults to `d_model / n_heads`, `attention.head_count_kv` to `n_heads`.
    pub(crate) fn sizes(&self) -> Result<Sizes, Error> {
        let d_model = self.size("embedding_length")?;
        let n_layers = self.size("block_count")?;
        let n_heads = self.size("attention.head_count")?;
        let head_dim = self.maybe_size("attention.key_length")?.unwrap_or(d_model / n_heads);
        let context_length = self.size("context_length")?;
        Ok(Sizes {
            vocab_size: self.vocab_size()?,
            context_length,
            d_model,
            n_layers,
            n_heads,
            n_kv_heads: self.maybe_size("attention.head_count_kv")?.unwrap_or(n_heads),
            head_dim,
            d_ff: self.size("feed_forward_length")?,
        })
    }

    /// Whether the file has a tensor of that name.
    pub(crate) fn has_tensor(&self, name: &str) -> bool {
        self.file.tensor_info(name).is_some()
    }

    /// A required number.
    pub(crate) fn number(&self, key: &str) -> Result<f32, Error> {
        Ok(self.file.get_f32(&self.key(key))?)
    }

    /// An optional boolean.
    pub(crate) fn flag(&self, key: &str) -> Result<Option<bool>, Error> {
        let key = self.key(key);
        Ok(if self.file.value(&key).is_some() { Some(self.file.get_bool(&key)?) } else { None })
    }

    /// A required size: one number, or a list with the same number for each layer.
    pub(crate) fn size(&self, key: &str) -> Result<usize, Error> {
        let size = match self.per_layer(key)? {
            None => self.file.get_u32(&self.key(key))?,
            Some(sizes) => match sizes.iter().position(|size| *size != sizes[0]) {
                None => sizes[0],
                Some(layer) => {
                    let (key, first, other) = (self.key(key), sizes[0], sizes[layer]);
                    let part = format!(
                        "{key} that differs between layers ({first} in layer 0, {other} in layer {layer})"
                    );
                    return Err(Error::Unsupported { path: self.file.path().into(), parts: vec![part] });
                }
            },
        };
        match size {
            0 => Err(self.wrong(key, "a positive integer", "0")),
            size => Ok(size as usize),
        }
    }

    /// The numbers of a list with one for each layer; `None` if the value is no list.
    fn per_layer(&self, key: &str) -> Result<Option<Vec<u32>>, Error> {
        let full = self.key(key);
        let Some(Value::Array(_)) = self.file.value(&full) else { return Ok(None) };
        let layers = match self.file.value(&self.key("block_count")) {
            Some(Value::Array(_)) | None => 0,
            Some(_) => self.size("block_count")?,
        };
        let numbers = self.file.get_i32_array(&full)?;
        let expected = format!("a number, or one for each of {layers} layers");
        if numbers.is_empty() || numbers.len() != layers {
            return Err(self.wrong(key, &expected, &format!("a list of {}", numbers.len())));
        }
        let unsigned = numbers.iter().map(|&number| u32::try_from(number).map_err(|_| number));
        let unsigned: Result<Vec<u32>, i32> = unsigned.collect();
        unsigned.map(Some).map_err(|number| self.wrong(key, "numbers of at least 0", &number.to_string()))
    }

    pub(crate) fn maybe_size(&self, key: &str) -> Result<Option<usize>, Error> {
        if self.file.value(&self.key(key)).is_some() { self.size(key).map(Some) } else { Ok(None) }
    }

    /// The attention window of each layer in positions, given as one number for all or as a list; zero means none.
    pub(crate) fn windows(&self, n_layers: usize) -> Result<Vec<Option<usize>>, Error> {
        let key = "attention.sliding_window";
        let windows = match self.per_layer(key)? {
            Some(windows) => windows,
            None => vec![self.file.get_u32(&self.key(key)).optional()?.unwrap_or(0); n_layers],
        };
        Ok(windows.into_iter().map(|window| (window > 0).then_some(window as usize)).collect())
    }

    /// Whether each layer has the window, if given: as a list, or as a period of layers of which the last has none.
    pub(crate) fn window_pattern(&self, n_layers: usize) -> Result<Option<Vec<bool>>, Error> {
        let key = "attention.sliding_window_pattern";
        match self.file.value(&self.key(key)) {
            None => Ok(None),
            Some(Value::Array(_)) => {
                let pattern = self.file.get_bool_array(&self.key(key))?;
                if pattern.len() != n_layers {
                    let expected = format!("a list of {n_layers} layers");
                    return Err(self.wrong(key, &expected, &format!("{}", pattern.len())));
                }
                Ok(Some(pattern))
            }
            Some(_) => {
                let period = self.size(key)?;
                Ok(Some((0..n_layers).map(|layer| !(layer + 1).is_multiple_of(period)).collect()))
            }
        }
    }

    /// A number, stored as a float or as an integer.
    pub(crate) fn maybe_number(&self, key: &str) -> Result<Option<f32>, Error> {
        let key = self.key(key);
        match self.file.value(&key) {
            None => Ok(None),
            Some(value) => match value.as_integer() {
                Some(whole) => Ok(Some(whole as f32)),
                None => Ok(Some(self.file.get_f32(&key)?)),
            },
        }
    }

    /// An optional finite number above zero.
    pub(crate) fn maybe_positive(&self, key: &str) -> Result<Option<f32>, Error> {
        match self.maybe_number(key)? {
            Some(x) if !(x > 0.0 && x.is_finite()) => {
                Err(self.wrong(key, "a positive number", &x.to_string()))
            }
            x => Ok(x),
        }
    }

    pub(crate) fn wrong(&self, key: &str, expected: &str, found: &str) -> Error {
        let (key, path) = (self.key(key), self.file.path().into());
        Error::Config { path, key, expected: expected.into(), found: found.into() }
    }

    /// Unsupported settings that would change the results.
    pub(crate) fn unsupported_parts(
        &self,
        reads_experts: bool,
        reads_partial_rotary: bool,
    ) -> Result<Vec<String>, Error> {
        let mut parts = Vec::new();
        let (key_length, value_length) =
            (self.maybe_size("attention.key_length")?, self.maybe_size("attention.value_length")?);
        if key_length.is_some() && value_length.is_some() && key_length != value_length {
            parts.push("keys and values of different lengths".to_string());
        }
        if self.flag("attention.causal")? == Some(false) {
            parts.push(format!("{} false (attention to later positions)", self.key("attention.causal")));
        }
        if !reads_experts && self.maybe_size("expert_count").is_ok_and(|count| count.is_some()) {
            parts.push(format!("{} (a mixture of experts)", self.key("expert_count")));
        }
        let head_dim = match key_length {
            Some(length) => length,
            None => self.size("embedding_length")? / self.size("attention.head_count")?,
        };
        let partial = self.maybe_size("rope.dimension_count")?.is_some_and(|turned| turned != head_dim);
        if partial && !reads_partial_rotary {
            parts.push(format!("{} other than the head's length", self.key("rope.dimension_count")));
        }
        Ok(parts)
    }

    /// The size of the vocabulary, from the embedding; the metadata may omit it.
    fn vocab_size(&self) -> Result<usize, Error> {
        if let Some(info) = self.file.tensor_info("token_embd.weight") {
            return Ok(info.shape.dims().iter().rev().nth(1).copied().unwrap_or(0));
        }
        self.size("vocab_size")
    }

    /// The rotary embedding of `dims` components of each head; `context` is the context length.
    pub(crate) fn rope(&self, dims: usize, context: f32) -> Result<RopeConfig, Error> {
        let theta = self.maybe_number("rope.freq_base")?.unwrap_or(10_000.0);
        if !(theta > 1.0 && theta.is_finite()) {
            return Err(self.wrong("rope.freq_base", "a number above 1", &theta.to_string()));
        }
        // Zero counts as missing.
        let said =
            |key| if self.maybe_number(key)? == Some(0.0) { Ok(None) } else { self.maybe_positive(key) };
        let factor = match said("rope.scaling.factor")? {
            Some(factor) => Some(factor),
            None => said("rope.scale_linear")?,
        };
        let kind = match self.file.value(&self.key("rope.scaling.type")) {
            Some(Value::String(kind)) => kind.as_str(),
            Some(_) => return Err(self.wrong("rope.scaling.type", "a string", "something else")),
            None if factor.is_some_and(|factor| factor != 1.0) => "linear",
            None => "none",
        };
        if let Some(scaling) = self.divisors(dims)? {
            if kind != "none" {
                let expected = "none, since rope_freqs.weight already scales the frequencies";
                return Err(self.wrong("rope.scaling.type", expected, kind));
            }
            return Ok(RopeConfig { theta, dims, scaling });
        }
        let scaling = match (kind, factor) {
            ("none", _) | ("linear", None) => RopeScaling::Default,
            ("linear", Some(factor)) => RopeScaling::Linear { factor },
            ("yarn", factor) => {
                // 1 is YaRN, 0 is linear, values between are a mixture; values below 0 count as missing.
                let mixture = self.maybe_number("rope.scaling.yarn_ext_factor")?.unwrap_or(1.0);
                if mixture.is_nan() || (mixture >= 0.0 && mixture != 1.0) {
                    return Err(self.wrong("rope.scaling.yarn_ext_factor", "1", &mixture.to_string()));
                }
                let number = |key| self.maybe_positive(key);
                let original_context = number("rope.scaling.original_context_length")?.unwrap_or(context);
                let factor = factor.unwrap_or(context / original_context);
                let attention_factor = number("rope.scaling.attn_factor")?.unwrap_or(1.0)
                    * number("rope.scaling.yarn_attn_factor")?.unwrap_or(1.0);
                RopeScaling::Yarn {
                    factor,
                    original_context,
                    beta_fast: number("rope.scaling.yarn_beta_fast")?.unwrap_or(32.0),
                    beta_slow: number("rope.scaling.yarn_beta_slow")?.unwrap_or(1.0),
                    truncate: true,
                    attention_factor: yarn_magnitude(factor, 1.0) * attention_factor,
                }
            }
            (other, _) => return Err(self.wrong("rope.scaling.type", "none, linear or yarn", other)),
        };
        Ok(RopeConfig { theta, dims, scaling })
    }

    /// The tensor of divisors by which llama.cpp scales Llama 3's frequencies.
    fn divisors(&self, dims: usize) -> Result<Option<RopeScaling>, Error> {
        let name = "rope_freqs.weight";
        let Some(info) = self.file.tensor_info(name) else { return Ok(None) };
        let is_list = info.shape.dims().last() == Some(&(dims / 2)) && info.shape.elements() == dims / 2;
        if !is_list || info.element != ElementType::Format(Format::F32) {
            let problem = format!("{name}: expected F32 [{}]", dims / 2);
            return Err(Error::Tensors { path: self.file.path().into(), problems: vec![problem] });
        }
        let divisors = self.file.tensor(name)?.try_to_f32()?;
        if let Some(wrong) = divisors.iter().find(|x| !(**x > 0.0 && x.is_finite())) {
            let problem = format!("{name}: expected positive numbers, found {wrong}");
            return Err(Error::Tensors { path: self.file.path().into(), problems: vec![problem] });
        }
        Ok(Some(RopeScaling::Divisors(divisors)))
    }
}
