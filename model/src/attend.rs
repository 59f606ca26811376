//! Attention proper, as every family does it: queries meet the cached keys, values come back.

use glassbox_tensor::Team;
use glassbox_tensor::ops::{self, Attention};

use crate::observe::{Observer, Place, Watch};
use crate::texts::LayerCaches;

/// Lets the queries `q` of the newest tokens look at all cached tokens of their text up to themselves.
/// `q` and `z` are `[tokens, n_heads, head_dim]`.
///
/// An observer of the scores or the pattern gets them as matrices and may change them; the same sums in the
/// same order give the same bits as when nobody looks. Only a text that runs alone is observed.
pub(crate) fn attend<O: Observer>(
    team: &Team<'_>,
    layer: Attention,
    q: &[f32],
    caches: &LayerCaches<'_, '_>,
    z: &mut [f32],
    tokens: usize,
    watch: &mut Watch<'_, O>,
) {
    let Some(cache) = caches.only() else {
        return ops::attention_each(team, layer, q, &caches.each(), z);
    };
    if !watch.wants(Place::Scores) && !watch.wants(Place::Pattern) {
        return ops::attention(team, layer, q, cache, z);
    }
    let shape = [layer.n_heads, tokens, cache.positions()];
    let mut pattern = vec![0.0; shape.iter().product()];
    ops::attention_scores(team, layer, q, cache, &mut pattern);
    watch.see(Place::Scores, shape, &mut pattern);
    ops::attention_pattern(team, layer, tokens, cache, &mut pattern);
    watch.see(Place::Pattern, shape, &mut pattern);
    ops::attention_mix(team, layer, &pattern, cache, z);
}
