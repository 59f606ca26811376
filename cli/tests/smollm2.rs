//! The real model against Hugging Face transformers in float32. `GLASSBOX_SMOLLM2` is the path of
//! SmolLM2-135M-Instruct.Q4_1.gguf, which `scripts/fetch-smollm2.sh` downloads. Without it the tests are skipped; if
//! `CI` is set, that is an error.

#[path = "commands/process.rs"]
#[allow(dead_code)]
mod process;
#[cfg(target_os = "linux")]
#[path = "commands/terminal.rs"]
mod terminal;

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};

use serde_json::Value;

use process::{fixture, glassbox, ids};

/// The model's path and the reference values.
fn golden() -> Option<(String, Value)> {
    let Ok(model) = std::env::var("GLASSBOX_SMOLLM2") else {
        assert!(std::env::var_os("CI").is_none(), "GLASSBOX_SMOLLM2 must be set in CI");
        println!("skipped: GLASSBOX_SMOLLM2 is not set; scripts/fetch-smollm2.sh downloads the model");
        return None;
    };
    let golden = std::fs::read_to_string(fixture("smollm2/goldens.json")).unwrap();
    Some((model, serde_json::from_str(&golden).unwrap()))
}

/// The flags that feed a prompt of the goldens.
fn prompt_flags(prompt: &Value) -> Vec<&str> {
    let mut flags = vec!["-p", prompt["text"].as_str().unwrap(), "--json"];
    flags.extend(prompt["special"].as_bool().unwrap().then_some("--special"));
    flags
}

#[test]
fn logits_are_the_references() {
    let Some((model, golden)) = golden() else { return };
    let prompts = golden["prompts"].as_array().unwrap();
    let computes = [("f32", 2e-3), ("int16", 0.02)];
    for (prompt, (compute, tolerance)) in prompts.iter().flat_map(|p| computes.map(|compute| (p, compute))) {
        let call = ["predict", "-m", &model, "--all", "--top", "50", "--compute", compute];
        let report = glassbox([&call[..], &prompt_flags(prompt)[..]].concat()).json();
        let name = format!("{} in {compute}", prompt["name"]);
        assert_eq!(ids(&report["ids"]), ids(&prompt["ids"]), "{name}");
        for pair in prompt["top"].as_array().unwrap() {
            let (id, expected) = (pair[0].as_u64().unwrap() as usize, pair[1].as_f64().unwrap());
            let found = report["logits"][id].as_f64().unwrap();
            assert!((found - expected).abs() <= tolerance, "{name}, token {id}: {found} and {expected}");
        }
        let logsumexp = report["logsumexp"].as_f64().unwrap();
        assert!((logsumexp - prompt["logsumexp"].as_f64().unwrap()).abs() <= tolerance, "{name}");
        assert_eq!(report["candidates"][0]["id"], prompt["top"][0][0], "{name}");
    }
}

#[test]
fn greedy_tokens_are_the_references() {
    let Some((model, golden)) = golden() else { return };
    for prompt in golden["prompts"].as_array().unwrap() {
        let call = ["generate", "-m", &model, "--temp", "0", "-n", "40", "--ignore-eos", "--compute", "f32"];
        let report = glassbox([&call[..], &prompt_flags(prompt)].concat()).json();
        assert_eq!(ids(&report["prompt_ids"]), ids(&prompt["ids"]), "{}", prompt["name"]);
        assert_eq!(ids(&report["ids"]), ids(&prompt["greedy_ids"]), "{}", prompt["name"]);
    }
}

#[test]
fn a_chat_is_rendered_as_by_the_reference() {
    let Some((model, golden)) = golden() else { return };
    let prompts = golden["prompts"].as_array().unwrap();
    let expected = prompts.iter().find(|prompt| prompt["name"] == "chat").unwrap();
    let [system, user] = golden["chat_messages"].as_array().unwrap().as_slice() else {
        panic!("two messages")
    };
    let system = system["content"].as_str().unwrap();
    let ran = glassbox(["chat", "-m", &model, "--system", system, "--show-prompt", "-n", "1", "--temp", "0"])
        .stdin(user["content"].as_str().unwrap())
        .run();
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains(expected["text"].as_str().unwrap()), "{}", ran.err);
    let rows =
        ran.err.lines().skip_while(|line| !line.contains(", tokens ")).filter(|line| line.starts_with("  "));
    let cells = rows.flat_map(|row| row.split("  ").skip(1));
    let shown: Vec<u32> = cells.map(|cell| cell.split(' ').next().unwrap().parse().unwrap()).collect();
    assert_eq!(shown, ids(&expected["ids"]));
}

#[test]
fn neighbours_are_the_references() {
    let Some((model, golden)) = golden() else { return };
    for word in golden["neighbours"].as_array().unwrap() {
        let report =
            glassbox(["neighbors", "-m", &model, word["text"].as_str().unwrap(), "--all-forms", "--json"])
                .json();
        assert_eq!(report["id"], word["id"]);
        let found = report["neighbors"].as_array().unwrap();
        for (found, expected) in found.iter().zip(word["nearest"].as_array().unwrap()) {
            assert_eq!((&found["id"], &found["token"]), (&expected[0], &expected[1]));
            assert!((found["cosine"].as_f64().unwrap() - expected[2].as_f64().unwrap()).abs() <= 1e-5);
        }
    }
}

