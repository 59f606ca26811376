//! Training progress on stderr: a bar on a terminal, and lines at each validation.

use std::collections::VecDeque;

use glassbox_train::run::{Monitor, Row, Run};
use indicatif::{ProgressBar, ProgressStyle};

use crate::interrupt::Graceful;
use crate::output::note;

/// Number of steps over which the displayed loss and speed are averaged.
const WINDOW: usize = 20;

/// Shows a training on stderr.
pub(crate) struct Show {
    bar: ProgressBar,
    graceful: Graceful,
    recent: VecDeque<(f64, f64)>,
    validation: Option<f64>,
}

impl Show {
    pub(crate) fn new() -> Show {
        let bar = ProgressBar::hidden();
        Show { bar, graceful: Graceful::begin(), recent: VecDeque::new(), validation: None }
    }

    /// Writes a line, above the bar if there is one.
    pub(crate) fn say(&self, line: impl std::fmt::Display) {
        self.bar.suspend(|| note(line));
    }

    /// Describes the run and starts the progress bar.
    pub(crate) fn begin(&mut self, run: &Run) {
        let parameters = run.network().trained().values().len() as f64 / 1e6;
        let (training, validation) = run.corpus();
        self.say(format_args!("model       {parameters:.2} million parameters"));
        self.say(format_args!("text        {training} training tokens, {validation} validation tokens"));
        let steps = run.recipe().training.steps;
        self.say(format_args!(
            "steps       {steps} of {} tokens, {:.2} epochs",
            run.recipe().training.batch * run.recipe().model.context_length,
            steps as f64 / run.steps_per_epoch()
        ));
        if run.steps_done() > 0 {
            self.say(format_args!("resumed     after step {}", run.steps_done()));
        }
        self.bar(steps, run.steps_done());
    }

    /// Starts a bar of `steps` steps, of which `done` are done.
    pub(crate) fn bar(&mut self, steps: u64, done: u64) {
        self.bar = ProgressBar::new(steps);
        let style = "{bar:24} {pos}/{len}  {msg}  {eta} left";
        if let Ok(style) = ProgressStyle::with_template(style) {
            self.bar.set_style(style);
        }
        self.bar.set_position(done);
        self.bar.reset_eta();
    }

    /// Removes the bar.
    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }
}

impl Monitor for Show {
    fn wants_to_stop(&mut self) -> bool {
        self.graceful.pressed()
    }

    fn preparing(&mut self, what: &str) {
        self.say(what);
    }

    fn step(&mut self, row: &Row) {
        self.recent.push_back((row.train_loss, row.tokens_per_second));
        if self.recent.len() > WINDOW {
            self.recent.pop_front();
        }
        let len = self.recent.len() as f64;
        let loss = self.recent.iter().map(|recent| recent.0).sum::<f64>() / len;
        // Speeds over equal amounts of work are averaged by the harmonic mean.
        let speed = len / self.recent.iter().map(|recent| 1.0 / recent.1).sum::<f64>();
        if let Some(validation) = row.validation_loss {
            self.validation = Some(validation);
            self.say(format_args!(
                "step {:>6}  loss {loss:.4}  validation {validation:.4}  {speed:.0} tokens/s",
                row.step
            ));
        }
        let validation = self.validation.map_or(String::new(), |loss| format!(" (validation {loss:.3})"));
        self.bar.set_message(format!("loss {loss:.3}{validation}  {speed:.0} tokens/s"));
        self.bar.set_position(row.step);
    }

    fn sample(&mut self, step: u64, text: &str) {
        let harmless: String =
            text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect();
        self.say(format_args!("step {step:>6}  «{harmless}»"));
    }
}
