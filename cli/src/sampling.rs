//! Sampling flags. A flag overrides the checkpoint's generation_config, which overrides the default.

use std::hash::{BuildHasher, RandomState};
use std::str::FromStr;

use clap::Args;
use glassbox_model::GenerationConfig;
use glassbox_sampler::{Bias, Order, Sampler, SamplerConfig};

use crate::exit::Usage;

/// How tokens are chosen.
///
/// Settings without a flag come from the checkpoint's generation_config.json (an explicit `"do_sample": false` means
/// greedy); the remaining defaults are llama.cpp's.
#[derive(Args, Clone, Debug)]
pub(crate) struct SamplingArgs {
    #[command(flatten)]
    filters: FilterArgs,
    /// Random seed; the same seed gives the same tokens, and -1 is a random one [default: a random one]
    #[arg(long, value_name = "N")]
    seed: Option<Seed>,
}

/// What the tokens are chosen from.
#[derive(Args, Clone, Debug)]
pub(crate) struct FilterArgs {
    /// Temperature: last, divide the logits of what is left by T; below 1 sharpens, above 1 flattens, 0 is greedy
    /// [default: 0.8]
    #[arg(long, value_name = "T", allow_negative_numbers = true)]
    temp: Option<f32>,
    /// Keep the K most likely tokens; 0 or -1 keeps all [default: 40]
    #[arg(long, value_name = "K")]
    top_k: Option<TopK>,
    /// Keep the most likely tokens, as few as reach total probability P; 1 keeps all [default: 0.95]
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    top_p: Option<f32>,
    /// Keep tokens near the most likely one: at least P times as likely; 0 keeps all [default: 0.05]
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    min_p: Option<f32>,
    /// Keep the tokens whose -log p is nearest to its average, up to total probability P; 1 keeps all [default: 1]
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    typical: Option<f32>,
    /// Make recent tokens less likely: divide positive logits by X, multiply negative ones; 1 is off [default: 1]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    repeat_penalty: Option<f32>,
    /// Subtract X from a recent token's logit for each occurrence; 0 is off [default: 0]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    frequency_penalty: Option<f32>,
    /// Subtract X from the logit of every recent token, once; 0 is off [default: 0]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    presence_penalty: Option<f32>,
    /// Number of last tokens that count as recent; -1 is all [default: 64; -1 if the checkpoint sets
    /// repetition_penalty]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    repeat_last_n: Option<i32>,
    /// Add BIAS to the logit of token ID, such as 42=-1.5; 42=-inf bans the token. May be repeated
    #[arg(long, value_name = "ID=BIAS", value_parser = parse_bias)]
    logit_bias: Vec<Bias>,
    /// Filters to run, in this order, separated by semicolons [default: all]
    ///
    /// The default order is logit_bias; penalties; top_k; typical; top_p; min_p; temperature.
    #[arg(long, value_name = "ORDER", value_parser = Order::from_str)]
    samplers: Option<Order>,
}

/// A seed; `-1` stands for a random one, as in llama.cpp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seed(Option<u64>);

/// A number of tokens to keep; `-1` stands for all, as in llama.cpp and vLLM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TopK(usize);

impl FromStr for Seed {
    type Err = String;

    fn from_str(text: &str) -> Result<Seed, String> {
        match text.trim() {
            "-1" => Ok(Seed(None)),
            text => {
                let number = text.parse().map_err(|_| {
                    format!("expected an integer from 0 to {}, or -1 for a random seed", u64::MAX)
                })?;
                Ok(Seed(Some(number)))
            }
        }
    }
}

impl FromStr for TopK {
    type Err = String;

    fn from_str(text: &str) -> Result<TopK, String> {
        match text.trim() {
            "-1" => Ok(TopK(0)),
            text => {
                let number = text.parse();
                number.map(TopK).map_err(|_| "expected a number of tokens, or 0 or -1 for all".to_owned())
            }
        }
    }
}

/// Settings that one line of `--json-lines` may override.
#[derive(Debug, Default)]
pub(crate) struct Overrides {
    pub(crate) seed: Option<Seed>,
    pub(crate) temp: Option<f32>,
    pub(crate) top_k: Option<TopK>,
    pub(crate) top_p: Option<f32>,
    pub(crate) min_p: Option<f32>,
}

