//! What a checkpoint's files may omit, repeat or express differently, and how it is then loaded: the rules of
//! transformers and llama.cpp, each on a modified tiny checkpoint.

mod changed;

use std::fs;

use changed::{Changed, changed_gguf, fixture};
use glassbox_model::rope::{RopeConfig, RopeScaling};
use glassbox_model::{Checkpoint, Config, Error};
use glassbox_tensor::file::gguf::Value as V;
use glassbox_tensor::ops::Activation;
use glassbox_tensor::{Level, Pool, Tensor};
use serde_json::{Value, json};

/// Our own configuration, with the weights of `llama-gqa`, which do not matter until they are loaded.
fn read(config: Value) -> Result<Config, Error> {
    let directory = Changed::copy("llama-gqa").json("config.json", |value| *value = config);
    Ok(directory.open()?.config().clone())
}

/// The configuration of a tiny checkpoint with some keys changed; those that become `"absent"` are removed.
fn with(name: &str, keys: Value) -> Result<Config, Error> {
    let directory = Changed::copy(name).json("config.json", |config| {
        for (key, value) in keys.as_object().unwrap() {
            config[key] = value.clone();
        }
        config.as_object_mut().unwrap().retain(|_, value| *value != "absent");
    });
    Ok(directory.open()?.config().clone())
}

/// Asserts that the error's message contains each of `parts`.
#[track_caller]
fn assert_says<T>(result: Result<T, Error>, parts: &[&str]) {
    let text = result.err().expect("an error").to_string();
    for part in parts {
        assert!(text.contains(part), "no {part:?} in: {text}");
    }
}

fn bits(checkpoint: Checkpoint) -> Vec<u32> {
    let model = checkpoint.run_on(Pool::new(1, Level::detect()).unwrap()).unwrap_or_else(|e| panic!("{e}"));
    let mut session = model.session(usize::MAX);
    session.feed(&[3, 1, 4, 1, 5, 9, 2, 6]).unwrap().iter().map(|logit| logit.to_bits()).collect()
}

fn load(directory: &Changed) -> Result<(), Error> {
    directory.open()?.run_on(Pool::new(1, Level::detect())?).map(drop)
}

fn sizes(family: &str) -> Value {
    json!({
        "model_type": family, "vocab_size": 1000, "hidden_size": 256, "num_hidden_layers": 30,
        "num_attention_heads": 32, "intermediate_size": 77
    })
}

#[test]
fn defaults_of_each_family() {
    let gpt2 =
        json!({"model_type": "gpt2", "vocab_size": 9, "n_embd": 12, "n_head": 3, "n_layer": 2, "n_ctx": 40});
    let gpt2 = read(gpt2).unwrap();
    assert_eq!((gpt2.d_ff, gpt2.head_dim, gpt2.n_kv_heads, gpt2.context_length), (48, 4, 3, 40));
    assert_eq!((gpt2.norm_epsilon, gpt2.activation, gpt2.tied), (1e-5, Activation::GeluTanh, true));
    assert_eq!((gpt2.score_divisor, gpt2.scale_scores_by_layer), (2.0, false));
    assert_eq!(gpt2.rope(0), None);

    for (family, kv_heads, head_dim, context, window) in [
        ("llama", 32, 8, 2048, None),
        ("mistral", 8, 8, 131_072, Some(4096)),
        ("qwen2", 32, 8, 32_768, None),
        ("qwen3", 32, 128, 32_768, None),
    ] {
        let config = read(sizes(family)).unwrap();
        assert_eq!((config.n_kv_heads, config.head_dim), (kv_heads, head_dim), "{family}");
        assert_eq!((config.context_length, config.d_ff), (context, 77), "{family}");
        assert_eq!(config.windows, vec![window; 30], "{family}");
        assert_eq!((config.norm_epsilon, config.activation), (1e-6, Activation::Silu), "{family}");
        assert!(!config.tied && !config.attention_out_bias && !config.mlp_bias, "{family}");
        assert_eq!((config.qkv_bias, config.qk_norm), (family == "qwen2", family == "qwen3"), "{family}");
        let dims = config.head_dim;
        assert_eq!(
            config.rope(29),
            Some(&RopeConfig { theta: 10_000.0, dims, scaling: RopeScaling::Default })
        );

        // An explicit null differs from a missing key.
        let mut config = sizes(family);
        config["num_key_value_heads"] = Value::Null;
        config["sliding_window"] = Value::Null;
        let config = read(config).unwrap();
        assert_eq!((config.n_kv_heads, &config.windows), (32, &vec![None; 30]), "{family}");
    }
}

