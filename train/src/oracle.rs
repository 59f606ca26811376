//! The oracle of the fast network: a whole decoder of [`plain`](crate::plain) layers, from token ids to the loss and back.

use glassbox_model::config::Residual;
use glassbox_tensor::ops::Rotation;

use crate::batch::Batch;
use crate::network::Network;
use crate::plain::dropout::Place;
use crate::plain::linear::{Order, Shape};
use crate::plain::{Float, activation, attention, cross_entropy, dropout, embedding, linear, norm, rotary};
use crate::plan::{Block, Linear, Norm};
use crate::tensors::Layout;

/// The loss of each position of a batch, `[texts, tokens]`, and the gradient of `Σ weight · loss / total_weight` by
/// each trained number.
///
/// `trained` is used in place of the network's own trained values (all parameters, or those of the adapters alone), so that
/// a test can shift one number or compute in `f64`; everything else is taken from `network`.
///
/// # Panics
/// If `trained` or the batch do not fit the network.
pub fn loss_and_gradients<F: Float>(
    network: &Network,
    trained: &[F],
    batch: &Batch,
    total_weight: f64,
) -> (Vec<F>, Vec<F>) {
    let frozen: Vec<F> = match network.adapters() {
        Some(_) => network.parameters().values().iter().map(|&x| F::of(f64::from(x))).collect(),
        None => Vec::new(),
    };
    let base = if frozen.is_empty() { trained } else { &frozen };
    let rotations = (0..network.config().n_layers).map(|layer| {
        let mut rotation = network.rotation(layer).cloned();
        rotation.iter_mut().for_each(|rotation| rotation.extend_to(batch.tokens));
        rotation
    });
    let rotations = rotations.collect();
    Pass { network, base, trained, rotations, gradients: Vec::new() }.run(batch, total_weight)
}

struct Pass<'a, F> {
    network: &'a Network,
    base: &'a [F],
    trained: &'a [F],
    /// Of each layer.
    rotations: Vec<Option<Rotation>>,
    /// Of the trained numbers.
    gradients: Vec<F>,
}

/// What the backward pass needs to know of a block's forward pass, `[texts · tokens, d_model]` where nothing else is said.
struct Kept<F> {
    /// The residual stream in front of the block.
    x: Vec<F>,
    /// What attention reads.
    normed1: Vec<F>,
    /// Queries and keys in front of their norms, `[texts · tokens, n_heads · head_dim]` and `[texts · tokens, n_kv_heads ·
    /// head_dim]`; empty without such norms.
    qk: [Vec<F>; 2],
    /// `[texts · tokens, (n_heads + 2 · n_kv_heads) · head_dim]`
    qkv: Vec<F>,
    /// What the heads found, `[texts · tokens, n_heads · head_dim]`.
    z: Vec<F>,
    /// Attention's result in front of its post norm.
    attention_result: Vec<F>,
    /// The residual stream that attention has been added to.
    mid: Vec<F>,
    /// What the feed-forward layer reads.
    normed2: Vec<F>,
    /// In front of the activation, `[texts · tokens, d_ff]`.
    before: Vec<F>,
    /// What activations are multiplied by, `[texts · tokens, d_ff]`; empty without a gate.
    up: Vec<F>,
    /// Behind the activation and the gate, `[texts · tokens, d_ff]`.
    hidden: Vec<F>,
    /// The feed-forward layer's result in front of its post norm.
    mlp_result: Vec<F>,
}

