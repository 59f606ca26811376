//! Training gives the same vocabulary and merges as Hugging Face's `BpeTrainer`.

use std::io::Cursor;
use std::str::FromStr;

use glassbox_tokenizer::pretokenize::{PreTokenizer, Step};
use glassbox_tokenizer::{EncodeOptions, Form, Normalizer, TrainOptions, Trainer};
use proptest::prelude::*;
use serde_json::Value;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::{AddedToken, TokenizerImpl};

use crate::texts::{TEXTS, any_text};

/// The reference's `vocab` and `merges`, trained on these texts.
fn reference(options: &TrainOptions, digits: bool, nfc: bool, texts: &[String]) -> Value {
    type Oracle = TokenizerImpl<
        BPE,
        tokenizers::NormalizerWrapper,
        tokenizers::PreTokenizerWrapper,
        tokenizers::PostProcessorWrapper,
        tokenizers::DecoderWrapper,
    >;
    let mut oracle = Oracle::new(BPE::default());
    let bytes = tokenizers::PreTokenizerWrapper::from(ByteLevel::new(false, true, true));
    if digits {
        let parts = vec![Digits::new(true).into(), bytes];
        oracle.with_pre_tokenizer(Some(tokenizers::pre_tokenizers::sequence::Sequence::new(parts)));
    } else {
        oracle.with_pre_tokenizer(Some(bytes));
    }
    if nfc {
        oracle
            .with_normalizer(Some(tokenizers::NormalizerWrapper::from(tokenizers::normalizers::unicode::NFC)))
            .unwrap();
    }
    let special = options.special_tokens.iter().map(|token| AddedToken::from(token.as_str(), true));
    let mut trainer = BpeTrainer::builder()
        .show_progress(false)
        .vocab_size(options.vocab_size)
        .min_frequency(options.min_frequency)
        .special_tokens(special.collect())
        .initial_alphabet(options.initial_alphabet.iter().copied().collect())
        .build();
    oracle.train(&mut trainer, texts.iter()).unwrap();
    serde_json::from_str(&oracle.to_string(false).unwrap()).unwrap()
}

fn check(options: TrainOptions, digits: bool, nfc: bool, texts: &[String]) -> Result<(), TestCaseError> {
    let expected = reference(&options, digits, nfc, texts);
    let first = if digits { vec![Step::Digits { individual: true }] } else { Vec::new() };
    let steps = first.into_iter().chain([Step::byte_level()]).collect();
    let normalizers = if nfc { vec![Normalizer::Unicode(Form::Nfc)] } else { Vec::new() };
    let mut trainer = Trainer::with_steps(options, normalizers, PreTokenizer::new(steps));
    texts.iter().for_each(|text| trainer.feed(text).unwrap());
    let tokenizer = trainer.train().unwrap();
    let found: Value = serde_json::from_str(&tokenizer.to_json()).unwrap();
    for part in ["vocab", "merges"] {
        prop_assert_eq!(&found["model"][part], &expected["model"][part], "{}", part);
    }
    for part in ["added_tokens", "pre_tokenizer", "normalizer"] {
        prop_assert_eq!(&found[part], &expected[part], "{}", part);
    }
    Ok(())
}

fn corpus() -> Vec<String> {
    let sentence = "the cat sat on the mat, then the other cats sat on that mat too; 12 cats, 120 mats. ";
    TEXTS
        .iter()
        .map(|&text| text.to_owned())
        .chain([sentence.repeat(3), "aaaa aaaaaaa aa ".repeat(5)])
        .collect()
}

#[test]
fn the_chosen_texts_give_the_references_merges() {
    let special_tokens = vec!["<|endoftext|>".to_owned(), "a".to_owned(), "<|pad|>".to_owned()];
    for (vocab_size, min_frequency) in [(0, 0), (300, 0), (700, 2), (5000, 0), (5000, 3)] {
        for digits in [false, true] {
            let all = TrainOptions { vocab_size, min_frequency, ..TrainOptions::default() };
            check(all.clone(), digits, true, &corpus()).unwrap();
            let seen =
                TrainOptions { initial_alphabet: Vec::new(), special_tokens: special_tokens.clone(), ..all };
            check(seen, digits, false, &corpus()).unwrap();
        }
    }
}

proptest! {
    #[test]
    fn random_texts_give_the_references_merges(
        texts in prop::collection::vec(prop_oneof![any_text(), "[ab]{0,30}", "([a-c]{1,4} ){0,12}"], 0..8),
        vocab_size in 0usize..600,
        min_frequency in 0u64..4,
    ) {
        let options = TrainOptions { vocab_size, min_frequency, initial_alphabet: Vec::new(), ..TrainOptions::default() };
        check(options, false, false, &texts)?;
    }
}

#[test]
fn the_order_of_the_texts_does_not_matter() {
    let train = |texts: Vec<String>| {
        let mut trainer = Trainer::new(TrainOptions { vocab_size: 600, ..TrainOptions::default() });
        texts.iter().for_each(|text| trainer.feed(text).unwrap());
        trainer.train().unwrap().to_json()
    };
    assert_eq!(train(corpus()), train(corpus().into_iter().rev().collect()));
}

#[test]
fn a_trained_tokenizer_is_readable_by_the_reference() {
    let options = TrainOptions {
        vocab_size: 400,
        special_tokens: vec!["<|end|>".to_owned()],
        ..TrainOptions::default()
    };
    let mut trainer = Trainer::new(options);
    trainer.feed_lines(Cursor::new(corpus().join("\n")), "corpus").unwrap();
    let tokenizer = trainer.train().unwrap();
    assert_eq!(tokenizer.vocab_size(), 400);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    tokenizer.save_json(&path).unwrap();
    let oracle = tokenizers::Tokenizer::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let again = glassbox_tokenizer::Tokenizer::from_file(folder.path()).unwrap();
    for text in TEXTS {
        let ids = tokenizer.encode(text, &EncodeOptions::default()).unwrap();
        assert_eq!(ids, oracle.encode_fast(*text, false).unwrap().get_ids());
        assert_eq!(ids, again.encode(text, &EncodeOptions::default()).unwrap());
        assert_eq!(oracle.decode(&ids, false).unwrap(), *text);
    }
}

#[test]
fn invalid_utf8_and_empty_special_tokens_are_errors() {
    let mut trainer = Trainer::new(TrainOptions::default());
    let error = trainer.feed_lines(Cursor::new(b"good\nb\xffd\n"), "bytes.txt").unwrap_err();
    assert!(error.to_string().starts_with("bytes.txt: "), "{error}");
    let empty = TrainOptions { special_tokens: vec![String::new()], ..TrainOptions::default() };
    let error = Trainer::new(empty).train().unwrap_err();
    assert!(error.to_string().contains("special_tokens"), "{error}");
}
