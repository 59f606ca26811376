//! Hostile files and texts: no panic, no runaway memory, either an error or a working tokenizer.

use glassbox_tokenizer::{
    EncodeOptions, Encoding, Error, GgufVocab, Special, Tokenizer, TrainOptions, Trainer,
};

use crate::goldens;

/// A small deterministic generator, so that a failure is reproducible from the printed round.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end.max(1)
    }

    /// Flips, truncates, removes, duplicates and inserts what parsers may stumble over.
    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        const NASTY: &[&[u8]] = &[
            b"null",
            b"-1",
            b"4294967295",
            b"18446744073709551616",
            b"1e999",
            b"\"\"",
            b"{}",
            b"[]",
            b"\\u0000",
            b"\\ud800",
            b"\xff",
            b"\0",
            b"\"Sequence\"",
            b"true",
            b" ",
            b"\n",
            b"#version",
            b"==",
            b"{\"String\":\"\"}",
            b"{\"Regex\":\"(a*)*b\"}",
        ];
        for _ in 0..=self.below(4) {
            if bytes.is_empty() {
                return;
            }
            let at = self.below(bytes.len());
            match self.below(6) {
                0 => bytes[at] ^= 1 << self.below(8),
                1 => bytes.truncate(at),
                2 => drop(bytes.drain(at..(at + 1 + self.below(20)).min(bytes.len()))),
                3 => {
                    let end = (at + self.below(40)).min(bytes.len());
                    let copy = bytes[at..end].to_vec();
                    bytes.splice(at..at, copy);
                }
                4 => {
                    let nasty = NASTY[self.below(NASTY.len())];
                    bytes.splice(at..at, nasty.iter().copied());
                }
                _ => {
                    let from = self.below(bytes.len());
                    bytes.swap(at, from);
                }
            }
        }
    }
}

/// Checks that a loaded tokenizer works and can be saved.
fn exercise(tokenizer: &Tokenizer) {
    let options = EncodeOptions { special: Special::Parse, add_special_tokens: true };
    for text in ["", "hello wörld 123 <s>\n\n  a", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "👍\u{301}"] {
        if let Ok(ids) = tokenizer.encode(text, &options) {
            let decoded = tokenizer.decode(&ids, false);
            let mut stream = tokenizer.stream(false);
            let streamed: String = ids.iter().map(|&id| stream.push(id)).collect();
            assert_eq!(streamed + &stream.finish(), decoded);
            let bytes: usize =
                ids.iter().filter_map(|&id| tokenizer.token_bytes(id)).map(|bytes| bytes.len()).sum();
            assert!(bytes < 1 << 20);
        }
        let _ = tokenizer.encode_with_offsets(text, &options);
        let _ = tokenizer.explain(text, &options);
    }
    let _ = tokenizer.encode_bytes(b"a\xff\xfeb", &options);
    assert!(!tokenizer.to_json().is_empty());
}

fn small_json() -> String {
    let options = TrainOptions {
        vocab_size: 290,
        special_tokens: vec!["<s>".to_owned(), "<|end|>".to_owned()],
        initial_alphabet: ('!'..='~').collect(),
        ..TrainOptions::default()
    };
    let mut trainer = Trainer::new(options);
    trainer.feed("hello hello world worlds low lower lowest 123 123").unwrap();
    let mut file: serde_json::Value = serde_json::from_str(&trainer.train().unwrap().to_json()).unwrap();
    file["normalizer"] = serde_json::json!({"type": "Sequence", "normalizers": [
        {"type": "NFC"},
        {"type": "Replace", "pattern": {"Regex": "a+"}, "content": "b"},
        {"type": "Strip", "strip_left": true, "strip_right": true},
    ]});
    file["decoder"] = serde_json::json!({"type": "Sequence", "decoders": [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
        {"type": "Strip", "content": " ", "start": 1, "stop": 1},
    ]});
    file["post_processor"] = serde_json::json!({
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}},
    });
    file.to_string()
}

