//! Questions about the inside of a model that one command answers: which head attends from one word to another, which
//! neurons answer at a word, how similar several words are, what a token's matrix products cost. Every answer explains
//! itself, within 80 columns.

#[path = "commands/process.rs"]
#[allow(dead_code)]
mod process;

use serde_json::Value;

use process::{glassbox, tiny};

const PROMPT: &str = "the king and the queen";

fn json(flags: &[&str]) -> Value {
    glassbox([flags, &["--json"]].concat()).json()
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().expect("a list")
}

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

#[test]
fn which_head_attends_from_one_word_to_another() {
    for model in ["llama-text", "gpt2-text", "gguf/llama-text.gguf"] {
        let model = tiny(model);
        let ask = |flags: &[&str]| json(&[&["attention", "-m", &model, PROMPT], flags].concat());
        let tokens = ask(&[])["tokens"].clone();
        let the: Vec<usize> = (0..list(&tokens).len()).filter(|&i| tokens[i] == " the").collect();
        let [.., last] = the[..] else { panic!("{tokens}") };
        let end = (list(&tokens).len() - 1).to_string();
        let report = ask(&["--from-position", &end, "--to", "the", "--top", "100"]);
        assert_eq!((&report["from"], &report["to"]), (&end.parse::<usize>().unwrap().into(), &last.into()));
        let edges = list(&report["edges"]);
        // Every head of both layers.
        assert_eq!(edges.len(), 2 * 4);
        assert!(edges.iter().all(|edge| edge["query"] == report["from"] && edge["key_token"] == " the"));
        assert!(edges.is_sorted_by(|a, b| number(&a["value"]) >= number(&b["value"])));
        // Another occurrence is selected by number, or by position.
        let first = ask(&["--from-position", &end, "--to", "the#1", "--by", "weight"]);
        let by_position = ["--to-position", &first["to"].to_string()];
        assert_ne!(first["to"], report["to"]);
        assert_eq!(ask(&[&["--from-position", &end, "--by", "weight"], &by_position[..]].concat()), first);
        // With an answer, the edges to all tokens add up to what the head contributes.
        let every = ["--by", "logit", "--answer-id", "70", "--with-first", "--with-self", "--top", "1000"];
        let logits = ask(&every);
        let attribution = json(&["attribute", "-m", &model, PROMPT, "--token-id", "70"]);
        assert_eq!(logits["answer"]["id"], 70);
        for part in list(&attribution["contributions"]).iter().filter(|part| part["part"] == "head") {
            let same = |edge: &&Value| edge["layer"] == part["layer"] && edge["head"] == part["head"];
            let sum: f64 =
                list(&logits["edges"]).iter().filter(same).map(|edge| number(&edge["logit"])).sum();
            let tolerance = if model.contains("gguf") { 1e-2 } else { 1e-4 };
            assert!((sum - number(&part["logit"])).abs() < tolerance, "{model}: {sum}, {part}");
        }
    }
}

/// Regression: the hint of every option named `--token-id`.
#[test]
fn a_hint_names_the_option_it_is_about() {
    for (call, option) in [
        (&["neurons", PROMPT, "--answer", "king"][..], "--answer-id"),
        (&["attribute", PROMPT, "--against", "king"], "--against-id"),
        (&["lens", PROMPT, "--token", "king"], "--token-id"),
    ] {
        let ran = glassbox(call).run();
        assert!(ran.err.contains(&format!("it is {option} ")), "{call:?}: {}", ran.err);
    }
    let none = ["-m", &tiny("llama-gqa"), "--ids", "1,2", "--against", "x"];
    glassbox([&["attribute"][..], &none].concat()).fails(1, &["no tokenizer", "--against-id"]);
}

