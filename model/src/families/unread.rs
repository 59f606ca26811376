//! Keys of `config.json` that a family's page does not read: harmless ones, those that would change the results, and
//! the rest, which costs a warning.
//!
//! Transformers ignores keys that a model class does not know. A file that sets one nevertheless describes another
//! model than the one that is computed, unless the value is the one that changes nothing.

use serde_json::Value;

use crate::error::Error;
use crate::fields::Fields;
use crate::warning::Warning;

/// Keys without effect on the results: descriptions of the file, training, special tokens, what to return, the
/// machine.
const HARMLESS: &[&str] = &[
    "architectures",
    "attention_probs_dropout_prob",
    "attn_implementation",
    "attn_pdrop",
    "auto_map",
    "bad_words_ids",
    "cache_implementation",
    "chunk_size_feed_forward",
    "cross_attention_hidden_size",
    "do_sample",
    "dtype",
    "embd_pdrop",
    "finetuning_task",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "generation_config",
    "gradient_checkpointing",
    "id2label",
    "initializer_factor",
    "initializer_range",
    "is_decoder",
    "is_llama_config",
    "keys_to_ignore_at_inference",
    "label2id",
    "length_penalty",
    "max_length",
    "max_new_tokens",
    "min_length",
    "model_max_length",
    "n_ctx",
    "name",
    "name_or_path",
    "num_beams",
    "num_return_sequences",
    "output_attentions",
    "output_hidden_states",
    "output_router_logits",
    "output_scores",
    "prefix",
    "pretraining_tp",
    "problem_type",
    "pruned_heads",
    "reorder_and_upcast_attn",
    "repetition_penalty",
    "resid_pdrop",
    "return_dict",
    "return_dict_in_generate",
    "router_aux_loss_coef",
    "router_jitter_noise",
    "tasks",
    "task_specific_params",
    "temperature",
    "tf_legacy_loss",
    "tokenizer_class",
    "top_k",
    "top_p",
    "torch_dtype",
    "torchscript",
    "transformers.js_config",
    "transformers_version",
    "typical_p",
    "unsloth_fixed",
    "unsloth_version",
    "use_bfloat16",
    "use_cache",
];

/// A value that means: as if the key were missing.
#[derive(Clone, Copy)]
enum Neutral {
    False,
    Number(f64),
    /// Only a missing key changes nothing.
    Missing,
}

/// Keys of relatives of the supported models that change the results, each with its neutral value.
const CHANGING: &[(&str, Neutral)] = &[
    ("alibi", Neutral::False),
    ("attention_chunk_size", Neutral::Missing),
    ("attention_logit_cap", Neutral::Number(0.0)),
    ("attention_multiplier", Neutral::Missing),
    ("attn_temperature_tuning", Neutral::False),
    ("clip_qkv", Neutral::Missing),
    ("dim_model_base", Neutral::Missing),
    ("embedding_multiplier", Neutral::Number(1.0)),
    ("is_encoder_decoder", Neutral::False),
    ("lm_head_multiplier", Neutral::Number(1.0)),
    ("logit_scale", Neutral::Number(1.0)),
    ("logits_scaling", Neutral::Number(1.0)),
    ("moe_intermediate_size", Neutral::Missing),
    ("n_routed_experts", Neutral::Number(0.0)),
    ("no_rope_layers", Neutral::Missing),
    ("nope_layer_interval", Neutral::Missing),
    ("num_experts", Neutral::Number(0.0)),
    ("num_local_experts", Neutral::Number(0.0)),
    ("parallel_attn", Neutral::False),
    ("q_lora_rank", Neutral::Missing),
    ("kv_lora_rank", Neutral::Missing),
    ("qk_layernorm", Neutral::False),
    ("qk_norm", Neutral::False),
    ("query_pre_attn_scalar", Neutral::Missing),
    ("residual_multiplier", Neutral::Number(1.0)),
    ("residual_scale", Neutral::Number(1.0)),
    ("rope_interleaved", Neutral::False),
    ("scale_depth", Neutral::Missing),
    ("scale_emb", Neutral::Number(1.0)),
    ("use_alibi", Neutral::False),
    ("use_mrope", Neutral::False),
    ("use_parallel_residual", Neutral::False),
    ("use_qk_norm", Neutral::False),
];

/// A warning with the keys that nothing has read, if there are any worth one.
///
/// # Errors
/// [`Error::Unsupported`] with the unread keys that are known to change the results.
pub(super) fn check(fields: &Fields) -> Result<Option<Warning>, Error> {
    let (mut parts, mut keys) = (Vec::new(), Vec::new());
    for (key, value) in fields.unread() {
        match CHANGING.iter().find(|(changing, _)| *changing == key) {
            Some((_, neutral)) if is_neutral(*neutral, value) => {}
            Some(_) => parts.push(format!("{key} {value} (it would change the results)")),
            None if is_harmless(&key) => {}
            None => keys.push(key),
        }
    }
    if !parts.is_empty() {
        return Err(Error::Unsupported { path: fields.path.clone(), parts });
    }
    Ok((!keys.is_empty()).then(|| Warning::UnreadKeys { path: fields.path.clone(), keys }))
}

fn is_neutral(neutral: Neutral, value: &Value) -> bool {
    match neutral {
        Neutral::False => *value == Value::Bool(false),
        Neutral::Number(neutral) => value.as_f64() == Some(neutral),
        Neutral::Missing => false,
    }
}

/// Whether a key has no effect on inference in any family. Keys with an underscore in front are private to the tools
/// that wrote them.
fn is_harmless(key: &str) -> bool {
    let family_of_keys = key.starts_with('_')
        || key.ends_with("_token_id")
        || key.contains("dropout")
        || key.starts_with("summary_")
        || key.contains("_loss");
    family_of_keys || HARMLESS.contains(&key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_is_both_harmless_and_changing() {
        for (key, _) in CHANGING {
            assert!(!is_harmless(key), "{key}");
        }
    }

    #[test]
    fn lists_are_kept_short_by_patterns() {
        for key in ["_attn_implementation", "hidden_dropout", "pad_token_id", "summary_type", "use_cache"] {
            assert!(is_harmless(key), "{key}");
        }
        for key in ["sliding_window", "layer_types", "rope_scaling.beta", "mystery"] {
            assert!(!is_harmless(key), "{key}");
        }
    }
}
