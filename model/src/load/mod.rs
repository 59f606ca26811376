//! From files to a model: a GGUF, or a Hugging Face directory.

mod assemble;
mod container;
mod gguf_tokenizer;
mod stored;
mod weights;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use glassbox_tensor::Pool;
use glassbox_tensor::file::TensorInfo;
use glassbox_tensor::file::gguf::Gguf;
use glassbox_tensor::file::safetensors::SafeTensors;
use glassbox_tokenizer::Tokenizer;

use crate::chat::ChatTemplate;
use crate::config::Config;
use crate::error::Error;
use crate::families;
use crate::fields::{self, Fields};
use crate::model::Model;
use crate::runtime::Runtime;
use crate::spec::{self, Parameter};
pub(crate) use assemble::{Assembled, AssembledRows, assemble};
use container::Container;
use stored::Stored;

/// A tensor as numbers: its name, its shape, its values in row-major order.
pub type Named = (String, Vec<usize>, Vec<f32>);

/// The files of a checkpoint, their headers read: what there is to know before anything is loaded.
///
/// ```no_run
/// use glassbox_model::Checkpoint;
/// use glassbox_tensor::{Level, Pool};
///
/// let checkpoint = Checkpoint::open("SmolLM2-135M-Instruct.Q4_1.gguf")?;
/// let tokenizer = checkpoint.tokenizer()?.expect("a GGUF has its tokenizer inside");
/// let model = checkpoint.run_on(Pool::new(2, Level::detect())?)?;
/// # Ok::<(), glassbox_model::Error>(())
/// ```
pub struct Checkpoint {
    path: PathBuf,
    config: Config,
    generation: GenerationConfig,
    container: Container,
    /// A Hugging Face checkpoint's directory.
    directory: Option<PathBuf>,
}

/// How the authors of a checkpoint want text to be generated with it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GenerationConfig {
    /// Tokens that end a text.
    pub eos_ids: Vec<u32>,
    /// Whether to draw tokens rather than take the likeliest.
    pub do_sample: Option<bool>,
    /// The temperature.
    pub temperature: Option<f32>,
    /// How many of the likeliest tokens take part.
    pub top_k: Option<usize>,
    /// The probability that the tokens taking part have together.
    pub top_p: Option<f32>,
    /// The penalty on tokens that have occurred.
    pub repetition_penalty: Option<f32>,
}

impl Checkpoint {
    /// Opens a GGUF file, or a directory with `config.json` and `model.safetensors` or its shards.
    ///
    /// # Errors
    /// If the files are missing or broken, or the model is one that does not run here.
    pub fn open(path: impl AsRef<Path>) -> Result<Checkpoint, Error> {
        let path = path.as_ref();
        if path.is_dir() {
            Checkpoint::open_directory(path)
        } else {
            Checkpoint::open_gguf(Gguf::open(path)?)
        }
    }

