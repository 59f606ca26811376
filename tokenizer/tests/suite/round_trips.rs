//! Round trips: text, bytes, streams, saved tokenizers.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use glassbox_tokenizer::{EncodeOptions, Error, GgufVocab, Special, Template, Tokenizer, Vocab};
use proptest::prelude::*;

use crate::goldens;
use crate::texts::{TEXTS, any_bytes, any_text};

const PARSE: EncodeOptions = EncodeOptions { special: Special::Parse, add_special_tokens: false };

static BYTE_LEVEL: LazyLock<Tokenizer> = LazyLock::new(|| goldens::tokenizer("gpt2"));
static SENTENCE_PIECE: LazyLock<Tokenizer> = LazyLock::new(|| goldens::sentence_piece().load().unwrap());

fn streamed(tokenizer: &Tokenizer, ids: &[u32], skip_special: bool) -> String {
    let mut stream = tokenizer.stream(skip_special);
    let mut text: String = ids.iter().map(|&id| stream.push(id)).collect();
    text.push_str(&stream.finish());
    text
}

proptest! {
    #[test]
    fn bytes_round_trip(bytes in any_bytes()) {
        let ids = BYTE_LEVEL.encode_bytes(&bytes, &PARSE).unwrap();
        prop_assert_eq!(&BYTE_LEVEL.decode_bytes(&ids, false), &bytes);
        prop_assert_eq!(BYTE_LEVEL.decode(&ids, false), String::from_utf8_lossy(&bytes));
        if let Ok(text) = str::from_utf8(&bytes) {
            prop_assert_eq!(ids, BYTE_LEVEL.encode(text, &PARSE).unwrap());
        }
    }

    #[test]
    fn sentence_piece_round_trips(text in any_text()) {
        // A mark in the text is decoded to a space.
        let text = text.replace('▁', "");
        let ids = SENTENCE_PIECE.encode(&text, &EncodeOptions::default()).unwrap();
        prop_assert_eq!(SENTENCE_PIECE.decode(&ids, false), text);
    }

    #[test]
    fn sentence_piece_encodes_invalid_utf8(bytes in any_bytes()) {
        let ids = SENTENCE_PIECE.encode_bytes(&bytes, &EncodeOptions::default()).unwrap();
        if let Ok(text) = str::from_utf8(&bytes) {
            prop_assert_eq!(ids, SENTENCE_PIECE.encode(text, &EncodeOptions::default()).unwrap());
        }
    }

    #[test]
    fn streams_equal_decode_and_give_whole_characters(
        ids in prop::collection::vec(prop_oneof![0u32..1000, 220u32..300, any::<u32>()], 0..40),
        skip_special in any::<bool>(),
    ) {
        for tokenizer in [&*BYTE_LEVEL, &*SENTENCE_PIECE] {
            let whole = tokenizer.decode(&ids, skip_special);
            prop_assert_eq!(streamed(tokenizer, &ids, skip_special), whole.clone());
            // No replacement character comes too early: each is part of the whole text.
            let mut stream = tokenizer.stream(skip_special);
            let mut so_far = String::new();
            for &id in &ids {
                so_far.push_str(&stream.push(id));
                prop_assert!(whole.starts_with(&so_far));
            }
        }
    }

    #[test]
    fn offsets_cover_the_text_in_order(text in any_text()) {
        for tokenizer in [&*BYTE_LEVEL, &*SENTENCE_PIECE] {
            let tokens = tokenizer.encode_with_offsets(&text, &PARSE).unwrap();
            let mut done = 0;
            for token in &tokens {
                prop_assert!(token.range.start <= token.range.end);
                prop_assert!(token.range.start == done, "{:?} in {:?}", token, text);
                done = token.range.end;
            }
            prop_assert!(tokens.is_empty() || done == text.len());
        }
    }
}

#[test]
fn offsets_are_the_byte_ranges_of_the_tokens() {
    let qwen = goldens::tokenizer("qwen3");
    let text = "cafe\u{301} <|im_end|>";
    let tokens = qwen.encode_with_offsets(text, &PARSE).unwrap();
    let shown: Vec<&str> = tokens.iter().map(|token| &text[token.range.clone()]).collect();
    assert_eq!(shown.concat(), text);
    assert_eq!(shown.last(), Some(&"<|im_end|>"));
}

#[test]
fn invalid_bytes_are_tokens_of_their_own() {
    let ids = BYTE_LEVEL.encode_bytes(b"the\xf0\x9fthe", &PARSE).unwrap();
    let the = BYTE_LEVEL.encode("the", &PARSE).unwrap();
    let byte =
        |byte: u8| BYTE_LEVEL.token_to_id(&glassbox_tokenizer::byte_alphabet::encode(&[byte])).unwrap();
    assert_eq!(ids, [&the[..], &[byte(0xf0), byte(0x9f)], &the].concat());
}

#[test]
fn a_byte_without_a_token_is_an_error_with_its_offset() {
    let json = r#"{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}"#;
    let tokenizer = Tokenizer::from_json(json).unwrap();
    let error = tokenizer.encode_bytes(b"aa\xff", &PARSE).unwrap_err();
    assert!(matches!(error, Error::NoByteToken { byte: 0xff, at: 2 }), "{error}");
}