#[test]
fn null_counts_as_missing() {
    let optional = [
        "activation_function",
        "add_cross_attention",
        "attention_bias",
        "head_dim",
        "hidden_act",
        "layer_norm_epsilon",
        "layer_types",
        "max_position_embeddings",
        "max_window_layers",
        "mlp_bias",
        "n_inner",
        "quantization_config",
        "rms_norm_eps",
        "rope_parameters",
        "rope_scaling",
        "rope_theta",
        "scale_attn_by_inverse_layer_idx",
        "scale_attn_weights",
        "tie_word_embeddings",
        "use_sliding_window",
    ];
    let mut different = 0;
    for name in ["gpt2-odd", "llama-rope-yarn", "mistral-window", "qwen2-window", "qwen2-layer-types"] {
        let original = with(name, json!({})).unwrap();
        for key in optional {
            let [absent, null] =
                [json!("absent"), Value::Null].map(|value| with(name, json!({ key: value })));
            // Both are errors if another key requires this one.
            let (absent, null) = (absent.ok(), null.ok());
            assert_eq!(absent, null, "{name}: {key}");
            different += usize::from(absent.as_ref() != Some(&original));
        }
    }
    assert!(different >= 10, "only {different} keys matter");
}

#[test]
fn numbers_may_be_written_as_integers_or_floats() {
    let original = with("llama-rope-llama3", json!({})).unwrap();
    let rope = json!({"factor": 8, "high_freq_factor": 4, "low_freq_factor": 1, "rope_theta": 10000,
        "original_max_position_embeddings": 32.0, "rope_type": "llama3"});
    let keys =
        json!({"hidden_size": 32.0, "rms_norm_eps": 1e-06, "vocab_size": 1.01e2, "rope_parameters": rope});
    assert_eq!(with("llama-rope-llama3", keys).unwrap(), original);
    assert_says(with("llama-gqa", json!({"hidden_size": 32.5})), &["config.json", "hidden_size", "32.5"]);
    assert_says(with("llama-gqa", json!({"hidden_size": "32"})), &["hidden_size", "\"32\""]);
    assert_says(with("llama-gqa", json!({"vocab_size": -1})), &["vocab_size", "-1"]);
}

#[test]
fn gpt2_under_the_names_of_the_others() {
    let config = json!({"model_type": "gpt2", "vocab_size": 9, "hidden_size": 12, "num_attention_heads": 3,
        "num_hidden_layers": 2, "max_position_embeddings": 40});
    let usual = json!({"model_type": "gpt2", "vocab_size": 9, "n_embd": 12, "n_head": 3, "n_layer": 2,
        "n_positions": 40, "n_ctx": 99});
    assert_eq!(read(config).unwrap(), read(usual).unwrap());
}

#[test]
fn a_size_that_is_missing_is_named() {
    for key in ["vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"]
    {
        assert_says(with("llama-gqa", json!({ key: "absent" })), &["config.json", key, "found nothing"]);
    }
    for key in ["vocab_size", "n_embd", "n_layer", "n_head", "n_positions"] {
        assert_says(with("gpt2-plain", json!({ key: "absent" })), &["config.json", key, "found nothing"]);
    }
}

#[test]
fn rotary_parameters_are_found_in_old_and_new_keys() {
    let rope = |keys: Value| with("llama-gqa", keys).unwrap().rope(0).unwrap().clone();
    let linear = |factor: f32| RopeScaling::Linear { factor };
    let both = json!({"rope_scaling": {"type": "linear", "factor": 2}, "rope_parameters": {"rope_theta": 7}});
    assert_eq!(rope(both).scaling, linear(2.0), "rope_scaling goes before rope_parameters");
    let empty = json!({"rope_scaling": {}, "rope_parameters": {"rope_type": "linear", "factor": 3}});
    assert_eq!(rope(empty).scaling, linear(3.0), "unless it is empty");
    let theta = json!({"rope_theta": 5, "rope_parameters": {"rope_theta": 7}});
    assert_eq!(rope(theta).theta, 7.0, "theta inside goes before theta outside");
    let theta = json!({"rope_theta": 5, "rope_parameters": {"rope_type": "default"}});
    assert_eq!(rope(theta).theta, 5.0);
    let both = json!({"rope_parameters": {"rope_type": "linear", "type": "yarn", "factor": 3}});
    assert_eq!(rope(both).scaling, linear(3.0), "rope_type goes before type");

    let original = |keys: Value| match rope(keys).scaling {
        RopeScaling::Yarn { original_context, factor, .. } => (original_context, factor),
        other => panic!("{other:?}"),
    };
    let yarn = json!({"rope_type": "yarn", "factor": 4, "original_max_position_embeddings": 32});
    let keys = json!({"original_max_position_embeddings": 16, "rope_parameters": yarn});
    assert_eq!(original(keys), (16.0, 4.0), "the original context outside goes before the one inside");
    let keys = json!({"max_position_embeddings": 128, "rope_parameters": {"rope_type": "yarn", "factor": 4}});
    assert_eq!(original(keys), (128.0, 4.0), "the context, if neither is said");
    let yarn = json!({"rope_type": "yarn", "factor": null, "original_max_position_embeddings": 32});
    assert_eq!(original(json!({"max_position_embeddings": 128, "rope_parameters": yarn})), (32.0, 4.0));
}

