//! From `-m` to a model: find it, read its headers, load its weights.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use glassbox_model::{Adapter, Checkpoint, Lora, Runtime};
use glassbox_tensor::file::gguf::Gguf;
use glassbox_tokenizer::Tokenizer;

use crate::args::{KernelArgs, MachineArgs, ModelArgs};
use crate::output::{note, warn};

/// An opened checkpoint (headers read, weights not loaded) with its tokenizer.
pub(crate) struct Source {
    pub(crate) checkpoint: Checkpoint,
    /// The LoRA adapters to apply.
    pub(crate) lora: Option<Lora>,
    tokenizer: Result<Option<Tokenizer>, glassbox_model::Error>,
    opening: Duration,
}

impl Source {
    /// Finds and opens the model. Warnings about its files go to stderr.
    pub(crate) fn open(model: &ModelArgs) -> anyhow::Result<Source> {
        let start = Instant::now();
        let checkpoint = Found::by(model.checkpoint.model.as_deref())?.open()?;
        checkpoint.warnings().iter().for_each(warn);
        let lora = model.lora.as_ref().map(Lora::open).transpose()?;
        let tokenizer = checkpoint.tokenizer();
        if let Ok(Some(tokenizer)) = &tokenizer {
            tokenizer.warnings().iter().for_each(warn);
        }
        Ok(Source { checkpoint, lora, tokenizer, opening: start.elapsed() })
    }

    /// The tokenizer, if there is a usable one. An unusable one causes a warning, since token ids work without it.
    pub(crate) fn maybe_tokenizer(&self) -> Option<&Tokenizer> {
        match &self.tokenizer {
            Ok(tokenizer) => tokenizer.as_ref(),
            Err(error) => {
                warn(format_args!("{error}; continuing without a tokenizer"));
                None
            }
        }
    }

    /// The tokens that end a generation or a turn.
    pub(crate) fn end_ids(&self) -> Vec<u32> {
        self.checkpoint.end_ids(self.tokenizer.as_ref().ok().and_then(Option::as_ref))
    }

    /// The tokenizer, or an error if there is no usable one.
    pub(crate) fn tokenizer(&self) -> anyhow::Result<&Tokenizer> {
        match &self.tokenizer {
            Ok(Some(tokenizer)) => Ok(tokenizer),
            Ok(None) => Err(anyhow!(
                "{} has no tokenizer: give token ids with --ids",
                self.checkpoint.path().display()
            )),
            Err(error) => Err(anyhow!("{error}")),
        }
    }

    /// Loads the weights. Also returns the time taken, opening included.
    pub(crate) fn load(&self, machine: &MachineArgs) -> anyhow::Result<(Runtime, Duration)> {
        self.load_on(&machine.kernels, machine.threads)
    }

    /// As [`Source::load`], with `threads` threads; `None` is the default.
    pub(crate) fn load_on(
        &self,
        kernels: &KernelArgs,
        threads: Option<u16>,
    ) -> anyhow::Result<(Runtime, Duration)> {
        let start = Instant::now();
        let model = self.checkpoint.run_on(kernels.pool(threads)?)?.with_cache_format(kernels.cache.kv);
        let adapter = self.lora.as_ref().map(|lora| Adapter::load(&model, lora, &model.pool)).transpose()?;
        adapter.iter().flat_map(Adapter::warnings).for_each(warn);
        let model = model.with_adapter(adapter.map(Arc::new));
        Ok((model, self.opening + start.elapsed()))
    }

    /// The model's display name: its file or folder name.
    pub(crate) fn name(&self) -> String {
        let path = self.checkpoint.path();
        path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
    }

    /// The context length in tokens: `wanted`, or by default the model's own.
    pub(crate) fn context(&self, wanted: Option<usize>) -> anyhow::Result<usize> {
        let longest = self.checkpoint.config().context_length;
        match wanted {
            Some(wanted) if wanted > longest => {
                bail!("-c {wanted} exceeds the model's context length of {longest} tokens")
            }
            wanted => Ok(wanted.unwrap_or(longest)),
        }
    }
}

/// What to do if there is no model.
pub(crate) const HOW_TO_GET_ONE: &str = "scripts/fetch-smollm2.sh downloads a small one";

/// The folders in which a bare model name is searched.
pub(crate) fn search_path() -> Vec<PathBuf> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
    if let Some(folders) = set("GLASSBOX_MODELS") {
        return env::split_paths(&folders).collect();
    }
    let cache = set("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(set("HOME")?).join(".cache")));
    cache.into_iter().map(|cache| cache.join("glassbox")).collect()
}

