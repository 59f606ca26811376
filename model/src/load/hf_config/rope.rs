//! The rotary embedding in `config.json`: under `rope_parameters`, or in older files under `rope_scaling`.

use crate::error::Error;
use crate::load::json::Fields;
use crate::rope::{RopeConfig, RopeScaling, yarn_magnitude};

/// The ways to stretch that are followed here.
const KINDS: [&str; 4] = ["default", "linear", "llama3", "yarn"];

/// What the file says about the rotary embedding that is not followed here.
pub(super) fn unsupported_parts(fields: &Fields) -> Result<Vec<String>, Error> {
    let mut parts = Vec::new();
    let told = told(fields)?;
    for object in [Some(fields), told.as_ref()].into_iter().flatten() {
        if object.number("partial_rotary_factor")?.is_some_and(|factor| factor != 1.0) {
            parts.push("partial_rotary_factor other than 1".to_string());
        }
    }
    if let Some(told) = &told {
        if told.has_objects() {
            parts.push("rotary parameters for each kind of layer".to_string());
        }
        let kind = kind(told)?;
        if !KINDS.contains(&kind) {
            parts.push(format!("rope_type {kind:?} (there are {})", KINDS.join(", ")));
        }
    }
    Ok(parts)
}

/// The rotary embedding of a file without unsupported parts.
pub(super) fn read(fields: &Fields, context: f32) -> Result<RopeConfig, Error> {
    let Some(told) = told(fields)? else {
        return Ok(RopeConfig { theta: theta(fields, None)?, scaling: RopeScaling::Default });
    };
    let need =
        |key: &str| positive(&told, key)?.ok_or_else(|| told.wrong(key, "a positive number", "nothing"));
    let original = || {
        let key = "original_max_position_embeddings";
        Ok::<_, Error>(positive(fields, key)?.or(positive(&told, key)?).unwrap_or(context))
    };
    let scaling = match kind(&told)? {
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
            let factor = positive(&told, "factor")?.unwrap_or(context / original_context);
            let (beta_fast, beta_slow) = (given(&told, "beta_fast")?, given(&told, "beta_slow")?);
            RopeScaling::Yarn {
                factor,
                original_context,
                beta_fast: beta_fast.unwrap_or(32.0),
                beta_slow: beta_slow.unwrap_or(1.0),
                truncate: told.flag("truncate")?.unwrap_or(true),
                attention_factor: attention_factor(&told, factor)?,
            }
        }
        _ => RopeScaling::Default,
    };
    Ok(RopeConfig { theta: theta(fields, Some(&told))?, scaling })
}

/// `rope_scaling` if it is there and says anything, else `rope_parameters`.
fn told(fields: &Fields) -> Result<Option<Fields>, Error> {
    Ok(match fields.object("rope_scaling")? {
        Some(told) => Some(told),
        None => fields.object("rope_parameters")?,
    })
}

fn kind(told: &Fields) -> Result<&str, Error> {
    Ok(told.text("rope_type")?.or(told.text("type")?).unwrap_or("default"))
}

fn theta(fields: &Fields, told: Option<&Fields>) -> Result<f32, Error> {
    let told = told.map(|told| told.number("rope_theta")).transpose()?.flatten();
    match told.or(fields.number("rope_theta")?).unwrap_or(10_000.0) {
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
