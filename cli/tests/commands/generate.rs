//! `generate`: the reference's tokens, every source of a prompt, and every stop condition.

use serde_json::Value;

use crate::golden::Golden;
use crate::process::{Call, arg, copy_of, glassbox, ids, joined, tiny};

fn generate(model: &str, flags: &[&str]) -> Call {
    glassbox([&["generate", "-m", &tiny(model)], flags].concat())
}

fn greedy(model: &str, flags: &[&str]) -> Value {
    generate(model, &[&["--temp", "0", "--json"], flags].concat()).json()
}

#[test]
fn greedy_tokens_are_the_references() {
    for model in ["gpt2-odd", "llama-gqa", "mistral-window", "qwen2-plain", "qwen3-plain"] {
        let golden = Golden::open(model);
        for prompt in ["short", "long"] {
            let prompt_ids = golden.ids(&format!("{prompt}.ids"));
            let expected = golden.ids(&format!("{prompt}.greedy_ids"));
            let flags = ["--ids", &joined(&prompt_ids), "-n", "24", "--ignore-eos"];
            let report = greedy(model, &flags);
            assert_eq!(ids(&report["ids"]), expected, "{model}, {prompt}");
            assert_eq!(ids(&report["prompt_ids"]), prompt_ids);
            assert_eq!(report["stop_reason"], "length");
        }
    }
}

#[test]
fn json_has_four_keys_and_the_text_is_what_is_streamed() {
    let flags = ["--temp", "0", "-n", "12", "The cat"];
    let report = greedy("llama-text", &flags[2..]);
    let keys: Vec<&String> = report.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["ids", "prompt_ids", "stop_reason", "text"]);
    let streamed = generate("llama-text", &flags).run();
    assert_eq!(streamed.code, 0);
    // Neither JSON nor the stream contains partial characters.
    assert_eq!(streamed.out, report["text"].as_str().unwrap().as_bytes());
    assert_eq!(ids(&report["ids"]).len(), 12);
    for timing in ["load ", "prompt ", "generation ", "tokens/s"] {
        assert!(streamed.err.contains(timing), "{}", streamed.err);
    }
    let decoded = glassbox(["detokenize", "-m", &tiny("llama-text"), &joined(&ids(&report["ids"]))]).run();
    assert_eq!(String::from_utf8_lossy(&decoded.out), report["text"].as_str().unwrap());
}

#[test]
fn a_prompt_comes_from_anywhere_byte_for_byte() {
    let text = "  two lines,\nand spaces \n";
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let expected = greedy("gpt2-text", &["-n", "5", text]);
    assert_eq!(expected, greedy("gpt2-text", &["-n", "5", "-p", text]));
    assert_eq!(expected, greedy("gpt2-text", &["-n", "5", "-f", &arg(file.path())]));
    assert_eq!(expected, generate("gpt2-text", &["--temp", "0", "--json", "-n", "5"]).stdin(text).json());
    let from_ids = greedy("gpt2-text", &["-n", "5", "--ids", &joined(&ids(&expected["prompt_ids"]))]);
    assert_eq!(expected, from_ids);
    let dashed = greedy("gpt2-text", &["-n", "0", "-p", "--temp"]);
    assert_eq!(ids(&dashed["prompt_ids"]), tokens("gpt2-text", "--temp"));
}

fn tokens(model: &str, text: &str) -> Vec<u32> {
    ids(&glassbox(["tokenize", "-m", &tiny(model), "--json", "--", text]).json()["ids"])
}

#[test]
fn bytes_that_are_not_utf8_are_fed_unchanged() {
    let bytes = b"caf\xc3\xa9 \xff\xfe \xe4\xbd end";
    let report = generate("llama-text", &["--temp", "0", "--json", "-n", "3"]).stdin(bytes).json();
    let prompt_ids = joined(&ids(&report["prompt_ids"]));
    let decoded = glassbox(["detokenize", "-m", &tiny("llama-text"), &prompt_ids]).run();
    assert_eq!(decoded.out, bytes);
}

#[test]
fn zero_tokens_generate_nothing() {
    let report = greedy("llama-text", &["-n", "0", "word"]);
    assert_eq!((&report["ids"], &report["text"]), (&serde_json::json!([]), &serde_json::json!("")));
    assert_eq!(report["stop_reason"], "length");
    assert_eq!(generate("llama-text", &["-n", "0", "word"]).text(), "");
}

#[test]
fn without_a_tokenizer_the_text_is_the_ids() {
    let report = greedy("llama-gqa", &["--ids", "5,6", "-n", "4", "--ignore-eos"]);
    assert_eq!(report["text"], "");
    let expected = ids(&report["ids"]).iter().map(u32::to_string).collect::<Vec<_>>().join(" ");
    let flags = ["--ids", "5,6", "-n", "4", "--ignore-eos", "--temp", "0"];
    assert_eq!(generate("llama-gqa", &flags).text(), format!("{expected}\n"));
    generate("llama-gqa", &["word"]).fails(1, &["no tokenizer", "--ids"]);
    generate("llama-gqa", &["--ids", "5", "--stop", "x"]).fails(2, &["--stop", "tokenizer"]);
}

