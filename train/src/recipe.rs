//! A recipe: all that decides what a training comes to, in one TOML file.
//!
//! ```
//! let recipe = glassbox_train::Recipe::preset("nano").expect("it is one of the presets");
//! assert_eq!(recipe.model.d_model, 64);
//! let again = glassbox_train::Recipe::parse("nano", &recipe.to_toml()).unwrap();
//! assert_eq!(recipe, again);
//! ```
//!
//! What a file leaves out has the default written here; a key that nobody knows is an error.

mod check;

use glassbox_model::config::{Config, MlpKind, Sizes};
use glassbox_model::families;
use serde::{Deserialize, Serialize};

use crate::plain::dropout::Dropout;
use crate::run::RunError;

/// The recipes that the program carries, by name.
pub const PRESETS: [(&str, &str); 4] = [
    ("nano", include_str!("../recipes/nano.toml")),
    ("tiny", include_str!("../recipes/tiny.toml")),
    ("small", include_str!("../recipes/small.toml")),
    ("tales", include_str!("../recipes/tales.toml")),
];

/// All that decides what a training comes to, but for the text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The shape of the model.
    pub model: ModelRecipe,
    /// The tokenizer to learn.
    #[serde(default)]
    pub tokenizer: TokenizerRecipe,
    /// What is kept back.
    #[serde(default)]
    pub data: DataRecipe,
    /// How it learns.
    #[serde(default)]
    pub training: TrainingRecipe,
    /// What is written on the way. Nothing here changes the result.
    #[serde(default)]
    pub report: ReportRecipe,
}

/// The shape of the model, in the names of [`glassbox_model::Config`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelRecipe {
    /// `gpt2` or `llama`.
    pub family: String,
    /// Components of the vector that stands for a token.
    pub d_model: usize,
    /// Blocks.
    pub n_layers: usize,
    /// Attention heads a block.
    pub n_heads: usize,
    /// Heads with keys and values of their own (Llama); as many as heads if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_kv_heads: Option<usize>,
    /// Hidden neurons of a feed-forward layer; if left out four times `d_model`, of a gated one 8/3 times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub d_ff: Option<usize>,
    /// The longest text, in tokens, and the length of an example.
    pub context_length: usize,
}

/// The tokenizer to learn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TokenizerRecipe {
    /// Tokens of the vocabulary at most, the 256 bytes and the end of a text among them.
    pub vocab_size: usize,
}

/// What is kept back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataRecipe {
    /// The share of the text for validation.
    pub validation: f64,
}

/// How the model learns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainingRecipe {
    /// Where all chance begins: first values, kept-back documents, order of the examples.
    pub seed: u64,
    /// Steps in all.
    pub steps: u64,
    /// Examples a step.
    pub batch: usize,
    /// Examples computed at a time: fewer take less memory. 0: all of a step's.
    pub micro_batch: usize,
    /// The learning rate after the warm-up.
    pub learning_rate: f64,
    /// The learning rate at the end of the cosine.
    pub final_learning_rate: f64,
    /// Steps in which the learning rate rises from nothing.
    pub warm_up: u64,
    /// AdamW's decay of matrices (norms, biases and embeddings have none).
    pub weight_decay: f64,
    /// How slowly AdamW forgets the gradient's mean.
    pub beta1: f64,
    /// How slowly AdamW forgets the gradient's square.
    pub beta2: f64,
    /// What AdamW adds to the root of the square.
    pub epsilon: f64,
    /// The longest gradient (global norm); 0 leaves it as it is.
    pub clip: f64,
    /// The share of numbers left out while learning ([`mod@crate::plain::dropout`]).
    pub dropout: f64,
}

/// What is written on the way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReportRecipe {
    /// Steps between two looks at the text kept back. 0: only at the end.
    pub validate_every: u64,
    /// Examples of it that are looked at, spread evenly.
    pub validation_examples: usize,
    /// Steps between two samples. 0: none.
    pub sample_every: u64,
    /// What a sample begins with.
    pub prompt: String,
    /// Tokens of a sample.
    pub sample_tokens: usize,
    /// Steps between two snapshots of the model ([`mod@crate::watch`]). 0: none.
    pub watch_every: u64,
    /// The block of the head whose attention a snapshot shows.
    pub watch_layer: usize,
    /// Which of its heads.
    pub watch_head: usize,
    /// Steps between two checkpoints. 0: by time alone.
    pub checkpoint_every: u64,
    /// Minutes between two checkpoints. 0: by steps alone.
    pub checkpoint_minutes: f64,
}

