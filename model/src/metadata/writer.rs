//! The metadata of a new GGUF.

use glassbox_tensor::file::gguf::Value;
use glassbox_tensor::ops::Activation;

use crate::config::Config;
use crate::rope::{RopeConfig, RopeScaling, yarn_magnitude};

/// Keys and values in llama.cpp's terms, and the parts that these cannot express.
pub(crate) struct MetadataWriter {
    architecture: &'static str,
    pub(crate) metadata: Vec<(String, Value)>,
    /// The divisor of each pair's frequency, if needed; it is written as a tensor.
    pub(crate) rope_divisors: Option<Vec<f32>>,
    /// One phrase for each part of the configuration without a key.
    pub(crate) problems: Vec<String>,
}

impl MetadataWriter {
    pub(crate) fn new(architecture: &'static str) -> MetadataWriter {
        MetadataWriter { architecture, metadata: Vec::new(), rope_divisors: None, problems: Vec::new() }
    }

    /// A key of every architecture.
    pub(crate) fn general(&mut self, key: &str, value: Value) {
        self.metadata.push((key.to_owned(), value));
    }

    /// The sizes, which every architecture has.
    pub(crate) fn sizes(&mut self, config: &Config) {
        self.general("general.architecture", Value::String(self.architecture.to_owned()));
        for (key, size) in [
            ("block_count", config.n_layers),
            ("context_length", config.context_length),
            ("embedding_length", config.d_model),
            ("feed_forward_length", config.d_ff),
            ("vocab_size", config.vocab_size),
            ("attention.head_count", config.n_heads),
            ("attention.head_count_kv", config.n_kv_heads),
        ] {
            self.size(key, size);
        }
    }

    /// A key of this architecture.
    pub(crate) fn own(&mut self, key: &str, value: Value) {
        self.metadata.push((format!("{}.{key}", self.architecture), value));
    }

    /// A size; the configuration's check keeps it far below 2³².
    pub(crate) fn size(&mut self, key: &str, size: usize) {
        self.own(key, Value::U32(u32::try_from(size).unwrap_or(u32::MAX)));
    }

    pub(crate) fn number(&mut self, key: &str, number: f32) {
        self.own(key, Value::F32(number));
    }

    /// Records that there is no key for `what`, if that is the case.
    pub(crate) fn refuse(&mut self, refused: bool, what: impl FnOnce() -> String) {
        if refused {
            self.problems.push(what());
        }
    }

    /// The dimension of a head, which may differ from `d_model / n_heads`.
    pub(crate) fn head_dim(&mut self, config: &Config) {
        self.size("attention.key_length", config.head_dim);
        self.size("attention.value_length", config.head_dim);
    }

    /// The architecture implies its activation function.
    pub(crate) fn implied_activation(&mut self, config: &Config, implied: Activation) {
        self.refuse(config.activation != implied, || {
            format!("the activation function {:?} in a {}", config.activation, config.family)
        });
    }

    /// Every architecture implies that scores are divided by `√head_dim`.
    pub(crate) fn implied_score_scale(&mut self, config: &Config) {
        let root = (config.head_dim as f32).sqrt();
        self.refuse(config.score_divisor != root || config.scale_scores_by_layer, || {
            "scores that are not divided by √head_dim".to_owned()
        });
    }

    /// One window for all layers, or none.
    pub(crate) fn one_window(&mut self, config: &Config) {
        self.refuse(config.windows.iter().any(|window| Some(window) != config.windows.first()), || {
            "attention windows that differ between layers".to_owned()
        });
        if let Some(Some(window)) = config.windows.first() {
            self.size("attention.sliding_window", *window);
        }
    }

    /// One rotary embedding for all layers.
    pub(crate) fn one_rope(&mut self, config: &Config) {
        if let Some(rope) = config.ropes.first() {
            self.rope(rope);
        }
    }

    /// A rotary embedding. Llama 3's scaling is a tensor.
    pub(crate) fn rope(&mut self, rope: &RopeConfig) {
        self.size("rope.dimension_count", rope.dims);
        self.number("rope.freq_base", rope.theta);
        let kind = |kind: &str| Value::String(kind.to_owned());
        match &rope.scaling {
            RopeScaling::Default => {}
            RopeScaling::Linear { factor } => {
                self.own("rope.scaling.type", kind("linear"));
                self.number("rope.scaling.factor", *factor);
            }
            RopeScaling::Yarn {
                factor,
                original_context,
                beta_fast,
                beta_slow,
                truncate,
                attention_factor,
            } => {
                self.own("rope.scaling.type", kind("yarn"));
                self.number("rope.scaling.factor", *factor);
                self.own("rope.scaling.original_context_length", Value::U32(*original_context as u32));
                self.number("rope.scaling.yarn_beta_fast", *beta_fast);
                self.number("rope.scaling.yarn_beta_slow", *beta_slow);
                // Readers multiply YaRN's own factor by this.
                self.number("rope.scaling.attn_factor", attention_factor / yarn_magnitude(*factor, 1.0));
                self.refuse(!truncate, || {
                    "YaRN with an interpolation that is not rounded to whole pairs".to_owned()
                });
            }
            RopeScaling::Llama3 { .. } | RopeScaling::Divisors(_) => {
                self.rope_divisors = rope.divisors();
            }
        }
    }
}
