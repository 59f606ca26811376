//! `tokenize` and `detokenize`: round trips, with every kind of tokenizer file.

use std::fs;
use std::path::Path;

use crate::process::{Ran, arg, copy_of, fixture, glassbox, ids, joined, tiny};

const TEXT: &str = "The cat sat on the mat.\n  Über 3.14 — 你好 👩‍👩‍👧‍👦\t\u{7f}!";

fn detokenize(arguments: &[&str]) -> Ran {
    let ran = glassbox([&["detokenize", "-m", &tiny("llama-text")], arguments].concat()).run();
    assert_eq!(ran.code, 0, "{}", ran.err);
    ran
}

#[test]
fn a_text_comes_back_byte_for_byte() {
    let bytes: Vec<u8> = (0..=255).chain(*b"\xf0\x9f\x91 \xc0\xaf").collect();
    for text in [TEXT.as_bytes(), b"", b"\n", b"\xff", &bytes] {
        let report = glassbox(["tokenize", "-m", &tiny("llama-text"), "--json"]).stdin(text).json();
        let ids = joined(&ids(&report["ids"]));
        let back = glassbox(["detokenize", "-m", &tiny("llama-text")]).stdin(ids).run();
        assert_eq!((back.code, back.out.as_slice()), (0, text));
    }
}

#[test]
fn json_has_ids_and_the_text_of_each_token() {
    let report = glassbox(["tokenize", "-m", &tiny("llama-text"), "--json", "on the mat"]).json();
    let keys: Vec<&String> = report.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["ids", "tokens"]);
    let tokens: Vec<&str> =
        report["tokens"].as_array().unwrap().iter().map(|token| token.as_str().unwrap()).collect();
    assert_eq!(tokens.concat(), "on the mat");
    assert_eq!(tokens.len(), ids(&report["ids"]).len());
    let nothing = glassbox(["tokenize", "-m", &tiny("llama-text"), "--json", ""]).json();
    assert_eq!(nothing, serde_json::json!({ "ids": [], "tokens": [] }));
}

#[test]
fn the_table_has_the_byte_range_of_each_token() {
    for bytes in [TEXT.as_bytes(), b"a \xff\xfe b"] {
        let table = glassbox(["tokenize", "-m", &tiny("llama-text")]).stdin(bytes).text();
        let mut end = 0;
        for line in table.lines().skip(1) {
            let range = line.split_whitespace().last().unwrap();
            let (from, to) = range.split_once("..").unwrap();
            assert_eq!(from.parse::<usize>().unwrap(), end, "{table}");
            end = to.parse().unwrap();
        }
        assert_eq!(end, bytes.len());
        assert!(table.chars().all(|c| c == '\n' || !c.is_control()), "{table:?}");
    }
    assert_eq!(glassbox(["tokenize", "-m", &tiny("llama-text"), ""]).text(), "");
}

#[test]
fn text_comes_from_an_argument_a_file_or_standard_input() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), TEXT).unwrap();
    let call = ["tokenize", "-m", &tiny("gpt2-text"), "--json"];
    let expected = glassbox([&call[..], &[TEXT]].concat()).json();
    assert_eq!(glassbox([&call[..], &["-f", &arg(file.path())]].concat()).json(), expected);
    assert_eq!(glassbox(call).stdin(TEXT).json(), expected);
}

#[test]
fn special_tokens_are_text_by_default() {
    let call = ["tokenize", "-m", &tiny("llama-text"), "--json", "a<|endoftext|>"];
    let plain = glassbox(call).json();
    assert!(!ids(&plain["ids"]).contains(&0));
    let special = glassbox([&call[..], &["--special"]].concat()).json();
    assert_eq!(special["tokens"], serde_json::json!(["a", "<|endoftext|>"]));
    let both = joined(&ids(&special["ids"]));
    assert_eq!(detokenize(&[&both]).out, b"a<|endoftext|>");
    assert_eq!(detokenize(&[&both, "--skip-special"]).out, b"a");
}

/// A folder with only a tokenizer, which adds token 0 before and after a text.
fn tokenizer_with_a_template() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let json = fs::read_to_string(fixture("tiny/llama-text/tokenizer.json")).unwrap();
    let mut json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let special = serde_json::json!({ "SpecialToken": { "id": "<|endoftext|>", "type_id": 0 } });
    json["post_processor"] = serde_json::json!({
        "type": "TemplateProcessing",
        "single": [special, { "Sequence": { "id": "A", "type_id": 0 } }, special],
        "pair": [],
        "special_tokens": {
            "<|endoftext|>": { "id": "<|endoftext|>", "ids": [0], "tokens": ["<|endoftext|>"] }
        },
    });
    fs::write(folder.path().join("tokenizer.json"), json.to_string()).unwrap();
    folder
}

#[test]
fn special_tokens_are_added_only_with_add_special() {
    let folder = tokenizer_with_a_template();
    let call = ["tokenize", "-m", &arg(folder.path()), "the"];
    let plain = glassbox([&call[..], &["--json"]].concat()).json();
    let around = glassbox([&call[..], &["--json", "--add-special"]].concat()).json();
    let expected = [&[0], &ids(&plain["ids"])[..], &[0]].concat();
    assert_eq!(ids(&around["ids"]), expected);
    let table = glassbox([&call[..], &["--add-special"]].concat()).text();
    assert!(table.lines().nth(1).unwrap().ends_with("0..0"), "{table}");
    assert!(table.lines().last().unwrap().ends_with("3..3"), "{table}");
}

