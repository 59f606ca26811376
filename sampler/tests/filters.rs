//! Each filter and any chain of filters against the naive version.

mod naive;

use glassbox_sampler::{
    Bias, Chain, Error, Filter, LogitBias, MinP, Mirostat, Penalties, Sampler, Temperature, TopK, TopP,
    Typical,
};
use proptest::prelude::*;

/// Logits of every kind: spread out, with many ties, with banned tokens, extreme, of any length from 1.
fn logits() -> impl Strategy<Value = Vec<f32>> {
    let one = prop_oneof![
        6 => -12.0f32..12.0,
        4 => (-6i32..6).prop_map(|x| x as f32 / 2.0),
        1 => Just(f32::NEG_INFINITY),
        1 => prop_oneof![Just(0.0), Just(-0.0), Just(f32::MAX), Just(f32::MIN), Just(1e-40f32)],
    ];
    prop_oneof![
        3 => prop::collection::vec(one.clone(), 1..60),
        1 => prop::collection::vec(one.clone(), 600..1500),
        1 => prop::collection::vec(-4.0f32..4.0, 1..60),
        1 => (1usize..700).prop_map(|n| vec![1.0; n]),
    ]
    .prop_filter("one candidate", |logits| logits.iter().any(|&x| x > f32::NEG_INFINITY))
}

fn share() -> impl Strategy<Value = f32> {
    prop_oneof![4 => 0.0f32..=1.0, 1 => Just(0.0), 1 => Just(1.0), 1 => Just(0.5)]
}

fn one_filter() -> impl Strategy<Value = Filter> {
    let min_keep = prop_oneof![3 => Just(1usize), 1 => 1usize..20];
    prop_oneof![
        (0usize..80).prop_map(|k| Filter::TopK(TopK { k })),
        (share(), min_keep.clone()).prop_map(|(p, min_keep)| Filter::TopP(TopP { p, min_keep })),
        (share(), min_keep.clone()).prop_map(|(p, min_keep)| Filter::MinP(MinP { p, min_keep })),
        (share(), min_keep).prop_map(|(p, min_keep)| Filter::Typical(Typical { p, min_keep })),
        prop_oneof![0.0f32..3.0, Just(0.0), Just(1.0), Just(1e-40), Just(f32::MAX)]
            .prop_map(|temperature| Filter::Temperature(Temperature { temperature })),
        (0.1f32..3.0, -2.0f32..2.0, -2.0f32..2.0, -1i32..12).prop_map(
            |(repeat, frequency, presence, last_n)| {
                Filter::Penalties(Penalties { repeat, frequency, presence, last_n })
            }
        ),
        prop::collection::vec((0u32..60, -9.0f32..9.0), 0..6).prop_map(|biases| {
            let biases = biases.into_iter().map(|(id, bias)| Bias { id, bias }).collect();
            Filter::LogitBias(LogitBias { biases })
        }),
        (0.0f32..8.0).prop_map(|target| Filter::Mirostat(Mirostat { target, rate: 0.1 })),
    ]
}

/// A chain with each kind of filter at most once, mirostat last, and biases within the vocabulary.
fn chain(vocab_size: usize, filters: Vec<Filter>) -> Vec<Filter> {
    let mut chain: Vec<Filter> = Vec::new();
    for mut filter in filters {
        if let Filter::LogitBias(f) = &mut filter {
            f.biases.retain(|entry| (entry.id as usize) < vocab_size);
        }
        if chain.iter().all(|earlier| earlier.name() != filter.name()) {
            chain.push(filter);
        }
    }
    chain.sort_by_key(|filter| matches!(filter, Filter::Mirostat(_)));
    chain
}

