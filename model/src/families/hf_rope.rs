//! Rotary embeddings in `config.json`: under `rope_parameters`, or in older files under `rope_scaling`.

use serde_json::{Value, json};

use super::Reads;
use super::hf::{object, tidy, with};
use crate::error::Error;
use crate::fields::Fields;
use crate::rope::{RopeConfig, RopeScaling, yarn_magnitude};

/// The supported scalings.
const KINDS: [&str; 4] = ["default", "linear", "llama3", "yarn"];

/// Unsupported settings of rotary embeddings.
pub(super) fn unsupported_parts(fields: &Fields, reads: Reads) -> Result<Vec<String>, Error> {
    let mut parts = Vec::new();
    let object = rope_fields(fields)?;
    for object in [Some(fields), object.as_ref()].into_iter().flatten() {
        let partial = object.number("partial_rotary_factor")?.is_some_and(|factor| factor != 1.0);
        if partial && !reads.partial_rotary {
            parts.push("partial_rotary_factor other than 1".to_string());
        }
    }
    let Some(object) = object else { return Ok(parts) };
    let mut all = vec![];
    if object.has_objects() && reads.rope_by_layer_type {
        for layer_type in ["full_attention", "sliding_attention"] {
            all.extend(object.object(layer_type)?);
        }
    } else {
        if object.has_objects() {
            parts.push("rotary parameters per layer type".to_string());
        }
        all.push(object);
    }
    for object in &all {
        let kind = kind(object)?;
        if !KINDS.contains(&kind) {
            parts.push(format!("rope_type {kind:?} (supported: {})", KINDS.join(", ")));
        }
    }
    Ok(parts)
}

/// The single rotary embedding of a file, which rotates `dims` components of each head.
pub(super) fn read(fields: &Fields, dims: usize, context: f32) -> Result<RopeConfig, Error> {
    read_told(fields, rope_fields(fields)?.as_ref(), dims, context, 10_000.0)
}

/// The rotary embedding in the object `object` of the file `fields`; `default` is the base if both omit it.
pub(super) fn read_told(
    fields: &Fields,
    object: Option<&Fields>,
    dims: usize,
    context: f32,
    default: f32,
) -> Result<RopeConfig, Error> {
    let theta = theta(fields, object, default)?;
    let Some(object) = object else {
        return Ok(RopeConfig { theta, dims, scaling: RopeScaling::Default });
    };
    let need =
        |key: &str| positive(object, key)?.ok_or_else(|| object.wrong(key, "a positive number", "nothing"));
    let original = || {
        let key = "original_max_position_embeddings";
        Ok::<_, Error>(positive(fields, key)?.or(positive(object, key)?).unwrap_or(context))
    };
    let scaling = match kind(object)? {
        "linear" => RopeScaling::Linear { factor: need("factor")? },
        "llama3" => {
            let (low_freq_factor, high_freq_factor) = (need("low_freq_factor")?, need("high_freq_factor")?);
            if low_freq_factor >= high_freq_factor {
                let expected = format!("above low_freq_factor, {low_freq_factor}");
                return Err(object.wrong("high_freq_factor", &expected, &high_freq_factor.to_string()));
            }
            let (factor, original_context) = (need("factor")?, original()?);
            RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context }
        }
        "yarn" => {
            let original_context = original()?;
            let factor = positive(object, "factor")?.unwrap_or(context / original_context);
            let (beta_fast, beta_slow) = (given(object, "beta_fast")?, given(object, "beta_slow")?);
            RopeScaling::Yarn {
                factor,
                original_context,
                beta_fast: beta_fast.unwrap_or(32.0),
                beta_slow: beta_slow.unwrap_or(1.0),
                truncate: object.flag("truncate")?.unwrap_or(true),
                attention_factor: attention_factor(object, factor)?,
            }
        }
        _ => RopeScaling::Default,
    };
    Ok(RopeConfig { theta, dims, scaling })
}

/// `rope_scaling` if it is present and not empty, otherwise `rope_parameters`.
pub(super) fn rope_fields(fields: &Fields) -> Result<Option<Fields>, Error> {
    fields.superseded(&["rope_parameters"]);
    Ok(match fields.object("rope_scaling")? {
        Some(object) => Some(object),
        None => fields.object("rope_parameters")?,
    })
}

