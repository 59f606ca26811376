//! Converts a GGUF to a GGUF: only the number formats change.

use glassbox_tensor::file::gguf::Gguf;

use super::mix::{self, Mix};
use super::{Planned, Quantization, set_type};
use crate::error::Error;
use crate::load::check_split;

pub(super) fn plan(file: &Gguf, mix: Mix) -> Result<Quantization, Error> {
    let unreadable: Vec<String> = file
        .tensors()
        .iter()
        .filter(|info| info.element.format().is_none())
        .map(|info| format!("{}: unsupported number format {}", info.name, info.element.name()))
        .collect();
    if !unreadable.is_empty() {
        return Err(Error::Tensors { path: file.path().into(), problems: unreadable });
    }
    check_split(file)?;
    let layer_of = |name: &str| name.strip_prefix("blk.")?.split('.').next()?.parse::<usize>().ok();
    let model = mix::Model {
        layers: file
            .tensors()
            .iter()
            .filter_map(|info| layer_of(&info.name))
            .max()
            .map_or(0, |last| last.saturating_add(1)),
        has_output: file.tensor_info("output.weight").is_some(),
    };
    let mut tensors = Vec::new();
    for info in file.tensors() {
        let tensor = file.tensor(&info.name)?;
        let format = mix.format_of(&info.name, &info.shape, &model);
        tensors.push(Planned::new(info.name.clone(), tensor, format));
    }
    let mut metadata = file.metadata().to_vec();
    set_type(&mut metadata, mix);
    let lossy = |planned: &&Planned| planned.from.is_quantized() && planned.from != planned.entry.format;
    let again = tensors.iter().filter(lossy).count();
    let notes = (again > 0).then(|| {
        format!("{again} tensors are already quantised: the precision lost by that is not recovered")
    });
    Ok(Quantization { metadata, tensors, notes: notes.into_iter().collect() })
}