#[test]
fn mutated_json_gives_an_error_or_a_tokenizer() {
    let whole = small_json();
    exercise(&Tokenizer::from_json(&whole).unwrap());
    let mut random = Random(1);
    let mut loaded = 0;
    for round in 0..4000 {
        let mut bytes = whole.clone().into_bytes();
        random.mutate(&mut bytes);
        let text = String::from_utf8_lossy(&bytes);
        let result =
            std::panic::catch_unwind(|| Tokenizer::from_json(&text).map(|tokenizer| exercise(&tokenizer)));
        loaded += usize::from(result.unwrap_or_else(|_| panic!("round {round}: {text}")).is_ok());
    }
    assert!(
        (100..3900).contains(&loaded),
        "{loaded} of 4000 loaded: the mutations are too weak or too strong"
    );
}

#[test]
fn truncated_json_is_always_an_error() {
    let whole = small_json();
    for length in (0..whole.len()).filter(|&length| whole.is_char_boundary(length)).step_by(3) {
        assert!(Tokenizer::from_json(&whole[..length]).is_err(), "{length}");
    }
}

#[test]
fn mutated_rank_files_and_merges_give_an_error_or_a_tokenizer() {
    let mut ranks: Vec<u8> = Vec::new();
    let tokens =
        (0..=255u8).map(|byte| vec![byte]).chain([b"ab".to_vec(), b"abab".to_vec(), vec![b'a'; 300]]);
    for (token, rank) in tokens.zip(0..) {
        ranks.extend(format!("{} {rank}\n", encode_base64(&token)).bytes());
    }
    let vocab = r#"{"a": 0, "b": 1, "ab": 2, "abab": 3, "Ġ": 4, "<|endoftext|>": 5}"#;
    let merges = "#version: 0.2\na b\nab ab\n";
    let mut random = Random(2);
    for round in 0..1500 {
        let mut files = [ranks.clone(), vocab.as_bytes().to_vec(), merges.as_bytes().to_vec()];
        files.iter_mut().for_each(|file| random.mutate(file));
        let [ranks, vocab, merges] = files.map(|file| String::from_utf8_lossy(&file).into_owned());
        let result = std::panic::catch_unwind(|| {
            let _ = Tokenizer::from_tiktoken(&ranks, Encoding::named("cl100k_base"))
                .map(|tokenizer| exercise(&tokenizer));
            let _ = Tokenizer::from_gpt2_files(&vocab, &merges).map(|tokenizer| exercise(&tokenizer));
        });
        assert!(result.is_ok(), "round {round}: {vocab} {merges}");
    }
}

fn encode_base64(bytes: &[u8]) -> String {
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

#[test]
fn mutated_gguf_vocabularies_give_an_error_or_a_tokenizer() {
    let whole = goldens::sentence_piece();
    let mut random = Random(3);
    for round in 0..300 {
        let mut vocab = whole.clone();
        let mut tokens: Vec<String> = whole.tokens.iter().take(400).map(str::to_owned).collect();
        let (scores, kinds) = (vocab.scores.as_mut().unwrap(), vocab.token_types.as_mut().unwrap());
        scores.truncate(400);
        kinds.truncate(400);
        for _ in 0..=random.below(30) {
            let at = random.below(400);
            match random.below(7) {
                0 => scores[at] = [f32::NAN, f32::INFINITY, -0.0, f32::MIN][random.below(4)],
                1 => kinds[at] = [i32::MIN, -1, 0, 2, 3, 4, 6, 7][random.below(8)],
                2 => tokens[at] = String::new(),
                3 => tokens[at] = tokens[random.below(400)].clone(),
                4 => tokens[at] = "a".repeat(random.below(3000)),
                5 => [&mut vocab.bos, &mut vocab.eos, &mut vocab.unk][random.below(3)]
                    .replace(random.below(500) as u32)
                    .map_or((), drop),
                _ => vocab.pre = Some("\0".to_owned()),
            }
        }
        if random.below(2) == 0 {
            vocab.model = "gpt2".to_owned();
            let pick = |random: &mut Random| tokens[random.below(400)].clone();
            vocab.merges =
                Some((0..20).map(|_| format!("{} {}", pick(&mut random), pick(&mut random))).collect());
        }
        vocab.tokens = tokens.into_iter().collect();
        let result = std::panic::catch_unwind(|| drop(vocab.load().map(|tokenizer| exercise(&tokenizer))));
        assert!(result.is_ok(), "round {round}");
    }
}

#[test]
fn one_enormous_token_loads_in_time() {
    let mut vocab = GgufVocab { model: "llama".to_owned(), ..GgufVocab::default() };
    vocab.tokens = (0..1000).map(|length| "a".repeat(length + 1)).chain(["a".repeat(200_000)]).collect();
    vocab.scores = Some((0..vocab.tokens.len()).map(|id| -(id as f32)).collect());
    exercise(&vocab.load().unwrap());
}

#[test]
fn a_regex_with_excessive_backtracking_is_an_error() {
    let file = r#"{"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(?=(a|aa)+$)\\1b"}, "behavior": "Isolated"},
        "model": {"vocab": {"a": 0}, "merges": []}}"#;
    let tokenizer = Tokenizer::from_json(file).unwrap();
    let error = tokenizer.encode(&("a".repeat(5000) + "!"), &EncodeOptions::default()).unwrap_err();
    assert!(error.to_string().contains("failed on this text"), "{error}");
}