/// The models in the search path: GGUF files and folders with a `config.json`, sorted within each folder.
pub(crate) fn models_in_search_path() -> Vec<PathBuf> {
    let is_model = |path: &Path| {
        let gguf = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"));
        (gguf && path.is_file()) || path.join("config.json").is_file()
    };
    let mut models = Vec::new();
    for folder in search_path() {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut found: Vec<PathBuf> =
            entries.map(|entry| entry.path()).filter(|path| is_model(path)).collect();
        found.sort();
        models.extend(found);
    }
    models
}

/// The built-in model: a GPT-2 trained on 48 old books of tales (see cli/models/README.md).
static TALES: &[u8] = include_bytes!("../models/tales.gguf");

/// The name of [`TALES`] after `-m`, unless a file or a model in the search path has it.
const BUILT_IN: &str = "tales";

/// The name of [`TALES`] where other models have a path.
const TALES_NAME: &str = "tales (built-in model)";

/// Where a model was found.
pub(crate) enum Found {
    /// A file or a folder.
    At(PathBuf),
    /// The built-in model.
    BuiltIn,
}

impl Found {
    /// The model called `name`. Without a name it is the built-in one, and a line on stderr says so.
    pub(crate) fn by(name: Option<&Path>) -> anyhow::Result<Found> {
        match name.filter(|name| !name.as_os_str().is_empty()) {
            Some(name) => match find(name) {
                Err(_) if name == Path::new(BUILT_IN) => Ok(Found::BuiltIn),
                found => {
                    let found = found.map_err(|error| anyhow!("{error}; the built-in model is {BUILT_IN}"));
                    found.map(Found::At)
                }
            },
            None => {
                note("model       tales, the built-in one; -m or $GLASSBOX_MODEL selects another");
                Ok(Found::BuiltIn)
            }
        }
    }

    /// Opens it: reads the headers.
    pub(crate) fn open(&self) -> anyhow::Result<Checkpoint> {
        Ok(match self {
            Found::At(path) => Checkpoint::open(path)?,
            Found::BuiltIn => Checkpoint::open_gguf(built_in()?)?,
        })
    }

    /// Its path, or its name.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Found::At(path) => path,
            Found::BuiltIn => Path::new(TALES_NAME),
        }
    }
}

/// The built-in model, read in place: it takes no extra memory.
pub(crate) fn built_in() -> anyhow::Result<Gguf> {
    Ok(Gguf::from_bytes(TALES_NAME, TALES)?)
}

/// The path of the model called `name`.
pub(crate) fn find(name: &Path) -> anyhow::Result<PathBuf> {
    if name.exists() {
        return Ok(name.to_owned());
    }
    let folders = if name.components().count() == 1 { search_path() } else { Vec::new() };
    let mut with_extension = name.as_os_str().to_owned();
    with_extension.push(".gguf");
    for folder in &folders {
        for file in [folder.join(name), folder.join(&with_extension)] {
            if file.exists() {
                return Ok(file);
            }
        }
    }
    let error = fs::metadata(name).err().context("the model appeared while it was searched for")?;
    let searched = folders.iter().map(|folder| format!("; not found in {}", folder.display()));
    let known = models_in_search_path();
    let similar = similar(name, &known);
    let known = match &known[..] {
        [] => format!("; no models are in the search path: {HOW_TO_GET_ONE}"),
        known => {
            let names =
                known.iter().filter_map(|path| path.file_name()).map(|name| name.display().to_string());
            format!("; models in the search path: {}", names.collect::<Vec<_>>().join(", "))
        }
    };
    let searched: String = searched.collect();
    Err(anyhow!("model {}: {error}{similar}{searched}{known} (see `glassbox doctor`)", name.display()))
}

/// The models among `known` whose names contain `name`, in lower or upper case, as a question; empty if there are none.
fn similar(name: &Path, known: &[PathBuf]) -> String {
    let name = name.to_string_lossy().to_lowercase();
    let names = known.iter().filter_map(|path| {
        let gguf = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"));
        let known = if gguf { path.file_stem() } else { path.file_name() };
        Some(known?.to_string_lossy())
    });
    let names: Vec<_> = names.filter(|known| known.to_lowercase().contains(&name)).collect();
    if names.is_empty() { String::new() } else { format!("; did you mean {}", names.join(" or ")) }
}
