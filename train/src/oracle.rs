//! The oracle of the fast network: a decoder of [`plain`](crate::plain) layers, from token ids to the loss and the
//! gradients.

use glassbox_model::config::Residual;
use glassbox_tensor::ops::Rotation;

use crate::batch::Batch;
use crate::network::Network;
use crate::plain::dropout::DropoutSite;
use crate::plain::linear::{LinearShape, WeightOrder};
use crate::plain::{Float, activation, attention, cross_entropy, dropout, embedding, linear, norm, rotary};
use crate::plan::{BlockPlan, LinearPlan, NormPlan};
use crate::tensors::Layout;

/// The loss of each position of a batch, `[sequences, tokens]`, and the gradient of
/// `Σ weight · loss / total_weight` with respect to each trained parameter.
///
/// `trained` replaces the network's trained values (all parameters, or only those of the adapters), so that a test can
/// perturb a parameter or compute in `f64`. Everything else is taken from `network`.
///
/// # Panics
/// If `trained` or the batch does not fit the network.
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
    /// One per layer.
    rotations: Vec<Option<Rotation>>,
    /// With respect to `trained`.
    gradients: Vec<F>,
}

/// The activations of a block that the backward pass reads. The shape is `[sequences · tokens, d_model]` unless stated
/// otherwise.
struct Saved<F> {
    /// The residual stream before the block (resid_pre).
    x: Vec<F>,
    /// The input of attention.
    normed1: Vec<F>,
    /// Queries and keys before their norms, `[sequences · tokens, n_heads · head_dim]` and
    /// `[sequences · tokens, n_kv_heads · head_dim]`; empty without q/k norms.
    qk: [Vec<F>; 2],
    /// `[sequences · tokens, (n_heads + 2 · n_kv_heads) · head_dim]`
    qkv: Vec<F>,
    /// The heads' outputs, `[sequences · tokens, n_heads · head_dim]`.
    z: Vec<F>,
    /// The output of attention before its post norm.
    attention_result: Vec<F>,
    /// The residual stream after attention (resid_mid).
    mid: Vec<F>,
    /// The input of the MLP.
    normed2: Vec<F>,
    /// The input of the activation function, `[sequences · tokens, d_ff]`.
    before: Vec<F>,
    /// The factor of the activations, `[sequences · tokens, d_ff]`; empty unless the MLP is gated.
    up: Vec<F>,
    /// After activation and gate, `[sequences · tokens, d_ff]`.
    hidden: Vec<F>,
    /// The output of the MLP before its post norm.
    mlp_result: Vec<F>,
}