    /// Opens a GGUF that is open already, such as one from memory.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub fn open_gguf(file: Gguf) -> Result<Checkpoint, Error> {
        let config = families::from_gguf(&file)?;
        let generation = GenerationConfig { eos_ids: gguf_tokenizer::eos_ids(&file)?, ..Default::default() };
        let path = file.path().to_path_buf();
        Ok(Checkpoint { path, config, generation, container: Container::Gguf(file), directory: None })
    }

    /// A checkpoint of this shape whose tensors, under Hugging Face's names, are open already, such as those of a model
    /// in training. It has no tokenizer.
    pub fn of_tensors(config: Config, tensors: SafeTensors) -> Checkpoint {
        let path = tensors.path().to_path_buf();
        let generation = GenerationConfig::default();
        Checkpoint { path, config, generation, container: Container::SafeTensors(tensors), directory: None }
    }

    fn open_directory(path: &Path) -> Result<Checkpoint, Error> {
        let not_a_checkpoint = |missing| Error::NotACheckpoint { path: path.to_path_buf(), missing };
        let config_path = path.join("config.json");
        if !config_path.is_file() {
            return Err(not_a_checkpoint("there is no config.json"));
        }
        let fields = Fields::open(&config_path)?;
        let config = families::from_hf(&fields)?;
        let generation = generation_config(path, &fields)?;
        let weights = ["model.safetensors", "model.safetensors.index.json"].map(|name| path.join(name));
        let weights = weights.iter().find(|path| path.is_file());
        let weights = weights.ok_or_else(|| {
            not_a_checkpoint("there is no model.safetensors and no model.safetensors.index.json")
        })?;
        let container = Container::SafeTensors(SafeTensors::open(weights)?);
        let directory = Some(path.to_path_buf());
        Ok(Checkpoint { path: path.to_path_buf(), config, generation, container, directory })
    }

    /// The path it was opened with.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The model's shape.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// How its authors want text to be generated.
    pub fn generation(&self) -> &GenerationConfig {
        &self.generation
    }

    /// Every tensor of the files.
    pub fn tensors(&self) -> &[TensorInfo] {
        self.container.tensors()
    }

    /// The GGUF, if it is one.
    pub fn gguf(&self) -> Option<&Gguf> {
        match &self.container {
            Container::Gguf(file) => Some(file),
            Container::SafeTensors(_) => None,
        }
    }

    /// The parameters in the files.
    pub(crate) fn stored(&self) -> Stored<'_> {
        Stored::new(&self.container, &self.config)
    }

    /// What keeps the tensors from being loaded, one sentence each, by their names and shapes alone: those
    /// that are missing, misshapen, unreadable or superfluous. Empty if there is nothing.
    pub fn problems(&self) -> Vec<String> {
        self.stored().problems()
    }

    /// Every parameter in Hugging Face's names and arrangement: name, shape, numbers. Quantised ones are dequantised.
    ///
    /// # Errors
    /// As [`Checkpoint::load`].
    pub fn parameters(&self) -> Result<Vec<Named>, Error> {
        let stored = self.stored();
        stored.check()?;
        let tensors = assemble(&stored, families::hf_names(&self.config))?;
        tensors
            .into_iter()
            .map(|tensor| Ok((tensor.name.clone(), tensor.shape.clone(), tensor.to_f32()?)))
            .collect()
    }

    /// Every parameter of the model's list with its numbers, `[rows, columns]`. Quantised ones are dequantised.
    pub(crate) fn numbers(&self) -> Result<Vec<(Parameter, Vec<f32>)>, Error> {
        let stored = self.stored();
        stored.check()?;
        let with_numbers = |parameter: Parameter| {
            let numbers = stored.numbers(&parameter)?;
            Ok((parameter, numbers))
        };
        spec::parameters(&self.config).into_iter().map(with_numbers).collect()
    }

    /// Loads the parameters and packs them with the threads of `pool`.
    ///
    /// # Errors
    /// [`Error::Tensors`] naming every tensor that is missing, misshapen, unreadable or superfluous.
    pub fn load(&self, pool: &Pool) -> Result<Model, Error> {
        let decoder = weights::load(pool, &self.container, &self.config)?;
        Ok(Model { config: self.config.clone(), decoder })
    }

    /// Loads the model and keeps it beside the threads that run it.
    ///
    /// # Errors
    /// As [`Checkpoint::load`].
    pub fn run_on(&self, pool: impl Into<Arc<Pool>>) -> Result<Runtime, Error> {
        let pool = pool.into();
        let model = self.load(&pool)?;
        Ok(Runtime::new(Arc::new(model), pool))
    }

    /// The tokenizer, if the checkpoint has one. What was doubtful in it is in its `warnings()`.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if it is there but cannot be used.
    pub fn tokenizer(&self) -> Result<Option<Tokenizer>, Error> {
        match (&self.container, &self.directory) {
            (Container::Gguf(file), _) => tokenizer_of_gguf(file),
            (_, Some(directory)) => tokenizer_of_directory(directory),
            _ => Ok(None),
        }
    }

    /// The template that turns a chat into one text, if the checkpoint has one.
    ///
    /// # Errors
    /// [`Error::Template`] if it is there but cannot be used.
    pub fn chat_template(&self) -> Result<Option<ChatTemplate>, Error> {
        let (path, template) = match (&self.container, &self.directory) {
            (Container::Gguf(file), _) => (self.path.clone(), gguf_tokenizer::chat_template(file)?),
            (_, Some(directory)) => {
                let [config, jinja] =
                    ["tokenizer_config.json", "chat_template.jinja"].map(|name| directory.join(name));
                let read = |path: &Path| path.is_file().then(|| fields::read_text(path)).transpose();
                let value = read(&config)?.map(|text| serde_json::from_str(&text)).transpose();
                let value = value.map_err(|source| Error::Json { path: config.clone(), source })?;
                let jinja_text = read(&jinja)?;
                let path = if jinja_text.is_some() { jinja } else { config };
                (path, ChatTemplate::of_directory(value.as_ref(), jinja_text.as_deref(), None))
            }
            _ => return Ok(None),
        };
        template.map_err(|source| Error::Template { path, source })
    }
}

