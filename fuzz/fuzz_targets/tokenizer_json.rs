//! Loads text as a tokenizer.json, then encodes and decodes with it.
#![no_main]

use glassbox_tokenizer::{EncodeOptions, Tokenizer};

libfuzzer_sys::fuzz_target!(|json: &str| {
    let Ok(tokenizer) = Tokenizer::from_json(json) else { return };
    let Ok(ids) = tokenizer.encode("Hello, <s> wörld\u{1f600}\n 123", &EncodeOptions::default()) else { return };
    let _ = (tokenizer.decode(&ids, false), tokenizer.decode(&[0, 1, u32::MAX], true));
});
