//! What a pass costs: bytes read and multiply-adds done, to hold a speed against what the machine allows.

use crate::config::Config;
use crate::gpt2::Gpt2;
use crate::layers::Linear;
use crate::llama::Llama;
use crate::model::{Model, Weights};

impl Model {
    /// The linear layers of all blocks.
    fn linears(&self) -> Vec<&Linear> {
        match &self.weights {
            Weights::Gpt2(model) => linears_of_gpt2(model),
            Weights::Llama(model) => linears_of_llama(model),
        }
    }

    /// Bytes of weights that a generated token needs: every linear layer and the unembedding.
    pub fn weight_bytes_per_token(&self) -> usize {
        let unembedding = self.vocabulary().unembedding().size_bytes();
        unembedding + self.linears().iter().map(|linear| linear.size_bytes()).sum::<usize>()
    }

    /// Floating-point operations of a prompt of `tokens` tokens behind `depth` others: the products with all weights,
    /// for the last token with the unembedding, and attention's two products with what each token can see.
    pub fn prompt_flops(&self, depth: usize, tokens: usize) -> f64 {
        let Config { n_layers, n_heads, head_dim, d_model, vocab_size, .. } = self.config;
        let weights: usize = self.linears().iter().map(|l| l.weight.outputs() * l.weight.inputs()).sum();
        let seen: f64 = (depth + 1..=depth + tokens).map(|visible| visible as f64).sum();
        let attention = 2.0 * (n_layers * n_heads * head_dim) as f64 * seen;
        2.0 * ((weights * tokens + vocab_size * d_model) as f64 + attention)
    }
}

fn linears_of_gpt2(model: &Gpt2) -> Vec<&Linear> {
    model.blocks.iter().flat_map(|b| [&b.q, &b.k, &b.v, &b.attention_out, &b.mlp_in, &b.mlp_out]).collect()
}

fn linears_of_llama(model: &Llama) -> Vec<&Linear> {
    model.blocks.iter().flat_map(|b| [&b.q, &b.k, &b.v, &b.attention_out, &b.gate, &b.up, &b.down]).collect()
}
