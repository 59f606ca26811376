//! Tokens in context and embeddings: cosines equal a plain computation, with what all tokens share taken off.

mod tiny;

use glassbox_model::Runtime;
use glassbox_model::glass::{
    Baseline, LensOptions, NearbyOptions, NeighborOptions, RandomCosines, Term, are_forms_of_one_word,
    compare_in_context, lens, mutual_cosines, nearest_embeddings, neighbors_in_context,
};
use glassbox_model::hooks::HookPoint;
use tiny::{close, cosine, fixtures, ids, kinds, load, models, rows, widened};

/// Some other sequence.
fn baseline_ids(model: &Runtime) -> Vec<u32> {
    (1..20u32).map(|i| i * 7919 % model.config.vocab_size as u32).collect()
}

fn mean(rows: &[Vec<f64>]) -> Vec<f64> {
    (0..rows[0].len()).map(|i| rows.iter().map(|row| row[i]).sum::<f64>() / rows.len() as f64).collect()
}

fn minus(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

/// The mean, and the smallest number that at least 95 % are below.
fn statistics(mut cosines: Vec<f64>) -> RandomCosines {
    cosines.sort_by(f64::total_cmp);
    let mean = cosines.iter().sum::<f64>() / cosines.len() as f64;
    RandomCosines { mean, high: cosines[(cosines.len() as f64 * 0.95).floor() as usize] }
}

#[test]
fn cosines_of_two_contexts_are_without_the_mean_of_all_tokens() {
    for (name, model) in kinds() {
        let (a, other) = (ids(&model), baseline_ids(&model));
        let b: Vec<u32> = a.iter().rev().copied().collect();
        let baseline = Baseline::of(&model, &other).unwrap();
        assert_eq!(baseline.tokens(), other.len() - 1);
        let found = compare_in_context(&model, (&a, 7), (&b, 5), 3, &baseline).unwrap();
        assert_eq!(found.after.len(), model.config.n_layers);
        let before = (HookPoint::ResidPre, 0, found.before);
        let after = found.after.iter().map(|layer| (HookPoint::ResidPost, layer.layer, layer.similarity));
        for (point, layer, similarity) in [before].into_iter().chain(after) {
            // The first token of each is left out of the mean.
            let streams = |ids: &[u32]| rows(&model, ids, point, Some(layer));
            let (x, y, random) = (streams(&a), streams(&b), streams(&other)[1..].to_vec());
            let mean = mean(&[&random[..], &x[1..], &y[1..]].concat());
            let expected = cosine(&minus(&x[7], &mean), &minus(&y[5], &mean));
            assert!(close(similarity.cosine, expected, 1e-9, 1.0), "{name}: {similarity:?}, {expected}");
            assert!(close(similarity.raw, cosine(&x[7], &y[5]), 1e-9, 1.0), "{name}");
            let pairs = (0..random.len()).flat_map(|i| (0..i).map(move |j| (i, j)));
            let cosines = pairs.map(|(i, j)| cosine(&minus(&random[i], &mean), &minus(&random[j], &mean)));
            let expected = statistics(cosines.collect());
            assert!(close(similarity.random.mean, expected.mean, 1e-9, 1.0), "{name}");
            assert!(close(similarity.random.high, expected.high, 1e-9, 1.0), "{name}");
        }
    }
}

#[test]
fn what_tells_two_vectors_apart_is_the_difference_of_their_lens_logits() {
    for (name, model) in kinds() {
        let a = ids(&model);
        let b: Vec<u32> = a.iter().rev().copied().collect();
        let baseline = Baseline::of(&model, &baseline_ids(&model)).unwrap();
        let found = compare_in_context(&model, (&a, 7), (&b, 5), 4, &baseline).unwrap();
        let all = |ids: &[u32], at: usize, layer| {
            let options =
                LensOptions { layer: Some(layer), positions: Some(at..at + 1), top: usize::MAX, token: None };
            let mut logits = lens(&model, ids, &options).unwrap().remove(0).readings.remove(0);
            logits.sort_by_key(|candidate| candidate.id);
            logits.into_iter().map(|candidate| f64::from(candidate.logit)).collect::<Vec<_>>()
        };
        for layer in &found.after {
            let difference = minus(&all(&a, 7, layer.layer), &all(&b, 5, layer.layer));
            let mut order = difference.clone();
            order.sort_by(f64::total_cmp);
            let scale = order[order.len() - 1].abs().max(order[0].abs());
            // Quantised products round their inputs to 16 bits.
            for (i, token) in layer.only_a.iter().enumerate() {
                assert!(close(token.logit, order[order.len() - 1 - i], 1e-3, scale), "{name}");
                assert!(close(token.logit, difference[token.id as usize], 1e-3, scale), "{name}");
            }
            for (i, token) in layer.only_b.iter().enumerate() {
                assert!(token.logit < 0.0 && close(token.logit, order[i], 1e-3, scale), "{name}");
            }
            assert_eq!((layer.only_a.len(), layer.only_b.len()), (4, 4), "{name}");
        }
    }
}

#[test]
fn a_token_has_cosine_one_in_the_same_context_only() {
    for (name, model) in models() {
        let ids = ids(&model);
        let baseline = Baseline::of(&model, &baseline_ids(&model)).unwrap();
        let compare = |a, b| compare_in_context(&model, (&ids, a), (&ids, b), 0, &baseline).unwrap();
        let same = compare(7, 7);
        assert_eq!(same.after.len(), model.config.n_layers);
        let one = |cosine: f64| (cosine - 1.0).abs() < 1e-9;
        assert!(
            one(same.before.cosine) && same.after.iter().all(|layer| one(layer.similarity.cosine)),
            "{name}"
        );
        // Token 57 at positions 1 and 7; without learned positions it starts as the same vector.
        let other = compare(1, 7);
        let cosines = || other.after.iter().map(|layer| layer.similarity.cosine);
        assert!(cosines().all(|cosine| (-1.0..1.0 - 1e-9).contains(&cosine)), "{name}: {other:?}");
        assert_eq!(one(other.before.cosine), model.config.family != "gpt2", "{name}");
    }
}

#[test]
fn neighbours_in_context_are_the_nearest_by_cosine_without_the_means() {
    for name in ["llama-text", "gpt2-text", "qwen3-plain", "gemma3_text-plain"] {
        let model = load(&fixtures().join(name));
        let (ids, position, other) = (ids(&model), 8, baseline_ids(&model));
        let baseline = Baseline::of(&model, &other).unwrap();
        let options = NeighborOptions { position, layer: None, top: 5 };
        let layers = neighbors_in_context(&model, &ids, &options, &baseline).unwrap();
        assert_eq!(layers.len(), model.config.n_layers);
        let last = layers.last().unwrap();
        let normed = |ids: &[u32]| rows(&model, ids, HookPoint::FinalNorm, None);
        let x = minus(&normed(&ids)[position], &mean(&normed(&other)[1..]));
        let unembedding = model.vocabulary().unembedding().to_f32();
        let directions: Vec<Vec<f64>> = unembedding.chunks_exact(x.len()).map(widened).collect();
        let shared = mean(&directions);
        let cosines: Vec<f64> = directions.iter().map(|row| cosine(&x, &minus(row, &shared))).collect();
        let mut order: Vec<usize> = (0..cosines.len()).collect();
        order.sort_by(|&a, &b| cosines[b].total_cmp(&cosines[a]));
        for (found, &expected) in last.neighbors.iter().zip(&order) {
            assert_eq!(found.id as usize, expected, "{name}");
            assert!(close(found.cosine, cosines[expected], 1e-5, 1.0), "{name}");
            let raw = cosine(&normed(&ids)[position], &directions[expected]);
            assert!(close(found.raw, raw, 1e-5, 1.0), "{name}");
        }
        assert!(close(last.random.high, statistics(cosines).high, 1e-5, 1.0), "{name}");
        let one = NeighborOptions { layer: Some(0), ..options };
        assert_eq!(neighbors_in_context(&model, &ids, &one, &baseline).unwrap(), layers[..1]);
    }
}

#[test]
fn sums_of_words_are_compared_with_every_other_word() {
    for (name, model) in kinds() {
        let d_model = model.config.d_model;
        let embedding = model.vocabulary().embedding.to_f32();
        let rows: Vec<Vec<f64>> = embedding.chunks_exact(d_model).map(widened).collect();
        let unit = |id: u32| {
            let row = &rows[id as usize];
            row.iter().map(|x| x / tiny::length(row)).collect::<Vec<f64>>()
        };
        let terms = [(5, 1.0), (9, -1.0), (12, 1.0)].map(|(id, factor)| Term { id, factor });
        let mut sum = vec![0.0; d_model];
        for term in terms {
            sum.iter_mut().zip(unit(term.id)).for_each(|(sum, x)| *sum += term.factor * x);
        }
        let options = NearbyOptions { top: 6, tokenizer: None, fold_forms: true, whole_words: false };
        let found = nearest_embeddings(&model, &terms, &options).unwrap();
        let mut order: Vec<u32> = (0..rows.len() as u32).filter(|id| ![5, 9, 12].contains(id)).collect();
        let cosine_of = |id: u32| cosine(&sum, &rows[id as usize]);
        order.sort_by(|&a, &b| cosine_of(b).total_cmp(&cosine_of(a)));
        assert_eq!(found.len(), 6);
        for (near, expected) in found.iter().zip(order) {
            assert!(close(near.cosine, cosine_of(expected), 1e-12, 1.0), "{name}");
            assert!(near.forms.is_empty());
        }
        let table = mutual_cosines(&model, &[5, 9, 12]).unwrap();
        assert!(close(table[0][2], cosine(&rows[5], &rows[12]), 1e-12, 1.0) && table[0][2] == table[2][0]);
        assert!((0..3).all(|i| close(table[i][i], 1.0, 1e-12, 1.0)));
        assert!(mutual_cosines(&model, &[model.config.vocab_size as u32]).is_err());
    }
}

/// Regular English endings, and words that only look like forms of another.
#[test]
fn forms_of_a_word_share_its_base() {
    for (a, b) in [
        ("leap", " Leap"),
        (" leap", "leaps"),
        ("LEAPING", "leaped"),
        ("hop", " hopped"),
        ("hope", "hoping"),
        ("make", "making"),
        ("carry", "carried"),
        ("city", "cities"),
        ("box", "boxes"),
        ("king", "king's"),
        ("stress", "stresses"),
        ("fill", "filling"),
    ] {
        assert!(are_forms_of_one_word(a, b) && are_forms_of_one_word(b, a), "{a} {b}");
    }
    for (a, b) in [
        ("hop", "hope"),
        ("hopping", "hope"),
        ("hoping", "hop"),
        ("king", "k"),
        ("his", "hi"),
        ("bus", "bu"),
        ("thing", "th"),
        ("red", "r"),
        ("less", "les"),
        (" ", "  "),
        ("", "a"),
        ("的", "是"),
    ] {
        assert!(!are_forms_of_one_word(a, b), "{a} {b}");
    }
}
