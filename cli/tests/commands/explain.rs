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
fn the_text_so_far_the_candidates_and_the_draw_are_shown_but_no_filter_that_is_off() {
    let model = tiny("llama-text");
    let explain = |more: &[&str]| {
        let call = ["generate", "-m", &model, "Once upon", "-n", "3", "--seed", "5", "--explain"];
        glassbox(call.iter().chain(more)).text()
    };
    let text = explain(&["--samplers", "top_k;temperature", "--top-k", "9"]);
    for word in ["top_k 9", "temp 0.8", "removed", "entropy", "candidates", "draw"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    for word in ["off", "penalties", "typical", "top_p", "min_p", "logit_bias"] {
        assert!(!text.contains(word), "{word}: {text}");
    }
    assert_eq!(text.matches("  draw ").count(), 3, "{text}");
    // A heading has the text so far and the token; the next heading has both as its text.
    let headings: Vec<&str> = text.lines().filter(|line| line.starts_with("Once")).collect();
    assert_eq!(headings.len(), 3, "{text}");
    for (heading, next) in headings.iter().zip(&headings[1..]) {
        let token = heading.strip_prefix("Once upon").unwrap().rsplit_once(" (").unwrap().0;
        assert!(next.len() > heading.len() - token.len(), "{heading:?} {next:?}");
    }
    assert!(explain(&["--temp", "0"]).contains("only one candidate"));
}

/// The end of a text came without a word: an empty line, and no way to know why.
#[test]
fn an_empty_answer_says_which_token_ended_it_and_what_to_try() {
    let model = tiny("llama-text");
    for more in [&[][..], &["--explain"], &["--json"]] {
        let call = ["generate", "-m", &model, "Once", "--temp", "0", "--logit-bias", "2=1000"];
        let ran = glassbox(call.iter().chain(more)).run();
        assert_eq!(ran.code, 0, "{}", ran.err);
        for word in ["ended at once", "(2)", "--ignore-eos"] {
            assert!(ran.err.contains(word), "{word}: {}", ran.err);
        }
    }
    let some = glassbox(["generate", "-m", &model, "Once", "-n", "1", "--temp", "0", "--ignore-eos"]).run();
    assert!(!some.err.contains("ended at once"), "{}", some.err);
}
