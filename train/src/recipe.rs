//! A recipe: all settings of a training run, in one TOML file.
//!
//! ```
//! let recipe = glassbox_train::Recipe::preset("nano").expect("nano is a preset");
//! assert_eq!(recipe.model.d_model, 64);
//! let again = glassbox_train::Recipe::parse("nano", &recipe.to_toml()).unwrap();
//! assert_eq!(recipe, again);
//! ```
//!
//! Missing keys have the defaults of this file; an unknown key is an error.

mod check;

use glassbox_model::config::{Config, MlpKind, Sizes};
use glassbox_model::families;
use serde::{Deserialize, Serialize};

use crate::plain::dropout::Dropout;
use crate::run_error::RunError;

/// The built-in recipes, by name.
pub const PRESETS: [(&str, &str); 4] = [
    ("nano", include_str!("../recipes/nano.toml")),
    ("tiny", include_str!("../recipes/tiny.toml")),
    ("small", include_str!("../recipes/small.toml")),
    ("tales", include_str!("../recipes/tales.toml")),
];

/// All settings of a training run. Together with the text they determine the result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The shape of the model.
    pub model: ModelRecipe,
    /// The tokenizer.
    #[serde(default)]
    pub tokenizer: TokenizerRecipe,
    /// The validation split.
    #[serde(default)]
    pub data: DataRecipe,
    /// The training.
    #[serde(default)]
    pub training: TrainingRecipe,
    /// The reports during training. They do not change the result.
    #[serde(default)]
    pub report: ReportRecipe,
}

/// The shape of the model, in the names of [`glassbox_model::Config`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelRecipe {
    /// `gpt2` or `llama`.
    pub family: String,
    /// Width of the residual stream.
    pub d_model: usize,
    /// Number of blocks.
    pub n_layers: usize,
    /// Attention heads per block.
    pub n_heads: usize,
    /// Key-value heads (Llama); by default `n_heads`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_kv_heads: Option<usize>,
    /// Hidden width of the MLP; by default `4 · d_model`, and `8/3 · d_model` if it is gated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub d_ff: Option<usize>,
    /// Maximum sequence length in tokens, and the length of the training examples.
    pub context_length: usize,
}

/// The tokenizer to train.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TokenizerRecipe {
    /// Maximum vocabulary size, including the 256 bytes and the end-of-text token.
    pub vocab_size: usize,
}

/// The validation split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataRecipe {
    /// The validation split as a fraction of the text.
    pub validation: f64,
}

/// The optimisation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainingRecipe {
    /// Random seed of the initial parameters, the validation split, the order of examples and dropout.
    pub seed: u64,
    /// Number of steps.
    pub steps: u64,
    /// Examples per step.
    pub batch: usize,
    /// Examples computed at a time; fewer need less memory. 0: all of a step.
    pub micro_batch: usize,
    /// The learning rate after the warm-up.
    pub learning_rate: f64,
    /// The learning rate at the end of the cosine decay.
    pub final_learning_rate: f64,
    /// Steps of linear warm-up.
    pub warm_up: u64,
    /// AdamW's weight decay of matrices; norms, biases and embeddings do not decay.
    pub weight_decay: f64,
    /// AdamW's β₁: decay rate of the gradient's running mean.
    pub beta1: f64,
    /// AdamW's β₂: decay rate of the squared gradient's running mean.
    pub beta2: f64,
    /// AdamW's ε, added to the denominator.
    pub epsilon: f64,
    /// Maximum global norm of the gradient; 0 disables clipping.
    pub clip: f64,
    /// Dropout probability ([`mod@crate::plain::dropout`]).
    pub dropout: f64,
}

/// The reports during training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReportRecipe {
    /// Steps between validations. 0: only at the end.
    pub validate_every: u64,
    /// Number of validation examples, spread evenly over the validation split. 0: all.
    pub validation_examples: usize,
    /// Steps between samples. 0: none.
    pub sample_every: u64,
    /// The prompt of a sample.
    pub prompt: String,
    /// Tokens per sample.
    pub sample_tokens: usize,
    /// Steps between snapshots of the model ([`mod@crate::watch`]), which come more often before that. 0: none.
    pub watch_every: u64,
    /// The layer of the head whose attention pattern a snapshot records.
    pub watch_layer: usize,
    /// The head in that layer.
    pub watch_head: usize,
    /// Steps between checkpoints. 0: only by time.
    pub checkpoint_every: u64,
    /// Minutes between checkpoints. 0: only by steps.
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
    /// The dropout of the pass that starts with example `example`.
    pub(crate) fn dropout_of(&self, example: u64) -> Option<Dropout> {
        Dropout::of(self.dropout, self.seed, example)
    }
}

impl Recipe {
    /// The preset of that name, if there is one in [`PRESETS`].
    pub fn preset(name: &str) -> Option<Recipe> {
        let (name, text) = PRESETS.into_iter().find(|preset| preset.0 == name)?;
        Recipe::parse(name, text).ok()
    }

    /// Parses a recipe from TOML. `name` appears in errors.
    ///
    /// # Errors
    /// [`RunError::Recipe`] if it is not TOML, or has an unknown key or an invalid value.
    pub fn parse(name: &str, text: &str) -> Result<Recipe, RunError> {
        let wrong = |problems: Vec<String>| RunError::Recipe { name: name.to_owned(), problems };
        let recipe: Recipe = toml::from_str(text).map_err(|error| wrong(vec![error.to_string()]))?;
        recipe.check().map_err(wrong)?;
        Ok(recipe)
    }

    /// The recipe as TOML, with every value.
    pub fn to_toml(&self) -> String {
        // Plain tables of numbers and strings always serialise.
        toml::to_string(self).unwrap_or_default()
    }

    /// Sets the number of steps, and limits the warm-up to a tenth of them.
    pub fn set_steps(&mut self, steps: u64) {
        self.training.steps = steps;
        self.training.warm_up = self.training.warm_up.min(steps / 10);
    }

    /// The model's configuration for a vocabulary size.
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
        let mut config = config.expect("the family of a checked recipe can be trained");
        if model.d_ff.is_none() && config.mlp == MlpKind::Gated {
            // A gated MLP has three matrices instead of two: with 8/3 of d_model it has as many parameters.
            config.d_ff = (model.d_model * 8 / 3).next_multiple_of(32);
        }
        config
    }
}
