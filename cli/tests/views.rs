//! Runs `lens`, `attention`, `attribute`, `compare` and `neighbors --context`: GGUF files and folders, GPT-2 and Llama,
//! tables and JSON, and wrong usage.

#[path = "commands/process.rs"]
#[allow(dead_code)]
mod process;

use serde_json::Value;

use process::{glassbox, ids, tiny};

const MODELS: [&str; 4] = ["llama-text", "gpt2-text", "gguf/llama-text.gguf", "gguf/gpt2-text.gguf"];
const PROMPT: &str = "the king and the queen";

fn json(command: &str, model: &str, flags: &[&str]) -> Value {
    glassbox([&[command, "-m", &tiny(model), "--json"], flags].concat()).json()
}

fn text(command: &str, model: &str, flags: &[&str]) -> String {
    glassbox([&[command, "-m", &tiny(model)], flags].concat()).text()
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().expect("a list")
}

#[test]
fn every_view_has_help() {
    for view in ["lens", "attention", "neurons", "attribute", "compare", "neighbors", "matmuls"] {
        let help = glassbox([view, "--help"]).text();
        for words in ["Usage: glassbox", "Examples:", "--json", "--threads"] {
            assert!(help.contains(words), "{view}: {words}");
        }
        // Its own options come before those of the machine.
        assert!(help.find("--json") < help.find("Machine:"), "{view}");
        glassbox([view, "--no-such-flag"]).fails(2, &["--no-such-flag"]);
    }
}

#[test]
fn the_lens_ends_with_the_prediction() {
    for model in MODELS {
        let report = json("lens", model, &[PROMPT, "--top", "3"]);
        let predicted = json("predict", model, &[PROMPT, "--top", "3"]);
        let tokens = ids(&report["ids"]).len();
        assert_eq!(list(&report["tokens"]).len(), tokens);
        let layers = list(&report["layers"]);
        assert_eq!(layers.len(), 2);
        assert!(layers.iter().all(|layer| list(&layer["positions"]).len() == tokens));
        let last = list(&list(&layers[1]["positions"])[tokens - 1]);
        for (found, expected) in last.iter().zip(list(&predicted["candidates"])) {
            assert_eq!((&found["id"], &found["token"]), (&expected["id"], &expected["token"]));
            assert_eq!(found["logit"], expected["logit"], "{model}");
            assert!((found["prob"].as_f64().unwrap() - expected["prob"].as_f64().unwrap()).abs() < 1e-9);
        }
        assert_eq!(json("lens", model, &[PROMPT, "--top", "3", "--layer", "1"])["layers"][0], layers[1]);
        let table = text("lens", model, &[PROMPT]);
        assert_eq!(table.lines().count(), 3);
        assert_eq!(table.matches('%').count(), 2 * tokens);
    }
}

#[test]
fn a_pattern_and_the_strongest_edges_agree() {
    for model in MODELS {
        let edges = json("attention", model, &[PROMPT, "--top", "12", "--by", "weight"]);
        let found = list(&edges["edges"]);
        assert_eq!(found.len(), 12);
        let weights: Vec<f64> = found.iter().map(|edge| edge["weight"].as_f64().unwrap()).collect();
        assert!(weights.is_sorted_by(|a, b| a >= b));
        for edge in found {
            let [layer, head] = ["layer", "head"].map(|name| edge[name].to_string());
            let head = json("attention", model, &[PROMPT, "--layer", &layer, "--head", &head]);
            let [query, key] = ["query", "key"].map(|name| edge[name].as_u64().unwrap() as usize);
            assert!(0 < key && key < query);
            let rows = list(&head["pattern"]);
            assert_eq!(rows[query][key], edge["weight"]);
            assert!(rows.iter().enumerate().all(|(i, row)| list(row).len() == i + 1));
            assert_eq!(edges["tokens"][key], edge["key_token"]);
            assert_eq!(edges["tokens"][query], edge["query_token"]);
        }
        let whole = list(&json("attention", model, &[PROMPT, "--layer", "1"])["edges"]).clone();
        assert!(whole.len() == 20 && whole.iter().all(|edge| edge["layer"] == 1));
        let lines = text("attention", model, &[PROMPT, "--top", "4"]);
        assert!(lines.starts_with("Which tokens attend to which?") && lines.matches('←').count() == 5);
    }
}

#[test]
fn a_pattern_is_shaded() {
    let matrix = text("attention", "llama-text", &["--ids", "1,5,9,5", "--layer", "0", "--head", "2"]);
    let rows: Vec<&str> = matrix.lines().collect();
    assert_eq!(rows.len(), 5);
    assert!(rows[0].ends_with(" 0 1 2 3"));
    // The first token can attend only to itself.
    assert!(rows[1].ends_with("██") && rows[1].matches('█').count() == 2);
    assert!(rows[2..].iter().all(|row| row.contains(['░', '▒', '▓', '█'])));
}

