//! Writes adapters in the format of Hugging Face's PEFT.

use std::collections::BTreeMap;
use std::path::Path;

use glassbox_model::families;
use glassbox_tensor::file::safetensors;
use serde_json::json;

use super::LoraSettings;
use crate::Network;
use crate::files;
use crate::run_error::RunError;

/// Writes `adapter_config.json` and `adapter_model.safetensors`.
pub(super) fn write(
    folder: &Path,
    base: &Path,
    network: &Network,
    settings: &LoraSettings,
) -> Result<(), RunError> {
    let tensors = network.trained().named("")?;
    let target = |name: &str| Some(name.rsplit_once(".lora_")?.0.rsplit('.').next()?.to_owned());
    let mut targets: Vec<String> = tensors.iter().filter_map(|(name, _)| target(name)).collect();
    targets.sort_unstable();
    targets.dedup();
    let config = json!({
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base.display().to_string(),
        "r": settings.rank,
        "lora_alpha": settings.alpha,
        "lora_dropout": 0.0,
        "target_modules": targets,
        "bias": "none",
        "fan_in_fan_out": families::hf_names(network.config()).transposed,
        "inference_mode": true,
        "use_rslora": false,
        "use_dora": false,
        "modules_to_save": null,
    });
    let text = serde_json::to_string_pretty(&config).unwrap_or_default() + "\n";
    let path = folder.join("adapter_config.json");
    files::write(&path, text).map_err(|source| RunError::File { path, source })?;
    let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    Ok(safetensors::write(folder.join("adapter_model.safetensors"), &metadata, tensors)?)
}
