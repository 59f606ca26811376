//! `predict`: the reference's logits, and the probabilities computed from them.

use serde_json::Value;

use crate::golden::Golden;
use crate::process::{glassbox, ids, joined, tiny};

fn predict(model: &str, flags: &[&str]) -> Value {
    glassbox([&["predict", "-m", &tiny(model), "--json"], flags].concat()).json()
}

/// f32 numbers, restored exactly from their decimals.
fn numbers(value: &Value) -> Vec<f64> {
    let numbers: Vec<f32> = serde_json::from_value(value.clone()).unwrap();
    numbers.into_iter().map(f64::from).collect()
}

#[test]
fn logits_are_the_references() {
    for model in ["gpt2-plain", "llama-mqa-biased", "qwen3-tied"] {
        let golden = Golden::open(model);
        let prompt = golden.ids("long.ids");
        let all = golden.numbers("long.logits");
        let report = predict(model, &["--ids", &joined(&prompt), "--all"]);
        let logits = numbers(&report["logits"]);
        let expected = &all[all.len() - logits.len()..];
        assert_eq!(all.len(), prompt.len() * logits.len());
        for (found, &expected) in logits.iter().zip(expected) {
            let expected = f64::from(expected);
            assert!((found - expected).abs() <= 1e-4 * (1.0 + expected.abs()), "{found} and {expected}");
        }
    }
}

/// Without a filter that sorts them, the candidates are in the order of their ids when one is drawn.
#[test]
fn the_remaining_candidates_are_listed_by_probability_whatever_the_filters() {
    for [temp, top_k, top_p, min_p] in
        [["2", "0", "1", "0"], ["2", "0", "1", "0.01"], ["1", "0", "1", "0"], ["1.5", "9", "1", "0"]]
    {
        let flags = ["--temp", temp, "--top-k", top_k, "--top-p", top_p, "--min-p", min_p];
        let out = glassbox([&["predict", "Once upon a time there was"], &flags[..]].concat()).text();
        let line = out.lines().find(|line| line.trim_start().starts_with("candidates")).unwrap();
        let shares: Vec<f64> =
            line.split(" %").filter_map(|before| before.rsplit(' ').next()?.parse().ok()).collect();
        assert!(
            shares.len() == 6 && shares[0] > 1.0 && shares.is_sorted_by(|a, b| a >= b),
            "{flags:?}: {line}"
        );
    }
}

#[test]
fn candidates_are_the_best_in_order_and_their_probabilities_are_the_softmax() {
    for (temperature, flags) in [(1.0, ["--temp", "1"]), (0.5, ["--temp", "0.5"]), (3.0, ["--temp", "3"])] {
        let unfiltered = ["--top-k", "0", "--top-p", "1", "--min-p", "0"];
        let flags = [&["--all", "--top", "7", "The cat"], &flags[..], &unfiltered].concat();
        let report = predict("llama-text", &flags);
        let logits = numbers(&report["logits"]);
        assert_eq!(logits.len(), 288);
        let sum = |temperature: f64| logits.iter().map(|logit| (logit / temperature).exp()).sum::<f64>();
        assert!((report["logsumexp"].as_f64().unwrap() - sum(1.0).ln()).abs() < 1e-9);
        let mut best: Vec<usize> = (0..logits.len()).collect();
        best.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
        let candidates = report["candidates"].as_array().unwrap();
        assert_eq!(candidates.len(), 7);
        assert_eq!(report["left"], 288);
        for (candidate, &id) in candidates.iter().zip(&best) {
            assert_eq!(candidate["id"], id);
            assert_eq!(candidate["logit"], report["logits"][id]);
            let prob = logits[id].exp() / sum(1.0);
            assert!((candidate["prob"].as_f64().unwrap() - prob).abs() < 1e-9);
            let after = (logits[id] / temperature).exp() / sum(temperature);
            assert!((candidate["filtered"].as_f64().unwrap() - after).abs() < 1e-9);
        }
    }
}

