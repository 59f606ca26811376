//! `train`: runs that finish, are interrupted, are killed, are resumed, or cannot be resumed.
#![cfg(unix)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::process::{Call, Ran, arg, glassbox};

const RECIPE: &str = r#"
[model]
family = "gpt2"
d_model = 16
n_layers = 2
n_heads = 2
context_length = 16

[tokenizer]
vocab_size = 270

[data]
validation = 0.1

[training]
steps = 40
batch = 4
micro_batch = 2
learning_rate = 1e-2
warm_up = 4

[report]
validate_every = 10
validation_examples = 4
sample_every = 20
sample_tokens = 8
checkpoint_every = 5
checkpoint_minutes = 0.0
"#;

/// A folder with a text, a recipe and the runs.
struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new() -> Bench {
        let bench = Bench { folder: tempfile::tempdir().unwrap() };
        let tale = |i: usize| format!("Once upon a time there were {i} kings and {} queens.", i * 7 % 11);
        let tales: Vec<String> = (0..60).map(tale).collect();
        fs::write(bench.path("text"), tales.join("\n<|endoftext|>\n")).unwrap();
        fs::write(bench.path("recipe.toml"), RECIPE).unwrap();
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn arg(&self, name: &str) -> String {
        arg(&self.path(name))
    }

    /// A call that starts a run in the folder `out`.
    fn begin(&self, out: &str, more: &[&str]) -> Call {
        let (text, recipe, out) = (self.arg("text"), self.arg("recipe.toml"), self.arg(out));
        let call = ["train", "--data", &text, "--config", &recipe, "--out", &out];
        glassbox([&call, more].concat())
    }

    /// A call that resumes the run in the folder `out`.
    fn resume(&self, out: &str, more: &[&str]) -> Call {
        glassbox([&["train", "--resume", "--out", &self.arg(out)], more].concat())
    }

    /// Starts a run and kills it at an arbitrary moment after a checkpoint and `steps` steps. Repeats this if the run
    /// finishes first.
    fn begin_and_kill(&self, out: &str, more: &[&str], steps: usize) {
        for _ in 0..50 {
            let mut command = self.begin(out, more).command();
            let mut child = command.stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
            while child.try_wait().unwrap().is_none() && !has_steps(&self.path(out), steps) {
                std::thread::sleep(Duration::from_millis(2));
            }
            child.kill().unwrap();
            child.wait().unwrap();
            if !self.path(out).join("model.safetensors").exists() {
                return;
            }
            fs::remove_dir_all(self.path(out)).unwrap();
        }
        panic!("the run always finished before it could be killed");
    }

    fn weights(&self, out: &str) -> Vec<u8> {
        fs::read(self.path(out).join("model.safetensors")).unwrap()
    }

    /// The columns of `loss.csv` that do not depend on timing: all but the last.
    fn losses(&self, out: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path(out).join("loss.csv")).unwrap();
        text.lines().map(|line| line.rsplit_once(',').unwrap().0.to_owned()).collect()
    }
}

fn ok(ran: Ran) -> Ran {
    assert_eq!(ran.code, 0, "{}", ran.err);
    ran
}

fn lines(path: &Path) -> usize {
    fs::read_to_string(path).map_or(0, |text| text.lines().count())
}

/// Whether the run in `folder` has a checkpoint and then some steps.
fn has_steps(folder: &Path, steps: usize) -> bool {
    folder.join("last.safetensors").exists() && lines(&folder.join("loss.csv")) > steps
}

