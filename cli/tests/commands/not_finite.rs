//! A model whose logits are not finite is an error that says where they begin, not a table of NaN.

use std::collections::BTreeMap;
use std::path::Path;

use glassbox_tensor::Tensor;
use glassbox_tensor::file::safetensors::{self, SafeTensors};
use tempfile::TempDir;

use crate::process::{arg, copy_of, glassbox};

/// A copy of a checkpoint with `value` as the last element of `tensor`.
fn damaged(tensor: &str, value: f32) -> TempDir {
    let folder = copy_of("llama-text");
    let path = folder.path().join("model.safetensors");
    let file = SafeTensors::open(&path).unwrap();
    let mut tensors: BTreeMap<String, Tensor> = BTreeMap::new();
    for info in file.tensors() {
        tensors.insert(info.name.clone(), file.tensor(&info.name).unwrap());
    }
    let damaged = tensors.get_mut(tensor).unwrap();
    let mut values = damaged.to_f32();
    *values.last_mut().unwrap() = value;
    *damaged = Tensor::from_f32(damaged.shape().to_vec(), values).unwrap();
    safetensors::write(&path, &BTreeMap::new(), &tensors).unwrap();
    folder
}

fn calls(model: &str) -> Vec<Vec<&str>> {
    vec![
        vec!["predict", "-m", model, "--ids", "5,6,7"],
        vec!["predict", "-m", model, "--ids", "5,6,7", "--json"],
        vec!["generate", "-m", model, "--ids", "5,6,7", "-n", "4"],
        vec!["generate", "-m", model, "--ids", "5,6,7", "-n", "4", "--temp", "0"],
        vec!["generate", "-m", model, "--ids", "5,6,7", "-n", "4", "--json"],
        vec!["perplexity", "-m", model, "--ids", "5,6,7,8,9,10", "-c", "6"],
        vec!["perplexity", "-m", model, "--ids", "5,6,7,8,9,10", "-c", "6", "--json"],
        vec!["lens", "-m", model, "--ids", "5,6,7"],
        vec!["attribute", "-m", model, "--ids", "5,6,7", "--token-id", "9"],
    ]
}

#[test]
fn nan_weights_are_an_error_that_names_the_first_value_computed_with_them() {
    for (tensor, value, first) in [
        ("model.layers.1.mlp.up_proj.weight", f32::NAN, "blocks.1.mlp.pre_linear has NaN at position 0"),
        ("model.layers.0.self_attn.q_proj.weight", f32::NAN, "blocks.0.attn.q has NaN at position 0"),
        ("model.norm.weight", f32::NAN, "ln_final.normalized has NaN at position 0"),
        ("model.layers.1.self_attn.o_proj.weight", f32::INFINITY, "blocks.1.attn_out has "),
    ] {
        let folder = damaged(tensor, value);
        let model = arg(folder.path());
        for call in calls(&model) {
            glassbox(call).fails(1, &["not finite", first]);
        }
    }
}

#[test]
fn a_line_of_json_lines_has_the_same_error() {
    let folder = damaged("model.layers.1.mlp.up_proj.weight", f32::NAN);
    let ran =
        glassbox(["generate", "-m", &arg(folder.path()), "--json-lines"]).stdin("{\"ids\": [5, 6]}\n").run();
    let out = String::from_utf8_lossy(&ran.out);
    assert_eq!(ran.code, 1);
    assert!(out.contains("\"error\"") && out.contains("blocks.1.mlp.pre_linear has NaN"), "{out}");
}

#[test]
fn a_damaged_token_matters_only_where_it_occurs() {
    // The last row of the tied embedding: its token's logit is NaN for every prompt.
    let folder = damaged("model.embed_tokens.weight", f32::NAN);
    let model = arg(folder.path());
    glassbox(["predict", "-m", &model, "--ids", "5,6"]).fails(1, &["logits has NaN at position 0"]);
    glassbox(["predict", "-m", &model, "--ids", "5,287"]).fails(1, &["embed has NaN at position 1"]);
    assert!(Path::new(&model).is_dir());
}