impl<F: Float> Pass<'_, F> {
    fn run(&mut self, batch: &Batch, total_weight: f64) -> (Vec<F>, Vec<F>) {
        let (network, d) = (self.network, self.network.config().d_model);
        let (plan, vocab_size) = (network.plan(), network.config().vocab_size);
        let positions: Vec<u32> = (0..batch.texts).flat_map(|_| 0..batch.tokens as u32).collect();

        // Forward: the stream x starts as what the token is (and where it stands), and every block adds to it.
        let scale = F::of(f64::from(network.config().embedding_scale));
        let mut x = embedding::forward(self.at(plan.embedding), d, &batch.ids);
        x.iter_mut().for_each(|x| *x = *x * scale);
        if let Some(table) = plan.positions {
            add(&mut x, &embedding::forward(self.at(table), d, &positions));
        }
        self.drop_out(Place::Embedding, &mut x);
        let mut kept = Vec::new();
        for (layer, block) in plan.blocks.iter().enumerate() {
            let block = self.block(layer, block, x, batch.tokens);
            x = block.1;
            kept.push(block.0);
        }
        let normed = self.norm(plan.final_norm, &x);
        let head = plan.unembedding.unwrap_or(plan.embedding);
        let head_shape = Shape { inputs: d, outputs: vocab_size, order: Order::OutputsInputs };
        let logits = linear::forward(head_shape, &normed, self.at(head), None);
        let mut losses = cross_entropy::forward(&logits, vocab_size, &batch.targets);

        // Backward: the derivative of the loss by the stream, from its end to its start.
        self.gradients = vec![F::ZERO; self.trained.len()];
        let factors: Vec<F> =
            batch.weights.iter().map(|&weight| F::of(f64::from(weight) / total_weight)).collect();
        let dlogits = cross_entropy::backward(&logits, vocab_size, &batch.targets, &factors);
        let mut dhead = vec![F::ZERO; vocab_size * d];
        let dnormed = linear::backward(head_shape, &normed, self.at(head), &dlogits, Some(&mut dhead), None);
        self.learn(head, &dhead);
        let mut dx = self.norm_backward(plan.final_norm, &x, &dnormed);
        for ((layer, block), kept) in plan.blocks.iter().enumerate().zip(kept).rev() {
            dx = self.block_backward(layer, block, &kept, dx, batch.tokens);
        }
        self.drop_out(Place::Embedding, &mut dx);
        let mut table = vec![F::ZERO; vocab_size * d];
        let dembedding: Vec<F> = dx.iter().map(|&dx| dx * scale).collect();
        embedding::backward(d, &batch.ids, &dembedding, &mut table);
        self.learn(plan.embedding, &table);
        if let Some(index) = plan.positions {
            let mut table = vec![F::ZERO; network.config().context_length * d];
            embedding::backward(d, &positions, &dx, &mut table);
            self.learn(index, &table);
        }
        for (loss, &weight) in losses.iter_mut().zip(&batch.weights) {
            if weight == 0.0 {
                *loss = F::ZERO;
            }
        }
        (losses, std::mem::take(&mut self.gradients))
    }

    /// `mid = x + attention(norm(x))`, then `mid + mlp(norm(mid))`; with a parallel residual `mid + mlp(norm(x))`.
    fn block(&self, layer: usize, block: &Block, x: Vec<F>, tokens: usize) -> (Kept<F>, Vec<F>) {
        let shape = self.attention(layer, tokens);
        let activation = self.network.config().activation;

        let normed1 = self.norm(block.attention_norm, &x);
        let parts: Vec<Vec<F>> = block.qkv.linears.iter().map(|part| self.linear(part, &normed1)).collect();
        let mut qkv = join(&block.qkv.linears, &parts);
        if let Some(order) = &block.qkv.order {
            for row in qkv.chunks_exact_mut(shape.width()) {
                let old = row.to_vec();
                row.iter_mut().zip(order).for_each(|(x, &source)| *x = old[source]);
            }
        }
        let mut qk = [Vec::new(), Vec::new()];
        for (norm, (qk, first, columns)) in block.qk_norms.into_iter().flatten().zip(heads_of(shape, &mut qk))
        {
            *qk = columns_of(&qkv, shape.width(), first, columns);
            let normed = self.norm(norm, qk);
            put_columns(&normed, &mut qkv, shape.width(), first, columns);
        }
        if let Some(rotation) = &self.rotations[layer] {
            let heads = shape.heads + shape.kv_heads;
            rotary::forward(rotation, &mut qkv, shape.width(), heads, shape.head_dim, tokens);
        }
        let z = attention::forward(shape, &qkv);
        let attention_result = self.linear(&block.attention_out, &z);
        let mut mid = self.post_norm(block.attention_post_norm, &attention_result);
        self.drop_out(Place::Attention(layer), &mut mid);
        add(&mut mid, &x);

        let parallel = block.residual == Residual::Parallel;
        let normed2 = self.norm(block.mlp_norm, if parallel { &x } else { &mid });
        let before = self.linear(&block.mlp_in, &normed2);
        let up = block.mlp_gated.as_ref().map_or(Vec::new(), |gated| self.linear(gated, &normed2));
        let hidden = match up.is_empty() {
            true => activation::forward(activation, &before),
            false => activation::gate(activation, &before, &up),
        };
        let mlp_result = self.linear(&block.mlp_out, &hidden);
        let mut out = self.post_norm(block.mlp_post_norm, &mlp_result);
        self.drop_out(Place::FeedForward(layer), &mut out);
        add(&mut out, &mid);
        let kept =
            Kept { x, normed1, qk, qkv, z, attention_result, mid, normed2, before, up, hidden, mlp_result };
        (kept, out)
    }

    /// The stream reaches the block's end in two ways, past a layer and through it, so its derivative is the
    /// sum of both.
    fn block_backward(
        &mut self,
        layer: usize,
        block: &Block,
        kept: &Kept<F>,
        dout: Vec<F>,
        tokens: usize,
    ) -> Vec<F> {
        let shape = self.attention(layer, tokens);
        let activation = self.network.config().activation;
        let parallel = block.residual == Residual::Parallel;

        let mut dadded = dout.clone();
        self.drop_out(Place::FeedForward(layer), &mut dadded);
        let dresult = self.post_norm_backward(block.mlp_post_norm, &kept.mlp_result, dadded);
        let dhidden = self.linear_backward(&block.mlp_out, &kept.hidden, &dresult);
        let dnormed2 = match &block.mlp_gated {
            None => {
                let dbefore = activation::backward(activation, &kept.before, &dhidden);
                self.linear_backward(&block.mlp_in, &kept.normed2, &dbefore)
            }
            Some(gated) => {
                let (dbefore, dup) = activation::gate_backward(activation, &kept.before, &kept.up, &dhidden);
                let mut dnormed2 = self.linear_backward(&block.mlp_in, &kept.normed2, &dbefore);
                add(&mut dnormed2, &self.linear_backward(gated, &kept.normed2, &dup));
                dnormed2
            }
        };
        let mlp_input = if parallel { &kept.x } else { &kept.mid };
        let through_mlp = self.norm_backward(block.mlp_norm, mlp_input, &dnormed2);
        // What attention added has reached the end past the feed-forward layer, and unless parallel through it.
        let mut dmid = dout.clone();
        if !parallel {
            add(&mut dmid, &through_mlp);
        }

        let mut dadded = dmid.clone();
        self.drop_out(Place::Attention(layer), &mut dadded);
        let dresult = self.post_norm_backward(block.attention_post_norm, &kept.attention_result, dadded);
        let dz = self.linear_backward(&block.attention_out, &kept.z, &dresult);
        let mut dqkv = attention::backward(shape, &kept.qkv, &dz);
        if let Some(rotation) = &self.rotations[layer] {
            let heads = shape.heads + shape.kv_heads;
            rotary::backward(rotation, &mut dqkv, shape.width(), heads, shape.head_dim, tokens);
        }
        for (norm, (qk, first, columns)) in
            block.qk_norms.into_iter().flatten().zip(heads_of(shape, &kept.qk))
        {
            let dy = columns_of(&dqkv, shape.width(), first, columns);
            let dx = self.norm_backward(norm, qk, &dy);
            put_columns(&dx, &mut dqkv, shape.width(), first, columns);
        }
        if let Some(order) = &block.qkv.order {
            for row in dqkv.chunks_exact_mut(shape.width()) {
                let old = row.to_vec();
                order.iter().zip(old).for_each(|(&source, dx)| row[source] = dx);
            }
        }
        let mut dnormed1 = vec![F::ZERO; kept.x.len()];
        for (part, dy) in block.qkv.linears.iter().zip(split(&block.qkv.linears, &dqkv)) {
            add(&mut dnormed1, &self.linear_backward(part, &kept.normed1, &dy));
        }
        let mut dx = self.norm_backward(block.attention_norm, &kept.x, &dnormed1);
        add(&mut dx, &dmid);
        if parallel {
            add(&mut dx, &through_mlp);
        }
        dx
    }

    fn post_norm(&self, norm: Option<Norm>, x: &[F]) -> Vec<F> {
        norm.map_or_else(|| x.to_vec(), |norm| self.norm(norm, x))
    }

    fn post_norm_backward(&mut self, norm: Option<Norm>, x: &[F], dy: Vec<F>) -> Vec<F> {
        match norm {
            Some(norm) => self.norm_backward(norm, x, &dy),
            None => dy,
        }
    }

    fn drop_out(&self, place: Place, x: &mut [F]) {
        if let Some(dropout) = self.network.dropout() {
            dropout::apply(dropout, place, x);
        }
    }

    fn attention(&self, layer: usize, tokens: usize) -> attention::Shape {
        let config = self.network.config();
        attention::Shape {
            tokens,
            heads: config.n_heads,
            kv_heads: config.n_kv_heads,
            head_dim: config.head_dim,
            scale: config.score_scale(layer),
        }
    }

    /// The weight of a norm, with what is added to the stored one.
    fn norm_weight(&self, norm: Norm) -> Vec<F> {
        let offset = F::of(f64::from(norm.offset));
        self.at(norm.weight).iter().map(|&weight| weight + offset).collect()
    }

    fn norm(&self, norm: Norm, x: &[F]) -> Vec<F> {
        let epsilon = F::of(f64::from(self.network.config().norm_epsilon));
        let weight = self.norm_weight(norm);
        match norm.bias {
            Some(bias) => norm::layer_norm(x, &weight, self.at(bias), epsilon),
            None => norm::rms_norm(x, &weight, epsilon),
        }
    }

    fn norm_backward(&mut self, norm: Norm, x: &[F], dy: &[F]) -> Vec<F> {
        let epsilon = F::of(f64::from(self.network.config().norm_epsilon));
        let w = &self.norm_weight(norm);
        let (mut dw, mut db) = (vec![F::ZERO; w.len()], vec![F::ZERO; w.len()]);
        let dx = match norm.bias {
            Some(_) => norm::layer_norm_backward(x, w, epsilon, dy, Some(&mut dw), Some(&mut db)),
            None => norm::rms_norm_backward(x, w, epsilon, dy, Some(&mut dw)),
        };
        self.learn(norm.weight, &dw);
        if let Some(bias) = norm.bias {
            self.learn(bias, &db);
        }
        dx
    }

    /// `y = x · Wᵀ + b`, and with an adapter `+ scale · (x · Aᵀ) · Bᵀ`.
    fn linear(&self, part: &Linear, x: &[F]) -> Vec<F> {
        let mut y = linear::forward(part.shape, x, self.at(part.weight), part.bias.map(|bias| self.at(bias)));
        if let Some((down, up, [a, b], scale)) = self.adapter(part) {
            let detour = linear::forward(up, &linear::forward(down, x, a, None), b, None);
            y.iter_mut().zip(detour).for_each(|(y, detour)| *y += scale * detour);
        }
        y
    }

    fn linear_backward(&mut self, part: &Linear, x: &[F], dy: &[F]) -> Vec<F> {
        let shape = part.shape;
        let mut dw = vec![F::ZERO; shape.inputs * shape.outputs];
        let mut db = vec![F::ZERO; shape.outputs];
        let mut dx = linear::backward(shape, x, self.at(part.weight), dy, Some(&mut dw), Some(&mut db));
        self.learn(part.weight, &dw);
        if let Some(bias) = part.bias {
            self.learn(bias, &db);
        }
        if let Some((down, up, [a, b], scale)) = self.adapter(part) {
            // The detour is two linear layers one after the other; the factor belongs to its result.
            let scaled: Vec<F> = dy.iter().map(|&dy| scale * dy).collect();
            let u = linear::forward(down, x, a, None);
            let (mut d_a, mut d_b) = (vec![F::ZERO; a.len()], vec![F::ZERO; b.len()]);
            let du = linear::backward(up, &u, b, &scaled, Some(&mut d_b), None);
            add(&mut dx, &linear::backward(down, x, a, &du, Some(&mut d_a), None));
            let pair = self.network.adapters().and_then(|adapters| adapters.pair(part));
            for (index, d) in pair.into_iter().flat_map(|pair| [(pair.a, &d_a), (pair.b, &d_b)]) {
                let range = self.network.trained().layout().slots()[index].range.clone();
                add(&mut self.gradients[range], d);
            }
        }
        dx
    }

    /// The two layers of an adapter's detour, its matrices and its factor.
    fn adapter(&self, part: &Linear) -> Option<(Shape, Shape, [&[F]; 2], F)> {
        let adapters = self.network.adapters()?;
        let pair = adapters.pair(part)?;
        let down = Shape { inputs: part.shape.inputs, outputs: pair.rank, order: Order::OutputsInputs };
        let up = Shape { inputs: pair.rank, outputs: part.shape.outputs, order: Order::OutputsInputs };
        let layout = adapters.tensors().layout();
        let at = |index| tensor(layout, self.trained, index);
        Some((down, up, [at(pair.a), at(pair.b)], F::of(f64::from(pair.scale))))
    }

    /// A tensor of the base.
    fn at(&self, index: usize) -> &[F] {
        tensor(self.network.parameters().layout(), self.base, index)
    }

    /// Adds to the gradient of a tensor of the base, if that is what is trained.
    fn learn(&mut self, index: usize, d: &[F]) {
        if self.network.adapters().is_none() {
            let range = self.network.parameters().layout().slots()[index].range.clone();
            add(&mut self.gradients[range], d);
        }
    }
}