#[test]
fn steps_with_exponential_growth_are_refused() {
    let double = r#"{"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}"#;
    let sequence = |members: &str, part: &str, times: usize| {
        format!(r#"{{"type": "Sequence", "{members}": [{}]}}"#, vec![part; times].join(","))
    };
    let twice = r#"{"type": "TemplateProcessing", "special_tokens": {}, "pair": [],
        "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]}"#;
    let bytes = r#"{"type": "ByteLevel", "add_prefix_space": false}"#;
    let digits = r#"{"type": "Digits", "individual_digits": true}"#;
    let long = format!(r#"[{{"id": 1, "content": "{}"}}]"#, "a".repeat(1 << 20));
    let cases = [
        ("normalizer", sequence("normalizers", double, 60)),
        ("pre_tokenizer", sequence("pretokenizers", bytes, 60)),
        ("pre_tokenizer", sequence("pretokenizers", digits, 60_000)),
        ("decoder", sequence("decoders", double, 60)),
        ("post_processor", sequence("processors", twice, 60)),
        ("added_tokens", long),
    ];
    for (part, json) in cases {
        let file = format!(r#"{{"{part}": {json}, "model": {{"vocab": {{"a": 0}}, "merges": []}}}}"#);
        let error = Tokenizer::from_json(&file).unwrap_err();
        assert!(matches!(error, Error::TooLarge { .. }) && error.to_string().contains(part), "{error}");
    }
}

#[test]
fn added_tokens_may_compete_for_white_space() {
    let token = |id: u32, content: &str, left: bool, right: bool| {
        format!(r#"{{"id": {id}, "content": "{content}", "lstrip": {left}, "rstrip": {right}}}"#)
    };
    for (left, right) in [(false, false), (false, true), (true, false), (true, true)] {
        let tokens =
            [token(1, "<x>", right, left), token(2, " ", left, right), token(3, "  <x>", true, true)]
                .join(",");
        let file =
            format!(r#"{{"added_tokens": [{tokens}], "model": {{"vocab": {{"a": 0}}, "merges": []}}}}"#);
        let tokenizer = Tokenizer::from_json(&file).unwrap();
        for text in ["<x>   ", "   <x>  a <x>", " ", "a  a", "<x> <x>   <x>"] {
            let tokens = tokenizer.encode_with_offsets(text, &EncodeOptions::default()).unwrap();
            assert!(!tokens.is_empty() && tokens.iter().all(|token| text.get(token.range.clone()).is_some()));
        }
        let begin = std::time::Instant::now();
        tokenizer.encode(&" ".repeat(1 << 18), &EncodeOptions::default()).unwrap();
        assert!(begin.elapsed().as_secs() < 20, "white space is scanned repeatedly");
    }
}
