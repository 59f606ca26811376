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

/// Which heads [`rotate_sequences`] rotates, and by which angles.
#[derive(Clone, Copy, Debug)]
pub struct RotateSequences<'a> {
    /// The angles; its table reaches to the last token of a sequence.
    pub rotation: &'a Rotation,
    /// Tokens of a sequence.
    pub tokens: usize,
    /// Columns of a row of `x`.
    pub width: usize,
    /// Heads to rotate: the first `heads · head_dim` columns.
    pub heads: usize,
    /// Components of a head.
    pub head_dim: usize,
}

/// Rotates the heads of each row of `x`, `[sequences, tokens, width]`, by the angles of its position in its sequence.
///
/// # Panics
/// As [`rotate`].
pub fn rotate_sequences(team: &Team<'_>, x: &mut [f32], heads: RotateSequences<'_>) {
    rotate_by(team, x, heads, 1.0);
}

/// Backward of [`rotate_sequences`]: rotates `dx` by the opposite angles.
///
/// # Panics
/// As [`rotate`].
pub fn rotate_sequences_backward(team: &Team<'_>, dx: &mut [f32], heads: RotateSequences<'_>) {
    rotate_by(team, dx, heads, -1.0);
}

fn rotate_by(team: &Team<'_>, x: &mut [f32], arguments: RotateSequences<'_>, sign: f32) {
    let RotateSequences { rotation, tokens, width, heads, head_dim } = arguments;
    super::rows_of("rotate_sequences", x.len(), tokens * width);
    assert!(heads * head_dim <= width, "rotate_sequences: the heads do not fit the row");
    assert!(2 * rotation.pairs() <= head_dim, "rotate_sequences: more pairs than a head has");
    team.run_on_pieces(x, width, |row, x| {
        let (cos, sin) = rotation.at(row % tokens);
        let sin: Vec<f32> = sin.iter().map(|sin| sign * sin).collect();
        for head in x[..heads * head_dim].chunks_exact_mut(head_dim) {
            team.level().run(Rotate { head, cos, sin: &sin });
        }
    });
}
