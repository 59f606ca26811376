//! Attention: the only layer in which tokens exchange information.
//!
//! There are `n_heads` independent heads. Each has its own queries, keys and values of `head_dim` components and
//! computes `z = softmax(scale · q·kᵀ) · v`, where a token attends to itself and to earlier tokens. So a token's key
//! and value never change once computed: they stay in the sequence's cache, and a pass computes only new tokens.
//! Several query heads may share one key-value head, which makes the cache smaller.
//!
//! Vaswani et al., "Attention is all you need" (2017); Ainslie et al., "GQA" (2023).

use glassbox_tensor::Team;
use glassbox_tensor::ops;

use crate::hooks::{HookPoint, Hooks, Observer};
use crate::linear::{Linear, forward_each};
use crate::norm::Norm;
use crate::pass::{Layer, Pass};
use crate::scratch::Scratch;
use crate::sequences::LayerCaches;
use crate::spec::{Role, Site};

/// The parameters of an attention layer.
pub struct Attention {
    /// To queries: `d_model → n_heads · head_dim`.
    pub q: Linear,
    /// To keys: `d_model → n_kv_heads · head_dim`.
    pub k: Linear,
    /// To values: `d_model → n_kv_heads · head_dim`.
    pub v: Linear,
    /// Norm of each head's query, weight `[head_dim]`.
    pub q_norm: Option<Norm>,
    /// Norm of each head's key, weight `[head_dim]`.
    pub k_norm: Option<Norm>,
    /// From the heads' outputs to the residual stream: `n_heads · head_dim → d_model`.
    pub out: Linear,
    /// The rotary embedding of queries and keys, an index into [`Config::ropes`](crate::Config::ropes).
    pub rope: Option<usize>,
    /// Key-value heads.
    pub n_kv_heads: usize,
    /// Dimension of a head.
    pub head_dim: usize,
    /// Query heads, the scale of the scores, the window.
    pub heads: ops::Attention,
}

impl Layer for Attention {
    const INPUT: HookPoint = HookPoint::Norm1;
    const BEFORE_POST_NORM: HookPoint = HookPoint::AttentionResult;
    const OUTPUT: HookPoint = HookPoint::AttentionOut;
    const NORMS: [Role; 2] = [Role::AttentionNorm, Role::AttentionPostNorm];

    /// Computes `scratch.out` from `scratch.normed`, both `[tokens, d_model]`.
    fn forward<O: Observer>(&self, pass: &mut Pass<'_, '_, O>, scratch: &mut Scratch) {
        // q, z: [tokens, n_heads, head_dim]; k, v: [tokens, n_kv_heads, head_dim]
        let Scratch { positions, normed, q, k, v, z, out, rotations, .. } = scratch;
        let Pass { team, adapters, sequences, hooks, tokens } = pass;
        let (team, tokens, head_dim) = (*team, *tokens, self.head_dim);
        let (heads, kv_heads) = ([self.heads.n_heads, head_dim], [self.n_kv_heads, head_dim]);

        forward_each(team, adapters, normed, [(&self.q, q), (&self.k, k), (&self.v, v)]);
        let at = |role| Site { role, ..self.q.site };
        // z serves as scratch until the heads write it.
        if let Some(norm) = &self.q_norm {
            adapters.norm_in_place(team, at(Role::QNorm), norm, q, z);
        }
        if let Some(norm) = &self.k_norm {
            adapters.norm_in_place(team, at(Role::KNorm), norm, k, z);
        }
        hooks.rows(HookPoint::Q, tokens, heads, q);
        hooks.rows(HookPoint::K, tokens, kv_heads, k);
        hooks.rows(HookPoint::V, tokens, kv_heads, v);

        if let Some(rope) = self.rope {
            let rotation = &rotations[rope];
            ops::rotate(team, q, heads[0], head_dim, rotation, positions);
            ops::rotate(team, k, kv_heads[0], head_dim, rotation, positions);
            hooks.rows(HookPoint::RotQ, tokens, heads, q);
            hooks.rows(HookPoint::RotK, tokens, kv_heads, k);
        }

        let mut caches = sequences.layer(hooks.layer.unwrap_or(0));
        caches.append(team, k, v);
        attend(team, self.heads, q, &caches, z, tokens, hooks);
        hooks.rows(HookPoint::Z, tokens, heads, z);

        forward_each(team, adapters, z, [(&self.out, out)]);
    }
}

/// The heads: `z = softmax(scale · q·kᵀ) · v` over the cached positions of each token's sequence. `q` and `z` are
/// `[tokens, n_heads, head_dim]`.
///
/// An observer that wants the scores or the pattern gets them as matrices and may change them. The order of summation
/// is the same, so the bits are the same as without an observer. Only a single sequence is observed, never a batch.
fn attend<O: Observer>(
    team: &Team<'_>,
    heads: ops::Attention,
    q: &[f32],
    caches: &LayerCaches<'_, '_>,
    z: &mut [f32],
    tokens: usize,
    hooks: &mut Hooks<'_, O>,
) {
    let Some(cache) = caches.only() else {
        return ops::attention_each(team, heads, q, &caches.each(), z);
    };
    if !hooks.wants(HookPoint::Scores) && !hooks.wants(HookPoint::Pattern) {
        return ops::attention(team, heads, q, cache, z);
    }
    let shape = [heads.n_heads, tokens, cache.positions()];
    let mut pattern = vec![0.0; shape.iter().product()];
    ops::attention_scores(team, heads, q, cache, &mut pattern);
    hooks.see(HookPoint::Scores, shape, &mut pattern);
    ops::attention_pattern(team, heads, tokens, cache, &mut pattern);
    hooks.see(HookPoint::Pattern, shape, &mut pattern);
    ops::attention_mix(team, heads, &pattern, cache, z);
}
