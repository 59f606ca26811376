//! A GPT in one sitting. **Read this first.**
//!
//! Slices and loops only: no cache, no threads. It runs GPT-2 and Llama, slowly; the rest of the crate computes the
//! same bits, fast.
//!
//! A token enters as an id and is looked up as a vector of `d_model` numbers. Each block (`layer` below) adds to that
//! vector twice, each time from a normed copy of it: **attention** brings information from the tokens before it, the
//! **feed-forward** layer (MLP) transforms each vector on its own. Nothing is overwritten, only added: one vector per
//! token runs through the model like a stream, the **residual stream** `x`. At the end its dot product with one vector
//! for each token of the vocabulary is that token's score, its *logit*. A softmax would turn logits into probabilities;
//! that and the choice of a token are the sampler's.
//!
//! All arrays are row-major: in `[tokens, d_model]`, `x[i * d_model..][..d_model]` is the vector of token `i`. A weight
//! is `[outputs, inputs]`. `a.mul_add(b, c)` is a·b + c, rounded once.

use std::collections::HashMap;

// Our own exponential: the same bits on every machine.
use glassbox_tensor::reference::{activate, exp};

use crate::config::{Config, MlpKind, NormPlacement, Residual};
use crate::error::Error;
use crate::load::Checkpoint;
use crate::spec::Role::{self, *};
use crate::spec::Site;

/// A model whose parameters are plain `f32` arrays.
pub struct Gpt {
    config: Config,
    /// By role, such as `Q`, and by layer.
    parameters: HashMap<Site, Parameter>,
}

/// The parameters of a linear layer or a norm.
pub(crate) struct Parameter {
    /// `[outputs, inputs]`, of a norm `[inputs]`
    pub(crate) weight: Vec<f32>,
    /// `[outputs]`
    pub(crate) bias: Option<Vec<f32>>,
    pub(crate) inputs: usize,
}

impl Gpt {
    /// One logit for every possible next token, after each token of `ids`: `[tokens, vocab_size]`.
    pub fn logits(&self, ids: &[u32]) -> Vec<f32> {
        // x: [tokens, d_model]
        let mut x = Vec::new();
        for (position, &id) in ids.iter().enumerate() {
            let mut vector = self.row(Embedding, id as usize).to_vec();
            if self.config.learned_positions {
                // GPT-2 adds where the token stands.
                add_scaled(&mut vector, 1.0, self.row(Positions, position));
            }
            x.extend(vector);
        }

        for layer in 0..self.config.n_layers {
            let normed = self.norm((AttentionNorm, layer), &x);
            add_scaled(&mut x, 1.0, &self.attention(layer, &normed));
            let normed = self.norm((MlpNorm, layer), &x);
            add_scaled(&mut x, 1.0, &self.feed_forward(layer, &normed));
        }

        let x = self.norm(FinalNorm, &x);
        // Tied: the unembedding is the embedding.
        self.linear(if self.config.tied { Embedding } else { Unembedding }, &x)
    }

    /// Tokens exchange information. In each head every token has a query, a key and a value; a token takes a share of
    /// the values of itself and of those before it, the larger the better its query matches their keys.
    ///
    /// `x` and the result are `[tokens, d_model]`.
    fn attention(&self, layer: usize, x: &[f32]) -> Vec<f32> {
        let Config { d_model, n_heads, n_kv_heads, head_dim, .. } = self.config;
        let tokens = x.len() / d_model;
        // q: [tokens, n_heads, head_dim]
        let mut q = self.linear((Q, layer), x);
        // k, v: [tokens, n_kv_heads, head_dim]. Llama may have fewer of these heads: each serves several queries.
        let (mut k, v) = (self.linear((K, layer), x), self.linear((V, layer), x));
        // How Llama says where a token stands. This does nothing in GPT-2.
        self.rotate(layer, &mut q, n_heads);
        self.rotate(layer, &mut k, n_kv_heads);

        let scale = self.config.score_scale(layer); // 1/√head_dim
        // Where the vector of a token's head is.
        let of = |token: usize, head: usize, heads: usize| {
            let start = (token * heads + head) * head_dim;
            start..start + head_dim
        };
        // z: [tokens, n_heads, head_dim], what each head takes from the values
        let mut z = vec![0.0; q.len()];
        for head in 0..n_heads {
            let kv_head = head / (n_heads / n_kv_heads);
            for token in 0..tokens {
                // One number for each token up to this one: first a score, after the softmax a share.
                let mut shares = Vec::new();
                for source in 0..=token {
                    let key = &k[of(source, kv_head, n_kv_heads)];
                    shares.push(dot(&q[of(token, head, n_heads)], key) * scale);
                }
                softmax(&mut shares);
                for (source, share) in shares.into_iter().enumerate() {
                    add_scaled(&mut z[of(token, head, n_heads)], share, &v[of(source, kv_head, n_kv_heads)]);
                }
            }
        }
        self.linear((AttentionOut, layer), &z)
    }

