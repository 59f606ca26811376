//! `generate --json-lines`: every line gets the result of its prompt alone, in order, whatever else is in the batch.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::process::{Call, arg, copy_of, glassbox, ids, joined, tiny};

fn lines_call(model: &str, flags: &[&str], lines: &[Value]) -> Call {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    glassbox([&["generate", "-m", model, "--json-lines"], flags].concat()).stdin(text)
}

fn objects(out: &[u8]) -> Vec<Value> {
    out.split_inclusive(|&byte| byte == b'\n').map(|line| serde_json::from_slice(line).unwrap()).collect()
}

/// The results of the lines; all must succeed.
fn answers(model: &str, flags: &[&str], lines: &[Value]) -> Vec<Value> {
    objects(lines_call(model, flags, lines).text().as_bytes())
}

const PROMPTS: [&str; 7] =
    ["The cat", "The cat sat on", "A dog", "The cat sat on the mat", "x", "Once upon a time", "The cat"];

#[test]
fn every_line_has_the_result_of_its_prompt_alone() {
    for model in [tiny("llama-text"), tiny("gpt2-text")] {
        for sampling in
            [&["--temp", "0"][..], &["--seed", "7", "--temp", "2", "--top-k", "0", "--min-p", "0"]]
        {
            let flags = [sampling, &["-n", "12"]].concat();
            let alone = |prompt: &&str| {
                glassbox([&["generate", "-m", &model, "--json"], &flags[..], &["-p", *prompt]].concat())
                    .json()
            };
            let expected: Vec<Value> = PROMPTS.iter().map(alone).collect();
            let lines: Vec<Value> = PROMPTS.iter().map(|prompt| json!({ "prompt": prompt })).collect();
            for machine in [
                &["--batch", "1"][..],
                &["--batch", "3", "-t", "1", "--level", "scalar"],
                &["-b", "3", "-t", "2", "--prompt-chunk", "2"],
                &[],
            ] {
                let found = answers(&model, &[&flags[..], machine].concat(), &lines);
                assert_eq!(found, expected, "{machine:?}");
            }
        }
    }
}

#[test]
fn a_line_may_override_the_flags() {
    let model = tiny("llama-text");
    let bold = ["--top-k", "0", "--min-p", "0", "--top-p", "1"];
    let lines = [
        json!({ "id": "first", "prompt": "The cat", "tokens": 3, "seed": 5, "temp": 3 }),
        json!({ "id": 2, "ids": [40, 41], "temp": 0, "tokens": 9 }),
        json!({ "prompt": "The cat", "temp": 3.0, "seed": 9, "top_k": 4, "top_p": 0.5, "min_p": 0.1 }),
        json!({ "prompt": "The cat", "tokens": 0 }),
    ];
    let found = answers(&model, &[&bold[..], &["-n", "6", "--seed", "1"]].concat(), &lines);
    let alone =
        |flags: &[&str]| glassbox([&["generate", "-m", &model, "--json"], &bold[..4], flags].concat()).json();
    let mut expected = [
        alone(&["--top-p", "1", "-n", "3", "--seed", "5", "--temp", "3", "The cat"]),
        alone(&["--ids", "40,41", "-n", "9", "--temp", "0"]),
        glassbox([
            "generate", "-m", &model, "--json", "-n", "6", "--temp", "3", "--seed", "9", "--top-k", "4",
            "--top-p", "0.5", "--min-p", "0.1", "The cat",
        ])
        .json(),
        alone(&["-n", "0", "The cat"]),
    ];
    expected[0]["id"] = json!("first");
    expected[1]["id"] = json!(2);
    assert_eq!(found, expected);
}

#[test]
fn stop_conditions_end_only_their_own_line() {
    let model = tiny("llama-text");
    let whole = glassbox(["generate", "-m", &model, "--temp", "0", "--json", "-n", "30", "The cat"]).json();
    let text = whole["text"].as_str().unwrap();
    let stop: String = text.chars().skip(3).take(4).collect();
    let lines = [
        json!({ "prompt": "The cat", "stop": [stop] }),
        json!({ "prompt": "The cat" }),
        json!({ "prompt": "The cat", "stop": [] }),
    ];
    let found = answers(&model, &["--temp", "0", "-n", "30", "--stop", "nowhere in it"], &lines);
    assert_eq!((&found[0]["stop_reason"], &found[1]), (&json!("stop_string"), &whole));
    assert_eq!(found[0]["text"], text[..text.find(&stop).unwrap()]);
    assert_eq!(found[2], whole);

    let end = ids(&whole["ids"])[4];
    let folder = copy_of("llama-text");
    std::fs::write(
        folder.path().join("generation_config.json"),
        json!({ "eos_token_id": [end] }).to_string(),
    )
    .unwrap();
    let folder = arg(folder.path());
    let found = answers(&folder, &["--temp", "0", "-n", "30"], &lines[1..2]);
    assert_eq!(found[0]["stop_reason"], "end_of_text");
    let full = answers(
        &tiny("llama-gqa"),
        &["--temp", "0", "-c", "8", "--ignore-eos"],
        &[json!({ "ids": [7, 7, 7] })],
    );
    assert_eq!((&full[0]["stop_reason"], ids(&full[0]["ids"]).len()), (&json!("context_full"), 6));
}

