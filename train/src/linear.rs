//! The linear layer on kernels and threads, with its LoRA branch. The plain version is
//! [`plain::linear`](crate::plain::linear).

use glassbox_tensor::Team;
use glassbox_tensor::ops::{self, Gemm, Start, View, ViewMut};

use crate::adapters::Pair;
use crate::network::Network;
use crate::pass::Pass;
use crate::plain::linear::WeightOrder;
use crate::plan::LinearPlan;
use crate::tensors::Gradients;

/// The weight matrix as an `[inputs, outputs]` view, whatever its storage order.
fn matrix<'a>(part: &LinearPlan, values: &'a [f32]) -> View<'a> {
    let shape = part.shape;
    match shape.order {
        WeightOrder::InputsOutputs => View::new(values, shape.inputs, shape.outputs),
        WeightOrder::OutputsInputs => View::new(values, shape.outputs, shape.inputs).transposed(),
    }
}

/// `out = start + x · Wᵀ + b`, and with an adapter `+ scale · (x · Aᵀ) · Bᵀ`. `x` is `[rows, inputs]`; rows of
/// `out` start `out_step` apart.
pub(crate) fn forward(
    pass: Pass<'_>,
    part: &LinearPlan,
    x: &[f32],
    start: Start<'_>,
    out: &mut [f32],
    out_step: usize,
) {
    let Pass { network, team, .. } = pass;
    let (parameters, rows) = (network.parameters(), x.len() / part.shape.inputs);
    let bias = part.bias.map(|bias| parameters.at(bias));
    let x = View::new(x, rows, part.shape.inputs);
    let out_shape = [rows, part.shape.outputs];
    let mut out = ViewMut::strided(out, out_shape, out_step).expect("rows of outputs");
    let b = matrix(part, parameters.at(part.weight));
    ops::gemm(team, Gemm { a: x, b, start, bias }, out.reborrow());
    if let Some(lora) = LoraBranch::of(network, part) {
        let u = lora.down(team, x);
        let scaled = lora.scaled_b();
        let b = View::new(&scaled, part.shape.outputs, lora.pair.rank).transposed();
        ops::gemm(team, Gemm::new(View::new(&u, rows, lora.pair.rank), b).accumulate(), out);
    }
}

/// `dx = start + dy · W`, and adds to the gradients of the trained tensors
///
/// ```text
/// dW += dyᵀ · x        db += Σ_rows dy
/// dB += scale · dyᵀ · u        du = scale · dy · B        dA += duᵀ · x        dx += du · A        (u = x · Aᵀ)
/// ```
pub(crate) fn backward(
    pass: Pass<'_>,
    part: &LinearPlan,
    x: &[f32],
    dy: View<'_>,
    start: Start<'_>,
    dx: &mut [f32],
    gradients: &mut Gradients,
) {
    let Pass { network, team, .. } = pass;
    let (parameters, inputs) = (network.parameters(), part.shape.inputs);
    let rows = x.len() / inputs;
    let x = View::new(x, rows, inputs);
    let b = matrix(part, parameters.at(part.weight)).transposed();
    ops::gemm(team, Gemm { a: dy, b, start, bias: None }, ViewMut::new(dx, rows, inputs));
    if let Some(lora) = LoraBranch::of(network, part) {
        let rank = lora.pair.rank;
        let mut u = lora.down(team, x);
        u.iter_mut().for_each(|u| *u *= lora.pair.scale);
        let db = ViewMut::new(gradients.at_mut(lora.pair.b), part.shape.outputs, rank);
        ops::gemm(team, Gemm::new(dy.transposed(), View::new(&u, rows, rank)).accumulate(), db);
        let scaled = lora.scaled_b();
        let mut du = u;
        let b = View::new(&scaled, part.shape.outputs, rank);
        ops::gemm(team, Gemm::new(dy, b), ViewMut::new(&mut du, rows, rank));
        let (du, a) = (View::new(&du, rows, rank), View::new(lora.a, rank, inputs));
        ops::gemm(team, Gemm::new(du, a).accumulate(), ViewMut::new(dx, rows, inputs));
        let da = ViewMut::new(gradients.at_mut(lora.pair.a), rank, inputs);
        ops::gemm(team, Gemm::new(du.transposed(), x).accumulate(), da);
    }
    if network.adapters().is_some() {
        return;
    }
    let dw = gradients.at_mut(part.weight);
    let (a, b) = match part.shape.order {
        WeightOrder::InputsOutputs => (x.transposed(), dy),
        WeightOrder::OutputsInputs => (dy.transposed(), x),
    };
    ops::gemm(team, Gemm::new(a, b).accumulate(), ViewMut::new(dw, a.shape()[0], b.shape()[1]));
    if let Some(bias) = part.bias {
        ops::add_columns(team, dy, gradients.at_mut(bias));
    }
}

/// A layer's adapter with its matrices.
struct LoraBranch<'a> {
    pair: Pair,
    /// `[rank, inputs]`
    a: &'a [f32],
    /// `[outputs, rank]`
    b: &'a [f32],
}

impl<'a> LoraBranch<'a> {
    fn of(network: &'a Network, part: &LinearPlan) -> Option<LoraBranch<'a>> {
        let adapters = network.adapters()?;
        let pair = adapters.pair(part)?;
        Some(LoraBranch { pair, a: adapters.tensors().at(pair.a), b: adapters.tensors().at(pair.b) })
    }

    /// `u = x · Aᵀ`, `[rows, rank]`.
    fn down(&self, team: &Team<'_>, x: View<'_>) -> Vec<f32> {
        let mut u = vec![0.0; x.rows() * self.pair.rank];
        let a = View::new(self.a, self.pair.rank, self.a.len() / self.pair.rank).transposed();
        ops::gemm(team, Gemm::new(x, a), ViewMut::new(&mut u, x.rows(), self.pair.rank));
        u
    }

    fn scaled_b(&self) -> Vec<f32> {
        self.b.iter().map(|&b| b * self.pair.scale).collect()
    }
}