#[test]
fn defaults_of_yarn() {
    let yarn = |keys: Value| {
        let mut scaling = json!({"rope_type": "yarn", "factor": 4, "original_max_position_embeddings": 32});
        scaling.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        match with("llama-gqa", json!({"rope_parameters": scaling})).unwrap().rope(0).unwrap().clone().scaling
        {
            RopeScaling::Yarn { beta_fast, beta_slow, truncate, attention_factor, .. } => {
                (beta_fast, beta_slow, truncate, attention_factor)
            }
            other => panic!("{other:?}"),
        }
    };
    let sharpened = 0.1 * 4.0f32.ln() + 1.0;
    assert_eq!(yarn(json!({})), (32.0, 1.0, true, sharpened));
    assert_eq!(
        yarn(json!({"beta_fast": 0, "beta_slow": null, "truncate": false})),
        (32.0, 1.0, false, sharpened)
    );
    assert_eq!(yarn(json!({"attention_factor": 2, "mscale": 3, "mscale_all_dim": 4})).3, 2.0);
    assert_eq!(yarn(json!({"mscale": 3, "mscale_all_dim": 3})).3, 1.0);
    assert_eq!(yarn(json!({"mscale": 3, "mscale_all_dim": 0})).3, sharpened);
}

#[test]
fn invalid_rotary_parameters_are_named() {
    let rope = |scaling: Value| with("llama-gqa", json!({"rope_scaling": scaling}));
    assert_says(rope(json!({"type": "linear"})), &["rope_scaling.factor", "found nothing"]);
    assert_says(rope(json!({"type": "linear", "factor": 0})), &["rope_scaling.factor", "positive"]);
    let llama3 = |low: f32, high: f32| {
        rope(json!({"type": "llama3", "factor": 8, "low_freq_factor": low, "high_freq_factor": high}))
    };
    assert!(llama3(1.0, 4.0).is_ok());
    assert_says(llama3(0.0, 4.0), &["rope_scaling.low_freq_factor", "positive"]);
    assert_says(llama3(4.0, 4.0), &["rope_scaling.high_freq_factor", "above low_freq_factor, 4"]);
    let yarn = json!({"type": "yarn", "factor": 2, "original_max_position_embeddings": -1});
    assert_says(rope(yarn), &["rope_scaling.original_max_position_embeddings", "-1"]);
    assert_says(with("llama-gqa", json!({"rope_parameters": {"rope_theta": 0.5}})), &["rope_theta", "0.5"]);
    assert_says(with("llama-gqa", json!({"rope_scaling": "linear"})), &["rope_scaling", "an object"]);
}

#[test]
fn all_unsupported_parts_are_named_in_one_error() {
    let keys = json!({
        "quantization_config": {"quant_method": "gptq"},
        "add_cross_attention": true,
        "hidden_act": "xielu",
        "partial_rotary_factor": 0.5,
        "rope_scaling": {"rope_type": "longrope", "full_attention": {"rope_type": "default"}},
    });
    let parts = ["quantization_config", "add_cross_attention", "xielu", "partial_rotary_factor", "longrope"];
    let result = with("llama-gqa", keys);
    assert!(matches!(&result, Err(Error::Unsupported { parts, .. }) if parts.len() == 6));
    assert_says(result, &parts);
    let keys =
        json!({"partial_rotary_factor": 1.0, "add_cross_attention": false, "quantization_config": null});
    assert!(with("llama-gqa", keys).is_ok());
    assert_says(
        with("llama-gqa", json!({"partial_rotary_factor": "half"})),
        &["partial_rotary_factor", "half"],
    );
}

#[test]
fn an_unsupported_family_is_named_with_the_supported_ones() {
    assert_says(
        with("llama-gqa", json!({"model_type": "gptj"})),
        &["config.json", "\"gptj\"", "gpt2", "llama, mistral, qwen2, qwen3, gemma3_text"],
    );
    for value in [json!("absent"), Value::Null] {
        let keys = json!({"model_type": value, "architectures": ["LlamaForCausalLM"]});
        assert_says(with("llama-gqa", keys), &["config.json", "model_type", "found nothing"]);
    }
    let result =
        changed_gguf("llama-text", |file| file.set("general.architecture", V::String("gptj".into())));
    assert_says(result, &["llama-text.gguf", "\"gptj\"", "qwen3"]);
}

#[test]
fn activation_functions_by_all_their_names() {
    for (name, expected) in [
        ("gelu", Activation::GeluErf),
        ("gelu_python", Activation::GeluErf),
        ("gelu_new", Activation::GeluTanh),
        ("gelu_pytorch_tanh", Activation::GeluTanh),
        ("gelu_fast", Activation::GeluTanh),
        ("gelu_accurate", Activation::GeluTanh),
        ("quick_gelu", Activation::GeluQuick),
        ("silu", Activation::Silu),
        ("swish", Activation::Silu),
        ("relu", Activation::Relu),
        ("relu2", Activation::ReluSquared),
    ] {
        assert_eq!(with("gpt2-plain", json!({"activation_function": name})).unwrap().activation, expected);
        assert_eq!(with("llama-gqa", json!({"hidden_act": name})).unwrap().activation, expected);
    }
}

