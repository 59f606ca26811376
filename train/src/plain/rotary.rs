//! The rotary embedding (RoPE): rotates queries and keys by angles proportional to their position.

use glassbox_tensor::ops::Rotation;

use super::Float;

/// Rotates components `i` and `i + pairs` of each head by the angle of the row's position, in place. `x` is
/// `[sequences · tokens, width]`, of which the first `heads · head_dim` columns are rotated.
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

/// The chain rule gives the transposed matrix. A rotation is orthogonal (up to YaRN's magnitude, which both passes
/// share), so its transpose rotates by the opposite angle.
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
