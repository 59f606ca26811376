//! The explanation of an encoding leads to the same ids.

use std::sync::LazyLock;

use glassbox_tokenizer::{Derivation, EncodeOptions, Special, Tokenizer};
use proptest::prelude::*;

use crate::goldens;
use crate::texts::any_text;

static TOKENIZERS: LazyLock<Vec<Tokenizer>> = LazyLock::new(|| {
    let real = ["gpt2", "llama3", "qwen3"].map(goldens::tokenizer).into_iter();
    real.chain([goldens::sentence_piece().load().unwrap()]).collect()
});

const PARSE: EncodeOptions = EncodeOptions { special: Special::Parse, add_special_tokens: false };

#[test]
fn every_merge_is_listed() {
    let gpt2 = goldens::tokenizer("gpt2");
    let words = gpt2.explain("The most<|endoftext|>", &PARSE).unwrap();
    let parts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
    assert_eq!(parts, ["The", " most", "<|endoftext|>"]);
    assert_eq!((words[1].range.clone(), &words[2].derivation), (3..8, &Derivation::AddedToken));
    let Derivation::Merged { symbols, merges } = &words[1].derivation else { panic!("{:?}", words[1]) };
    assert_eq!(symbols.len(), 5);
    assert_eq!(merges.len(), 4);
    let names: Vec<&str> = merges.iter().map(|merge| gpt2.id_to_token(merge.result).unwrap()).collect();
    assert_eq!(names, ["Ġm", "st", "ost", "Ġmost"]);
    assert_eq!(merges[3].after, words[1].ids);
}

proptest! {
    #[test]
    fn the_steps_lead_to_the_ids(text in any_text()) {
        for tokenizer in TOKENIZERS.iter() {
            let words = tokenizer.explain(&text, &PARSE).unwrap();
            let ids: Vec<u32> = words.iter().flat_map(|word| word.ids.clone()).collect();
            prop_assert_eq!(ids, tokenizer.encode(&text, &PARSE).unwrap());
            for word in words {
                if let Derivation::Merged { mut symbols, merges } = word.derivation {
                    for merge in merges {
                        prop_assert_eq!(&symbols[merge.position..merge.position + 2], &[merge.left, merge.right][..]);
                        symbols.splice(merge.position..merge.position + 2, [merge.result]);
                        prop_assert_eq!(&symbols, &merge.after);
                    }
                    prop_assert_eq!(symbols, word.ids);
                }
            }
        }
    }
}
