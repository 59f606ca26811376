//! Traces: runs a sequence and writes or summarises its values.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::path::Path;

use glassbox_tensor::file::safetensors::PieceWriter;
use glassbox_tensor::{Format, Shape};

use super::error::Error;
use super::pieces::watch;
use super::selection::Selection;
use super::summary::{Summary, Tally};
use crate::PROMPT_CHUNK;
use crate::hooks::Name;
use crate::runtime::Runtime;

/// How a trace is written.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceOptions {
    /// The number format: F32, or F16 or BF16 for half the size.
    pub format: Format,
    /// Number of tokens computed at a time. The values do not depend on it; memory does.
    pub chunk: usize,
}

impl Default for TraceOptions {
    /// F32, [`PROMPT_CHUNK`] tokens at a time.
    fn default() -> TraceOptions {
        TraceOptions { format: Format::F32, chunk: PROMPT_CHUNK }
    }
}

/// Runs `model` on `ids` and writes the values of `selection` to the safetensors file `out`: names as keys, in the
/// order of computation. The file's metadata are `metadata`, and the ids as JSON under `ids`, so it can be used as a
/// [`Reference`](super::Reference). Returns the number of finite values that became infinite because the format cannot
/// hold them.
///
/// Nothing is collected: the header is written first, and each value at its place when it is computed. The file has a
/// temporary name next to `out` until it is complete.
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
    options: &TraceOptions,
) -> Result<u64, Error> {
    let mut metadata = metadata.clone();
    metadata.insert("ids".to_owned(), format!("{ids:?}"));
    let names: Vec<Name> =
        Name::all(&model.config).into_iter().filter(|&name| selection.wants(name)).collect();
    let shape = |name: &Name| Ok((name.to_string(), Shape::new(name.shape(&model.config, ids.len()))?));
    let shapes: Vec<(String, Shape)> =
        names.iter().map(shape).collect::<Result<_, glassbox_tensor::Error>>()?;
    let index: HashMap<Name, usize> = names.into_iter().zip(0..).collect();

    let mut file = PieceWriter::create(out, &metadata, options.format, shapes).map_err(writing)?;
    let mut failed = None;
    watch(model, ids, options.chunk, selection, |piece| {
        let Some(&tensor) = index.get(&piece.name) else { return ControlFlow::Continue(()) };
        match file.write(tensor, piece.first, piece.values) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    match failed {
        Some(error) => Err(writing(error)),
        None => file.finish().map_err(writing),
    }
}

/// The error of a file that cannot be written.
fn writing(error: glassbox_tensor::Error) -> Error {
    match error {
        glassbox_tensor::Error::Io { path, source, .. } => Error::Write { path, source },
        error => Error::Tensor(error),
    }
}

/// Runs `model` on `ids`, `chunk` tokens at a time, and summarises the values of `selection`, in the order of
/// computation.
///
/// # Errors
/// [`Error::Model`] as [`Session::feed`](crate::Session::feed).
pub fn summarise(
    model: &Runtime,
    ids: &[u32],
    selection: &Selection,
    chunk: usize,
) -> Result<Vec<Summary>, Error> {
    let mut tallies: HashMap<Name, Tally> = HashMap::new();
    watch(model, ids, chunk, selection, |piece| {
        tallies.entry(piece.name).or_default().add(piece.values);
        ControlFlow::Continue(())
    })?;
    let summary =
        |name: Name| Some(tallies.remove(&name)?.finish(name, name.shape(&model.config, ids.len())));
    Ok(Name::all(&model.config).into_iter().filter_map(summary).collect())
}