impl Default for TokenizerRecipe {
    fn default() -> TokenizerRecipe {
        TokenizerRecipe { vocab_size: 4096 }
    }
}

impl Default for DataRecipe {
    fn default() -> DataRecipe {
        DataRecipe { validation: 0.02 }
    }
}

impl Default for TrainingRecipe {
    fn default() -> TrainingRecipe {
        TrainingRecipe {
            seed: 1,
            steps: 1000,
            batch: 16,
            micro_batch: 0,
            learning_rate: 1e-3,
            final_learning_rate: 1e-4,
            warm_up: 100,
            weight_decay: 0.1,
            beta1: 0.9,
            beta2: 0.95,
            epsilon: 1e-8,
            clip: 1.0,
            dropout: 0.0,
        }
    }
}

impl Default for ReportRecipe {
    fn default() -> ReportRecipe {
        ReportRecipe {
            validate_every: 250,
            validation_examples: 64,
            sample_every: 500,
            prompt: "Once upon a time".to_owned(),
            sample_tokens: 48,
            watch_every: 0,
            watch_layer: 0,
            watch_head: 0,
            checkpoint_every: 0,
            checkpoint_minutes: 5.0,
        }
    }
}

impl TrainingRecipe {
    /// What is left out of the pass that begins with example number `example`.
    pub(crate) fn dropout_of(&self, example: u64) -> Option<Dropout> {
        Dropout::of(self.dropout, self.seed, example)
    }
}

impl Recipe {
    /// The recipe of that name, if it is among [`PRESETS`].
    pub fn preset(name: &str) -> Option<Recipe> {
        let (name, text) = PRESETS.into_iter().find(|preset| preset.0 == name)?;
        Recipe::parse(name, text).ok()
    }

    /// Reads a recipe. Errors call it `name`.
    ///
    /// # Errors
    /// [`RunError::Recipe`] where it is not TOML, has a key that nobody knows, or a value that makes no sense.
    pub fn parse(name: &str, text: &str) -> Result<Recipe, RunError> {
        let wrong = |problems: Vec<String>| RunError::Recipe { name: name.to_owned(), problems };
        let recipe: Recipe = toml::from_str(text).map_err(|error| wrong(vec![error.to_string()]))?;
        recipe.check().map_err(wrong)?;
        Ok(recipe)
    }

    /// The recipe as a file has it, with every value.
    pub fn to_toml(&self) -> String {
        // Plain tables of numbers and texts are always written.
        toml::to_string(self).unwrap_or_default()
    }

    /// Sets the number of steps, with a warm-up of a tenth of them at most.
    pub fn set_steps(&mut self, steps: u64) {
        self.training.steps = steps;
        self.training.warm_up = self.training.warm_up.min(steps / 10);
    }

    /// The model's configuration, once the size of the vocabulary is known.
    pub fn config(&self, vocab_size: usize) -> Config {
        let model = &self.model;
        let sizes = Sizes {
            vocab_size,
            context_length: model.context_length,
            d_model: model.d_model,
            n_layers: model.n_layers,
            n_heads: model.n_heads,
            n_kv_heads: model.n_kv_heads.unwrap_or(model.n_heads),
            head_dim: model.d_model / model.n_heads,
            d_ff: model.d_ff.unwrap_or(model.d_model * 4),
        };
        let config = families::new_config(&model.family, sizes);
        let mut config = config.expect("a recipe that was checked names a family that can be trained");
        if model.d_ff.is_none() && config.mlp == MlpKind::Gated {
            // A gated layer has three matrices instead of two: at 8/3 of d_model it has as many parameters.
            config.d_ff = (model.d_model * 8 / 3).next_multiple_of(32);
        }
        config
    }
}
