//! Sums, activations and gates: each element on its own.

use crate::kernels::elementwise::{Activate, Add, Gate};
use crate::kernels::math::Activation;
use crate::pool::Team;
use crate::reference;

/// Elements below which sharing out costs more than the work. A multiple of the lanes.
const PIECE: usize = 4096;

/// `x ← x + y`, element by element.
///
/// # Panics
/// If the lengths differ.
pub fn add(team: &Team<'_>, x: &mut [f32], y: &[f32]) {
    assert_eq!(x.len(), y.len(), "add: two vectors of one length");
    if team.is_reference() {
        return x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
    }
    team.run_on_pieces(x, PIECE, |i, x| {
        let y = &y[i * PIECE..][..x.len()];
        team.level().run(Add { x, y });
    });
}

/// Adds `row` to every row of `x`: a linear layer's bias. `x` is `[rows, d]`, `row` is `[d]`.
///
/// # Panics
/// If `x` is not whole rows.
pub fn add_row(team: &Team<'_>, x: &mut [f32], row: &[f32]) {
    super::rows_of("add_row", x.len(), row.len());
    if team.is_reference() {
        return x.iter_mut().zip(row.iter().cycle()).for_each(|(x, y)| *x += y);
    }
    team.run_on_pieces(x, row.len(), |_, x| team.level().run(Add { x, y: row }));
}

/// `x ← activation(x)`, element by element.
pub fn activate(team: &Team<'_>, activation: Activation, x: &mut [f32]) {
    if team.is_reference() {
        return x.iter_mut().for_each(|x| *x = reference::activate(activation, *x));
    }
    team.run_on_pieces(x, PIECE, |_, x| team.level().run(Activate { activation, x }));
}

/// `gate ← activation(gate) · up`, element by element.
///
/// # Panics
/// If the lengths differ.
pub fn gate(team: &Team<'_>, activation: Activation, gate: &mut [f32], up: &[f32]) {
    assert_eq!(gate.len(), up.len(), "gate: two vectors of one length");
    if team.is_reference() {
        return gate.iter_mut().zip(up).for_each(|(g, up)| *g = reference::activate(activation, *g) * up);
    }
    team.run_on_pieces(gate, PIECE, |i, gate| {
        let up = &up[i * PIECE..][..gate.len()];
        team.level().run(Gate { activation, gate, up });
    });
}
