//! Checkpoints: opens a GGUF or a Hugging Face directory and loads the model.

mod assemble;
mod container;
mod generation;
mod gguf_tokenizer;
mod kind;
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
use crate::ends;
use crate::error::Error;
use crate::families;
use crate::fields::{self, Fields};
use crate::model::Model;
use crate::runtime::Runtime;
use crate::spec::{self, Parameter};
use crate::warning::Warning;
pub(crate) use assemble::{Assembled, AssembledRows, assemble};
use container::Container;
pub use generation::GenerationConfig;
pub(crate) use kind::check_split;
pub use kind::open_gguf;
use stored::Stored;
pub(crate) use stored::vocabulary_matrix;

/// A named tensor: name, shape, values in row-major order.
pub type Named = (String, Vec<usize>, Vec<f32>);

/// An open checkpoint: headers and configuration are read, tensors are not loaded yet.
///
/// ```no_run
/// use glassbox_model::Checkpoint;
/// use glassbox_tensor::{Level, Pool};
///
/// let checkpoint = Checkpoint::open("SmolLM2-135M-Instruct.Q4_1.gguf")?;
/// let tokenizer = checkpoint.tokenizer()?.expect("the GGUF has a tokenizer");
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
    warnings: Vec<Warning>,
}

impl Checkpoint {
    /// Opens a GGUF file, or a directory with `config.json` and `model.safetensors` or its shards.
    ///
    /// # Errors
    /// If files are missing or invalid, or the model is not supported.
    pub fn open(path: impl AsRef<Path>) -> Result<Checkpoint, Error> {
        let path = path.as_ref();
        if path.is_dir() { Checkpoint::open_directory(path) } else { Checkpoint::open_gguf(open_gguf(path)?) }
    }

    /// Creates a checkpoint from an open GGUF, such as one in memory.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub fn open_gguf(file: Gguf) -> Result<Checkpoint, Error> {
        check_split(&file)?;
        let mut warnings = gguf_tokenizer::warnings(&file);
        let config = families::from_gguf(&file, &mut warnings)?;
        let generation = gguf_tokenizer::generation(&file)?;
        let path = file.path().to_path_buf();
        Ok(Checkpoint::new(path, config, generation, Container::Gguf(file), None, warnings))
    }

    fn new(
        path: PathBuf,
        config: Config,
        generation: GenerationConfig,
        container: Container,
        directory: Option<PathBuf>,
        mut warnings: Vec<Warning>,
    ) -> Checkpoint {
        let tensors = Stored::new(&container, &config).unused();
        if !tensors.is_empty() {
            warnings.push(Warning::UnusedTensors { path: container.path().to_path_buf(), tensors });
        }
        Checkpoint { path, config, generation, container, directory, warnings }
    }

    /// Creates a checkpoint from a configuration and open tensors with Hugging Face's names, such as those of a model
    /// in training. It has no tokenizer.
    pub fn of_tensors(config: Config, tensors: SafeTensors) -> Checkpoint {
        let path = tensors.path().to_path_buf();
        let container = Container::SafeTensors(tensors);
        Checkpoint::new(path, config, GenerationConfig::default(), container, None, Vec::new())
    }

    fn open_directory(path: &Path) -> Result<Checkpoint, Error> {
        let not_a_checkpoint = |missing| Error::NotACheckpoint { path: path.to_path_buf(), missing };
        let config_path = path.join("config.json");
        if !config_path.is_file() {
            return Err(not_a_checkpoint(kind::without_config(path)));
        }
        let fields = Fields::open(&config_path).map_err(|error| kind::explain(&config_path, error))?;
        let mut warnings = Vec::new();
        let config = families::from_hf(&fields, &mut warnings)?;
        let generation = generation::read(path, &fields, config.vocab_size, &mut warnings)?;
        let weights = ["model.safetensors", "model.safetensors.index.json"].map(|name| path.join(name));
        let weights = weights.iter().find(|path| path.is_file());
        let weights = weights.ok_or_else(|| not_a_checkpoint(kind::without_weights(path)))?;
        let opened = SafeTensors::open(weights).map_err(Error::from);
        let container = Container::SafeTensors(opened.map_err(|error| kind::explain(weights, error))?);
        let directory = Some(path.to_path_buf());
        Ok(Checkpoint::new(path.to_path_buf(), config, generation, container, directory, warnings))
    }

    /// The path that was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The model's configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The recommended generation settings.
    pub fn generation(&self) -> &GenerationConfig {
        &self.generation
    }

    /// What the files say that has no effect, or another effect than they say. The tokenizer has warnings of its own.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// The tokens that end a generation or a turn of a chat, in ascending order: those that the files name, and those
    /// of the tokenizer that are known to end a turn by their text.
    ///
    /// Files often name only one of several, or the wrong one, and a chat model then goes on in the user's name.
    /// llama.cpp finds these tokens in the same way (see its issue #9606).
    pub fn end_ids(&self, tokenizer: Option<&Tokenizer>) -> Vec<u32> {
        ends::of(&self.generation.eos_ids, tokenizer)
    }

    /// All tensors of the files.
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

    /// Checks the tensors' names, shapes and formats without reading them: one sentence for each that is missing,
    /// misshapen, unreadable or unexpected. Empty if the model can be loaded.
    pub fn problems(&self) -> Vec<String> {
        self.stored().problems()
    }

    /// All parameters with Hugging Face's names and arrangement: name, shape, values. Quantised ones are dequantised.
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
    /// [`Error::Tensors`] with every tensor that is missing, misshapen, unreadable or unexpected.
    pub fn load(&self, pool: &Pool) -> Result<Model, Error> {
        let decoder = weights::load(pool, &self.container, &self.config)?;
        Ok(Model { config: self.config.clone(), decoder })
    }

    /// Loads the model and combines it with a thread pool.
    ///
    /// # Errors
    /// As [`Checkpoint::load`].
    pub fn run_on(&self, pool: impl Into<Arc<Pool>>) -> Result<Runtime, Error> {
        let pool = pool.into();
        let model = self.load(&pool)?;
        Ok(Runtime::new(Arc::new(model), pool))
    }

    /// The tokenizer, if the checkpoint has one. Doubtful settings are in its `warnings()`.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if it exists but is invalid.
    pub fn tokenizer(&self) -> Result<Option<Tokenizer>, Error> {
        match (&self.container, &self.directory) {
            (Container::Gguf(file), _) => tokenizer_of_gguf(file),
            (_, Some(directory)) => tokenizer_of_directory(directory),
            _ => Ok(None),
        }
    }

    /// The chat template, if the checkpoint has one.
    ///
    /// # Errors
    /// [`Error::Template`] if it exists but is invalid.
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

