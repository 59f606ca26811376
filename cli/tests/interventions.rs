//! Runs `predict`, `generate`, `lens`, `attribute` and `perplexity` with `--without`, `--steer` and `--patch`, and
//! `ablate`: before and after, JSON, files of `trace --out`, and wrong usage.

#[path = "commands/process.rs"]
#[allow(dead_code)]
mod process;

use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use process::{glassbox, tiny};

const PROMPT: &str = "the king and the queen";

fn call(flags: &[&str]) -> process::Call {
    glassbox([flags, &["-m", &tiny("llama-text")]].concat())
}

fn json(flags: &[&str]) -> Value {
    call(&[flags, &["--json"]].concat()).json()
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().expect("a list")
}

/// A trace of a prompt in a folder.
fn trace(folder: &TempDir, name: &str, prompt: &str) -> String {
    let path: PathBuf = folder.path().join(name);
    call(&["trace", prompt, "--out", path.to_str().unwrap()]).text();
    path.to_str().unwrap().to_owned()
}

#[test]
fn json_is_the_usual_object_before_and_after() {
    let usual = |command: &[&str]| {
        let plain = json(command);
        let changed = json(&[command, &["--without", "head 1.2, mlp 0"]].concat());
        assert_eq!(changed["interventions"], serde_json::json!(["without head 1.2", "without mlp 0"]));
        assert_eq!(changed["before"], plain, "{command:?}");
        assert_ne!(changed["after"], plain, "{command:?}");
        let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&changed["after"]), keys(&plain), "{command:?}");
    };
    usual(&["predict", PROMPT, "--all"]);
    usual(&["generate", PROMPT, "-n", "6", "--seed", "5", "--temp", "2"]);
    usual(&["lens", PROMPT]);
    usual(&["lens", PROMPT, "--token", "the"]);
    usual(&["attribute", PROMPT, "--token", "the"]);
    usual(&["attribute", PROMPT, "--token", "the", "--against-id", "70"]);
    let ids = (0..64).map(|i| (i * 7 % 288).to_string()).collect::<Vec<_>>().join(",");
    usual(&["perplexity", "--ids", &ids, "-c", "16"]);
}

#[test]
fn tables_stand_side_by_side() {
    let without = ["--without", "head 1.2"];
    let table = |flags: &[&str]| call(&[flags, &without].concat()).text();
    let predicted = table(&["predict", PROMPT, "--top", "3"]);
    let rows: Vec<&str> = predicted.lines().collect();
    assert!(rows[0].contains("before") && rows[0].contains("after") && rows.len() >= 4, "{predicted}");
    let after = json(&["predict", PROMPT, "--top", "1", "--without", "head 1.2"]);
    let likeliest = after["after"]["candidates"][0]["prob"].as_f64().unwrap() * 100.0;
    assert!(predicted.contains(&format!("{likeliest:.4} %")), "{predicted}");
    let generated = table(&["generate", PROMPT, "-n", "4", "--temp", "0"]);
    let texts = json(&["generate", PROMPT, "-n", "4", "--temp", "0", "--without", "head 1.2"]);
    let [before, after] = ["before", "after"].map(|run| texts[run]["text"].as_str().unwrap().to_owned());
    assert_eq!(generated, format!("before\n{before}\nafter: without head 1.2\n{after}\n"));
    let lens = table(&["lens", PROMPT]);
    assert_eq!(lens.lines().count(), 2 * (1 + 1 + 2));
    let one = table(&["lens", PROMPT, "--token", "the"]);
    assert!(one.lines().count() == 3 && one.lines().next().unwrap().contains("before"), "{one}");
    let shares = table(&["attribute", PROMPT, "--token", "the", "--top", "2"]);
    let heading: Vec<&str> = shares.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(heading, ["part", "before", "after", "change"]);
    let ids = (0..64).map(|i| (i * 7 % 288).to_string()).collect::<Vec<_>>().join(",");
    let perplexity = table(&["perplexity", "--ids", &ids, "-c", "16"]);
    let starts: Vec<&str> = perplexity.lines().map(|line| &line[..6]).collect();
    assert_eq!(starts, ["before", "after "]);
    assert!(perplexity.contains("without head 1.2"));
}

