//! A snapshot of the model during training.

use glassbox_tensor::Pool;

use super::{Run, RunError, folder, sample};
use crate::watch::{self, Attention, Snapshot};

/// Appends a snapshot of the model after the steps done to `watch.jsonl`. One before the first step begins the file.
pub(super) fn take(
    run: &Run,
    pool: &Pool,
    gradient_norms: Vec<(String, f64)>,
    loss_by_position: Vec<f64>,
) -> Result<(), RunError> {
    let (step, report, recipe) = (run.state.step, &run.recipe.report, &run.recipe);
    let path = run.folder.join(folder::WATCH);
    if step == 0 && path.exists() {
        std::fs::remove_file(&path).map_err(|source| folder::failed(&path, source))?;
    }
    let head = Attention { layer: report.watch_layer, head: report.watch_head, pattern: Vec::new() };
    let model = sample::model(run, pool)?;
    let (prompt, next, attention) = watch::predict(&model, &run.tokenizer, &report.prompt, head)?;
    let text = sample::text(run, &model, step)?;
    let snapshot = Snapshot {
        step,
        tokens: step * (recipe.training.batch * recipe.model.context_length) as u64,
        vocab_size: model.config.vocab_size,
        loss_by_position,
        gradient_norms,
        weight_norms: watch::norms(run.network.parameters()),
        sample: text.strip_prefix(&report.prompt).unwrap_or(&text).to_owned(),
        prompt,
        next,
        attention,
    };
    watch::append(&path, &snapshot).map_err(|source| folder::failed(&path, source))
}
