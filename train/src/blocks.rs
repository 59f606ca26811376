//! The forward and backward pass of a batch, on kernels and threads. The plain version, which explains each step, is
//! the [`oracle`](crate::oracle).

use glassbox_model::config::Residual;
use glassbox_tensor::ops::{self, Causal, Start, View};

use crate::head;
use crate::linear;
use crate::pass::Pass;
use crate::plain::dropout::DropoutSite;
use crate::plan::{BlockPlan, LinearPlan, NormPlan};
use crate::tensors::Gradients;
use crate::workspace::{Saved, Scratch, Workspace};

impl Pass<'_> {
    /// The loss of each position.
    pub(crate) fn forward(self, work: &mut Workspace) -> Vec<f32> {
        self.body(work);
        head::forward(self, work)
    }

    /// The loss of each position; adds to `gradients` the gradient of `Σ weight · loss / total_weight`.
    pub(crate) fn forward_and_backward(
        self,
        work: &mut Workspace,
        total_weight: f64,
        gradients: &mut Gradients,
    ) -> Vec<f32> {
        let network = self.network;
        self.body(work);
        work.fit_backward(network.config(), self.rows());
        let losses = head::forward_and_backward(self, work, total_weight, gradients);
        for (layer, block) in network.plan().blocks.iter().enumerate().rev() {
            let Workspace { streams, saved, scratch } = &mut *work;
            let saved = &mut saved[if self.recompute { 0 } else { layer }];
            if self.recompute {
                self.block(layer, block, &streams[layer], saved, scratch);
                if block.mlp_post_norm.is_some() {
                    let result = &mut saved.mlp_result;
                    linear::forward(self, &block.mlp_out, &scratch.hidden, Start::Zero, result, self.d());
                }
            }
            self.block_backward(layer, block, &streams[layer], saved, scratch, gradients);
        }
        if network.adapters().is_none() {
            self.drop_out(DropoutSite::Embedding, &mut work.scratch.dx);
            self.embedding_backward(&mut work.scratch.dx, gradients);
        }
        losses
    }

    /// From token ids to the residual stream after the last block.
    fn body(self, work: &mut Workspace) {
        let network = self.network;
        if let Some(block) = network.plan().blocks.first() {
            work.fit(network.config(), block, self.batch.sequences, self.batch.tokens, self.recompute);
        }
        self.embed(&mut work.streams[0]);
        self.drop_out(DropoutSite::Embedding, &mut work.streams[0]);
        for (layer, block) in network.plan().blocks.iter().enumerate() {
            let Workspace { streams, saved, scratch } = &mut *work;
            let saved = &mut saved[if self.recompute { 0 } else { layer }];
            let (before, after) = streams.split_at_mut(layer + 1);
            self.block(layer, block, &before[layer], saved, scratch);
            let branch = Branch::mlp(layer, block);
            let (hidden, mid) = (&scratch.hidden, &saved.mid);
            self.add_to_stream(branch, hidden, mid, &mut saved.mlp_result, &mut after[0]);
        }
    }

    /// `x = scale · embedding[id]`, plus the position embedding if there is one.
    fn embed(self, x: &mut [f32]) {
        let (parameters, plan, d) = (self.network.parameters(), self.network.plan(), self.d());
        let table = parameters.at(plan.embedding);
        let positions = plan.positions.map(|index| parameters.at(index));
        let scale = self.network.config().embedding_scale;
        self.team.run_on_pieces(x, d, |row, x| {
            x.copy_from_slice(&table[self.batch.ids[row] as usize * d..][..d]);
            if scale != 1.0 {
                x.iter_mut().for_each(|x| *x *= scale);
            }
            if let Some(positions) = positions {
                let position = &positions[row % self.batch.tokens * d..][..d];
                x.iter_mut().zip(position).for_each(|(x, position)| *x += position);
            }
        });
    }

    fn embedding_backward(self, dx: &mut [f32], gradients: &mut Gradients) {
        let (plan, d) = (self.network.plan(), self.d());
        let scale = self.network.config().embedding_scale;
        if scale != 1.0 {
            self.team.run_on_pieces(dx, d, |_, dx| dx.iter_mut().for_each(|dx| *dx *= scale));
        }
        crate::plain::embedding::backward(d, &self.batch.ids, dx, gradients.at_mut(plan.embedding));
        if let Some(index) = plan.positions {
            let table = &mut gradients.at_mut(index)[..self.batch.tokens * d];
            for sequence in dx.chunks_exact(self.batch.tokens * d) {
                ops::add(self.team, table, sequence);
            }
        }
    }

    /// A block except its last linear layer: leaves `mid = x + attention(norm(x))` in `saved`, and that layer's input
    /// in `scratch.hidden`.
    fn block(self, layer: usize, block: &BlockPlan, x: &[f32], saved: &mut Saved, scratch: &mut Scratch) {
        let (team, shape) = (self.team, self.causal(layer));

        self.norm(block.attention_norm, x, &mut scratch.normed);
        let mut column = 0;
        for part in &block.qkv.linears {
            let out = &mut saved.qkv[column..];
            linear::forward(self, part, &scratch.normed, Start::Zero, out, shape.width());
            column += part.shape.outputs;
        }
        if let Some(order) = &block.qkv.order {
            self.reorder(&mut saved.qkv, |row, old| {
                row.iter_mut().zip(order).for_each(|(x, &source)| *x = old[source]);
            });
        }
        if let Some(norms) = block.qk_norms {
            self.norm_heads(norms, shape, saved, scratch);
        }
        self.rotate(layer, shape, &mut saved.qkv, false);
        ops::causal_attention(team, shape, &saved.qkv, &mut saved.z, &mut saved.softmax_stats);
        let branch = Branch::attention(layer, block);
        self.add_to_stream(branch, &saved.z, x, &mut saved.attention_result, &mut saved.mid);

        let mlp_input = if block.residual == Residual::Parallel { x } else { &saved.mid };
        self.norm(block.mlp_norm, mlp_input, &mut scratch.normed);
        let d_ff = block.mlp_in.shape.outputs;
        linear::forward(self, &block.mlp_in, &scratch.normed, Start::Zero, &mut saved.before, d_ff);
        if let Some(gated) = &block.mlp_gated {
            linear::forward(self, gated, &scratch.normed, Start::Zero, &mut saved.gated, d_ff);
        }
        self.activate(saved, scratch);
    }

    /// Replaces `scratch.dx`, the gradient of the stream after the block, by that of the stream before it.
    fn block_backward(
        self,
        layer: usize,
        block: &BlockPlan,
        x: &[f32],
        saved: &mut Saved,
        scratch: &mut Scratch,
        gradients: &mut Gradients,
    ) {
        let parallel = block.residual == Residual::Parallel;
        self.activate(saved, scratch);
        if parallel {
            scratch.dout.clone_from(&scratch.dx);
        }
        let mid = std::mem::take(&mut saved.mid);
        self.mlp_backward(layer, block, if parallel { x } else { &mid }, saved, scratch, gradients);
        saved.mid = mid;
        self.attention_backward(layer, block, x, saved, scratch, gradients);
    }

    /// Adds the gradient through the MLP branch, whose input is `x`, to `scratch.dx`.
    fn mlp_backward(
        self,
        layer: usize,
        block: &BlockPlan,
        x: &[f32],
        saved: &mut Saved,
        scratch: &mut Scratch,
        gradients: &mut Gradients,
    ) {
        let (team, rows) = (self.team, self.rows());
        let activation = self.network.config().activation;
        let d_ff = block.mlp_in.shape.outputs;
        let Scratch { normed, hidden, dnormed, dwide, dx, dbranch, .. } = scratch;

        dwide.resize(rows * d_ff, 0.0);
        let branch = Branch::mlp(layer, block);
        let dout = self.branch_backward(branch, &saved.mlp_result, dx, dbranch, gradients);
        linear::backward(self, &block.mlp_out, hidden, dout, Start::Zero, dwide, gradients);
        self.norm(block.mlp_norm, x, normed);
        match &block.mlp_gated {
            None => {
                ops::activate_backward(team, activation, &saved.before, dwide);
                let dbefore = View::new(dwide, rows, d_ff);
                linear::backward(self, &block.mlp_in, normed, dbefore, Start::Zero, dnormed, gradients);
            }
            Some(gated) => {
                ops::gate_backward(team, activation, &mut saved.before, &mut saved.gated, dwide);
                let dbefore = View::new(&saved.before, rows, d_ff);
                let dgated = View::new(&saved.gated, rows, d_ff);
                linear::backward(self, &block.mlp_in, normed, dbefore, Start::Zero, dnormed, gradients);
                linear::backward(self, gated, normed, dgated, Start::Out, dnormed, gradients);
            }
        }
        self.norm_backward(block.mlp_norm, x, dnormed, dx, gradients);
    }

    /// Adds the gradient through the attention branch, whose input is `x`, to `scratch.dx`.
    fn attention_backward(
        self,
        layer: usize,
        block: &BlockPlan,
        x: &[f32],
        saved: &mut Saved,
        scratch: &mut Scratch,
        gradients: &mut Gradients,
    ) {
        let (team, rows, shape) = (self.team, self.rows(), self.causal(layer));
        let Scratch { normed, dnormed, dwide, dx, dz, dbranch, dout, heads, .. } = scratch;
        let dafter: &[f32] = if block.residual == Residual::Parallel { dout } else { dx };

        let branch = Branch::attention(layer, block);
        let dresult = self.branch_backward(branch, &saved.attention_result, dafter, dbranch, gradients);
        linear::backward(self, &block.attention_out, &saved.z, dresult, Start::Zero, dz, gradients);
        dwide.resize(rows * shape.width(), 0.0);
        ops::causal_attention_backward(team, shape, &saved.qkv, &saved.z, &saved.softmax_stats, dz, dwide);
        self.rotate(layer, shape, dwide, true);
        if let Some(norms) = block.qk_norms {
            self.norm_heads_backward(norms, shape, &saved.qk, dwide, heads, gradients);
        }
        if let Some(order) = &block.qkv.order {
            self.reorder(dwide, |row, old| {
                order.iter().zip(old).for_each(|(&source, &dx)| row[source] = dx);
            });
        }
        self.norm(block.attention_norm, x, normed);
        let (dqkv, mut column) = (View::new(dwide, rows, shape.width()), 0);
        for part in &block.qkv.linears {
            let dy = dqkv.columns(column..column + part.shape.outputs);
            let start = if column == 0 { Start::Zero } else { Start::Out };
            linear::backward(self, part, normed, dy, start, dnormed, gradients);
            column += part.shape.outputs;
        }
        self.norm_backward(block.attention_norm, x, dnormed, dx, gradients);
    }

    /// Reorders each row of queries, keys and values: `f(row, old)`.
    fn reorder(self, qkv: &mut [f32], f: impl Fn(&mut [f32], &[f32]) + Sync) {
        let width = qkv.len() / self.rows();
        self.team.run_on_pieces(qkv, width, |_, row| {
            let old = row.to_vec();
            f(row, &old);
        });
    }

    /// Applies the q/k norms to each head; saves their inputs.
    fn norm_heads(self, norms: [NormPlan; 2], shape: Causal, saved: &mut Saved, scratch: &mut Scratch) {
        let mut first = 0;
        for (norm, heads) in norms.into_iter().zip([shape.heads, shape.kv_heads]) {
            let [raw, normed] = &mut scratch.heads;
            gather(&saved.qkv, shape.width(), first, heads * shape.head_dim, raw);
            normed.resize(raw.len(), 0.0);
            self.norm(norm, raw, normed);
            let columns = (shape.heads + shape.kv_heads) * shape.head_dim;
            scatter(raw, &mut saved.qk, columns, first, heads * shape.head_dim);
            scatter(normed, &mut saved.qkv, shape.width(), first, heads * shape.head_dim);
            first += heads * shape.head_dim;
        }
    }

    /// Replaces the gradients of the normed queries and keys, columns of `dqkv`, by those of the norms' inputs `qk`.
    fn norm_heads_backward(
        self,
        norms: [NormPlan; 2],
        shape: Causal,
        qk: &[f32],
        dqkv: &mut [f32],
        [x, dy]: &mut [Vec<f32>; 2],
        gradients: &mut Gradients,
    ) {
        let mut first = 0;
        for (norm, heads) in norms.into_iter().zip([shape.heads, shape.kv_heads]) {
            let columns = heads * shape.head_dim;
            gather(qk, (shape.heads + shape.kv_heads) * shape.head_dim, first, columns, x);
            gather(dqkv, shape.width(), first, columns, dy);
            let mut dx = vec![0.0; dy.len()];
            self.norm_backward(norm, x, dy, &mut dx, gradients);
            scatter(&dx, dqkv, shape.width(), first, columns);
            first += columns;
        }
    }

    /// `out = x + dropout(post_norm(layer(input)))`; saves the post norm's input in `result`.
    fn add_to_stream(
        self,
        branch: Branch<'_>,
        input: &[f32],
        x: &[f32],
        result: &mut [f32],
        out: &mut [f32],
    ) {
        let d = self.d();
        match branch.post_norm {
            None if self.dropout.is_none() => {
                let x = Start::At(View::new(x, self.rows(), d));
                return linear::forward(self, branch.last, input, x, out, d);
            }
            None => linear::forward(self, branch.last, input, Start::Zero, out, d),
            Some(norm) => {
                linear::forward(self, branch.last, input, Start::Zero, result, d);
                self.norm(norm, result, out);
            }
        }
        self.drop_out(branch.site, out);
        ops::add(self.team, out, x);
    }

    /// The gradient of a branch's output before post norm and dropout, from the gradient of the stream after it.
    /// `result` is the post norm's input.
    fn branch_backward<'b>(
        self,
        branch: Branch<'_>,
        result: &[f32],
        dx: &'b [f32],
        [dropped, dresult]: &'b mut [Vec<f32>; 2],
        gradients: &mut Gradients,
    ) -> View<'b> {
        let dadded = if self.dropout.is_some() {
            dropped.clear();
            dropped.extend_from_slice(dx);
            self.drop_out(branch.site, dropped);
            &*dropped
        } else {
            dx
        };
        let Some(norm) = branch.post_norm else { return View::new(dadded, self.rows(), self.d()) };
        dresult.clear();
        dresult.resize(dadded.len(), 0.0);
        self.norm_backward(norm, result, dadded, dresult, gradients);
        View::new(dresult, self.rows(), self.d())
    }

    fn drop_out(self, site: DropoutSite, x: &mut [f32]) {
        let Some(dropout) = self.dropout else { return };
        let d = self.d();
        self.team.run_on_pieces(x, d, |row, x| {
            x.iter_mut().enumerate().for_each(|(i, x)| *x *= dropout.factor(site, row * d + i));
        });
    }

    /// `scratch.hidden = activation(before)`, multiplied by `gated` in a gated MLP.
    fn activate(self, saved: &Saved, scratch: &mut Scratch) {
        let activation = self.network.config().activation;
        scratch.hidden.copy_from_slice(&saved.before);
        match saved.gated.is_empty() {
            true => ops::activate(self.team, activation, &mut scratch.hidden),
            false => ops::gate(self.team, activation, &mut scratch.hidden, &saved.gated),
        }
    }

    fn rotate(self, layer: usize, shape: Causal, x: &mut [f32], back: bool) {
        if let Some(rotation) = self.network.rotation(layer) {
            let (heads, tokens) = (shape.heads + shape.kv_heads, shape.tokens);
            let (width, head_dim) = (shape.width(), shape.head_dim);
            let heads = ops::RotateSequences { rotation, tokens, width, heads, head_dim };
            match back {
                false => ops::rotate_sequences(self.team, x, heads),
                true => ops::rotate_sequences_backward(self.team, x, heads),
            }
        }
    }
}