/// The table of `ablate` is a run of `predict --without` for each head.
#[test]
fn ablations_are_predictions_without_each_part() {
    let all = json(&["predict", PROMPT, "--all"]);
    for (flags, count) in [
        (&[][..], 8),
        (&["--mlps", "--layers"], 4),
        (&["--attentions", "--layer", "1"], 1),
        (&["--neurons", "1"], 48),
    ] {
        let report = json(&[&["ablate", PROMPT], flags].concat());
        assert_eq!(report["id"], all["candidates"][0]["id"]);
        assert_eq!(report["before"]["logit"], all["candidates"][0]["logit"]);
        let id = report["id"].as_u64().unwrap() as usize;
        let ablations = list(&report["ablations"]);
        assert_eq!(ablations.len(), count, "{flags:?}");
        let before = report["before"]["prob"].as_f64().unwrap();
        let changes: Vec<f64> =
            ablations.iter().map(|part| (part["prob"].as_f64().unwrap() - before).abs()).collect();
        assert!(changes.is_sorted_by(|a, b| a >= b) && changes[0] > 0.0);
        for part in ablations.iter().take(8) {
            let name = part["name"].as_str().unwrap();
            let alone = &json(&["predict", PROMPT, "--all", "--without", name])["after"];
            assert_eq!(part["logit"], alone["logits"][id], "{name}");
            assert_eq!(part["likeliest"]["id"], alone["candidates"][0]["id"], "{name}");
            assert_eq!(part["likeliest"]["logit"], alone["candidates"][0]["logit"], "{name}");
        }
    }
    let the = json(&["ablate", PROMPT, "--token", "the"]);
    assert_eq!(the["token"], " the");
    let table = call(&["ablate", PROMPT, "--top", "3"]).run();
    assert_eq!(String::from_utf8(table.out).unwrap().lines().count(), 1 + 3);
    assert!(table.err.contains("8 heads") && table.err.contains("the other 5"), "{}", table.err);
    let experts =
        glassbox(["ablate", "--ids", "1,2,3", "--experts", "-m", &tiny("mixtral-window"), "--json"]);
    assert_eq!(list(&experts.json()["ablations"]).len(), 2 * 5);
}

#[test]
fn an_edge_is_named_by_words_or_positions() {
    let tokens = json(&["lens", PROMPT])["tokens"].clone();
    let of = |word: &str| {
        let position = list(&tokens).iter().rposition(|token| token.as_str().unwrap().trim() == word);
        position.unwrap_or_else(|| panic!("{word} is a token: {tokens}"))
    };
    let after = |without: &str| {
        let report = json(&["predict", PROMPT, "--all", "--without", without]);
        assert!(report["before"] != report["after"], "{without}");
        report["after"].clone()
    };
    let last = list(&tokens).len() - 1;
    let the = of("the");
    for key in ["the".to_owned(), the.to_string()] {
        let expected = after(&format!("edge 1.2 {last}→{the}"));
        for arrow in ["→", "->", " ← "] {
            assert_eq!(after(&format!("edge 1.2 {last}{arrow}{key}")), expected);
        }
    }
    // All heads of a layer, and all layers.
    let heads = (0..4).map(|head| format!("edge 1.{head} {last}→{the}")).collect::<Vec<_>>().join(",");
    assert_eq!(after(&format!("edge 1 {last}→the")), after(&heads));
    let layers = format!("edge 0 {last}→the, edge 1 {last}→the");
    assert_eq!(after(&format!("edge {last}→the")), after(&layers));
    // In the last layer, only the edges of the last token have an effect on the prediction.
    after(&format!("edge 0 {the}→0"));
}

