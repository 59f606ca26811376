//! The configuration in a GGUF's metadata, in llama.cpp's keys.

use glassbox_tensor::Format;
use glassbox_tensor::file::gguf::{Gguf, Optional, Value};
use glassbox_tensor::format::ElementType;
use glassbox_tensor::ops::Activation;

use crate::config::{Config, Family, MAX_LAYERS};
use crate::error::Error;
use crate::rope::{RopeConfig, RopeScaling, yarn_magnitude};

/// Reads a model's configuration. What the metadata leave open (biases, tying), the tensors decide.
pub(crate) fn read(file: &Gguf) -> Result<Config, Error> {
    let name = file.get_str("general.architecture")?;
    let Some(family) = Family::from_name(name) else {
        return Err(Error::UnknownFamily { path: file.path().into(), found: name.into() });
    };
    let keys = Keys { file, name };
    let unsupported = keys.unsupported_parts()?;
    if !unsupported.is_empty() {
        return Err(Error::Unsupported { path: file.path().into(), parts: unsupported });
    }
    let d_model = keys.size("embedding_length")?;
    let n_heads = keys.size("attention.head_count")?;
    let n_layers = keys.size("block_count")?;
    let head_dim = keys.maybe_size("attention.key_length")?.unwrap_or(d_model / n_heads);
    let context_length = keys.size("context_length")?;
    let epsilon = if family == Family::Gpt2 { "layer_norm_epsilon" } else { "layer_norm_rms_epsilon" };
    let has = |tensor: &str| file.tensor_info(tensor).is_some();
    let config = Config {
        family,
        vocab_size: keys.vocab_size()?,
        context_length,
        d_model,
        n_layers,
        n_heads,
        n_kv_heads: keys.maybe_size("attention.head_count_kv")?.unwrap_or(n_heads),
        head_dim,
        d_ff: keys.size("feed_forward_length")?,
        norm_epsilon: file.get_f32(&keys.key(&format!("attention.{epsilon}")))?,
        activation: if family == Family::Gpt2 { Activation::GeluTanh } else { Activation::Silu },
        tied: !has("output.weight"),
        scale_scores: true,
        scale_scores_by_layer: false,
        qkv_bias: has("blk.0.attn_q.bias") || family == Family::Gpt2,
        attention_out_bias: has("blk.0.attn_output.bias"),
        mlp_bias: has("blk.0.ffn_down.bias"),
        qk_norm: family == Family::Qwen3,
        windows: vec![keys.window()?; n_layers.min(MAX_LAYERS)],
        rope: if family == Family::Gpt2 { None } else { Some(keys.rope(head_dim, context_length as f32)?) },
    };
    let problems = config.contradictions();
    if problems.is_empty() {
        Ok(config)
    } else {
        Err(Error::Contradiction { path: file.path().into(), problems })
    }
}

/// The metadata of one architecture, whose name is in front of each key.
struct Keys<'a> {
    file: &'a Gguf,
    name: &'a str,
}