/// `predict --temp 2` gave *Paris* 5 % where `generate --temp 2` drew it with 77.6 %: generate's filters run before the
/// temperature, and predict knew only the temperature.
#[test]
fn predict_has_the_probabilities_that_generate_draws_from() {
    let model = tiny("llama-text");
    for flags in [
        &[][..],
        &["--temp", "2"],
        &["--temp", "0"],
        &["--temp", "1.5", "--top-k", "60", "--min-p", "0", "--repeat-penalty", "1.3"],
        &["--typical", "0.6", "--top-k", "0"],
        &["--samplers", "temperature;top_p", "--temp", "3", "--top-p", "0.5"],
    ] {
        let predicted = predict("llama-text", &[&["The cat the cat", "--top", "288"], flags].concat());
        let call = ["generate", "-m", &model, "The cat the cat", "-n", "1", "--seed", "1", "--json"];
        let generated = glassbox(call.iter().chain(&["--explain", "--ignore-eos"]).chain(flags)).json();
        let record = &generated["records"][0];
        let left = record["left"].as_u64().unwrap();
        assert_eq!(predicted["left"], left, "{flags:?}");
        let of = |id: &Value| {
            predicted["candidates"]
                .as_array()
                .unwrap()
                .iter()
                .find(|candidate| candidate["id"] == *id)
                .unwrap()
        };
        let kept = record["candidates"].as_array().unwrap();
        assert_eq!(kept.len() as u64, left.min(64));
        for token in kept {
            assert_eq!(of(&token["id"])["filtered"], token["probability"], "{flags:?}");
        }
        for token in record["model"].as_array().unwrap() {
            assert_eq!(of(&token["id"])["prob"], token["probability"], "{flags:?}");
        }
        let all = predicted["candidates"].as_array().unwrap().iter();
        assert_eq!(all.filter(|candidate| !candidate["filtered"].is_null()).count() as u64, left);
        let on = record["steps"].as_array().unwrap().iter().filter(|step| step["reason"]["kind"] != "off");
        let on: Vec<&Value> = on.map(|step| &step["filter"]).collect();
        let filters = predicted["filters"].as_array().unwrap().iter();
        assert_eq!(filters.map(|filter| &filter["filter"]).collect::<Vec<_>>(), on, "{flags:?}");
    }
}

#[test]
fn json_has_token_texts_and_logits_only_with_all() {
    let report = predict("llama-text", &["--top", "288", "The cat"]);
    let keys: Vec<&String> = report.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["candidates", "filters", "ids", "left", "logsumexp"]);
    let tokens = glassbox(["tokenize", "-m", &tiny("llama-text"), "--json", " the"]).json();
    let [id] = ids(&tokens["ids"])[..] else { panic!("` the` is one token") };
    let candidate = report["candidates"].as_array().unwrap().iter().find(|candidate| candidate["id"] == id);
    assert_eq!(candidate.unwrap()["token"], " the");
    // Without a tokenizer there is no text.
    assert_eq!(predict("llama-gqa", &["--ids", "1,2"])["candidates"][0]["token"], "");
}

#[test]
fn the_table_has_a_line_for_each_token_then_the_filters_and_no_colour_in_a_pipe() {
    let flags = ["--top", "5", "--top-k", "2", "--samplers", "top_k"];
    let text = glassbox(["predict", "-m", &tiny("llama-text"), "The cat"].iter().chain(&flags)).text();
    let (table, filters) = text.split_once("\n\n").unwrap();
    assert_eq!(table.lines().count(), 6);
    for word in ["model's prob", "after filters"] {
        assert!(table.lines().next().unwrap().contains(word), "{table}");
    }
    assert!(!text.contains('\x1b') && !text.contains('█'));
    let removed = table.lines().skip(1).map(|line| line.contains('—'));
    assert_eq!(removed.collect::<Vec<_>>(), [false, false, true, true, true], "{table}");
    assert_eq!(filters.matches("  top_k ").count(), 1, "{filters}");
    assert!(filters.contains("2 left") && filters.contains("2 of 288"), "{filters}");
}

/// `--temp 2 --top-k 0 --top-p 1` gave the only token left 100 %, and temperature seemed to do nothing.
#[test]
fn a_temperature_without_effect_is_explained() {
    let call =
        |flags: &[&str]| glassbox([&["predict", "Once upon a", "--temp", "2"], flags].concat()).run().err;
    for (flags, off) in [
        (&["--top-k", "0", "--top-p", "1"][..], "; --min-p 0 turns min_p off"),
        (&["--top-k", "1"], "; --top-k 0 turns top_k off"),
    ] {
        let err = call(flags);
        let said = format!("one candidate is left, so the temperature changes nothing{off}");
        assert!(err.contains(&said), "{flags:?}: {err}");
    }
    let err = call(&["--min-p", "0", "--top-p", "1"]);
    assert!(!err.contains("one candidate"), "{err}");
}

#[test]
fn special_tokens_are_text_by_default() {
    assert!(!ids(&predict("llama-text", &["<|endoftext|>"])["ids"]).contains(&0));
    assert_eq!(ids(&predict("llama-text", &["--special", "<|endoftext|>"])["ids"]), [0]);
}

#[test]
fn invalid_arguments_are_refused() {
    let model = tiny("llama-text");
    for temperature in ["-1", "nan", "inf"] {
        glassbox(["predict", "-m", &model, "x", "--temp", temperature]).fails(2, &["temperature"]);
    }
    glassbox(["predict", "-m", &model, "x", "--seed", "1"]).fails(2, &["--seed"]);
    glassbox(["predict", "-m", &model, "x", "--all"]).fails(2, &["--json"]);
    glassbox(["predict", "-m", &model, "x", "--top", "0"]).fails(2, &["--top"]);
    glassbox(["predict", "-m", &model, "--ids", &joined(&[7; 129])]).fails(1, &["129", "128"]);
}