#[test]
fn an_occurrence_that_is_not_there_is_named() {
    let call = |flags: &[&str]| glassbox([&["attention", "-m", &tiny("llama-text"), PROMPT], flags].concat());
    call(&["--to", "the#9"]).fails(1, &["\"the\"", "no #9"]);
    call(&["--to", "the#0"]).fails(1, &["no #0"]);
    call(&["--to", "zebra"]).fails(1, &["\"zebra\"", "not in the prompt"]);
    call(&["--from-position", "99"]).fails(1, &["position 99"]);
    call(&["--from-position", "0", "--to-position", "2"]).fails(1, &["later position 2"]);
    call(&["--from", "the", "--from-position", "0"]).fails(2, &["cannot be used with"]);
    call(&["--answer", ""]).fails(2, &["empty"]);
    call(&["--answer-id", "288"]).fails(1, &["288"]);
    let none = glassbox(["attention", "-m", &tiny("llama-gqa"), "--ids", "1,2", "--to", "x"]);
    none.fails(1, &["no tokenizer"]);
}

#[test]
fn which_neurons_answer_at_a_word() {
    let ask = |flags: &[&str]| json(&[&["neurons", PROMPT], flags].concat());
    let report = ask(&["--token", "king", "--top", "7", "--tokens", "3"]);
    assert_eq!(report["tokens"][number(&report["position"]) as usize], " king");
    assert_eq!(report["by"], "unusual");
    let neurons = list(&report["neurons"]);
    assert_eq!(neurons.len(), 7);
    assert!(neurons.is_sorted_by(|a, b| number(&a["unusual"]) >= number(&b["unusual"])));
    for neuron in neurons {
        assert_eq!((list(&neuron["raises"]).len(), list(&neuron["lowers"]).len()), (3, 3));
        assert!(number(&neuron["raises"][0]["logit"]) > 0.0 && number(&neuron["lowers"][0]["logit"]) < 0.0);
    }
    let of_answer = ask(&["--by", "logit", "--answer", "queen", "--layer", "1"]);
    assert_eq!(of_answer["answer"]["token"], " queen");
    assert!(list(&of_answer["neurons"]).iter().all(|neuron| neuron["layer"] == 1));
    // Experts have neurons too; only their usual activation is not observed.
    let experts = ["neurons", "-m", &tiny("mixtral-plain"), "--ids", "1,2,3"];
    let report = json(&experts);
    assert_eq!(report["by"], "size");
    assert!(list(&report["neurons"]).iter().all(|neuron| neuron["expert"].is_u64()));
    glassbox([&experts[..], &["--by", "unusual"]].concat()).fails(1, &["mlp.post", "experts"]);
}

#[test]
fn several_words_are_compared_and_added() {
    let table = json(&["neighbors", "king", "queen", "sea"]);
    let words: Vec<&Value> = list(&table["words"]).iter().map(|word| &word["token"]).collect();
    assert_eq!(words, [" king", " queen", " sea"]);
    for i in 0..3 {
        assert!((number(&table["cosines"][i][i]) - 1.0).abs() < 1e-9);
        assert_eq!(table["cosines"][i][(i + 1) % 3], table["cosines"][(i + 1) % 3][i]);
    }
    let random = &table["random"];
    assert!(number(&random["mean"]) < number(&random["high"]) && number(&random["high"]) < 1.0);
    let sum = json(&["neighbors", "king", "-", "man", "+", "woman"]);
    assert_eq!(json(&["neighbors", "king - man + woman"]), sum);
    let factors: Vec<f64> = list(&sum["terms"]).iter().map(|term| number(&term["factor"])).collect();
    assert_eq!(factors, [1.0, -1.0, 1.0]);
    let near = list(&sum["neighbors"]);
    assert!(near.iter().all(|near| ![" king", " man", " woman"].contains(&near["token"].as_str().unwrap())));
    // Words alone are not a sum, and ids are words.
    let ids: Vec<String> = list(&table["words"]).iter().map(|word| word["id"].to_string()).collect();
    assert_eq!(json(&["neighbors", "--ids", &ids.join(",")]), table);
}

