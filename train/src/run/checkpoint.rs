//! A checkpoint of a training run: the complete state between two steps, in one safetensors file.
//!
//! It has the parameters, and AdamW's two moments under the same names with the prefixes `adamw.first.` and
//! `adamw.second.`. The metadata has the number of steps done. There is no random state to save: random numbers are a
//! function of the seed and the step.

use std::collections::BTreeMap;
use std::path::Path;

use glassbox_model::Config;
use glassbox_tensor::file::safetensors::{self, SafeTensors};

use super::RunError;
use crate::{AdamW, AdamWConfig, Network, Tensors};

const FIRST: &str = "adamw.first.";
const SECOND: &str = "adamw.second.";
const FORMAT: &str = "glassbox run 1";

/// The progress of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct State {
    /// Steps done.
    pub(super) step: u64,
    /// The lowest validation loss, and the step after which it was measured.
    pub(super) best: Option<(f64, u64)>,
}

/// Writes a checkpoint; replaces the previous one.
pub(super) fn write(
    path: &Path,
    network: &Network,
    optimizer: &AdamW,
    state: &State,
) -> Result<(), RunError> {
    let mut metadata = BTreeMap::from([
        ("format".to_owned(), FORMAT.to_owned()),
        ("step".to_owned(), state.step.to_string()),
    ]);
    if let Some((loss, step)) = state.best {
        // The bits, so that the loss is read back exactly.
        metadata.insert("best_loss_bits".to_owned(), loss.to_bits().to_string());
        metadata.insert("best_step".to_owned(), step.to_string());
    }
    let (first, second) = (optimizer.first_moment(), optimizer.second_moment());
    let tensors = [network.trained().named("")?, first.named(FIRST)?, second.named(SECOND)?].concat();
    Ok(safetensors::write(path, &metadata, tensors)?)
}

/// Reads a checkpoint.
pub(super) fn read(
    path: &Path,
    config: Config,
    adamw: AdamWConfig,
) -> Result<(Network, AdamW, State), RunError> {
    let broken = |problem: String| RunError::Broken { path: path.to_path_buf(), problem };
    let file = SafeTensors::open(path)?;
    let value = |key: &str| file.metadata().get(key);
    let number = |key: &str| value(key).and_then(|text| text.parse::<u64>().ok());
    if value("format").map(String::as_str) != Some(FORMAT) {
        return Err(broken("not a checkpoint of a training run".into()));
    }
    let step =
        number("step").ok_or_else(|| broken("the number of steps is missing from the metadata".into()))?;
    let best = number("best_loss_bits").zip(number("best_step"));
    let state = State { step, best: best.map(|(bits, step)| (f64::from_bits(bits), step)) };

    let mismatch =
        |source: crate::Error| broken(format!("the checkpoint does not match the run's recipe: {source}"));
    let mut network = Network::new(config, 0).map_err(RunError::Train)?;
    let layout = network.trained().layout().clone();
    let part = |prefix: &'static str| -> Result<Tensors, RunError> {
        let own = file.tensors().iter().filter_map(|info| {
            let name = info.name.strip_prefix(prefix)?;
            let other = prefix.is_empty() && (name.starts_with(FIRST) || name.starts_with(SECOND));
            (!other).then_some((name, &info.name))
        });
        let mut named = Vec::new();
        for (name, full) in own {
            let tensor = file.tensor(full)?;
            named.push((name.to_owned(), tensor.shape().to_vec(), tensor.try_to_f32()?));
        }
        Tensors::from_named(layout.clone(), named).map_err(mismatch)
    };
    let (parameters, first, second) = (part("")?, part(FIRST)?, part(SECOND)?);
    network.trained_mut().values_mut().copy_from_slice(parameters.values());
    let optimizer = AdamW::restore(adamw, step, first, second).map_err(mismatch)?;
    Ok((network, optimizer, state))
}

/// The step of a checkpoint; `None` if it cannot be read.
pub(super) fn step_of(path: &Path) -> Option<u64> {
    SafeTensors::open(path).ok()?.metadata().get("step")?.parse().ok()
}
