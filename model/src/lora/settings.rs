//! `adapter_config.json`: the settings of PEFT's `LoraConfig`, and which of them change the results.
//!
//! A setting that would change the results and is not supported is an error that names it. A key that PEFT 0.21 does
//! not know gives a warning, as in PEFT.

use serde::Deserialize;
use serde_json::Value;

use super::targets::{Ordered, Patterns, Targets, list_or_text};
use crate::error::Error;
use crate::fields::Fields;

/// What `adapter_config.json` says about the computation.
#[derive(Debug)]
pub(super) struct Settings {
    /// The rank of modules without a pattern of their own.
    pub(super) rank: usize,
    /// The numerator of the scale of modules without a pattern of their own.
    alpha: f64,
    /// Whether the scale is `alpha / √rank`: "rank-stabilised" LoRA, Kalajdzievski (2023).
    by_root: bool,
    ranks: Patterns,
    alphas: Patterns,
    /// The modules that have a branch.
    pub(super) targets: Targets,
    /// Whether there are magnitudes: DoRA, Liu et al. (2024).
    pub(super) dora: bool,
    /// Whether the branches have biases.
    pub(super) lora_bias: bool,
    /// Whether changes of a tied vocabulary are meant for embedding and unembedding together.
    pub(super) ensure_tying: bool,
    pub(super) warnings: Vec<String>,
}

/// Keys that are read here, or that describe only the training or the origin of an adapter.
const KNOWN: &[&str] = &[
    // Read here or in `targets`.
    "peft_type",
    "r",
    "lora_alpha",
    "use_rslora",
    "rank_pattern",
    "alpha_pattern",
    "target_modules",
    "target_parameters",
    "exclude_modules",
    "modules_to_save",
    "layers_to_transform",
    "layers_pattern",
    "use_dora",
    "lora_bias",
    "bias",
    "init_lora_weights",
    "ensure_weight_tying",
    // GPT-2's matrices are stored as [inputs, outputs] whatever this says; PEFT corrects it too.
    "fan_in_fan_out",
    // Without effect once the adapter is trained.
    "task_type",
    "auto_mapping",
    "peft_version",
    "base_model_name_or_path",
    "revision",
    "inference_mode",
    "lora_dropout",
    "runtime_config",
    // Parameters of other settings, which decide whether these matter.
    "megatron_core",
    "qalora_group_size",
    "loftq_config",
    "eva_config",
    "corda_config",
    "lora_ga_config",
];

/// Settings of PEFT that change the results and are not supported, unless they are null, false or empty.
const UNSUPPORTED: &[(&str, &str)] = &[
    ("alora_invocation_tokens", "activated LoRA, whose branches are inactive before these tokens"),
    ("use_qalora", "branches that pool their inputs"),
    ("layer_replication", "blocks that are used several times"),
    ("trainable_token_indices", "changed rows of the embedding"),
    ("megatron_config", "layers of Megatron"),
    ("use_bdlora", "block-diagonal branches"),
    ("arrow_config", "routing between adapters"),
    ("kasa_config", "knowledge-aware singular values"),
    ("monteclora_config", "branches that are drawn at random"),
    ("velora_config", "compressed activations"),
];

/// The initialisations that leave the base weights as they are. The trained matrices then say everything.
const PLAIN_INIT: [&str; 4] = ["gaussian", "orthogonal", "eva", "mica"];

/// The initialisations that change the base weights: an adapter is valid only beside those.
const CHANGING_INIT: [&str; 5] = ["pissa", "olora", "corda", "loftq", "lora_ga"];

/// The keys whose own keys must stay in the order of the file.
#[derive(Default, Deserialize)]
#[serde(default)]
struct InOrder {
    rank_pattern: Ordered,
    alpha_pattern: Ordered,
}

