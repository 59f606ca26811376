//! Rotary embeddings in `config.json`: under `rope_parameters`, or in older files under `rope_scaling`.

use serde_json::{Value, json};

use super::Reads;
use super::hf::{object, tidy, with};
use crate::error::Error;
use crate::fields::Fields;
use crate::rope::{RopeConfig, RopeScaling, yarn_magnitude};

/// The ways to stretch that are followed.
const KINDS: [&str; 4] = ["default", "linear", "llama3", "yarn"];

/// What the file says about rotary embeddings that is not followed.
pub(super) fn unsupported_parts(fields: &Fields, reads: Reads) -> Result<Vec<String>, Error> {
    let mut parts = Vec::new();
    let told = told(fields)?;
    for object in [Some(fields), told.as_ref()].into_iter().flatten() {
        let partial = object.number("partial_rotary_factor")?.is_some_and(|factor| factor != 1.0);
        if partial && !reads.partial_rotary {
            parts.push("partial_rotary_factor other than 1".to_string());
        }
    }
    let Some(told) = told else { return Ok(parts) };
    let mut all = vec![];
    if told.has_objects() && reads.rope_by_layer_type {
        for layer_type in ["full_attention", "sliding_attention"] {
            all.extend(told.object(layer_type)?);
        }
    } else {
        if told.has_objects() {
            parts.push("rotary parameters for each kind of layer".to_string());
        }
        all.push(told);
    }
    for told in &all {
        let kind = kind(told)?;
        if !KINDS.contains(&kind) {
            parts.push(format!("rope_type {kind:?} (there are {})", KINDS.join(", ")));
        }
    }
    Ok(parts)
}

/// The one rotary embedding of a file without unsupported parts, turning `dims` components of each head.
pub(super) fn read(fields: &Fields, dims: usize, context: f32) -> Result<RopeConfig, Error> {
    read_told(fields, told(fields)?.as_ref(), dims, context, 10_000.0)
}

/// The rotary embedding that the object `told` of the file `fields` describes; `default` is the base that both may leave
/// out.
pub(super) fn read_told(
    fields: &Fields,
    told: Option<&Fields>,
    dims: usize,
    context: f32,
    default: f32,
) -> Result<RopeConfig, Error> {
    let theta = theta(fields, told, default)?;
    let Some(told) = told else {
        return Ok(RopeConfig { theta, dims, scaling: RopeScaling::Default });
    };
    let need =
        |key: &str| positive(told, key)?.ok_or_else(|| told.wrong(key, "a positive number", "nothing"));
    let original = || {
        let key = "original_max_position_embeddings";
        Ok::<_, Error>(positive(fields, key)?.or(positive(told, key)?).unwrap_or(context))
    };
    let scaling = match kind(told)? {
        "linear" => RopeScaling::Linear { factor: need("factor")? },
        "llama3" => {
            let (low_freq_factor, high_freq_factor) = (need("low_freq_factor")?, need("high_freq_factor")?);
            if low_freq_factor >= high_freq_factor {
                let expected = format!("above low_freq_factor, {low_freq_factor}");
                return Err(told.wrong("high_freq_factor", &expected, &high_freq_factor.to_string()));
            }
            let (factor, original_context) = (need("factor")?, original()?);
            RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context }
        }
        "yarn" => {
            let original_context = original()?;
            let factor = positive(told, "factor")?.unwrap_or(context / original_context);
            let (beta_fast, beta_slow) = (given(told, "beta_fast")?, given(told, "beta_slow")?);
            RopeScaling::Yarn {
                factor,
                original_context,
                beta_fast: beta_fast.unwrap_or(32.0),
                beta_slow: beta_slow.unwrap_or(1.0),
                truncate: told.flag("truncate")?.unwrap_or(true),
                attention_factor: attention_factor(told, factor)?,
            }
        }
        _ => RopeScaling::Default,
    };
    Ok(RopeConfig { theta, dims, scaling })
}

/// `rope_scaling` if it is there and says anything, else `rope_parameters`.
pub(super) fn told(fields: &Fields) -> Result<Option<Fields>, Error> {
    Ok(match fields.object("rope_scaling")? {
        Some(told) => Some(told),
        None => fields.object("rope_parameters")?,
    })
}

/// How many of `head_dim` components a partial rotary embedding turns, under any of `keys`.
pub(super) fn partial_dims(
    fields: &Fields,
    keys: &[&str],
    default: f32,
    head_dim: usize,
) -> Result<usize, Error> {
    let told = told(fields)?;
    let mut factor = None;
    for object in [told.as_ref(), Some(fields)].into_iter().flatten() {
        for key in keys {
            factor = factor.or(object.number(key)?.map(|factor| (*key, factor)));
        }
    }
    let (key, factor) = factor.unwrap_or((keys[0], default));
    if !(0.0..=1.0).contains(&factor) {
        return Err(fields.wrong(key, "a share of 0 to 1", &factor.to_string()));
    }
    Ok((head_dim as f32 * factor) as usize)
}

/// The keys of a rotary embedding in a `config.json`, as current files have them and as old ones do.
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

fn kind(told: &Fields) -> Result<&str, Error> {
    Ok(told.text("rope_type")?.or(told.text("type")?).unwrap_or("default"))
}

fn theta(fields: &Fields, told: Option<&Fields>, default: f32) -> Result<f32, Error> {
    let told = told.map(|told| told.number("rope_theta")).transpose()?.flatten();
    match told.or(fields.number("rope_theta")?).unwrap_or(default) {
        theta if theta > 1.0 => Ok(theta),
        theta => Err(fields.wrong("rope_theta", "a number above 1", &theta.to_string())),
    }
}

/// What YaRN multiplies cosines and sines by, said in one number, in two, or not at all.
fn attention_factor(told: &Fields, factor: f32) -> Result<f32, Error> {
    if let Some(said) = positive(told, "attention_factor")? {
        return Ok(said);
    }
    Ok(match (given(told, "mscale")?, given(told, "mscale_all_dim")?) {
        (Some(mscale), Some(all)) => yarn_magnitude(factor, mscale) / yarn_magnitude(factor, all),
        _ => yarn_magnitude(factor, 1.0),
    })
}

/// A positive number, if it is there; zero stands for "not said".
fn given(told: &Fields, key: &str) -> Result<Option<f32>, Error> {
    if told.number(key)? == Some(0.0) { Ok(None) } else { positive(told, key) }
}

/// A positive number, if it is there.
fn positive(fields: &Fields, key: &str) -> Result<Option<f32>, Error> {
    match fields.number(key)? {
        Some(x) if x <= 0.0 => Err(fields.wrong(key, "a positive number", &x.to_string())),
        x => Ok(x),
    }
}