/// The number of rotated components of a partial rotary embedding, as a fraction of `head_dim` under any of `keys`.
pub(super) fn partial_dims(
    fields: &Fields,
    keys: &[&str],
    default: f32,
    head_dim: usize,
) -> Result<usize, Error> {
    let object = rope_fields(fields)?;
    let mut factor = None;
    for object in [object.as_ref(), Some(fields)].into_iter().flatten() {
        for key in keys {
            factor = factor.or(object.number(key)?.map(|factor| (*key, factor)));
        }
    }
    let (key, factor) = factor.unwrap_or((keys[0], default));
    if !(0.0..=1.0).contains(&factor) {
        return Err(fields.wrong(key, "a fraction from 0 to 1", &factor.to_string()));
    }
    Ok((head_dim as f32 * factor) as usize)
}

/// The keys of a rotary embedding in a `config.json`, both current and old ones.
pub(super) fn keys(rope: &RopeConfig) -> Value {
    let theta = tidy(rope.theta);
    let scaling = match &rope.scaling {
        // There is no key for a GGUF's list of divisors.
        RopeScaling::Default | RopeScaling::Divisors(_) => {
            return json!({ "rope_theta": theta, "rope_parameters": { "rope_type": "default", "rope_theta": theta } });
        }
        RopeScaling::Linear { factor } => json!({ "rope_type": "linear", "factor": tidy(*factor) }),
        RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } => json!({
            "rope_type": "llama3",
            "factor": tidy(*factor),
            "low_freq_factor": tidy(*low_freq_factor),
            "high_freq_factor": tidy(*high_freq_factor),
            "original_max_position_embeddings": *original_context as u64,
        }),
        RopeScaling::Yarn { factor, original_context, beta_fast, beta_slow, truncate, attention_factor } => {
            json!({
                "rope_type": "yarn",
                "factor": tidy(*factor),
                "original_max_position_embeddings": *original_context as u64,
                "beta_fast": tidy(*beta_fast),
                "beta_slow": tidy(*beta_slow),
                "truncate": truncate,
                "attention_factor": tidy(*attention_factor),
            })
        }
    };
    let parameters = with(object(scaling.clone()), json!({ "rope_theta": theta }));
    json!({ "rope_theta": theta, "rope_scaling": scaling, "rope_parameters": parameters })
}

fn kind(object: &Fields) -> Result<&str, Error> {
    Ok(object.text("rope_type")?.or(object.text("type")?).unwrap_or("default"))
}

fn theta(fields: &Fields, object: Option<&Fields>, default: f32) -> Result<f32, Error> {
    let object = object.map(|object| object.number("rope_theta")).transpose()?.flatten();
    match object.or(fields.number("rope_theta")?).unwrap_or(default) {
        theta if theta > 1.0 => Ok(theta),
        theta => Err(fields.wrong("rope_theta", "a number above 1", &theta.to_string())),
    }
}

/// YaRN's factor of cosines and sines, given by one number, by two, or by default.
fn attention_factor(object: &Fields, factor: f32) -> Result<f32, Error> {
    object.superseded(&["mscale", "mscale_all_dim"]);
    if let Some(said) = positive(object, "attention_factor")? {
        return Ok(said);
    }
    Ok(match (given(object, "mscale")?, given(object, "mscale_all_dim")?) {
        (Some(mscale), Some(all)) => yarn_magnitude(factor, mscale) / yarn_magnitude(factor, all),
        _ => yarn_magnitude(factor, 1.0),
    })
}

/// An optional positive number; zero counts as missing.
fn given(object: &Fields, key: &str) -> Result<Option<f32>, Error> {
    if object.number(key)? == Some(0.0) { Ok(None) } else { positive(object, key) }
}

/// An optional positive number.
fn positive(fields: &Fields, key: &str) -> Result<Option<f32>, Error> {
    match fields.number(key)? {
        Some(x) if x <= 0.0 => Err(fields.wrong(key, "a positive number", &x.to_string())),
        x => Ok(x),
    }
}
