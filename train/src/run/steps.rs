//! The training loop: read examples, compute the gradient, update the parameters; at intervals validate, write a
//! sample, write a checkpoint.

use std::path::Path;
use std::time::{Duration, Instant};

use glassbox_tensor::Pool;

use super::{Monitor, Outcome, Row, Run, RunError, checkpoint, folder, glimpse, sample};
use crate::data::Split;
use crate::export::{self, Description};
use crate::plot::{Chart, Series};
use crate::watch;
use crate::{Batch, Gradients, Schedule, clip_by_global_norm};

/// Minimum time between two drawings of the loss curve.
const REDRAW: Duration = Duration::from_secs(20);

pub(super) fn train(run: &mut Run, pool: &Pool, monitor: &mut dyn Monitor) -> Result<Outcome, RunError> {
    let recipe = run.recipe.training.clone();
    let report = run.recipe.report.clone();
    let schedule = Schedule {
        peak: recipe.learning_rate,
        end: recipe.final_learning_rate,
        warm_up: recipe.warm_up,
        steps: recipe.steps,
    };
    let due = |every: u64, step: u64| every > 0 && step.is_multiple_of(every);
    let mut gradients = run.network.gradients();
    let (mut saved, mut drawn) = (Instant::now(), Instant::now());
    let watched = |step: u64| watch::is_due(step, report.watch_every, recipe.steps);
    if run.state.step == 0 && watched(0) {
        let validation = validate(run, pool, report.validation_examples)?;
        glimpse::take(run, pool, Vec::new(), validation.map_or_else(Vec::new, |mean| mean.by_position))?;
    }
    while run.state.step < recipe.steps {
        if monitor.wants_to_stop() {
            save(run, monitor)?;
            draw(run)?;
            return Ok(Outcome::Stopped);
        }
        let start = Instant::now();
        let learning_rate = schedule.rate(run.state.step);
        let train_loss = gradient(run, pool, &mut gradients)?;
        let watched = watched(run.state.step + 1);
        let gradient_norms = if watched { watch::norms(&gradients) } else { Vec::new() };
        let clip = if recipe.clip > 0.0 { recipe.clip } else { f64::INFINITY };
        let gradient_norm = clip_by_global_norm(pool, &mut gradients, clip);
        if !gradient_norm.is_finite() {
            return Err(diverged(run, "the gradient"));
        }
        run.optimizer.step(pool, run.network.trained_mut(), &gradients, learning_rate);
        run.state.step += 1;
        let seconds = start.elapsed().as_secs_f64();

        let step = run.state.step;
        let last = step == recipe.steps;
        let validation = match last || watched || due(report.validate_every, step) {
            true => validate(run, pool, report.validation_examples)?,
            false => None,
        };
        let validation_loss = validation.as_ref().map(|validation| validation.mean);
        let read = (recipe.batch * run.recipe.model.context_length) as u64;
        let tokens_per_second = read as f64 / seconds;
        let tokens = step * read;
        let row = Row {
            step,
            tokens,
            learning_rate,
            train_loss,
            validation_loss,
            gradient_norm,
            tokens_per_second,
        };
        monitor.step(&row);
        let path = run.folder.join(folder::LOSSES);
        run.losses.push(row).map_err(|source| folder::failed(&path, source))?;
        if let Some(loss) = validation_loss.filter(|loss| run.state.best.is_none_or(|(best, _)| *loss < best))
        {
            check_finite(run)?;
            run.state.best = Some((loss, step));
            write_model(run, &run.folder.join(folder::BEST))?;
        }
        if watched {
            let loss_by_position = validation.map_or_else(Vec::new, |validation| validation.by_position);
            glimpse::take(run, pool, gradient_norms, loss_by_position)?;
        }
        if last || due(report.sample_every, step) {
            let text = sample::write(run, pool, step)?;
            monitor.sample(step, &text);
        }
        let minutes = report.checkpoint_minutes;
        let overdue = minutes > 0.0 && saved.elapsed().as_secs_f64() >= minutes * 60.0;
        if last || due(report.checkpoint_every, step) || overdue {
            save(run, monitor)?;
            saved = Instant::now();
        }
        if last || drawn.elapsed() >= REDRAW {
            draw(run)?;
            drawn = Instant::now();
        }
    }
    write_model(run, &run.folder)?;
    Ok(Outcome::Done)
}

fn write_model(run: &Run, folder: &Path) -> Result<(), RunError> {
    let eos_ids = &run.tokenizer.eos_id().into_iter().collect::<Vec<_>>();
    let description = Description { tokenizer: Some(&run.tokenizer), chat_template: None, eos_ids };
    let parameters = run.network.parameters().named("")?;
    export::write_directory(folder, run.network.config(), parameters, &description)
}