#[test]
fn which_biases_the_families_have() {
    let biases = |family: &str, key: &str| {
        let mut config = sizes(family);
        config[key] = json!(true);
        let config = read(config).unwrap();
        (config.qkv_bias, config.attention_out_bias, config.mlp_bias)
    };
    assert_eq!(biases("llama", "attention_bias"), (true, true, false));
    assert_eq!(biases("llama", "mlp_bias"), (false, false, true));
    assert_eq!(biases("mistral", "attention_bias"), (false, false, false));
    assert_eq!(biases("mistral", "mlp_bias"), (false, false, false));
    assert_eq!(biases("qwen2", "attention_bias"), (true, false, false));
    assert_eq!(biases("qwen3", "attention_bias"), (true, true, false));
    assert_eq!(biases("qwen3", "mlp_bias"), (false, false, false));
}

#[test]
fn layers_with_a_window() {
    let windows = |family: &str, keys: Value| {
        let mut config = sizes(family);
        config["num_hidden_layers"] = json!(3);
        config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        read(config).map(|config| config.windows)
    };
    let (full, all) = (vec![None; 3], vec![Some(5); 3]);
    assert_eq!(windows("llama", json!({"sliding_window": 5})).unwrap(), full);
    assert_eq!(windows("mistral", json!({"sliding_window": 5})).unwrap(), all);
    // Transformers 5.23 reads a Mistral with `layer_types` as a Ministral (huggingface/transformers#40247).
    let types = |types: [&str; 3]| json!({"sliding_window": 5, "layer_types": types});
    let (full_type, sliding) = ("full_attention", "sliding_attention");
    assert_eq!(windows("mistral", types([full_type; 3])).unwrap(), full);
    assert_eq!(windows("mistral", types([sliding, full_type, sliding])).unwrap(), [Some(5), None, Some(5)]);
    assert_eq!(windows("mistral", json!({"sliding_window": 5, "layer_types": null})).unwrap(), all);
    let short = json!({"sliding_window": 5, "layer_types": [full_type]});
    assert_says(windows("mistral", short), &["layer_types", "a list of 3"]);
    assert_says(windows("mistral", types(["chunked_attention"; 3])), &["layer_types", "chunked_attention"]);
    for family in ["qwen2", "qwen3"] {
        assert_eq!(windows(family, json!({"sliding_window": 5})).unwrap(), full);
        let used = |keys: Value| {
            let mut scaling = json!({"use_sliding_window": true, "sliding_window": 5});
            scaling.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
            windows(family, scaling)
        };
        assert_eq!(used(json!({})).unwrap(), full, "the first 28 layers see all");
        assert_eq!(used(json!({"max_window_layers": 1})).unwrap(), [None, Some(5), Some(5)]);
        assert_eq!(used(json!({"max_window_layers": 0})).unwrap(), all);
        let types = json!({"layer_types": ["sliding_attention", "attention", "full_attention"]});
        assert_eq!(used(types).unwrap(), [Some(5), None, None]);
        let unsaid = json!({"use_sliding_window": true, "max_window_layers": 2});
        assert_eq!(windows(family, unsaid).unwrap(), [None, None, Some(4096)]);
        let types = json!({"layer_types": ["sliding_attention", "full_attention", "full_attention"]});
        assert_says(windows(family, types), &["sliding_window", "layer_types names a window"]);
        assert_says(used(json!({"layer_types": ["full_attention"]})), &["layer_types", "a list of 3"]);
        assert_says(used(json!({"layer_types": ["a", "b", "c"]})), &["layer_types", "\"a\""]);
    }
}

#[test]
fn all_inconsistencies_are_named_in_one_error() {
    let keys = json!({"num_key_value_heads": 4, "head_dim": 7, "rms_norm_eps": 2});
    assert_says(
        with("llama-gqa", keys),
        &[
            "config.json",
            "n_heads 6 is not a multiple of n_kv_heads 4",
            "an even head_dim, found 7",
            "epsilon is 2",
        ],
    );
    assert_says(with("gpt2-plain", json!({"n_head": 5})), &["d_model 24 is not divisible by 5 heads"]);
    assert_says(
        gguf_with("gpt2-text", &[("gpt2.attention.head_count_kv", Some(V::U32(2)))]),
        &["gpt2-text.gguf", "as many key-value heads as query heads, 4, found 2"],
    );
}