fn tensor<'a, F>(layout: &Layout, values: &'a [F], index: usize) -> &'a [F] {
    &values[layout.slots()[index].range.clone()]
}

fn add<F: Float>(to: &mut [F], from: &[F]) {
    for (to, &from) in to.iter_mut().zip(from) {
        *to += from;
    }
}

/// The query heads and the key heads of `qkv`, with what is kept of each: the first column, and how many columns.
fn heads_of<T>(
    shape: attention::Shape,
    kept: impl IntoIterator<Item = T>,
) -> impl Iterator<Item = (T, usize, usize)> {
    let (queries, keys) = (shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim);
    kept.into_iter()
        .zip([(0, queries), (queries, keys)])
        .map(|(kept, (first, columns))| (kept, first, columns))
}

/// Columns `first..first + columns` of a matrix of `width` columns.
fn columns_of<F: Float>(matrix: &[F], width: usize, first: usize, columns: usize) -> Vec<F> {
    matrix.chunks_exact(width).flat_map(|row| row[first..first + columns].iter().copied()).collect()
}

/// Writes columns `first..first + columns` of a matrix of `width` columns.
fn put_columns<F: Float>(values: &[F], matrix: &mut [F], width: usize, first: usize, columns: usize) {
    for (row, values) in matrix.chunks_exact_mut(width).zip(values.chunks_exact(columns)) {
        row[first..first + columns].copy_from_slice(values);
    }
}

/// Some layers' results side by side in one matrix.
fn join<F: Float>(layers: &[Linear], parts: &[Vec<F>]) -> Vec<F> {
    let rows = parts[0].len() / layers[0].shape.outputs;
    let mut all = Vec::with_capacity(parts.iter().map(Vec::len).sum());
    for row in 0..rows {
        for (layer, part) in layers.iter().zip(parts) {
            all.extend_from_slice(&part[row * layer.shape.outputs..][..layer.shape.outputs]);
        }
    }
    all
}

/// The columns of each layer.
fn split<F: Float>(layers: &[Linear], all: &[F]) -> Vec<Vec<F>> {
    let width: usize = layers.iter().map(|layer| layer.shape.outputs).sum();
    let mut parts = vec![Vec::new(); layers.len()];
    for mut row in all.chunks_exact(width) {
        for (layer, part) in layers.iter().zip(&mut parts) {
            let (own, rest) = row.split_at(layer.shape.outputs);
            part.extend_from_slice(own);
            row = rest;
        }
    }
    parts
}