/// The end of a branch: its last linear layer and the post norm.
#[derive(Clone, Copy)]
struct Branch<'a> {
    /// Where dropout is applied.
    site: DropoutSite,
    last: &'a LinearPlan,
    post_norm: Option<NormPlan>,
}

impl<'a> Branch<'a> {
    fn attention(layer: usize, block: &'a BlockPlan) -> Branch<'a> {
        let (last, post_norm) = (&block.attention_out, block.attention_post_norm);
        Branch { site: DropoutSite::Attention(layer), last, post_norm }
    }

    fn mlp(layer: usize, block: &'a BlockPlan) -> Branch<'a> {
        Branch { site: DropoutSite::FeedForward(layer), last: &block.mlp_out, post_norm: block.mlp_post_norm }
    }
}

/// Copies columns `first..first + columns` of a matrix with `width` columns.
fn gather(matrix: &[f32], width: usize, first: usize, columns: usize, out: &mut Vec<f32>) {
    out.clear();
    matrix.chunks_exact(width).for_each(|row| out.extend_from_slice(&row[first..first + columns]));
}

/// Copies `values` to columns `first..first + columns` of a matrix with `width` columns.
fn scatter(values: &[f32], matrix: &mut [f32], width: usize, first: usize, columns: usize) {
    for (row, values) in matrix.chunks_exact_mut(width).zip(values.chunks_exact(columns)) {
        row[first..first + columns].copy_from_slice(values);
    }
}