#[test]
fn embedding_and_unembedding_tied_or_not() {
    let tie = |tied: bool| move |config: &mut Value| config["tie_word_embeddings"] = json!(tied);
    let unembedding = "lm_head.weight";
    let apart = bits(Changed::copy("llama-gqa").open().unwrap());
    let different = Changed::copy("llama-gqa").json("config.json", tie(true));
    assert!(
        bits(different.open().unwrap()) == apart,
        "a separate unembedding is used, whatever the configuration says"
    );

    let remove = |name: &'static str| {
        move |tensors: &mut std::collections::BTreeMap<String, Tensor>| {
            assert!(tensors.remove(name).is_some());
        }
    };
    let tied = Changed::copy("llama-gqa").json("config.json", tie(true)).tensors(remove(unembedding));
    let together = bits(tied.open().unwrap());
    assert!(together != apart);
    let equal = Changed::copy("llama-gqa").json("config.json", tie(true)).tensors(|tensors| {
        tensors.insert(unembedding.into(), tensors["model.embed_tokens.weight"].clone());
    });
    assert!(bits(equal.open().unwrap()) == together);
    let model = equal.open().unwrap().run_on(Pool::new(1, Level::detect()).unwrap()).unwrap();
    assert!(model.vocabulary().unembedding.is_none(), "one matrix, stored twice, is kept once");
    let renamed = tied.tensors(|tensors| {
        let embedding = tensors.remove("model.embed_tokens.weight").unwrap();
        tensors.insert(unembedding.into(), embedding);
    });
    assert!(bits(renamed.open().unwrap()) == together, "the head alone serves both");

    let missing = Changed::copy("llama-gqa").tensors(remove(unembedding));
    assert_says(load(&missing), &["lm_head.weight: missing, expected shape [101, 36]"]);
    let missing = Changed::copy("llama-gqa").tensors(remove("model.embed_tokens.weight"));
    assert_says(load(&missing), &["model.embed_tokens.weight: missing"]);
}

#[test]
fn names_with_and_without_the_usual_prefix() {
    for (name, prefix) in [("llama-mha-tied", "model."), ("gpt2-text", "transformer.")] {
        let expected = bits(Changed::copy(name).open().unwrap());
        let strip = |name: &String| name.strip_prefix(prefix).unwrap_or(name).to_string();
        let renamed = |rename: &dyn Fn(usize, &String) -> String| {
            Changed::copy(name).tensors(|tensors| {
                let names = tensors.clone().into_iter().enumerate();
                *tensors = names.map(|(i, (name, tensor))| (rename(i, &name), tensor)).collect();
            })
        };
        assert!(bits(renamed(&|_, name| strip(name)).open().unwrap()) == expected, "{name} without {prefix}");
        let with_prefix = |_, name: &String| format!("{prefix}{}", strip(name));
        assert!(bits(renamed(&with_prefix).open().unwrap()) == expected, "{name} with {prefix}");
        let some =
            renamed(&|i, name| if i % 2 == 0 { strip(name) } else { format!("{prefix}{}", strip(name)) });
        assert_says(load(&some), &["missing", "unexpected tensor"]);
    }
}

#[test]
fn computed_tables_of_old_files_are_ignored() {
    let ones = |shape: &[usize]| Tensor::from_f32(shape, vec![1.0; shape.iter().product()]).unwrap();
    let llama = Changed::copy("llama-gqa").tensors(|tensors| {
        tensors.insert("model.layers.0.self_attn.rotary_emb.inv_freq".into(), ones(&[4]));
        tensors.insert("model.rotary_emb.inv_freq".into(), ones(&[4]));
    });
    assert!(bits(llama.open().unwrap()) == bits(Changed::copy("llama-gqa").open().unwrap()));
    let gpt2 = Changed::copy("gpt2-text").tensors(|tensors| {
        let prefix = if tensors.contains_key("h.0.ln_1.weight") { "" } else { "transformer." };
        tensors.insert(format!("{prefix}h.0.attn.bias"), ones(&[1, 1, 64, 64]));
        tensors.insert(format!("{prefix}h.1.attn.masked_bias"), ones(&[]));
    });
    assert!(bits(gpt2.open().unwrap()) == bits(Changed::copy("gpt2-text").open().unwrap()));
}

#[test]
fn all_wrong_tensors_are_named_in_one_error() {
    let directory = Changed::copy("llama-gqa").tensors(|tensors| {
        tensors.remove("model.layers.0.mlp.up_proj.weight");
        tensors.remove("model.layers.1.input_layernorm.weight");
        let odd = Tensor::from_f32([3], vec![0.0; 3]).unwrap();
        tensors.insert("model.norm.weight".into(), odd.clone());
        tensors.insert("model.layers.0.self_attn.q_proj.bias".into(), odd);
    });
    assert_says(
        load(&directory),
        &[
            "model.safetensors",
            "model.layers.0.mlp.up_proj.weight: missing, expected shape [34, 36]",
            "model.layers.1.input_layernorm.weight: missing, expected shape [36]",
            "model.norm.weight: expected shape [36], found [3]",
            "model.layers.0.self_attn.q_proj.bias: unexpected tensor, this llama has no such parameter",
        ],
    );
}

