//! The rotary embedding: a token's position, written into its queries and keys as angles.
//!
//! Su et al., "RoFormer" (2021). Component `i` and component `i + head_dim/2` of a head form a pair, rotated
//! by `position · frequency[i]`; the dot product of a query and a key then depends on their distance alone.

use super::operations;
use crate::kernels::elementwise::Rotate;
use crate::operands::Rotation;
use crate::pool::Team;

/// Rotates every head of every row of `x`, `[rows, heads, head_dim]`; row `r` is at `positions[r]`.
///
/// # Panics
/// If `x` is not a row for each position, a head has fewer components than the table rotates, or the table is too short.
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

/// Turns the first `heads · head_dim` columns of each row of `x`, `[texts, tokens, width]`, by the angle of its
/// place in its text; `back` turns by the opposite angle, which is the backward pass.
///
/// # Panics
/// As [`rotate`].
#[allow(clippy::too_many_arguments)]
pub fn rotate_texts(
    team: &Team<'_>,
    x: &mut [f32],
    width: usize,
    heads: usize,
    head_dim: usize,
    rotation: &Rotation,
    tokens: usize,
    back: bool,
) {
    super::rows_of("rotate_texts", x.len(), tokens * width);
    assert!(heads * head_dim <= width, "rotate_texts: heads inside the row");
    assert!(2 * rotation.pairs() <= head_dim, "rotate_texts: more pairs than a head has");
    team.run_on_pieces(x, width, |row, x| {
        let (cos, sin) = rotation.at(row % tokens);
        let mut sin = sin.to_vec();
        if back {
            sin.iter_mut().for_each(|sin| *sin = -*sin);
        }
        for head in x[..heads * head_dim].chunks_exact_mut(head_dim) {
            team.level().run(Rotate { head, cos, sin: &sin });
        }
    });
}
