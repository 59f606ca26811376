//! The linear layer on vectors and threads, with its adapter. The plain version is in
//! [`plain::linear`](crate::plain::linear).

use glassbox_tensor::Team;
use glassbox_tensor::ops::{self, Start, View};

use crate::adapters::Pair;
use crate::network::Network;
use crate::pass::Pass;
use crate::plain::linear::Order;
use crate::plan::Linear;
use crate::tensors::Gradients;

/// The matrix as `[inputs, outputs]`, whichever way it is stored.
fn matrix<'a>(part: &Linear, values: &'a [f32]) -> View<'a> {
    let shape = part.shape;
    match shape.order {
        Order::InputsOutputs => View::new(values, shape.inputs, shape.outputs),
        Order::OutputsInputs => View::new(values, shape.outputs, shape.inputs).transposed(),
    }
}

/// `out = start + x · Wᵀ + b`, and with an adapter `+ scale · (x · Aᵀ) · Bᵀ`. `x` is `[rows, inputs]`; rows of
/// `out` begin `out_step` apart.
pub(crate) fn forward(
    pass: Pass<'_>,
    part: &Linear,
    x: &[f32],
    start: Start<'_>,
    out: &mut [f32],
    out_step: usize,
) {
    let Pass { network, team, .. } = pass;
    let (parameters, rows) = (network.parameters(), x.len() / part.shape.inputs);
    let bias = part.bias.map(|bias| parameters.at(bias));
    let x = View::new(x, rows, part.shape.inputs);
    ops::gemm(team, x, matrix(part, parameters.at(part.weight)), start, bias, out, out_step);
    if let Some(detour) = Detour::of(network, part) {
        let u = detour.enter(team, x);
        let scaled = detour.scaled_b();
        let b = View::new(&scaled, part.shape.outputs, detour.pair.rank).transposed();
        ops::gemm(team, View::new(&u, rows, detour.pair.rank), b, Start::Out, None, out, out_step);
    }
}

/// `dx = start + dy · W`, and to the gradients of what is trained
///
/// ```text
/// dW += dyᵀ · x        db += Σ_rows dy
/// dB += scale · dyᵀ · u        du = scale · dy · B        dA += duᵀ · x        dx += du · A        (u = x · Aᵀ)
/// ```
pub(crate) fn backward(
    pass: Pass<'_>,
    part: &Linear,
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
    ops::gemm(team, dy, matrix(part, parameters.at(part.weight)).transposed(), start, None, dx, inputs);
    if let Some(detour) = Detour::of(network, part) {
        let rank = detour.pair.rank;
        let mut u = detour.enter(team, x);
        u.iter_mut().for_each(|u| *u *= detour.pair.scale);
        let db = gradients.at_mut(detour.pair.b);
        ops::gemm(team, dy.transposed(), View::new(&u, rows, rank), Start::Out, None, db, rank);
        let scaled = detour.scaled_b();
        let mut du = u;
        let b = View::new(&scaled, part.shape.outputs, rank);
        ops::gemm(team, dy, b, Start::Zero, None, &mut du, rank);
        let (du, a) = (View::new(&du, rows, rank), View::new(detour.a, rank, inputs));
        ops::gemm(team, du, a, Start::Out, None, dx, inputs);
        let da = gradients.at_mut(detour.pair.a);
        ops::gemm(team, du.transposed(), x, Start::Out, None, da, inputs);
    }
    if network.adapters().is_some() {
        return;
    }
    let dw = gradients.at_mut(part.weight);
    match part.shape.order {
        Order::InputsOutputs => {
            ops::gemm(team, x.transposed(), dy, Start::Out, None, dw, part.shape.outputs);
        }
        Order::OutputsInputs => ops::gemm(team, dy.transposed(), x, Start::Out, None, dw, inputs),
    }
    if let Some(bias) = part.bias {
        ops::add_columns(team, dy, gradients.at_mut(bias));
    }
}

/// A layer's adapter with its numbers.
struct Detour<'a> {
    pair: Pair,
    /// `[rank, inputs]`
    a: &'a [f32],
    /// `[outputs, rank]`
    b: &'a [f32],
}

impl<'a> Detour<'a> {
    fn of(network: &'a Network, part: &Linear) -> Option<Detour<'a>> {
        let adapters = network.adapters()?;
        let pair = adapters.pair(part)?;
        Some(Detour { pair, a: adapters.tensors().at(pair.a), b: adapters.tensors().at(pair.b) })
    }

    /// `u = x · Aᵀ`, `[rows, rank]`.
    fn enter(&self, team: &Team<'_>, x: View<'_>) -> Vec<f32> {
        let mut u = vec![0.0; x.rows() * self.pair.rank];
        let a = View::new(self.a, self.pair.rank, self.a.len() / self.pair.rank).transposed();
        ops::gemm(team, x, a, Start::Zero, None, &mut u, self.pair.rank);
        u
    }

    fn scaled_b(&self) -> Vec<f32> {
        self.b.iter().map(|&b| b * self.pair.scale).collect()
    }
}