#[test]
fn a_stop_string_ends_the_text_before_itself_even_across_tokens() {
    let whole = greedy("llama-text", &["-n", "30", "The cat"]);
    let text = whole["text"].as_str().unwrap();
    let characters: Vec<(usize, char)> = text.char_indices().collect();
    for start in [0, 3, characters.len() / 2] {
        let stop: String = characters[start..start + 4].iter().map(|(_, c)| c).collect();
        let at = text.find(&stop).unwrap();
        let flags = ["-n", "30", "--stop", &stop, "--stop", "nowhere in it", "The cat"];
        let report = greedy("llama-text", &flags);
        assert_eq!(report["text"], text[..at]);
        assert_eq!(report["stop_reason"], "stop_string");
        assert!(ids(&whole["ids"]).starts_with(&ids(&report["ids"])));
        let streamed = generate("llama-text", &[&["--temp", "0"], &flags[..]].concat()).text();
        assert_eq!(streamed, text[..at]);
    }
    generate("llama-text", &["--stop", "", "x"]).fails(2, &["--stop"]);
}

#[test]
fn the_end_of_text_token_ends_the_text_unless_it_is_ignored() {
    let plain = greedy("llama-text", &["-n", "10", "The cat"]);
    let end = ids(&plain["ids"])[4];
    let before = ids(&plain["ids"]).iter().position(|&id| id == end).unwrap();
    let folder = copy_of("llama-text");
    let config = serde_json::json!({ "eos_token_id": [end] });
    std::fs::write(folder.path().join("generation_config.json"), config.to_string()).unwrap();
    let call = ["generate", "-m", &arg(folder.path()), "--temp", "0", "--json", "-n", "10", "The cat"];
    let report = glassbox(call).json();
    assert_eq!(report["stop_reason"], "end_of_text");
    assert_eq!(ids(&report["ids"]), ids(&plain["ids"])[..before]);
    let ignoring = glassbox([&call[..], &["--ignore-eos"]].concat()).json();
    assert_eq!(ids(&ignoring["ids"]), ids(&plain["ids"]));
}

#[test]
fn flags_override_the_checkpoints_own_settings() {
    let folder = copy_of("llama-text");
    let config = serde_json::json!({ "do_sample": false });
    std::fs::write(folder.path().join("generation_config.json"), config.to_string()).unwrap();
    let call = ["generate", "-m", &arg(folder.path()), "--json", "-n", "10", "--seed", "5", "The cat"];
    assert_eq!(glassbox(call).json(), greedy("llama-text", &["-n", "10", "--ignore-eos", "The cat"]));
    let bold = glassbox([&call[..], &["--temp", "5", "--top-k", "0", "--min-p", "0"]].concat()).json();
    assert_ne!(bold["ids"], glassbox(call).json()["ids"]);
}

#[test]
fn special_tokens_are_text_by_default() {
    let text = "a<|endoftext|>b";
    let plain = greedy("llama-text", &["-n", "0", text]);
    let special = greedy("llama-text", &["-n", "0", "--special", text]);
    assert!(!ids(&plain["prompt_ids"]).contains(&0));
    assert_eq!(ids(&special["prompt_ids"]).iter().filter(|&&id| id == 0).count(), 1);
    // A bias forces the special token; it is written only with --special.
    let forced = ["-n", "2", "--logit-bias", "0=1000", "--ignore-eos", "x"];
    assert_eq!(greedy("llama-text", &forced)["text"], "");
    let shown = greedy("llama-text", &[&["--special"], &forced[..]].concat());
    assert_eq!(shown["text"], "<|endoftext|><|endoftext|>");
}

#[test]
fn the_context_bounds_prompt_and_text() {
    let ids_of = |n: usize| joined(&vec![7; n]);
    let full = greedy("llama-gqa", &["--ids", &ids_of(6), "-c", "8", "--ignore-eos"]);
    assert_eq!(full["stop_reason"], "context_full");
    // Positions 6 and 7 are filled, and their logits still give one more token.
    assert_eq!(ids(&full["ids"]).len(), 3);
    generate("llama-gqa", &["--ids", &ids_of(9), "-c", "8"]).fails(1, &["9", "8"]);
    generate("llama-gqa", &["--ids", &ids_of(129)]).fails(1, &["129", "128"]);
    generate("llama-gqa", &["--ids", "1", "-c", "129"]).fails(1, &["129", "128"]);
    generate("llama-gqa", &["--ids", "1", "-c", "0"]).fails(2, &["--context"]);
}

#[test]
fn an_empty_prompt_starts_from_the_beginning_of_a_sequence_or_fails() {
    // GPT-2's end-of-text token also begins a sequence.
    let report = generate("gpt2-text", &["--temp", "0", "--json", "-n", "2", ""]).json();
    generate("gpt2-text", &[]).stdin("").fails(2, &["standard input is empty", "\"\" starts from nothing"]);
    let beginning = glassbox(["tokenize", "-m", &tiny("gpt2-text"), "--special", "--json", "<|endoftext|>"]);
    assert_eq!(report["prompt_ids"], beginning.json()["ids"]);
    let folder = copy_of("llama-text");
    std::fs::remove_file(folder.path().join("tokenizer_config.json")).unwrap();
    let config = std::fs::read_to_string(folder.path().join("config.json")).unwrap();
    let mut config: Value = serde_json::from_str(&config).unwrap();
    config.as_object_mut().unwrap().remove("bos_token_id");
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    std::fs::remove_file(folder.path().join("generation_config.json")).unwrap();
    glassbox(["generate", "-m", &arg(folder.path()), ""]).fails(1, &["empty"]);
}

#[test]
fn a_gguf_gives_the_same_text_as_its_folder() {
    let flags = ["--temp", "0", "--json", "-n", "8", "Once upon a time"];
    let folder = generate("llama-text", &flags).json();
    assert_eq!(generate("gguf/llama-text.gguf", &flags).json()["ids"], folder["ids"]);
}
