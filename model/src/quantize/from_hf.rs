//! From a Hugging Face checkpoint to a GGUF: every tensor under llama.cpp's name, in llama.cpp's arrangement.

use glassbox_tensor::Tensor;

use super::mix::{self, Mix};
use super::{Planned, Quantization, hf_metadata, set_type};
use crate::config::Family;
use crate::error::Error;
use crate::load::{Checkpoint, Container, Naming, Part};

pub(super) fn plan(checkpoint: &Checkpoint, mix: Mix) -> Result<Quantization, Error> {
    let path = checkpoint.path();
    let problems = checkpoint.problems()?;
    if !problems.is_empty() {
        return Err(Error::Tensors { path: path.into(), problems });
    }
    let mut description = hf_metadata::describe(checkpoint)?;
    let config = checkpoint.config();
    let found = Found::new(checkpoint);
    let mut tensors = Vec::new();
    for (part, layer) in Part::all(config.n_layers) {
        for kind in ["weight", "bias"] {
            if let Some(tensor) = found.tensor(part, layer, kind)? {
                tensors.push((part, Naming::Gguf.name(part, layer, kind), tensor));
            }
        }
    }
    if config.tied {
        tie(&mut tensors)?;
    }
    tensors.extend(description.tensors.drain(..).map(|(name, tensor)| (Part::Positions, name, tensor)));

    let has_output = tensors.iter().any(|(part, ..)| *part == Part::Unembedding);
    let model = mix::Model { layers: config.n_layers, has_output };
    // llama.cpp's `llama` rotates neighbours, all others halves.
    let interleaves = matches!(config.family, Family::Llama | Family::Mistral);
    let planned = tensors.into_iter().map(|(part, name, tensor)| {
        let format = mix.format_of(&name, tensor.shape(), &model);
        let interleaved = (interleaves && matches!(part, Part::Q | Part::K)).then_some(config.head_dim);
        Planned { interleaved, ..Planned::new(name, tensor, format) }
    });
    let tensors = planned.collect();
    set_type(&mut description.metadata, mix);
    Ok(Quantization { metadata: description.metadata, tensors, notes: description.notes })
}

/// Leaves one matrix where embedding and unembedding are the same one, whichever of the two the files have.
fn tie(tensors: &mut Vec<(Part, String, Tensor)>) -> Result<(), Error> {
    let place =
        |part: Part, tensors: &[(Part, String, Tensor)]| tensors.iter().position(|tensor| tensor.0 == part);
    match (place(Part::Embedding, tensors), place(Part::Unembedding, tensors)) {
        (Some(embedding), Some(unembedding)) => {
            let (a, b) = (&tensors[embedding].2, &tensors[unembedding].2);
            if a.format() == b.format() && a.bytes()? == b.bytes()? {
                tensors.remove(unembedding);
            }
        }
        (None, Some(unembedding)) => {
            let (_, _, tensor) = tensors.remove(unembedding);
            tensors.insert(0, (Part::Embedding, Naming::Gguf.name(Part::Embedding, None, "weight"), tensor));
        }
        _ => {}
    }
    Ok(())
}

/// The tensors of the checkpoint, by what they are.
struct Found<'a> {
    container: &'a Container,
    naming: Naming,
    bare: bool,
}

impl<'a> Found<'a> {
    fn new(checkpoint: &'a Checkpoint) -> Found<'a> {
        let container = checkpoint.container();
        let naming = container.naming(checkpoint.config().family);
        Found { container, naming, bare: naming.is_bare(container.tensors()) }
    }

    /// The tensor as `[outputs, inputs]`, if there is one.
    fn tensor(&self, part: Part, layer: Option<usize>, kind: &str) -> Result<Option<Tensor>, Error> {
        if !self.naming.has(part) {
            return Ok(None);
        }
        let name = self.naming.name_in(self.bare, part, layer, kind);
        if self.container.info(&name).is_none() {
            return Ok(None);
        }
        let tensor = self.container.tensor(&name)?;
        let transposed = self.naming.is_stored_transposed(part) && kind == "weight";
        Ok(Some(if transposed { tensor.transpose(0, 1)? } else { tensor }))
    }
}
