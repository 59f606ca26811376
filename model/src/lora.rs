//! LoRA adapters on disk, in the format of Hugging Face's PEFT: `adapter_config.json` and `adapter_model.safetensors`.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use glassbox_tensor::file::safetensors::SafeTensors;
use glassbox_tensor::{PackedMatrix, Pool, Tensor};

use crate::adapter::{Adapter, LoraBranch};
use crate::config::Config;
use crate::error::Error;
use crate::families;
use crate::fields::Fields;
use crate::load::Named;
use crate::spec::{self, Parameter};

/// PEFT's prefix of every tensor name.
pub const NAME_PREFIX: &str = "base_model.model.";

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
    /// If they are missing or invalid, or adapters of another kind.
    pub fn open(folder: impl AsRef<Path>) -> Result<Lora, Error> {
        let path = folder.as_ref().to_path_buf();
        let config = path.join("adapter_config.json");
        if !config.is_file() {
            return Err(Error::NotACheckpoint { path, missing: "adapter_config.json is missing".to_owned() });
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

    /// The inner dimension of `B · A`.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// The factor of `B · A`.
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// The layers that have a branch, by the last component of their names, if the folder lists them.
    pub fn targets(&self) -> &[String] {
        &self.targets
    }

    /// All matrices: name, shape, values.
    ///
    /// # Errors
    /// If one cannot be read.
    pub fn named(&self) -> Result<Vec<Named>, Error> {
        let one = |info: &glassbox_tensor::file::TensorInfo| {
            let tensor = self.tensors.tensor(&info.name)?;
            Ok((info.name.clone(), tensor.shape().to_vec(), tensor.try_to_f32()?))
        };
        self.tensors.tensors().iter().map(one).collect()
    }
}

/// Unsupported settings that would change the results.
fn unsupported_parts(fields: &Fields) -> Result<Vec<String>, Error> {
    let mut parts = Vec::new();
    if let Some(kind) = fields.text("peft_type")?.filter(|kind| *kind != "LORA") {
        parts.push(format!("adapters of type {kind:?} (supported: LORA)"));
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

impl Adapter {
    /// Reads an adapter for a model of this configuration.
    ///
    /// # Errors
    /// [`Error::Tensors`] with every matrix that does not belong to the model or has another shape.
    pub fn load(config: &Config, lora: &Lora, pool: &Pool) -> Result<Adapter, Error> {
        let (mut used, mut problems) = (BTreeSet::new(), Vec::new());
        let mut branches = HashMap::new();
        let (names, rank) = (families::hf_names(config), lora.rank);
        let linear = |parameter: &Parameter| parameter.site.role.is_linear() && !parameter.is_bias;
        for parameter in spec::parameters(config).into_iter().filter(linear) {
            let Some(source) = names.source(config, &parameter) else { continue };
            let module = source.name.trim_end_matches(".weight");
            let [a, b] = ["A", "B"].map(|kind| format!("{NAME_PREFIX}{module}.lora_{kind}.weight"));
            if lora.tensors.tensor_info(&a).is_none() && lora.tensors.tensor_info(&b).is_none() {
                continue;
            }
            let &[outputs, inputs] = &parameter.shape[..] else { continue };
            let stored_outputs = if source.transposed { source.shape[1] } else { source.shape[0] };
            let mut read = |name: String, shape: [usize; 2]| -> Result<Option<Tensor>, Error> {
                used.insert(name.clone());
                let Some(info) = lora.tensors.tensor_info(&name) else {
                    problems.push(format!("{name}: missing, expected shape {shape:?}"));
                    return Ok(None);
                };
                if info.shape.dims() != shape {
                    problems.push(format!("{name}: expected shape {shape:?}, found {:?}", info.shape.dims()));
                    return Ok(None);
                }
                Ok(Some(lora.tensors.tensor(&name)?))
            };
            let (down, up) = (read(a, [rank, inputs])?, read(b, [stored_outputs, rank])?);
            let (Some(down), Some(up)) = (down, up) else { continue };
            let scaled = up.try_to_f32()?.iter().map(|x| (f64::from(*x) * lora.scale) as f32).collect();
            let up = Tensor::from_f32([stored_outputs, rank], scaled)?;
            let branch = pool.enter(|team| -> Result<LoraBranch, glassbox_tensor::Error> {
                let up = PackedMatrix::pack_some_rows(team, &up, outputs, |i| source.rows.at(i))?;
                Ok(LoraBranch { down: PackedMatrix::pack(team, &down)?, up })
            })?;
            branches.insert(parameter.site, branch);
        }
        // A fused tensor has one adapter; report it once.
        problems.dedup();
        for info in lora.tensors.tensors().iter().filter(|info| !used.contains(&info.name)) {
            problems.push(format!("{}: unexpected tensor, the model has no such layer", info.name));
        }
        if problems.is_empty() {
            Ok(Adapter::new(branches))
        } else {
            Err(Error::Tensors { path: lora.path.clone(), problems })
        }
    }
}