#[test]
fn an_unsupported_number_format_is_named() {
    let directory = Changed::copy("gpt2-plain");
    let path = directory.path().join("model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(5).position(|window| window == b"\"F32\"").unwrap();
    bytes[at + 1..at + 4].copy_from_slice(b"I32");
    fs::write(path, bytes).unwrap();
    assert_says(load(&directory), &["model.safetensors", ": unsupported number format I32"]);
}

#[test]
fn more_layers_than_tensors_is_an_error() {
    let directory = Changed::copy("llama-gqa").json("config.json", |config| {
        config["num_hidden_layers"] = json!(4000);
    });
    assert_says(load(&directory), &["model.safetensors", "too few for 4000 layers"]);
}

#[test]
fn shards_stay_beside_their_index() {
    let index = "model.safetensors.index.json";
    let shard = |file: &'static str| {
        Changed::copy("llama-bf16-sharded").json(index, move |index| {
            let map = index["weight_map"].as_object_mut().unwrap();
            map.values_mut().next().unwrap().clone_from(&json!(file));
        })
    };
    for file in ["../model.safetensors", "/etc/passwd", "a/b.safetensors", "..", ""] {
        assert_says(shard(file).open().map(drop), &[index, &format!("{file:?}")]);
    }
    assert_says(shard("gone.safetensors").open().map(drop), &["gone.safetensors"]);
    assert_says(shard("model-00002-of-00006.safetensors").open().map(drop), &[index, "weight"]);
}

#[test]
fn a_single_file_precedes_an_index() {
    let directory = Changed::copy("llama-gqa");
    fs::write(directory.path().join("model.safetensors.index.json"), "no JSON").unwrap();
    assert!(load(&directory).is_ok());
    fs::remove_file(directory.path().join("model.safetensors")).unwrap();
    assert_says(directory.open().map(drop), &["model.safetensors.index.json"]);
    fs::remove_file(directory.path().join("model.safetensors.index.json")).unwrap();
    assert_says(
        directory.open().map(drop),
        &["model.safetensors and model.safetensors.index.json are missing"],
    );
    fs::remove_file(directory.path().join("config.json")).unwrap();
    assert_says(directory.open().map(drop), &["config.json is missing"]);
    assert_says(Checkpoint::open(directory.path().join("gone.gguf")).map(drop), &["gone.gguf"]);
}

#[test]
fn end_of_sequence_tokens() {
    let ends = |config: Value, generation: Option<Value>| {
        let directory =
            Changed::copy("llama-gqa").json("config.json", |value| value["eos_token_id"] = config);
        let path = directory.path().join("generation_config.json");
        match generation {
            Some(value) => fs::write(path, value.to_string()).unwrap(),
            None => fs::remove_file(path).unwrap(),
        }
        directory.open().map(|checkpoint| checkpoint.generation().eos_ids.clone())
    };
    assert_eq!(ends(json!(7), None).unwrap(), [7]);
    assert_eq!(ends(json!([7, 8]), None).unwrap(), [7, 8]);
    assert!(ends(Value::Null, None).unwrap().is_empty());
    assert_eq!(ends(json!(7), Some(json!({"eos_token_id": [9, 3]}))).unwrap(), [9, 3]);
    assert_eq!(ends(json!(7), Some(json!({"eos_token_id": 9}))).unwrap(), [9]);
    assert_eq!(ends(json!(7), Some(json!({"eos_token_id": null}))).unwrap(), [7]);
    // Invalid ids count as missing: see warnings.rs.
    assert_eq!(ends(json!(7), Some(json!({"eos_token_id": "</s>"}))).unwrap(), [7]);
    assert_eq!(ends(json!([7, -1]), None).unwrap(), [7]);
}

#[test]
fn recommended_generation_settings() {
    let directory = Changed::copy("llama-gqa").json("generation_config.json", |value| {
        *value = json!({"do_sample": true, "temperature": 1, "top_k": 20, "top_p": 0.5, "repetition_penalty": null});
    });
    let checkpoint = directory.open().unwrap();
    let scaling = checkpoint.generation();
    assert_eq!((scaling.do_sample, scaling.temperature, scaling.top_k), (Some(true), Some(1.0), Some(20)));
    assert_eq!((scaling.top_p, scaling.repetition_penalty), (Some(0.5), None));
}

/// The configuration of a GGUF with some keys given a value, or removed.
fn gguf_with(name: &str, keys: &[(&str, Option<V>)]) -> Result<Config, Error> {
    let checkpoint =
        changed_gguf(name, |file| keys.iter().for_each(|(key, value)| file.set(key, value.clone())));
    Ok(checkpoint?.config().clone())
}

/// Regression: the sampling that a GGUF recommends in `general.sampling.*`, keys of llama.cpp, was ignored.
#[test]
fn a_gguf_recommends_how_to_sample() {
    let checkpoint = changed_gguf("llama-text", |file| {
        file.set("general.sampling.temp", Some(V::F32(0.25)));
        file.set("general.sampling.top_k", Some(V::I32(20)));
        file.set("general.sampling.min_p", Some(V::F32(0.125)));
    })
    .unwrap();
    let advice = checkpoint.generation();
    assert_eq!((advice.temperature, advice.top_k, advice.min_p), (Some(0.25), Some(20), Some(0.125)));
    assert_eq!((advice.top_p, advice.repetition_penalty, advice.do_sample), (None, None, None));
    assert!(
        changed_gguf("llama-text", |file| file.set("general.sampling.temp", Some(V::String("hot".into()))))
            .is_err()
    );
}