#[test]
fn a_patch_of_the_same_run_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let own = trace(&folder, "own.safetensors", PROMPT);
    let other = trace(&folder, "other.safetensors", "the queen and the king");
    let predict = |flags: &[&str]| json(&[&["predict", PROMPT, "--all"], flags].concat());
    for name in ["blocks.0.resid_post", "blocks.1.attn.z", "blocks.1.mlp.post", "embed", "logits"] {
        let report = predict(&["--patch", &format!("{own}:{name}")]);
        assert_eq!(report["after"], report["before"], "{name}");
        let report = predict(&["--patch", &format!("{own}:{name}@2")]);
        assert_eq!(report["after"], report["before"], "{name}");
    }
    let changed = predict(&["--patch", &format!("{other}:blocks.0.resid_post")]);
    assert_ne!(changed["after"], changed["before"]);
    // All of the stream after layer 0 is all of the other run, if it has as many tokens.
    let of_other = json(&["predict", "the queen and the king", "--all"]);
    if of_other["ids"].as_array().unwrap().len() == changed["before"]["ids"].as_array().unwrap().len() {
        assert_eq!(changed["after"]["logits"], of_other["logits"]);
    }
    // A row by words: the last token of each prompt is the last position.
    let last = list(&changed["before"]["ids"]).len() - 1;
    let by_number = predict(&["--patch", &format!("{own}:blocks.0.resid_post@1→{last}")]);
    assert_ne!(by_number["after"], by_number["before"]);
    let arrow = predict(&["--patch", &format!("{own}:blocks.0.resid_post@1->{last}")]);
    assert_eq!(arrow["after"], by_number["after"]);
    let by_word = predict(&["--patch", &format!("{own}:blocks.0.resid_post@the→{last}")]);
    let the = list(&json(&["lens", PROMPT])["tokens"]).iter().rposition(|token| token == " the").unwrap();
    let by_row = predict(&["--patch", &format!("{own}:blocks.0.resid_post@{the}→{last}")]);
    assert_eq!(by_word["after"], by_row["after"]);
}

#[test]
fn steering_adds_vectors_with_their_factors() {
    let folder = tempfile::tempdir().unwrap();
    let a = trace(&folder, "a.safetensors", "the king");
    let b = trace(&folder, "b.safetensors", "a queen and");
    let after = |flags: &[&str]| json(&[&["predict", PROMPT, "--all"], flags].concat());
    let nothing = after(&["--steer", &format!("{a}@1*0")]);
    assert_eq!(nothing["after"], nothing["before"]);
    let same = after(&["--steer", &format!("{a}@1*2")]);
    assert_ne!(same["after"], same["before"]);
    // The default is the stream that enters the layer, its last row, at all positions.
    for longer in [
        format!("{a}:blocks.1.resid_pre@1*2"),
        format!("{a}:blocks.1.resid_pre@1:0..*2"),
        format!("{a}:blocks.0.resid_post@1*2.0"),
    ] {
        assert_eq!(after(&["--steer", &longer])["after"], same["after"], "{longer}");
    }
    let [a4, b4] = [format!("{a}@1*4"), format!("{b}@1*-4")];
    let difference = after(&["--steer", &a4, "--steer", &b4]);
    assert_ne!(difference["after"], after(&["--steer", &a4])["after"]);
    assert_eq!(list(&difference["interventions"]).len(), 2);
    let only_last = |positions: &str| after(&["--steer", &format!("{a}@1:{positions}")])["after"].clone();
    let count = list(&same["before"]["ids"]).len();
    assert_eq!(only_last(&(count - 1).to_string()), only_last(&format!("{}..", count - 1)));
    assert_ne!(only_last("the"), only_last("0"));
    // A token that is not steered and does not follow one is as before: the first positions of the lens.
    let lens = json(&["lens", PROMPT, "--steer", &format!("{a}@1:{}", count - 1)]);
    let first = |run: &str| list(&lens[run]["layers"][1]["positions"])[..count - 1].to_vec();
    assert_eq!(first("after"), first("before"));
}