#[test]
fn forms_of_a_word_are_not_its_neighbours() {
    let of = |flags: &[&str]| -> Vec<String> {
        let report = json(&[&["neighbors", "walk", "--top", "40"], flags].concat());
        list(&report["neighbors"]).iter().map(|near| near["token"].as_str().unwrap().to_owned()).collect()
    };
    let form = |token: &String| ["walk", "walks", "walked", "walking"].contains(&token.trim());
    assert!(of(&["--all-forms"]).iter().any(form));
    assert!(!of(&[]).iter().any(form));
    let whole = of(&["--whole-words"]);
    assert_eq!(whole.len(), 40);
    assert!(whole.iter().all(|token| token.trim().chars().all(char::is_alphabetic)), "{whole:?}");
}

#[test]
fn two_contexts_are_told_apart_by_tokens() {
    let report = json(&["compare", "the old king", "the sea king", "--tokens", "2"]);
    for layer in list(&report["layers"]) {
        assert!(number(&layer["cosine"]) < number(&layer["raw"]) + 1.0 && layer["random"]["mean"].is_f64());
        assert_eq!((list(&layer["only_a"]).len(), list(&layer["only_b"]).len()), (2, 2));
        assert!(number(&layer["only_a"][0]["logit"]) > 0.0 && number(&layer["only_b"][0]["logit"]) < 0.0);
    }
}

#[test]
fn matrix_products_are_counted_and_timed() {
    for flags in [&[][..], &["--prompt-pass"], &["--kv", "f16"]] {
        let report = json(&[&["matmuls", PROMPT, "--runs", "3"], flags].concat());
        let products = list(&report["products"]);
        let seconds: f64 = products.iter().map(|product| number(&product["seconds"])).sum();
        let whole = number(&report["seconds"]);
        assert!(
            (seconds + number(&report["other_seconds"]) - whole).abs() < 1e-6 * whole.max(1.0),
            "{report}"
        );
        let unembedding = products.iter().find(|product| product["kind"] == "unembedding").unwrap();
        let [rows, columns] = [0, 1].map(|i| number(&unembedding["shape"][i]));
        assert_eq!(number(&unembedding["multiply_adds"]), rows * columns);
        assert_eq!(unembedding["count"], 1);
    }
}

/// Without a terminal, lines have at most 80 columns; a newcomer finds what the columns mean above the table.
#[test]
fn every_answer_explains_itself_in_80_columns() {
    for (call, words) in [
        (&["attention", PROMPT][..], &["weight:", "value:", "--by weight", "Left out", "--with-first"][..]),
        (
            &["attention", PROMPT, "--from", "queen", "--to", "king"],
            &["Which heads", "position", "For comparison"],
        ),
        (&["attention", PROMPT, "--by", "logit"], &["logit:", "Left out"]),
        (
            &["neurons", PROMPT, "--token", "king"],
            &["Which neurons", "layer.neuron", "activation:", "unusual:", "raises"],
        ),
        (&["neurons", PROMPT, "--by", "logit", "--answer", "sea"], &["for or against ␣sea", "lowers"]),
        (&["compare", "the old king", "the sea king"], &["random", "raw", "furthest apart", "[␣king]"]),
        (&["neighbors", "king", "queen", "sea"], &["␣king", "random tokens", "ids:"]),
        (&["neighbors", "king - man + woman"], &["␣king", "− ␣man", "+ ␣woman", "nearest"]),
        (&["neighbors", "walk"], &["nearest", "--all-forms"]),
        (&["neighbors", "walk", "--top", "1000"], &["below here: no nearer than random pairs"]),
        (&["neighbors", "--context", PROMPT], &["in its context", "mean of", "random"]),
        (&["neighbors", "--context", PROMPT, "--layer", "1"], &["raw:", "After layer 1"]),
        (&["matmuls", PROMPT, "--runs", "1"], &["mul-adds:", "~:", "total", "other:"]),
    ] {
        let text = glassbox(call).text();
        for word in words {
            assert!(text.contains(word), "{call:?}: {word:?} is not in\n{text}");
        }
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{call:?}: {line}");
        }
    }
}
