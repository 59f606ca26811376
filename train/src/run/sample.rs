//! What the model writes on the way: a short text after some steps, drawn with a seed of its own.

use std::fs::OpenOptions;
use std::io::Write;

use glassbox_model::{Checkpoint, Generation, Runtime};
use glassbox_sampler::{Sampler, SamplerConfig};
use glassbox_tensor::Pool;
use glassbox_tokenizer::EncodeOptions;

use super::{Run, RunError, folder};
use crate::data::end_of_document;
use crate::export;

/// Goes on with the recipe's prompt, appends the text to `samples.txt` and returns it, the prompt included.
pub(super) fn write(run: &Run, pool: &Pool, step: u64) -> Result<String, RunError> {
    let text = text(run, pool, step)?;
    let path = run.folder.join(folder::SAMPLES);
    let append = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
        writeln!(file, "--- step {step}\n{text}\n")
    };
    append().map_err(|source| folder::failed(&path, source))?;
    Ok(text)
}

/// The model as it stands, ready to run.
pub(super) fn model(run: &Run, pool: &Pool) -> Result<Runtime, RunError> {
    let checkpoint = Checkpoint::of_tensors(run.network.config().clone(), export::in_memory(&run.network)?);
    Ok(checkpoint.run_on(Pool::new(pool.threads(), pool.engine())?)?)
}

fn text(run: &Run, pool: &Pool, step: u64) -> Result<String, RunError> {
    let report = &run.recipe.report;
    let end = end_of_document(&run.tokenizer)?;
    let mut prompt = run.tokenizer.encode(&report.prompt, &EncodeOptions::default())?;
    if prompt.is_empty() {
        prompt.push(end);
    }
    prompt.truncate(run.recipe.model.context_length);
    let model = model(run, pool)?;
    let mut session = model.session(run.recipe.model.context_length);
    let config = SamplerConfig { seed: step, temperature: 0.8, top_k: 40, ..SamplerConfig::default() };
    // The settings are constants that the sampler takes.
    let Ok(mut sampler) = Sampler::new(config) else { return Ok(String::new()) };
    let pick = |logits: &[f32]| sampler.sample(logits);
    let mut ids = prompt.clone();
    for id in Generation::new(&mut session, &prompt, report.sample_tokens, &[end], pick)? {
        // Scores that are no numbers end the sample; the training itself notices them too.
        let Ok(id) = id else { break };
        ids.push(id);
    }
    Ok(run.tokenizer.decode(&ids, true))
}
