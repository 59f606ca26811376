//! Finding a model by path or by name.

use std::fs;
use std::path::Path;

use crate::process::{Call, arg, fixture, glassbox, tiny};

fn add(folder: &Path, name: &str) {
    fs::copy(fixture("tiny/gguf/llama-text.gguf"), folder.join(name)).unwrap();
}

fn call(flags: &[&str], models: &Path) -> Call {
    let arguments = [&["generate", "--json", "--temp", "0", "-n", "2", "The cat"], flags].concat();
    glassbox(arguments).env("GLASSBOX_MODELS", models)
}

#[test]
fn a_name_is_searched_in_the_search_path() {
    let folder = tempfile::tempdir().unwrap();
    let models = folder.path();
    add(models, "one.gguf");
    let gguf = tiny("gguf/llama-text.gguf");
    let expected = glassbox(["generate", "-m", &gguf, "--json", "--temp", "0", "-n", "2", "The cat"]);
    let expected = expected.json();
    assert_eq!(call(&["-m", "one.gguf"], models).json(), expected);
    assert_eq!(call(&["-m", "one"], models).json(), expected);
    add(models, "two.gguf");
    assert_eq!(call(&["-m", "two"], models).json(), expected);
    call(&["-m", "TWO"], models).fails(1, &["did you mean two;", "the built-in model is tales"]);
    call(&["-m", "three"], models).fails(1, &["three", &arg(models)]);
    assert_eq!(call(&[], models).env("GLASSBOX_MODEL", "two").json(), expected);
    assert_eq!(call(&["-m", "one"], models).env("GLASSBOX_MODEL", "missing").json(), expected);
}

#[test]
fn the_cache_folder_is_the_default_search_path() {
    let cache = tempfile::tempdir().unwrap();
    fs::create_dir(cache.path().join("glassbox")).unwrap();
    add(&cache.path().join("glassbox"), "only.gguf");
    let doctor = glassbox(["doctor", "--json"]).env("XDG_CACHE_HOME", cache.path()).json();
    assert_eq!(doctor["models"], serde_json::json!([arg(&cache.path().join("glassbox/only.gguf"))]));
    let home = glassbox(["doctor", "--json"]).env("XDG_CACHE_HOME", "").env("HOME", cache.path()).json();
    assert_eq!(home["search_path"], serde_json::json!([arg(&cache.path().join(".cache/glassbox"))]));
    let text = glassbox(["doctor"]).env("XDG_CACHE_HOME", cache.path()).text();
    for word in ["version", "level", "scalar", "threads", "search path", "only.gguf"] {
        assert!(text.contains(word), "{word}: {text}");
    }
}
