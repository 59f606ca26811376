//! Traces: runs a sequence in one pass and writes or summarises its values.

use std::collections::BTreeMap;
use std::path::Path;

use super::error::Error;
use super::names::{Name, Selection};
use super::spool::Spool;
use super::summary::{Summary, Tally};
use crate::hooks::{HookPoint, Observed, Observer};
use crate::runtime::Runtime;

/// Runs `model` on `ids` and writes the values of `selection` to the safetensors file `out`: names as keys, float32,
/// in the order of computation. The file's metadata are `metadata`, and the ids as JSON under `ids`, so it can be
/// used as a [`Reference`](super::Reference).
///
/// Values are not collected in memory: each is written to a temporary file next to `out` when it is computed. `out` is
/// replaced only on success.
///
/// # Errors
/// [`Error::Write`] or [`Error::Tensor`] if the file cannot be written; [`Error::Model`] as
/// [`Session::feed`](crate::Session::feed).
pub fn record(
    model: &Runtime,
    ids: &[u32],
    selection: &Selection,
    out: &Path,
    metadata: &BTreeMap<String, String>,
) -> Result<(), Error> {
    let mut metadata = metadata.clone();
    metadata.insert("ids".to_owned(), format!("{ids:?}"));
    let mut spool = Spool::create_beside(out)?;
    watch(model, ids, selection, |name, values| spool.push(name, values))?;
    spool.finish(&model.config, ids.len(), &metadata)
}

/// Runs `model` on `ids` and summarises the values of `selection`, in the order of computation.
///
/// # Errors
/// [`Error::Model`] as [`Session::feed`](crate::Session::feed).
pub fn summarise(model: &Runtime, ids: &[u32], selection: &Selection) -> Result<Vec<Summary>, Error> {
    let mut tallies: Vec<(Name, Tally)> = Vec::new();
    watch(model, ids, selection, |name, values| {
        if tallies.last().is_none_or(|(last, _)| *last != name) {
            tallies.push((name, Tally::default()));
        }
        if let Some((_, tally)) = tallies.last_mut() {
            tally.add(values);
        }
    })?;
    let shape = |name: Name| name.shape(&model.config, ids.len());
    Ok(tallies.into_iter().map(|(name, tally)| tally.finish(name, shape(name))).collect())
}

/// Runs `model` on `ids` in one pass with an observer of `selection`. Logits arrive in several pieces, in order; every
/// other value arrives once.
pub(super) fn watch(
    model: &Runtime,
    ids: &[u32],
    selection: &Selection,
    see: impl FnMut(Name, &[f32]) + Send,
) -> Result<(), Error> {
    let mut watcher = Watcher { selection, see };
    let mut session = model.session(model.config.context_length).with_chunk(ids.len());
    if selection.wants(Name { point: HookPoint::Logits, layer: None }) {
        session.feed_all_observed(ids, &mut watcher, |_, _| {})?;
    } else {
        session.feed_observed(ids, &mut watcher)?;
    }
    Ok(())
}

struct Watcher<'a, F> {
    selection: &'a Selection,
    see: F,
}

impl<F: FnMut(Name, &[f32]) + Send> Observer for Watcher<'_, F> {
    fn wants(&self, point: HookPoint, layer: Option<usize>) -> bool {
        self.selection.wants(Name { point, layer })
    }

    fn see(&mut self, observed: Observed<'_>) {
        (self.see)(Name { point: observed.point, layer: observed.layer }, observed.values);
    }
}
