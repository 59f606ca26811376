//! The rotary embedding: a token's position, written into its queries and keys as angles.
//!
//! Su et al., "RoFormer" (2021). Component `i` and component `i + head_dim/2` of a head form a pair, rotated
//! by `position · frequency[i]`; the dot product of a query and a key then depends on their distance alone.

use super::operations;
use crate::operands::Rotation;
use crate::pool::Team;

/// Rotates every head of every row of `x`, `[rows, heads, head_dim]`; row `r` is at `positions[r]`.
///
/// # Panics
/// If `x` is not a row for each position, a head has fewer components than the table rotates, or the table is too
/// short.
pub fn rotate(
    team: &Team<'_>,
    x: &mut [f32],
    heads: usize,
    head_dim: usize,
    rotation: &Rotation,
    positions: &[usize],
) {
    let rows = super::rows_of("rotate", x.len(), heads * head_dim);
    assert_eq!(rows, positions.len(), "rotate: rows of x and positions");
    assert!(2 * rotation.pairs() <= head_dim, "rotate: more pairs than a head has");
    operations(team).rotate(x, head_dim, rotation, positions);
}