impl Settings {
    /// Reads the settings of the file `fields`, whose text is `text`.
    ///
    /// # Errors
    /// [`Error::Unsupported`] with every unsupported setting, [`Error::Config`] for a value of a wrong type.
    pub(super) fn read(fields: &Fields, text: &str) -> Result<Settings, Error> {
        let parts = unsupported(fields)?;
        if !parts.is_empty() {
            return Err(Error::Unsupported { path: fields.path.clone(), parts });
        }
        for key in ["rank_pattern", "alpha_pattern"] {
            fields.object(key)?;
        }
        let in_order: Result<InOrder, _> = serde_json::from_str(text);
        let in_order = in_order.map_err(|source| Error::Json { path: fields.path.clone(), source })?;
        let alpha = fields.number("lora_alpha")?.map_or(8.0, f64::from);
        let unknown = fields.keys().filter(|key| {
            let known = KNOWN.contains(key) || UNSUPPORTED.iter().any(|(known, _)| known == key);
            !known && !is_default(fields.get(key))
        });
        let path = fields.path.display();
        let warnings = unknown.map(|key| format!("{path}: unknown key {key}, which is ignored")).collect();
        Ok(Settings {
            rank: checked_rank(fields, "r", fields.size(&["r"])?)?,
            alpha,
            by_root: fields.flag("use_rslora")?.unwrap_or(false),
            ranks: Patterns::read(fields, "rank_pattern", in_order.rank_pattern)?,
            alphas: Patterns::read(fields, "alpha_pattern", in_order.alpha_pattern)?,
            targets: Targets::read(fields)?,
            dora: fields.flag("use_dora")?.unwrap_or(false),
            lora_bias: fields.flag("lora_bias")?.unwrap_or(false),
            ensure_tying: fields.flag("ensure_weight_tying")?.unwrap_or(false),
            warnings,
        })
    }

    /// The rank of the branch of a module or parameter, `key`.
    ///
    /// # Errors
    /// If a pattern gives it no valid rank.
    pub(super) fn rank_of(&self, fields: &Fields, key: &str) -> Result<usize, Error> {
        match self.ranks.find(fields, key)? {
            None => Ok(self.rank),
            Some(rank) if rank.fract() == 0.0 && rank >= 1.0 => {
                checked_rank(fields, "rank_pattern", rank as usize)
            }
            Some(rank) => Err(fields.wrong("rank_pattern", "positive integers", &rank.to_string())),
        }
    }

    /// The factor of the branch of a module or parameter, `key`, of rank `rank`.
    ///
    /// # Errors
    /// If a pattern cannot be matched.
    pub(super) fn scale_of(&self, fields: &Fields, key: &str, rank: usize) -> Result<f64, Error> {
        let alpha = self.alphas.find(fields, key)?.unwrap_or(self.alpha);
        Ok(alpha / if self.by_root { (rank as f64).sqrt() } else { rank as f64 })
    }
}

/// A rank, if it is small enough to be one.
fn checked_rank(fields: &Fields, key: &str, rank: usize) -> Result<usize, Error> {
    match rank {
        1..=65536 => Ok(rank),
        _ => Err(fields.wrong(key, "1 to 65536", &rank.to_string())),
    }
}

/// Whether a value says the same as none.
fn is_default(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null | Value::Bool(false)) => true,
        Some(Value::Array(list)) => list.is_empty(),
        Some(Value::Object(object)) => object.is_empty(),
        Some(_) => false,
    }
}

/// Every setting that would change the results and is not supported.
fn unsupported(fields: &Fields) -> Result<Vec<String>, Error> {
    let mut parts = Vec::new();
    if let Some(kind) = fields.text("peft_type")?.filter(|kind| *kind != "LORA") {
        parts.push(format!("peft_type {kind:?} (supported: \"LORA\")"));
    }
    let set = UNSUPPORTED.iter().filter(|(key, _)| !is_default(fields.get(key)));
    parts.extend(set.map(|(key, what)| format!("{key} ({what})")));
    match fields.text("bias")? {
        None | Some("none" | "all" | "lora_only") => {}
        Some(other) => parts.push(format!("bias {other:?} (supported: none, all, lora_only)")),
    }
    match fields.get("init_lora_weights") {
        None | Some(Value::Bool(_)) => {}
        Some(Value::String(init)) => {
            let lower = init.to_lowercase();
            if CHANGING_INIT.iter().any(|known| lower.starts_with(known)) {
                parts.push(format!(
                    "init_lora_weights {init:?}: it changed the base model's weights, which the adapter does not \
                     contain; convert it to a plain LoRA with PEFT: \
                     save_pretrained(…, path_initial_model_for_weight_conversion=…)"
                ));
            } else if !PLAIN_INIT.contains(&lower.as_str()) {
                parts.push(format!("init_lora_weights {init:?} (unknown)"));
            }
        }
        Some(other) => parts.push(format!("init_lora_weights {other} (unknown)")),
    }
    // A parameter `X.weight` is that of the module X. Others, such as stacked experts, have branches of another kind.
    let parameters = list_or_text(fields, "target_parameters")?;
    let others = parameters.iter().filter(|parameter| !parameter.ends_with(".weight"));
    parts.extend(
        others.map(|parameter| format!("target_parameters: {parameter} (supported: names with .weight)")),
    );
    Ok(parts)
}
