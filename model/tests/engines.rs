//! Kernels and plain loops: the same bits in every value of random models on random prompts.

mod random_model;

use glassbox_model::hooks::Observed;
use glassbox_model::{Checkpoint, Runtime};
use glassbox_tensor::{Activations, CacheFormat, Engine, Format, Level, Pool};
use proptest::prelude::*;

use random_model::{CONTEXT, VOCAB_SIZE, sizes};

/// The bits of all values of a prompt and the tokens after it, by name and first position.
type Seen = Vec<(String, usize, Vec<u32>)>;

fn run(model: &Runtime, prompt: &[u32], rest: &[u32], chunk: usize) -> Seen {
    let mut seen = Seen::new();
    let mut see = |observed: Observed<'_>| {
        let bits = observed.values.iter().map(|x| x.to_bits()).collect();
        seen.push((observed.to_string(), observed.first_position, bits));
    };
    let mut session = model.session(CONTEXT).with_chunk(chunk);
    session.feed_observed(prompt, &mut see).unwrap();
    for &id in rest {
        session.feed_observed(&[id], &mut see).unwrap();
    }
    seen
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_engines_have_the_same_bits(
        sizes in sizes(),
        format in prop::option::of(prop::sample::select(Format::ALL.to_vec())),
        activations in prop::sample::select(vec![Activations::F32, Activations::Int16, Activations::Int8]),
        cache_format in prop::sample::select(CacheFormat::ALL.to_vec()),
        prompt in prop::collection::vec(0..VOCAB_SIZE as u32, 1..24),
        rest in prop::collection::vec(0..VOCAB_SIZE as u32, 0..4),
        chunk in 1usize..24,
        threads in 1usize..4,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let pool = |engine: Engine| Pool::new(threads, engine).unwrap().with_activations(activations);
        let kernels = Engine::Kernels(Level::detect());
        let path = sizes.write_as(format, folder.path(), &pool(kernels));
        let load = |engine| {
            let mut model = Checkpoint::open(&path).unwrap().run_on(pool(engine)).unwrap();
            model.cache_format = cache_format;
            model
        };
        let expected = run(&load(Engine::Reference), &prompt, &rest, chunk);
        prop_assert!(expected.iter().all(|(name, _, bits)| name.ends_with("scores")
            || bits.iter().all(|&bits| f32::from_bits(bits).is_finite())));
        let found = run(&load(kernels), &prompt, &rest, chunk);
        prop_assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            prop_assert!(found == expected, "{} at {} differs", found.0, found.1);
        }
    }
}
