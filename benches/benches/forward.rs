//! A whole model, SmolLM2: a prompt of 512 tokens, single tokens, and single tokens of a batch of eight sequences.
//!
//! `GLASSBOX_SMOLLM2=$(scripts/fetch-smollm2.sh) cargo bench -p glassbox-benches --bench forward`

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use glassbox_benches::pool;
use glassbox_model::Checkpoint;

fn forward(criterion: &mut Criterion) {
    let Some(path) = std::env::var_os("GLASSBOX_SMOLLM2") else {
        eprintln!("skipped: set GLASSBOX_SMOLLM2 to the file that scripts/fetch-smollm2.sh prints");
        return;
    };
    let model = Checkpoint::open(path).and_then(|checkpoint| checkpoint.run_on(pool())).expect("a model");
    let ids: Vec<u32> = (0..512).map(|i| i * 7919 % model.config.vocab_size as u32).collect();
    let mut session = model.session(1024);
    let at_once = session.feed(&ids).expect("a prompt").to_vec();
    session.truncate(0);
    session.feed(&ids[..511]).expect("a prompt");
    assert_eq!(
        session.feed(&ids[511..]).expect("a token"),
        at_once,
        "one token at a time gives the logits of all at once"
    );

    let mut group = criterion.benchmark_group("forward");
    group.sample_size(10);
    group.throughput(Throughput::Elements(512));
    group.bench_function("prompt of 512", |b| {
        b.iter(|| {
            session.truncate(0);
            session.feed(&ids).expect("a prompt");
        });
    });
    group.throughput(Throughput::Elements(128));
    group.bench_function("128 single tokens", |b| {
        b.iter(|| {
            session.truncate(0);
            ids[..128].iter().for_each(|&id| drop(session.feed(&[id]).map(<[f32]>::len)));
        });
    });

    // Eight sequences, each with a different first token.
    let mut batch = model.batch(8, 1024);
    let slots: Vec<_> = ids[..8].iter().map(|&id| batch.add(&[id]).expect("a prompt").slot).collect();
    let step: Vec<_> = slots.iter().copied().zip(ids[8..16].chunks(1)).collect();
    for (i, logits) in batch.step(&step).expect("a step").enumerate() {
        session.truncate(0);
        let alone = session.feed(&[ids[i], ids[8 + i]]).expect("a sequence");
        assert_eq!(logits, alone, "a batch gives the logits of each sequence alone");
    }
    group.throughput(Throughput::Elements(8 * 128));
    group.bench_function("128 tokens of 8 sequences", |b| {
        b.iter(|| {
            slots.iter().for_each(|&slot| batch.truncate(slot, 1).expect("a slot"));
            for ids in ids.windows(8).take(128) {
                let next: Vec<_> = slots.iter().copied().zip(ids.chunks(1)).collect();
                assert_eq!(batch.step(&next).expect("a step").count(), 8);
            }
        });
    });
}

criterion_group!(benches, forward);
criterion_main!(benches);
