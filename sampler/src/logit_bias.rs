//! Logit bias: a number added to the logits of chosen tokens. −∞ bans a token.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::candidates::Candidates;
use crate::error::{Error, check};
use crate::record::Reason;

/// A number to add to one token's logit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bias {
    /// The token.
    pub id: u32,
    /// The number to add: finite, or −∞ to ban the token. Serialised as a number, or as the string `"-inf"`.
    #[serde(serialize_with = "write_bias", deserialize_with = "read_bias")]
    pub bias: f32,
}

/// Adds each bias to its token's logit. Several biases for one token add up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogitBias {
    /// The biases, in any order.
    pub biases: Vec<Bias>,
}

impl LogitBias {
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.biases.iter().try_for_each(|entry| {
            let good = entry.bias < f32::INFINITY;
            check(good, "logit_bias", "a finite number, or −∞ to ban the token", entry.bias)
        })
    }

    /// Checks that all biases are for tokens of the vocabulary; others come from another model's settings.
    pub(crate) fn check_ids(&self, vocab_size: usize) -> Result<(), Error> {
        match self.biases.iter().find(|entry| entry.id as usize >= vocab_size) {
            Some(entry) => Err(Error::BiasOutsideVocabulary { id: entry.id, vocab_size }),
            None => Ok(()),
        }
    }

    /// Whether any token is banned.
    pub(crate) fn bans(&self) -> bool {
        self.biases.iter().any(|entry| entry.bias == f32::NEG_INFINITY)
    }

    pub(crate) fn apply(&self, candidates: &mut Candidates<'_>) -> Reason {
        if self.biases.is_empty() {
            return Reason::Off;
        }
        for entry in &self.biases {
            candidates.change(std::iter::once(entry.id), |_, logit| logit + f64::from(entry.bias));
        }
        Reason::LogitBias { biases: self.biases.len() }
    }
}

fn write_bias<S: Serializer>(bias: &f32, serializer: S) -> Result<S::Ok, S::Error> {
    if *bias == f32::NEG_INFINITY {
        serializer.serialize_str("-inf")
    } else {
        serializer.serialize_f32(*bias)
    }
}

fn read_bias<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f32, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Number(f32),
        Text(String),
    }
    match Written::deserialize(deserializer)? {
        Written::Number(bias) => Ok(bias),
        Written::Text(text) if text == "-inf" => Ok(f32::NEG_INFINITY),
        Written::Text(text) => Err(serde::de::Error::custom(format!(
            "logit bias: expected a number or \"-inf\", found {text:?}"
        ))),
    }
}
