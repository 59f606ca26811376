//! What a checkpoint's files say that is not used: a warning that names the key as the file spells it, or an error if
//! it would change the results.

#[allow(dead_code, reason = "other tests use the rest of it")]
mod changed;

use changed::{Changed, changed_gguf};
use glassbox_model::{Checkpoint, Error};
use glassbox_tensor::Tensor;
use glassbox_tensor::file::gguf::{Array, Value as V, ValueType};
use serde_json::{Value, json};

/// The warnings of a checkpoint, as text.
fn warnings(checkpoint: &Checkpoint) -> Vec<String> {
    checkpoint.warnings().iter().map(ToString::to_string).collect()
}

/// Asserts that there is one warning, and that it contains all of `words`.
#[track_caller]
fn assert_warns(checkpoint: &Checkpoint, words: &[&str]) {
    let warnings = warnings(checkpoint);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    for word in words {
        assert!(warnings[0].contains(word), "no {word:?} in: {}", warnings[0]);
    }
}

#[track_caller]
fn assert_refuses<T>(result: Result<T, Error>, words: &[&str]) {
    let error = result.err().expect("an error").to_string();
    for word in words {
        assert!(error.contains(word), "no {word:?} in: {error}");
    }
}

fn with_keys(name: &str, keys: Value) -> Changed {
    Changed::copy(name).json("config.json", |config| {
        config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    })
}

/// All fixtures are as transformers 5.23 writes them, or as older versions did.
#[test]
fn files_as_their_programs_write_them_cost_no_warning() {
    let tiny = changed::fixture("");
    let folders = std::fs::read_dir(&tiny).unwrap().map(|entry| entry.unwrap().path());
    let ggufs = std::fs::read_dir(tiny.join("gguf")).unwrap().map(|entry| entry.unwrap().path());
    let mut count = 0;
    for path in folders.filter(|path| path.join("config.json").is_file()).chain(ggufs) {
        let checkpoint = Checkpoint::open(&path).unwrap();
        assert_eq!(warnings(&checkpoint), [""; 0], "{}", path.display());
        count += 1;
    }
    assert!(count > 40, "{count}");
}