fn wait_for_steps(child: &mut Child, folder: &Path, steps: usize) {
    while !has_steps(folder, steps) {
        assert_eq!(child.try_wait().unwrap(), None, "the run has ended already");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_run_writes_a_model_that_every_command_loads() {
    let bench = Bench::new();
    let ran = ok(bench.begin("run", &["--gguf"]).run());
    assert_eq!(String::from_utf8(ran.out).unwrap(), format!("{}\n", bench.arg("run")));
    assert!(
        ran.err.contains("validation") && !ran.err.contains('\x1b') && !ran.err.contains('\r'),
        "{}",
        ran.err
    );
    let losses = bench.losses("run");
    assert_eq!(losses.len(), 41);
    let loss = |line: &String| line.split(',').nth(3).unwrap().parse::<f64>().unwrap();
    assert!(loss(&losses[40]) < loss(&losses[1]) - 1.0, "{losses:?}");
    let validations = losses.iter().skip(1).filter(|line| line.split(',').nth(4) != Some("")).count();
    assert_eq!(validations, 4);
    assert!(fs::read_to_string(bench.path("run/loss.svg")).unwrap().contains("<polyline"));
    let samples = fs::read_to_string(bench.path("run/samples.txt")).unwrap();
    assert!(
        samples.contains("--- step 20\nOnce upon a time") && samples.contains("--- step 40\n"),
        "{samples}"
    );
    let logits =
        |model: &str| glassbox(["predict", "-m", &bench.arg(model), "Once", "--json", "--all"]).json();
    assert_eq!(logits("run/model.gguf"), logits("run"));
    for model in ["run", "run/best"] {
        let model = bench.arg(model);
        glassbox(["generate", "-m", &model, "Once", "-n", "3", "--temp", "0"]).text();
        let predicted = glassbox(["predict", "-m", &model, "Once", "--top", "3", "--json"]).json();
        assert_eq!(predicted["candidates"].as_array().unwrap().len(), 3);
    }
    bench.begin("run", &[]).fails(1, &["this folder already contains a run", "--resume"]);
    let weights = bench.weights("run");
    ok(bench.resume("run", &[]).run());
    assert_eq!(bench.weights("run"), weights, "resuming a finished run changes nothing");
}

#[test]
fn weights_depend_on_the_seed_but_not_on_threads() {
    let bench = Bench::new();
    ok(bench.begin("one", &["-t", "1", "--steps", "20"]).run());
    ok(bench.begin("two", &["-t", "2", "--steps", "20"]).run());
    ok(bench.begin("other", &["-t", "2", "--steps", "20", "--seed", "9"]).run());
    assert!(bench.weights("one") == bench.weights("two"), "1 and 2 threads give the same bits");
    assert!(bench.weights("one") != bench.weights("other"));
    assert_eq!(bench.losses("one"), bench.losses("two"));
}

#[test]
fn a_killed_and_resumed_run_gives_the_same_bits() {
    let bench = Bench::new();
    ok(bench.begin("whole", &[]).run());
    bench.begin_and_kill("killed", &["-t", "1"], 7);
    let ran = ok(bench.resume("killed", &["-t", "2"]).run());
    assert!(ran.err.contains("resumed     after step"), "{}", ran.err);
    assert!(bench.weights("killed") == bench.weights("whole"), "the same bits as an uninterrupted run");
    assert_eq!(bench.losses("killed"), bench.losses("whole"));
    let best = |out: &str| fs::read(bench.path(out).join("best/model.safetensors")).unwrap();
    assert!(best("killed") == best("whole"));
}

#[test]
fn ctrl_c_writes_a_checkpoint() {
    let bench = Bench::new();
    let mut command = bench.begin("run", &["--steps", "100000"]).command();
    let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    wait_for_steps(&mut child, &bench.path("run"), 6);
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{err}");
    assert!(err.contains("continue with --resume"), "{err}");
    let done = lines(&bench.path("run/loss.csv")) - 1;
    assert!(err.contains(&format!("after step {done};")), "{done}: {err}");
}

#[test]
fn only_the_same_run_is_resumed() {
    let bench = Bench::new();
    bench.resume("nothing", &[]).fails(1, &["no training run to resume", "recipe.toml is missing"]);
    ok(bench.begin("run", &["--steps", "5"]).run());
    let recipe = bench.arg("recipe.toml");
    bench
        .resume("run", &["--config", &recipe])
        .fails(1, &["differs from the recipe or text", "training.steps is 40, was 5"]);
    bench.resume("run", &["--steps", "6"]).fails(1, &["training.steps is 6, was 5"]);
    bench.resume("run", &["--preset", "nano", "--steps", "5"]).fails(1, &["model.d_model is 64, was 16"]);
    fs::write(bench.path("other"), "Another tale altogether.").unwrap();
    bench
        .resume("run", &["--data", &bench.arg("other")])
        .fails(1, &["is not the text that the run was started with"]);
    ok(bench.resume("run", &["--config", &recipe, "--steps", "5", "--data", &bench.arg("text")]).run());
    // A checkpoint of another size, and files that are not checkpoints.
    let last = bench.path("run/last.safetensors");
    ok(bench.begin("wide", &["--steps", "5"]).run());
    let wide = fs::read_to_string(bench.path("wide/recipe.toml")).unwrap();
    fs::write(bench.path("wide/recipe.toml"), wide.replace("d_model = 16", "d_model = 32")).unwrap();
    bench.resume("wide", &[]).fails(1, &["last.safetensors", "shape"]);
    fs::copy(bench.path("run/model.safetensors"), &last).unwrap();
    bench.resume("run", &[]).fails(1, &["not a checkpoint of a training run"]);
    fs::write(&last, "nothing").unwrap();
    bench.resume("run", &[]).fails(1, &["last.safetensors"]);
    fs::write(bench.path("run/recipe.toml"), "[model]\nfamily = 3").unwrap();
    bench.resume("run", &[]).fails(1, &["recipe.toml"]);
}

#[test]
fn invalid_texts_leave_no_run() {
    let bench = Bench::new();
    let recipe = bench.arg("recipe.toml");
    let cases: [(&str, &[u8], &[&str]); 4] = [
        ("empty", b"", &["no text found"]),
        ("binary", b"\x00\x01\xfe\xff", &["expected UTF-8 text"]),
        ("short", b"Once upon", &["tokens, but one example needs 17", "context_length"]),
        ("blank", b"\n \n<|endoftext|>\n", &["no text found"]),
    ];
    for (name, bytes, words) in cases {
        fs::write(bench.path(name), bytes).unwrap();
        let call = ["train", "--data", &bench.arg(name), "--config", &recipe, "--out", &bench.arg("run")];
        glassbox(call).fails(1, words);
        assert!(!bench.path("run/recipe.toml").exists());
    }
    glassbox(["train", "--data", &bench.arg("no"), "--config", &recipe, "--out", &bench.arg("run")])
        .fails(1, &["no"]);
    // A single document is enough: its end becomes the validation split.
    fs::write(bench.path("one"), "The cat sat on the mat and the dog on the log. ".repeat(40)).unwrap();
    let call = [
        "train",
        "--data",
        &bench.arg("one"),
        "--config",
        &recipe,
        "--out",
        &bench.arg("run"),
        "--steps",
        "3",
    ];
    ok(glassbox(call).run());
}

#[test]
fn a_diverging_training_keeps_the_last_good_checkpoint() {
    let bench = Bench::new();
    let wild =
        RECIPE.replace("learning_rate = 1e-2", "learning_rate = 1e38").replace("warm_up = 4", "warm_up = 40");
    // The warm-up lets the first steps succeed.
    let wild = wild.replace("checkpoint_every = 5", "checkpoint_every = 1");
    fs::write(bench.path("recipe.toml"), wild).unwrap();
    bench.begin("run", &[]).fails(1, &["is no longer finite", "learning_rate"]);
    assert!(!bench.path("run/model.safetensors").exists());
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_keeps_the_last_good_checkpoint() {
    let bench = Bench::new();
    ok(bench.begin("run", &["--steps", "5"]).run());
    let recipe = fs::read_to_string(bench.path("run/recipe.toml")).unwrap();
    fs::write(bench.path("run/recipe.toml"), recipe.replace("steps = 5", "steps = 50")).unwrap();
    let last = fs::read(bench.path("run/last.safetensors")).unwrap();
    // A limit on file size stands for a full disk: writing fails midway in the same way.
    let script = "trap '' XFSZ; ulimit -f 16; exec \"$0\" \"$@\"";
    let output = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_glassbox"), "train", "--resume", "--out", &bench.arg("run")])
        .output()
        .unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains("error: ") && err.contains("safetensors"), "{err}");
    assert!(fs::read(bench.path("run/last.safetensors")).unwrap() == last);
    let names = fs::read_dir(bench.path("run")).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(names.into_iter().all(|name| !name.to_string_lossy().ends_with(".tmp")));
    ok(bench.resume("run", &[]).run());
}

#[test]
fn invalid_recipes_are_an_error() {
    let bench = Bench::new();
    let with = |from: &str, to: &str| {
        assert!(RECIPE.contains(from));
        fs::write(bench.path("recipe.toml"), RECIPE.replace(from, to)).unwrap();
        bench.begin("run", &[])
    };
    with("n_heads = 2", "n_heads = 3")
        .fails(1, &["recipe", "model.d_model 16 is not a multiple of n_heads 3"]);
    with("warm_up", "warmup").fails(1, &["unknown field", "warmup"]);
    with("gpt2", "gpt9").fails(1, &["\"gpt9\"", "expected gpt2 or llama"]);
    with("batch = 4", "batch = 5").fails(1, &["training.batch 5 is not a multiple of micro_batch 2"]);
    with("[model]", "[model").fails(1, &["recipe"]);
    bench.begin("run", &["--minutes", "0"]).fails(2, &["--minutes: expected a number above 0"]);
    let ran = glassbox(["train", "--out", &bench.arg("run")]).run();
    assert!(ran.code == 2 && ran.err.contains("--data"), "{}", ran.err);
}

#[test]
fn a_llama_trains_with_an_existing_tokenizer() {
    let bench = Bench::new();
    ok(bench.begin("first", &["--steps", "2"]).run());
    let tokenizer = bench.arg("first/tokenizer.json");
    fs::write(bench.path("recipe.toml"), RECIPE.replace("gpt2", "llama")).unwrap();
    ok(bench.begin("run", &["--tokenizer", &tokenizer, "--epochs", "1"]).run());
    assert_eq!(fs::read(bench.path("run/tokenizer.json")).unwrap(), fs::read(tokenizer).unwrap());
    assert!(glassbox(["inspect", &bench.arg("run")]).text().contains("llama"));
}

#[test]
fn snapshots_of_a_run_are_drawn() {
    let bench = Bench::new();
    bench.begin_and_kill("run", &["--watch", "4"], 6);
    ok(bench.resume("run", &["--watch", "4"]).run());
    let glimpses = glassbox(["watch", &bench.arg("run"), "--json"]).json();
    let glimpses = glimpses.as_array().unwrap();
    let steps: Vec<u64> = glimpses.iter().map(|glimpse| glimpse["step"].as_u64().unwrap()).collect();
    let expected: Vec<u64> = [0, 1, 2].into_iter().chain((1..=10).map(|i| i * 4)).collect();
    assert_eq!(steps, expected, "no snapshot twice, none missing");
    let (first, last) = (&glimpses[0], &glimpses[12]);
    assert_eq!(
        first["gradient_norms"].as_array().unwrap().len(),
        0,
        "there is no gradient before the first step"
    );
    let mean = |glimpse: &Value| {
        let losses: Vec<f64> = serde_json::from_value(glimpse["loss_by_position"].clone()).unwrap();
        losses.iter().sum::<f64>() / losses.len() as f64
    };
    // A new model guesses among all tokens.
    let vocab_size = first["vocab_size"].as_f64().unwrap();
    assert!((mean(first) - vocab_size.ln()).abs() < 0.1, "{} {vocab_size}", mean(first));
    assert!(mean(last) < mean(first));
    assert!(glimpses.iter().any(|glimpse| !glimpse["sample"].as_str().unwrap().is_empty()));
    for next in glimpses.iter().flat_map(|glimpse| glimpse["next"].as_array().unwrap()) {
        let (token, word) = (next["token"].as_str().unwrap(), next["word"].as_str().unwrap());
        assert!(word.starts_with(token), "{token:?} {word:?}");
    }
    assert_eq!(last["loss_by_position"].as_array().unwrap().len(), 16);
    for norms in ["gradient_norms", "weight_norms"] {
        let parts: Vec<&str> =
            last[norms].as_array().unwrap().iter().map(|part| part[0].as_str().unwrap()).collect();
        assert_eq!(parts, ["embedding", "positions", "block 0", "block 1", "final norm"]);
    }
    let pattern = last["attention"]["pattern"].as_array().unwrap();
    assert_eq!(pattern.len(), last["prompt"].as_array().unwrap().len());
    for row in pattern {
        let sum: f64 = row.as_array().unwrap().iter().map(|weight| weight.as_f64().unwrap()).sum();
        assert!((sum - 1.0).abs() < 1e-5, "{sum}");
    }
    let text = glassbox(["watch", &bench.arg("run")]).text();
    assert_eq!(
        text.lines().filter(|line| line.trim_start().starts_with(char::is_numeric)).count(),
        13,
        "{text}"
    );
    assert!(text.contains(&format!("of {vocab_size}")) && text.contains("guessing among"), "{text}");
    for name in ["position", "gradients", "weights", "next", "attention"] {
        let svg = fs::read_to_string(bench.path(&format!("run/watch/{name}.svg"))).unwrap();
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n") && !svg.contains("NaN"), "{name}");
    }
    ok(bench.begin("blind", &["--steps", "1"]).run());
    glassbox(["watch", &bench.arg("blind")]).fails(1, &["kept no snapshots", "--watch 50"]);
}
