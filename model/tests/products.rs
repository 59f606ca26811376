//! The matrix products of a pass: their number and size, for every family and format, and their time.

mod tiny;

use glassbox_model::config::MlpKind;
use glassbox_model::glass::{MatmulOptions, matmuls};
use glassbox_model::linear::Linear;
use glassbox_model::mlp::{GatedMlp, Mlp};
use glassbox_model::{Product, ProductKind, Runtime};
use glassbox_tensor::CacheFormat;
use tiny::{ids, kinds, models};

fn sum(products: &[Product], kind: ProductKind) -> (usize, u128, usize) {
    let own = products.iter().filter(|product| product.kind == kind);
    own.fold((0, 0, 0), |(count, multiply_adds, bytes), product| {
        (count + product.count, multiply_adds + product.multiply_adds, bytes + product.bytes)
    })
}

/// The linear layers of a kind in all blocks, one expert after the other.
fn linears(model: &Runtime, kind: ProductKind) -> Vec<&Linear> {
    let of_gated = |mlp: &GatedMlp| match kind {
        ProductKind::Gate => mlp.gate.site,
        ProductKind::Up => mlp.up.site,
        _ => mlp.down.site,
    };
    let mut found = Vec::new();
    for block in &model.decoder.blocks {
        let attention = &block.attention.layer;
        match (kind, &block.mlp.layer) {
            (ProductKind::Q, _) => found.push(&attention.q),
            (ProductKind::K, _) => found.push(&attention.k),
            (ProductKind::V, _) => found.push(&attention.v),
            (ProductKind::Out, _) => found.push(&attention.out),
            (ProductKind::Up, Mlp::Plain { up, .. }) => found.push(up),
            (ProductKind::Down, Mlp::Plain { down, .. }) => found.push(down),
            (ProductKind::Router, Mlp::Experts(experts)) => found.push(&experts.router),
            (ProductKind::Gate | ProductKind::Up | ProductKind::Down, mlp) => {
                let all: Vec<&GatedMlp> = match mlp {
                    Mlp::Gated(mlp) => vec![mlp],
                    Mlp::Experts(experts) => experts.experts.iter().collect(),
                    Mlp::Plain { .. } => vec![],
                };
                for mlp in all {
                    let linears = [&mlp.gate, &mlp.up, &mlp.down];
                    found.extend(linears.into_iter().filter(|linear| linear.site == of_gated(mlp)));
                }
            }
            _ => {}
        }
    }
    found
}

#[test]
fn the_products_of_a_pass_are_those_of_its_layers() {
    for (name, model) in models() {
        let config = &model.config;
        let (experts, top_k) = match config.mlp {
            MlpKind::Experts { count, top_k } => (count, top_k),
            _ => (1, 1),
        };
        for (depth, tokens) in [(0, 1), (40, 1), (0, 7), (20, 9)] {
            let products = model.products(depth, tokens, CacheFormat::F16);
            use ProductKind::{Down, Gate, K, Out, Q, Router, Up, V};
            let mut total: u128 = 0;
            for kind in [Q, K, V, Out, Router, Gate, Up, Down] {
                let linears = linears(&model, kind);
                let of_experts = [Gate, Up, Down].contains(&kind);
                let used = if of_experts { experts.min(top_k * tokens) } else { 1 };
                let (experts, per_token) = if of_experts { (experts, top_k) } else { (1, 1) };
                let elements: u128 =
                    linears.iter().map(|l| (l.weight.outputs() * l.weight.inputs() * tokens) as u128).sum();
                let bytes: usize = linears.iter().map(|linear| linear.size_bytes()).sum();
                let expected = (
                    linears.len() * used / experts,
                    elements * per_token as u128 / experts as u128,
                    bytes * used / experts,
                );
                assert_eq!(sum(&products, kind), expected, "{name} {kind:?} {depth} {tokens}");
                total += expected.1;
            }
            // Every query of every head, by counting the keys that it sees.
            let mut pairs = 0;
            let mut keys = 0;
            for window in &config.windows {
                let sees = |query: usize, key: usize| {
                    key <= query && window.is_none_or(|window| query - key < window)
                };
                let queries = || depth..depth + tokens;
                pairs +=
                    queries().map(|query| (0..=query).filter(|&key| sees(query, key)).count()).sum::<usize>();
                keys += (0..depth + tokens).filter(|&key| queries().any(|query| sees(query, key))).count();
            }
            let count = config.n_layers * config.n_heads;
            let multiply_adds = (pairs * config.n_heads * config.head_dim) as u128;
            let bytes = keys * config.n_kv_heads * config.head_dim * 2;
            for kind in [ProductKind::Scores, ProductKind::PatternV] {
                assert_eq!(sum(&products, kind), (count, multiply_adds, bytes), "{name} {depth} {tokens}");
                total += multiply_adds;
            }
            let unembedding = model.vocabulary().unembedding();
            let elements = (config.vocab_size * config.d_model) as u128;
            let expected = (1, elements, unembedding.size_bytes());
            assert_eq!(sum(&products, ProductKind::Unembedding), expected, "{name}");
            total += elements;
            assert_eq!(model.prompt_flops(depth, tokens), 2.0 * total as f64, "{name}");
            assert!(products.is_sorted_by_key(|product| product.kind));
            assert!(
                products.iter().all(|product| product.is_weight() != product.formats.is_empty()),
                "{name}"
            );
        }
        let weights = model.products(5, 1, CacheFormat::F32).into_iter().filter(Product::is_weight);
        assert_eq!(
            model.weight_bytes_per_token(),
            weights.map(|product| product.bytes).sum::<usize>(),
            "{name}"
        );
    }
}

#[test]
fn the_times_of_all_products_and_the_rest_add_up_to_the_whole() {
    for (name, model) in kinds() {
        let ids = ids(&model);
        for prompt in [false, true] {
            let found = matmuls(&model, &ids, &MatmulOptions { prompt, runs: 3 }).unwrap();
            let expected = if prompt { (0, ids.len()) } else { (ids.len(), 1) };
            assert_eq!((found.depth, found.tokens), expected);
            let products: Vec<Product> = found.rows.iter().map(|row| row.product.clone()).collect();
            assert_eq!(products, model.products(found.depth, found.tokens, model.cache_format), "{name}");
            // Each product's time was found between two hook points.
            assert!(found.rows.iter().all(|row| !row.time.is_zero()), "{name}: {found:?}");
            assert!(!found.other.is_zero() && !found.unobserved.is_zero());
            let sum = found.rows.iter().map(|row| row.time).sum::<std::time::Duration>() + found.other;
            // Shares are rounded to nanoseconds.
            assert!(sum.abs_diff(found.total).as_nanos() < 100, "{name}: {sum:?} of {:?}", found.total);
        }
        assert!(matmuls(&model, &[], &MatmulOptions { prompt: true, runs: 1 }).is_err());
        assert!(matmuls(&model, &[], &MatmulOptions { prompt: false, runs: 1 }).is_err());
    }
}
