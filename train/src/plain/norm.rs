//! Layer norm and RMS norm: each row is normalised, then each component is scaled by a learned weight.

use super::Float;

/// `y = w · (x − mean) / √(variance + epsilon) + b`, row by row, with the population variance (divided by `d`).
pub fn layer_norm<F: Float>(x: &[F], w: &[F], b: &[F], epsilon: F) -> Vec<F> {
    let mut y = Vec::with_capacity(x.len());
    for x in x.chunks_exact(w.len()) {
        let (mean, scale) = mean_and_scale(x, epsilon);
        y.extend(x.iter().zip(w).zip(b).map(|((&x, &w), &b)| (x - mean) * scale * w + b));
    }
    y
}

/// The backward pass of [`layer_norm`]. With `x̂ = (x − mean) · s`, `s = 1/√(variance + epsilon)` and `g = dy · w`:
///
/// `w` and `b` apply to every row, so `dw = Σ_r dy · x̂` and `db = Σ_r dy`. The derivative with respect to `x̂` is `g`.
/// `x[i]` affects `x̂[i]` directly (by `s`), the mean (by `1/d`, so every `x̂[j]` by `−s/d`) and the variance (by
/// `2·(x[i] − mean)/d`, so `s` by `−s³·(x[i] − mean)/d` and every `x̂[j]` by `−s·x̂[i]·x̂[j]/d`). The sum is
///
/// ```text
/// dx[i] = s · (g[i] − mean(g) − x̂[i] · mean(g · x̂))
/// ```
pub fn layer_norm_backward<F: Float>(
    x: &[F],
    w: &[F],
    epsilon: F,
    dy: &[F],
    dw: Option<&mut [F]>,
    db: Option<&mut [F]>,
) -> Vec<F> {
    let (d, count) = (w.len(), F::of(w.len() as f64));
    let mut dx = Vec::with_capacity(x.len());
    let (mut all_dw, mut all_db) = (vec![F::ZERO; d], vec![F::ZERO; d]);
    for (x, dy) in x.chunks_exact(d).zip(dy.chunks_exact(d)) {
        let (mean, scale) = mean_and_scale(x, epsilon);
        let normed: Vec<F> = x.iter().map(|&x| (x - mean) * scale).collect();
        let g: Vec<F> = dy.iter().zip(w).map(|(&dy, &w)| dy * w).collect();
        let mean_g = sum(g.iter().copied()) / count;
        let mean_gx = sum(g.iter().zip(&normed).map(|(&g, &x)| g * x)) / count;
        for i in 0..d {
            dx.push(scale * (g[i] - mean_g - normed[i] * mean_gx));
            all_dw[i] += dy[i] * normed[i];
            all_db[i] += dy[i];
        }
    }
    add(dw, &all_dw);
    add(db, &all_db);
    dx
}

/// `y = w · x / √(mean(x²) + epsilon)`, row by row.
pub fn rms_norm<F: Float>(x: &[F], w: &[F], epsilon: F) -> Vec<F> {
    let mut y = Vec::with_capacity(x.len());
    for x in x.chunks_exact(w.len()) {
        let scale = rms_scale(x, epsilon);
        y.extend(x.iter().zip(w).map(|(&x, &w)| w * (x * scale)));
    }
    y
}

/// As [`layer_norm_backward`], but without the mean: with `x̂ = x · s`, `s = 1/√(mean(x²) + epsilon)` and
/// `g = dy · w`,
///
/// ```text
/// dx[i] = s · (g[i] − x̂[i] · mean(g · x̂))        dw = Σ_r dy · x̂
/// ```
pub fn rms_norm_backward<F: Float>(x: &[F], w: &[F], epsilon: F, dy: &[F], dw: Option<&mut [F]>) -> Vec<F> {
    let (d, count) = (w.len(), F::of(w.len() as f64));
    let mut dx = Vec::with_capacity(x.len());
    let mut all_dw = vec![F::ZERO; d];
    for (x, dy) in x.chunks_exact(d).zip(dy.chunks_exact(d)) {
        let scale = rms_scale(x, epsilon);
        let mean_gx = sum((0..d).map(|i| dy[i] * w[i] * x[i] * scale)) / count;
        for i in 0..d {
            dx.push(scale * (dy[i] * w[i] - x[i] * scale * mean_gx));
            all_dw[i] += dy[i] * x[i] * scale;
        }
    }
    add(dw, &all_dw);
    dx
}

fn mean_and_scale<F: Float>(x: &[F], epsilon: F) -> (F, F) {
    let count = F::of(x.len() as f64);
    let mean = sum(x.iter().copied()) / count;
    let variance = sum(x.iter().map(|&x| (x - mean) * (x - mean))) / count;
    (mean, F::ONE / (variance + epsilon).sqrt())
}

fn rms_scale<F: Float>(x: &[F], epsilon: F) -> F {
    F::ONE / (sum(x.iter().map(|&x| x * x)) / F::of(x.len() as f64) + epsilon).sqrt()
}

fn sum<F: Float>(x: impl Iterator<Item = F>) -> F {
    x.fold(F::ZERO, |sum, x| sum + x)
}

fn add<F: Float>(to: Option<&mut [F]>, from: &[F]) {
    for (to, &from) in to.into_iter().flatten().zip(from) {
        *to += from;
    }
}
