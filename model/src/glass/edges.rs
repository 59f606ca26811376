//! The strongest attention edges over many heads, ranked by weight, by the vector that they move, or by a logit.
//!
//! An attention weight tells how much a head attends to a token, but not how much comes of it: the value of a token may
//! be nearly zero. Attention sinks are the extreme case, with the largest weights and the smallest values. So an edge
//! is also measured by the length of the vector that it adds to the residual stream, ‖α · f(x)‖, where f(x) is the key
//! token's value through the head's columns of the output projection. Kobayashi et al., "Attention is not only a
//! weight: analyzing transformers with vector norms" (2020).

use std::cmp::Ordering;
use std::ops::Range;

use glassbox_tensor::ops::{Gemm, View, ViewMut, gemm};

use super::attention::PatternRows;
use super::direction::{self, WeightRows, dot, widened};
use super::lens::likeliest;
use super::top_k::TopK;
use crate::hooks::{HookPoint, Keep, Then, ViewError, check};
use crate::runtime::Runtime;
use crate::spec::Role;

/// An attention edge: in one head, the query token attends to the key token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Edge {
    /// The layer.
    pub layer: usize,
    /// The head.
    pub head: usize,
    /// The query's position.
    pub query: usize,
    /// The key's position.
    pub key: usize,
    /// The attention weight α, from 0 to 1.
    pub weight: f32,
    /// The length of the vector that the edge adds to the residual stream of the query, ‖α · f(x)‖. With a post norm,
    /// after it.
    pub value: f64,
    /// What that vector adds to the logit of [`Edges::answer`], directly; `None` without an answer.
    pub logit: Option<f64>,
}

/// The measure by which edges are ranked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EdgeMeasure {
    /// [`Edge::weight`]
    Weight,
    /// [`Edge::value`]
    Value,
    /// The absolute value of [`Edge::logit`].
    Logit,
}

/// Selects and ranks edges.
#[derive(Clone, Debug, PartialEq)]
pub struct EdgeOptions {
    /// Only this layer.
    pub layer: Option<usize>,
    /// Only edges from this query position.
    pub from: Option<usize>,
    /// Only edges to this key position.
    pub to: Option<usize>,
    /// The measure.
    pub by: EdgeMeasure,
    /// The token whose logit [`Edge::logit`] refers to. By default, it is the most likely one if edges are ranked by
    /// logit, and there is none otherwise.
    pub answer: Option<u32>,
    /// Whether to include edges to the first token, an attention sink of many heads: Xiao et al., "Efficient streaming
    /// language models with attention sinks" (2023). Always included if `to` is the first position.
    pub include_first: bool,
    /// Whether to include edges from a token to itself. Always included if `from` is `to`.
    pub include_self: bool,
    /// Maximum number of edges.
    pub top: usize,
}

impl Default for EdgeOptions {
    /// The twenty strongest edges by value, without those to the first token and to oneself.
    fn default() -> EdgeOptions {
        EdgeOptions {
            layer: None,
            from: None,
            to: None,
            by: EdgeMeasure::Value,
            answer: None,
            include_first: false,
            include_self: false,
            top: 20,
        }
    }
}

/// The strongest edges.
#[derive(Clone, Debug, PartialEq)]
pub struct Edges {
    /// The edges, strongest first.
    pub edges: Vec<Edge>,
    /// The fraction of all attention, of the selected layers and queries, that goes to the first token.
    pub first_share: f64,
    /// The fraction that goes from a token to itself, except from the first.
    pub self_share: f64,
    /// The token whose logit the edges' [`Edge::logit`] refers to.
    pub answer: Option<Answer>,
}

/// A token whose logit is attributed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Answer {
    /// The position whose next token it is.
    pub position: usize,
    /// The token.
    pub id: u32,
    /// Its logit.
    pub logit: f32,
}

