//! Merging adapters into a model's weights.

use std::path::Path;

use glassbox_model::{Checkpoint, Lora};
use glassbox_tensor::Tensor;

use crate::export::{self, Description};
use crate::run_error::RunError;

/// Writes a checkpoint with adapters merged into its weights, as a Hugging Face directory in f32. Returns warnings
/// about what in the adapter has no effect.
///
/// # Errors
/// [`RunError`] if either cannot be read, they do not fit together, or the folder cannot be written.
pub fn merge(checkpoint: &Checkpoint, lora: &Lora, folder: &Path) -> Result<Vec<String>, RunError> {
    let broken =
        |problem: &str| RunError::Broken { path: checkpoint.path().into(), problem: problem.to_owned() };
    let mut parameters = checkpoint.parameters()?;
    let (config, warnings) = lora.merge_into(checkpoint.config(), &mut parameters)?;
    if !export::can_export(&config) {
        return Err(broken("a merged copy cannot be written, since config.json cannot express it"));
    }
    let tokenizer = checkpoint.tokenizer()?;
    let template = checkpoint.chat_template()?;
    let chat_template = template.as_ref().map(|template| template.original());
    let eos_ids = &checkpoint.generation().eos_ids;
    let tensors =
        parameters.into_iter().map(|(name, shape, values)| Ok((name, Tensor::from_f32(shape, values)?)));
    let tensors = tensors.collect::<Result<_, glassbox_tensor::Error>>()?;
    let description = Description { tokenizer: tokenizer.as_ref(), chat_template, eos_ids };
    export::write_directory(folder, &config, tensors, &description)?;
    Ok(warnings)
}