/// The tokenizer inside a GGUF, whatever family its model is of; `None` if it has none.
///
/// # Errors
/// [`Error::Tokenizer`] if it is there but cannot be used.
pub fn tokenizer_of_gguf(file: &Gguf) -> Result<Option<Tokenizer>, Error> {
    let Some(vocabulary) = gguf_tokenizer::vocabulary(file)? else { return Ok(None) };
    let failed = |source| Error::Tokenizer { path: file.path().to_path_buf(), source };
    vocabulary.load().map(Some).map_err(failed)
}

/// The tokenizer beside a Hugging Face checkpoint. Which tokens begin and end a text stands in other files
/// than its own: in `tokenizer_config.json` by their texts, in `config.json` by their ids.
fn tokenizer_of_directory(directory: &Path) -> Result<Option<Tokenizer>, Error> {
    let files = ["tokenizer.json", "vocab.json"].map(|name| directory.join(name));
    let Some(path) = files.into_iter().find(|path| path.is_file()) else { return Ok(None) };
    let loaded = Tokenizer::from_file(&path);
    let mut tokenizer = loaded.map_err(|source| Error::Tokenizer { path, source })?;

    let told = |name: &str| {
        let path = directory.join(name);
        path.is_file().then(|| Fields::open(&path)).transpose()
    };
    let (texts, ids) = (told("tokenizer_config.json")?, told("config.json")?);
    let id_of = |kind: &str, tokenizer: &Tokenizer| -> Result<Option<u32>, Error> {
        let text = texts.as_ref().and_then(|texts| texts.get(&format!("{kind}_token")));
        let text = text.and_then(|text| text.as_str().or_else(|| text.get("content")?.as_str()));
        if let Some(id) = text.and_then(|text| tokenizer.token_to_id(text)) {
            return Ok(Some(id));
        }
        let ids = ids.as_ref().map(|ids| ids.ids(&format!("{kind}_token_id"))).transpose()?.flatten();
        Ok(ids.and_then(|ids| ids.first().copied()))
    };
    if tokenizer.bos_id().is_none() {
        tokenizer.set_bos_id(id_of("bos", &tokenizer)?);
    }
    if tokenizer.eos_id().is_none() {
        tokenizer.set_eos_id(id_of("eos", &tokenizer)?);
    }
    Ok(Some(tokenizer))
}

/// Hugging Face's `generation_config.json`, if there is one; what it does not say, `config.json` may.
fn generation_config(directory: &Path, config: &Fields) -> Result<GenerationConfig, Error> {
    let path = directory.join("generation_config.json");
    let told = if path.is_file() { Some(Fields::open(&path)?) } else { None };
    let Some(told) = told else {
        let eos_ids = config.ids("eos_token_id")?.unwrap_or_default();
        return Ok(GenerationConfig { eos_ids, ..Default::default() });
    };
    Ok(GenerationConfig {
        eos_ids: told.ids("eos_token_id")?.or(config.ids("eos_token_id")?).unwrap_or_default(),
        do_sample: told.flag("do_sample")?,
        temperature: told.number("temperature")?,
        top_k: told.maybe_count("top_k")?,
        top_p: told.number("top_p")?,
        repetition_penalty: told.number("repetition_penalty")?,
    })
}
