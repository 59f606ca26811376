//! One line of `--json-lines`: a prompt and the settings that override the flags for it.

use std::str::FromStr;

use anyhow::{Context, anyhow, bail};
use serde::de::DeserializeOwned;
use serde_json::{Map, Number, Value};

use crate::prompt::Prompt;
use crate::sampling::Overrides;

/// A parsed line.
pub(super) struct Request {
    pub(super) prompt: Prompt,
    /// `-n`
    pub(super) tokens: Option<usize>,
    /// `--stop`
    pub(super) stop: Option<Vec<String>>,
    pub(super) sampling: Overrides,
}

/// The keys of a line, named like the flags.
const KEYS: &str = "prompt, ids, id, tokens, stop, seed, temp, top_k, top_p, min_p";

impl Request {
    /// Parses a line. Its `id`, a string or an integer, is stored in `id` even if the rest is invalid.
    pub(super) fn parse(line: &[u8], id: &mut Option<Value>) -> anyhow::Result<Request> {
        let mut object: Map<String, Value> = serde_json::from_slice(line).context("not a JSON object")?;
        *id = match object.remove("id") {
            None | Some(Value::Null) => None,
            Some(value) if value.is_string() || value.is_i64() || value.is_u64() => Some(value),
            Some(_) => bail!("id: expected a string or an integer"),
        };
        let (prompt, ids) = (take::<String>(&mut object, "prompt")?, take::<Vec<u32>>(&mut object, "ids")?);
        let prompt = match (prompt, ids) {
            (Some(text), None) => Prompt::Text(text.into_bytes()),
            (None, Some(ids)) => Prompt::Ids(ids),
            (None, None) => bail!("expected prompt or ids, found neither"),
            (Some(_), Some(_)) => bail!("expected prompt or ids, found both"),
        };
        let request = Request {
            prompt,
            tokens: take(&mut object, "tokens")?,
            stop: take(&mut object, "stop")?,
            sampling: Overrides {
                seed: take_number(&mut object, "seed")?,
                temp: take(&mut object, "temp")?,
                top_k: take_number(&mut object, "top_k")?,
                top_p: take(&mut object, "top_p")?,
                min_p: take(&mut object, "min_p")?,
            },
        };
        match object.keys().next() {
            Some(key) => bail!("unknown key {key:?}; known are {KEYS}"),
            None => Ok(request),
        }
    }
}

/// The value of a key, if there is one.
fn take<T: DeserializeOwned>(
    object: &mut Map<String, Value>,
    key: &'static str,
) -> anyhow::Result<Option<T>> {
    serde_json::from_value(object.remove(key).unwrap_or_default()).context(key)
}

/// The number of a key, if there is one, read as on the command line.
fn take_number<T: FromStr<Err = String>>(
    object: &mut Map<String, Value>,
    key: &'static str,
) -> anyhow::Result<Option<T>> {
    let number = take::<Number>(object, key)?;
    number
        .map(|number| number.to_string().parse().map_err(|error: String| anyhow!(error).context(key)))
        .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<(Request, Option<Value>), String> {
        let mut id = None;
        let request = Request::parse(line.as_bytes(), &mut id);
        request.map(|request| (request, id)).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn every_key_is_parsed() {
        let line = r#"{"id": "a", "prompt": "é", "tokens": 3, "stop": ["x"], "seed": 5, "temp": 0.5, "top_k": 7,
            "top_p": 0.25, "min_p": 0.125}"#;
        let (request, id) = parse(line).unwrap();
        assert!(matches!(request.prompt, Prompt::Text(text) if text == "é".as_bytes()));
        assert_eq!(
            (id, request.tokens, request.stop),
            (Some("a".into()), Some(3), Some(vec!["x".to_owned()]))
        );
        let Overrides { seed, temp, top_k, top_p, min_p } = request.sampling;
        assert_eq!((seed, top_k), ("5".parse().ok(), "7".parse().ok()));
        assert_eq!((temp, top_p, min_p), (Some(0.5), Some(0.25), Some(0.125)));
        let (request, id) = parse(r#"{"ids": [1, 2], "id": 7, "seed": null}"#).unwrap();
        assert!(matches!(request.prompt, Prompt::Ids(ids) if ids == [1, 2]));
        assert_eq!((id, request.sampling.seed), (Some(7.into()), None));
        let (request, _) = parse(r#"{"ids": [1], "seed": -1, "top_k": -1}"#).unwrap();
        assert_eq!((request.sampling.seed, request.sampling.top_k), ("-1".parse().ok(), "0".parse().ok()));
    }

    #[test]
    fn errors_name_the_key() {
        for (line, words) in [
            ("", "not a JSON object"),
            ("[1]", "not a JSON object"),
            ("{\"prompt\": \"x\"", "not a JSON object"),
            ("{}", "prompt or ids, found neither"),
            (r#"{"prompt": "x", "ids": [1]}"#, "prompt or ids, found both"),
            (r#"{"prompt": "x", "temperature": 1}"#, "unknown key \"temperature\""),
            (r#"{"prompt": 1}"#, "prompt: "),
            (
                r#"{"prompt": "x", "seed": -2}"#,
                "seed: expected an integer from 0 to 18446744073709551615, or -1",
            ),
            (r#"{"prompt": "x", "top_k": "all"}"#, "top_k: "),
            (r#"{"ids": [-1]}"#, "ids: "),
            (r#"{"prompt": "x", "tokens": "many"}"#, "tokens: "),
            (r#"{"prompt": "x", "id": [1]}"#, "id: "),
            (r#"{"prompt": "x", "id": 1.5}"#, "id: "),
        ] {
            let error = parse(line).err().unwrap();
            assert!(error.contains(words), "{line}: {error}");
        }
    }
}