#[test]
fn an_invalid_line_gets_an_error_and_the_others_are_answered() {
    let model = tiny("llama-text");
    let good = glassbox(["generate", "-m", &model, "--temp", "0", "--json", "-n", "4", "The cat"]).json();
    let (line, empty) = (json!({ "prompt": "The cat" }).to_string(), String::new());
    let too_long = joined(&vec![7; 300]);
    let lines = [
        line.clone(),
        empty.clone(),
        "{\"prompt\": ".to_owned(),
        "  ".to_owned(),
        line.clone(),
        json!({ "prompt": "x", "temperature": 1 }).to_string(),
        json!({ "id": "a", "ids": [1, 1_000_000] }).to_string(),
        format!("{{\"ids\": [{too_long}]}}"),
        json!({ "prompt": "x", "temp": -1 }).to_string(),
        json!({ "prompt": "x", "stop": [""] }).to_string(),
        line.trim_end().to_owned(),
    ];
    // A line that is not UTF-8.
    let mut bytes = lines.join("\n").into_bytes();
    bytes.extend(b"\n{\"prompt\": \"\xff\"}");
    for batch in ["1", "2", "8"] {
        let flags = ["--temp", "0", "-n", "4", "--batch", batch];
        let ran =
            glassbox([&["generate", "-m", &model, "--json-lines"], &flags[..]].concat()).stdin(&bytes).run();
        assert_eq!(ran.code, 1);
        assert!(ran.err.contains("error: 7 of 10 lines failed"), "{}", ran.err);
        let found = objects(&ran.out);
        assert_eq!(found.len(), 10);
        for (at, number, words) in [
            (1, 3, "not a JSON object"),
            (3, 6, "\"temperature\""),
            (4, 7, "1000000"),
            (5, 8, "300"),
            (6, 9, "temperature"),
            (7, 10, "--stop"),
            (9, 12, "not a JSON object"),
        ] {
            assert_eq!(found[at]["line"], number);
            assert!(found[at]["error"].as_str().unwrap().contains(words), "{}", found[at]);
        }
        assert_eq!(found[4]["id"], "a");
        for at in [0, 2, 8] {
            assert_eq!(found[at], good);
        }
    }
}

#[test]
fn no_lines_are_no_results() {
    assert!(answers(&tiny("llama-text"), &[], &[]).is_empty());
}

#[test]
fn a_random_seed_is_reported_and_used_for_every_line() {
    let model = tiny("llama-text");
    let bold = ["-n", "9", "--temp", "3", "--top-k", "0", "--top-p", "1", "--min-p", "0"];
    let lines = [json!({ "prompt": "The cat" }), json!({ "prompt": "The cat" })];
    let ran = lines_call(&model, &bold, &lines).run();
    let seed = ran.err.lines().find_map(|line| line.strip_prefix("seed ")).unwrap().trim().to_owned();
    let found = objects(&ran.out);
    assert_eq!(found[0], found[1]);
    assert_eq!(answers(&model, &[&bold[..], &["--seed", &seed]].concat(), &lines), found);
    for timing in ["load ", "prompt ", "generation ", "tokens/s", "more reused", "lines       2, 0 failed"] {
        assert!(ran.err.contains(timing), "{}", ran.err);
    }
}

/// A client may wait for a result before it writes the next line.
#[test]
fn a_result_is_written_before_the_next_line_arrives() {
    let mut command =
        glassbox(["generate", "-m", &tiny("llama-text"), "--json-lines", "-n", "3", "--temp", "0"]).command();
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    for id in 0..3 {
        writeln!(stdin, "{}", json!({ "prompt": "The cat", "id": id })).unwrap();
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["id"], id);
    }
    drop(stdin);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_closed_pipe_is_not_a_failure() {
    let mut command =
        glassbox(["generate", "-m", &tiny("llama-text"), "--json-lines", "-n", "2", "--temp", "0"]).command();
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    drop(child.stdout.take());
    // The program may end while it is being written to.
    let _ = stdin.write_all("{\"prompt\": \"The cat\"}\n".repeat(100).as_bytes());
    drop(stdin);
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(0));
}

#[test]
fn flags_that_contradict_it_are_wrong_usage() {
    let model = tiny("llama-text");
    for flags in [
        &["--json-lines", "a prompt"][..],
        &["--json-lines", "--ids", "1"],
        &["--json-lines", "--json"],
        &["--json-lines", "--explain"],
        &["--json-lines", "--batch", "0"],
        &["--json-lines", "--temp", "-1"],
        &["--json-lines", "--stop", ""],
        &["--batch", "2", "a prompt"],
    ] {
        glassbox([&["generate", "-m", &model], flags].concat()).fails(2, &[]);
    }
    glassbox(["generate", "-m", &tiny("llama-gqa"), "--json-lines", "--stop", "x"]).fails(2, &["tokenizer"]);
}
