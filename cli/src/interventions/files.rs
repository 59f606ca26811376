//! `--steer` and `--patch`: vectors and rows of other runs, from safetensors files.

use std::ops::Range;
use std::path::Path;

use anyhow::{anyhow, bail};
use glassbox_model::glass::{Intervention, KeptRows, Name, Reference};
use glassbox_model::hooks::HookPoint;
use glassbox_tensor::file::safetensors::SafeTensors;

use super::{Places, number, usage};
use crate::commands::position_of_word;

const STEER: &str = "FILE@LAYER*FACTOR, or FILE:NAME[ROW]@LAYER:POSITIONS*FACTOR";
const PATCH: &str = "FILE:NAME, FILE:NAME@POSITION or FILE:NAME@FROM→TO";

/// A vector added to the residual stream.
pub(super) fn steer(spec: &str, places: &Places<'_>) -> anyhow::Result<Intervention> {
    let expected = || usage("steer", spec, STEER);
    let (rest, factor) = match spec.rsplit_once('*') {
        Some((rest, factor)) => (rest, factor.trim().parse::<f32>().map_err(|_| expected())?),
        None => (spec, 1.0),
    };
    if !factor.is_finite() {
        return Err(expected());
    }
    let (from, at) = rest.rsplit_once('@').ok_or_else(expected)?;
    let (layer, positions) = match at.split_once(':') {
        Some((layer, positions)) => (layer, self::positions(positions, places)?),
        None => (at, 0..usize::MAX),
    };
    let layer = number(layer.trim()).filter(|_| !layer.is_empty()).ok_or_else(expected)?;
    let (path, name) = file_and_name(from);
    let (name, row) = match name.and_then(|name| name.strip_suffix(']')?.split_once('[')) {
        Some((name, row)) => (Some(name), Some(number(row).ok_or_else(expected)?)),
        None => (name, None),
    };
    let file = SafeTensors::open(path)?;
    let name = match name {
        Some(name) => name.to_owned(),
        None => only_tensor(&file, layer)?,
    };
    let rows = rows(&file, &name)?;
    let row = row.unwrap_or(rows.len().saturating_sub(1));
    let found = rows.at(row).ok_or_else(|| no_row(path, &name, row, rows.len()))?;
    let vector = found.iter().map(|x| x * factor).collect();
    Ok(Intervention::Steer { layer, positions, vector })
}

/// The tensor that a file without a name means: its only one, or the residual stream that enters the layer.
fn only_tensor(file: &SafeTensors, layer: usize) -> anyhow::Result<String> {
    let names: Vec<&str> =
        file.tensors().iter().map(|info| info.name.as_str()).filter(|&name| name != "ids").collect();
    let stream = Name { point: HookPoint::ResidPre, layer: Some(layer) }.to_string();
    match names[..] {
        [only] => Ok(only.to_owned()),
        _ if names.contains(&stream.as_str()) => Ok(stream),
        _ => bail!(
            "{} has {} tensors and no {stream}; name one: FILE:NAME@LAYER",
            file.path().display(),
            names.len()
        ),
    }
}

/// Rows of another run.
pub(super) fn patch(spec: &str, places: &Places<'_>) -> anyhow::Result<Intervention> {
    let expected = || usage("patch", spec, PATCH);
    let (path, Some(named)) = file_and_name(spec) else { return Err(expected()) };
    let (name, at) = named.split_once('@').map_or((named, None), |(name, at)| (name, Some(at)));
    let trace = Reference::open(path)?;
    let all = Name::all(places.source.checkpoint.config());
    let Some(&Name { point, layer }) = all.iter().find(|known| known.to_string() == name) else {
        bail!("--patch {spec:?}: this model has no value {name:?}; `glassbox trace` lists its values");
    };
    let mut rows = rows(trace.file(), name)?;
    if let Some(at) = at {
        let (from, to) = ["→", "->"].iter().find_map(|arrow| at.split_once(arrow)).unwrap_or((at, at));
        let (from, to) = (from.trim(), to.trim());
        if from.is_empty() || to.is_empty() {
            return Err(expected());
        }
        let row = match number(from) {
            Some(row) => row,
            None => position_of_word(places.source, from.as_bytes(), trace.ids())
                .map_err(|error| anyhow!("{}: {error}", path.display()))?,
        };
        let values = rows.at(row).ok_or_else(|| no_row(path, name, row, rows.len()))?.to_vec();
        rows = KeptRows { first_position: places.find(to)?, row_len: rows.row_len, values };
    }
    if let Some(ids) = places.ids
        && rows.first_position >= ids.len()
    {
        let last = ids.len().saturating_sub(1);
        bail!(
            "--patch {spec:?}: there is no position {} in the prompt: expected 0 to {last}",
            rows.first_position
        );
    }
    Ok(Intervention::Patch { point, layer, rows })
}

/// `FILE:NAME`, or `FILE` alone. A file's name may contain a colon, a tensor's cannot.
fn file_and_name(text: &str) -> (&Path, Option<&str>) {
    match text.rsplit_once(':') {
        Some((file, name)) if !Path::new(text).exists() => (Path::new(file), Some(name)),
        _ => (Path::new(text), None),
    }
}

/// The rows of a tensor `[rows, …]`; a vector is one row.
fn rows(file: &SafeTensors, name: &str) -> anyhow::Result<KeptRows> {
    if file.tensor_info(name).is_none() {
        let names: Vec<&str> = file.tensors().iter().take(8).map(|info| info.name.as_str()).collect();
        bail!("{} has no tensor {name:?}; it has {}", file.path().display(), names.join(", ").escape_debug());
    }
    let tensor = file.tensor(name)?;
    let dims = tensor.shape().dims();
    let row_len = match dims {
        [len] => *len,
        [_, rest @ ..] => rest.iter().product(),
        [] => 1,
    };
    Ok(KeptRows { first_position: 0, row_len, values: tensor.to_f32() })
}

fn no_row(path: &Path, name: &str, row: usize, count: usize) -> anyhow::Error {
    let last = count.saturating_sub(1);
    anyhow!("{}: {name} has no row {row}: expected 0 to {last}", path.display())
}

/// A position, a range of positions with an exclusive end, or a word.
fn positions(text: &str, places: &Places<'_>) -> anyhow::Result<Range<usize>> {
    let text = text.trim();
    if let Some((start, end)) = text.split_once("..") {
        let bound = |text: &str, default| if text.is_empty() { Some(default) } else { number(text) };
        if let (Some(start), Some(end)) = (bound(start, 0), bound(end, usize::MAX)) {
            if start >= end {
                return Err(usage("steer", text, "a range of positions such as 3..5 or 3.."));
            }
            return Ok(start..end);
        }
    }
    if text.is_empty() {
        return Err(usage("steer", text, "a position, a range such as 3..5, or a word of the prompt"));
    }
    let position = places.find(text)?;
    Ok(position..position.saturating_add(1))
}
