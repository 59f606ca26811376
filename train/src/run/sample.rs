//! Samples of the model during training, each with its own seed.

use std::fs::OpenOptions;
use std::io::Write;

use glassbox_model::{Checkpoint, Generation, Runtime};
use glassbox_sampler::{Sampler, SamplerConfig};
use glassbox_tensor::Pool;
use glassbox_tokenizer::EncodeOptions;

use super::{Run, RunError, folder};
use crate::data::end_of_document;
use crate::export;

/// Continues the recipe's prompt, appends the text to `samples.txt` and returns it, including the prompt.
pub(super) fn write(run: &Run, pool: &Pool, step: u64) -> Result<String, RunError> {
    let text = text(run, &model(run, pool)?, step)?;
    let path = run.folder.join(folder::SAMPLES);
    let append = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
        writeln!(file, "--- step {step}\n{text}\n")
    };
    append().map_err(|source| folder::failed(&path, source))?;
    Ok(text)
}

/// The current model, ready to run.
pub(super) fn model(run: &Run, pool: &Pool) -> Result<Runtime, RunError> {
    let checkpoint = Checkpoint::of_tensors(run.network.config().clone(), export::in_memory(&run.network)?);
    Ok(checkpoint.run_on(Pool::new(pool.threads(), pool.engine())?)?)
}

/// A continuation of the recipe's prompt by `model`, including the prompt.
pub(super) fn text(run: &Run, model: &Runtime, step: u64) -> Result<String, RunError> {
    let report = &run.recipe.report;
    let end = end_of_document(&run.tokenizer)?;
    let mut prompt = run.tokenizer.encode(&report.prompt, &EncodeOptions::default())?;
    if prompt.is_empty() {
        prompt.push(end);
    }
    prompt.truncate(run.recipe.model.context_length);
    let mut session = model.session(run.recipe.model.context_length);
    let config = SamplerConfig { seed: step, temperature: 0.8, top_k: 40, ..SamplerConfig::default() };
    // These constants are valid settings.
    let Ok(mut sampler) = Sampler::new(config) else { return Ok(String::new()) };
    let pick = |logits: &[f32]| sampler.sample(logits);
    let mut ids = prompt.clone();
    for id in Generation::new(&mut session, &prompt, report.sample_tokens, &[end], pick)? {
        // Logits that are NaN end the sample; the training loop detects them too.
        let Ok(id) = id else { break };
        ids.push(id);
    }
    Ok(run.tokenizer.decode(&ids, true))
}
