//! Sums, activations and gates: each element on its own.

use super::operations;
use crate::operands::Activation;
use crate::pool::Team;

/// `x ← x + y`, element by element.
///
/// # Panics
/// If the lengths differ.
pub fn add(team: &Team<'_>, x: &mut [f32], y: &[f32]) {
    assert_eq!(x.len(), y.len(), "add: lengths of x and y");
    operations(team).add(x, y);
}

/// Adds `row` to every row of `x`: a linear layer's bias. `x` is `[rows, d]`, `row` is `[d]`.
///
/// # Panics
/// If the length of `x` is not a multiple of `d`.
pub fn add_row(team: &Team<'_>, x: &mut [f32], row: &[f32]) {
    super::rows_of("add_row", x.len(), row.len());
    operations(team).add_row(x, row);
}

/// `x ← activation(x)`, element by element.
pub fn activate(team: &Team<'_>, activation: Activation, x: &mut [f32]) {
    operations(team).activate(activation, x);
}

/// `gate ← activation(gate) · up`, element by element.
///
/// # Panics
/// If the lengths differ.
pub fn gate(team: &Team<'_>, activation: Activation, gate: &mut [f32], up: &[f32]) {
    assert_eq!(gate.len(), up.len(), "gate: lengths of gate and up");
    operations(team).gate(activation, gate, up);
}
