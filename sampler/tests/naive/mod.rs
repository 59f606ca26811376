//! Naive filters: sort everything, remove one by one. The oracle for the real ones.
//!
//! The sums run in the order that the crate documents (the total in the current order of the candidates, the share
//! reached from the best downwards), so that the results can be compared with `==`.

use std::collections::HashMap;

use glassbox_sampler::{Filter, numeric};

pub(crate) type Candidates = Vec<(u32, f64)>;

pub(crate) fn run(logits: &[f32], filters: &[Filter], history: &[u32], ceiling: f64) -> Candidates {
    let all = logits.iter().enumerate().map(|(id, &logit)| (id as u32, f64::from(logit)));
    let mut candidates: Candidates = all.filter(|c| c.1 > f64::NEG_INFINITY).collect();
    for filter in filters {
        candidates = apply(candidates, filter, history, ceiling);
    }
    candidates
}

fn apply(mut candidates: Candidates, filter: &Filter, history: &[u32], ceiling: f64) -> Candidates {
    match filter {
        Filter::LogitBias(f) => {
            for entry in &f.biases {
                for c in candidates.iter_mut().filter(|c| c.0 == entry.id) {
                    c.1 += f64::from(entry.bias);
                }
                candidates.retain(|c| c.1 > f64::NEG_INFINITY);
            }
            candidates
        }
        Filter::Penalties(f) => {
            let window = if f.last_n < 0 { history.len() } else { history.len().min(f.last_n as usize) };
            let mut counts: HashMap<u32, f64> = HashMap::new();
            for &id in &history[history.len() - window..] {
                *counts.entry(id).or_default() += 1.0;
            }
            for (id, logit) in &mut candidates {
                if let Some(count) = counts.get(id) {
                    *logit = if *logit <= 0.0 {
                        *logit * f64::from(f.repeat)
                    } else {
                        *logit / f64::from(f.repeat)
                    };
                    *logit = *logit - count * f64::from(f.frequency) - f64::from(f.presence);
                }
            }
            candidates
        }
        Filter::TopK(f) if f.k == 0 => candidates,
        Filter::TopK(f) => sorted(candidates).into_iter().take(f.k).collect(),
        Filter::TopP(f) if f.p >= 1.0 => candidates,
        Filter::TopP(f) => {
            let total: f64 = weights(&candidates).iter().sum();
            let candidates = sorted(candidates);
            let mut sum = 0.0;
            let mut kept = 0;
            for weight in weights(&candidates) {
                sum += weight;
                kept += 1;
                if sum >= f64::from(f.p) * total && kept >= f.min_keep {
                    break;
                }
            }
            candidates[..kept].to_vec()
        }
        Filter::MinP(f) if f.p <= 0.0 => candidates,
        Filter::MinP(f) => {
            let best = sorted(candidates.clone())[0].1;
            let passing: Candidates =
                candidates.iter().copied().filter(|c| c.1 >= best + numeric::ln(f64::from(f.p))).collect();
            if passing.len() >= f.min_keep {
                passing
            } else {
                sorted(candidates)[..].iter().copied().take(f.min_keep).collect()
            }
        }
        Filter::Typical(f) if f.p >= 1.0 => candidates,
        Filter::Typical(f) => {
            let candidates = sorted(candidates);
            let weights = weights(&candidates);
            let total: f64 = weights.iter().sum();
            let surprises: Vec<f64> =
                candidates.iter().map(|c| numeric::ln(total) - (c.1 - candidates[0].1)).collect();
            let entropy: f64 = weights.iter().zip(&surprises).map(|(w, s)| w / total * s).sum();
            let mut places: Vec<usize> = (0..candidates.len()).collect();
            places.sort_by(|&a, &b| {
                (surprises[a] - entropy).abs().partial_cmp(&(surprises[b] - entropy).abs()).unwrap()
            });
            let mut sum = 0.0;
            let mut kept = Vec::new();
            for place in places {
                sum += weights[place];
                kept.push(candidates[place]);
                if sum > f64::from(f.p) * total && kept.len() >= f.min_keep {
                    break;
                }
            }
            sorted(kept)
        }
        Filter::Temperature(f) if f.temperature == 0.0 => sorted(candidates)[..1].to_vec(),
        Filter::Temperature(f) => {
            candidates.into_iter().map(|(id, l)| (id, l / f64::from(f.temperature))).collect()
        }
        Filter::Mirostat(_) => {
            let candidates = sorted(candidates);
            let weights = weights(&candidates);
            let total: f64 = weights.iter().sum();
            let bits =
                |c: &(u32, f64)| (numeric::ln(total) - (c.1 - candidates[0].1)) * std::f64::consts::LOG2_E;
            let mut kept: Candidates = candidates.iter().copied().filter(|c| bits(c) <= ceiling).collect();
            if kept.is_empty() {
                kept.push(candidates[0]);
            }
            kept
        }
    }
}

/// e^(logit − best) of each, in their order.
fn weights(candidates: &Candidates) -> Vec<f64> {
    let best = candidates.iter().map(|c| c.1).fold(f64::NEG_INFINITY, f64::max);
    candidates.iter().map(|c| numeric::exp(c.1 - best)).collect()
}

pub(crate) fn sorted(mut candidates: Candidates) -> Candidates {
    candidates.sort_by(|a, b| b.1.partial_cmp(&a.1).unwrap().then(a.0.cmp(&b.0)));
    candidates
}
