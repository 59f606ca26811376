//! The rotary embedding of whole sequences, forward and backward, as training needs it.

use crate::kernels::elementwise::Rotate;
use crate::operands::Rotation;
use crate::pool::Team;

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
/// As [`rotate`](super::rotate).
pub fn rotate_sequences(team: &Team<'_>, x: &mut [f32], heads: RotateSequences<'_>) {
    rotate_by(team, x, heads, 1.0);
}

/// Backward of [`rotate_sequences`]: rotates `dx` by the opposite angles.
///
/// # Panics
/// As [`rotate`](super::rotate).
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
