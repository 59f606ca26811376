//! Sampling flags: each has an effect, and a seed reproduces the tokens.

use crate::process::{glassbox, ids, tiny};

/// The tokens after a prompt under these flags.
fn sampled(flags: &[&str]) -> Vec<u32> {
    let model = tiny("llama-text");
    let call = ["generate", "-m", &model, "--json", "-n", "24", "--ignore-eos", "The cat sat on"];
    ids(&glassbox([&call[..], flags].concat()).json()["ids"])
}

/// Sampling at a high temperature, where randomness shows.
const BOLD: [&str; 8] = ["--temp", "3", "--top-k", "0", "--top-p", "1", "--min-p", "0"];

fn bold(flags: &[&str]) -> Vec<u32> {
    sampled(&[&BOLD[..], flags].concat())
}

#[test]
fn a_seed_reproduces_the_tokens_and_another_one_does_not() {
    assert_eq!(bold(&["--seed", "7"]), bold(&["--seed", "7"]));
    assert_ne!(bold(&["--seed", "7"]), bold(&["--seed", "8"]));
    assert_ne!(bold(&[]), bold(&[]));
}

#[test]
fn a_random_seed_is_reported_and_can_be_reused() {
    let model = tiny("llama-text");
    let call = [&["generate", "-m", &model, "--json", "The cat sat on"], &BOLD[..]].concat();
    let ran = glassbox(call.clone()).run();
    let seed = ran.err.lines().find_map(|line| line.strip_prefix("seed ")).unwrap().trim().to_owned();
    assert_eq!(glassbox([&call[..], &["--seed", &seed]].concat()).run().out, ran.out);
}

#[test]
fn filters_that_leave_one_token_are_greedy() {
    let greedy = sampled(&["--temp", "0"]);
    for flags in [
        ["--temp", "3", "--top-k", "1"],
        ["--temp", "3", "--min-p", "1"],
        ["--temp", "0.000001", "--top-p", "0"],
        ["--temp", "0.0001", "--top-k", "0"],
    ] {
        assert_eq!(sampled(&flags), greedy, "{flags:?}");
    }
    assert_ne!(bold(&["--seed", "1"]), greedy);
}

#[test]
fn every_other_filter_changes_the_draw() {
    let plain = bold(&["--seed", "1"]);
    for flags in [
        ["--typical", "0.1"],
        ["--repeat-penalty", "5"],
        ["--frequency-penalty", "50"],
        ["--presence-penalty", "50"],
        ["--samplers", "top_k"],
    ] {
        assert_ne!(bold(&[&["--seed", "1"], &flags[..]].concat()), plain, "{flags:?}");
    }
}

#[test]
fn repeat_last_n_limits_the_penalties() {
    let greedy = sampled(&["--temp", "0"]);
    let penalised = sampled(&["--temp", "0", "--presence-penalty", "1000", "--repeat-last-n", "-1"]);
    let mut distinct = penalised.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), penalised.len(), "no token comes twice");
    let blind = sampled(&["--temp", "0", "--presence-penalty", "1000", "--repeat-last-n", "0"]);
    assert_eq!(blind, greedy);
}

#[test]
fn a_bias_bans_or_forces_a_token() {
    let greedy = sampled(&["--temp", "0"]);
    let ban = format!("{}=-inf", greedy[0]);
    assert!(!sampled(&["--temp", "0", "--logit-bias", &ban]).contains(&greedy[0]));
    let forced = sampled(&["--temp", "0", "--logit-bias", "9=1000", "--logit-bias", &ban]);
    assert_eq!(forced, [9; 24]);
}

#[test]
fn the_order_of_filters_can_be_changed() {
    // Without top_k in the order, --top-k has no effect.
    assert_ne!(sampled(&["--temp", "9", "--seed", "1", "--top-k", "1", "--samplers", "temperature"]), {
        sampled(&["--temp", "0"])
    });
}

#[test]
fn settings_out_of_range_are_wrong_usage() {
    let model = tiny("llama-text");
    for (flag, value) in [
        ("--temp", "-1"),
        ("--temp", "nan"),
        ("--top-p", "1.5"),
        ("--min-p", "-0.1"),
        ("--typical", "2"),
        ("--repeat-penalty", "0"),
        ("--top-k", "-2"),
        ("--logit-bias", "1"),
        ("--logit-bias", "1=nan"),
        ("--samplers", "top_k;top_k"),
        ("--samplers", "magic"),
        ("--seed", "-2"),
    ] {
        glassbox(["generate", "-m", &model, "x", flag, value]).fails(2, &[]);
    }
    glassbox(["generate", "-m", &model, "x", "--logit-bias", "288=1"]).fails(1, &["288"]);
}
