//! The sampler as a whole: the draw, errors, settings, and records as JSON.

use glassbox_sampler::{
    Bias, Chain, Error, Filter, FilterName, Mirostat, Order, Record, Rng, Sampler, SamplerConfig,
    Temperature, TopK, probabilities,
};

#[test]
fn the_draw_follows_the_probabilities() {
    let probabilities = [0.3, 0.2, 0.15, 0.1, 0.08, 0.07, 0.05, 0.03, 0.015, 0.005];
    let logits: Vec<f32> = probabilities.iter().map(|p: &f32| p.ln()).collect();
    const DRAWS: usize = 200_000;
    for top_k in [0, 10, 9] {
        let config = SamplerConfig { top_k, ..SamplerConfig::unfiltered(2_024) };
        let mut sampler = Sampler::new(config).unwrap();
        let mut counts = [0usize; 10];
        for _ in 0..DRAWS {
            counts[sampler.sample(&logits).unwrap() as usize] += 1;
        }
        let kept = if top_k == 9 { 9 } else { 10 };
        assert!(counts[kept..].iter().all(|&count| count == 0));
        let total: f32 = probabilities[..kept].iter().sum();
        let chi_square: f64 = counts[..kept]
            .iter()
            .zip(probabilities)
            .map(|(&count, p)| {
                let expected = DRAWS as f64 * f64::from(p / total);
                (count as f64 - expected).powi(2) / expected
            })
            .sum();
        // The 99.9 % point of χ² with 9 degrees of freedom is 27.9.
        assert!(chi_square < 27.9, "χ² = {chi_square} with counts {counts:?}");
    }
}

#[test]
fn a_seed_gives_these_exact_tokens() {
    let mut rng = Rng::new(99);
    let logits: Vec<f32> = (0..1000).map(|_| (rng.next_unit() * 12.0) as f32).collect();
    let tokens = |seed| -> Vec<u32> {
        let mut sampler = Sampler::new(SamplerConfig { seed, ..Default::default() }).unwrap();
        (0..8).map(|_| sampler.sample(&logits).unwrap()).collect()
    };
    assert_eq!(tokens(1), TOKENS_OF_SEED_1);
    assert_ne!(tokens(2), tokens(1));
    let mut sampler = Sampler::new(SamplerConfig { seed: 1, ..Default::default() }).unwrap();
    sampler.sample(&logits).unwrap();
    sampler.reset();
    assert_eq!(sampler.sample(&logits).unwrap(), TOKENS_OF_SEED_1[0]);
}

/// From an independent implementation in Python, written from the documentation.
const TOKENS_OF_SEED_1: [u32; 8] = [6, 518, 248, 518, 112, 955, 407, 111];

#[test]
fn bad_logits_are_errors() {
    for config in [SamplerConfig::default(), SamplerConfig::greedy(), SamplerConfig::unfiltered(1)] {
        let mut sampler = Sampler::new(config).unwrap();
        assert_eq!(sampler.sample(&[]), Err(Error::EmptyLogits));
        assert_eq!(
            sampler.sample(&[f32::NEG_INFINITY; 3]).unwrap_err().to_string(),
            "all 3 tokens are banned (logit −∞); expected at least one finite logit"
        );
        for at in [0, 1, 15, 16, 17, 39] {
            let mut logits = [1.0; 40];
            logits[at] = f32::NAN;
            let error = sampler.sample(&logits).unwrap_err();
            assert!(matches!(error, Error::BadLogit { id, found } if id == at as u32 && found.is_nan()));
            logits[at] = f32::INFINITY;
            assert_eq!(sampler.sample(&logits), Err(Error::BadLogit { id: at as u32, found: f32::INFINITY }));
            assert!(sampler.sample_recorded(&logits).is_err() && sampler.distribution(&logits).is_err());
        }
        let mut logits = [f32::NEG_INFINITY; 40];
        logits[38] = -1e30;
        assert_eq!(sampler.sample(&logits), Ok(38));
    }
}

