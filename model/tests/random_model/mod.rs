//! Small models of every family with random sizes and weights, written as transformers writes them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use glassbox_model::quantize::{Mix, Quantization};
use glassbox_tensor::file::safetensors;
use glassbox_tensor::{Format, Pool, Tensor};
use proptest::prelude::*;
use serde_json::{Value, json};

pub(crate) const VOCAB_SIZE: usize = 53;
pub(crate) const CONTEXT: usize = 48;

/// The sizes of a random model.
#[derive(Clone, Debug)]
pub(crate) struct Sizes {
    family: &'static str,
    n_layers: usize,
    n_kv_heads: usize,
    heads_per_kv_head: usize,
    /// Half of what a head has, so that it can be rotated.
    half_head_dim: usize,
    d_ff: usize,
    /// Mistral's sliding window.
    window: usize,
    tied: bool,
    seed: u64,
}

pub(crate) fn sizes() -> impl Strategy<Value = Sizes> {
    let family = prop::sample::select(vec!["gpt2", "llama", "mistral", "qwen2", "qwen3"]);
    (family, 1usize..3, 1usize..4, 1usize..4, 1usize..20, 1usize..70, 1usize..9, any::<bool>(), any::<u64>())
        .prop_map(
            |(family, n_layers, n_kv_heads, heads_per_kv_head, half_head_dim, d_ff, window, tied, seed)| {
                Sizes {
                    family,
                    n_layers,
                    n_kv_heads,
                    heads_per_kv_head,
                    half_head_dim,
                    d_ff,
                    window,
                    tied,
                    seed,
                }
            },
        )
}

impl Sizes {
    fn n_heads(&self) -> usize {
        self.n_kv_heads * self.heads_per_kv_head
    }

    /// The width of all heads together, and of the model.
    fn width(&self) -> usize {
        self.n_heads() * 2 * self.half_head_dim
    }

    fn config(&self) -> Value {
        if self.family == "gpt2" {
            return json!({
                "model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "activation_function": "gelu_new",
                "n_embd": self.width(), "n_head": self.n_heads(), "n_inner": self.d_ff, "n_layer": self.n_layers,
                "n_positions": CONTEXT, "vocab_size": VOCAB_SIZE, "layer_norm_epsilon": 1e-5,
                "tie_word_embeddings": true,
            });
        }
        let window = (self.family == "mistral").then_some(self.window);
        json!({
            "model_type": self.family, "hidden_act": "silu", "hidden_size": self.width(),
            "intermediate_size": self.d_ff, "num_hidden_layers": self.n_layers, "num_attention_heads": self.n_heads(),
            "num_key_value_heads": self.n_kv_heads, "head_dim": 2 * self.half_head_dim, "vocab_size": VOCAB_SIZE,
            "max_position_embeddings": CONTEXT, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
            "tie_word_embeddings": self.tied, "sliding_window": window,
        })
    }

    /// The tensors' names and dimensions, as transformers saves them.
    fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let (d, ff, kv) = (self.width(), self.d_ff, self.n_kv_heads * 2 * self.half_head_dim);
        let mut tensors: Vec<(String, Vec<usize>)> = Vec::new();
        let mut add = |name: String, dims: &[usize]| tensors.push((name, dims.to_vec()));
        let gpt2 = self.family == "gpt2";
        if gpt2 {
            add("transformer.wte.weight".into(), &[VOCAB_SIZE, d]);
            add("transformer.wpe.weight".into(), &[CONTEXT, d]);
            for part in ["weight", "bias"] {
                add(format!("transformer.ln_f.{part}"), &[d]);
            }
        } else {
            add("model.embed_tokens.weight".into(), &[VOCAB_SIZE, d]);
            add("model.norm.weight".into(), &[d]);
            if !self.tied {
                add("lm_head.weight".into(), &[VOCAB_SIZE, d]);
            }
        }
        for layer in 0..self.n_layers {
            if gpt2 {
                // These projections are saved with a row for each input.
                for (name, inputs, outputs) in [
                    ("attn.c_attn", d, 3 * d),
                    ("attn.c_proj", d, d),
                    ("mlp.c_fc", d, ff),
                    ("mlp.c_proj", ff, d),
                ] {
                    add(format!("transformer.h.{layer}.{name}.weight"), &[inputs, outputs]);
                    add(format!("transformer.h.{layer}.{name}.bias"), &[outputs]);
                }
                for norm in ["ln_1", "ln_2"] {
                    for part in ["weight", "bias"] {
                        add(format!("transformer.h.{layer}.{norm}.{part}"), &[d]);
                    }
                }
                continue;
            }
            let block = format!("model.layers.{layer}");
            for (name, outputs, inputs) in [
                ("self_attn.q_proj", d, d),
                ("self_attn.k_proj", kv, d),
                ("self_attn.v_proj", kv, d),
                ("self_attn.o_proj", d, d),
                ("mlp.gate_proj", ff, d),
                ("mlp.up_proj", ff, d),
                ("mlp.down_proj", d, ff),
            ] {
                add(format!("{block}.{name}.weight"), &[outputs, inputs]);
                if self.family == "qwen2"
                    && ["q_proj", "k_proj", "v_proj"].iter().any(|part| name.ends_with(part))
                {
                    add(format!("{block}.{name}.bias"), &[outputs]);
                }
            }
            for norm in ["input_layernorm", "post_attention_layernorm"] {
                add(format!("{block}.{norm}.weight"), &[d]);
            }
            if self.family == "qwen3" {
                for norm in ["q_norm", "k_norm"] {
                    add(format!("{block}.self_attn.{norm}.weight"), &[2 * self.half_head_dim]);
                }
            }
        }
        tensors
    }

    /// Writes the checkpoint, its weights uniform in -1..1.
    fn write(&self, folder: &Path) {
        fs::write(folder.join("config.json"), self.config().to_string()).unwrap();
        let mut random = Random(self.seed);
        let tensors = self.tensors().into_iter().map(|(name, dims)| {
            let values = (0..dims.iter().product()).map(|_| random.unit() * 2.0 - 1.0).collect();
            (name, Tensor::from_f32(dims, values).unwrap())
        });
        let tensors: BTreeMap<String, Tensor> = tensors.collect();
        safetensors::write(folder.join("model.safetensors"), &BTreeMap::new(), &tensors).unwrap();
    }

    /// Writes the checkpoint into `folder`, as a GGUF if it is to be quantised, and gives its path.
    pub(crate) fn write_as(&self, format: Option<Format>, folder: &Path, pool: &Pool) -> PathBuf {
        self.write(folder);
        let Some(format) = format else { return folder.to_owned() };
        let file = folder.join("model.gguf");
        let plan = Quantization::plan(folder, Mix::mostly(format)).unwrap();
        plan.write(pool, &file, |_| {}).unwrap();
        file
    }
}

/// splitmix64
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 24) as f32
    }
}
