//! A decode step allocates no memory: all buffers exist from earlier steps.

#[path = "../../tensor/tests/counting_allocator/mod.rs"]
mod counting_allocator;

use std::path::Path;

use counting_allocator::memory_of;
use glassbox_model::Checkpoint;
use glassbox_tensor::{CacheFormat, Level, Pool};

/// Steps in which cache, rotary angles and score rows may grow, each by a fraction of its size.
const STEPS: usize = 8;

#[test]
fn a_decode_step_allocates_nothing() {
    for (name, format) in ["gpt2-plain", "llama-gqa", "qwen3-plain"]
        .into_iter()
        .flat_map(|name| CacheFormat::ALL.map(|f| (name, f)))
    {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny").join(name);
        // One thread, the one whose memory is counted.
        let pool = Pool::new(1, Level::detect()).unwrap();
        let mut model = Checkpoint::open(path).unwrap().run_on(pool).unwrap();
        model.cache_format = format;
        let mut session = model.session(usize::MAX);
        session.feed(&[1, 2, 3]).unwrap();
        session.feed(&[4]).unwrap();
        let grew = (session.positions()..session.context())
            .filter(|&position| memory_of(|| drop(session.feed(&[position as u32 % 100]))) > 0)
            .count();
        assert!(grew <= STEPS, "{name} with keys and values in {format}: {grew} tokens took memory");
    }
}
