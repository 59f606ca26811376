//! Converts a Hugging Face checkpoint to a GGUF: all tensors get llama.cpp's names and arrangement.

use glassbox_tensor::Shape;
use glassbox_tensor::file::gguf::Entry;

use super::mix::{self, Mix};
use super::{Content, Planned, Quantization, hf_metadata, set_type};
use crate::error::Error;
use crate::families;
use crate::load::{Assembled, Checkpoint, assemble};
use crate::spec::Role;

pub(super) fn plan(checkpoint: &Checkpoint, mix: Mix) -> Result<Quantization, Error> {
    let stored = checkpoint.stored();
    stored.check()?;
    let mut description = hf_metadata::describe(checkpoint)?;
    let config = checkpoint.config();
    let assembled = assemble(&stored, &families::of(config).gguf)?;
    let has_output = assembled.iter().any(|tensor| tensor.role == Role::Unembedding);
    let model = mix::Model { layers: config.n_layers, has_output };

    let mut tensors = Vec::new();
    for tensor in assembled {
        tensors.push(planned(tensor, mix, &model)?);
    }
    for (name, tensor) in description.tensors {
        let format = mix.format_of(&name, tensor.shape(), &model);
        tensors.push(Planned::new(name, tensor, format));
    }
    set_type(&mut description.metadata, mix);
    Ok(Quantization { metadata: description.metadata, tensors, notes: description.notes })
}

fn planned(assembled: Assembled, mix: Mix, model: &mix::Model) -> Result<Planned, Error> {
    let shape = Shape::new(assembled.shape.clone())?;
    let (format, reason) = mix.format_of(&assembled.name, &shape, model);
    let entry = Entry { name: assembled.name.clone(), format, shape };
    let from = assembled.format();
    let content = match assembled.unchanged() {
        Some(tensor) => Content::Whole(tensor),
        None => Content::Assembled(assembled),
    };
    Ok(Planned { entry, from, reason, content })
}