    /// Turns the queries or keys of every token, `[tokens, heads, head_dim]`: components `i` and `i + head_dim/2` are a
    /// pair, turned by `position · frequency[i]`. A dot product of the two then depends on their distance alone.
    fn rotate(&self, layer: usize, x: &mut [f32], heads: usize) {
        let Some(rope) = self.config.rope(layer) else { return };
        let (head_dim, mut angles) = (self.config.head_dim, rope.rotation());
        angles.extend_to(x.len() / (heads * head_dim));
        for (i, head) in x.chunks_exact_mut(head_dim).enumerate() {
            let position = i / heads;
            let (cos, sin) = angles.at(position);
            for pair in 0..head_dim / 2 {
                let (a, b) = (head[pair], head[pair + head_dim / 2]);
                head[pair] = a.mul_add(cos[pair], b * -sin[pair]);
                head[pair + head_dim / 2] = b.mul_add(cos[pair], a * sin[pair]);
            }
        }
    }

    /// Each token alone: the sum of one direction for each of `d_ff` neurons, times how active the neuron is. In GPT-2
    /// that is `activation(up)`, in Llama `activation(gate) · up`.
    ///
    /// `x` and the result are `[tokens, d_model]`.
    fn feed_forward(&self, layer: usize, x: &[f32]) -> Vec<f32> {
        let gated = self.config.mlp == MlpKind::Gated;
        // neurons: [tokens, d_ff]
        let mut neurons = self.linear((if gated { Gate } else { Up }, layer), x);
        for neuron in &mut neurons {
            *neuron = activate(self.config.activation, *neuron);
        }
        if gated {
            for (neuron, up) in neurons.iter_mut().zip(self.linear((Up, layer), x)) {
                *neuron *= up;
            }
        }
        self.linear((Down, layer), &neurons)
    }

    /// Brings every vector to one scale, then multiplies each component by a learned weight. Layer norm (GPT-2) also
    /// takes the mean off and adds a learned bias; RMS norm (Llama) does neither.
    fn norm(&self, site: impl Into<Site>, x: &[f32]) -> Vec<f32> {
        let Parameter { weight, bias, inputs } = &self.parameters[&site.into()];
        let (count, epsilon) = (*inputs as f32, self.config.norm_epsilon);
        let mut normed = Vec::new();
        for vector in x.chunks_exact(*inputs) {
            if let Some(bias) = bias {
                let mean = fold16(vector, |sum, x| sum + x) / count;
                let variance = fold16(vector, |sum, x| (x - mean).mul_add(x - mean, sum)) / count;
                let scale = 1.0 / (variance + epsilon).sqrt();
                normed.extend((0..*inputs).map(|i| (vector[i] - mean) * scale * weight[i] + bias[i]));
            } else {
                let mean_square = fold16(vector, |sum, x| x.mul_add(x, sum)) / count;
                let scale = 1.0 / (mean_square + epsilon).sqrt();
                normed.extend((0..*inputs).map(|i| weight[i] * (vector[i] * scale)));
            }
        }
        normed
    }

