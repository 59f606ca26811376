//! Keys of an architecture that nothing reads: harmless ones, those that would change the results, and the rest, which
//! costs a warning.

use glassbox_tensor::file::gguf::Value;

use super::Metadata;
use crate::error::Error;
use crate::warning::Warning;

/// Keys without effect on the results.
const HARMLESS: &[&str] = &[
    "expert_used_count", // without experts
    "nextn_predict_layers",
    "pooling_type",
    "rope.scaling.finetuned",
    "rope.scaling.original_context_length", // only YaRN needs it
    "tensor_data_layout",
    "vocab_size",
];

/// Keys of llama.cpp that change the results of other architectures, each with the values that change nothing.
const CHANGING: &[(&str, &[f64])] = &[
    ("attention.clamp_kqv", &[0.0]),
    ("attention.group_norm_groups", &[]),
    ("attention.key_length_mla", &[]),
    ("attention.key_length_swa", &[]),
    ("attention.kv_lora_rank", &[]),
    ("attention.max_alibi_bias", &[0.0]),
    ("attention.q_lora_rank", &[]),
    ("attention.relative_buckets_count", &[]),
    ("attention.scale", &[0.0]),
    ("attention.sliding_window", &[0.0]),
    ("attention.sliding_window_pattern", &[0.0]),
    ("attention.temperature_scale", &[]),
    ("attention.value_length_mla", &[]),
    ("attn_logit_softcapping", &[0.0]),
    ("embedding_scale", &[0.0, 1.0]),
    ("expert_count", &[0.0]),
    ("expert_shared_count", &[0.0]),
    ("expert_weights_scale", &[0.0, 1.0]),
    ("final_logit_softcapping", &[0.0]),
    ("interleave_moe_layer_step", &[0.0]),
    ("logit_scale", &[0.0, 1.0]),
    ("moe_every_n_layers", &[0.0]),
    ("residual_scale", &[0.0, 1.0]),
    ("rope.dimension_sections", &[]),
    ("rope.scaling.attn_factor", &[0.0, 1.0]),
    ("router_logit_softcapping", &[0.0]),
    ("swin_norm", &[0.0]),
    ("use_parallel_residual", &[0.0]),
];

impl Metadata<'_> {
    /// A warning with the architecture's keys that nothing has read, if there are any worth one.
    ///
    /// # Errors
    /// [`Error::Unsupported`] with the unread keys that are known to change the results.
    pub(crate) fn check_unread(&self) -> Result<Option<Warning>, Error> {
        let prefix = self.key("");
        let asked = self.asked.borrow();
        let (mut parts, mut keys) = (Vec::new(), Vec::new());
        for (full, value) in self.file.metadata() {
            let Some(key) = full.strip_prefix(&prefix).filter(|_| !asked.contains(full)) else { continue };
            match CHANGING.iter().find(|(changing, _)| *changing == key) {
                Some((_, neutral)) if number(value).is_some_and(|value| neutral.contains(&value)) => {}
                Some(_) => parts.push(format!("{full} {value} (it would change the results)")),
                None if HARMLESS.contains(&key) => {}
                None => keys.push(full.clone()),
            }
        }
        let path = self.file.path().to_path_buf();
        if !parts.is_empty() {
            return Err(Error::Unsupported { path, parts });
        }
        Ok((!keys.is_empty()).then_some(Warning::UnreadKeys { path, keys }))
    }
}

/// A number, or a truth value as 0 or 1.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Bool(value) => Some(f64::from(u8::from(*value))),
        value => value.as_integer().map(|whole| whole as f64).or_else(|| value.as_f32().map(f64::from)),
    }
}
