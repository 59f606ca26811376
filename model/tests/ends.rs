//! The tokens that end a generation: those that the files name, and those whose text says so, as in llama.cpp.

#[allow(dead_code, reason = "other tests use the rest of it")]
mod changed;

use std::convert::Infallible;

use changed::{Changed, Content, changed_gguf};
use glassbox_model::{Checkpoint, Generation, Stop};
use glassbox_tensor::file::gguf::{Array, Value as V};
use glassbox_tensor::{Level, Pool};
use glassbox_tokenizer::{EncodeOptions, Special};
use serde_json::json;

const NORMAL: i32 = 1;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;

/// Gives tokens of the tiny vocabulary, from id 280 on, a text and a type.
fn rename(file: &mut Content, tokens: &[(&str, i32)]) {
    let value = |key: &str| file.metadata.iter().find(|(known, _)| known == key).unwrap().1.clone();
    let (V::Array(texts), V::Array(types)) =
        (value("tokenizer.ggml.tokens"), value("tokenizer.ggml.token_type"))
    else {
        panic!("lists")
    };
    let mut texts: Vec<String> = texts
        .iter()
        .map(|text| match text {
            V::String(text) => text,
            other => panic!("{other}"),
        })
        .collect();
    let mut types: Vec<i32> = types.iter().map(|kind| kind.as_integer().unwrap() as i32).collect();
    for (i, (text, kind)) in tokens.iter().enumerate() {
        (texts[280 + i], types[280 + i]) = ((*text).to_owned(), *kind);
    }
    // The merges that made these tokens go with them.
    let V::Array(merges) = value("tokenizer.ggml.merges") else { panic!("a list") };
    let merges: Vec<String> = merges
        .iter()
        .filter_map(|merge| match merge {
            V::String(merge) => Some(merge),
            _ => None,
        })
        .filter(|merge| {
            let (left, right) = merge.split_once(' ').unwrap();
            let all = [left.to_owned(), right.to_owned(), format!("{left}{right}")];
            all.iter().all(|token| texts.contains(token))
        })
        .collect();
    file.set("tokenizer.ggml.tokens", V::Array(Array::from_strings(&texts)));
    file.set("tokenizer.ggml.token_type", V::Array(Array::from_i32(&types)));
    file.set("tokenizer.ggml.merges", V::Array(Array::from_strings(&merges)));
}

fn renamed(tokens: &[(&str, i32)]) -> Checkpoint {
    changed_gguf("llama-text", |file| {
        rename(file, tokens);
        file.set("tokenizer.ggml.eos_token_id", V::U32(0));
    })
    .unwrap()
}

fn ends(checkpoint: &Checkpoint) -> Vec<u32> {
    checkpoint.end_ids(Some(&checkpoint.tokenizer().unwrap().unwrap()))
}

/// ggml-org/llama.cpp#9606: a file that names the wrong end of a turn must not make a model speak for the user.
#[test]
fn a_token_that_ends_a_turn_by_its_text_ends_a_generation() {
    for text in [
        "<|im_end|>",
        "<|eot_id|>",
        "<|eom_id|>",
        "<|end|>",
        "<|return|>",
        "<|call|>",
        "<|end_of_text|>",
        "<end_of_turn>",
        "<end_of_utterance>",
        "<｜end▁of▁sentence｜>",
        "</s>",
        "<EOT>",
        "[EOT]",
        "[EOS]",
        "<eos>",
        "<|eot|>",
        "<|endofprompt|>",
        "<|fim_pad|>",
        "<|file_sep|>",
    ] {
        let checkpoint = renamed(&[("ordinary", NORMAL), (text, CONTROL)]);
        assert_eq!(ends(&checkpoint), [0, 281], "{text}");
        assert!(checkpoint.warnings().is_empty(), "{text}: {:?}", checkpoint.warnings());
    }
    for text in
        ["<|im_start|>", "<s>", "<unk>", "im_end", "<|im_end|> ", "<|start_header_id|>", "<|assistant|>"]
    {
        assert_eq!(ends(&renamed(&[("ordinary", NORMAL), (text, CONTROL)])), [0], "{text}");
    }
}