/// The strongest edges of all heads. The model runs twice: once for the values, once for the weights.
///
/// A logit belongs to one position, so with an answer the default of `from` is the last position.
///
/// ```
/// use glassbox_model::Checkpoint;
/// use glassbox_model::glass::{EdgeOptions, strongest_edges};
/// use glassbox_tensor::{Level, Pool};
///
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tiny/llama-text");
/// let model = Checkpoint::open(path)?.run_on(Pool::new(1, Level::detect())?)?;
/// // Which head attends from position 3 to position 1?
/// let options = EdgeOptions { from: Some(3), to: Some(1), ..EdgeOptions::default() };
/// let edges = strongest_edges(&model, &[1, 70, 71, 72], &options)?.edges;
/// assert_eq!(edges.len(), model.config.n_layers * model.config.n_heads);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`ViewError::OutOfRange`] for a layer, position or token, [`ViewError::FutureKey`], or errors of
/// [`Session::feed`](crate::Session::feed).
pub fn strongest_edges(model: &Runtime, ids: &[u32], options: &EdgeOptions) -> Result<Edges, ViewError> {
    let &EdgeOptions { layer, to, by, answer, .. } = options;
    layer.map_or(Ok(()), |layer| check("layer", layer, model.config.n_layers))?;
    answer.map_or(Ok(()), |token| check("token", token as usize, model.config.vocab_size))?;
    if ids.is_empty() {
        return Err(crate::Error::NoTokens.into());
    }
    let with_answer = by == EdgeMeasure::Logit || answer.is_some();
    let from = options.from.or(with_answer.then_some(ids.len() - 1));
    for position in from.into_iter().chain(to) {
        check("position", position, ids.len())?;
    }
    if let (Some(query), Some(key)) = (from, to)
        && key > query
    {
        return Err(ViewError::FutureKey { query, key });
    }
    let queries = from.map_or(0..ids.len(), |query| query..query + 1);
    let keys = to.map_or(0..queries.end, |key| key..key + 1);
    let ids = &ids[..queries.end];

    let values = Values::of(model, ids, options, queries.clone(), keys.clone(), with_answer)?;
    let skipped = |query: usize, key: usize| {
        let first = key == 0 && !options.include_first && to != Some(0);
        let own = key == query && !options.include_self && (from.is_none() || from != to);
        first || own && query > 0
    };
    let mut most = TopK::new(options.top);
    let (mut rows, mut first_sum, mut self_sum) = (0usize, 0.0, 0.0);
    let mut patterns = PatternRows {
        layer,
        each: |layer, head, query, row: &[f32]| {
            rows += 1;
            first_sum += f64::from(row[0]);
            self_sum += if query > 0 { f64::from(row[query]) } else { 0.0 };
            for (key, &weight) in row.iter().enumerate().take(keys.end).skip(keys.start) {
                if !skipped(query, key) {
                    let [value, logit] = values.at(layer, head, query, key);
                    let value = f64::from(weight) * value;
                    let logit = with_answer.then(|| f64::from(weight) * logit);
                    let edge = Edge { layer, head, query, key, weight, value, logit };
                    most.offer(edge, |a, b| a.compare(b, by));
                }
            }
        },
    };
    let mut session = model.session(usize::MAX);
    if queries.start > 0 {
        session.feed(&ids[..queries.start])?;
    }
    session.feed_observed(&ids[queries], &mut patterns)?;
    let share = |sum: f64| sum / rows.max(1) as f64;
    Ok(Edges {
        first_share: share(first_sum),
        self_share: share(self_sum),
        edges: most.sorted(|a, b| a.compare(b, by)),
        answer: values.answer,
    })
}

impl Edge {
    /// The stronger one first; ties in order of computation.
    fn compare(&self, other: &Edge, by: EdgeMeasure) -> Ordering {
        let measure = |edge: &Edge| match by {
            EdgeMeasure::Weight => f64::from(edge.weight),
            EdgeMeasure::Value => edge.value,
            EdgeMeasure::Logit => edge.logit.unwrap_or(0.0).abs(),
        };
        let point = |edge: &Edge| (edge.layer, edge.head, edge.query, edge.key);
        measure(other).total_cmp(&measure(self)).then_with(|| point(self).cmp(&point(other)))
    }
}

/// For every head and key, the length of the vector that a weight of 1 would add to the stream, and to the logit.
struct Values {
    n_heads: usize,
    keys: Range<usize>,
    first_query: usize,
    first_layer: usize,
    /// `[layers, n_heads, keys]`
    lengths: Vec<f64>,
    /// `[layers, n_heads, keys]`; empty without an answer.
    logits: Vec<f64>,
    /// `[layers, queries]`: the scale of the post norm; empty without post norms.
    scales: Vec<f64>,
    queries: usize,
    answer: Option<Answer>,
}