#[test]
fn defaults_of_a_gguf() {
    let name = "llama-text";
    let original = gguf_with(name, &[]).unwrap();
    assert_eq!((original.n_kv_heads, original.head_dim, original.vocab_size), (2, 8, 288));
    assert!(original.tied);
    let silent = [
        "attention.key_length",
        "attention.value_length",
        "rope.dimension_count",
        "vocab_size",
        "attention.head_count_kv",
        "rope.freq_base",
    ];
    let silent = silent.map(|key| format!("llama.{key}"));
    let config = gguf_with(name, &silent.each_ref().map(|key| (key.as_str(), None))).unwrap();
    assert_eq!((config.n_kv_heads, config.head_dim, config.vocab_size), (4, 8, 288));
    let dims = config.head_dim;
    assert_eq!(config.rope(0), Some(&RopeConfig { theta: 10_000.0, dims, scaling: RopeScaling::Default }));
    for key in
        ["context_length", "embedding_length", "block_count", "feed_forward_length", "attention.head_count"]
    {
        let key = format!("llama.{key}");
        assert_says(gguf_with(name, &[(&key, None)]), &["llama-text.gguf", &key]);
    }
    assert_says(gguf_with(name, &[("general.architecture", None)]), &["general.architecture"]);
}

#[test]
fn numbers_of_a_gguf_in_any_width() {
    let name = "llama-text";
    let original = gguf_with(name, &[]).unwrap();
    let keys = [
        ("llama.block_count", Some(V::U64(2))),
        ("llama.embedding_length", Some(V::I32(32))),
        ("llama.attention.head_count", Some(V::U8(4))),
        ("llama.rope.freq_base", Some(V::U32(1000))),
        ("llama.attention.layer_norm_rms_epsilon", Some(V::F64(f64::from(original.norm_epsilon)))),
    ];
    assert_eq!(gguf_with(name, &keys).unwrap(), original);
    assert_says(
        gguf_with(name, &[("llama.block_count", Some(V::F32(2.0)))]),
        &["llama.block_count", "f32 2"],
    );
    assert_says(gguf_with(name, &[("llama.block_count", Some(V::U64(1 << 40)))]), &["llama.block_count"]);
    assert_says(gguf_with(name, &[("llama.block_count", Some(V::I32(-2)))]), &["llama.block_count", "-2"]);
    assert_says(
        gguf_with(name, &[("llama.rope.freq_base", Some(V::F32(f32::NAN)))]),
        &["llama.rope.freq_base"],
    );
}

#[test]
fn rotary_parameters_of_a_gguf() {
    let scaling = |keys: &[(&str, V)]| {
        let keys: Vec<_> =
            keys.iter().map(|(key, value)| (format!("llama.rope.{key}"), value.clone())).collect();
        let keys: Vec<_> = keys.iter().map(|(key, value)| (key.as_str(), Some(value.clone()))).collect();
        gguf_with("llama-text", &keys).map(|config| config.rope(0).unwrap().scaling.clone())
    };
    let (text, number) = (|text: &str| V::String(text.into()), V::F32);
    let linear = RopeScaling::Linear { factor: 2.0 };
    assert_eq!(scaling(&[("scale_linear", number(2.0))]).unwrap(), linear);
    assert_eq!(scaling(&[("scaling.factor", number(2.0)), ("scale_linear", number(3.0))]).unwrap(), linear);
    assert_eq!(scaling(&[("scaling.factor", V::U32(2)), ("scaling.type", text("linear"))]).unwrap(), linear);
    for nothing in [0.0, 1.0] {
        assert_eq!(scaling(&[("scale_linear", number(nothing))]).unwrap(), RopeScaling::Default);
    }
    assert_eq!(
        scaling(&[("scaling.factor", number(2.0)), ("scaling.type", text("none"))]).unwrap(),
        RopeScaling::Default
    );
    let yarn = [
        ("scaling.type", text("yarn")),
        ("scaling.factor", number(4.0)),
        ("scaling.attn_factor", number(0.5)),
        ("scaling.yarn_beta_fast", number(20.0)),
    ];
    let expected = RopeScaling::Yarn {
        factor: 4.0,
        original_context: 128.0,
        beta_fast: 20.0,
        beta_slow: 1.0,
        truncate: true,
        attention_factor: (0.1 * 4.0f32.ln() + 1.0) * 0.5,
    };
    assert_eq!(scaling(&yarn).unwrap(), expected);
    assert_says(scaling(&[("scaling.type", text("longrope"))]), &["llama.rope.scaling.type", "longrope"]);
    assert_says(scaling(&[("scaling.factor", number(-1.0))]), &["llama.rope.scaling.factor", "-1"]);
    assert_says(
        scaling(&[("scaling.type", text("yarn")), ("scaling.yarn_ext_factor", number(0.5))]),
        &["llama.rope.scaling.yarn_ext_factor", "0.5"],
    );
}

