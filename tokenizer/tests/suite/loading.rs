//! What the loaders accept, refuse and warn about.

use glassbox_tokenizer::{EncodeOptions, Encoding, Error, GgufVocab, Tokenizer, Warning};
use serde_json::json;

use crate::goldens;

fn small() -> serde_json::Value {
    json!({"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}})
}

fn error_of(file: &serde_json::Value) -> String {
    Tokenizer::from_json(&file.to_string()).unwrap_err().to_string()
}

#[test]
fn merges_may_be_strings_or_pairs() {
    let mut file = small();
    file["model"]["merges"] = json!([["a", "b"]]);
    for file in [small(), file] {
        let tokenizer = Tokenizer::from_json(&file.to_string()).unwrap();
        assert_eq!(tokenizer.encode("aba", &EncodeOptions::default()).unwrap(), [2, 0]);
        assert_eq!(tokenizer.decode(&[2, 0], false), "ab a");
    }
}

#[test]
fn unsupported_parts_are_named() {
    let cases = [
        ("/model", json!({"type": "Unigram", "vocab": []}), "`model` has the unsupported type Unigram"),
        ("/model", json!({"type": "WordPiece", "vocab": {}}), "`model` has the unsupported type WordPiece"),
        ("/normalizer", json!({"type": "Precompiled"}), "`normalizer` has the unsupported type Precompiled"),
        (
            "/pre_tokenizer",
            json!({"type": "Sequence", "pretokenizers": [{"type": "BertPreTokenizer"}]}),
            "`pre_tokenizer.pretokenizers[0]`",
        ),
        ("/decoder", json!({"type": "CTC"}), "`decoder` has the unsupported type CTC"),
        ("/post_processor", json!({"type": "Other"}), "`post_processor` has the unsupported type Other"),
    ];
    for (pointer, part, expected) in cases {
        let mut file = small();
        file[&pointer[1..]] = part;
        let message = error_of(&file);
        assert!(message.contains(expected), "{message}");
        assert!(message.contains("supported: "), "{message}");
    }
}

#[test]
fn errors_name_the_key() {
    let model = |changes: serde_json::Value| {
        let mut file = small();
        changes.as_object().unwrap().iter().for_each(|(key, value)| file["model"][key] = value.clone());
        file
    };
    let cases = [
        (json!({}), "`model`: expected an object, found nothing"),
        (json!([1]), "expected an object, found a list"),
        (model(json!({"vocab": {"a": -1}})), "`model.vocab.a`: expected an id below 2^32, found -1"),
        (model(json!({"vocab": {"a": 4294967296u64}})), "`model.vocab.a`"),
        (model(json!({"vocab": ["a"]})), "`model.vocab`: expected an object"),
        (model(json!({"merges": ["a c"]})), "merge 0: the token \"c\" is not in the vocabulary"),
        (model(json!({"merges": ["b a"]})), "merge 0: the token \"ba\" is not in the vocabulary"),
        (model(json!({"merges": ["ab"]})), "`model.merges[0]`: expected two tokens"),
        (model(json!({"merges": [["a"]]})), "`model.merges[0]`: expected two tokens"),
        (model(json!({"merges": 3})), "`model.merges`: expected a list"),
        (model(json!({"unk_token": "<unk>"})), "`unk_token`: the token \"<unk>\" is not in the vocabulary"),
        (model(json!({"fuse_unk": "yes"})), "`model.fuse_unk`: expected true or false"),
        (model(json!({"continuing_subword_prefix": "####"})), "merge 0"),
    ];
    for (file, expected) in cases {
        let message = error_of(&file);
        assert!(message.contains(expected), "{message} lacks {expected}");
    }
    assert!(matches!(Tokenizer::from_json("{"), Err(Error::Json(_))));
}

#[test]
fn enormous_ids_cost_nothing() {
    let mut file = small();
    file["model"]["vocab"]["z"] = json!(u32::MAX);
    file["added_tokens"] = json!([{"id": 7, "content": "<x>", "special": true}]);
    let tokenizer = Tokenizer::from_json(&file.to_string()).unwrap();
    assert_eq!(tokenizer.encode("z", &EncodeOptions::default()).unwrap(), [u32::MAX]);
    assert_eq!(tokenizer.vocab_size(), 1 << 32);
    assert_eq!(
        tokenizer.warnings(),
        [Warning::AddedTokenId { token: "<x>".to_owned(), in_file: 7, used: 4 }]
    );
}

#[test]
fn ignored_settings_cause_warnings() {
    let mut file = small();
    file["truncation"] = json!({"max_length": 5});
    file["model"]["dropout"] = json!(0.1);
    let tokenizer = Tokenizer::from_json(&file.to_string()).unwrap();
    let settings: Vec<String> = tokenizer.warnings().iter().map(Warning::to_string).collect();
    assert!(settings[0].contains("model.dropout") && settings[1].contains("truncation"), "{settings:?}");
}

#[test]
fn deeply_nested_sequences_are_an_error() {
    let nested = r#"{"type":"Sequence","pretokenizers":["#.repeat(5000) + &"]}".repeat(5000);
    let json = format!(r#"{{"pre_tokenizer": {nested}, "model": {{"vocab": {{}}, "merges": []}}}}"#);
    assert!(matches!(Tokenizer::from_json(&json), Err(Error::Json(_))));
}

#[test]
fn a_bad_regex_is_an_error_with_its_text() {
    let mut file = small();
    file["pre_tokenizer"] =
        json!({"type": "Split", "pattern": {"Regex": "(a"}, "behavior": "Isolated", "invert": false});
    assert!(error_of(&file).contains("\"(a\""), "{}", error_of(&file));
}

fn gguf(pre: Option<&str>) -> GgufVocab {
    GgufVocab {
        model: "gpt2".to_owned(),
        pre: pre.map(str::to_owned),
        tokens: ["a", "b", "ab", "<e>"].into_iter().collect(),
        token_types: Some(vec![1, 1, 1, 3]),
        merges: Some(vec!["a b".to_owned()]),
        bos: Some(3),
        eos: Some(3),
        ..GgufVocab::default()
    }
}

#[test]
fn an_unknown_pre_tokenizer_causes_a_warning() {
    let unknown = gguf(Some("from-the-future")).load().unwrap();
    assert_eq!(unknown.warnings(), [Warning::UnknownPre { pre: "from-the-future".to_owned() }]);
    assert!(unknown.warnings()[0].to_string().contains("from-the-future"));
    assert_eq!(gguf(None).load().unwrap().warnings(), [Warning::MissingPre]);
    for pre in [
        "default",
        "gpt-2",
        "smollm",
        "llama-bpe",
        "qwen2",
        "deepseek-llm",
        "deepseek-v3",
        "tekken",
        "falcon",
    ] {
        assert_eq!(gguf(Some(pre)).load().unwrap().warnings(), [], "{pre}");
    }
}

#[test]
fn a_gguf_defines_the_special_tokens_around_a_text() {
    let add = EncodeOptions { add_special_tokens: true, ..EncodeOptions::default() };
    let ids = |vocab: GgufVocab| vocab.load().unwrap().encode("ab", &add).unwrap();
    assert_eq!(ids(gguf(Some("gpt-2"))), [2]);
    assert_eq!(ids(gguf(Some("llama-bpe"))), [3, 2]);
    assert_eq!(ids(GgufVocab { add_bos: Some(false), ..gguf(Some("llama-bpe")) }), [2]);
    assert_eq!(ids(GgufVocab { add_bos: Some(true), add_eos: Some(true), ..gguf(Some("gpt-2")) }), [3, 2, 3]);
}

#[test]
fn bos_and_eos_are_special_without_token_types() {
    let tokenizer = GgufVocab { token_types: None, ..gguf(Some("gpt-2")) }.load().unwrap();
    assert!(tokenizer.is_special(3) && !tokenizer.is_special(2));
    let wants = GgufVocab { add_bos: Some(true), bos: None, ..gguf(Some("gpt-2")) }.load().unwrap();
    assert!(
        wants.warnings()[0].to_string().contains("tokenizer.ggml.add_bos_token"),
        "{:?}",
        wants.warnings()
    );
}

/// As in Gemma's files: a run of spaces is written with spaces, though texts have marks when pieces are merged, and its
/// score says nothing.
#[test]
fn defined_pieces_are_merged_first_and_runs_of_spaces_are_found() {
    let vocab = GgufVocab {
        model: "llama".to_owned(),
        tokens: ["<unk>", "▁", "a", "  ", "▁a"].into_iter().collect(),
        scores: Some(vec![0.0, -8.0, -9.0, -1000.0, -1.0]),
        token_types: Some(vec![2, 1, 1, 4, 1]),
        unk: Some(0),
        add_space_prefix: Some(false),
        ..GgufVocab::default()
    };
    let tokenizer = vocab.clone().load().unwrap();
    for (text, expected) in [(" a", &[4][..]), ("  a", &[3, 2]), ("   a", &[3, 4]), ("▁▁ ▁", &[3, 3])] {
        let ids = tokenizer.encode(text, &EncodeOptions::default()).unwrap();
        assert_eq!(ids, expected, "{text:?}");
        assert_eq!(tokenizer.decode(&ids, false), text.replace('▁', " "));
    }
    assert_eq!(GgufVocab::describe(&tokenizer, 5).unwrap().tokens, vocab.tokens);
}

#[test]
fn the_last_id_of_a_duplicate_token_counts() {
    let mut vocab = gguf(Some("gpt-2"));
    vocab.tokens.push("ab");
    vocab.token_types = Some(vec![1, 1, 1, 3, 1]);
    let tokenizer = vocab.load().unwrap();
    assert_eq!(tokenizer.encode("ab", &EncodeOptions::default()).unwrap(), [4]);
    assert_eq!(tokenizer.decode(&[2, 4], false), "abab");
}

#[test]
fn inconsistent_gguf_metadata_is_an_error() {
    let cases = [
        (GgufVocab { model: "bert".to_owned(), ..gguf(None) }, "unsupported type bert"),
        (GgufVocab { token_types: Some(vec![1]), ..gguf(None) }, "same length: found 4 and 1"),
        (GgufVocab { scores: Some(vec![]), ..gguf(None) }, "same length: found 4 and 0"),
        (GgufVocab { bos: Some(4), ..gguf(None) }, "no token has the id 4"),
        (GgufVocab { pad: Some(u32::MAX), ..gguf(None) }, "tokenizer.ggml.pad_token_id"),
        (GgufVocab { merges: None, ..gguf(None) }, "tokenizer.ggml.merges"),
        (GgufVocab { merges: Some(vec!["ab".to_owned()]), ..gguf(None) }, "two tokens"),
        (GgufVocab { merges: Some(vec!["a z".to_owned()]), ..gguf(None) }, "\"z\" is not in the vocabulary"),
        (GgufVocab { model: "llama".to_owned(), ..gguf(None) }, "tokenizer.ggml.scores"),
    ];
    for (vocab, expected) in cases {
        let message = vocab.load().unwrap_err().to_string();
        assert!(message.contains(expected), "{message} lacks {expected}");
    }
}

#[test]
fn gpt2s_files_are_opened_by_either_name() {
    let golden = goldens::golden("gpt2");
    let model = &golden["tokenizer"]["model"];
    let merges: Vec<&str> =
        model["merges"].as_array().unwrap().iter().map(|merge| merge.as_str().unwrap()).collect();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("vocab.json"), model["vocab"].to_string()).unwrap();
    std::fs::write(folder.path().join("merges.txt"), format!("#version: 0.2\n{}\n", merges.join("\n")))
        .unwrap();
    for path in [folder.path().to_owned(), folder.path().join("vocab.json"), folder.path().join("merges.txt")]
    {
        let tokenizer = Tokenizer::from_file(path).unwrap();
        assert_eq!((tokenizer.bos_id(), tokenizer.eos_id()), (Some(50_256), Some(50_256)));
        let text = "The most effective way to learn";
        let expected = goldens::tokenizer("gpt2").encode(text, &EncodeOptions::default()).unwrap();
        assert_eq!(tokenizer.encode(text, &EncodeOptions::default()).unwrap(), expected);
    }
}

#[test]
fn errors_name_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    std::fs::write(&path, "[]").unwrap();
    let cases = [
        (path, "tokenizer.json: "),
        (folder.path().join("absent.json"), "absent.json: "),
        (folder.path().join("model.bin"), "unsupported type model.bin"),
        (folder.path().join("merges.txt"), "vocab.json"),
    ];
    for (path, expected) in cases {
        let message = Tokenizer::from_file(path).unwrap_err().to_string();
        assert!(message.contains(expected), "{message} lacks {expected}");
    }
}

#[test]
fn invalid_rank_files_are_an_error() {
    let encoding = Encoding { pattern: r"\w+".to_owned(), special_tokens: Vec::new() };
    let cases = [
        ("IQ== 0\nIg==\n", "rank file, line 2"),
        ("IQ== x\n", "rank file, line 1"),
        ("I?== 0\n", "rank file, line 1"),
        (" 5\n", "rank file, line 1"),
        ("IQ== 4294967296\n", "rank file, line 1"),
        ("IQ== 0\nIg== 1\n", "byte 0x00"),
    ];
    for (ranks, expected) in cases {
        let message = Tokenizer::from_tiktoken(ranks, Some(encoding.clone())).unwrap_err().to_string();
        assert!(message.contains(expected), "{message} lacks {expected}");
    }
    let error = Tokenizer::from_gpt2_files(r#"{"a": 0}"#, "#version\na b c\n").unwrap_err().to_string();
    assert!(error.contains("merges, line 2"), "{error}");
}
