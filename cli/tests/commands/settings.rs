//! Settings in the environment, and numbers with another meaning elsewhere.

use std::fs;

use crate::process::{arg, glassbox, tiny};

/// clap takes an empty variable for a value, and refused it: "a value is required for '--model <MODEL>'".
#[test]
fn an_empty_variable_counts_as_not_set() {
    let built_in = glassbox(["predict", "--json", "Once"]).json();
    for setting in ["GLASSBOX_MODEL", "GLASSBOX_MODELS", "GLASSBOX_LEVEL", "GLASSBOX_COMPUTE"] {
        assert_eq!(glassbox(["predict", "--json", "Once"]).env(setting, "").json(), built_in, "{setting}");
    }
    for call in [&["tokenize", "Once"][..], &["inspect"], &["neighbors", "Once"], &["chat", "--help"]] {
        glassbox(call).env("GLASSBOX_MODEL", "").text();
    }
    glassbox(["doctor"]).env("GLASSBOX_LEVEL", "").text();
    let model = tiny("llama-text");
    let call = ["generate", "-m", &model, "-n", "2", "--temp", "0", "--json", "the cat"];
    assert_eq!(glassbox(call).env("GLASSBOX_MODEL", "").json(), glassbox(call).json());
    // Set, the variable still decides, and -m before it.
    glassbox(["predict", "x"]).env("GLASSBOX_MODEL", "no-such-model").fails(1, &["no-such-model"]);
    glassbox(["predict", "x"]).env("GLASSBOX_LEVEL", "no-such-level").fails(2, &["no-such-level"]);
}

/// As in llama.cpp: -1 is a random seed, and top-k off.
#[test]
fn minus_one_is_a_random_seed_and_all_tokens() {
    let model = tiny("llama-text");
    let generate = |flags: &[&str]| {
        glassbox([&["generate", "-m", &model, "-n", "4", "--json", "the cat"], flags].concat())
    };
    let all = generate(&["--seed", "7", "--top-k", "0"]).json();
    assert_eq!(generate(&["--seed", "7", "--top-k", "-1"]).json(), all);
    assert_eq!(generate(&["--seed=7", "--top-k=-1"]).json(), all);
    let random = generate(&["--seed", "-1"]).run();
    assert_eq!(random.code, 0, "{}", random.err);
    // The seed that was used is shown, and repeats the text.
    let seed = random.err.lines().find_map(|line| line.strip_prefix("seed        ")).unwrap();
    assert_eq!(generate(&["--seed", seed]).run().out, random.out);
    let lines = glassbox(["generate", "-m", &model, "-n", "4", "--json-lines"])
        .stdin("{\"prompt\": \"the cat\", \"seed\": 7, \"top_k\": -1}\n")
        .json();
    assert_eq!(lines["ids"], all["ids"]);
}

#[test]
fn other_negative_numbers_are_refused_by_the_option_that_got_them() {
    let model = tiny("llama-text");
    for (flag, said) in [
        ("--seed", "0 to 18446744073709551615, or -1 for a random seed"),
        ("--top-k", "0 or -1 for all"),
        ("--tokens", "invalid value '-2'"),
        ("--context", "invalid value '-2'"),
        ("--threads", "'-2'"),
        ("--prompt-chunk", "invalid value '-2'"),
    ] {
        glassbox(["generate", "-m", &model, "x", flag, "-2"]).fails(2, &[flag, said]);
    }
    glassbox(["train", "--seed", "-1"]).fails(2, &["--seed", "'-1'"]);
    // Not the value of an option: still an unknown option.
    glassbox(["generate", "-m", &model, "-2"]).fails(2, &["-2"]);
}

#[test]
fn a_model_that_is_not_found_is_an_error_that_helps() {
    let folder = tempfile::tempdir().unwrap();
    let models = arg(folder.path());
    let call = || glassbox(["generate", "-m", "gpt2", "x"]).env("GLASSBOX_MODELS", &models);
    call().fails(1, &["model gpt2: ", &models, "no models", "fetch-smollm2.sh", "built-in model"]);
    fs::copy(tiny("gguf/llama-text.gguf"), folder.path().join("little.gguf")).unwrap();
    call().fails(1, &["model gpt2: ", &models, "models in the search path: little.gguf", "built-in model"]);
    glassbox(["generate", "-m", "some/gpt2", "x"])
        .env("GLASSBOX_MODELS", &models)
        .fails(1, &["some/gpt2", "little"]);
    for command in ["inspect", "predict", "chat"] {
        glassbox([command, "-m", "gpt2"])
            .stdin("x")
            .env("GLASSBOX_MODELS", &models)
            .fails(1, &["gpt2", "little"]);
    }
}
