//! Tokenizers from rank files give the ids of tiktoken.

use std::collections::HashSet;
use std::sync::LazyLock;

use glassbox_tokenizer::{EncodeOptions, Encoding, Special, Tokenizer, Warning};
use proptest::prelude::*;
use tiktoken_rs::CoreBPE;

use crate::texts::{TEXTS, any_text, encode_long_text};

pub(crate) struct Pair {
    pub oracle: CoreBPE,
    pub ours: Tokenizer,
    pub ranks: String,
}

impl Pair {
    /// Writes the oracle's ranks as a rank file and loads it.
    fn new(oracle: CoreBPE, name: &str, ids: impl Iterator<Item = u32>) -> Pair {
        let ids: Vec<u32> = ids.collect();
        let tokens = oracle._decode_native_and_split(ids.clone());
        let ranks: String =
            tokens.zip(&ids).map(|(token, id)| format!("{} {id}\n", base64(&token))).collect();
        let ours = Tokenizer::from_tiktoken(&ranks, Encoding::named(name)).unwrap();
        encode_long_text(&ours);
        Pair { oracle, ours, ranks }
    }

    fn check(&self, text: &str) -> Result<(), TestCaseError> {
        let plain = self.ours.encode(text, &EncodeOptions::default()).unwrap();
        prop_assert_eq!(&plain, &self.oracle.encode_ordinary(text), "{:?}", text);
        let parse = EncodeOptions { special: Special::Parse, ..EncodeOptions::default() };
        let special = self.ours.encode(text, &parse).unwrap();
        prop_assert_eq!(&special, &self.oracle.encode_with_special_tokens(text), "{:?}", text);
        for ids in [&plain, &special] {
            prop_assert_eq!(self.ours.decode(ids, false), text);
        }
        Ok(())
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |chunk: &[u8]| {
        let bits = (0..3).fold(0u32, |bits, at| bits << 8 | u32::from(*chunk.get(at).unwrap_or(&0)));
        let digit = |at: usize| {
            if at <= chunk.len() { char::from(DIGITS[(bits >> (18 - 6 * at)) as usize & 63]) } else { '=' }
        };
        (0..4).map(digit).collect::<String>()
    };
    bytes.chunks(3).map(group).collect()
}

pub(crate) static CL100K: LazyLock<Pair> =
    LazyLock::new(|| Pair::new(tiktoken_rs::cl100k_base().unwrap(), "cl100k_base.tiktoken", 0..100_256));
static O200K: LazyLock<Pair> =
    LazyLock::new(|| Pair::new(tiktoken_rs::o200k_base().unwrap(), "o200k_base.tiktoken", 0..199_998));
static R50K: LazyLock<Pair> =
    LazyLock::new(|| Pair::new(tiktoken_rs::r50k_base().unwrap(), "gpt2.tiktoken", 0..50_256));
static P50K: LazyLock<Pair> = LazyLock::new(|| {
    Pair::new(tiktoken_rs::p50k_base().unwrap(), "p50k_base", (0..50_281).filter(|&id| id != 50_256))
});

#[test]
fn chosen_texts_have_tiktokens_ids() {
    let long =
        ["a".repeat(10_000), "ab".repeat(3000), " ".repeat(700) + "x", "\n \n".repeat(100), "é".repeat(2000)];
    for pair in [&CL100K, &O200K, &R50K, &P50K] {
        let texts = TEXTS.iter().copied().chain(long.iter().map(String::as_str));
        texts.for_each(|text| pair.check(text).unwrap());
    }
}

proptest! {
    #[test]
    fn random_texts_have_tiktokens_ids(text in any_text()) {
        CL100K.check(&text)?;
        O200K.check(&text)?;
        R50K.check(&text)?;
    }
}

#[test]
fn single_tokens_have_their_bytes() {
    for id in (0..100_256).step_by(7) {
        let expected = CL100K.oracle._decode_native_and_split(vec![id]).next().unwrap();
        assert_eq!(CL100K.ours.token_bytes(id).as_deref(), Some(&expected[..]), "{id}");
    }
}

#[test]
fn special_tokens_are_the_oracles() {
    let known: HashSet<&str> =
        CL100K.ours.added_tokens().sorted().iter().map(|token| token.content.as_str()).collect();
    assert_eq!(known, CL100K.oracle.special_tokens());
}

#[test]
fn without_a_name_the_size_identifies_the_encoding() {
    let guessed = Tokenizer::from_tiktoken(&CL100K.ranks, None).unwrap();
    assert_eq!(guessed.warnings(), [Warning::GuessedEncoding { encoding: "cl100k_base" }]);
    let text = "HTTPServer's 12345";
    let options = EncodeOptions::default();
    assert_eq!(guessed.encode(text, &options).unwrap(), CL100K.ours.encode(text, &options).unwrap());
    let cut = CL100K.ranks.lines().take(1000).collect::<Vec<_>>().join("\n");
    let error = Tokenizer::from_tiktoken(&cut, None).unwrap_err().to_string();
    assert!(error.contains("1000 ranks"), "{error}");
}

#[test]
fn a_tiktoken_file_is_opened_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cl100k_base.tiktoken");
    std::fs::write(&path, &CL100K.ranks).unwrap();
    let opened = Tokenizer::from_file(&path).unwrap();
    assert_eq!(opened.warnings(), []);
    assert_eq!(opened.vocab_size(), 100_277);
    assert_eq!(opened.eos_id(), Some(100_257));
}