impl Values {
    /// Runs `ids`, which end with the last query.
    fn of(
        model: &Runtime,
        ids: &[u32],
        options: &EdgeOptions,
        queries: Range<usize>,
        keys: Range<usize>,
        with_answer: bool,
    ) -> Result<Values, ViewError> {
        let config = &model.config;
        let layers = options.layer.map_or(0..config.n_layers, |layer| layer..layer + 1);
        let at_layers = |point| layers.clone().map(move |layer| (point, Some(layer)));
        let last_layer = config.n_layers.checked_sub(1);
        let outside = with_answer.then_some((HookPoint::ResidPost, last_layer));
        let keep_values = Keep::of_rows(at_layers(HookPoint::V)).at(keys.clone());
        let keep_queries = Keep::of_rows(at_layers(HookPoint::AttentionResult).chain(outside));
        let mut keep = Then(keep_values, keep_queries.at(queries.clone()));
        let mut session = model.session(usize::MAX);
        let logits = session.feed_observed(ids, &mut keep)?;
        let Then(keep_values, keep_queries) = keep;
        let answer = with_answer.then(|| {
            let id =
                options.answer.or_else(|| likeliest(logits, 1).first().map(|first| first.id)).unwrap_or(0);
            Answer { position: queries.start, id, logit: logits[id as usize] }
        });
        let at_query = |point, layer, query| {
            keep_queries.rows(point, layer).and_then(|rows| rows.at(query)).unwrap_or(&[])
        };
        let direction = answer.map(|Answer { position, id, .. }| {
            direction::of_logit(model, at_query(HookPoint::ResidPost, last_layer, position), id)
        });
        let direction = direction.transpose()?;

        let mut values = Values {
            n_heads: config.n_heads,
            keys,
            first_query: queries.start,
            first_layer: layers.start,
            lengths: Vec::new(),
            logits: Vec::new(),
            scales: Vec::new(),
            queries: queries.len(),
            answer,
        };
        for layer in layers {
            let Some(rows) = keep_values.rows(HookPoint::V, Some(layer)) else { continue };
            let attention = &model.decoder.blocks[layer].attention;
            let projection = WeightRows::of(model, &attention.layer.out)?.to_f32();
            let output = |query| at_query(HookPoint::AttentionResult, Some(layer), query);
            let v = Heads { model, values: &rows.values };
            let post = attention.post.as_ref();
            let post = direction::post_norm(model, Role::AttentionPostNorm, layer, post);
            if let Some(direction) = &direction {
                let direction = direction::before_post_norm(post, output(queries.start), direction);
                v.add_logits(&projection, &direction, &mut values.logits);
            }
            let post = post.map(|norm| {
                values.scales.extend(queries.clone().map(|query| norm.frozen(output(query)).scale));
                let mut norm = norm.frozen(output(queries.start));
                norm.scale = 1.0;
                norm
            });
            v.add_lengths(
                &projection,
                |x| post.map_or_else(|| widened(x), |norm| norm.apply(&widened(x))),
                &mut values.lengths,
            );
        }
        Ok(values)
    }

    /// What a weight of 1 from `query` to `key` would add: the length of the vector, and to the logit.
    fn at(&self, layer: usize, head: usize, query: usize, key: usize) -> [f64; 2] {
        let layer = layer - self.first_layer;
        let i = (layer * self.n_heads + head) * self.keys.len() + key - self.keys.start;
        let scale = self.scales.get(layer * self.queries + query - self.first_query).copied().unwrap_or(1.0);
        [self.lengths[i] * scale, self.logits.get(i).copied().unwrap_or(0.0)]
    }
}

/// The values of one layer, `[keys, n_kv_heads, head_dim]`.
struct Heads<'a> {
    model: &'a Runtime,
    values: &'a [f32],
}

impl Heads<'_> {
    /// Appends, for every head and key, the dot product of `direction`, `[d_model]`, with the value through the head's
    /// columns of `projection`, `[d_model, n_heads · head_dim]`.
    fn add_logits(&self, projection: &[f32], direction: &[f64], logits: &mut Vec<f64>) {
        let config = &self.model.config;
        let width = config.n_heads * config.head_dim;
        let mut by_head = vec![0.0; width];
        for (row, &factor) in projection.chunks_exact(width).zip(direction) {
            by_head.iter_mut().zip(row).for_each(|(sum, &weight)| *sum += factor * f64::from(weight));
        }
        for (head, by_head) in by_head.chunks_exact(config.head_dim).enumerate() {
            let first = self.kv_head(head) * config.head_dim;
            let keys = self.values.chunks_exact(config.n_kv_heads * config.head_dim);
            logits.extend(keys.map(|key| dot(by_head, &key[first..first + config.head_dim])));
        }
    }

    /// Appends, for every head and key, the length of `to_stream` of the value through the head's columns.
    fn add_lengths(
        &self,
        projection: &[f32],
        to_stream: impl Fn(&[f32]) -> Vec<f64>,
        lengths: &mut Vec<f64>,
    ) {
        let config = &self.model.config;
        let (d_model, head_dim) = (config.d_model, config.head_dim);
        let (width, kv_width) = (config.n_heads * head_dim, config.n_kv_heads * head_dim);
        let keys = self.values.len() / kv_width;
        let mut moved = vec![0.0; keys * d_model];
        for head in 0..config.n_heads {
            let first = self.kv_head(head) * head_dim;
            let v = View::new(self.values, keys, kv_width).columns(first..first + head_dim);
            let own = head * head_dim..(head + 1) * head_dim;
            let columns = View::new(projection, d_model, width).columns(own).transposed();
            let out = ViewMut::new(&mut moved, keys, d_model);
            self.model.pool.enter(|team| gemm(team, Gemm::new(v, columns), out));
            let length = |x: &[f32]| to_stream(x).iter().map(|x| x * x).sum::<f64>().sqrt();
            lengths.extend(moved.chunks_exact(d_model).map(length));
        }
    }

    fn kv_head(&self, head: usize) -> usize {
        head / (self.model.config.n_heads / self.model.config.n_kv_heads)
    }
}
