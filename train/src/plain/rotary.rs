//! The rotary embedding: queries and keys turned by angles that say where they stand.

use glassbox_tensor::ops::Rotation;

use super::Float;

/// Turns components `i` and `i + pairs` of each head by the angle of the row's position, in place.
/// `x` is `[sequences · tokens, width]`, of which the first `heads · head_dim` columns are turned.
pub fn forward<F: Float>(
    rotation: &Rotation,
    x: &mut [F],
    width: usize,
    heads: usize,
    head_dim: usize,
    tokens: usize,
) {
    turn(rotation, x, width, heads, head_dim, tokens, F::ONE);
}

/// A rotation's matrix is orthogonal (up to YaRN's magnitude, which both share), so its transpose, which the
/// chain rule asks for, turns back by the same angle.
pub fn backward<F: Float>(
    rotation: &Rotation,
    dx: &mut [F],
    width: usize,
    heads: usize,
    head_dim: usize,
    tokens: usize,
) {
    turn(rotation, dx, width, heads, head_dim, tokens, -F::ONE);
}

fn turn<F: Float>(
    rotation: &Rotation,
    x: &mut [F],
    width: usize,
    heads: usize,
    head_dim: usize,
    tokens: usize,
    direction: F,
) {
    for (row, x) in x.chunks_exact_mut(width).enumerate() {
        let (cos, sin) = rotation.at(row % tokens);
        for head in x[..heads * head_dim].chunks_exact_mut(head_dim) {
            for (i, (&cos, &sin)) in cos.iter().zip(sin).enumerate() {
                let (cos, sin) = (F::of(f64::from(cos)), F::of(f64::from(sin)) * direction);
                let (a, b) = (head[i], head[i + rotation.pairs()]);
                head[i] = a * cos - b * sin;
                head[i + rotation.pairs()] = b * cos + a * sin;
            }
        }
    }
}
