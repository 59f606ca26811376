//! A batch through the network and back, on vectors and threads. The plain version, with what each step
//! means, is [`plain::network`](crate::plain::network).

use glassbox_tensor::Team;
use glassbox_tensor::ops::{self, Causal, Start, View};

use crate::batch::Batch;
use crate::head;
use crate::linear;
use crate::network::Network;
use crate::plain::dropout::{Dropout, Place};
use crate::plan::{Block, Linear, Norm};
use crate::tensors::Gradients;
use crate::workspace::{Kept, Room, Workspace};

/// One pass: what it runs through and with whom.
#[derive(Clone, Copy)]
pub(crate) struct Pass<'a> {
    pub(crate) network: &'a Network,
    pub(crate) team: &'a Team<'a>,
    pub(crate) batch: &'a Batch,
    pub(crate) recompute: bool,
    /// What is left out; nothing when nothing is learnt.
    pub(crate) dropout: Option<Dropout>,
}

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
            let Workspace { streams, kept, room } = &mut *work;
            let kept = &mut kept[if self.recompute { 0 } else { layer }];
            if self.recompute {
                self.block(layer, block, &streams[layer], kept, room);
            }
            self.block_backward(layer, block, &streams[layer], kept, room, gradients);
        }
        if network.adapters().is_none() {
            self.drop_out(Place::Embedding, &mut work.room.dx);
            self.embedding_backward(&work.room.dx, gradients);
        }
        losses
    }

    /// From ids to the stream behind the last block.
    fn body(self, work: &mut Workspace) {
        let network = self.network;
        let gated = network.plan().blocks.iter().any(|block| block.mlp_up.is_some());
        work.fit(network.config(), gated, self.batch.texts, self.batch.tokens, self.recompute);
        self.embed(&mut work.streams[0]);
        self.drop_out(Place::Embedding, &mut work.streams[0]);
        for (layer, block) in network.plan().blocks.iter().enumerate() {
            let Workspace { streams, kept, room } = &mut *work;
            let kept = &mut kept[if self.recompute { 0 } else { layer }];
            let (before, behind) = streams.split_at_mut(layer + 1);
            self.block(layer, block, &before[layer], kept, room);
            let place = Place::FeedForward(layer);
            self.add_to_stream(place, &block.mlp_out, &room.hidden, &kept.mid, &mut behind[0]);
        }
    }

    /// `x = what the token is (+ where it stands)`
    fn embed(self, x: &mut [f32]) {
        let (parameters, plan, d) = (self.network.parameters(), self.network.plan(), self.d());
        let table = parameters.at(plan.embedding);
        let positions = plan.positions.map(|index| parameters.at(index));
        self.team.run_on_pieces(x, d, |row, x| {
            x.copy_from_slice(&table[self.batch.ids[row] as usize * d..][..d]);
            if let Some(positions) = positions {
                let position = &positions[row % self.batch.tokens * d..][..d];
                x.iter_mut().zip(position).for_each(|(x, position)| *x += position);
            }
        });
    }

    fn embedding_backward(self, dx: &[f32], gradients: &mut Gradients) {
        let (plan, d) = (self.network.plan(), self.d());
        crate::plain::embedding::backward(d, &self.batch.ids, dx, gradients.at_mut(plan.embedding));
        if let Some(index) = plan.positions {
            let table = &mut gradients.at_mut(index)[..self.batch.tokens * d];
            for text in dx.chunks_exact(self.batch.tokens * d) {
                ops::add(self.team, table, text);
            }
        }
    }

    /// A block up to its last layer: leaves `mid = x + attention(norm1(x))` in `kept` and the activations,
    /// which that layer reads, in `room.hidden`.
    fn block(self, layer: usize, block: &Block, x: &[f32], kept: &mut Kept, room: &mut Room) {
        let team = self.team;
        let shape = self.causal(layer);

        self.norm(block.norm1, x, &mut room.normed);
        let mut column = 0;
        for part in &block.qkv {
            let out = &mut kept.qkv[column..];
            linear::forward(self, part, &room.normed, Start::Zero, out, shape.width());
            column += part.shape.outputs;
        }
        self.rotate(shape, &mut kept.qkv, false);
        ops::causal_attention(team, shape, &kept.qkv, &mut kept.z, &mut kept.peaks);
        self.add_to_stream(Place::Attention(layer), &block.attention_out, &kept.z, x, &mut kept.mid);

        self.norm(block.norm2, &kept.mid, &mut room.normed);
        let d_ff = block.mlp_in.shape.outputs;
        linear::forward(self, &block.mlp_in, &room.normed, Start::Zero, &mut kept.before, d_ff);
        if let Some(up) = &block.mlp_up {
            linear::forward(self, up, &room.normed, Start::Zero, &mut kept.up, d_ff);
        }
        self.activate(kept, room);
    }

    /// Turns `room.dx`, the derivative by the stream behind the block, into that in front of it.
    fn block_backward(
        self,
        layer: usize,
        block: &Block,
        x: &[f32],
        kept: &mut Kept,
        room: &mut Room,
        gradients: &mut Gradients,
    ) {
        let (team, rows) = (self.team, self.rows());
        let activation = self.network.config().activation;
        let d_ff = block.mlp_in.shape.outputs;

        self.activate(kept, room);
        room.dwide.resize(rows * d_ff, 0.0);
        let dout = self.without_dropped(Place::FeedForward(layer), &room.dx, &mut room.dropped);
        linear::backward(self, &block.mlp_out, &room.hidden, dout, Start::Zero, &mut room.dwide, gradients);
        self.norm(block.norm2, &kept.mid, &mut room.normed);
        let Room { normed, dnormed, dwide, dx, dz, dropped, .. } = room;
        match &block.mlp_up {
            None => {
                ops::activate_backward(team, activation, &kept.before, dwide);
                let dbefore = View::new(dwide, rows, d_ff);
                linear::backward(self, &block.mlp_in, normed, dbefore, Start::Zero, dnormed, gradients);
            }
            Some(up) => {
                ops::gate_backward(team, activation, &mut kept.before, &mut kept.up, dwide);
                let (dbefore, dup) = (View::new(&kept.before, rows, d_ff), View::new(&kept.up, rows, d_ff));
                linear::backward(self, &block.mlp_in, normed, dbefore, Start::Zero, dnormed, gradients);
                linear::backward(self, up, normed, dup, Start::Out, dnormed, gradients);
            }
        }
        self.norm_backward(block.norm2, &kept.mid, dnormed, dx, gradients);

        let shape = self.causal(layer);
        let dmid = self.without_dropped(Place::Attention(layer), dx, dropped);
        linear::backward(self, &block.attention_out, &kept.z, dmid, Start::Zero, dz, gradients);
        dwide.resize(rows * shape.width(), 0.0);
        ops::causal_attention_backward(team, shape, &kept.qkv, &kept.z, &kept.peaks, dz, dwide);
        self.rotate(shape, dwide, true);
        self.norm(block.norm1, x, normed);
        let (dqkv, mut column) = (View::new(dwide, rows, shape.width()), 0);
        for part in &block.qkv {
            let dy = dqkv.columns(column..column + part.shape.outputs);
            let start = if column == 0 { Start::Zero } else { Start::Out };
            linear::backward(self, part, normed, dy, start, dnormed, gradients);
            column += part.shape.outputs;
        }
        self.norm_backward(block.norm1, x, dnormed, dx, gradients);
    }

    /// `out = x + layer(input)`, with dropout in between.
    fn add_to_stream(self, place: Place, layer: &Linear, input: &[f32], x: &[f32], out: &mut [f32]) {
        if self.dropout.is_none() {
            let x = Start::At(View::new(x, self.rows(), self.d()));
            return linear::forward(self, layer, input, x, out, self.d());
        }
        linear::forward(self, layer, input, Start::Zero, out, self.d());
        self.drop_out(place, out);
        ops::add(self.team, out, x);
    }

    /// The derivative by what a layer added to the stream, from the derivative by the stream.
    fn without_dropped<'a>(self, place: Place, dx: &'a [f32], room: &'a mut Vec<f32>) -> View<'a> {
        if self.dropout.is_none() {
            return View::new(dx, self.rows(), self.d());
        }
        room.clear();
        room.extend_from_slice(dx);
        self.drop_out(place, room);
        View::new(room, self.rows(), self.d())
    }

    fn drop_out(self, place: Place, x: &mut [f32]) {
        let Some(dropout) = self.dropout else { return };
        let d = self.d();
        self.team.run_on_pieces(x, d, |row, x| {
            x.iter_mut().enumerate().for_each(|(i, x)| *x *= dropout.factor(place, row * d + i));
        });
    }

    /// `room.hidden = activation(before)`, times `up` with a gate.
    fn activate(self, kept: &Kept, room: &mut Room) {
        let activation = self.network.config().activation;
        room.hidden.copy_from_slice(&kept.before);
        match kept.up.is_empty() {
            true => ops::activate(self.team, activation, &mut room.hidden),
            false => ops::gate(self.team, activation, &mut room.hidden, &kept.up),
        }
    }

    fn rotate(self, shape: Causal, x: &mut [f32], back: bool) {
        if let Some(rotation) = self.network.rotation() {
            let (heads, tokens) = (shape.heads + shape.kv_heads, shape.tokens);
            let width = shape.width();
            ops::rotate_texts(self.team, x, width, heads, shape.head_dim, rotation, tokens, back);
        }
    }

    pub(crate) fn norm(self, norm: Norm, x: &[f32], out: &mut [f32]) {
        let (parameters, epsilon) = (self.network.parameters(), self.network.config().norm_epsilon);
        let weight = parameters.at(norm.weight);
        match norm.bias {
            Some(bias) => ops::layer_norm(self.team, x, weight, parameters.at(bias), epsilon, out),
            None => ops::rms_norm(self.team, x, weight, epsilon, out),
        }
    }

    /// Adds to `dx` and to the gradients what follows from `dy`.
    pub(crate) fn norm_backward(
        self,
        norm: Norm,
        x: &[f32],
        dy: &[f32],
        dx: &mut [f32],
        gradients: &mut Gradients,
    ) {
        let (parameters, epsilon) = (self.network.parameters(), self.network.config().norm_epsilon);
        let weight = parameters.at(norm.weight);
        let (mut dweight, mut dbias) = (vec![0.0; weight.len()], vec![0.0; weight.len()]);
        match norm.bias {
            Some(_) => {
                ops::layer_norm_backward(self.team, x, weight, epsilon, dy, dx, &mut dweight, &mut dbias)
            }
            None => ops::rms_norm_backward(self.team, x, weight, epsilon, dy, dx, &mut dweight),
        }
        if self.network.adapters().is_none() {
            ops::add(self.team, gradients.at_mut(norm.weight), &dweight);
            if let Some(bias) = norm.bias {
                ops::add(self.team, gradients.at_mut(bias), &dbias);
            }
        }
    }

    fn causal(self, layer: usize) -> Causal {
        let config = self.network.config();
        Causal {
            tokens: self.batch.tokens,
            heads: config.n_heads,
            kv_heads: config.n_kv_heads,
            head_dim: config.head_dim,
            scale: config.score_scale(layer),
        }
    }

    /// Tokens of the batch.
    pub(crate) fn rows(self) -> usize {
        self.batch.texts * self.batch.tokens
    }

    pub(crate) fn d(self) -> usize {
        self.network.config().d_model
    }
}