impl SamplingArgs {
    /// These settings with a seed, random if none was given, and that seed.
    pub(crate) fn seeded(&self) -> (SamplingArgs, u64) {
        let seed = self.seed();
        (SamplingArgs { seed: Some(Seed(Some(seed))), ..self.clone() }, seed)
    }

    /// The seed, random unless one was given.
    fn seed(&self) -> u64 {
        self.seed.and_then(|seed| seed.0).unwrap_or_else(random_seed)
    }

    /// These settings with overrides applied.
    pub(crate) fn overridden(&self, by: &Overrides) -> SamplingArgs {
        let filters = FilterArgs {
            temp: by.temp.or(self.filters.temp),
            top_k: by.top_k.or(self.filters.top_k),
            top_p: by.top_p.or(self.filters.top_p),
            min_p: by.min_p.or(self.filters.min_p),
            ..self.filters.clone()
        };
        SamplingArgs { filters, seed: by.seed.or(self.seed) }
    }

    /// These settings for a chat: greedy, unless a flag or the checkpoint says how to sample. Small models answer
    /// questions wrongly when less likely tokens are drawn.
    pub(crate) fn cautious(&self, checkpoint: &GenerationConfig) -> SamplingArgs {
        let advised = checkpoint.temperature.is_some() || checkpoint.do_sample == Some(true);
        self.with_temp(self.filters.temp.or((!advised).then_some(0.0)))
    }

    /// These settings for another answer to the same prompt: sampled, and with the next seed.
    pub(crate) fn another(&self, seed: u64) -> SamplingArgs {
        const TEMPERATURE: f32 = 0.7;
        let temp = self.filters.temp.map(|temp| if temp == 0.0 { TEMPERATURE } else { temp });
        SamplingArgs { seed: Some(Seed(Some(seed))), ..self.with_temp(temp) }
    }

    fn with_temp(&self, temp: Option<f32>) -> SamplingArgs {
        SamplingArgs { filters: FilterArgs { temp, ..self.filters.clone() }, seed: self.seed }
    }

    /// The sampler, and its seed if it needs one.
    pub(crate) fn sampler(&self, checkpoint: &GenerationConfig) -> anyhow::Result<(Sampler, Option<u64>)> {
        let config = self.config(checkpoint);
        let seed = (config.temperature != 0.0).then_some(config.seed);
        Ok((Sampler::new(config).map_err(|error| Usage(error.to_string()))?, seed))
    }

    fn config(&self, checkpoint: &GenerationConfig) -> SamplerConfig {
        SamplerConfig { seed: self.seed(), ..self.filters.config(checkpoint) }
    }
}

impl FilterArgs {
    /// A sampler to ask for probabilities, not for tokens: its seed is always the same.
    pub(crate) fn sampler(&self, checkpoint: &GenerationConfig) -> anyhow::Result<Sampler> {
        Sampler::new(self.config(checkpoint)).map_err(|error| Usage(error.to_string()).into())
    }

    /// Whether a flag sets the temperature.
    pub(crate) fn has_temperature(&self) -> bool {
        self.temp.is_some()
    }

    /// Whether a flag sets a filter.
    pub(crate) fn is_given(&self) -> bool {
        let FilterArgs { temp, top_k, top_p, min_p, typical, repeat_penalty, .. } = self;
        let FilterArgs { frequency_penalty, presence_penalty, repeat_last_n, logit_bias, samplers, .. } =
            self;
        let floats = [temp, top_p, min_p, typical, repeat_penalty, frequency_penalty, presence_penalty];
        floats.iter().any(|flag| flag.is_some())
            || top_k.is_some()
            || repeat_last_n.is_some()
            || samplers.is_some()
            || !logit_bias.is_empty()
    }