#[test]
fn every_kind_of_tokenizer_file_is_read() {
    let call = |file: &Path| glassbox(["tokenize", "--tokenizer", &arg(file), "--json", TEXT]).json();
    let expected = glassbox(["tokenize", "-m", &tiny("llama-text"), "--json", TEXT]).json();
    assert_eq!(call(&fixture("tiny/llama-text/tokenizer.json")), expected);
    assert_eq!(call(&fixture("tiny/gguf/llama-text.gguf")), expected);
    let gpt2 = glassbox(["tokenize", "-m", &tiny("gpt2-text"), "--json", TEXT]).json();
    for file in ["vocab.json", "merges.txt"] {
        assert_eq!(call(&fixture("tiny/gpt2-text").join(file)), gpt2);
    }
    // A rank file of only the 256 bytes, with GPT-2's name.
    let folder = tempfile::tempdir().unwrap();
    let ranks: String = (0..=255).map(|byte| format!("{} {byte}\n", base64_of(byte))).collect();
    let file = folder.path().join("r50k_base.tiktoken");
    fs::write(&file, ranks).unwrap();
    let bytes: Vec<u32> = TEXT.bytes().map(u32::from).collect();
    assert_eq!(ids(&call(&file)["ids"]), bytes);
}

fn base64_of(byte: u8) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |bits: u8| char::from(DIGITS[usize::from(bits)]);
    format!("{}{}==", digit(byte >> 2), digit((byte & 3) << 4))
}

#[test]
fn a_folder_needs_no_model_to_have_a_tokenizer() {
    let folder = copy_of("gpt2-text");
    for name in ["config.json", "model.safetensors"] {
        fs::remove_file(folder.path().join(name)).unwrap();
    }
    let expected = glassbox(["tokenize", "-m", &tiny("gpt2-text"), "--json", TEXT]).json();
    assert_eq!(glassbox(["tokenize", "-m", &arg(folder.path()), "--json", TEXT]).json(), expected);
    let empty = tempfile::tempdir().unwrap();
    glassbox(["tokenize", "-m", &arg(empty.path()), "x"]).fails(1, &[]);
    glassbox(["tokenize", "-m", &tiny("llama-gqa"), "x"]).fails(1, &["no tokenizer"]);
    glassbox(["tokenize", "--tokenizer", "missing.json", "x"]).fails(1, &["missing.json"]);
}

#[test]
fn explain_ends_with_the_tokens_of_each_word() {
    let call = ["tokenize", "-m", &tiny("llama-text"), "the cat<|endoftext|>", "--special"];
    let explained = glassbox([&call[..], &["--explain"]].concat()).text();
    let lines = explained.lines().filter_map(|line| line.trim().strip_prefix("ids "));
    let found: Vec<u32> = lines.flat_map(str::split_whitespace).map(|id| id.parse().unwrap()).collect();
    assert_eq!(found, ids(&glassbox([&call[..], &["--json"]].concat()).json()["ids"]));
    assert!(explained.contains("merge ") && explained.contains("added token"), "{explained}");
    assert!(explained.contains("the lowest number comes first"), "the method: {explained}");
    glassbox(["tokenize", "-m", &tiny("llama-text"), "--explain"]).stdin(b"\xff").fails(2, &["UTF-8"]);
}

/// A reader asked why a character becomes several tokens: it starts as its bytes, and no merge joins them.
#[test]
fn explain_shows_the_bytes_of_characters_and_why_merging_ends() {
    let explained = glassbox(["tokenize", "--explain", "unbelievable 你好"]).text();
    for line in [
        "      UTF-8  ␣ = 20 · 你 = e4 bd a0 · 好 = e5 a5 bd",
        "    symbols  ␣ · \\xe4 · \\xbd · \\xa0 · \\xe5 · \\xa5 · \\xbd",
        "        end  no merge joins any two neighbours",
        "        ids  221 161 122 255 162 99 122",
    ] {
        assert!(explained.lines().any(|found| found == line), "{line:?} is not in\n{explained}");
    }
    // ASCII needs no bytes, and one token no reason.
    let one = glassbox(["tokenize", "--explain", "the"]).text();
    assert!(!one.contains("UTF-8") && !one.contains("  end  "), "{one}");
    let two = glassbox(["tokenize", "--explain", "kinglet"]).text();
    assert!(two.contains("  no merge joins king + let\n"), "{two}");
}

#[test]
fn ids_are_read_in_every_form() {
    let expected = detokenize(&["40", "41", "42"]).out;
    for form in [&["40,41,42"][..], &["40 41", "42"], &["[40, 41, 42]"], &["40,", "41,", "42"]] {
        assert_eq!(detokenize(form).out, expected, "{form:?}");
    }
    for text in ["40\n41\r\n42\n", "[40,41,42]\n"] {
        let ran = glassbox(["detokenize", "-m", &tiny("llama-text")]).stdin(text).run();
        assert_eq!((ran.code, ran.out), (0, expected.clone()));
    }
    let none = glassbox(["detokenize", "-m", &tiny("llama-text")]).stdin("").run();
    assert_eq!((none.code, none.out), (0, Vec::new()));
    for bad in ["40,x", "[40", "4294967296", "1.5"] {
        glassbox(["detokenize", "-m", &tiny("llama-text"), bad]).fails(2, &[]);
    }
    glassbox(["detokenize", "-m", &tiny("llama-text"), "288"]).fails(1, &["288"]);
}
