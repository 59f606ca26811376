//! Runs `trace`: the file that `verify` reads, lines, JSON, and errors.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use glassbox_tensor::file::safetensors::SafeTensors;
use serde_json::Value;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/tests/fixtures/tiny").join(name)
}

fn glassbox(command: &str, model: &str, arguments: &[&str]) -> Output {
    let mut process = Command::new(env!("CARGO_BIN_EXE_glassbox"));
    process.env_remove("GLASSBOX_LEVEL").arg(command).arg("-m").arg(fixture(model));
    // As in `verify`: integer activations would be another source of differences.
    process.args(["--compute", "f32"]).args(arguments).output().unwrap()
}

fn stdout(output: Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_trace_continues_the_text_as_generate_does() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("trace.safetensors");
    let path = out.to_str().unwrap();
    for model in ["gpt2-text", "gguf/qwen3-text.gguf"] {
        let text = "The river";
        let written = glassbox("trace", model, &[text, "-n", "20", "--out", path]);
        assert!(String::from_utf8_lossy(&written.stderr).contains("values of"));
        assert_eq!(stdout(written), "");
        let trace = SafeTensors::open(&out).unwrap();
        let list = |key: &str| serde_json::from_str::<Vec<Value>>(&trace.metadata()[key]).unwrap();
        let (ids, tokens) = (list("ids"), list("tokens"));
        assert_eq!(ids.len(), tokens.len());
        assert!(tokens.iter().map(|token| token.as_str().unwrap()).collect::<String>().starts_with(text));
        assert_eq!(Some(&*trace.metadata()["model"]), model.rsplit('/').next());

        let generated = stdout(glassbox("generate", model, &[text, "-n", "20", "--temp", "0", "--json"]));
        let generated: Value = serde_json::from_str(&generated).unwrap();
        let expected =
            [&generated["prompt_ids"], &generated["ids"]].map(|ids| ids.as_array().unwrap().clone());
        assert_eq!(ids, expected.concat(), "{model}");
        assert_eq!(trace.metadata()["prompt_tokens"], expected[0].len().to_string());
        assert_eq!(trace.tensor_info("logits").unwrap().shape[0], ids.len());

        let fast = fs::read(&out).unwrap();
        stdout(glassbox("trace", model, &[text, "-n", "20", "--out", path, "--engine", "reference"]));
        assert!(fs::read(&out).unwrap() == fast, "the engines differ");
        stdout(glassbox("verify", model, &["--reference", path, "--tolerance", "0"]));
    }
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
}

#[test]
fn lines_and_json_say_the_same() {
    let ids = ["--ids", "5,17,3"];
    let lines = stdout(glassbox("trace", "llama-gqa", &ids));
    assert_eq!(lines, stdout(glassbox("trace", "llama-gqa", &[&ids[..], &["--summary"]].concat())));
    let json: Value =
        serde_json::from_str(&stdout(glassbox("trace", "llama-gqa", &[&ids[..], &["--json"]].concat())))
            .unwrap();
    assert_eq!(json["ids"], serde_json::json!([5, 17, 3]));
    assert_eq!(json["tokens"], Value::Null, "the checkpoint has no tokenizer");
    let activations = json["activations"].as_array().unwrap();
    assert_eq!(activations.len() + 1, lines.lines().count());
    for (line, activation) in lines.lines().skip(1).zip(activations) {
        assert_eq!(line.split_whitespace().next(), activation["name"].as_str());
        assert!(line.contains(&activation["shape"].to_string().replace(',', ", ")), "{line}");
        let last: f64 = line.split_whitespace().last().unwrap().parse().unwrap();
        let norm = activation["norm"].as_f64().unwrap();
        assert!((last - norm).abs() <= 1e-3 * norm, "{line}");
    }
    let some = stdout(glassbox("trace", "llama-gqa", &[&ids[..], &["--names", "*.attn.[qk]"]].concat()));
    assert_eq!(some.lines().count(), 1 + 4);
}

#[test]
fn errors_name_their_cause() {
    let ids = ["--ids", "1,2"];
    for (more, code, expected) in [
        (&["--names", "blocks.99.*"][..], 1, "blocks.99.*"),
        (&["--names", "["], 2, "not closed"),
        (&["--out", "/no/such/folder/x.safetensors"], 1, "/no/such/folder/x.safetensors"),
        (&["--out", "/"], 1, "/"),
        (&["--out", "x", "--json"], 2, "--json"),
        (&["--engine", "magic"], 2, "magic"),
        (&["--engine", "reference", "--threads", "2"], 2, "--threads 2"),
    ] {
        let output = glassbox("trace", "gpt2-plain", &[&ids[..], more].concat());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{more:?}: {stderr}");
        assert!(stderr.contains(expected) && output.stdout.is_empty(), "{more:?}: {stderr}");
    }
}

#[test]
fn a_trace_in_half_precision_is_the_rounded_trace_in_any_chunks() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, more: &[&str]| {
        let out = folder.path().join(name);
        let call = ["The river runs through it", "--out", out.to_str().unwrap()];
        stdout(glassbox("trace", "gpt2-text", &[&call[..], more].concat()));
        fs::read(out).unwrap()
    };
    let half = write("a", &["--dtype", "f16"]);
    assert_eq!(write("b", &["--dtype", "F16", "--prompt-chunk", "3"]), half);
    write("c", &[]);
    write("d", &["--dtype", "bf16"]);
    let [half, full, brain] =
        ["a", "c", "d"].map(|name| SafeTensors::open(folder.path().join(name)).unwrap());
    let size = |file: &SafeTensors| file.tensors().iter().map(|info| info.bytes.len()).sum::<usize>();
    assert_eq!((size(&half), size(&brain)), (size(&full) / 2, size(&full) / 2));
    let logits = |file: &SafeTensors| file.tensor("logits").unwrap().to_f32();
    for (half, full) in logits(&half).iter().zip(logits(&full)) {
        assert!((half - full).abs() <= full.abs() / 2048.0 + 1e-7, "{half} {full}");
    }
    let q8 = glassbox("trace", "gpt2-text", &["x", "--out", "x", "--dtype", "q8_0"]);
    assert_eq!(q8.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&q8.stderr).contains("f32, f16 or bf16"));
}

/// Writing fails in the middle as on a full disk: the shell limits the size of files, and the signal that would end the
/// program is ignored.
#[cfg(unix)]
#[test]
fn a_trace_that_cannot_be_written_says_so_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("trace.safetensors");
    fs::write(&out, "as it was").unwrap();
    let script = format!(
        "trap '' XFSZ; ulimit -f 16; exec '{}' trace -m '{}' 'The river runs through it' --out '{}'",
        env!("CARGO_BIN_EXE_glassbox"),
        fixture("gpt2-text").display(),
        out.display()
    );
    let ran = Command::new("sh").args(["-c", &script]).output().unwrap();
    let error = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(1), "{error}");
    assert!(error.contains("cannot write") && error.contains("trace.safetensors"), "{error}");
    assert_eq!(fs::read(&out).unwrap(), b"as it was");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "the temporary file stayed");
}