#[test]
fn perplexity_is_the_references() {
    let Some((model, golden)) = golden() else { return };
    let expected = &golden["perplexity"];
    let file = fixture("smollm2").join(expected["file"].as_str().unwrap());
    // The file has end-of-text tokens between its parts.
    for compute in ["f32", "int16"] {
        let call = ["perplexity", "-m", &model, "--special", "--json", "--compute", compute];
        let report = glassbox([&call[..], &["-f", file.to_str().unwrap()]].concat()).json();
        for key in ["tokens", "window", "scored"] {
            assert_eq!(report[key], expected[key], "{key}");
        }
        for (key, tolerance) in [("perplexity", 0.01), ("standard_error", 0.001), ("loss", 5e-4)] {
            let (found, expected) = (report[key].as_f64().unwrap(), expected[key].as_f64().unwrap());
            assert!((found - expected).abs() <= tolerance, "{key} in {compute}: {found} and {expected}");
        }
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_stops_generation_cleanly() {
    let Some((model, _)) = golden() else { return };
    let call = ["generate", "-m", &model, "--temp", "0", "-n", "4000", "--ignore-eos", "Once upon a time"];
    let mut command = glassbox(call).command();
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut text = vec![0];
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut text).unwrap();
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    stdout.read_to_end(&mut text).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert!(text.ends_with(b"\n"));
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(err.contains("stopped     interrupted") && err.contains("tokens/s"), "{err}");
}

#[test]
fn lines_have_the_references_greedy_tokens() {
    let Some((model, golden)) = golden() else { return };
    let prompts = golden["prompts"].as_array().unwrap();
    let lines: String =
        prompts.iter().map(|prompt| format!("{}\n", serde_json::json!({ "ids": prompt["ids"] }))).collect();
    let call = ["generate", "-m", &model, "--json-lines", "--temp", "0", "-n", "40", "--ignore-eos"];
    let out = glassbox([&call[..], &["--compute", "f32"]].concat()).stdin(lines).text();
    let found: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(found.len(), prompts.len());
    for (found, prompt) in found.iter().zip(prompts) {
        assert_eq!(ids(&found["ids"]), ids(&prompt["greedy_ids"]), "{}", prompt["name"]);
    }
}

/// Sequences in progress are written up to their last token, in order; no further line is begun.
#[cfg(unix)]
#[test]
fn ctrl_c_stops_json_lines_cleanly() {
    let Some((model, _)) = golden() else { return };
    let call =
        ["generate", "-m", &model, "--json-lines", "--temp", "0", "-n", "4000", "--ignore-eos", "-b", "3"];
    let mut child = glassbox(call).command();
    let mut child =
        child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"{\"prompt\": \"One\", \"tokens\": 2}\n").unwrap();
    for prompt in ["Two", "Three", "Four", "Five"] {
        writeln!(stdin, "{{\"prompt\": \"{prompt}\", \"id\": \"{prompt}\"}}").unwrap();
    }
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    // The first line has been answered, so the second is in progress.
    stdout.read_line(&mut text).unwrap();
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    stdout.read_to_string(&mut text).unwrap();
    drop(stdin);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let found: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!((2..=4).contains(&found.len()), "{text}");
    for (found, id) in found[1..].iter().zip(["Two", "Three", "Four"]) {
        assert_eq!((&found["id"], &found["stop_reason"]), (&id.into(), &"interrupted".into()));
    }
}

/// Regression: the line editor captured Ctrl-C even during an answer.
#[cfg(target_os = "linux")]
#[test]
fn ctrl_c_on_a_terminal_stops_an_answer_and_the_chat_continues() {
    let Some((model, _)) = golden() else { return };
    // Without end-of-text tokens, the answer continues until it is stopped.
    let endless = "--temp 0 -n 8000 --let-repeat --logit-bias 0=-inf --logit-bias 2=-inf";
    let command = format!("{} chat -m {model} {endless}", env!("CARGO_BIN_EXE_glassbox"));
    let Some(mut terminal) = terminal::Terminal::start(&command, &[]) else { return };
    terminal.waits_for_prompt();
    terminal.types("Tell me a long story.\r");
    // The load time is written first, then the answer.
    terminal.waits(|shown| shown.split_once("load").is_some_and(|(_, answer)| answer.len() > 100));
    terminal.types("\x03");
    let rest = terminal.waits_for_prompt();
    assert!(rest.len() < 20_000, "{rest}");
    terminal.types("/exit\r");
    assert_eq!(terminal.ends().0, Some(0));
}

/// The residual stream of *Italy*, put in the place of *France*, makes the answer *Rome*, as `docs/tour.md` says.
#[test]
fn a_patched_country_has_another_capital() {
    let Some((model, _)) = golden() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("italy.safetensors");
    let file = file.to_str().unwrap();
    let call = |flags: &[&str]| glassbox([flags, &["-m", &model, "--compute", "f32"]].concat());
    call(&["trace", "The capital of Italy is", "--names", "blocks.12.resid_pre", "--out", file]).text();
    let patch = format!("{file}:blocks.12.resid_pre@Italy→France");
    let report = call(&["predict", "The capital of France is", "--json", "--patch", &patch]).json();
    let likeliest = |run: &str| report[run]["candidates"][0].clone();
    assert_eq!(
        (&likeliest("before")["token"], &likeliest("after")["token"]),
        (&" Paris".into(), &" Rome".into())
    );
    assert!((likeliest("after")["prob"].as_f64().unwrap() - 0.3867).abs() < 1e-3, "{report}");
}