#[test]
fn the_lens_of_a_token_is_at_the_last_position() {
    let all = json(&["lens", PROMPT, "--token", "the", "--all-positions", "--top", "2"]);
    let count = list(&all["ids"]).len();
    assert_eq!(list(&all["shown"]).len(), count);
    let last = json(&["lens", PROMPT, "--token", "the", "--top", "2"]);
    assert_eq!((&last["shown"], &last["token"]["token"]), (&serde_json::json!([count - 1]), &" the".into()));
    let at = json(&["lens", PROMPT, "--token", "the", "--top", "2", "--position", &(count - 1).to_string()]);
    assert_eq!(at, last);
    let the = json(&["lens", PROMPT, "--position", "the"]);
    let position = the["shown"][0].as_u64().unwrap() as usize;
    assert_eq!(the["tokens"][position], " the");
    assert_eq!(the["layers"][0]["positions"][0][0], all["layers"][0]["positions"][position][0]);
    let predicted = json(&["predict", PROMPT, "--top", "288"]);
    for layer in list(&last["layers"]) {
        assert_eq!((list(&layer["readings"]).len(), list(&layer["positions"]).len()), (1, 1));
    }
    let reading = &last["layers"][1]["readings"][0];
    let rank = list(&predicted["candidates"]).iter().position(|token| token["token"] == " the").unwrap() + 1;
    assert_eq!(reading["rank"], rank);
    assert_eq!(reading["logit"], predicted["candidates"][rank - 1]["logit"]);
    let table = call(&["lens", PROMPT, "--token", "the"]).run();
    let text = String::from_utf8(table.out).unwrap();
    assert!(text.lines().next().unwrap().contains("rank") && text.lines().count() == 3, "{text}");
    assert!(table.err.contains("(position "), "{}", table.err);
    let grid = call(&["lens", PROMPT, "--token", "the", "--all-positions"]).text();
    assert_eq!(grid.lines().count(), 1 + 2 * 2);
    call(&["lens", PROMPT, "--position", "99"]).fails(1, &["no position 99"]);
    call(&["lens", PROMPT, "--position", "emperor"]).fails(1, &["not in the prompt"]);
    call(&["lens", PROMPT, "--position", "1", "--all-positions"]).fails(2, &["cannot be used with"]);
}

#[test]
fn what_speaks_for_one_token_rather_than_another_is_the_difference() {
    let both = json(&["attribute", PROMPT, "--token", "the", "--against-id", "70"]);
    let [own, other] = ["--token-id", "--token-id"]
        .iter()
        .zip([both["id"].to_string(), "70".to_owned()])
        .map(|(flag, id)| json(&["attribute", PROMPT, flag, &id]))
        .collect::<Vec<_>>()
        .try_into()
        .unwrap();
    assert_eq!((&both["against"]["logit"], &both["against"]["sum"]), (&other["logit"], &other["sum"]));
    assert_eq!((&both["logit"], &both["sum"]), (&own["logit"], &own["sum"]));
    let mut sum = 0.0;
    for ((share, own), other) in list(&both["contributions"])
        .iter()
        .zip(list(&own["contributions"]))
        .zip(list(&other["contributions"]))
    {
        let number = |value: &Value| value.as_f64().unwrap();
        assert_eq!((&share["logit"], &share["against"]), (&own["logit"], &other["logit"]));
        assert_eq!(number(&share["difference"]), number(&own["logit"]) - number(&other["logit"]));
        sum += number(&share["difference"]);
    }
    let logits = both["logit"].as_f64().unwrap() - both["against"]["logit"].as_f64().unwrap();
    assert!((sum - logits).abs() < 1e-3, "{sum} {logits}");
    let chart = call(&["attribute", PROMPT, "--token", "the", "--against", "king", "--top", "3"]).text();
    let heading = chart.lines().next().unwrap();
    assert!(heading.contains("␣the") && heading.ends_with("difference"), "{chart}");
    assert_eq!(chart.lines().count(), 1 + 3 + 1 + 2);
}

