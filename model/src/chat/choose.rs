//! Finds a checkpoint's chat template and its special tokens.
//!
//! Checkpoints keep the template in one of three places: in `tokenizer_config.json` under `chat_template` (a string, or
//! a list of named strings), in a file `chat_template.jinja` beside it, or in a GGUF's `tokenizer.chat_template`. The
//! special tokens are in `tokenizer_config.json`, each a string or an object with `content`.

use serde_json::Value;

use super::{ChatTemplate, Error};

/// The names of the special tokens available to templates.
const TOKEN_NAMES: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// The special tokens by name, such as `bos_token`. Missing ones are undefined in templates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpecialTokens {
    tokens: Vec<(String, String)>,
}

impl SpecialTokens {
    /// With the bos and eos token, if the model has them.
    pub fn new(bos_token: Option<&str>, eos_token: Option<&str>) -> SpecialTokens {
        let named = [("bos_token", bos_token), ("eos_token", eos_token)];
        let present =
            named.into_iter().filter_map(|(name, token)| Some((name.to_owned(), token?.to_owned())));
        SpecialTokens { tokens: present.collect() }
    }

    /// The special tokens of a `tokenizer_config.json`.
    pub fn from_tokenizer_config(config: &Value) -> Result<SpecialTokens, Error> {
        let mut tokens = Vec::new();
        for name in TOKEN_NAMES {
            let token = match config.get(name) {
                None | Some(Value::Null) => continue,
                Some(Value::String(token)) => token,
                Some(Value::Object(token)) => match token.get("content") {
                    Some(Value::String(content)) => content,
                    other => {
                        return Err(wrong_type(
                            &format!("{name}.content"),
                            "a string",
                            other.unwrap_or(&Value::Null),
                        ));
                    }
                },
                Some(other) => return Err(wrong_type(name, "a string or an object with `content`", other)),
            };
            tokens.push((name.to_owned(), token.clone()));
        }
        Ok(SpecialTokens { tokens })
    }

    /// Adds a token, or replaces it.
    pub fn set(&mut self, name: &str, token: &str) {
        self.tokens.retain(|(known, _)| known != name);
        self.tokens.push((name.to_owned(), token.to_owned()));
    }

    /// The token of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(known, _)| *known == name).map(|(_, token)| token)
    }

    /// All names and tokens.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.tokens.iter().map(|(name, token)| (name.as_str(), token.as_str()))
    }
}

impl ChatTemplate {
    /// The template of a checkpoint directory, or `None`.
    ///
    /// `config` is the value of `tokenizer_config.json`; `jinja` the text of `chat_template.jinja`, which takes
    /// precedence, as in transformers. `name` selects one of several templates; the default is the one named `default`.
    pub fn of_directory(
        config: Option<&Value>,
        jinja: Option<&str>,
        name: Option<&str>,
    ) -> Result<Option<ChatTemplate>, Error> {
        let tokens = config.map_or(Ok(SpecialTokens::default()), SpecialTokens::from_tokenizer_config)?;
        let wanted = name.unwrap_or("default");
        if let Some(source) = jinja
            && wanted == "default"
        {
            return ChatTemplate::parse("chat_template.jinja", source, tokens).map(Some);
        }
        let origin = "tokenizer_config.json";
        match config.and_then(|config| config.get("chat_template")) {
            None | Some(Value::Null) => match name {
                None => Ok(None),
                Some(name) => Err(Error::NoSuchTemplate { name: name.to_owned(), found: Vec::new() }),
            },
            Some(Value::String(source)) if wanted == "default" => {
                ChatTemplate::parse(origin, source, tokens).map(Some)
            }
            Some(Value::String(_)) => {
                Err(Error::NoSuchTemplate { name: wanted.to_owned(), found: vec!["default".to_owned()] })
            }
            Some(Value::Array(entries)) => {
                let templates = named_templates(entries)?;
                let Some((_, source)) = templates.iter().find(|(known, _)| *known == wanted) else {
                    let found = templates.iter().map(|(known, _)| (*known).to_owned()).collect();
                    return Err(Error::NoSuchTemplate { name: wanted.to_owned(), found });
                };
                ChatTemplate::parse(&format!("{origin} ({wanted})"), source, tokens).map(Some)
            }
            Some(other) => Err(wrong_type("chat_template", "a string or a list of {name, template}", other)),
        }
    }

    /// The template of a GGUF file, the value of its key `tokenizer.chat_template`.
    pub fn of_gguf(source: &str, tokens: SpecialTokens) -> Result<ChatTemplate, Error> {
        ChatTemplate::parse("tokenizer.chat_template", source, tokens)
    }
}

/// The names and texts of a list of templates.
fn named_templates(entries: &[Value]) -> Result<Vec<(&str, &str)>, Error> {
    let text = |entry: &'_ Value, i: usize, key: &str| match entry.get(key) {
        Some(Value::String(_)) => Ok(()),
        other => {
            Err(wrong_type(&format!("chat_template[{i}].{key}"), "a string", other.unwrap_or(&Value::Null)))
        }
    };
    for (i, entry) in entries.iter().enumerate() {
        text(entry, i, "name")?;
        text(entry, i, "template")?;
    }
    Ok(entries
        .iter()
        .filter_map(|entry| Some((entry["name"].as_str()?, entry["template"].as_str()?)))
        .collect())
}

fn wrong_type(key: &str, expected: &'static str, found: &Value) -> Error {
    let found = match found {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    Error::WrongType { key: key.to_owned(), expected, found: found.to_owned() }
}
