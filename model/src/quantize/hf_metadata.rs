//! What `config.json` and the tokenizer's files say, in llama.cpp's keys.

use std::path::Path;

use glassbox_tensor::Tensor;
use glassbox_tensor::file::gguf::{Array, Value};
use glassbox_tensor::ops::Activation;
use glassbox_tokenizer::GgufVocab;

use super::unsupported;
use crate::config::{Config, Family};
use crate::error::Error;
use crate::load::Checkpoint;
use crate::rope::{RopeConfig, RopeScaling, llama3_divisors, yarn_magnitude};

/// A checkpoint's description as a GGUF has it.
pub(super) struct Description {
    pub(super) metadata: Vec<(String, Value)>,
    /// Tensors that stand for metadata.
    pub(super) tensors: Vec<(String, Tensor)>,
    pub(super) notes: Vec<String>,
}

pub(super) fn describe(checkpoint: &Checkpoint) -> Result<Description, Error> {
    let (path, config) = (checkpoint.path(), checkpoint.config());
    let problems = unspeakable(config);
    if !problems.is_empty() {
        return Err(unsupported(path, problems));
    }
    // llama.cpp has no `mistral`: it is a `llama`.
    let architecture = match config.family {
        Family::Mistral => Family::Llama.name(),
        family => family.name(),
    };
    let mut keys = Keys { architecture, metadata: Vec::new() };
    keys.general("general.architecture", Value::String(architecture.to_owned()));
    keys.general("general.name", Value::String(name(path)));
    keys.size("block_count", config.n_layers);
    keys.size("context_length", config.context_length);
    keys.size("embedding_length", config.d_model);
    keys.size("feed_forward_length", config.d_ff);
    keys.size("vocab_size", config.vocab_size);
    keys.size("attention.head_count", config.n_heads);
    keys.size("attention.head_count_kv", config.n_kv_heads);
    if config.family == Family::Gpt2 {
        keys.number("attention.layer_norm_epsilon", config.norm_epsilon);
    } else {
        keys.number("attention.layer_norm_rms_epsilon", config.norm_epsilon);
        keys.size("attention.key_length", config.head_dim);
        keys.size("attention.value_length", config.head_dim);
    }
    if let Some(Some(window)) = config.windows.first() {
        keys.size("attention.sliding_window", *window);
    }
    let mut tensors = Vec::new();
    if let Some(rope) = &config.rope {
        tensors.extend(keys.rope(rope, config.head_dim)?);
    }
    let notes = keys.tokenizer(checkpoint)?;
    Ok(Description { metadata: keys.metadata, tensors, notes })
}

/// The parts of a configuration for which there is no key.
fn unspeakable(config: &Config) -> Vec<String> {
    let mut parts = Vec::new();
    let usual = if config.family == Family::Gpt2 { Activation::GeluTanh } else { Activation::Silu };
    if config.activation != usual {
        parts.push(format!("the activation function {:?} in a {}", config.activation, config.family));
    }
    if !config.scale_scores || config.scale_scores_by_layer {
        parts.push("scores that are not divided by the root of the head's length alone".to_owned());
    }
    if config.windows.iter().any(|window| Some(window) != config.windows.first()) {
        parts.push("windows of attention that differ between layers".to_owned());
    }
    if let Some(RopeConfig { scaling: RopeScaling::Yarn { truncate: false, .. }, .. }) = config.rope {
        parts.push("YaRN with a blend that is not rounded to whole pairs".to_owned());
    }
    parts
}

/// The name of the folder.
fn name(path: &Path) -> String {
    let full = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    full.file_name().map_or_else(|| "model".to_owned(), |name| name.to_string_lossy().into_owned())
}

struct Keys {
    architecture: &'static str,
    metadata: Vec<(String, Value)>,
}

impl Keys {
    fn general(&mut self, key: &str, value: Value) {
        self.metadata.push((key.to_owned(), value));
    }

    fn own(&mut self, key: &str, value: Value) {
        self.metadata.push((format!("{}.{key}", self.architecture), value));
    }

    /// Sizes were checked to be far below 2³² when the configuration was read.
    fn size(&mut self, key: &str, size: usize) {
        self.own(key, Value::U32(u32::try_from(size).unwrap_or(u32::MAX)));
    }

    fn number(&mut self, key: &str, number: f32) {
        self.own(key, Value::F32(number));
    }

