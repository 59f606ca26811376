//! The rotary embedding: a token's position, written into its queries and keys as angles.
//!
//! Su et al., "RoFormer" (2021). Component `i` and component `i + head_dim/2` of a head form a pair, turned
//! by `position · frequency[i]`; the dot product of a query and a key then depends on their distance alone.

use crate::kernels::elementwise::Rotate;
use crate::pool::Team;
use crate::reference;

/// The cosines and sines of every position so far, computed as they are needed.
#[derive(Clone, Debug)]
pub struct Rotation {
    /// Radians a position, one a pair: `[pairs]`.
    frequencies: Vec<f32>,
    /// What cosine and sine are multiplied by (1, but for YaRN).
    magnitude: f32,
    /// `[positions, pairs]`
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl Rotation {
    /// A table for the given radians a position, one for each pair of components.
    pub fn new(frequencies: Vec<f32>, magnitude: f32) -> Rotation {
        Rotation { frequencies, magnitude, cos: Vec::new(), sin: Vec::new() }
    }

    /// How many pairs of components are turned.
    pub fn pairs(&self) -> usize {
        self.frequencies.len()
    }

    /// Radians a position, one for each pair.
    pub fn frequencies(&self) -> &[f32] {
        &self.frequencies
    }

    /// Computes the table up to (not including) `position`, if it is not there yet.
    ///
    /// Angles are rounded to `f32` as in the reference; their sine and cosine are taken in `f64` and
    /// rounded once.
    pub fn extend_to(&mut self, position: usize) {
        if self.pairs() == 0 {
            return;
        }
        for position in self.cos.len() / self.pairs()..position {
            for &frequency in &self.frequencies {
                let angle = f64::from(position as f32 * frequency);
                self.cos.push(angle.cos() as f32 * self.magnitude);
                self.sin.push(angle.sin() as f32 * self.magnitude);
            }
        }
    }

    /// `(cos, sin)` of one position, each `[pairs]`.
    ///
    /// # Panics
    /// If the table does not reach that far.
    pub fn at(&self, position: usize) -> (&[f32], &[f32]) {
        let range = position * self.pairs()..(position + 1) * self.pairs();
        (&self.cos[range.clone()], &self.sin[range])
    }
}

/// Turns every head of every row of `x`, `[rows, heads, head_dim]`; row `r` stands at `positions[r]`.
///
/// # Panics
/// If `x` is not a row for each position, a head has fewer components than the table turns, or the table is too short.
pub fn rotate(
    team: &Team<'_>,
    x: &mut [f32],
    heads: usize,
    head_dim: usize,
    rotation: &Rotation,
    positions: &[usize],
) {
    let rows = super::rows_of("rotate", x.len(), heads * head_dim);
    assert_eq!(rows, positions.len(), "rotate: a position for each row");
    assert!(2 * rotation.pairs() <= head_dim, "rotate: more pairs than a head has");
    team.run_on_pieces(x, heads * head_dim, |row, x| {
        let (cos, sin) = rotation.at(positions[row]);
        for head in x.chunks_exact_mut(head_dim) {
            if team.is_reference() {
                reference::rotate(head, cos, sin);
                continue;
            }
            team.level().run(Rotate { head, cos, sin });
        }
    });
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