#[test]
fn wrong_interventions_are_named() {
    let predict = |flags: &[&str]| call(&[&["predict", PROMPT], flags].concat());
    let without = |part: &str| predict(&["--without", part]);
    without("head 1.9").fails(1, &["there is no head 9 in layer 1: expected 0 to 3"]);
    without("head 9.1").fails(1, &["there is no layer 9: expected 0 to 1"]);
    without("neuron 1.999").fails(1, &["there is no neuron 999 in layer 1"]);
    without("expert 1.0").fails(1, &["no expert 0", "has none"]);
    without("head 3").fails(2, &["\"head LAYER.HEAD\""]);
    without("tail 3").fails(2, &["\"tail 3\" is not a part", "edge"]);
    without("head 1.1,,mlp 0").fails(2, &["between the commas"]);
    without("edge 1.1 the").fails(2, &["edge LAYER.HEAD"]);
    without("edge 1.9 1→0").fails(1, &["no head 9 in layer 1"]);
    without("edge 9 1→0").fails(1, &["no layer 9"]);
    without("edge 1.1 0→1").fails(1, &["cannot attend"]);
    without("edge 1.1 99→0").fails(1, &["position 99"]);
    without("edge 1.1 emperor→the").fails(1, &["\"emperor\" is not in the prompt"]);
    call(&["perplexity", "--ids", "1,2,3,4", "-c", "4", "--without", "edge 1 the→king"])
        .fails(2, &["numbers"]);
    call(&["generate", "--json-lines", "--without", "mlp 1"]).fails(2, &["cannot be used with"]);
    call(&["ablate", PROMPT, "--experts"]).fails(1, &["no experts"]);
    call(&["ablate", PROMPT, "--layer", "2"]).fails(1, &["no layer 2"]);
    call(&["ablate", PROMPT, "--neurons", "2"]).fails(1, &["no layer 2"]);

    let folder = tempfile::tempdir().unwrap();
    let file = trace(&folder, "t.safetensors", PROMPT);
    let patch = |spec: &str| predict(&["--patch", &format!("{file}{spec}")]);
    patch("").fails(2, &["FILE:NAME"]);
    patch(":blocks.9.resid_post").fails(1, &["no value \"blocks.9.resid_post\""]);
    patch(":blocks.1.resid_post@99").fails(1, &["no row 99"]);
    patch(":blocks.1.resid_post@0→99").fails(1, &["no position 99"]);
    patch(":blocks.1.resid_post@0→").fails(2, &["FROM→TO"]);
    patch(":blocks.1.resid_post@emperor").fails(1, &["not in the prompt"]);
    patch(":blocks.1.attn.pattern").fails(1, &["row for each token"]);
    predict(&["--patch", "nowhere.safetensors:embed"]).fails(1, &["nowhere.safetensors"]);
    call(&["lens", PROMPT, "--patch", &format!("{file}:logits")]).fails(1, &["residual stream"]);
    let steer = |spec: &str| predict(&["--steer", &format!("{file}{spec}")]);
    steer("").fails(2, &["FILE@LAYER"]);
    steer("@x").fails(2, &["FILE@LAYER"]);
    steer("@9").fails(1, &["no blocks.9.resid_pre"]);
    steer(":embed@9").fails(1, &["no layer 9"]);
    steer("@1*nan").fails(2, &["FILE@LAYER"]);
    steer("@1:5..2").fails(2, &["range"]);
    steer(":blocks.0.mlp.post@1").fails(1, &["expected rows of 32"]);
    steer(":nothing@1").fails(1, &["no tensor \"nothing\"", "embed"]);
    steer(":embed[99]@1").fails(1, &["no row 99"]);
    let other = glassbox([
        "predict",
        "-m",
        &tiny("mixtral-window"),
        "--ids",
        "1,2",
        "--steer",
        &format!("{file}:embed@1"),
    ]);
    other.fails(1, &["rows of"]);
    assert!(Path::new(&file).exists());
}

#[test]
fn options_of_interventions_are_not_among_those_of_the_machine() {
    for command in ["predict", "generate", "lens", "attribute", "perplexity"] {
        let help = glassbox([command, "--help"]).text();
        let at = |word: &str| help.find(word).unwrap_or_else(|| panic!("{command}: {word}"));
        assert!(at("--without") < at("Machine:") && at("--steer") < at("Machine:"), "{help}");
    }
    assert!(glassbox(["ablate", "--help"]).text().contains("Examples:"));
}