#[test]
fn bad_settings_are_errors_that_name_them() {
    let default = SamplerConfig::default;
    let (nan, infinity) = (f32::NAN, f32::INFINITY);
    let bias = |bias| vec![Bias { id: 0, bias }];
    let bad = [
        ("temperature", SamplerConfig { temperature: -0.1, ..default() }),
        ("temperature", SamplerConfig { temperature: nan, ..default() }),
        ("temperature", SamplerConfig { temperature: infinity, ..default() }),
        ("top_p", SamplerConfig { top_p: 1.01, ..default() }),
        ("top_p", SamplerConfig { top_p: -0.01, ..default() }),
        ("top_p", SamplerConfig { top_p: nan, ..default() }),
        ("min_p", SamplerConfig { min_p: 2.0, ..default() }),
        ("min_p", SamplerConfig { min_p: nan, ..default() }),
        ("typical_p", SamplerConfig { typical_p: -1.0, ..default() }),
        ("typical_p", SamplerConfig { typical_p: nan, ..default() }),
        ("min_keep", SamplerConfig { min_keep: 0, ..default() }),
        ("repeat_penalty", SamplerConfig { repeat_penalty: 0.0, ..default() }),
        ("repeat_penalty", SamplerConfig { repeat_penalty: nan, ..default() }),
        ("frequency_penalty", SamplerConfig { frequency_penalty: infinity, ..default() }),
        ("presence_penalty", SamplerConfig { presence_penalty: nan, ..default() }),
        ("penalty_last_n", SamplerConfig { penalty_last_n: -2, ..default() }),
        ("logit_bias", SamplerConfig { logit_bias: bias(nan), ..default() }),
        ("logit_bias", SamplerConfig { logit_bias: bias(infinity), ..default() }),
        (
            "mirostat.target",
            SamplerConfig { mirostat: Some(Mirostat { target: nan, rate: 0.1 }), ..default() },
        ),
        (
            "mirostat.rate",
            SamplerConfig { mirostat: Some(Mirostat { target: 5.0, rate: -1.0 }), ..default() },
        ),
    ];
    for (setting, config) in bad {
        match Sampler::new(config.clone()) {
            Err(Error::Setting { name, .. }) => assert_eq!(name, setting),
            other => panic!("{setting}: {other:?} from {config:?}"),
        }
    }
    let error = Sampler::new(SamplerConfig { temperature: -1.0, ..default() }).unwrap_err();
    assert_eq!(
        error.to_string(),
        "sampler setting `temperature`: expected a finite number ≥ 0 (0 is greedy), found -1.0"
    );
}

#[test]
fn a_bias_outside_the_vocabulary_is_an_error() {
    let config = SamplerConfig { logit_bias: vec![Bias { id: 9, bias: 1.0 }], ..Default::default() };
    let error = Sampler::new(config).unwrap().sample(&[0.0; 9]).unwrap_err();
    assert_eq!(error, Error::BiasOutsideVocabulary { id: 9, vocab_size: 9 });
}

#[test]
fn orders_are_read_and_checked() {
    let order: Order = " penalties ; top-k;nucleus,temp".parse().unwrap();
    assert_eq!(order.to_string(), "penalties;top_k;top_p;temperature");
    assert_eq!("".parse::<Order>().unwrap().names(), []);
    assert_eq!("top_k;warmth".parse::<Order>(), Err(Error::UnknownFilter { found: "warmth".into() }));
    assert_eq!("top_k;;min_p".parse::<Order>(), Err(Error::UnknownFilter { found: "".into() }));
    assert_eq!("temp;temp".parse::<Order>(), Err(Error::RepeatedFilter { filter: FilterName::Temperature }));
    assert_eq!("mirostat;top_k".parse::<Order>(), Err(Error::AfterMirostat { filter: FilterName::TopK }));
    for name in FilterName::ALL {
        assert_eq!(name.as_str().parse::<FilterName>(), Ok(name));
        assert_eq!(serde_json::to_value(name).unwrap(), name.as_str());
    }
    let twice = vec![Filter::TopK(TopK { k: 1 }), Filter::TopK(TopK { k: 2 })];
    assert_eq!(Chain::new(twice), Err(Error::RepeatedFilter { filter: FilterName::TopK }));

    let mirostat = SamplerConfig { mirostat: Some(Mirostat::default()), ..Default::default() };
    let names = |config: &SamplerConfig| -> Vec<FilterName> {
        config.filters().unwrap().iter().map(Filter::name).collect()
    };
    assert_eq!(names(&mirostat), Order::mirostat().names());
    let without = SamplerConfig { order: Some(Order::default()), ..mirostat };
    assert_eq!(without.filters(), Err(Error::MirostatNotInOrder));
}

