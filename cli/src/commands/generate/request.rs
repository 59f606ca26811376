//! One line of `--json-lines`: a prompt, and what is to be different from the flags for it alone.

use anyhow::{Context, bail};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::prompt::Prompt;
use crate::sampling::Overrides;

/// What a line asks for.
pub(super) struct Request {
    pub(super) prompt: Prompt,
    /// `-n`
    pub(super) tokens: Option<usize>,
    /// `--stop`
    pub(super) stop: Option<Vec<String>>,
    pub(super) sampling: Overrides,
}

/// The keys of a line, named as the flags are.
const KEYS: &str = "prompt, ids, id, tokens, stop, seed, temp, top_k, top_p, min_p";

impl Request {
    /// Reads a line. Its `id`, which may be a text or a whole number, is handed to `id` even if the rest is wrong.
    pub(super) fn parse(line: &[u8], id: &mut Option<Value>) -> anyhow::Result<Request> {
        let mut object: Map<String, Value> = serde_json::from_slice(line).context("no JSON object")?;
        *id = match object.remove("id") {
            None | Some(Value::Null) => None,
            Some(value) if value.is_string() || value.is_i64() || value.is_u64() => Some(value),
            Some(_) => bail!("id: expected a text or a whole number"),
        };
        let (prompt, ids) = (take::<String>(&mut object, "prompt")?, take::<Vec<u32>>(&mut object, "ids")?);
        let prompt = match (prompt, ids) {
            (Some(text), None) => Prompt::Text(text.into_bytes()),
            (None, Some(ids)) => Prompt::Ids(ids),
            (None, None) => bail!("there is neither a prompt nor ids"),
            (Some(_), Some(_)) => bail!("there are both a prompt and ids"),
        };
        let request = Request {
            prompt,
            tokens: take(&mut object, "tokens")?,
            stop: take(&mut object, "stop")?,
            sampling: Overrides {
                seed: take(&mut object, "seed")?,
                temp: take(&mut object, "temp")?,
                top_k: take(&mut object, "top_k")?,
                top_p: take(&mut object, "top_p")?,
                min_p: take(&mut object, "min_p")?,
            },
        };
        match object.keys().next() {
            Some(key) => bail!("there is no key {key:?}, only {KEYS}"),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<(Request, Option<Value>), String> {
        let mut id = None;
        let request = Request::parse(line.as_bytes(), &mut id);
        request.map(|request| (request, id)).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn every_key_has_its_place() {
        let line = r#"{"id": "a", "prompt": "é", "tokens": 3, "stop": ["x"], "seed": 5, "temp": 0.5, "top_k": 7,
            "top_p": 0.25, "min_p": 0.125}"#;
        let (request, id) = parse(line).unwrap();
        assert!(matches!(request.prompt, Prompt::Text(text) if text == "é".as_bytes()));
        assert_eq!(
            (id, request.tokens, request.stop),
            (Some("a".into()), Some(3), Some(vec!["x".to_owned()]))
        );
        let Overrides { seed, temp, top_k, top_p, min_p } = request.sampling;
        assert_eq!((seed, temp, top_k, top_p, min_p), (Some(5), Some(0.5), Some(7), Some(0.25), Some(0.125)));
        let (request, id) = parse(r#"{"ids": [1, 2], "id": 7, "seed": null}"#).unwrap();
        assert!(matches!(request.prompt, Prompt::Ids(ids) if ids == [1, 2]));
        assert_eq!((id, request.sampling.seed), (Some(7.into()), None));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (line, words) in [
            ("", "no JSON object"),
            ("[1]", "no JSON object"),
            ("{\"prompt\": \"x\"", "no JSON object"),
            ("{}", "neither a prompt nor ids"),
            (r#"{"prompt": "x", "ids": [1]}"#, "both a prompt and ids"),
            (r#"{"prompt": "x", "temperature": 1}"#, "no key \"temperature\""),
            (r#"{"prompt": 1}"#, "prompt: "),
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
