//! Results do not depend on the machine: every level, number of threads and prompt chunk gives the same bits.

use glassbox_tensor::Level;

use crate::process::{glassbox, joined, tiny};

/// All logits after a prompt, as text with exact digits.
fn logits(model: &str, prompt: &str, flags: &[&str]) -> String {
    let call = ["predict", "-m", &tiny(model), "--ids", prompt, "--json", "--all"];
    glassbox([&call[..], flags].concat()).text()
}

#[test]
fn logits_do_not_depend_on_level_threads_or_prompt_chunk() {
    let prompt = joined(&(0..60).map(|i| i * 7 % 101).collect::<Vec<_>>());
    for model in ["gpt2-odd", "llama-gqa", "mistral-window"] {
        let expected = logits(model, &prompt, &[]);
        for level in Level::available() {
            assert_eq!(logits(model, &prompt, &["--level", level.name()]), expected, "{model} at {level}");
        }
        for flags in [["-t", "1"], ["-t", "2"], ["-t", "5"], ["--prompt-chunk", "1"], ["--prompt-chunk", "7"]]
        {
            assert_eq!(logits(model, &prompt, &flags), expected, "{model} with {flags:?}");
        }
        assert_eq!(logits(model, &prompt, &["--compute", "f32"]), expected);
    }
}

#[test]
fn each_activation_format_gives_one_result_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model.gguf");
    let model = model.to_str().unwrap();
    glassbox(["quantize", &tiny("qwen3-plain"), model, "--type", "q8_0"]).text();
    let prompt = joined(&(0..40).map(|i| i * 7 % 101).collect::<Vec<_>>());
    let logits = |compute: &str, flags: &[&str]| {
        let call = ["predict", "-m", model, "--ids", &prompt, "--json", "--all", "--compute", compute];
        glassbox([&call[..], flags].concat()).text()
    };
    let mut seen = Vec::new();
    for compute in ["f32", "int16", "int8"] {
        let expected = logits(compute, &[]);
        for level in Level::available() {
            assert_eq!(logits(compute, &["--level", level.name()]), expected, "{compute} at {level}");
        }
        for flags in [["-t", "5"], ["--prompt-chunk", "7"], ["--engine", "reference"]] {
            assert_eq!(logits(compute, &flags), expected, "{compute} with {flags:?}");
        }
        assert!(!seen.contains(&expected), "{compute} gives the logits of another format");
        seen.push(expected);
    }
}

#[test]
fn a_cache_in_fewer_bits_gives_one_result_everywhere() {
    let prompt = joined(&(0..60).map(|i| i * 7 % 101).collect::<Vec<_>>());
    for (model, format) in ["gpt2-odd", "llama-gqa", "mistral-window"]
        .into_iter()
        .flat_map(|model| [(model, "f16"), (model, "q8_0")])
    {
        let expected = logits(model, &prompt, &["--kv", format]);
        for level in Level::available() {
            let found = logits(model, &prompt, &["--kv", format, "--level", level.name()]);
            assert_eq!(found, expected, "{model} at {level}");
        }
        for flags in [["-t", "5"], ["--prompt-chunk", "1"], ["--engine", "reference"]] {
            let found = logits(model, &prompt, &[&["--kv", format], &flags[..]].concat());
            assert_eq!(found, expected, "{model} with {flags:?}");
        }
        assert_eq!(logits(model, &prompt, &["--kv", "f32"]), logits(model, &prompt, &[]), "{model}");
        assert_ne!(logits(model, &prompt, &[]), expected, "{model}: {format} rounds");
    }
}

#[test]
fn the_environment_may_choose_the_level() {
    let at = |level: &str| glassbox(["doctor", "--json"]).env("GLASSBOX_LEVEL", level);
    assert_eq!(at("scalar").json()["level"], "scalar");
    assert_ne!(glassbox(["doctor", "--json"]).json()["levels"], serde_json::json!([]));
    at("sse9").fails(2, &["sse9", "scalar"]);
}

#[test]
fn unavailable_machine_settings_are_wrong_usage() {
    let model = tiny("llama-gqa");
    for (flag, value, word) in [
        ("--level", "sse9", "scalar"),
        ("--compute", "int4", "f32"),
        ("--kv", "f8", "f16"),
        ("-t", "0", "1..=1024"),
        ("-t", "x", "x"),
        ("--prompt-chunk", "0", "1"),
    ] {
        glassbox(["predict", "-m", &model, "--ids", "1", flag, value]).fails(2, &[word]);
    }
}