impl<F: Float> Pass<'_, F> {
    fn run(&mut self, batch: &Batch, total_weight: f64) -> (Vec<F>, Vec<F>) {
        let (network, d) = (self.network, self.network.config().d_model);
        let (plan, vocab_size) = (network.plan(), network.config().vocab_size);
        let positions: Vec<u32> = (0..batch.sequences).flat_map(|_| 0..batch.tokens as u32).collect();

        // Forward: the residual stream x starts as token embedding (plus position embedding); every block adds to it.
        let scale = F::of(f64::from(network.config().embedding_scale));
        let mut x = embedding::forward(self.at(plan.embedding), d, &batch.ids);
        x.iter_mut().for_each(|x| *x = *x * scale);
        if let Some(table) = plan.positions {
            add(&mut x, &embedding::forward(self.at(table), d, &positions));
        }
        self.drop_out(DropoutSite::Embedding, &mut x);
        let mut saved = Vec::new();
        for (layer, block) in plan.blocks.iter().enumerate() {
            let block = self.block(layer, block, x, batch.tokens);
            x = block.1;
            saved.push(block.0);
        }
        let normed = self.norm(plan.final_norm, &x);
        let head = plan.unembedding.unwrap_or(plan.embedding);
        let head_shape = LinearShape { inputs: d, outputs: vocab_size, order: WeightOrder::OutputsInputs };
        let logits = linear::forward(head_shape, &normed, self.at(head), None);
        let mut losses = cross_entropy::forward(&logits, vocab_size, &batch.targets);

        // Backward: the gradient of the residual stream, from its end to its start.
        self.gradients = vec![F::ZERO; self.trained.len()];
        let factors: Vec<F> =
            batch.weights.iter().map(|&weight| F::of(f64::from(weight) / total_weight)).collect();
        let dlogits = cross_entropy::backward(&logits, vocab_size, &batch.targets, &factors);
        let mut dhead = vec![F::ZERO; vocab_size * d];
        let dnormed = linear::backward(head_shape, &normed, self.at(head), &dlogits, Some(&mut dhead), None);
        self.add_gradient(head, &dhead);
        let mut dx = self.norm_backward(plan.final_norm, &x, &dnormed);
        for ((layer, block), saved) in plan.blocks.iter().enumerate().zip(saved).rev() {
            dx = self.block_backward(layer, block, &saved, dx, batch.tokens);
        }
        self.drop_out(DropoutSite::Embedding, &mut dx);
        let mut table = vec![F::ZERO; vocab_size * d];
        let dembedding: Vec<F> = dx.iter().map(|&dx| dx * scale).collect();
        embedding::backward(d, &batch.ids, &dembedding, &mut table);
        self.add_gradient(plan.embedding, &table);
        if let Some(index) = plan.positions {
            let mut table = vec![F::ZERO; network.config().context_length * d];
            embedding::backward(d, &positions, &dx, &mut table);
            self.add_gradient(index, &table);
        }
        for (loss, &weight) in losses.iter_mut().zip(&batch.weights) {
            if weight == 0.0 {
                *loss = F::ZERO;
            }
        }
        (losses, std::mem::take(&mut self.gradients))
    }

    /// `mid = x + attention(norm(x))`, then `mid + mlp(norm(mid))`; with a parallel residual `mid + mlp(norm(x))`.
    fn block(&self, layer: usize, block: &BlockPlan, x: Vec<F>, tokens: usize) -> (Saved<F>, Vec<F>) {
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
            set_columns(&normed, &mut qkv, shape.width(), first, columns);
        }
        if let Some(rotation) = &self.rotations[layer] {
            let heads = shape.heads + shape.kv_heads;
            rotary::forward(rotation, &mut qkv, shape.width(), heads, shape.head_dim, tokens);
        }
        let z = attention::forward(shape, &qkv);
        let attention_result = self.linear(&block.attention_out, &z);
        let mut mid = self.post_norm(block.attention_post_norm, &attention_result);
        self.drop_out(DropoutSite::Attention(layer), &mut mid);
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
        self.drop_out(DropoutSite::FeedForward(layer), &mut out);
        add(&mut out, &mid);
        let saved =
            Saved { x, normed1, qk, qkv, z, attention_result, mid, normed2, before, up, hidden, mlp_result };
        (saved, out)
    }

    /// The stream reaches the end of a branch both directly and through the layer, so its gradient is the sum of both.
    fn block_backward(
        &mut self,
        layer: usize,
        block: &BlockPlan,
        saved: &Saved<F>,
        dout: Vec<F>,
        tokens: usize,
    ) -> Vec<F> {
        let shape = self.attention(layer, tokens);
        let activation = self.network.config().activation;
        let parallel = block.residual == Residual::Parallel;

        let mut dadded = dout.clone();
        self.drop_out(DropoutSite::FeedForward(layer), &mut dadded);
        let dresult = self.post_norm_backward(block.mlp_post_norm, &saved.mlp_result, dadded);
        let dhidden = self.linear_backward(&block.mlp_out, &saved.hidden, &dresult);
        let dnormed2 = match &block.mlp_gated {
            None => {
                let dbefore = activation::backward(activation, &saved.before, &dhidden);
                self.linear_backward(&block.mlp_in, &saved.normed2, &dbefore)
            }
            Some(gated) => {
                let (dbefore, dup) =
                    activation::gate_backward(activation, &saved.before, &saved.up, &dhidden);
                let mut dnormed2 = self.linear_backward(&block.mlp_in, &saved.normed2, &dbefore);
                add(&mut dnormed2, &self.linear_backward(gated, &saved.normed2, &dup));
                dnormed2
            }
        };
        let mlp_input = if parallel { &saved.x } else { &saved.mid };
        let through_mlp = self.norm_backward(block.mlp_norm, mlp_input, &dnormed2);
        // Attention's output reaches the end of the block directly, and through the MLP unless the residual is
        // parallel.
        let mut dmid = dout.clone();
        if !parallel {
            add(&mut dmid, &through_mlp);
        }

        let mut dadded = dmid.clone();
        self.drop_out(DropoutSite::Attention(layer), &mut dadded);
        let dresult = self.post_norm_backward(block.attention_post_norm, &saved.attention_result, dadded);
        let dz = self.linear_backward(&block.attention_out, &saved.z, &dresult);
        let mut dqkv = attention::backward(shape, &saved.qkv, &dz);
        if let Some(rotation) = &self.rotations[layer] {
            let heads = shape.heads + shape.kv_heads;
            rotary::backward(rotation, &mut dqkv, shape.width(), heads, shape.head_dim, tokens);
        }
        for (norm, (qk, first, columns)) in
            block.qk_norms.into_iter().flatten().zip(heads_of(shape, &saved.qk))
        {
            let dy = columns_of(&dqkv, shape.width(), first, columns);
            let dx = self.norm_backward(norm, qk, &dy);
            set_columns(&dx, &mut dqkv, shape.width(), first, columns);
        }
        if let Some(order) = &block.qkv.order {
            for row in dqkv.chunks_exact_mut(shape.width()) {
                let old = row.to_vec();
                order.iter().zip(old).for_each(|(&source, dx)| row[source] = dx);
            }
        }
        let mut dnormed1 = vec![F::ZERO; saved.x.len()];
        for (part, dy) in block.qkv.linears.iter().zip(split(&block.qkv.linears, &dqkv)) {
            add(&mut dnormed1, &self.linear_backward(part, &saved.normed1, &dy));
        }
        let mut dx = self.norm_backward(block.attention_norm, &saved.x, &dnormed1);
        add(&mut dx, &dmid);
        if parallel {
            add(&mut dx, &through_mlp);
        }
        dx
    }

    fn post_norm(&self, norm: Option<NormPlan>, x: &[F]) -> Vec<F> {
        norm.map_or_else(|| x.to_vec(), |norm| self.norm(norm, x))
    }

    fn post_norm_backward(&mut self, norm: Option<NormPlan>, x: &[F], dy: Vec<F>) -> Vec<F> {
        match norm {
            Some(norm) => self.norm_backward(norm, x, &dy),
            None => dy,
        }
    }

    fn drop_out(&self, place: DropoutSite, x: &mut [F]) {
        if let Some(dropout) = self.network.dropout() {
            dropout::apply(dropout, place, x);
        }
    }

    fn attention(&self, layer: usize, tokens: usize) -> attention::AttentionShape {
        let config = self.network.config();
        attention::AttentionShape {
            tokens,
            heads: config.n_heads,
            kv_heads: config.n_kv_heads,
            head_dim: config.head_dim,
            scale: config.score_scale(layer),
        }
    }

    /// The weight of a norm: the stored weight plus its offset.
    fn norm_weight(&self, norm: NormPlan) -> Vec<F> {
        let offset = F::of(f64::from(norm.offset));
        self.at(norm.weight).iter().map(|&weight| weight + offset).collect()
    }

    fn norm(&self, norm: NormPlan, x: &[F]) -> Vec<F> {
        let epsilon = F::of(f64::from(self.network.config().norm_epsilon));
        let weight = self.norm_weight(norm);
        match norm.bias {
            Some(bias) => norm::layer_norm(x, &weight, self.at(bias), epsilon),
            None => norm::rms_norm(x, &weight, epsilon),
        }
    }

    fn norm_backward(&mut self, norm: NormPlan, x: &[F], dy: &[F]) -> Vec<F> {
        let epsilon = F::of(f64::from(self.network.config().norm_epsilon));
        let w = &self.norm_weight(norm);
        let (mut dw, mut db) = (vec![F::ZERO; w.len()], vec![F::ZERO; w.len()]);
        let dx = match norm.bias {
            Some(_) => norm::layer_norm_backward(x, w, epsilon, dy, Some(&mut dw), Some(&mut db)),
            None => norm::rms_norm_backward(x, w, epsilon, dy, Some(&mut dw)),
        };
        self.add_gradient(norm.weight, &dw);
        if let Some(bias) = norm.bias {
            self.add_gradient(bias, &db);
        }
        dx
    }

    /// `y = x · Wᵀ + b`, and with an adapter `+ scale · (x · Aᵀ) · Bᵀ`.
    fn linear(&self, part: &LinearPlan, x: &[F]) -> Vec<F> {
        let mut y = linear::forward(part.shape, x, self.at(part.weight), part.bias.map(|bias| self.at(bias)));
        if let Some((down, up, [a, b], scale)) = self.adapter(part) {
            let lora = linear::forward(up, &linear::forward(down, x, a, None), b, None);
            y.iter_mut().zip(lora).for_each(|(y, lora)| *y += scale * lora);
        }
        y
    }

    fn linear_backward(&mut self, part: &LinearPlan, x: &[F], dy: &[F]) -> Vec<F> {
        let shape = part.shape;
        let mut dw = vec![F::ZERO; shape.inputs * shape.outputs];
        let mut db = vec![F::ZERO; shape.outputs];
        let mut dx = linear::backward(shape, x, self.at(part.weight), dy, Some(&mut dw), Some(&mut db));
        self.add_gradient(part.weight, &dw);
        if let Some(bias) = part.bias {
            self.add_gradient(bias, &db);
        }
        if let Some((down, up, [a, b], scale)) = self.adapter(part) {
            // The LoRA branch is two linear layers in sequence; its output is scaled.
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

    /// The two layers of a LoRA branch, their matrices and the scale.
    fn adapter(&self, part: &LinearPlan) -> Option<(LinearShape, LinearShape, [&[F]; 2], F)> {
        let adapters = self.network.adapters()?;
        let pair = adapters.pair(part)?;
        let down =
            LinearShape { inputs: part.shape.inputs, outputs: pair.rank, order: WeightOrder::OutputsInputs };
        let up =
            LinearShape { inputs: pair.rank, outputs: part.shape.outputs, order: WeightOrder::OutputsInputs };
        let layout = adapters.tensors().layout();
        let at = |index| tensor(layout, self.trained, index);
        Some((down, up, [at(pair.a), at(pair.b)], F::of(f64::from(pair.scale))))
    }

    /// A tensor of the base parameters.
    fn at(&self, index: usize) -> &[F] {
        tensor(self.network.parameters().layout(), self.base, index)
    }

    /// Adds to the gradient of a base tensor, unless only adapters are trained.
    fn add_gradient(&mut self, index: usize, d: &[F]) {
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

/// Pairs the saved values of query heads and key heads with their first column in `qkv` and the number of columns.
fn heads_of<T>(
    shape: attention::AttentionShape,
    saved: impl IntoIterator<Item = T>,
) -> impl Iterator<Item = (T, usize, usize)> {
    let (queries, keys) = (shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim);
    saved
        .into_iter()
        .zip([(0, queries), (queries, keys)])
        .map(|(saved, (first, columns))| (saved, first, columns))
}

/// Columns `first..first + columns` of a matrix of `width` columns.
fn columns_of<F: Float>(matrix: &[F], width: usize, first: usize, columns: usize) -> Vec<F> {
    matrix.chunks_exact(width).flat_map(|row| row[first..first + columns].iter().copied()).collect()
}

/// Writes columns `first..first + columns` of a matrix of `width` columns.
fn set_columns<F: Float>(values: &[F], matrix: &mut [F], width: usize, first: usize, columns: usize) {
    for (row, values) in matrix.chunks_exact_mut(width).zip(values.chunks_exact(columns)) {
        row[first..first + columns].copy_from_slice(values);
    }
}

/// Concatenates the outputs of several layers, row by row.
fn join<F: Float>(layers: &[LinearPlan], parts: &[Vec<F>]) -> Vec<F> {
    let rows = parts[0].len() / layers[0].shape.outputs;
    let mut all = Vec::with_capacity(parts.iter().map(Vec::len).sum());
    for row in 0..rows {
        for (layer, part) in layers.iter().zip(parts) {
            all.extend_from_slice(&part[row * layer.shape.outputs..][..layer.shape.outputs]);
        }
    }
    all
}

/// The inverse of [`join`].
fn split<F: Float>(layers: &[LinearPlan], all: &[F]) -> Vec<Vec<F>> {
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