#[test]
fn divisors_of_a_gguf_exclude_other_scaling() {
    let divisors = |values: Vec<f32>, factor: Option<V>| {
        let checkpoint = changed_gguf("llama-text", |file| {
            let tensor = Tensor::from_f32([values.len()], values).unwrap();
            file.tensors.insert("rope_freqs.weight".into(), tensor);
            file.set("llama.rope.scaling.factor", factor);
        });
        checkpoint.map(|checkpoint| checkpoint.config().rope(0).unwrap().scaling.clone())
    };
    let values = vec![1.0, 1.0, 2.0, 8.0];
    assert_eq!(divisors(values.clone(), None).unwrap(), RopeScaling::Divisors(values.clone()));
    assert_eq!(divisors(values.clone(), Some(V::F32(1.0))).unwrap(), RopeScaling::Divisors(values.clone()));
    assert_says(divisors(values, Some(V::F32(2.0))), &["llama.rope.scaling.type", "rope_freqs.weight"]);
    assert_says(divisors(vec![1.0; 3], None), &["rope_freqs.weight: expected F32 [4]"]);
    assert_says(divisors(vec![1.0, 0.0, 1.0, 1.0], None), &["rope_freqs.weight", "found 0"]);
}

#[test]
fn unsupported_parts_of_a_gguf_are_named_in_one_error() {
    let keys = [
        ("qwen2.expert_count", Some(V::U32(8))),
        ("qwen2.attention.value_length", Some(V::U32(16))),
        ("qwen2.rope.dimension_count", Some(V::U32(4))),
    ];
    assert_says(
        gguf_with("qwen2-text", &keys),
        &["qwen2.expert_count", "mixture of experts", "different lengths", "qwen2.rope.dimension_count"],
    );
    assert!(gguf_with("qwen2-text", &[("qwen2.expert_count", Some(V::U32(0)))]).is_ok());
}

#[test]
fn a_window_in_a_gguf() {
    let window = |value: V| gguf_with("llama-text", &[("llama.attention.sliding_window", Some(value))]);
    assert_eq!(window(V::U32(5)).unwrap().windows, [Some(5); 2]);
    assert_eq!(window(V::U32(0)).unwrap().windows, [None; 2]);
    assert_says(window(V::String("5".into())), &["llama.attention.sliding_window"]);
}

#[test]
fn tensors_of_a_gguf_decide_what_its_keys_omit() {
    let zeros = |shape: &[usize]| Tensor::from_f32(shape, vec![0.0; shape.iter().product()]).unwrap();
    let expected = bits(changed_gguf("llama-text", |_| ()).unwrap());
    let biased = changed_gguf("llama-text", |file| {
        for layer in 0..2 {
            for (part, len) in [("q", 32), ("k", 16), ("v", 16), ("output", 32)] {
                file.tensors.insert(format!("blk.{layer}.attn_{part}.bias"), zeros(&[len]));
            }
            file.tensors.insert(format!("blk.{layer}.attn_rot_embd.weight"), zeros(&[4]));
        }
    });
    let biased = biased.unwrap();
    let config = biased.config();
    assert_eq!((config.qkv_bias, config.attention_out_bias, config.mlp_bias), (true, true, false));
    assert!(bits(biased) == expected);

    let untied = changed_gguf("llama-text", |file| {
        file.tensors.insert("output.weight".into(), file.tensors["token_embd.weight"].clone());
    });
    let untied = untied.unwrap();
    assert!(!untied.config().tied);
    assert!(bits(untied) == expected);

    let missing =
        changed_gguf("llama-text", |file| drop(file.tensors.remove("blk.1.ffn_norm.weight"))).unwrap();
    let loaded = missing.run_on(Pool::new(1, Level::detect()).unwrap());
    assert_says(loaded.map(drop), &["llama-text.gguf", "blk.1.ffn_norm.weight: missing"]);
}

#[test]
fn a_gguf_without_a_tokenizer() {
    let checkpoint = Checkpoint::open(fixture("gguf/llama-rope-yarn.gguf")).unwrap();
    assert!(checkpoint.tokenizer().unwrap().is_none());
    assert!(checkpoint.chat_template().unwrap().is_none());
    let silent = changed_gguf("llama-text", |file| file.set("tokenizer.ggml.model", None)).unwrap();
    assert!(silent.tokenizer().unwrap().is_none());
    let ends = changed_gguf("llama-text", |file| {
        file.set("tokenizer.ggml.eos_token_id", V::U32(7));
        file.set("tokenizer.ggml.eot_token_id", V::U32(9));
    });
    assert_eq!(ends.unwrap().generation().eos_ids, [7, 9]);
}