    fn config(&self, checkpoint: &GenerationConfig) -> SamplerConfig {
        let default = SamplerConfig::default();
        let greedy = (checkpoint.do_sample == Some(false)).then_some(0.0);
        // Hugging Face's penalty covers the whole text, llama.cpp's only its last tokens.
        let whole_text =
            (self.repeat_penalty.is_none() && checkpoint.repetition_penalty.is_some()).then_some(-1);
        SamplerConfig {
            temperature: self.temp.or(greedy).or(checkpoint.temperature).unwrap_or(default.temperature),
            top_k: self.top_k.map(|k| k.0).or(checkpoint.top_k).unwrap_or(default.top_k),
            top_p: self.top_p.or(checkpoint.top_p).unwrap_or(default.top_p),
            min_p: self.min_p.or(checkpoint.min_p).unwrap_or(default.min_p),
            typical_p: self.typical.unwrap_or(default.typical_p),
            repeat_penalty: self
                .repeat_penalty
                .or(checkpoint.repetition_penalty)
                .unwrap_or(default.repeat_penalty),
            frequency_penalty: self.frequency_penalty.unwrap_or(default.frequency_penalty),
            presence_penalty: self.presence_penalty.unwrap_or(default.presence_penalty),
            penalty_last_n: self.repeat_last_n.or(whole_text).unwrap_or(default.penalty_last_n),
            logit_bias: self.logit_bias.clone(),
            order: self.samplers.clone(),
            ..default
        }
    }
}

fn parse_bias(text: &str) -> Result<Bias, String> {
    let (id, bias) = text.split_once('=').ok_or("expected ID=BIAS, such as 42=-1.5")?;
    let id = id.trim().parse().map_err(|_| format!("expected a token id before =, found {id:?}"))?;
    let bias = bias.trim().parse().map_err(|_| format!("expected a number after =, found {bias:?}"))?;
    Ok(Bias { id, bias })
}

/// A seed short enough to be typed again.
fn random_seed() -> u64 {
    RandomState::new().hash_one(0) >> 32
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        sampling: SamplingArgs,
    }

    fn config(flags: &[&str], checkpoint: &GenerationConfig) -> SamplerConfig {
        let flags = Flags::parse_from([&["test"], flags].concat());
        flags.sampling.config(checkpoint)
    }

    #[test]
    fn a_flag_overrides_the_checkpoint_which_overrides_the_default() {
        let silent = GenerationConfig::default();
        let configured = GenerationConfig {
            temperature: Some(0.5),
            top_k: Some(7),
            repetition_penalty: Some(1.2),
            ..GenerationConfig::default()
        };
        let plain = config(&["--seed", "1"], &silent);
        assert_eq!(plain, SamplerConfig { seed: 1, ..SamplerConfig::default() });
        let from_checkpoint = config(&[], &configured);
        assert_eq!((from_checkpoint.temperature, from_checkpoint.top_k), (0.5, 7));
        assert_eq!((from_checkpoint.repeat_penalty, from_checkpoint.penalty_last_n), (1.2, -1));
        let flagged = config(&["--temp", "0.9", "--repeat-penalty", "1.1"], &configured);
        assert_eq!((flagged.temperature, flagged.top_k), (0.9, 7));
        assert_eq!((flagged.repeat_penalty, flagged.penalty_last_n), (1.1, 64));
    }

    #[test]
    fn minus_one_is_a_random_seed_and_no_top_k() {
        let silent = GenerationConfig::default();
        assert_eq!(config(&["--top-k=-1"], &silent).top_k, 0);
        assert_eq!("-1".parse::<Seed>(), Ok(Seed(None)));
        assert_eq!("18446744073709551615".parse::<Seed>(), Ok(Seed(Some(u64::MAX))));
        for text in ["-2", "1.5", "x", ""] {
            assert!(text.parse::<Seed>().is_err() && text.parse::<TopK>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_checkpoint_that_says_do_not_sample_is_greedy() {
        let configured = GenerationConfig { do_sample: Some(false), ..GenerationConfig::default() };
        assert_eq!(config(&[], &configured).temperature, 0.0);
        assert_eq!(config(&["--temp", "1"], &configured).temperature, 1.0);
    }

    #[test]
    fn biases_are_ids_and_numbers() {
        assert_eq!(parse_bias("42=-1.5"), Ok(Bias { id: 42, bias: -1.5 }));
        assert_eq!(parse_bias("0=-inf"), Ok(Bias { id: 0, bias: f32::NEG_INFINITY }));
        for text in ["42", "=1", "x=1", "1=x", "-1=1"] {
            assert!(parse_bias(text).is_err(), "{text}");
        }
    }
}
