//! `generate --explain`: how each token was chosen, in enough detail to replay the choice.

use serde_json::Value;

use crate::process::{glassbox, tiny};

fn generate(more: &[&str]) -> Value {
    let model = tiny("llama-text");
    let arguments = ["generate", "-m", &model, "Once", "-n", "12", "--ignore-eos", "--json"];
    glassbox(arguments.iter().chain(more)).json()
}

#[test]
fn explaining_does_not_change_the_tokens() {
    for sampling in [&["--seed", "7"][..], &["--temp", "0"], &["--seed", "3", "--top-k", "5", "--min-p", "0"]]
    {
        let plain = generate(sampling);
        let explained = generate(&[sampling, &["--explain"]].concat());
        assert_eq!(plain["ids"], explained["ids"]);
        assert_eq!(plain.get("records"), None);
        assert_eq!(explained["records"].as_array().unwrap().len(), 12);
    }
}

/// The definition of the draw, from the records alone: add up the candidates' probabilities until the sum exceeds the
/// random number.
#[test]
fn the_records_reproduce_the_tokens() {
    let report = generate(&["--seed", "11", "--temp", "1.5", "--top-k", "40", "--explain"]);
    let (ids, records) = (report["ids"].as_array().unwrap(), report["records"].as_array().unwrap());
    let mut drawn = 0;
    for (id, record) in ids.iter().zip(records) {
        let unit = record["draw"]["unit"].as_f64().unwrap_or(0.0);
        drawn += usize::from(!record["draw"]["unit"].is_null());
        let mut reached = 0.0;
        let again = record["candidates"].as_array().unwrap().iter().find(|candidate| {
            reached += candidate["probability"].as_f64().unwrap();
            reached > unit
        });
        assert_eq!(&again.expect("the probabilities sum to one")["id"], id);
    }
    assert!(drawn > 6, "only {drawn} random draws");
}

#[test]
fn the_table_names_every_filter_and_the_draw() {
    let model = tiny("llama-text");
    let table = glassbox(["generate", "-m", &model, "Once", "-n", "3", "--seed", "5", "--explain"]).text();
    for word in
        ["top_k", "top_p", "min_p", "temperature", "penalties", "removed", "entropy", "candidates", "draw"]
    {
        assert!(table.contains(word), "{word}: {table}");
    }
    assert_eq!(table.matches("  draw ").count(), 3, "{table}");
}