fn ceiling(filters: &[Filter]) -> f64 {
    match filters.last() {
        Some(Filter::Mirostat(f)) => 2.0 * f64::from(f.target),
        _ => 0.0,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn any_chain_keeps_what_the_naive_version_keeps(
        logits in logits(),
        filters in prop::collection::vec(one_filter(), 0..5),
        history in prop::collection::vec(0u32..60, 0..20),
    ) {
        let filters = chain(logits.len(), filters);
        let expected = naive::sorted(naive::run(&logits, &filters, &history, ceiling(&filters)));
        prop_assert!(!expected.is_empty());
        let mut sampler = Sampler::from_chain(Chain::new(filters).unwrap(), 1);
        sampler.prime(&history);
        let found: Vec<(u32, f64)> =
            sampler.distribution(&logits).unwrap().iter().map(|token| (token.id, token.logit)).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn any_chain_draws_one_of_the_candidates_and_the_record_agrees(
        logits in logits(),
        filters in prop::collection::vec(one_filter(), 0..5),
        history in prop::collection::vec(0u32..60, 0..20),
        seed: u64,
    ) {
        let filters = chain(logits.len(), filters);
        let left = naive::run(&logits, &filters, &history, ceiling(&filters));
        let mut silent = Sampler::from_chain(Chain::new(filters.clone()).unwrap(), seed);
        silent.prime(&history);
        let mut recorded = silent.clone();
        for _ in 0..3 {
            let id = silent.sample(&logits).unwrap();
            let record = recorded.sample_recorded(&logits).unwrap();
            prop_assert_eq!(record.id, id);
            if !matches!(filters.last(), Some(Filter::Mirostat(_))) {
                prop_assert!(left.iter().any(|c| c.0 == id));
                prop_assert_eq!(record.left, left.len());
            }
            prop_assert_eq!(record.steps.len(), filters.len());
            let draw = record.draw;
            prop_assert!(draw.probability > 0.0 && draw.probability <= 1.0);
            let target = draw.unit.unwrap_or(0.0) * draw.total;
            prop_assert!(draw.from <= target && target < draw.to && draw.to <= draw.total);
            prop_assert_eq!(record.replay(&logits).unwrap(), record);
        }
    }

    #[test]
    fn greedy_is_the_best_logit_and_the_lowest_id(logits in logits(), bias in -5.0f32..5.0) {
        let mut greedy = Sampler::new(glassbox_sampler::SamplerConfig::greedy()).unwrap();
        let best = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let lowest = logits.iter().position(|&x| x == best).unwrap() as u32;
        prop_assert_eq!(greedy.sample(&logits), Ok(lowest));
        prop_assert_eq!(greedy.sample_recorded(&logits).unwrap().id, lowest);

        let config = glassbox_sampler::SamplerConfig {
            logit_bias: vec![Bias { id: 0, bias }],
            repeat_penalty: 1.3,
            ..glassbox_sampler::SamplerConfig::greedy()
        };
        let mut greedy = Sampler::new(config).unwrap();
        greedy.prime(&[lowest, lowest]);
        prop_assert!(greedy.chain().is_greedy());
        prop_assert_eq!(greedy.sample(&logits).unwrap(), greedy.sample_recorded(&logits).unwrap().id);
    }
}

fn left(filter: Filter, logits: &[f32]) -> Vec<u32> {
    let mut sampler = Sampler::from_chain(Chain::new(vec![filter]).unwrap(), 0);
    sampler.distribution(logits).unwrap().iter().map(|token| token.id).collect()
}

/// ln of 0.5, 0.25, 0.125, 0.125: probabilities that add up without rounding.
fn halves() -> [f32; 4] {
    [0.5f32.ln(), 0.25f32.ln(), 0.125f32.ln(), 0.125f32.ln()]
}

#[test]
fn worked_examples() {
    assert_eq!(left(Filter::TopK(TopK { k: 2 }), &[1.0, 3.0, 3.0, 3.0]), [1, 2]);
    assert_eq!(left(Filter::TopP(TopP { p: 0.6, min_keep: 1 }), &halves()), [0, 1]);
    assert_eq!(left(Filter::TopP(TopP { p: 0.0, min_keep: 1 }), &halves()), [0]);
    assert_eq!(left(Filter::TopP(TopP { p: 0.0, min_keep: 3 }), &halves()), [0, 1, 2]);
    assert_eq!(left(Filter::MinP(MinP { p: 0.4, min_keep: 1 }), &halves()), [0, 1]);
    assert_eq!(left(Filter::MinP(MinP { p: 1.0, min_keep: 1 }), &[2.0, 5.0, 5.0]), [1, 2]);
    assert_eq!(left(Filter::MinP(MinP { p: 1.0, min_keep: 2 }), &halves()), [0, 1]);
    // The entropy of the halves is 1.75·ln 2 = 1.21; the surprises are 0.69, 1.39, 2.08, 2.08.
    assert_eq!(left(Filter::Typical(Typical { p: 0.2, min_keep: 1 }), &halves()), [1]);
    assert_eq!(left(Filter::Typical(Typical { p: 0.5, min_keep: 1 }), &halves()), [0, 1]);
    // Surprises in bits are 1, 2, 3, 3; the ceiling begins at twice the target.
    assert_eq!(left(Filter::Mirostat(Mirostat { target: 1.1, rate: 0.1 }), &halves()), [0, 1]);
    assert_eq!(left(Filter::Mirostat(Mirostat { target: 0.0, rate: 0.1 }), &halves()), [0]);
}

#[test]
fn penalties_count_only_the_last_tokens() {
    let penalties = Penalties { repeat: 2.0, frequency: 0.5, presence: 0.25, last_n: 3 };
    let mut sampler = Sampler::from_chain(Chain::new(vec![Filter::Penalties(penalties)]).unwrap(), 0);
    sampler.prime(&[3, 0, 1, 1]);
    let mut left = sampler.distribution(&[4.0, -4.0, 1.0, 1.0]).unwrap();
    left.sort_by_key(|token| token.id);
    let logits: Vec<f64> = left.iter().map(|token| token.logit).collect();
    // Token 0: 4/2 − 0.5 − 0.25. Token 1: −4·2 − 2·0.5 − 0.25. Token 3 is no longer among the last three.
    assert_eq!(logits, [1.25, -9.25, 1.0, 1.0]);
    sampler.reset();
    assert_eq!(sampler.distribution(&[4.0, -4.0]).unwrap()[0].logit, 4.0);
}

#[test]
fn a_large_vocabulary_is_cut_to_the_same_candidates() {
    let mut rng = glassbox_sampler::Rng::new(5);
    for shape in 0..4 {
        let logits: Vec<f32> = (0..50_000)
            .map(|i| match shape {
                0 => (rng.next_unit() * 20.0 - 10.0) as f32,
                1 => i as f32 * 1e-3,
                2 => -(i as f32) * 1e-3,
                _ => (rng.next_u64() % 7) as f32,
            })
            .collect();
        for filter in [
            Filter::TopK(TopK { k: 1 }),
            Filter::TopK(TopK { k: 40 }),
            Filter::TopK(TopK { k: 49_999 }),
            Filter::TopP(TopP { p: 0.95, min_keep: 1 }),
            Filter::TopP(TopP { p: 0.01, min_keep: 300 }),
            Filter::MinP(MinP { p: 0.05, min_keep: 1 }),
        ] {
            let expected = naive::sorted(naive::run(&logits, std::slice::from_ref(&filter), &[], 0.0));
            let expected: Vec<u32> = expected.iter().map(|c| c.0).collect();
            assert_eq!(left(filter.clone(), &logits), expected, "shape {shape}, {filter:?}");
        }
    }
}

#[test]
fn a_bias_after_top_k_does_not_restore_a_token() {
    let filters = vec![
        Filter::TopK(TopK { k: 1 }),
        Filter::LogitBias(LogitBias { biases: vec![Bias { id: 0, bias: 6.0 }] }),
        Filter::Temperature(Temperature { temperature: 0.0 }),
    ];
    let chain = Chain::new(filters).unwrap();
    assert!(!chain.is_greedy());
    assert_eq!(Sampler::from_chain(chain, 0).sample(&[0.0, 0.7]), Ok(1));
}

#[test]
fn typical_before_a_temperature_of_zero_still_decides() {
    let filters = vec![
        Filter::Typical(Typical { p: 0.2, min_keep: 1 }),
        Filter::Temperature(Temperature { temperature: 0.0 }),
    ];
    let chain = Chain::new(filters).unwrap();
    assert!(!chain.is_greedy());
    assert_eq!(Sampler::from_chain(chain, 0).sample(&halves()), Ok(1));
}

#[test]
fn mirostat_lowers_its_ceiling_after_a_surprise() {
    let mirostat = Mirostat { target: 1.0, rate: 0.5 };
    let chain = Chain::new(vec![Filter::Mirostat(mirostat)]).unwrap();
    let mut sampler = Sampler::from_chain(chain, 3);
    let mut ceiling = 2.0;
    for _ in 0..50 {
        let record = sampler.sample_recorded(&[0.3, 0.2, 0.1, 0.0, -0.1, -1.0]).unwrap();
        assert_eq!(record.ceiling, ceiling);
        ceiling -= 0.5 * (-record.draw.probability.log2() - 1.0);
        assert!((ceiling - sampler.sample_recorded(&[0.0]).unwrap().ceiling).abs() < 1e-12);
        // A single candidate has a surprise of 0 bits, which raises the ceiling by half a bit.
        ceiling = sampler.clone().sample_recorded(&[0.0]).unwrap().ceiling;
    }
}

#[test]
fn all_tokens_banned_is_an_error() {
    let ban = |id| Bias { id, bias: f32::NEG_INFINITY };
    let biases = Filter::LogitBias(LogitBias { biases: vec![ban(0), ban(1)] });
    for filters in [
        vec![biases.clone()],
        vec![Filter::TopK(TopK { k: 1 }), biases.clone()],
        vec![biases, Filter::Temperature(Temperature { temperature: 0.0 })],
    ] {
        let mut sampler = Sampler::from_chain(Chain::new(filters).unwrap(), 0);
        assert_eq!(sampler.sample(&[1.0, 2.0]), Err(Error::NoCandidates { vocab_size: 2 }));
        assert_eq!(sampler.sample_recorded(&[1.0, 2.0]), Err(Error::NoCandidates { vocab_size: 2 }));
    }
}
