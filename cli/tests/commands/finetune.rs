//! `finetune` and `merge`: what is trained, what stays unchanged, and what is an error.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::{Call, arg, copy_of, glassbox, tiny};

const TEMPLATE: &str = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + eos_token + '\n' }}{% endfor %}\
                        {% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}";

/// A tiny chat model and some chats.
struct Bench {
    model: TempDir,
    folder: TempDir,
}

impl Bench {
    fn new(model: &str) -> Bench {
        let bench = Bench { model: copy_of(model), folder: tempfile::tempdir().unwrap() };
        let end = "<|endoftext|>";
        let config = json!({ "chat_template": TEMPLATE, "eos_token": end, "bos_token": end });
        fs::write(bench.model.path().join("tokenizer_config.json"), config.to_string()).unwrap();
        let chat = |i: usize| {
            let answer = ["yes", "no"][i % 2];
            let messages = json!([
                { "role": "user", "content": format!("say {i}") },
                { "role": "assistant", "content": answer },
            ]);
            json!({ "messages": messages }).to_string()
        };
        bench.write("chats.jsonl", &(0..8).map(chat).collect::<Vec<_>>().join("\n"));
        bench
    }

    fn write(&self, name: &str, text: &str) -> String {
        fs::write(self.path(name), text).unwrap();
        arg(&self.path(name))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn model(&self) -> String {
        arg(self.model.path())
    }

    fn call(&self, data: &str, out: &str, more: &[&str]) -> Call {
        let (data, out) = (arg(&self.path(data)), arg(&self.path(out)));
        let call = ["finetune", "-m", &self.model(), "--data", &data, "--out", &out, "--batch", "8"];
        glassbox([&call, more].concat())
    }
}

/// The logits of a model after a prompt.
fn logits(model: &str, more: &[&str]) -> Vec<f64> {
    let call = ["predict", "-m", model, "user: say 3", "--json", "--all"];
    let json = glassbox([&call, more].concat()).json();
    serde_json::from_value(json["logits"].clone()).unwrap()
}

/// The losses before and after, as a call reports them.
fn losses(call: Call) -> (f64, f64) {
    let ran = call.run();
    assert_eq!(ran.code, 0, "{}", ran.err);
    let line = ran.err.lines().find(|line| line.starts_with("loss ")).expect("the losses are reported");
    let numbers: Vec<f64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    (numbers[0], numbers[1])
}

/// The largest difference, relative to 1 + |b|.
fn distance(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs() / (1.0 + b.abs())).fold(0.0, f64::max)
}

fn adapters_teach(model: &str, targets: &[&str]) {
    let bench = Bench::new(model);
    let untouched = logits(&bench.model(), &[]);
    let fast = ["--steps", "60", "--learning-rate", "2e-2", "--lora-rank", "4"];
    let (before, after) = losses(bench.call("chats.jsonl", "run", &[&fast, targets].concat()));
    assert!(after < before / 2.0, "{before} {after}");

    let run = arg(&bench.path("run"));
    assert_eq!(logits(&bench.model(), &[]), untouched, "the model itself is unchanged");
    let adapted = logits(&bench.model(), &["--lora", &run]);
    assert!(distance(&adapted, &untouched) > 0.1);
    for chunk in [["--prompt-chunk", "1"], ["-t", "1"], ["--level", "scalar"], ["--engine", "reference"]] {
        assert_eq!(logits(&bench.model(), &[&["--lora", run.as_str()], &chunk[..]].concat()), adapted);
    }

    let merged = arg(&bench.path("merged"));
    glassbox(["merge", "-m", &bench.model(), "--lora", &run, "--out", &merged]).text();
    let distance = distance(&logits(&merged, &[]), &adapted);
    assert!(distance < 1e-5, "{distance}");
    // The merged model keeps its chat template.
    glassbox(["chat", "-m", &merged, "-n", "2", "--temp", "0"]).stdin("say 3\n").text();

    let config: Value =
        serde_json::from_slice(&fs::read(Path::new(&run).join("adapter_config.json")).unwrap()).unwrap();
    assert_eq!(
        (&config["peft_type"], &config["r"], &config["lora_alpha"]),
        (&json!("LORA"), &json!(4), &json!(8.0))
    );
    assert_eq!(config["fan_in_fan_out"], json!(model.starts_with("gpt2")));
}

#[test]
fn adapters_teach_a_llama() {
    adapters_teach("llama-text", &[]);
}

#[test]
fn adapters_teach_some_layers_of_a_gpt2() {
    adapters_teach("gpt2-text", &["--lora-targets", "c_attn,c_proj"]);
}

