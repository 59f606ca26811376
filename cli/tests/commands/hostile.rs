//! Corrupt files and invalid ids: an error and exit code 1, never a panic.

use std::fs;

use crate::process::{arg, copy_of, fixture, glassbox, tiny};

#[test]
fn broken_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let whole = fs::read(fixture("tiny/gguf/llama-text.gguf")).unwrap();
    let file = folder.path().join("broken.gguf");
    let path = arg(&file);
    for length in [0, 3, 4, 100, whole.len() / 2, whole.len() - 1] {
        fs::write(&file, &whole[..length]).unwrap();
        for call in [
            &["generate", "-m", &path, "x"][..],
            &["predict", "-m", &path, "x"],
            &["tokenize", "-m", &path, "x"],
            &["tokenize", "--tokenizer", &path, "x"],
            &["neighbors", "-m", &path, "x"],
            &["inspect", &path],
        ] {
            glassbox(call).fails(1, &["broken.gguf"]);
        }
    }
    let random: Vec<u8> = (0..5000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    fs::write(&file, random).unwrap();
    glassbox(["generate", "-m", &path, "x"]).fails(1, &["broken.gguf"]);
}

#[test]
fn broken_parts_of_a_folder_are_named() {
    for (name, content) in [
        ("config.json", "{"),
        ("config.json", "{}"),
        ("generation_config.json", "[1]"),
        ("model.safetensors", "nonsense"),
        ("tokenizer.json", "{\"model\": 3}"),
    ] {
        let folder = copy_of("llama-text");
        fs::write(folder.path().join(name), content).unwrap();
        glassbox(["generate", "-m", &arg(folder.path()), "x"]).fails(1, &[name]);
    }
}

#[test]
fn ids_work_despite_a_broken_tokenizer() {
    let folder = copy_of("llama-text");
    fs::write(folder.path().join("tokenizer.json"), "{}").unwrap();
    let ran =
        glassbox(["generate", "-m", &arg(folder.path()), "--ids", "1,2", "-n", "2", "--temp", "0"]).run();
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("warning: ") && ran.err.contains("tokenizer.json"), "{}", ran.err);
}

#[test]
fn a_missing_tensor_is_named() {
    let folder = copy_of("llama-text");
    let path = folder.path().join("config.json");
    let config = fs::read_to_string(&path).unwrap();
    fs::write(&path, config.replace("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3")).unwrap();
    let model = arg(folder.path());
    glassbox(["generate", "-m", &model, "x"]).fails(1, &["model.layers.2.self_attn.q_proj.weight"]);
}

#[test]
fn ids_outside_the_vocabulary_are_refused() {
    let model = tiny("llama-gqa");
    for call in ["generate", "predict"] {
        glassbox([call, "-m", &model, "--ids", "5,101"]).fails(1, &["101"]);
        glassbox([call, "-m", &model, "--ids", "5,x"]).fails(2, &["x"]);
        glassbox([call, "-m", &model, "--ids", "-1"]).fails(2, &[]);
        glassbox([call, "-m", &model, "--ids", ""]).fails(2, &["at least one token id"]);
    }
    glassbox(["perplexity", "-m", &model, "--ids", "5,101,7,8", "-c", "4"]).fails(1, &["101"]);
}

#[test]
fn tokenizer_warnings_are_shown() {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = fs::read(fixture("tiny/gguf/llama-text.gguf")).unwrap();
    let key = b"tokenizer.ggml.pre";
    let at = bytes.windows(key.len()).position(|window| window == key).unwrap() + key.len();
    // The value: its type, its length, its text.
    let length = u64::from_le_bytes(bytes[at + 4..at + 12].try_into().unwrap()) as usize;
    bytes[at + 12..at + 12 + length].fill(b'q');
    let file = folder.path().join("odd.gguf");
    fs::write(&file, bytes).unwrap();
    let ran = glassbox(["tokenize", "-m", &arg(&file), "x"]).run();
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.starts_with("warning: ") && ran.err.contains("qqq"), "{}", ran.err);
}
