//! A GPT in one sitting. **Read this first.**
//!
//! Slices and loops only: no cache, no threads, no observers. This page computes GPT-2s and Llamas, slowly, and gives
//! the very bits that the rest of the crate gives fast.
//!
//! A token enters as an id, and is looked up as a vector of `d_model` numbers. Each block then adds to that vector
//! twice: **attention** brings information from the tokens before it, the **feed-forward** layer works on the vector
//! alone. Nothing is overwritten, only added: one vector per token runs through the model like a stream, the **residual
//! stream** `x`. At the end it is compared with the vector of every token in the vocabulary: one score for every
//! possible next token.
//!
//! All matrices are row-major: `[tokens, d_model]` is one vector after the other.

use std::collections::HashMap;

use glassbox_tensor::reference::{activate, exp};

use crate::config::{Config, MlpKind, NormPlacement, Residual};
use crate::error::Error;
use crate::load::Checkpoint;
use crate::spec::{Role, Site};

/// A model whose parameters are plain `f32` slices.
pub struct Gpt {
    config: Config,
    /// Every parameter, by where it is in the model and whether it is a bias. A weight is `[outputs, inputs]`.
    parameters: HashMap<(Site, bool), Vec<f32>>,
}

impl Gpt {
    /// One score for every possible next token, after each token of `ids`: `[tokens, vocab_size]`.
    pub fn logits(&self, ids: &[u32]) -> Vec<f32> {
        let d = self.config.d_model;
        let embedding = self.weight(Site::outside(Role::Embedding));

        // x [tokens, d_model]: what each token is, and in GPT-2 where it stands.
        let mut x = Vec::new();
        for (position, &id) in ids.iter().enumerate() {
            let mut vector = embedding[id as usize * d..][..d].to_vec();
            if self.config.learned_positions {
                add(&mut vector, &self.weight(Site::outside(Role::Positions))[position * d..][..d]);
            }
            x.extend(vector);
        }

        for layer in 0..self.config.n_layers {
            let normed = self.norm(Site::inside(Role::AttentionNorm, layer), &x);
            add(&mut x, &self.attention(layer, &normed));
            let normed = self.norm(Site::inside(Role::MlpNorm, layer), &x);
            add(&mut x, &self.feed_forward(layer, &normed));
        }

        let x = self.norm(Site::outside(Role::FinalNorm), &x);
        let tied = self.config.tied;
        self.linear(Site::outside(if tied { Role::Embedding } else { Role::Unembedding }), &x)
    }

    /// Tokens exchange information. Each head gives every token a query, a key and a value; a token takes from the
    /// values of itself and of those before it, from each by how well its query matches the key. `[tokens, d_model]`
    /// both ways.
    fn attention(&self, layer: usize, x: &[f32]) -> Vec<f32> {
        let Config { d_model, n_heads, n_kv_heads, head_dim, .. } = self.config;
        let tokens = x.len() / d_model;
        // [tokens, n_heads, head_dim]; k and v: [tokens, n_kv_heads, head_dim], each for several queries
        let mut q = self.linear(Site::inside(Role::Q, layer), x);
        let mut k = self.linear(Site::inside(Role::K, layer), x);
        let v = self.linear(Site::inside(Role::V, layer), x);
        self.rotate(layer, &mut q, n_heads);
        self.rotate(layer, &mut k, n_kv_heads);

        let mut z = vec![0.0; tokens * n_heads * head_dim];
        for head in 0..n_heads {
            let kv_head = head / (n_heads / n_kv_heads);
            let of_kv_head = |token: usize| (token * n_kv_heads + kv_head) * head_dim;
            for token in 0..tokens {
                let at = (token * n_heads + head) * head_dim;
                let query = &q[at..][..head_dim];
                // [token + 1]: how well the query matches each key, then the share of each value.
                let mut pattern: Vec<f32> = (0..=token)
                    .map(|other| {
                        dot(query, &k[of_kv_head(other)..][..head_dim]) * self.config.score_scale(layer)
                    })
                    .collect();
                softmax(&mut pattern);
                for (other, share) in pattern.into_iter().enumerate() {
                    for i in 0..head_dim {
                        z[at + i] = share.mul_add(v[of_kv_head(other) + i], z[at + i]);
                    }
                }
            }
        }
        self.linear(Site::inside(Role::AttentionOut, layer), &z)
    }

    /// Llama writes a token's position into its queries and keys: each pair of components is turned by an angle that
    /// grows with the position. `x` is `[tokens, heads, head_dim]`.
    fn rotate(&self, layer: usize, x: &mut [f32], heads: usize) {
        let Some(rope) = self.config.rope(layer) else { return };
        let (head_dim, mut rotation) = (self.config.head_dim, rope.rotation());
        rotation.extend_to(x.len() / (heads * head_dim));
        for (i, head) in x.chunks_exact_mut(head_dim).enumerate() {
            let (cos, sin) = rotation.at(i / heads);
            for pair in 0..head_dim / 2 {
                let (a, b) = (head[pair], head[pair + head_dim / 2]);
                head[pair] = a.mul_add(cos[pair], b * -sin[pair]);
                head[pair + head_dim / 2] = b.mul_add(cos[pair], a * sin[pair]);
            }
        }
    }

