//! The matrix products of a forward pass, by kind: their shapes, number, multiply-adds, and the bytes they read.
//!
//! They are nearly all of a model's work. The products with weights come from the list of parameters
//! ([`spec`](crate::spec)); attention has two more, with the keys and values of the cache.

use std::collections::HashMap;

use glassbox_tensor::{CacheFormat, Format};

use crate::config::MlpKind;
use crate::linear::Linear;
use crate::model::Model;
use crate::spec::{self, Role, Site};

/// A kind of matrix product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ProductKind {
    /// To the queries.
    Q,
    /// To the keys.
    K,
    /// To the values.
    V,
    /// A query with the visible keys, q · kᵀ.
    Scores,
    /// The attention pattern with the visible values.
    PatternV,
    /// From the heads to the residual stream.
    Out,
    /// The router of a mixture of experts.
    Router,
    /// The gate of an MLP.
    Gate,
    /// From the residual stream to the hidden neurons.
    Up,
    /// From the hidden neurons to the residual stream.
    Down,
    /// The logits, of the last token only.
    Unembedding,
}

impl ProductKind {
    /// The kind in words.
    pub fn name(self) -> &'static str {
        match self {
            ProductKind::Q => "q",
            ProductKind::K => "k",
            ProductKind::V => "v",
            ProductKind::Scores => "scores q·kᵀ",
            ProductKind::PatternV => "pattern·v",
            ProductKind::Out => "out",
            ProductKind::Router => "router",
            ProductKind::Gate => "gate",
            ProductKind::Up => "up",
            ProductKind::Down => "down",
            ProductKind::Unembedding => "unembedding",
        }
    }

    /// The kind of the products with a parameter of this role, if there are any.
    fn of(role: Role) -> Option<ProductKind> {
        match role {
            Role::Q => Some(ProductKind::Q),
            Role::K => Some(ProductKind::K),
            Role::V => Some(ProductKind::V),
            Role::AttentionOut => Some(ProductKind::Out),
            Role::Router => Some(ProductKind::Router),
            Role::Gate => Some(ProductKind::Gate),
            Role::Up => Some(ProductKind::Up),
            Role::Down => Some(ProductKind::Down),
            _ => None,
        }
    }
}

/// The products of one kind and shape in a forward pass.
#[derive(Clone, Debug, PartialEq)]
pub struct Product {
    /// The kind.
    pub kind: ProductKind,
    /// Rows and columns of each matrix that the tokens' vectors are multiplied with. Of keys and values, the rows are
    /// the visible positions of the last token.
    pub shape: [usize; 2],
    /// Number of matrices: layers, times heads for attention, times the experts in use.
    pub count: usize,
    /// Multiply-adds of all of them, for all tokens of the pass.
    pub multiply_adds: u128,
    /// Bytes of the matrices with their biases, each counted once: what must be read from memory at least.
    pub bytes: usize,
    /// The number formats of weights, in order of first use; empty for keys and values, whose format is that of the
    /// cache.
    pub formats: Vec<Format>,
}

impl Model {
    /// The matrix products of a pass of `tokens` tokens after `depth` others, in the order of the pass, with a cache in
    /// `cache_format`. An adapter's are not included.
    pub fn products(&self, depth: usize, tokens: usize, cache_format: CacheFormat) -> Vec<Product> {
        let config = &self.config;
        let linears: HashMap<Site, &Linear> =
            self.decoder.linears().map(|(linear, _)| (linear.site, linear)).collect();
        let (expert_count, per_token) = match config.mlp {
            MlpKind::Experts { count, top_k } => (count, top_k),
            MlpKind::Plain | MlpKind::Gated => (1, 1),
        };
        // At most so many experts are used by any of the tokens.
        let used = expert_count.min(per_token.saturating_mul(tokens));
        let mut list = Products::default();
        for parameter in spec::parameters(config) {
            let Site { role, expert, .. } = parameter.site;
            let (Some(kind), &[rows, columns], Some(linear)) =
                (ProductKind::of(role), &parameter.shape[..], linears.get(&parameter.site))
            else {
                continue;
            };
            let elements = (rows * columns) as u128 * tokens as u128;
            let product = list.entry(kind, [rows, columns]);
            product.add_format(linear.weight.format());
            match expert {
                None => product.add(1, elements, linear.size_bytes()),
                // Every token uses `per_token` of the experts, whichever they are.
                Some(0) => product.add(used, elements * per_token as u128, linear.size_bytes()),
                Some(_) => product.add(0, 0, linear.size_bytes()),
            }
            if kind == ProductKind::V {
                let window =
                    parameter.site.layer.and_then(|layer| config.windows.get(layer).copied().flatten());
                list.attention(self, window, depth, tokens, cache_format);
            }
        }
        let unembedding = self.vocabulary().unembedding();
        let shape = [unembedding.outputs(), unembedding.inputs()];
        let product = list.entry(ProductKind::Unembedding, shape);
        product.add_format(unembedding.format());
        product.add(1, (shape[0] * shape[1]) as u128, unembedding.size_bytes());
        let mut list = list.0;
        for product in &mut list {
            if matches!(product.kind, ProductKind::Gate | ProductKind::Up | ProductKind::Down) {
                product.bytes = (product.bytes as u128 * used as u128 / expert_count.max(1) as u128) as usize;
            }
        }
        list.sort_by_key(|product| product.kind);
        list
    }
}

#[derive(Default)]
struct Products(Vec<Product>);

impl Products {
    fn entry(&mut self, kind: ProductKind, shape: [usize; 2]) -> &mut Product {
        let at = self.0.iter().position(|product| product.kind == kind && product.shape == shape);
        let at = at.unwrap_or_else(|| {
            self.0.push(Product { kind, shape, count: 0, multiply_adds: 0, bytes: 0, formats: Vec::new() });
            self.0.len() - 1
        });
        &mut self.0[at]
    }

    /// Attention's two products in one layer.
    fn attention(
        &mut self,
        model: &Model,
        window: Option<usize>,
        depth: usize,
        tokens: usize,
        cache_format: CacheFormat,
    ) {
        let config = &model.config;
        let window = window.unwrap_or(usize::MAX);
        let visible =
            (depth + 1..=depth + tokens).map(|positions| positions.min(window) as u128).sum::<u128>();
        let last = (depth + tokens).min(window);
        let read = (depth + tokens).min(window.saturating_add(tokens - tokens.min(1)));
        let multiply_adds = (config.n_heads * config.head_dim) as u128 * visible;
        let bytes = cache_format.bytes_of(read * config.n_kv_heads * config.head_dim);
        for (kind, shape) in
            [(ProductKind::Scores, [last, config.head_dim]), (ProductKind::PatternV, [config.head_dim, last])]
        {
            self.entry(kind, shape).add(config.n_heads, multiply_adds, bytes);
        }
    }
}

impl Product {
    fn add(&mut self, count: usize, multiply_adds: u128, bytes: usize) {
        self.count += count;
        self.multiply_adds += multiply_adds;
        self.bytes += bytes;
    }

    fn add_format(&mut self, format: Format) {
        if !self.formats.contains(&format) {
            self.formats.push(format);
        }
    }

    /// Whether the matrices are weights, rather than keys or values.
    pub fn is_weight(&self) -> bool {
        !matches!(self.kind, ProductKind::Scores | ProductKind::PatternV)
    }
}
