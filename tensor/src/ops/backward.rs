//! The backward passes of norms and activations. The derivations stand beside the plain versions, in the
//! training crate.

use crate::kernels::backward::{ActivateBackward, GateBackward, NormBackwardRows};
use crate::operands::Activation;
use crate::pool::Team;
use crate::simd::LANES;

/// Elements of one part of a job. A multiple of the lanes.
const PIECE: usize = 256 * LANES;

/// Rows whose contributions to a norm's gradient are summed first, before the sums of other rows are added. Part of the
/// order of summation.
const PIECE_ROWS: usize = 64;

/// The arguments of the backward pass of a norm.
#[derive(Clone, Copy, Debug)]
pub struct NormBackward<'a> {
    /// The norm's input, `[rows, d]`.
    pub x: &'a [f32],
    /// Its weight, `[d]`.
    pub weight: &'a [f32],
    /// Its epsilon.
    pub epsilon: f32,
    /// The gradient of its output, `[rows, d]`.
    pub dy: &'a [f32],
}

/// Backward of [`layer_norm`](super::layer_norm): adds the gradients to `dx` `[rows, d]`, `dweight` and `dbias` `[d]`.
/// Those of the parameters are summed over rows in order, in pieces of 64 rows, and then over the pieces in order.
///
/// # Panics
/// If the lengths do not fit.
pub fn layer_norm_backward(
    team: &Team<'_>,
    norm: NormBackward<'_>,
    dx: &mut [f32],
    dweight: &mut [f32],
    dbias: &mut [f32],
) {
    norm_backward(team, norm, dx, dweight, Some(dbias));
}

/// Backward of [`rms_norm`](super::rms_norm): adds the gradients to `dx` `[rows, d]` and `dweight` `[d]`. Summed as in
/// [`layer_norm_backward`].
///
/// # Panics
/// If the lengths do not fit.
pub fn rms_norm_backward(team: &Team<'_>, norm: NormBackward<'_>, dx: &mut [f32], dweight: &mut [f32]) {
    norm_backward(team, norm, dx, dweight, None);
}

fn norm_backward(
    team: &Team<'_>,
    NormBackward { x, weight, epsilon, dy }: NormBackward<'_>,
    dx: &mut [f32],
    dweight: &mut [f32],
    dbias: Option<&mut [f32]>,
) {
    let d = weight.len();
    super::rows_of("norm_backward", x.len(), d);
    assert!(dy.len() == x.len() && dx.len() == x.len(), "norm_backward: lengths of x, dy and dx");
    assert!(
        dweight.len() == d && dbias.as_ref().is_none_or(|dbias| dbias.len() == d),
        "norm_backward: lengths of the weight and the parameters' gradients"
    );
    let piece = PIECE_ROWS * d;
    let mut sums = vec![0.0; x.len().div_ceil(piece) * 2 * d];
    let mut parts: Vec<_> = dx.chunks_mut(piece).zip(sums.chunks_exact_mut(2 * d)).collect();
    let with_bias = dbias.is_some();
    team.run_on_pieces(&mut parts, 1, |i, part| {
        let (dx, sums) = &mut part[0];
        let (dweight, dbias) = sums.split_at_mut(d);
        let rows = i * piece..i * piece + dx.len();
        team.level().run(NormBackwardRows {
            x: &x[rows.clone()],
            weight,
            epsilon,
            dy: &dy[rows],
            dx,
            dweight,
            dbias: with_bias.then_some(dbias),
        });
    });
    let add = |to: &mut [f32], from: usize| {
        for sums in sums.chunks_exact(2 * d) {
            to.iter_mut().zip(&sums[from..]).for_each(|(to, sum)| *to += sum);
        }
    };
    add(dweight, 0);
    if let Some(dbias) = dbias {
        add(dbias, d);
    }
}

/// Backward of [`activate`](super::activate), in place: `dy ← dy · activation′(x)`, element by element.
///
/// # Panics
/// If the lengths differ.
pub fn activate_backward(team: &Team<'_>, activation: Activation, x: &[f32], dy: &mut [f32]) {
    assert_eq!(x.len(), dy.len(), "activate_backward: lengths of x and dy");
    team.run_on_pieces(dy, PIECE, |i, dy| {
        let x = &x[i * PIECE..][..dy.len()];
        team.level().run(ActivateBackward { activation, x, dy });
    });
}

/// Backward of [`gate`](super::gate), in place: `gate ← dy · up · activation′(gate)` and
/// `up ← dy · activation(gate)`, both of what they held before.
///
/// # Panics
/// If the lengths differ.
pub fn gate_backward(team: &Team<'_>, activation: Activation, gate: &mut [f32], up: &mut [f32], dy: &[f32]) {
    assert!(gate.len() == dy.len() && up.len() == dy.len(), "gate_backward: lengths of gate, up and dy");
    let mut parts: Vec<_> = gate.chunks_mut(PIECE).zip(up.chunks_mut(PIECE)).zip(dy.chunks(PIECE)).collect();
    team.run_on_pieces(&mut parts, 1, |_, part| {
        let ((gate, up), dy) = &mut part[0];
        team.level().run(GateBackward { activation, gate, up, dy });
    });
}