/// The tokenizer of a GGUF of any family, supported or not; `None` if it has none.
///
/// # Errors
/// [`Error::Tokenizer`] if it exists but is invalid.
pub fn tokenizer_of_gguf(file: &Gguf) -> Result<Option<Tokenizer>, Error> {
    let Some(vocabulary) = gguf_tokenizer::vocabulary(file)? else { return Ok(None) };
    let failed = |source| Error::Tokenizer { path: file.path().to_path_buf(), source };
    vocabulary.load().map(Some).map_err(failed)
}

/// The tokenizer of a Hugging Face directory. If its own files name no bos and eos tokens, `config.json` may, by id.
fn tokenizer_of_directory(directory: &Path) -> Result<Option<Tokenizer>, Error> {
    let files = ["tokenizer.json", "vocab.json"].map(|name| directory.join(name));
    let Some(path) = files.into_iter().find(|path| path.is_file()) else { return Ok(None) };
    let loaded = Tokenizer::from_file(directory);
    let failed = |source| kind::explain(&path, Error::Tokenizer { path: path.clone(), source });
    let mut tokenizer = loaded.map_err(failed)?;
    let path = directory.join("config.json");
    let config = path.is_file().then(|| Fields::open(&path)).transpose()?;
    let id_of = |key: &str, tokenizer: &Tokenizer| -> Option<u32> {
        // `generation::read` warns about invalid ids.
        let ids = config.as_ref()?.token_ids(key, tokenizer.vocab_size()).0;
        ids.and_then(|ids| ids.first().copied())
    };
    if tokenizer.bos_id().is_none() {
        tokenizer.set_bos_id(id_of("bos_token_id", &tokenizer));
    }
    if tokenizer.eos_id().is_none() {
        tokenizer.set_eos_id(id_of("eos_token_id", &tokenizer));
    }
    Ok(Some(tokenizer))
}
