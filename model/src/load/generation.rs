//! The generation settings that a checkpoint recommends: `generation_config.json`, and token ids in `config.json`.

use std::path::Path;

use crate::error::Error;
use crate::fields::Fields;
use crate::warning::{Warning, lenient};

/// The generation settings that a checkpoint recommends.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GenerationConfig {
    /// The end-of-sequence tokens that the files name. [`Checkpoint::end_ids`](crate::Checkpoint::end_ids) has all
    /// tokens that end a generation.
    pub eos_ids: Vec<u32>,
    /// Whether to sample rather than decode greedily.
    pub do_sample: Option<bool>,
    /// The temperature.
    pub temperature: Option<f32>,
    /// Top-k: the number of most likely tokens to keep; zero keeps all.
    pub top_k: Option<usize>,
    /// Top-p: the total probability of the tokens to keep.
    pub top_p: Option<f32>,
    /// Min-p: the least probability of a token, as a part of the most likely one's.
    pub min_p: Option<f32>,
    /// The repetition penalty.
    pub repetition_penalty: Option<f32>,
}

/// Reads `generation_config.json` if it exists; `config.json` supplies missing end-of-sequence tokens. The model works
/// without any of them, so an invalid value is a warning.
pub(super) fn read(
    directory: &Path,
    config: &Fields,
    vocab_size: usize,
    warnings: &mut Vec<Warning>,
) -> Result<GenerationConfig, Error> {
    let path = directory.join("generation_config.json");
    let settings = if path.is_file() { Some(Fields::open(&path)?) } else { None };
    let files = [settings.as_ref(), Some(config)];
    let mut eos_ids = None;
    for fields in files.into_iter().flatten() {
        for kind in ["eos", "bos", "pad", "unk", "sep", "cls", "mask", "decoder_start"] {
            let (ids, errors) = fields.token_ids(&format!("{kind}_token_id"), vocab_size);
            for error in errors {
                warnings.push(Warning::of(error, "ignored")?);
            }
            eos_ids = eos_ids.or(ids.filter(|_| kind == "eos"));
        }
    }
    let Some(settings) = settings else {
        return Ok(GenerationConfig { eos_ids: eos_ids.unwrap_or_default(), ..GenerationConfig::default() });
    };
    let mut number = |key: &str, expected: &str, valid: fn(f32) -> bool| {
        let read = settings.number(key).and_then(|number| match number {
            Some(x) if !valid(x) => Err(settings.wrong(key, expected, &x.to_string())),
            number => Ok(number),
        });
        lenient(read, warnings)
    };
    let temperature = number("temperature", "a number of at least 0", |x| x >= 0.0)?;
    let top_p = number("top_p", "a number from 0 to 1", |x| (0.0..=1.0).contains(&x))?;
    let min_p = number("min_p", "a number from 0 to 1", |x| (0.0..=1.0).contains(&x))?;
    let repetition_penalty = number("repetition_penalty", "a number above 0", |x| x > 0.0)?;
    let top_k = match settings.get("top_k").and_then(serde_json::Value::as_i64) {
        // Off, in llama.cpp and vLLM; transformers has 0 or null for it.
        Some(below @ ..0) => {
            let error = settings.wrong("top_k", "an integer of at least 0", &below.to_string());
            warnings.push(Warning::of(error, "taken as 0, which keeps all tokens")?);
            Some(0)
        }
        _ => lenient(settings.maybe_count("top_k"), warnings)?,
    };
    Ok(GenerationConfig {
        eos_ids: eos_ids.unwrap_or_default(),
        do_sample: lenient(settings.flag("do_sample"), warnings)?,
        temperature,
        top_k,
        top_p,
        min_p,
        repetition_penalty,
    })
}