#[test]
fn attribution_adds_up_to_the_predicted_logit() {
    for model in MODELS {
        let predicted = json("predict", model, &[PROMPT, "--all"]);
        let best = json("attribute", model, &[PROMPT]);
        assert_eq!(best["id"], predicted["candidates"][0]["id"]);
        for id in [best["id"].as_u64().unwrap() as usize, 40, 287] {
            let report = json("attribute", model, &[PROMPT, "--token-id", &id.to_string()]);
            assert_eq!(report["logit"], predicted["logits"][id], "{model}");
            let logit = report["logit"].as_f64().unwrap();
            let contributions = list(&report["contributions"]);
            let each = contributions.iter().map(|part| part["logit"].as_f64().unwrap());
            assert!((each.sum::<f64>() - report["sum"].as_f64().unwrap()).abs() < 1e-9);
            assert!(
                (report["sum"].as_f64().unwrap() - logit).abs() <= 1e-3 * logit.abs().max(0.01),
                "{model}"
            );
            let heads = contributions.iter().filter(|part| part["part"] == "head").count();
            assert_eq!(heads, 2 * 4);
            let mlps = contributions.iter().filter(|part| part["part"] == "mlp").count();
            let biases = contributions.iter().filter(|part| part["part"] == "attention bias").count();
            assert_eq!((mlps, biases), (2, if model.contains("gpt2") { 2 } else { 0 }));
        }
        let the = json("attribute", model, &[PROMPT, "--token", " the"]);
        assert_eq!(the["token"], " the");
        let chart = text("attribute", model, &[PROMPT, "--top", "3"]);
        let lines: Vec<&str> = chart.lines().collect();
        assert_eq!(lines.len(), 1 + 3 + 1 + 2);
        assert!(lines[4].contains("others") && lines[5].starts_with("sum") && lines[6].starts_with("logit"));
    }
}

/// `--token the` meant the token without a space, and a word of several tokens was an error.
#[test]
fn a_word_is_the_token_with_a_space_and_it_is_said() {
    for (word, said) in [("the", "is taken as"), ("zzyzx", "the first is used")] {
        let given =
            glassbox(["attribute", "-m", &tiny("llama-text"), "--json", PROMPT, "--token", word]).run();
        assert!(given.code == 0 && given.err.contains(said), "{}", given.err);
        let report: Value = serde_json::from_slice(&given.out).unwrap();
        let shown = report["token"].as_str().unwrap();
        assert_eq!(shown, if word == "the" { " the" } else { "z" });
        assert!(given.err.contains(&report["id"].to_string()), "{}", given.err);
    }
    // After a space the word follows without one.
    let prompt = format!("{PROMPT} ");
    let after_space = json("attribute", "llama-text", &[&prompt, "--token", "the"]);
    assert!("the".starts_with(after_space["token"].as_str().unwrap()), "{after_space}");
    assert_eq!(json("attribute", "llama-text", &[PROMPT, "--token", "."])["token"], ".");
    let several =
        glassbox(["neighbors", "-m", &tiny("llama-text"), "--context", "a zzyzx", "--token", "zzyzx"]).run();
    assert!(several.code == 0 && several.err.contains("the last is used"), "{}", several.err);
}

#[test]
fn a_token_is_compared_with_itself_elsewhere() {
    for model in MODELS {
        let same = json("compare", model, &[PROMPT, PROMPT]);
        let cosine = |value: &Value| value["cosine"].as_f64().unwrap();
        assert!(list(&same["layers"]).iter().all(|layer| (cosine(layer) - 1.0).abs() < 1e-9));
        let report = json("compare", model, &["a king saw the", PROMPT, "--token", "the"]);
        assert_eq!((&report["a"]["token"], &report["b"]["token"]), (&" the".into(), &" the".into()));
        let other: Vec<f64> = list(&report["layers"]).iter().map(cosine).collect();
        assert!(other.len() == 2 && other.iter().all(|cosine| cosine.abs() < 1.0 - 1e-6));
        let before = cosine(&report["before"]);
        assert_eq!((before - 1.0).abs() < 1e-9, !model.contains("gpt2"));
        let shared = json("compare", model, &["--ids", "70,71,72", "--ids", "80,71,90,71,91"]);
        assert_eq!((&shared["a"]["position"], &shared["b"]["position"]), (&1.into(), &3.into()));
        let table = text("compare", model, &[PROMPT, "the king"]);
        let rows = table.lines().skip_while(|line| !line.starts_with(" layer"));
        assert_eq!(rows.count(), 1 + 1 + 2, "{table}");
    }
}

