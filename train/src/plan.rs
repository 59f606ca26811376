//! Which tensors a network of a configuration consists of, and what each is for.

use glassbox_model::{Config, Family};

use crate::error::Error;
use crate::plain::linear::{Order, Shape};
use crate::tensors::{Kind, Layout};

/// A network's parts, each naming its tensors by their index in the layout.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) embedding: usize,
    pub(crate) positions: Option<usize>,
    pub(crate) blocks: Vec<Block>,
    pub(crate) norm_final: Norm,
    /// `None` if it is the embedding.
    pub(crate) unembedding: Option<usize>,
}

#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) norm1: Norm,
    /// Side by side they make queries, keys and values: one layer in GPT-2, three in Llama.
    pub(crate) qkv: Vec<Linear>,
    pub(crate) attention_out: Linear,
    pub(crate) norm2: Norm,
    /// Before the activation.
    pub(crate) mlp_in: Linear,
    /// What the activations are multiplied by, in a gated feed-forward layer.
    pub(crate) mlp_up: Option<Linear>,
    pub(crate) mlp_out: Linear,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Norm {
    pub(crate) weight: usize,
    /// With a bias it is a layer norm, without one an RMS norm.
    pub(crate) bias: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Linear {
    pub(crate) shape: Shape,
    pub(crate) weight: usize,
    pub(crate) bias: Option<usize>,
}

impl Block {
    /// All linear layers, in the order they are used.
    pub(crate) fn linears(&self) -> impl Iterator<Item = &Linear> {
        let mlp = [Some(&self.mlp_in), self.mlp_up.as_ref(), Some(&self.mlp_out)];
        self.qkv.iter().chain([&self.attention_out]).chain(mlp.into_iter().flatten())
    }
}

impl Plan {
    /// The parts of a network of this configuration, and the layout of its tensors.
    pub(crate) fn new(config: &Config) -> Result<(Plan, Layout), Error> {
        if let Some(problem) = config.contradictions().into_iter().next() {
            return Err(Error::Contradiction { problem });
        }
        if config.qk_norm {
            return Err(Error::Unsupported { family: config.family, what: "a norm on every query and key" });
        }
        let mut layout = Layout::default();
        let plan = match config.family {
            Family::Gpt2 => gpt2(config, &mut layout),
            _ => llama(config, &mut layout),
        };
        Ok((plan, layout))
    }
}

fn gpt2(config: &Config, layout: &mut Layout) -> Plan {
    let (d, ff) = (config.d_model, config.d_ff);
    let norm = |layout: &mut Layout, name: String| Norm {
        weight: layout.push(format!("{name}.weight"), &[d], Kind::Norm),
        bias: Some(layout.push(format!("{name}.bias"), &[d], Kind::Norm)),
    };
    let linear = |layout: &mut Layout, name: String, inputs: usize, outputs: usize| Linear {
        shape: Shape { inputs, outputs, order: Order::InputsOutputs },
        weight: layout.push(format!("{name}.weight"), &[inputs, outputs], Kind::Weight),
        bias: Some(layout.push(format!("{name}.bias"), &[outputs], Kind::Bias)),
    };
    let embedding = layout.push("transformer.wte.weight", &[config.vocab_size, d], Kind::Embedding);
    let positions = layout.push("transformer.wpe.weight", &[config.context_length, d], Kind::Embedding);
    let block = |layer: usize| {
        let name = |part: &str| format!("transformer.h.{layer}.{part}");
        Block {
            norm1: norm(layout, name("ln_1")),
            qkv: vec![linear(layout, name("attn.c_attn"), d, 3 * d)],
            attention_out: linear(layout, name("attn.c_proj"), d, d),
            norm2: norm(layout, name("ln_2")),
            mlp_in: linear(layout, name("mlp.c_fc"), d, ff),
            mlp_up: None,
            mlp_out: linear(layout, name("mlp.c_proj"), ff, d),
        }
    };
    let blocks = (0..config.n_layers).map(block).collect();
    let norm_final = norm(layout, "transformer.ln_f".to_string());
    Plan {
        embedding,
        positions: Some(positions),
        blocks,
        norm_final,
        unembedding: unembedding(config, layout),
    }
}

fn llama(config: &Config, layout: &mut Layout) -> Plan {
    let (d, ff) = (config.d_model, config.d_ff);
    let (queries, keys) = (config.n_heads * config.head_dim, config.n_kv_heads * config.head_dim);
    let norm = |layout: &mut Layout, name: String| Norm {
        weight: layout.push(format!("{name}.weight"), &[d], Kind::Norm),
        bias: None,
    };
    let linear = |layout: &mut Layout, name: String, inputs: usize, outputs: usize, bias: bool| Linear {
        shape: Shape { inputs, outputs, order: Order::OutputsInputs },
        weight: layout.push(format!("{name}.weight"), &[outputs, inputs], Kind::Weight),
        bias: bias.then(|| layout.push(format!("{name}.bias"), &[outputs], Kind::Bias)),
    };
    let embedding = layout.push("model.embed_tokens.weight", &[config.vocab_size, d], Kind::Embedding);
    let block = |layer: usize| {
        let name = |part: &str| format!("model.layers.{layer}.{part}");
        let (qkv_bias, out_bias, mlp_bias) = (config.qkv_bias, config.attention_out_bias, config.mlp_bias);
        Block {
            norm1: norm(layout, name("input_layernorm")),
            qkv: vec![
                linear(layout, name("self_attn.q_proj"), d, queries, qkv_bias),
                linear(layout, name("self_attn.k_proj"), d, keys, qkv_bias),
                linear(layout, name("self_attn.v_proj"), d, keys, qkv_bias),
            ],
            attention_out: linear(layout, name("self_attn.o_proj"), queries, d, out_bias),
            norm2: norm(layout, name("post_attention_layernorm")),
            mlp_in: linear(layout, name("mlp.gate_proj"), d, ff, mlp_bias),
            mlp_up: Some(linear(layout, name("mlp.up_proj"), d, ff, mlp_bias)),
            mlp_out: linear(layout, name("mlp.down_proj"), ff, d, mlp_bias),
        }
    };
    let blocks = (0..config.n_layers).map(block).collect();
    let norm_final = norm(layout, "model.norm".to_string());
    Plan { embedding, positions: None, blocks, norm_final, unembedding: unembedding(config, layout) }
}

fn unembedding(config: &Config, layout: &mut Layout) -> Option<usize> {
    let shape = [config.vocab_size, config.d_model];
    (!config.tied).then(|| layout.push("lm_head.weight", &shape, Kind::Embedding))
}