    /// `x · Wᵀ + b`: the dot product of every vector of `x` with every row of the weight.
    fn linear(&self, site: impl Into<Site>, x: &[f32]) -> Vec<f32> {
        let Parameter { weight, bias, inputs } = &self.parameters[&site.into()];
        let mut out = Vec::new();
        for vector in x.chunks_exact(*inputs) {
            for (output, row) in weight.chunks_exact(*inputs).enumerate() {
                let sum = dot(vector, row);
                out.push(bias.as_ref().map_or(sum, |bias| sum + bias[output]));
            }
        }
        out
    }

    fn row(&self, role: Role, row: usize) -> &[f32] {
        let Parameter { weight, inputs, .. } = &self.parameters[&role.into()];
        &weight[row * inputs..][..*inputs]
    }
}

/// `to += scale · from`
fn add_scaled(to: &mut [f32], scale: f32, from: &[f32]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = scale.mul_add(*from, *to);
    }
}

/// `Σ a·b`, from left to right.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).fold(0.0, |sum, (a, b)| a.mul_add(*b, sum))
}

/// Turns scores into shares that add up to 1. A score larger by 1 has a share larger by a factor of e.
fn softmax(scores: &mut [f32]) {
    // The largest becomes 0, so that no exponential is too large.
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for score in scores.iter_mut() {
        *score = exp(*score - largest);
    }
    let inverse = 1.0 / fold16(scores, |sum, x| sum + x);
    for score in scores {
        *score *= inverse;
    }
}

/// A sum along a vector, of which `add(sum, value)` takes in one value: sixteen partial sums, as a vector unit keeps
/// them, then added up in a tree. Floating-point numbers added in another order give another result; this order and
/// that of `dot` are those of every implementation here.
fn fold16(x: &[f32], add: impl Fn(f32, f32) -> f32) -> f32 {
    let mut sums = [0.0; 16];
    for (i, &x) in x.iter().enumerate() {
        sums[i % 16] = add(sums[i % 16], x);
    }
    for width in [8, 4, 2, 1] {
        for i in 0..width {
            sums[i] += sums[i + width];
        }
    }
    sums[0]
}

// Loading.

impl Gpt {
    /// Reads the parameters of a GPT-2 or Llama, whatever their number format. Queries, keys and values that a file
    /// keeps in one matrix are taken apart.
    ///
    /// # Errors
    /// As [`Checkpoint::load`], and [`Error::Unsupported`] for a model with parts that this page leaves out.
    pub fn open(checkpoint: &Checkpoint) -> Result<Gpt, Error> {
        let config = checkpoint.config().clone();
        let left_out = [
            (config.norm_placement != NormPlacement::Before, "norms after the layers"),
            (config.residual != Residual::Sequential, "a parallel residual"),
            (config.qk_norm, "norms of queries and keys"),
            (matches!(config.mlp, MlpKind::Experts { .. }), "experts"),
            (config.windows.iter().any(Option::is_some), "a sliding window"),
            (config.ropes.iter().any(|rope| rope.dims != config.head_dim), "partial rotary positions"),
            (config.embedding_scale != 1.0, "scaled embeddings"),
        ];
        let present = left_out.iter().filter(|(present, _)| *present);
        let parts: Vec<String> = present.map(|(_, name)| (*name).to_owned()).collect();
        if !parts.is_empty() {
            return Err(Error::Unsupported { path: checkpoint.path().into(), parts });
        }
        let mut parameters = HashMap::new();
        for (parameter, numbers) in checkpoint.numbers()? {
            if parameter.is_bias {
                // The list has each bias behind its weight.
                parameters.entry(parameter.site).and_modify(|of: &mut Parameter| of.bias = Some(numbers));
            } else {
                let inputs = parameter.shape[parameter.shape.len() - 1];
                parameters.insert(parameter.site, Parameter { weight: numbers, bias: None, inputs });
            }
        }
        Ok(Gpt { config, parameters })
    }
}