/// llama.cpp overrides the type of a "control-looking token" and warns. `</s>` is different: in Gemma's vocabulary it
/// is the end of struck-out text in HTML.
#[test]
fn a_token_that_looks_like_a_control_token_is_treated_as_one() {
    for kind in [NORMAL, USER_DEFINED] {
        let checkpoint = renamed(&[("<|im_end|>", kind)]);
        let warnings: Vec<String> = checkpoint.warnings().iter().map(ToString::to_string).collect();
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].contains("token 280 \"<|im_end|>\" looks like a control token"), "{warnings:?}");
        assert_eq!(ends(&checkpoint), [0, 280]);
        let tokenizer = checkpoint.tokenizer().unwrap().unwrap();
        assert!(tokenizer.is_special(280));
        let options = EncodeOptions { special: Special::Parse, ..EncodeOptions::default() };
        assert_eq!(tokenizer.encode("<|im_end|>", &options).unwrap(), [280]);
        for text in ["</s>", "[EOS]", "<EOT>"] {
            let checkpoint = renamed(&[(text, kind)]);
            assert_eq!((ends(&checkpoint), checkpoint.warnings().len()), (vec![0], 0), "{text}");
        }
    }
}

/// As in llama.cpp: in gpt-oss's format `<|end|>` separates the messages of one turn.
#[test]
fn end_is_no_end_beside_return_and_call() {
    let end = ("<|end|>", CONTROL);
    assert_eq!(ends(&renamed(&[end])), [0, 280]);
    assert_eq!(ends(&renamed(&[end, ("<|return|>", CONTROL)])), [0, 280, 281]);
    assert_eq!(ends(&renamed(&[end, ("<|return|>", CONTROL), ("<|call|>", CONTROL)])), [0, 281, 282]);
    assert_eq!(ends(&renamed(&[("</s>", CONTROL), ("<|tool_response>", CONTROL)])), [0, 281]);
}

#[test]
fn ends_that_the_metadata_name_count_whatever_their_text() {
    let checkpoint = changed_gguf("llama-text", |file| {
        for (key, id) in [("eos", 7), ("eot", 9), ("eom", 8), ("fim_pad", 3), ("fim_rep", 4), ("fim_sep", 5)]
        {
            file.set(&format!("tokenizer.ggml.{key}_token_id"), V::U32(id));
        }
    })
    .unwrap();
    // Token 0 is <|endoftext|>.
    assert_eq!(ends(&checkpoint), [0, 3, 4, 5, 7, 8, 9]);
    assert_eq!(checkpoint.end_ids(None), [3, 4, 5, 7, 8, 9]);
}

#[test]
fn a_folder_has_the_same_rule() {
    let ends_with = |special: bool, text: &str| {
        let folder = Changed::copy("llama-text").json("tokenizer.json", |tokenizer| {
            let token = json!({"id": 288, "content": text, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": special});
            tokenizer["added_tokens"].as_array_mut().unwrap().push(token);
        });
        let folder =
            folder.json("generation_config.json", |settings| settings["eos_token_id"] = json!([5, 6]));
        ends(&folder.open().unwrap())
    };
    // Token 0 is <|endoftext|>.
    assert_eq!(ends_with(true, "<|im_end|>"), [0, 5, 6, 288]);
    assert_eq!(ends_with(false, "<|im_end|>"), [0, 5, 6, 288]);
    assert_eq!(ends_with(true, "</s>"), [0, 5, 6, 288]);
    assert_eq!(ends_with(false, "</s>"), [0, 5, 6]);
    assert_eq!(ends_with(true, "<|im_start|>"), [0, 5, 6]);
}

#[test]
fn generation_stops_at_such_a_token() {
    let checkpoint = renamed(&[("<|im_end|>", CONTROL)]);
    let model = checkpoint.run_on(Pool::new(1, Level::detect()).unwrap()).unwrap();
    let mut session = model.session(64);
    let mut picks = [40, 41, 280, 42].into_iter();
    let pick = |_: &[f32]| Ok::<u32, Infallible>(picks.next().unwrap());
    let mut generation = Generation::new(&mut session, &[50], 10, &ends(&checkpoint), pick).unwrap();
    let ids: Vec<u32> = generation.by_ref().map(Result::unwrap).collect();
    assert_eq!((ids, generation.stop()), (vec![40, 41], Some(Stop::EndOfText)));
}