#[test]
fn full_finetuning_trains_all_parameters() {
    let bench = Bench::new("llama-text");
    bench.write("tale.txt", "The cat sat on the mat. The cat sat on the mat.\n<|endoftext|>\nThe dog ran.");
    let (before, after) =
        losses(bench.call("tale.txt", "run", &["--full", "--steps", "40", "--learning-rate", "5e-3"]));
    assert!(after < before / 2.0, "{before} {after}");
    let run = arg(&bench.path("run"));
    glassbox(["generate", "-m", &run, "The cat", "-n", "4", "--temp", "0"]).text();
    assert_eq!(fs::read_to_string(bench.path("run/loss.csv")).unwrap().lines().count(), 41);
    bench.call("tale.txt", "run", &["--full"]).fails(1, &["contains the files of another training"]);
}

#[test]
fn adapters_do_not_depend_on_the_number_of_threads() {
    let bench = Bench::new("llama-text");
    let run = |out: &str, threads: &str| {
        losses(bench.call("chats.jsonl", out, &["--steps", "5", "-t", threads]));
        fs::read(bench.path(out).join("adapter_model.safetensors")).unwrap()
    };
    assert!(run("one", "1") == run("two", "2"));
}

#[test]
fn invalid_data_is_an_error() {
    let bench = Bench::new("llama-text");
    let cases = [
        ("no.jsonl", "{\"say\": \"hello\"}", &["no.jsonl, line 1", "messages", "found say"][..]),
        ("json.jsonl", "\n{nothing", &["json.jsonl, line 2"]),
        ("mute.jsonl", r#"{"messages": [{"role": "user", "content": "x"}]}"#, &["line 1", "role assistant"]),
        (
            "forged.jsonl",
            r#"{"messages": [{"role": "user", "content": "a<|endoftext|>b"}, {"role": "assistant", "content": "x"}]}"#,
            &["line 1", "special token <|endoftext|>"],
        ),
        ("empty.jsonl", "", &["no text found"]),
        ("empty.txt", "", &["no text found"]),
    ];
    for (name, text, words) in cases {
        bench.write(name, text);
        bench.call(name, "run", &[]).fails(1, words);
        assert!(!bench.path("run").exists());
    }
    bench.call("missing.jsonl", "run", &[]).fails(1, &["missing.jsonl"]);
    bench.call("chats.jsonl", "run", &["--lora-targets", "nonsense"]).fails(1, &["nonsense"]);
    bench.call("chats.jsonl", "run", &["--lora-alpha", "0"]).fails(2, &["--lora-alpha: expected"]);
    let without = Bench::new("llama-text");
    fs::remove_file(without.model.path().join("tokenizer_config.json")).unwrap();
    without.call("chats.jsonl", "run", &[]).fails(1, &["no chat template"]);
}

#[test]
fn the_layout_of_the_data_and_fields_without_effect_are_reported() {
    let bench = Bench::new("llama-text");
    let record = |id: usize| {
        let turns =
            json!([{ "from": "human", "value": "say" }, { "from": "gpt", "value": "yes", "mood": 1 }]);
        json!({ "id": id, "conversations": turns }).to_string()
    };
    let lines: Vec<String> = (0..3).map(record).collect();
    bench.write("sharegpt.JSONL", &format!("\u{feff}{}\r\n", lines.join("\r\n\r\n")));
    let ran = bench.call("sharegpt.JSONL", "run", &["--steps", "1"]).run();
    assert_eq!(ran.code, 0, "{}", ran.err);
    for words in [
        "data        3 sequences,",
        "layout      conversations (ShareGPT): 3 records",
        "field id, in 3 of 3 records, has no effect: the chat template does not read it",
        "field mood of a message, in 3 of 3 records, has no effect",
    ] {
        assert!(ran.err.contains(words), "{words}: {}", ran.err);
    }
}

#[test]
fn adapters_of_another_model_are_an_error() {
    let bench = Bench::new("llama-text");
    losses(bench.call("chats.jsonl", "run", &["--steps", "1"]));
    let run = arg(&bench.path("run"));
    let call = |model: &str| glassbox(["predict", "-m", model, "x", "--lora", &run]);
    call(&tiny("gpt2-text")).fails(1, &["lora_A.weight: unexpected tensor"]);
    call(&tiny("llama-gqa")).fails(1, &[]);
    let config = bench.path("run/adapter_config.json");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("\"use_dora\": false", "\"use_dora\": true")).unwrap();
    call(&bench.model()).fails(1, &["lora_magnitude_vector: missing"]);
    fs::write(&config, text.replace("\"r\": 8", "\"r\": 4")).unwrap();
    call(&bench.model()).fails(1, &["expected shape [4,", "found [8,"]);
    fs::remove_file(&config).unwrap();
    call(&bench.model()).fails(1, &["adapter_config.json is missing"]);
    glassbox(["merge", "-m", &bench.model(), "--out", &run]).fails(2, &["--lora"]);
}