#[test]
fn the_order_changes_the_outcome() {
    // At temperature 3 the distribution is flat, so that top-p keeps more after it than before it.
    let left = |order: &str| {
        let config = SamplerConfig {
            temperature: 3.0,
            top_p: 0.7,
            order: Some(order.parse().unwrap()),
            ..SamplerConfig::unfiltered(0)
        };
        Sampler::new(config).unwrap().distribution(&[4.0, 3.0, 2.0, 1.0, 0.0]).unwrap().len()
    };
    assert_eq!(left("top_p;temperature"), 2);
    assert_eq!(left("temperature;top_p"), 3);
}

#[test]
fn settings_and_records_survive_json() {
    let config = SamplerConfig {
        seed: u64::MAX,
        logit_bias: vec![Bias { id: 1, bias: f32::NEG_INFINITY }, Bias { id: 2, bias: 0.1 }],
        mirostat: Some(Mirostat::default()),
        order: Some("penalties;temperature;mirostat".parse().unwrap()),
        repeat_penalty: 1.1,
        ..Default::default()
    };
    let text = serde_json::to_string(&config).unwrap();
    assert!(text.contains(r#""bias":"-inf""#), "{text}");
    assert_eq!(serde_json::from_str::<SamplerConfig>(&text).unwrap(), config);

    let mut sampler = Sampler::new(config).unwrap();
    sampler.prime(&[0, 3, 3]);
    let logits = [0.1, 9.0, 0.3, 0.7, f32::NEG_INFINITY, 0.2];
    let record = sampler.sample_recorded(&logits).unwrap();
    let again: Record = serde_json::from_str(&serde_json::to_string(&record).unwrap()).unwrap();
    assert_eq!(again, record);
    assert_eq!(again.replay(&logits).unwrap(), record);
    assert!(matches!(again.replay(&logits[..5]), Err(Error::OtherLogits { .. })));

    assert_eq!(serde_json::from_str::<SamplerConfig>("{}").unwrap(), SamplerConfig::default());
    for bad in [r#"{"top_q": 1}"#, r#"{"order": "hot"}"#, r#"{"logit_bias": [{"id": 1, "bias": "x"}]}"#] {
        assert!(serde_json::from_str::<SamplerConfig>(bad).is_err(), "{bad}");
    }
    assert!(
        serde_json::from_str::<SamplerConfig>(r#"{"order": "hot"}"#)
            .unwrap_err()
            .to_string()
            .starts_with("unknown filter `hot`")
    );
}

#[test]
fn a_record_has_the_effect_of_each_filter() {
    let config = SamplerConfig {
        top_k: 3,
        temperature: 0.5,
        top_p: 1.0,
        min_p: 0.0,
        logit_bias: vec![Bias { id: 4, bias: f32::NEG_INFINITY }],
        presence_penalty: 1.0,
        ..Default::default()
    };
    let mut sampler = Sampler::new(config).unwrap();
    sampler.accept(0);
    let record = sampler.sample_recorded(&[3.0, 2.5, 1.0, 0.0, 8.0]).unwrap();
    let summary: Vec<_> = record.steps.iter().map(|s| (s.filter, s.kept, s.removed, s.changed)).collect();
    assert_eq!(
        summary,
        [
            (FilterName::LogitBias, 4, 1, 0),
            (FilterName::Penalties, 4, 0, 1),
            (FilterName::TopK, 3, 1, 0),
            (FilterName::Typical, 3, 0, 0),
            (FilterName::TopP, 3, 0, 0),
            (FilterName::MinP, 3, 0, 0),
            (FilterName::Temperature, 3, 0, 3),
        ]
    );
    let banned = record.steps[0].strongest_removed[0];
    assert!(banned.id == 4 && banned.probability > 0.9);
    let penalised = record.steps[1].strongest_changed[0];
    assert_eq!((penalised.id, penalised.before, penalised.after), (0, 3.0, 2.0));
    let cut = &record.steps[2];
    let sum: f64 = [2.0f64, 2.5, 1.0, 0.0].iter().map(|x| x.exp()).sum();
    assert!((cut.removed_probability - 1.0 / sum).abs() < 1e-12);
    // A temperature below 1 lowers the entropy.
    assert!(record.steps[6].entropy < record.steps[5].entropy);
    let probabilities: f64 = record.candidates.iter().map(|token| token.probability).sum();
    assert!((probabilities - 1.0).abs() < 1e-12);
}

#[test]
fn extreme_temperatures_neither_overflow_nor_tie() {
    let sample = |temperature, logits: &[f32]| {
        let chain = Chain::new(vec![Filter::Temperature(Temperature { temperature })]).unwrap();
        Sampler::from_chain(chain, 5).sample(logits)
    };
    assert_eq!(sample(1e-45, &[f32::MAX, 0.0, 3.0]), Ok(0));
    assert_eq!(sample(1e-45, &[1.0, 1.000_001, 1.0]), Ok(1));
    assert!(sample(f32::MAX, &[f32::MAX, f32::MIN, 0.0]).is_ok());
}

/// The same number has the same bits in every place that shows it. They differed in the last digit, because one place
/// added the weights up by id, the other by logit.
#[test]
fn probabilities_are_the_same_bits_in_a_record_and_in_a_distribution() {
    let mut rng = Rng::new(5);
    let logits: Vec<f32> = (0..300).map(|_| (rng.next_unit() * 9.0) as f32).collect();
    for config in [
        SamplerConfig::unfiltered(1),
        SamplerConfig::default(),
        SamplerConfig { top_k: 0, top_p: 1.0, min_p: 0.01, ..SamplerConfig::default() },
        SamplerConfig { typical_p: 0.7, temperature: 2.0, ..SamplerConfig::default() },
        SamplerConfig { logit_bias: vec![Bias { id: 3, bias: 2.0 }], ..SamplerConfig::unfiltered(1) },
    ] {
        let mut sampler = Sampler::new(config).unwrap();
        let distribution = sampler.distribution(&logits).unwrap();
        let record = sampler.sample_recorded(&logits).unwrap();
        assert_eq!(distribution.len(), record.left);
        assert!(!record.candidates.is_empty());
        for token in &record.candidates {
            assert!(distribution.contains(token), "{token:?}");
        }
        assert!(distribution.is_sorted_by(|a, b| a.logit >= b.logit));
        let model = probabilities(&logits).unwrap();
        assert_eq!(model.len(), 300);
        assert_eq!(record.model[..], model[..64]);
        for step in &record.steps {
            let off = step.reason == glassbox_sampler::Reason::Off;
            assert_eq!(step.strongest_kept.len(), if off { 0 } else { step.kept.min(64) });
        }
        let last = record.steps.iter().rfind(|step| !step.strongest_kept.is_empty());
        for (kept, token) in last.iter().flat_map(|step| &step.strongest_kept).zip(&distribution) {
            assert_eq!((kept.id, kept.logit), (token.id, token.logit));
        }
    }
}