#[test]
fn keys_that_are_not_read_are_listed_in_one_warning() {
    let keys =
        json!({"mystery": 1, "sliding_window": 8, "use_cache": true, "hidden_dropout": 0.5, "null": null});
    let folder = with_keys("llama-gqa", keys);
    // Transformers' Llama has no window and ignores the key: the results are the same, but the file says otherwise.
    assert_warns(&folder.open().unwrap(), &["config.json", "mystery, sliding_window"]);
    let scaled =
        json!({"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4, "beta": 3}});
    assert_warns(&with_keys("llama-gqa", scaled).open().unwrap(), &["rope_parameters.beta"]);
    let many: serde_json::Map<String, Value> = (0..20).map(|i| (format!("key_{i:02}"), json!(i))).collect();
    assert_warns(&with_keys("llama-gqa", many.into()).open().unwrap(), &["key_00", "key_11 and 8 more"]);
    // A name with control characters stays in its line.
    let odd = with_keys("llama-gqa", json!({"a\n\u{1b}[2J": 1})).open().unwrap();
    assert_warns(&odd, &["a\\n\\u{1b}[2J"]);
}

#[test]
fn keys_that_would_change_the_results_are_an_error() {
    for (family, key, harmless, harmful) in [
        ("llama-gqa", "rope_interleaved", json!(false), json!(true)),
        ("llama-gqa", "embedding_multiplier", json!(1.0), json!(12.0)),
        ("llama-gqa", "logits_scaling", json!(1), json!(8)),
        ("mistral-full", "qk_norm", json!(false), json!(true)),
        ("qwen2-plain", "use_mrope", json!(false), json!(true)),
        ("gpt2-plain", "is_encoder_decoder", json!(false), json!(true)),
        ("llama-gqa", "num_local_experts", json!(0), json!(8)),
        ("llama-gqa", "clip_qkv", Value::Null, json!(8.0)),
    ] {
        let fine = with_keys(family, json!({ key: harmless })).open().unwrap();
        assert_eq!(warnings(&fine), [""; 0], "{key}");
        let refused = with_keys(family, json!({ key: harmful.clone() })).open();
        assert_refuses(refused, &["config.json: not supported", key, &harmful.to_string()]);
    }
}

/// Each was an error. Transformers loads a model despite them (a pad id of −1 is in many Llama files), and llama.cpp
/// warns of a bad special token and goes on (`llama-vocab.cpp`).
#[test]
fn invalid_ids_in_a_folder_cost_a_warning() {
    for kind in ["pad", "unk", "bos", "eos", "sep"] {
        let key = format!("{kind}_token_id");
        for id in [json!(4_294_967_295_u32), json!(-1), json!(101), json!("</s>"), json!(1.5), json!([[1]])] {
            for file in ["config.json", "generation_config.json"] {
                let folder = Changed::copy("llama-gqa").json(file, |value| value[&key] = id.clone());
                let checkpoint = folder.open().unwrap();
                assert_warns(&checkpoint, &[file, &key, "a token id below 101"]);
                checkpoint.tokenizer().unwrap();
            }
        }
    }
    let valid = Changed::copy("llama-gqa").json("config.json", |config| config["pad_token_id"] = json!(100));
    assert_eq!(warnings(&valid.open().unwrap()), [""; 0]);
    // Of a list, the valid ones are kept.
    let some = Changed::copy("llama-gqa")
        .json("generation_config.json", |value| value["eos_token_id"] = json!([7, -1, 9, 101]));
    let some = some.open().unwrap();
    assert_eq!(some.generation().eos_ids, [7, 9]);
    assert_eq!(some.warnings().len(), 2);
}

#[test]
fn invalid_generation_settings_cost_a_warning() {
    let settings = |key: &str, value: Value| {
        Changed::copy("llama-gqa").json("generation_config.json", |settings| settings[key] = value)
    };
    for (key, value, found) in [
        ("do_sample", json!("true"), "\"true\""),
        ("do_sample", json!(1), "1"),
        ("temperature", json!("hot"), "\"hot\""),
        ("temperature", json!(-1), "-1"),
        ("top_p", json!(2), "2"),
        ("top_p", json!([0.5]), "[0.5]"),
        ("top_k", json!("all"), "\"all\""),
        ("top_k", json!(1.5), "1.5"),
        ("repetition_penalty", json!(0), "0"),
        ("repetition_penalty", json!({}), "{}"),
    ] {
        let checkpoint = settings(key, value).open().unwrap();
        assert_warns(&checkpoint, &["generation_config.json", &format!("{key}: expected"), found, "ignored"]);
        let read = checkpoint.generation();
        let read = (read.do_sample, read.temperature, read.top_k, read.top_p, read.repetition_penalty);
        assert_eq!(read, (None, None, None, None, None), "{key}");
    }
    // Off in llama.cpp and vLLM.
    let off = settings("top_k", json!(-1)).open().unwrap();
    assert_warns(&off, &["generation_config.json: top_k", "found -1", "taken as 0"]);
    assert_eq!(off.generation().top_k, Some(0));
}

/// Python's `json` writes and reads bare words that are not JSON.
#[test]
fn nan_among_the_settings_costs_a_warning() {
    for word in ["NaN", "Infinity", "-Infinity"] {
        let folder = Changed::copy("llama-gqa");
        let path = folder.path().join("generation_config.json");
        let text = format!(
            "{{\"eos_token_id\": 7, \"comment\": \"a \\\" NaN\", \"temperature\": {word}, \"top_k\": 3}}"
        );
        std::fs::write(&path, text).unwrap();
        let checkpoint = folder.open().unwrap();
        assert_warns(&checkpoint, &["generation_config.json: temperature", word]);
        let read = checkpoint.generation();
        assert_eq!((read.temperature, read.top_k, &read.eos_ids[..]), (None, Some(3), &[7][..]));
        // Where the number matters it is an error.
        let folder =
            Changed::copy("llama-gqa").json("config.json", |config| config["rms_norm_eps"] = json!("@"));
        let path = folder.path().join("config.json");
        let text = std::fs::read_to_string(&path).unwrap().replace("\"@\"", word);
        std::fs::write(&path, text).unwrap();
        assert_refuses(folder.open(), &["config.json: rms_norm_eps", word]);
    }
    let folder = Changed::copy("llama-gqa");
    std::fs::write(folder.path().join("generation_config.json"), "{\"top_k\": NaNa}").unwrap();
    assert_refuses(folder.open(), &["generation_config.json", "not valid JSON"]);
}

#[test]
fn invalid_ids_in_a_gguf_cost_a_warning() {
    for name in ["bos", "eos", "eot", "eom", "unknown", "padding", "seperator", "mask", "cls", "fim_pad"] {
        let key = format!("tokenizer.ggml.{name}_token_id");
        for value in [V::U32(u32::MAX), V::U32(288), V::I32(-1), V::String("x".into()), V::F32(1.0)] {
            let checkpoint = changed_gguf("llama-text", |file| {
                file.set("tokenizer.ggml.add_bos_token", V::Bool(false));
                file.set(&key, value.clone());
            });
            let checkpoint = checkpoint.unwrap();
            assert_warns(&checkpoint, &["llama-text.gguf", &key, "a token id below 288", "ignored"]);
            let tokenizer = checkpoint.tokenizer().unwrap().unwrap();
            checkpoint.chat_template().unwrap();
            if name == "bos" {
                assert_eq!(tokenizer.bos_id(), None);
            }
        }
    }
}

#[test]
fn an_invalid_bos_that_is_needed_is_refused_with_the_tokenizer_only() {
    let checkpoint = changed_gguf("llama-text", |file| {
        file.set("tokenizer.ggml.add_bos_token", V::Bool(true));
        file.set("tokenizer.ggml.bos_token_id", V::U32(u32::MAX));
    });
    let checkpoint = checkpoint.unwrap();
    assert_refuses(checkpoint.tokenizer(), &["tokenizer.ggml.bos_token_id", "4294967295"]);
    assert!(checkpoint.problems().is_empty());
}

#[test]
fn lists_that_are_too_long_cost_a_warning() {
    let original = changed_gguf("llama-text", |_| {}).unwrap().tokenizer().unwrap().unwrap();
    let longer = |key: &'static str, more: usize| {
        changed_gguf("llama-text", move |file| {
            let n = 288 + more;
            file.set(
                key,
                match key {
                    "tokenizer.ggml.scores" => V::Array(Array::from_f32(&vec![0.0; n])),
                    _ => {
                        let mut types = vec![1; n];
                        types[0] = 3;
                        V::Array(Array::from_i32(&types))
                    }
                },
            );
        })
        .unwrap()
    };
    for key in ["tokenizer.ggml.token_type", "tokenizer.ggml.scores"] {
        assert_eq!(warnings(&longer(key, 0)), [""; 0]);
        let checkpoint = longer(key, 3);
        assert_warns(&checkpoint, &[key, "288 tokens", "found 291"]);
        let tokenizer = checkpoint.tokenizer().unwrap().unwrap();
        assert_eq!(tokenizer.vocab_size(), original.vocab_size());
    }
    let short = changed_gguf("llama-text", |file| {
        file.set("tokenizer.ggml.token_type", V::Array(Array::from_i32(&[1; 287])));
    });
    assert_refuses(short.unwrap().tokenizer(), &["tokenizer.ggml.token_type", "287"]);
    // Byte-level BPE has no use for scores.
    let scores = V::Array(Array::from_f32(&[0.0; 3]));
    let scores = changed_gguf("llama-text", |file| file.set("tokenizer.ggml.scores", scores));
    assert!(scores.unwrap().tokenizer().is_ok());
}

#[test]
fn keys_of_a_gguf_that_are_not_read() {
    let with = |key: &'static str, value: V| changed_gguf("llama-text", |file| file.set(key, value));
    let checkpoint = with("llama.mystery", V::U32(1)).unwrap();
    assert_warns(&checkpoint, &["llama-text.gguf", "keys without effect", "llama.mystery"]);
    for (key, harmless, harmful) in [
        ("llama.logit_scale", V::F32(1.0), V::F32(0.5)),
        ("llama.attn_logit_softcapping", V::F32(0.0), V::F32(50.0)),
        ("llama.final_logit_softcapping", V::F32(0.0), V::F32(30.0)),
        ("llama.attention.max_alibi_bias", V::F32(0.0), V::F32(8.0)),
        ("llama.use_parallel_residual", V::Bool(false), V::Bool(true)),
        ("llama.expert_shared_count", V::U32(0), V::U32(1)),
        ("llama.attention.causal", V::Bool(true), V::Bool(false)),
    ] {
        assert_eq!(warnings(&with(key, harmless).unwrap()), [""; 0], "{key}");
        assert_refuses(with(key, harmful), &["not supported", key]);
    }
    // Keys of other architectures and of other programs are nobody's business.
    assert_eq!(warnings(&with("gemma2.final_logit_softcapping", V::F32(30.0)).unwrap()), [""; 0]);
}

#[test]
fn metadata_for_each_layer_must_agree() {
    let list = |numbers: &[i32]| V::Array(Array::from_i32(numbers));
    let with = |key: &str, value: V| changed_gguf("llama-text", |file| file.set(key, value));
    let original = with("llama.mystery", V::U32(1)).unwrap().config().clone();
    for (key, size) in [
        ("llama.attention.head_count", original.n_heads),
        ("llama.attention.head_count_kv", original.n_kv_heads),
        ("llama.feed_forward_length", original.d_ff),
    ] {
        let size = size as i32;
        let same = with(key, list(&[size, size])).unwrap();
        assert_eq!(*same.config(), original, "{key}");
        assert_eq!(warnings(&same), [""; 0]);
        let other = with(key, list(&[size, 2 * size]));
        assert_refuses(other, &["not supported", key, "differs between layers", "in layer 1"]);
        assert_refuses(with(key, list(&[size])), &[key, "one for each of 2 layers", "a list of 1"]);
        assert_refuses(with(key, list(&[])), &[key, "a list of 0"]);
        assert_refuses(with(key, list(&[-4, -4])), &[key, "-4"]);
        assert_refuses(with(key, list(&[0, 0])), &[key, "a positive integer"]);
    }
    assert_refuses(with("llama.block_count", list(&[2, 2])), &["llama.block_count"]);
    let windows = with("llama.attention.sliding_window", list(&[8, 0])).unwrap();
    assert_eq!(windows.config().windows, [Some(8), None]);
    let flags = V::Array(Array::new(ValueType::Bool, &[V::Bool(true), V::Bool(false)]).unwrap());
    assert_refuses(with("llama.attention.head_count", flags), &["llama.attention.head_count"]);
}

#[test]
fn strings_that_are_not_utf8_are_replaced() {
    use glassbox_tensor::file::gguf::Gguf;
    let mut bytes = std::fs::read(changed::fixture("gguf/llama-text.gguf")).unwrap();
    let at = bytes.windows(12).position(|window| window == b"general.name").unwrap() + 12 + 4 + 8;
    bytes[at] = 0xe9;
    let checkpoint = Checkpoint::open_gguf(Gguf::from_bytes("odd.gguf", bytes).unwrap()).unwrap();
    assert_warns(&checkpoint, &["odd.gguf", "not valid UTF-8", "general.name"]);
}

/// Transformers ignores tensors without a parameter and says so; llama.cpp refuses a file with them.
#[test]
fn tensors_that_no_parameter_uses() {
    let ones = |shape: &[usize]| Tensor::from_f32(shape, vec![1.0; shape.iter().product()]).unwrap();
    let with = |name: &'static str, shape: &'static [usize]| {
        Changed::copy("llama-gqa").tensors(|tensors| drop(tensors.insert(name.into(), ones(shape))))
    };
    for (name, shape) in [
        ("score.weight", &[2, 36][..]),
        ("vision_tower.layers.0.weight", &[3]),
        ("mtp.norm.weight", &[36]),
        ("model.layers.0.self_attn.scale", &[]),
    ] {
        let checkpoint = with(name, shape).open().unwrap();
        assert_warns(&checkpoint, &["model.safetensors", "no parameter uses", name]);
        assert!(checkpoint.problems().is_empty());
    }
    for (name, shape) in [
        ("model.layers.0.self_attn.q_norm.weight", &[6][..]),
        ("model.layers.1.self_attn.sinks", &[6]),
        ("model.layers.7.mlp.up_proj.weight", &[34, 36]),
        ("lm_head.bias", &[101]),
        ("model.norm.bias", &[36]),
        ("layers.0.self_attn.q_norm.weight", &[6]),
    ] {
        let problems = with(name, shape).open().unwrap().problems();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].contains(name) && problems[0].contains("unexpected tensor"), "{problems:?}");
    }
    let gguf = |name: &'static str| {
        changed_gguf("llama-text", |file| drop(file.tensors.insert(name.into(), ones(&[32])))).unwrap()
    };
    assert!(gguf("blk.0.attn_sinks.weight").problems()[0].contains("blk.0.attn_sinks.weight: unexpected"));
    assert!(gguf("output.bias").problems()[0].contains("output.bias: unexpected"));
    assert_warns(&gguf("v.patch_embd.weight"), &["llama-text.gguf", "v.patch_embd.weight"]);
}

