//! LoRA adapters on disk, in the format of Hugging Face's PEFT: `adapter_config.json` and `adapter_model.safetensors`.
//!
//! An adapter is used in two ways: [`Adapter::load`] makes branches that run beside a model, and [`Lora::merge_into`]
//! writes them into the weights. Both read the same changes, and both compute what PEFT computes.

mod changes;
mod load;
mod merge;
mod settings;
mod targets;

use std::path::{Path, PathBuf};

use glassbox_tensor::file::safetensors::SafeTensors;

use crate::error::Error;
use crate::fields::{self, Fields};
use settings::Settings;

#[cfg(doc)]
use crate::adapter::Adapter;

/// PEFT's prefix of every tensor name.
pub const NAME_PREFIX: &str = "base_model.model.";

/// Adapters in a folder.
pub struct Lora {
    path: PathBuf,
    /// `adapter_config.json`
    fields: Fields,
    settings: Settings,
    tensors: SafeTensors,
}

impl Lora {
    /// Opens a folder with `adapter_config.json` and `adapter_model.safetensors`.
    ///
    /// # Errors
    /// If they are missing or invalid, or adapters of an unsupported kind.
    pub fn open(folder: impl AsRef<Path>) -> Result<Lora, Error> {
        let path = folder.as_ref().to_path_buf();
        let config = path.join("adapter_config.json");
        if !config.is_file() {
            return Err(Error::NotACheckpoint { path, missing: "adapter_config.json is missing".to_owned() });
        }
        let text = fields::read_text(&config)?;
        let value = serde_json::from_str(&text);
        let value = value.map_err(|source| Error::Json { path: config.clone(), source })?;
        let fields = Fields::of(&config, value)?;
        let settings = Settings::read(&fields, &text)?;
        let tensors = SafeTensors::open(path.join("adapter_model.safetensors"))?;
        Ok(Lora { path, fields, settings, tensors })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The inner dimension of `B · A` where no pattern gives another.
    pub fn rank(&self) -> usize {
        self.settings.rank
    }
}
