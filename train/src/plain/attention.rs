//! Causal grouped-query attention: each token takes a weighted sum of the values of itself and earlier tokens.

use super::Float;

/// The dimensions of an attention layer.
#[derive(Clone, Copy, Debug)]
pub struct AttentionShape {
    /// Tokens per sequence; attention does not cross sequences.
    pub tokens: usize,
    /// Query heads.
    pub heads: usize,
    /// Key-value heads; consecutive query heads share one.
    pub kv_heads: usize,
    /// Dimension of a head.
    pub head_dim: usize,
    /// Factor of the scores, usually `1/√head_dim`.
    pub scale: f32,
}

impl AttentionShape {
    /// Columns of the matrix of queries, keys and values.
    pub fn width(self) -> usize {
        (self.heads + 2 * self.kv_heads) * self.head_dim
    }

    /// The first columns of a query head's query, key and value.
    pub fn columns(self, head: usize) -> [usize; 3] {
        let kv = head / (self.heads / self.kv_heads);
        [head, self.heads + kv, self.heads + self.kv_heads + kv].map(|head| head * self.head_dim)
    }
}

/// `scores[t][j] = scale · q[t]·k[j]` for `j ≤ t`, `pattern = softmax(scores)`, `z[t] = Σ_j pattern[t][j] · v[j]`.
///
/// `qkv` is `[sequences · tokens, width]`; the result is `z`, `[sequences · tokens, heads, head_dim]`.
pub fn forward<F: Float>(shape: AttentionShape, qkv: &[F]) -> Vec<F> {
    let (width, d) = (shape.width(), shape.head_dim);
    let mut z = vec![F::ZERO; qkv.len() / width * shape.heads * d];
    each(shape, qkv, |sequence, head, t, pattern| {
        let [_, _, v] = shape.columns(head);
        let z = &mut z[((sequence * shape.tokens + t) * shape.heads + head) * d..][..d];
        for (j, &p) in pattern.iter().enumerate() {
            let value = &qkv[(sequence * shape.tokens + j) * width + v..][..d];
            z.iter_mut().zip(value).for_each(|(z, &v)| *z += p * v);
        }
    });
    z
}

/// The gradient of `qkv` from `dz`, the gradient of `z`, through the three steps in reverse:
///
/// ```text
/// dv[j]         += pattern[t][j] · dz[t]                  z is linear in v
/// dpattern[t][j] = dz[t] · v[j]                           … and in the pattern
/// dscores[t][j]  = pattern[t][j] · (dpattern[t][j] − Σ_i pattern[t][i]·dpattern[t][i])
/// dq[t]         += scale · dscores[t][j] · k[j]           scores are a product
/// dk[j]         += scale · dscores[t][j] · q[t]
/// ```
///
/// The third line is the softmax's: `∂p[i]/∂s[j] = p[i]·([i = j] − p[j])`. Its sum equals `z[t]·dz[t]`, so the
/// fast version does not need the whole row (Dao et al., "FlashAttention", 2022).
pub fn backward<F: Float>(shape: AttentionShape, qkv: &[F], dz: &[F]) -> Vec<F> {
    let (width, d, scale) = (shape.width(), shape.head_dim, F::of(f64::from(shape.scale)));
    let mut dqkv = vec![F::ZERO; qkv.len()];
    each(shape, qkv, |sequence, head, t, pattern| {
        let [q, k, v] =
            shape.columns(head).map(|column| move |t| (sequence * shape.tokens + t) * width + column);
        let dz = &dz[((sequence * shape.tokens + t) * shape.heads + head) * d..][..d];
        let dpattern: Vec<F> = (0..=t).map(|j| dot(dz, &qkv[v(j)..][..d])).collect();
        let mean = dot(pattern, &dpattern);
        for (j, &p) in pattern.iter().enumerate() {
            let dscore = p * (dpattern[j] - mean) * scale;
            for i in 0..d {
                dqkv[v(j) + i] += p * dz[i];
                dqkv[q(t) + i] += dscore * qkv[k(j) + i];
                dqkv[k(j) + i] += dscore * qkv[q(t) + i];
            }
        }
    });
    dqkv
}

/// Calls `f(sequence, head, t, pattern[t][..=t])` for every query.
fn each<F: Float>(shape: AttentionShape, qkv: &[F], mut f: impl FnMut(usize, usize, usize, &[F])) {
    let (width, d, scale) = (shape.width(), shape.head_dim, F::of(f64::from(shape.scale)));
    for (sequence, qkv) in qkv.chunks_exact(shape.tokens * width).enumerate() {
        for head in 0..shape.heads {
            let [q, k, _] = shape.columns(head);
            for t in 0..shape.tokens {
                let query = &qkv[t * width + q..][..d];
                let scores: Vec<F> =
                    (0..=t).map(|j| dot(query, &qkv[j * width + k..][..d]) * scale).collect();
                f(sequence, head, t, &softmax(&scores));
            }
        }
    }
}

fn softmax<F: Float>(scores: &[F]) -> Vec<F> {
    let largest = scores.iter().fold(scores[0], |a, &b| if b > a { b } else { a });
    let powers: Vec<F> = scores.iter().map(|&score| (score - largest).exp()).collect();
    let sum = powers.iter().fold(F::ZERO, |sum, &x| sum + x);
    powers.into_iter().map(|x| x / sum).collect()
}

fn dot<F: Float>(a: &[F], b: &[F]) -> F {
    a.iter().zip(b).fold(F::ZERO, |sum, (&a, &b)| sum + a * b)
}