/// A safetensors file may hold masks, counters and ids. Formats that are no weights must not sink the model.
#[test]
fn integer_and_boolean_tensors_are_left_alone() {
    for kind in ["BOOL", "U8", "I8", "I16", "I32", "I64"] {
        let name = "model.layers.0.self_attn.mask";
        let folder = Changed::copy("llama-gqa").tensors(|tensors| {
            tensors.insert(name.into(), Tensor::from_f32([2, 2], vec![0.0; 4]).unwrap());
        });
        let path = folder.path().join("model.safetensors");
        let bytes = std::fs::read(&path).unwrap();
        let header_len = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let mut header: Value = serde_json::from_slice(&bytes[8..8 + header_len]).unwrap();
        let size = match kind {
            "BOOL" | "U8" | "I8" => 1,
            "I16" => 2,
            "I32" => 4,
            _ => 8,
        };
        header[name]["dtype"] = json!(kind);
        header[name]["shape"] = json!([16 / size]);
        let header = header.to_string();
        let mut changed = (header.len() as u64).to_le_bytes().to_vec();
        changed.extend(header.as_bytes());
        changed.extend(&bytes[8 + header_len..]);
        std::fs::write(&path, changed).unwrap();
        let checkpoint = folder.open().unwrap();
        assert_warns(&checkpoint, &[name]);
        assert!(checkpoint.problems().is_empty(), "{kind}: {:?}", checkpoint.problems());
    }
}
