//! All settings of a sampler, as given by a command line or a request.

use serde::{Deserialize, Serialize};

use crate::chain::Filter;
use crate::error::Error;
use crate::logit_bias::{Bias, LogitBias};
use crate::min_p::MinP;
use crate::mirostat::Mirostat;
use crate::order::{FilterName, Order};
use crate::penalties::Penalties;
use crate::temperature::Temperature;
use crate::top_k::TopK;
use crate::top_p::TopP;
use crate::typical::Typical;

/// The settings of a sampler. The defaults are llama.cpp's; they also apply to fields missing in serialised settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SamplerConfig {
    /// Random seed. The same seed, settings and logits give the same tokens. Default 0.
    pub seed: u64,
    /// Divides the logits; 0 is greedy. Default 0.8.
    pub temperature: f32,
    /// Keep the k most likely tokens; 0 is off. Default 40.
    pub top_k: usize,
    /// Keep the fewest most likely tokens whose probabilities reach this; 1 is off. Default 0.95.
    pub top_p: f32,
    /// Keep tokens at least this many times as likely as the most likely one; 0 is off. Default 0.05.
    pub min_p: f32,
    /// Keep the tokens whose surprise is nearest to the entropy, up to this probability; 1 is off. Default 1.
    pub typical_p: f32,
    /// Minimum number of candidates that top-p, min-p and typical keep, if there are as many. Default 1.
    pub min_keep: usize,
    /// Divides positive logits of recent tokens and multiplies the others; 1 is off. Default 1.
    pub repeat_penalty: f32,
    /// Subtracted from a recent token's logit for each occurrence; 0 is off. Default 0.
    pub frequency_penalty: f32,
    /// Subtracted once from a recent token's logit; 0 is off. Default 0.
    pub presence_penalty: f32,
    /// Number of last tokens that count as recent: 0 for none, −1 for all. Default 64.
    pub penalty_last_n: i32,
    /// Added to the logits of chosen tokens. Default none.
    pub logit_bias: Vec<Bias>,
    /// Control the surprise instead of truncating. Default none.
    pub mirostat: Option<Mirostat>,
    /// The filters to run, in this order. Default [`Order::default`], or [`Order::mirostat`] if mirostat is set. Biases
    /// always apply: if the order does not name `logit_bias`, it runs first.
    pub order: Option<Order>,
}

impl Default for SamplerConfig {
    fn default() -> SamplerConfig {
        SamplerConfig {
            seed: 0,
            temperature: 0.8,
            top_k: 40,
            top_p: 0.95,
            min_p: 0.05,
            typical_p: 1.0,
            min_keep: 1,
            repeat_penalty: 1.0,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            penalty_last_n: 64,
            logit_bias: Vec::new(),
            mirostat: None,
            order: None,
        }
    }
}

impl SamplerConfig {
    /// Greedy settings: always the token with the largest logit.
    pub fn greedy() -> SamplerConfig {
        SamplerConfig { temperature: 0.0, ..SamplerConfig::default() }
    }

    /// Settings without filters: tokens are drawn from the model's own distribution.
    pub fn unfiltered(seed: u64) -> SamplerConfig {
        SamplerConfig { seed, temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, ..SamplerConfig::default() }
    }

    /// The filters in the order in which they run. All settings are checked, including those of filters that do not
    /// run.
    pub fn filters(&self) -> Result<Vec<Filter>, Error> {
        for name in FilterName::ALL {
            self.filter(name).check()?;
        }
        let order = match (&self.order, self.mirostat) {
            (Some(order), Some(_)) if !order.names().contains(&FilterName::Mirostat) => {
                return Err(Error::MirostatNotInOrder);
            }
            (Some(order), _) => order.clone(),
            (None, Some(_)) => Order::mirostat(),
            (None, None) => Order::default(),
        };
        let mut filters = Vec::with_capacity(order.names().len() + 1);
        if !order.names().contains(&FilterName::LogitBias) {
            filters.push(self.filter(FilterName::LogitBias));
        }
        filters.extend(order.names().iter().map(|&name| self.filter(name)));
        Ok(filters)
    }

    fn filter(&self, name: FilterName) -> Filter {
        let min_keep = self.min_keep;
        match name {
            FilterName::LogitBias => Filter::LogitBias(LogitBias { biases: self.logit_bias.clone() }),
            FilterName::Penalties => Filter::Penalties(Penalties {
                repeat: self.repeat_penalty,
                frequency: self.frequency_penalty,
                presence: self.presence_penalty,
                last_n: self.penalty_last_n,
            }),
            FilterName::TopK => Filter::TopK(TopK { k: self.top_k }),
            FilterName::Typical => Filter::Typical(Typical { p: self.typical_p, min_keep }),
            FilterName::TopP => Filter::TopP(TopP { p: self.top_p, min_keep }),
            FilterName::MinP => Filter::MinP(MinP { p: self.min_p, min_keep }),
            FilterName::Temperature => Filter::Temperature(Temperature { temperature: self.temperature }),
            FilterName::Mirostat => Filter::Mirostat(self.mirostat.unwrap_or_default()),
        }
    }
}