    /// Each token alone: `d_ff` neurons read its vector, and each that is active adds its own direction to the stream.
    fn feed_forward(&self, layer: usize, x: &[f32]) -> Vec<f32> {
        let linear = |role, x: &[f32]| self.linear(Site::inside(role, layer), x);
        // [tokens, d_ff]
        let mut neurons = linear(if self.config.mlp == MlpKind::Gated { Role::Gate } else { Role::Up }, x);
        neurons.iter_mut().for_each(|neuron| *neuron = activate(self.config.activation, *neuron));
        if self.config.mlp == MlpKind::Gated {
            neurons.iter_mut().zip(linear(Role::Up, x)).for_each(|(neuron, up)| *neuron *= up);
        }
        linear(Role::Down, &neurons)
    }

    /// Scales every vector to one size, then each component by a learned weight.
    fn norm(&self, site: Site, x: &[f32]) -> Vec<f32> {
        let (d, epsilon, weight) = (self.config.d_model, self.config.norm_epsilon, self.weight(site));
        let mut normed = Vec::new();
        for x in x.chunks_exact(d) {
            match self.parameters.get(&(site, true)) {
                // RMS norm (Llama)
                None => {
                    let mean_square = sum(x, |sum, x| x.mul_add(x, sum)) / d as f32;
                    let scale = 1.0 / (mean_square + epsilon).sqrt();
                    normed.extend((0..d).map(|i| weight[i] * (x[i] * scale)));
                }
                // Layer norm (GPT-2)
                Some(bias) => {
                    let mean = sum(x, |sum, x| sum + x) / d as f32;
                    let variance = sum(x, |sum, x| (x - mean).mul_add(x - mean, sum)) / d as f32;
                    let scale = 1.0 / (variance + epsilon).sqrt();
                    normed.extend((0..d).map(|i| (x[i] - mean) * scale * weight[i] + bias[i]));
                }
            }
        }
        normed
    }

    /// `x · Wᵀ + b`: the dot product of every vector of `x` with every row of the weight.
    fn linear(&self, site: Site, x: &[f32]) -> Vec<f32> {
        let (weight, bias) = (self.weight(site), self.parameters.get(&(site, true)));
        let inputs = match site.role {
            Role::Down => self.config.d_ff,
            Role::AttentionOut => self.config.n_heads * self.config.head_dim,
            _ => self.config.d_model,
        };
        let mut out = Vec::new();
        for x in x.chunks_exact(inputs) {
            for (output, row) in weight.chunks_exact(inputs).enumerate() {
                let sum = dot(x, row);
                out.push(bias.map_or(sum, |bias| sum + bias[output]));
            }
        }
        out
    }

    fn weight(&self, site: Site) -> &[f32] {
        &self.parameters[&(site, false)]
    }
}

fn add(to: &mut [f32], from: &[f32]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
}

/// `Σ a·b`, in order, each step rounded once.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).fold(0.0, |sum, (a, b)| a.mul_add(*b, sum))
}

/// Turns scores into shares that add up to 1; a score larger by 1 has a share larger by a factor of e.
fn softmax(scores: &mut [f32]) {
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    scores.iter_mut().for_each(|score| *score = exp(*score - largest));
    let inverse = 1.0 / sum(scores, |sum, x| sum + x);
    scores.iter_mut().for_each(|score| *score *= inverse);
}

/// The sum along a vector: sixteen partial sums, as a vector unit keeps them, then added up in a tree. This is the
/// order of summation that every implementation here follows, so that all give the same bits.
fn sum(x: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut sums = [0.0; 16];
    x.iter().enumerate().for_each(|(i, &x)| sums[i % 16] = f(sums[i % 16], x));
    for width in [8, 4, 2, 1] {
        (0..width).for_each(|i| sums[i] += sums[i + width]);
    }
    sums[0]
}

impl Gpt {
    /// Reads the parameters of a GPT-2 or Llama, whatever their number format.
    ///
    /// # Errors
    /// As [`Checkpoint::load`], and [`Error::Unsupported`] for a model with parts that this page leaves out.
    pub fn open(checkpoint: &Checkpoint) -> Result<Gpt, Error> {
        let config = checkpoint.config().clone();
        let left_out = [
            (config.norm_placement != NormPlacement::Before, "norms behind the layers"),
            (config.residual != Residual::Sequential, "a parallel residual"),
            (config.qk_norm, "norms of queries and keys"),
            (matches!(config.mlp, MlpKind::Experts { .. }), "experts"),
            (config.windows.iter().any(Option::is_some), "a sliding window"),
            (config.ropes.iter().any(|rope| rope.dims != config.head_dim), "partial rotary positions"),
            (config.embedding_scale != 1.0, "scaled embeddings"),
        ];
        let parts: Vec<String> =
            left_out.iter().filter(|(there, _)| *there).map(|(_, part)| (*part).to_owned()).collect();
        if !parts.is_empty() {
            return Err(Error::Unsupported { path: checkpoint.path().into(), parts });
        }
        Ok(Gpt { parameters: checkpoint.parameters_by_site()?, config })
    }
}