/// The gradient of the step's examples, accumulated over micro-batches; returns their mean loss.
fn gradient(run: &mut Run, pool: &Pool, gradients: &mut Gradients) -> Result<f64, RunError> {
    let (batch, context) = (run.recipe.training.batch, run.recipe.model.context_length);
    let rows = match run.recipe.training.micro_batch {
        0 => batch,
        rows => rows,
    };
    let total_weight = (batch * context) as f64;
    gradients.zero();
    let mut sum = 0.0;
    for first in (0..batch).step_by(rows) {
        let example = run.state.step * batch as u64 + first as u64;
        let (ids, targets) = run.batches.read(&run.tokens, example, rows)?;
        let weights = vec![1.0; rows * context];
        run.network.set_dropout(run.recipe.training.dropout_of(example));
        let micro = Batch { ids, targets, weights, sequences: rows, tokens: context };
        match run.network.loss_and_gradients(pool, &micro, total_weight, gradients) {
            Ok(loss) => sum += loss.sum,
            Err(crate::Error::NotANumber { .. }) => return Err(diverged(run, "the loss")),
            Err(source) => return Err(RunError::Train(source)),
        }
    }
    Ok(sum / total_weight)
}

/// The validation loss.
struct Validation {
    /// Mean loss in nats per token.
    mean: f64,
    /// Mean loss at each position of the context.
    by_position: Vec<f64>,
}

/// Computes the loss on examples spread evenly over the validation split; `None` if that is empty.
fn validate(run: &mut Run, pool: &Pool, examples: usize) -> Result<Option<Validation>, RunError> {
    let context = run.recipe.model.context_length;
    let windows = run.tokens.len(Split::Validation).saturating_sub(1) / context;
    let count = if examples == 0 { windows } else { examples.min(windows) };
    let rows = match run.recipe.training.micro_batch {
        0 => run.recipe.training.batch,
        rows => rows,
    };
    let mut by_position = vec![0.0; context];
    let starts: Vec<usize> = (0..count).map(|i| i * windows / count * context).collect();
    for starts in starts.chunks(rows) {
        let (mut ids, mut targets) = (Vec::new(), Vec::new());
        for &start in starts {
            run.tokens.read(Split::Validation, start, context, &mut ids)?;
            run.tokens.read(Split::Validation, start + 1, context, &mut targets)?;
        }
        let weights = vec![1.0; ids.len()];
        let batch = Batch { ids, targets, weights, sequences: starts.len(), tokens: context };
        let loss = match run.network.loss(pool, &batch) {
            Ok(loss) => loss,
            Err(crate::Error::NotANumber { .. }) => {
                return Err(diverged(run, "the validation loss"));
            }
            Err(source) => return Err(RunError::Train(source)),
        };
        for row in loss.per_position.chunks_exact(context) {
            by_position.iter_mut().zip(row).for_each(|(sum, &loss)| *sum += f64::from(loss));
        }
    }
    by_position.iter_mut().for_each(|sum| *sum /= count as f64);
    let mean = by_position.iter().sum::<f64>() / context as f64;
    Ok((count > 0).then_some(Validation { mean, by_position }))
}

/// Seconds per step: the faster of two gradient computations, after one to warm up.
pub(super) fn measure(run: &mut Run, pool: &Pool) -> Result<f64, RunError> {
    let mut gradients = run.network.gradients();
    let mut best = f64::INFINITY;
    for i in 0..3 {
        let start = Instant::now();
        gradient(run, pool, &mut gradients)?;
        if i > 0 {
            best = best.min(start.elapsed().as_secs_f64());
        }
    }
    Ok(best)
}

/// Writes the checkpoint. If a parameter is not finite it returns an error instead, and the previous checkpoint
/// remains.
fn save(run: &Run, monitor: &mut dyn Monitor) -> Result<(), RunError> {
    check_finite(run)?;
    checkpoint::write(&run.folder.join(folder::LAST), &run.network, &run.optimizer, &run.state)?;
    monitor.checkpoint(run.state.step);
    Ok(())
}

fn check_finite(run: &Run) -> Result<(), RunError> {
    match run.network.trained().iter().find(|(_, values)| !values.iter().all(|value| value.is_finite())) {
        Some((slot, _)) => Err(diverged(run, &format!("a parameter of {}", slot.name))),
        None => Ok(()),
    }
}

fn diverged(run: &Run, what: &str) -> RunError {
    let checkpoint = checkpoint::step_of(&run.folder.join(folder::LAST));
    RunError::NotFinite {
        step: run.state.step + 1,
        what: what.to_owned(),
        checkpoint,
        path: run.folder.clone(),
    }
}

fn draw(run: &Run) -> Result<(), RunError> {
    draw_losses(&run.folder, &run.losses.rows)
}

/// `loss.svg`.
pub(crate) fn draw_losses(folder: &Path, rows: &[Row]) -> Result<(), RunError> {
    let training = rows.iter().map(|row| (row.tokens as f64, row.train_loss)).collect();
    let validation = rows.iter().filter_map(|row| Some((row.tokens as f64, row.validation_loss?))).collect();
    let chart = Chart {
        title: "Loss".into(),
        x: "tokens read".into(),
        y: "nats per token".into(),
        series: vec![
            Series { name: "training".into(), points: training, colour: "#7aa6d6" },
            Series { name: "validation".into(), points: validation, colour: "#c0392b" },
        ],
    };
    folder::write(&folder.join(folder::CURVE), &chart.svg())
}