impl Keys<'_> {
    fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.name)
    }

    fn size(&self, key: &str) -> Result<usize, Error> {
        match self.file.get_u32(&self.key(key))? {
            0 => Err(self.wrong(key, "a positive whole number", "0")),
            size => Ok(size as usize),
        }
    }

    fn maybe_size(&self, key: &str) -> Result<Option<usize>, Error> {
        if self.file.value(&self.key(key)).is_some() { self.size(key).map(Some) } else { Ok(None) }
    }

    /// How many positions back every layer sees; zero stands for all.
    fn window(&self) -> Result<Option<usize>, Error> {
        let key = self.key("attention.sliding_window");
        Ok(self.file.get_u32(&key).optional()?.filter(|&window| window > 0).map(|window| window as usize))
    }

    /// A number, whether it is stored as a float or as an integer.
    fn maybe_number(&self, key: &str) -> Result<Option<f32>, Error> {
        let key = self.key(key);
        match self.file.value(&key) {
            None => Ok(None),
            Some(value) => match value.as_integer() {
                Some(whole) => Ok(Some(whole as f32)),
                None => Ok(Some(self.file.get_f32(&key)?)),
            },
        }
    }

    /// A finite number above zero, if it is there.
    fn maybe_positive(&self, key: &str) -> Result<Option<f32>, Error> {
        match self.maybe_number(key)? {
            Some(x) if !(x > 0.0 && x.is_finite()) => {
                Err(self.wrong(key, "a positive number", &x.to_string()))
            }
            x => Ok(x),
        }
    }

    fn wrong(&self, key: &str, expected: &str, found: &str) -> Error {
        let (key, path) = (self.key(key), self.file.path().into());
        Error::Config { path, key, expected: expected.into(), found: found.into() }
    }

    /// Settings that would change the results and are not followed here.
    fn unsupported_parts(&self) -> Result<Vec<String>, Error> {
        let mut parts = Vec::new();
        let (key_length, value_length) =
            (self.maybe_size("attention.key_length")?, self.maybe_size("attention.value_length")?);
        if key_length.is_some() && value_length.is_some() && key_length != value_length {
            parts.push("keys and values of different lengths".to_string());
        }
        if self.maybe_size("expert_count").is_ok_and(|count| count.is_some()) {
            parts.push(format!("{} (a mixture of experts)", self.key("expert_count")));
        }
        let head_dim = match key_length {
            Some(length) => length,
            None => self.size("embedding_length")? / self.size("attention.head_count")?,
        };
        if self.maybe_size("rope.dimension_count")?.is_some_and(|turned| turned != head_dim) {
            parts.push(format!("{} other than the head's length", self.key("rope.dimension_count")));
        }
        Ok(parts)
    }

    /// The size of the vocabulary is that of the embedding; the metadata may leave it out.
    fn vocab_size(&self) -> Result<usize, Error> {
        if let Some(info) = self.file.tensor_info("token_embd.weight") {
            return Ok(info.shape.dims().first().copied().unwrap_or(0));
        }
        self.size("vocab_size")
    }

    fn rope(&self, head_dim: usize, context: f32) -> Result<RopeConfig, Error> {
        let theta = self.maybe_number("rope.freq_base")?.unwrap_or(10_000.0);
        if !(theta > 1.0 && theta.is_finite()) {
            return Err(self.wrong("rope.freq_base", "a number above 1", &theta.to_string()));
        }
        // Zero stands for "not said".
        let said =
            |key| if self.maybe_number(key)? == Some(0.0) { Ok(None) } else { self.maybe_positive(key) };
        let factor = match said("rope.scaling.factor")? {
            Some(factor) => Some(factor),
            None => said("rope.scale_linear")?,
        };
        let kind = match self.file.value(&self.key("rope.scaling.type")) {
            Some(Value::String(kind)) => kind.as_str(),
            Some(_) => return Err(self.wrong("rope.scaling.type", "a text", "something else")),
            None if factor.is_some_and(|factor| factor != 1.0) => "linear",
            None => "none",
        };
        if let Some(scaling) = self.divisors(head_dim)? {
            if kind != "none" {
                let expected = "none beside rope_freqs.weight, which stretches already";
                return Err(self.wrong("rope.scaling.type", expected, kind));
            }
            return Ok(RopeConfig { theta, scaling });
        }
        let scaling = match (kind, factor) {
            ("none", _) | ("linear", None) => RopeScaling::Default,
            ("linear", Some(factor)) => RopeScaling::Linear { factor },
            ("yarn", factor) => {
                // 1 is YaRN, 0 is linear, anything between is a mixture; below 0 stands for "not said".
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
        Ok(RopeConfig { theta, scaling })
    }

    /// The tensor with which llama.cpp's files stretch Llama 3's frequencies.
    fn divisors(&self, head_dim: usize) -> Result<Option<RopeScaling>, Error> {
        let name = "rope_freqs.weight";
        let Some(info) = self.file.tensor_info(name) else { return Ok(None) };
        if info.shape.dims() != [head_dim / 2] || info.element != ElementType::Format(Format::F32) {
            let problem = format!("{name} must be F32 [{}]", head_dim / 2);
            return Err(Error::Tensors { path: self.file.path().into(), problems: vec![problem] });
        }
        let divisors = self.file.tensor(name)?.to_f32();
        if let Some(wrong) = divisors.iter().find(|x| !(**x > 0.0 && x.is_finite())) {
            let problem = format!("{name} must hold positive numbers, found {wrong}");
            return Err(Error::Tensors { path: self.file.path().into(), problems: vec![problem] });
        }
        Ok(Some(RopeScaling::Divisors(divisors)))
    }
}