#[test]
fn neighbours_in_context_follow_the_layers() {
    for model in MODELS {
        let report = json("neighbors", model, &["--context", PROMPT, "--token", "the", "--top", "4"]);
        assert_eq!(report["token"], " the");
        let position = report["position"].as_u64().unwrap() as usize;
        assert!(list(&report["tokens"])[position + 1..].iter().all(|token| token != " the"));
        let layers = list(&report["layers"]);
        assert!(layers.len() == 2 && layers.iter().all(|layer| list(&layer["neighbors"]).len() == 4));
        let ids = ids(&report["ids"]).iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        let id = ids.split(',').nth(position).unwrap();
        let flags = ["--context-ids", &ids, "--token-id", id, "--top", "4", "--layer", "1"];
        let one = json("neighbors", model, &flags);
        assert_eq!(one["layers"][0], layers[1]);
        let lines = text("neighbors", model, &flags);
        let rows: Vec<&str> = lines.lines().skip_while(|line| !line.starts_with("token  ")).collect();
        assert_eq!(rows.len(), 1 + 4);
        assert!(rows[1].ends_with(&layers[1]["neighbors"][0]["id"].to_string()));
        let last = json("neighbors", model, &["--context", PROMPT]);
        assert_eq!(last["position"].as_u64().unwrap() as usize + 1, list(&last["ids"]).len());
        let table = text("neighbors", model, &["--context", PROMPT]);
        assert_eq!(table.lines().skip_while(|line| !line.starts_with("layer")).count(), 3, "{table}");
    }
}

#[test]
fn one_token_is_a_prompt() {
    let call = |flags: &[&str]| glassbox([flags, &["-m", &tiny("gpt2-text"), "--ids", "70"]].concat());
    assert_eq!(call(&["lens"]).text().lines().count(), 3);
    let pattern = call(&["attention", "--layer", "0", "--head", "0", "--json"]).json();
    assert_eq!(pattern["pattern"], serde_json::json!([[1.0]]));
    assert!(call(&["attention"]).text().contains("nothing else to attend to"));
    assert_eq!(list(&call(&["attention", "--with-first", "--json"]).json()["edges"]).len(), 8);
    assert!(call(&["neurons", "--top", "2"]).text().contains("at position 0"));
    assert!(call(&["attribute"]).text().contains("sum"));
}

#[test]
fn the_result_does_not_depend_on_the_machine() {
    for command in [
        &["lens", PROMPT, "--top", "2"][..],
        &["attention", PROMPT],
        &["neurons", PROMPT],
        &["attribute", PROMPT],
        &["neighbors", "--context", PROMPT],
        &["compare", PROMPT, "the king"],
    ] {
        let flags = [&command[1..], &["--level", "scalar", "-t", "1"]].concat();
        assert_eq!(json(command[0], "qwen3-text", &flags), json(command[0], "qwen3-text", &command[1..]));
    }
}

#[test]
fn models_without_a_tokenizer_take_ids() {
    let call = |flags: &[&str]| glassbox([flags, &["-m", &tiny("llama-gqa")]].concat());
    assert!(call(&["lens", "--ids", "1,2,3"]).text().contains("<1>"));
    assert!(call(&["compare", "--ids", "1,2", "--ids", "3,2"]).text().contains("before"));
    call(&["lens", "x"]).fails(1, &["no tokenizer", "--ids"]);
    call(&["attribute", "--ids", "1,2", "--token", "x"]).fails(1, &["no tokenizer", "--token-id"]);
}

#[test]
fn wrong_usage_and_missing_parts_are_named() {
    let call = |flags: &[&str]| glassbox([flags, &["-m", &tiny("llama-text")]].concat());
    call(&["lens", "x", "--layer", "99"]).fails(1, &["layer 99", "0 to 1"]);
    call(&["attention", "x", "--layer", "2"]).fails(1, &["layer 2"]);
    call(&["attention", "x", "--layer", "0", "--head", "4"]).fails(1, &["head 4", "0 to 3"]);
    call(&["attention", "x", "--head", "1"]).fails(2, &["--layer"]);
    call(&["attention", "x", "--layer", "0", "--head", "1", "--top", "3"]).fails(2, &["--top"]);
    call(&["attention", "x", "--layer", "0", "--head", "1", "--with-first"]).fails(2, &["--with-first"]);
    call(&["attribute", "x", "--token", ""]).fails(2, &["empty"]);
    call(&["attribute", "x", "--token-id", "288"]).fails(1, &["288"]);
    call(&["attribute", "x", "--token-id", "1", "--token", "x"]).fails(2, &["cannot be used with"]);
    call(&["attribute", "--ids", "1,288"]).fails(1, &["288"]);
    call(&["lens", "--ids", &["1"; 129].join(",")]).fails(1, &["129", "128"]);
    call(&["compare", "x"]).fails(2, &[]);
    call(&["compare", "--ids", "1,2"]).fails(2, &["twice"]);
    call(&["compare", "x", "y"]).fails(1, &["in common"]);
    call(&["compare", "x", "y", "--token", "x"]).fails(1, &["second prompt", "not in the prompt"]);
    call(&["neighbors", "--context", "x", "--token", "zz"]).fails(1, &["\"zz\"", "not in the prompt"]);
    call(&["neighbors", "--context", "x", "--token", ""]).fails(2, &["empty"]);
    call(&["neighbors", "--context", "x", "--layer", "2"]).fails(1, &["layer 2"]);
    call(&["neighbors", "x", "--layer", "0"]).fails(2, &["cannot be used with"]);
    call(&["neighbors", "x", "--token", "x"]).fails(2, &["--context"]);
    call(&["neighbors", "x", "--context", "x"]).fails(2, &["cannot be used with"]);
}
