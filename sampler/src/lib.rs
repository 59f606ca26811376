//! From logits to one token id: filters, penalties, and a seeded generator.
//!
//! A language model outputs one number per token of its vocabulary, the *logits*. Their softmax is a probability
//! distribution; sampling chooses one token from it. This crate does only that step and is independent of models and
//! text.
//!
//! ```
//! use glassbox_sampler::{Sampler, SamplerConfig};
//!
//! let logits = [1.0, 4.0, 3.5, f32::NEG_INFINITY]; // −∞ bans token 3
//!
//! // Greedy: the token with the largest logit, the lowest id among equals.
//! assert_eq!(Sampler::new(SamplerConfig::greedy())?.sample(&logits)?, 1);
//!
//! // Random, but the same seed gives the same tokens on every machine.
//! let config = SamplerConfig { seed: 42, top_k: 2, temperature: 0.7, repeat_penalty: 1.1, ..Default::default() };
//! let mut sampler = Sampler::new(config)?;
//! sampler.prime(&[0, 2]); // the prompt, which counts for the penalties
//! for _ in 0..3 {
//!     let id = sampler.sample(&logits)?;
//!     sampler.accept(id);
//! }
//! # Ok::<(), glassbox_sampler::Error>(())
//! ```
//!
//! # The chain
//!
//! Filters run in sequence, each on the output of the one before. The default order is llama.cpp's:
//!
//! | filter | what it does | off at |
//! |---|---|---|
//! | [`LogitBias`] | adds a number to the logits of chosen tokens, or bans them | no biases |
//! | [`Penalties`] | makes recent tokens less likely: repeat, frequency, presence | 1, 0, 0 |
//! | [`TopK`] | keeps the k most likely tokens | 0 |
//! | [`Typical`] | keeps the tokens whose surprise −ln p is nearest to the entropy, up to a probability | 1 |
//! | [`TopP`] | keeps the fewest most likely tokens whose probabilities reach p | 1 |
//! | [`MinP`] | keeps tokens at least p times as likely as the most likely one | 0 |
//! | [`Temperature`] | divides the logits; 0 is greedy | 1 |
//! | the draw | chooses one of the remaining tokens by its probability | one candidate |
//!
//! In llama.cpp the order is: logit bias, penalties, DRY, top-n-σ, top-k, typical, top-p, min-p, XTC, temperature,
//! draw; DRY, top-n-σ and XTC are off there by default and have no counterpart here. [`Mirostat`] replaces the
//! truncating filters by a controller. Another order can be given as text; to choose filters yourself, see [`Chain`]:
//!
//! ```
//! use glassbox_sampler::{Order, Sampler, SamplerConfig};
//!
//! let order: Order = "penalties;temperature;top_p".parse()?;
//! let sampler = Sampler::new(SamplerConfig { order: Some(order), ..Default::default() })?;
//! assert_eq!(sampler.chain().filters().len(), 4); // biases always apply: they run first
//!
//! let error = Sampler::new(SamplerConfig { top_p: 1.5, ..Default::default() }).unwrap_err();
//! assert_eq!(error.to_string(), "sampler setting `top_p`: expected a number from 0 to 1 (1 is off), found 1.5");
//! # Ok::<(), glassbox_sampler::Error>(())
//! ```
//!
//! # Recording
//!
//! [`Sampler::sample_recorded`] chooses the same token and records how: what each filter removed and why, and where the
//! random number fell. The record can be serialised with serde and [replayed](Record::replay).
//!
//! ```
//! use glassbox_sampler::{Sampler, SamplerConfig};
//!
//! let logits = [1.0, 4.0, 3.5, -2.0];
//! let record = Sampler::new(SamplerConfig { top_k: 3, ..Default::default() })?.sample_recorded(&logits)?;
//! let top_k = &record.steps[2];
//! assert_eq!((top_k.kept, top_k.removed, top_k.strongest_removed[0].id), (3, 1, 3));
//! assert_eq!(record.replay(&logits)?, record);
//! # Ok::<(), glassbox_sampler::Error>(())
//! ```
//!
//! # The same tokens everywhere
//!
//! Sums have a fixed order, equal logits are ranked by id, the generator uses integer arithmetic ([`Rng`]), and `exp`
//! and `ln` are our own ([`numeric`]). Logits of NaN or +∞ are an [`Error`], never a random token. No truncating filter
//! removes the last candidate.
#![forbid(unsafe_code)]

mod candidates;
mod chain;
mod config;
mod draw;
mod error;
mod greedy;
mod logit_bias;
mod min_p;
mod mirostat;
pub mod numeric;
mod order;
mod penalties;
mod record;
mod rng;
mod sampler;
mod temperature;
mod top_k;
mod top_p;
mod typical;

pub use chain::{Chain, Filter};
pub use config::SamplerConfig;
pub use draw::Draw;
pub use error::Error;
pub use logit_bias::{Bias, LogitBias};
pub use min_p::MinP;
pub use mirostat::Mirostat;
pub use order::{FilterName, Order};
pub use penalties::Penalties;
pub use record::{Change, LISTED, Reason, Record, Step, Token, probabilities};
pub use rng::Rng;
pub use sampler::Sampler;
pub use temperature::Temperature;
pub use top_k::TopK;
pub use top_p::TopP;
pub use typical::Typical;
