//! LoRA adapters: what a fine-tuning learnt, beside the parameters it was learnt on.
//!
//! Beside a linear layer `y = x · Wᵀ` stands a thin detour, `y += scale · (x · Aᵀ) · Bᵀ` with `A` `[rank, inputs]` and `B`
//! `[outputs, rank]` (Hu et al., "LoRA: Low-rank adaptation of large language models", 2021). Adapters are read in the
//! layout of Hugging Face's PEFT: `adapter_config.json` and `adapter_model.safetensors`. The weights themselves are not
//! touched, so that a quantised model takes adapters too, and without them has the bits it always had.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use glassbox_tensor::file::safetensors::SafeTensors;
use glassbox_tensor::{PackedMatrix, Team, Tensor, ops};

use crate::error::Error;
use crate::gpt2::Gpt2;
use crate::layers::Linear;
use crate::llama::Llama;
use crate::load::json::Fields;
use crate::load::{Named, Naming, Part};
use crate::model::{Model, Weights};

/// What PEFT puts in front of every name.
pub const NAME_PREFIX: &str = "base_model.model.";

/// The detour beside a linear layer.
pub struct Detour {
    /// `[rank, inputs]`
    down: PackedMatrix,
    /// `[outputs, rank]`, the scale multiplied in.
    up: PackedMatrix,
}

impl Detour {
    /// `out += (x · downᵀ) · upᵀ`: `x` is `[rows, inputs]`, `out` is `[rows, outputs]`.
    pub(crate) fn add(&self, team: &Team<'_>, x: &[f32], out: &mut [f32]) {
        let rows = x.len() / self.down.inputs().max(1);
        let mut narrow = vec![0.0; rows * self.up.inputs()];
        ops::matmul(team, x, &self.down, &mut narrow);
        let mut change = vec![0.0; out.len()];
        ops::matmul(team, &narrow, &self.up, &mut change);
        ops::add(team, out, &change);
    }
}

/// Adapters in a folder.
pub struct Lora {
    path: PathBuf,
    rank: usize,
    scale: f64,
    targets: Vec<String>,
    tensors: SafeTensors,
}

