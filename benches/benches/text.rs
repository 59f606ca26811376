//! The two ends of the data flow: text to ids, and logits to an id.
//!
//! `cargo bench -p glassbox-benches --bench text`. The tokenizer benches need `GLASSBOX_SMOLLM2`, the path that
//! `scripts/fetch-smollm2.sh` prints.

use std::num::NonZero;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use glassbox_benches::numbers;
use glassbox_model::Checkpoint;
use glassbox_sampler::{Sampler, SamplerConfig};
use glassbox_tokenizer::EncodeOptions;

fn encode(criterion: &mut Criterion) {
    let Some(path) = std::env::var_os("GLASSBOX_SMOLLM2") else {
        eprintln!("skipped: set GLASSBOX_SMOLLM2 to the file that scripts/fetch-smollm2.sh prints");
        return;
    };
    let checkpoint = Checkpoint::open(path).expect("a checkpoint");
    let tokenizer = checkpoint.tokenizer().expect("a good tokenizer").expect("a tokenizer");
    let text = include_str!("../../model/tests/fixtures/smollm2/alice.txt").repeat(8);
    let options = EncodeOptions::default();
    let ids = tokenizer.encode(&text, &options).expect("a text");
    assert_eq!(tokenizer.decode(&ids, false), text, "decoding restores the text");
    let mut group = criterion.benchmark_group("tokenizer");
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("encode English", |b| b.iter(|| tokenizer.encode(&text, &options)));
    // The general encoder, without the shortcuts for tokenizers that do not rewrite the text.
    let with_offsets = tokenizer.encode_with_offsets(&text, &options).expect("a text");
    assert!(
        with_offsets.iter().map(|token| token.id).eq(ids.iter().copied()),
        "both encoders give the same ids"
    );
    group.bench_function("encode English with offsets", |b| {
        b.iter(|| tokenizer.encode_with_offsets(&text, &options));
    });
    let two = NonZero::new(2).expect("not zero");
    assert_eq!(
        tokenizer.encode_on(two, &text, &options).expect("a text"),
        ids,
        "two threads give the same ids"
    );
    group.bench_function("encode English on two threads", |b| {
        b.iter(|| tokenizer.encode_on(two, &text, &options));
    });
}

fn sample(criterion: &mut Criterion) {
    let logits: Vec<f32> = numbers(49152, 1).iter().map(|x| 10.0 * x).collect();
    let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).expect("a vocabulary");
    let mut group = criterion.benchmark_group("sampler");
    let chains = [
        ("greedy", SamplerConfig::greedy()),
        ("default chain", SamplerConfig::default()),
        ("whole vocabulary", SamplerConfig::unfiltered(1)),
    ];
    for (name, config) in chains {
        let greedy = config.temperature == 0.0;
        let mut sampler = Sampler::new(config).expect("good settings");
        let id = sampler.sample(&logits).expect("good logits") as usize;
        assert!(if greedy { id == best } else { id < logits.len() });
        group.bench_function(name, |b| b.iter(|| sampler.sample(&logits)));
    }
}

criterion_group!(benches, encode, sample);
criterion_main!(benches);