#[test]
fn a_stream_holds_back_incomplete_characters() {
    let smile = BYTE_LEVEL.encode_bytes("🏽".as_bytes(), &PARSE).unwrap();
    assert!(smile.len() > 1);
    let mut stream = BYTE_LEVEL.stream(false);
    let (last, first) = smile.split_last().unwrap();
    assert!(first.iter().all(|&id| stream.push(id).is_empty()));
    assert_eq!(stream.push(*last), "🏽");
    assert!(stream.push(first[0]).is_empty());
    assert_eq!(stream.finish(), "\u{fffd}");
    assert_eq!(stream.finish(), "");
}

#[test]
fn special_tokens_can_be_skipped() {
    let qwen = goldens::tokenizer("qwen3");
    let ids = qwen.encode("<|im_start|>user\nHi<|im_end|>", &PARSE).unwrap();
    assert!(qwen.is_special(ids[0]) && !qwen.is_special(ids[1]));
    assert_eq!(qwen.decode(&ids, true), "user\nHi");
    assert_eq!(streamed(&qwen, &ids, true), "user\nHi");
    assert_eq!(qwen.decode(&ids, false), "<|im_start|>user\nHi<|im_end|>");
}

#[test]
fn long_words_take_linear_time() {
    let gpt2 = &*BYTE_LEVEL;
    let letters = "a".repeat(1 << 20);
    let begin = Instant::now();
    let ids = gpt2.encode(&letters, &EncodeOptions::default()).unwrap();
    assert!(begin.elapsed() < Duration::from_secs(20), "a megabyte took {:?}", begin.elapsed());
    assert_eq!(gpt2.decode(&ids, false), letters);
    let ids = SENTENCE_PIECE.encode(&" a".repeat(1 << 17), &EncodeOptions::default()).unwrap();
    assert!(ids.len() > 1000);
}

#[test]
fn the_public_vocabulary_is_consistent() {
    let vocab: &Vocab = BYTE_LEVEL.model().vocab();
    for (id, token) in vocab.sorted() {
        assert_eq!(BYTE_LEVEL.token_to_id(token), Some(id));
        assert_eq!(BYTE_LEVEL.id_to_token(id), Some(token));
        assert!(BYTE_LEVEL.token_bytes(id).is_some());
    }
    assert_eq!(BYTE_LEVEL.vocab_size(), 50_257);
    assert_eq!(BYTE_LEVEL.id_to_token(60_000), None);
    assert_eq!(BYTE_LEVEL.token_bytes(60_000), None);
    assert_eq!(BYTE_LEVEL.decode(&[60_000], false), "");
    assert_eq!(TEXTS.len(), TEXTS.iter().collect::<std::collections::BTreeSet<_>>().len());
}

#[test]
fn sentence_piece_tokens_have_their_bytes() {
    let id = |token| SENTENCE_PIECE.token_to_id(token).unwrap();
    assert_eq!(SENTENCE_PIECE.token_bytes(id("<0xE2>")).as_deref(), Some(&[0xe2][..]));
    assert_eq!(SENTENCE_PIECE.token_bytes(id("▁")).as_deref(), Some(&b" "[..]));
    assert_eq!(SENTENCE_PIECE.token_bytes(id("<s>")).as_deref(), Some(&b"<s>"[..]));
}

/// Describes a tokenizer as GGUF metadata and loads the description.
fn described(tokenizer: &Tokenizer) -> GgufVocab {
    let rows = tokenizer.vocab_size() + 3;
    let described = GgufVocab::describe(tokenizer, rows).unwrap();
    assert_eq!(described.tokens.len(), rows);
    let again = described.clone().load().unwrap();
    assert!(again.warnings().is_empty(), "{:?}", again.warnings());
    for text in TEXTS {
        for add_special_tokens in [false, true] {
            let options = EncodeOptions { special: Special::Parse, add_special_tokens };
            let [a, b] = [tokenizer, &again].map(|tokenizer| tokenizer.encode(text, &options).unwrap());
            assert_eq!(a, b, "{text:?}");
            assert_eq!(tokenizer.decode(&a, false), again.decode(&b, false));
        }
    }
    described
}

#[test]
fn gguf_descriptions_round_trip() {
    for (name, pre) in [
        ("gpt2", "gpt-2"),
        ("llama3", "llama3"),
        ("qwen3", "qwen2"),
        ("smollm2", "smollm"),
        ("gpt4o", "gpt-4o"),
    ] {
        assert_eq!(described(&goldens::tokenizer(name)).pre.as_deref(), Some(pre), "{name}");
    }
    assert_eq!(described(&SENTENCE_PIECE).model, "llama");
}

#[test]
fn what_a_gguf_cannot_describe_is_an_error() {
    let mut tokenizer = BYTE_LEVEL.clone();
    let rows = tokenizer.vocab_size();
    tokenizer.set_template(Template::around(vec![5], vec![6]));
    let described = GgufVocab::describe(&tokenizer, rows).unwrap();
    assert_eq!((described.bos, described.eos), (Some(5), Some(6)));
    assert_eq!((described.add_bos, described.add_eos), (Some(true), Some(true)));
    let few = GgufVocab::describe(&tokenizer, rows - 1);
    assert!(matches!(few, Err(Error::Lengths { .. })), "{few:?}");
    tokenizer.set_template(Template::around(vec![1, 2], Vec::new()));
    let two = GgufVocab::describe(&tokenizer, rows);
    assert!(matches!(two, Err(Error::Unsupported { .. })), "{two:?}");
}