impl Lora {
    /// Opens a folder with `adapter_config.json` and `adapter_model.safetensors`.
    ///
    /// # Errors
    /// If they are missing or broken, or adapters of another kind.
    pub fn open(folder: impl AsRef<Path>) -> Result<Lora, Error> {
        let path = folder.as_ref().to_path_buf();
        let config = path.join("adapter_config.json");
        if !config.is_file() {
            return Err(Error::NotACheckpoint { path, missing: "there is no adapter_config.json" });
        }
        let fields = Fields::open(&config)?;
        let parts = unsupported_parts(&fields)?;
        if !parts.is_empty() {
            return Err(Error::Unsupported { path: config, parts });
        }
        let rank = fields.size(&["r"])?;
        if rank > 1 << 16 {
            return Err(fields.wrong("r", "at most 65536", &rank.to_string()));
        }
        let alpha = fields.number("lora_alpha")?.map_or(8.0, f64::from);
        let by_root = fields.flag("use_rslora")?.unwrap_or(false);
        let divisor = if by_root { (rank as f64).sqrt() } else { rank as f64 };
        let targets = match fields.get("target_modules") {
            Some(serde_json::Value::Array(names)) => {
                names.iter().filter_map(|name| Some(name.as_str()?.to_owned())).collect()
            }
            _ => Vec::new(),
        };
        let tensors = SafeTensors::open(path.join("adapter_model.safetensors"))?;
        Ok(Lora { path, rank, scale: alpha / divisor, targets, tensors })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Components of a detour.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// What its result is multiplied by.
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// The last parts of the names of the layers that have one, as far as the folder lists them.
    pub fn targets(&self) -> &[String] {
        &self.targets
    }

    /// Every matrix: name, shape, numbers.
    ///
    /// # Errors
    /// If one cannot be read.
    pub fn named(&self) -> Result<Vec<Named>, Error> {
        let one = |info: &glassbox_tensor::file::TensorInfo| {
            let tensor = self.tensors.tensor(&info.name)?;
            Ok((info.name.clone(), tensor.shape().to_vec(), tensor.to_f32()))
        };
        self.tensors.tensors().iter().map(one).collect()
    }
}

/// Settings that would change the results and are not followed here.
fn unsupported_parts(fields: &Fields) -> Result<Vec<String>, Error> {
    let mut parts = Vec::new();
    if let Some(kind) = fields.text("peft_type")?.filter(|kind| *kind != "LORA") {
        parts.push(format!("adapters of type {kind:?} (there is LORA)"));
    }
    if fields.flag("use_dora")?.unwrap_or(false) {
        parts.push("use_dora".to_owned());
    }
    if let Some(bias) = fields.text("bias")?.filter(|bias| *bias != "none") {
        parts.push(format!("bias {bias:?}"));
    }
    for key in
        ["modules_to_save", "rank_pattern", "alpha_pattern", "layer_replication", "trainable_token_indices"]
    {
        let empty = |value: &serde_json::Value| match value {
            serde_json::Value::Array(list) => list.is_empty(),
            serde_json::Value::Object(object) => object.is_empty(),
            value => value.is_null(),
        };
        if fields.get(key).is_some_and(|value| !empty(value)) {
            parts.push(key.to_owned());
        }
    }
    Ok(parts)
}

impl Model {
    /// Puts adapters beside the layers they were learnt for, in place of any that are there.
    ///
    /// # Errors
    /// [`Error::Tensors`] naming every matrix that has no place in this model or another shape; then the model is as
    /// before.
    pub fn attach(&mut self, lora: &Lora) -> Result<(), Error> {
        let mut used = BTreeSet::new();
        let mut problems = Vec::new();
        let layers = linears(&mut self.weights);
        let mut detours = Vec::new();
        let pool = &self.pool;
        for (i, place) in layers.iter().enumerate() {
            let [a, b] = ["A", "B"].map(|kind| format!("{NAME_PREFIX}{}.lora_{kind}.weight", place.name));
            if lora.tensors.tensor_info(&a).is_none() && lora.tensors.tensor_info(&b).is_none() {
                continue;
            }
            let (weight, rank) = (&place.linear.weight, lora.rank);
            let rows = weight.outputs() * place.of;
            let mut read = |name: String, shape: [usize; 2]| -> Result<Option<Tensor>, Error> {
                used.insert(name.clone());
                let Some(info) = lora.tensors.tensor_info(&name) else {
                    problems.push(format!("{name}: missing, should be {shape:?}"));
                    return Ok(None);
                };
                if info.shape.dims() != shape {
                    problems.push(format!("{name}: shape {:?}, should be {shape:?}", info.shape.dims()));
                    return Ok(None);
                }
                Ok(Some(lora.tensors.tensor(&name)?))
            };
            let (down, up) = (read(a, [rank, weight.inputs()])?, read(b, [rows, rank])?);
            let (Some(down), Some(up)) = (down, up) else { continue };
            let share = up.narrow(0, place.part * weight.outputs()..(place.part + 1) * weight.outputs())?;
            let scaled = share.to_f32().iter().map(|x| (f64::from(*x) * lora.scale) as f32).collect();
            let up = Tensor::from_f32([weight.outputs(), rank], scaled)?;
            let detour = pool.enter(|team| -> Result<Detour, glassbox_tensor::Error> {
                Ok(Detour { down: PackedMatrix::pack(team, &down)?, up: PackedMatrix::pack(team, &up)? })
            })?;
            detours.push((i, detour));
        }
        for info in lora.tensors.tensors().iter().filter(|info| !used.contains(&info.name)) {
            problems.push(format!("{}: has no place in this model", info.name));
        }
        if !problems.is_empty() {
            return Err(Error::Tensors { path: lora.path.clone(), problems });
        }
        let mut layers = layers;
        layers.iter_mut().for_each(|place| place.linear.detour = None);
        for (i, detour) in detours {
            layers[i].linear.detour = Some(detour);
        }
        Ok(())
    }
}

/// A linear layer and what Hugging Face calls it.
struct Place<'m> {
    name: String,
    linear: &'m mut Linear,
    /// Which of several layers of equal size it is that have one name.
    part: usize,
    of: usize,
}

fn linears(weights: &mut Weights) -> Vec<Place<'_>> {
    match weights {
        Weights::Gpt2(model) => of_gpt2(model),
        Weights::Llama(model) => of_llama(model),
    }
}

fn of_gpt2(model: &mut Gpt2) -> Vec<Place<'_>> {
    let mut places = Vec::new();
    for (layer, block) in model.blocks.iter_mut().enumerate() {
        let mut add = |part: Part, linear, third: Option<usize>| {
            let name = module(Naming::HfGpt2, part, layer);
            places.push(Place {
                name,
                linear,
                part: third.unwrap_or(0),
                of: if third.is_some() { 3 } else { 1 },
            });
        };
        add(Part::Qkv, &mut block.q, Some(0));
        add(Part::Qkv, &mut block.k, Some(1));
        add(Part::Qkv, &mut block.v, Some(2));
        add(Part::AttentionOut, &mut block.attention_out, None);
        add(Part::MlpUp, &mut block.mlp_in, None);
        add(Part::MlpDown, &mut block.mlp_out, None);
    }
    places
}

fn of_llama(model: &mut Llama) -> Vec<Place<'_>> {
    let mut places = Vec::new();
    for (layer, block) in model.blocks.iter_mut().enumerate() {
        let parts = [
            (Part::Q, &mut block.q),
            (Part::K, &mut block.k),
            (Part::V, &mut block.v),
            (Part::AttentionOut, &mut block.attention_out),
            (Part::MlpGate, &mut block.gate),
            (Part::MlpUp, &mut block.up),
            (Part::MlpDown, &mut block.down),
        ];
        places.extend(parts.map(|(part, linear)| Place {
            name: module(Naming::HfLlama, part, layer),
            linear,
            part: 0,
            of: 1,
        }));
    }
    places
}

/// The name of a layer without that of its tensor.
fn module(naming: Naming, part: Part, layer: usize) -> String {
    let name = naming.name(part, Some(layer), "weight");
    name.trim_end_matches(".weight").to_owned()
}
