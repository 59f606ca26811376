//! `neighbors`: its cosines agree with those computed from the embedding.

use glassbox_tensor::file::safetensors::SafeTensors;
use serde_json::Value;

use crate::process::{fixture, glassbox, tiny};

fn neighbors(flags: &[&str]) -> Value {
    glassbox([&["neighbors", "-m", &tiny("llama-text"), "--json"], flags].concat()).json()
}

#[test]
fn neighbors_are_the_nearest_by_cosine() {
    let report = neighbors(&[" the", "--top", "6", "--all-forms"]);
    assert_eq!(report["word"], " the");
    let id = report["id"].as_u64().unwrap() as usize;
    let file = SafeTensors::open(fixture("tiny/llama-text/model.safetensors")).unwrap();
    let tensor = file.tensor("model.embed_tokens.weight").unwrap();
    let rows: Vec<Vec<f64>> =
        (0..288).map(|row| tensor.row_to_f32(row).unwrap().into_iter().map(f64::from).collect()).collect();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let cosine = |a: usize, b: usize| {
        dot(&rows[a], &rows[b]) / (dot(&rows[a], &rows[a]) * dot(&rows[b], &rows[b])).sqrt()
    };
    let mut nearest: Vec<usize> = (0..288).filter(|&other| other != id).collect();
    nearest.sort_by(|&a, &b| cosine(id, b).total_cmp(&cosine(id, a)));
    let found = report["neighbors"].as_array().unwrap();
    assert_eq!(found.len(), 6);
    for (found, &expected) in found.iter().zip(&nearest) {
        assert_eq!(found["id"], expected);
        assert!((found["cosine"].as_f64().unwrap() - cosine(id, expected)).abs() < 1e-5);
    }
}

#[test]
fn a_word_is_given_as_written_with_a_space_or_by_id() {
    let the = neighbors(&[" the"]);
    let id = the["id"].to_string();
    assert_eq!(neighbors(&["--ids", &id]), the);
    assert_eq!(neighbors(&["␣the"]), the, "as tables show it");
    assert_eq!(neighbors(&["the"]), the, "a word is read as inside a text");
    let table = glassbox(["neighbors", "-m", &tiny("llama-text"), " the", "--top", "3"]).text();
    assert_eq!(table.lines().skip_while(|line| !line.starts_with("token  ")).count(), 4);
    assert_eq!(neighbors(&[" the", "--level", "scalar", "-t", "1"]), the);
}

#[test]
fn a_word_of_several_tokens_is_an_error() {
    let model = tiny("llama-text");
    glassbox(["neighbors", "-m", &model, "zzyzx"]).fails(1, &["not one token", "z · z"]);
    glassbox(["neighbors", "-m", &model, "the+the-cat"]).fails(1, &["put spaces around + and -"]);
    glassbox(["neighbors", "-m", &model, ""]).fails(2, &["empty"]);
    glassbox(["neighbors", "-m", &model]).fails(2, &["WORD"]);
    glassbox(["neighbors", "-m", &model, "the", "zzyzx"]).fails(1, &["not one token"]);
    glassbox(["neighbors", "-m", &model, "the", "+"]).fails(2, &["a word after"]);
    glassbox(["neighbors", "-m", &model, "the", "+", "-", "the"]).fails(2, &["between two words"]);
    glassbox(["neighbors", "-m", &model, "the", "the", "+", "the"]).fails(2, &["between two words"]);
    glassbox(["neighbors", "-m", &model, "--ids", "288"]).fails(1, &["288"]);
}
