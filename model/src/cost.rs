//! The cost of a forward pass in bytes and operations, to compare measured speed with the machine's limits.

use crate::config::{Config, MlpKind};
use crate::model::Model;
use crate::spec;

impl Model {
    /// Bytes of weights read per generated token: the linear layers that it uses, and the unembedding.
    pub fn weight_bytes_per_token(&self) -> usize {
        let layers = self.decoder.linears().map(|(linear, share)| linear.size_bytes() as f64 * share);
        self.vocabulary().unembedding().size_bytes() + layers.sum::<f64>() as usize
    }

    /// Floating-point operations of a prompt of `tokens` tokens after `depth` others: the products with the weights
    /// that each token uses, with the unembedding for the last token, and attention's two products with the visible
    /// positions.
    pub fn prompt_flops(&self, depth: usize, tokens: usize) -> f64 {
        let Config { n_heads, head_dim, d_model, vocab_size, mlp, .. } = self.config;
        let share = |expert: Option<usize>| match (expert, mlp) {
            (Some(_), MlpKind::Experts { count, top_k }) => top_k as f64 / count as f64,
            _ => 1.0,
        };
        let parameters = spec::parameters(&self.config);
        let linear =
            parameters.iter().filter(|parameter| parameter.site.role.is_linear() && !parameter.is_bias);
        let weights: f64 =
            linear.map(|parameter| parameter.elements() as f64 * share(parameter.site.expert)).sum();
        let visible = |window: &Option<usize>| -> f64 {
            (depth + 1..=depth + tokens).map(|all| all.min(window.unwrap_or(all)) as f64).sum()
        };
        let seen: f64 = self.config.windows.iter().map(visible).sum();
        let attention = 2.0 * (n_heads * head_dim) as f64 * seen;
        2.0 * (weights * tokens as f64 + (vocab_size * d_model) as f64 + attention)
    }
}