    /// The rotary embedding; Llama 3's stretching is a tensor.
    fn rope(&mut self, rope: &RopeConfig, head_dim: usize) -> Result<Option<(String, Tensor)>, Error> {
        self.size("rope.dimension_count", head_dim);
        self.number("rope.freq_base", rope.theta);
        let scaling_type =
            |keys: &mut Keys, kind: &str| keys.own("rope.scaling.type", Value::String(kind.to_owned()));
        let divisors = match &rope.scaling {
            RopeScaling::Default => return Ok(None),
            RopeScaling::Linear { factor } => {
                scaling_type(self, "linear");
                self.number("rope.scaling.factor", *factor);
                return Ok(None);
            }
            RopeScaling::Yarn {
                factor, original_context, beta_fast, beta_slow, attention_factor, ..
            } => {
                scaling_type(self, "yarn");
                self.number("rope.scaling.factor", *factor);
                self.own("rope.scaling.original_context_length", Value::U32(*original_context as u32));
                self.number("rope.scaling.yarn_beta_fast", *beta_fast);
                self.number("rope.scaling.yarn_beta_slow", *beta_slow);
                // A reader multiplies YaRN's own sharpening by this.
                self.number("rope.scaling.attn_factor", attention_factor / yarn_magnitude(*factor, 1.0));
                return Ok(None);
            }
            RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } => {
                llama3_divisors(
                    rope.theta,
                    head_dim,
                    *factor,
                    *low_freq_factor,
                    *high_freq_factor,
                    *original_context,
                )
            }
            RopeScaling::Divisors(divisors) => divisors.clone(),
        };
        let tensor = Tensor::from_f32([divisors.len()], divisors)?;
        Ok(Some(("rope_freqs.weight".to_owned(), tensor)))
    }

    /// The tokenizer and the chat template; also what is to be said about them.
    fn tokenizer(&mut self, checkpoint: &Checkpoint) -> Result<Vec<String>, Error> {
        let Some(tokenizer) = checkpoint.tokenizer()? else {
            self.general("tokenizer.ggml.model", Value::String("none".to_owned()));
            return Ok(vec!["there is no tokenizer beside the weights, so the file has none".to_owned()]);
        };
        let described = GgufVocab::describe(&tokenizer, checkpoint.config().vocab_size);
        let vocab =
            described.map_err(|source| Error::Tokenizer { path: checkpoint.path().into(), source })?;
        let text = |text: &str| Value::String(text.to_owned());
        self.general("tokenizer.ggml.model", text(&vocab.model));
        if let Some(pre) = &vocab.pre {
            self.general("tokenizer.ggml.pre", text(pre));
        }
        self.general("tokenizer.ggml.tokens", Value::Array(Array::from_strings(&vocab.tokens)));
        if let Some(kinds) = &vocab.token_types {
            self.general("tokenizer.ggml.token_type", Value::Array(Array::from_i32(kinds)));
        }
        if let Some(scores) = &vocab.scores {
            self.general("tokenizer.ggml.scores", Value::Array(Array::from_f32(scores)));
        }
        if let Some(merges) = &vocab.merges {
            self.general("tokenizer.ggml.merges", Value::Array(Array::from_strings(merges)));
        }
        let ends = &checkpoint.generation().eos_ids;
        let eos = if vocab.add_eos == Some(true) { vocab.eos } else { ends.first().copied().or(vocab.eos) };
        let mut more = ends.iter().copied().filter(|end| Some(*end) != eos);
        let ids = [
            ("bos_token_id", vocab.bos),
            ("eos_token_id", eos),
            ("eot_token_id", more.next()),
            ("eom_token_id", more.next()),
            ("unknown_token_id", vocab.unk),
        ];
        for (name, id) in ids {
            if let Some(id) = id {
                self.general(&format!("tokenizer.ggml.{name}"), Value::U32(id));
            }
        }
        let flags = [
            ("add_bos_token", vocab.add_bos),
            ("add_eos_token", vocab.add_eos),
            ("add_space_prefix", vocab.add_space_prefix),
        ];
        for (name, flag) in flags {
            if let Some(flag) = flag {
                self.general(&format!("tokenizer.ggml.{name}"), Value::Bool(flag));
            }
        }
        if let Some(template) = checkpoint.chat_template()? {
            self.general("tokenizer.chat_template", text(template.source()));
        }
        Ok(Vec::new())
    }
}
