//! The time of a forward pass by kind of matrix product, measured in the engine that generates.
//!
//! An observer notes the time at each hook point, so the time between two points is that of the operations between
//! them. The engine runs some products as one operation: queries, keys and values; attention's scores and the pattern
//! times values, with the softmax between them; gate and up projection; all products of the experts. Their time is
//! shared out by the bytes they read for a single token, whose speed is limited by memory, and by their multiply-adds
//! for a prompt, whose speed is limited by arithmetic.

use std::time::{Duration, Instant};

use super::lens::likeliest;
use crate::config::{Config, MlpKind, NormPlacement};
use crate::hooks::{HookPoint, Observed, Observer, ViewError};
use crate::products::{Product, ProductKind};
use crate::runtime::Runtime;

/// What is measured, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatmulOptions {
    /// Whether to measure the pass over all tokens of the prompt, instead of that of the next token.
    pub prompt: bool,
    /// Number of measurements; the fastest is reported.
    pub runs: usize,
}

/// The matrix products of a pass with their times.
#[derive(Clone, Debug, PartialEq)]
pub struct Matmuls {
    /// Tokens before those of the pass.
    pub depth: usize,
    /// Tokens of the pass.
    pub tokens: usize,
    /// The products in the order of the pass.
    pub rows: Vec<TimedProduct>,
    /// Time of everything else: norms, rotations, activation functions, sums, the embedding.
    pub other: Duration,
    /// Time of the whole pass: the sum of all rows and `other`.
    pub total: Duration,
    /// Shortest time of the same pass without an observer.
    pub unobserved: Duration,
}

/// Products of a kind, and the time they take.
#[derive(Clone, Debug, PartialEq)]
pub struct TimedProduct {
    /// The products.
    pub product: Product,
    /// Their time.
    pub time: Duration,
    /// Whether it is a share of the time of several products that run as one operation.
    pub shared: bool,
}

/// Measures the pass of the token after `ids`, the most likely one, or of `ids` themselves.
///
/// # Errors
/// Those of [`Session::feed`](crate::Session::feed).
pub fn matmuls(model: &Runtime, ids: &[u32], options: &MatmulOptions) -> Result<Matmuls, ViewError> {
    let mut session = model.session(usize::MAX);
    let (pass, depth) = if options.prompt {
        (ids.to_vec(), 0)
    } else {
        let next = likeliest(session.feed(ids)?, 1).first().map_or(0, |first| first.id);
        (vec![next], ids.len())
    };
    let mut observed = Vec::new();
    let mut unobserved = Vec::new();
    // The first run, which is not counted, allocates the buffers.
    for run in 0..=options.runs.max(1) {
        session.truncate(depth);
        let start = Instant::now();
        session.feed(&pass)?;
        let alone = start.elapsed();
        session.truncate(depth);
        let mut watch = Stopwatch { last: Instant::now(), spans: Vec::new() };
        session.feed_observed(&pass, &mut watch)?;
        watch.add(None);
        if run > 0 {
            unobserved.push(alone);
            observed.push(watch.spans);
        }
    }
    let total = |spans: &[Span]| spans.iter().map(|span| span.1).sum::<Duration>();
    let spans = observed.into_iter().min_by_key(|spans| total(spans)).unwrap_or_default();
    let unobserved = unobserved.into_iter().min().unwrap_or_default();

    let products = model.products(depth, pass.len(), model.cache_format);
    let cost = |product: &Product| {
        if pass.len() == 1 { product.bytes as f64 } else { product.multiply_adds as f64 }
    };
    let mut rows: Vec<TimedProduct> = products
        .into_iter()
        .map(|product| TimedProduct { product, time: Duration::ZERO, shared: false })
        .collect();
    let mut other = total(&spans);
    let all = other;
    for (point, time) in spans {
        let kinds = point.map_or(&[][..], |point| products_before(&model.config, point));
        let in_group = |row: &&mut TimedProduct| kinds.contains(&row.product.kind);
        let whole: f64 = rows.iter_mut().filter(in_group).map(|row| cost(&row.product)).sum();
        for row in rows.iter_mut().filter(in_group) {
            let own = time.mul_f64(if whole > 0.0 { cost(&row.product) / whole } else { 0.0 });
            row.time += own;
            other = other.saturating_sub(own);
            row.shared = kinds.len() > 1;
        }
    }
    Ok(Matmuls { depth, tokens: pass.len(), rows, other, total: all, unobserved })
}

/// The products that run between the hook point before `point` and `point`.
fn products_before(config: &Config, point: HookPoint) -> &'static [ProductKind] {
    use ProductKind::{Down, Gate, K, Out, PatternV, Q, Router, Scores, Unembedding, Up, V};
    let post_norms = config.norm_placement == NormPlacement::Around;
    let branch_output =
        |before_norm: HookPoint, after: HookPoint| point == if post_norms { before_norm } else { after };
    match point {
        HookPoint::Q => &[Q, K, V],
        HookPoint::Z => &[Scores, PatternV],
        _ if branch_output(HookPoint::AttentionResult, HookPoint::AttentionOut) => &[Out],
        HookPoint::RouterLogits => &[Router],
        HookPoint::MlpPre => match config.mlp {
            MlpKind::Plain => &[Up],
            _ => &[Gate, Up],
        },
        _ if branch_output(HookPoint::MlpResult, HookPoint::MlpOut) => match config.mlp {
            MlpKind::Experts { .. } => &[Gate, Up, Down],
            _ => &[Down],
        },
        HookPoint::Logits => &[Unembedding],
        _ => &[],
    }
}

/// The time up to a hook point from the one before; `None` is the end.
type Span = (Option<HookPoint>, Duration);

/// Adds up the times between hook points. It does not want the scores and the pattern, for which the engine would run
/// attention in other pieces.
struct Stopwatch {
    last: Instant,
    spans: Vec<Span>,
}

impl Stopwatch {
    fn add(&mut self, point: Option<HookPoint>) {
        let now = Instant::now();
        let time = now - self.last;
        match self.spans.iter_mut().find(|span| span.0 == point) {
            Some(span) => span.1 += time,
            None => self.spans.push((point, time)),
        }
        self.last = now;
    }
}

impl Observer for Stopwatch {
    fn wants(&self, point: HookPoint, _: Option<usize>) -> bool {
        !matches!(point, HookPoint::Scores | HookPoint::Pattern)
    }

    fn see(&mut self, observed: Observed<'_>) {
        self.add(Some(observed.point));
    }
}
