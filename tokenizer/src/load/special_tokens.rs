//! The special and added tokens that `tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json` name.
//!
//! What counts is what transformers 5 does with them: with a list `added_tokens_decoder` in the first file, the other
//! two are not read.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Map, Value};

use super::json::Node;
use crate::added_tokens::AddedToken;
use crate::error::Result;

/// The special tokens that every tokenizer can have, in the order in which they are added.
const NAMED: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// A token as a file writes it: a string, or an object with its properties.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Written {
    pub content: String,
    properties: Option<Map<String, Value>>,
}

/// The tokens of a folder.
#[derive(Debug, Default)]
pub(super) struct SpecialTokens {
    /// By role; those that every tokenizer can have first.
    named: Vec<(String, Option<Written>)>,
    extra: Vec<Written>,
    listed: Listed,
}

/// Added tokens that a file lists.
#[derive(Debug, Default)]
struct Listed {
    by_id: BTreeMap<u64, Written>,
    /// All, those too whose id another one has taken.
    by_content: HashMap<String, Written>,
}

impl Listed {
    fn insert(&mut self, id: u64, token: Written) {
        self.by_content.insert(token.content.clone(), token.clone());
        self.by_id.insert(id, token);
    }
}

/// The other files that may name tokens.
pub(super) struct OlderFiles<'v> {
    pub special_tokens_map: Option<&'v Value>,
    pub added_tokens: Option<&'v Value>,
    /// The tokens of the tokenizer.json.
    pub in_tokenizer: &'v Node<'v>,
}

impl Written {
    fn text(content: &str) -> Written {
        Written { content: content.to_owned(), properties: None }
    }

    /// A string or an object with `content`; `None` for other values.
    fn read(value: &Value) -> Option<Written> {
        match value {
            Value::String(content) => Some(Written::text(content)),
            Value::Object(properties) => {
                let content = properties.get("content")?.as_str()?.to_owned();
                Some(Written { content, properties: Some(properties.clone()) })
            }
            _ => None,
        }
    }

    /// As an added token. A string is a special token; an object is one if it says so, or if it is `named`.
    fn added(&self, is_named: bool) -> AddedToken {
        let flag =
            |name: &str| self.properties.as_ref().and_then(|all| all.get(name)).and_then(Value::as_bool);
        let special = self.properties.is_none() || is_named || flag("special").unwrap_or(false);
        AddedToken {
            id: 0,
            content: self.content.clone(),
            single_word: flag("single_word").unwrap_or(false),
            lstrip: flag("lstrip").unwrap_or(false),
            rstrip: flag("rstrip").unwrap_or(false),
            normalized: flag("normalized").unwrap_or(!special),
            special,
        }
    }
}

impl SpecialTokens {
    /// Reads the tokens. `defaults` are those of the tokenizer's class, for roles that the files do not mention.
    pub(super) fn read(
        config: &Node<'_>,
        older: &OlderFiles<'_>,
        defaults: &[(&str, &str)],
    ) -> Result<SpecialTokens> {
        let mut keys = config.value.as_object().cloned().unwrap_or_default();
        let mut tokens = SpecialTokens::default();
        let additional = keys.remove("additional_special_tokens").filter(|value| !value.is_null());
        if let Some(additional) = additional
            && keys.get("extra_special_tokens").is_none_or(is_empty)
        {
            keys.insert("extra_special_tokens".to_owned(), additional);
        }
        let mut specific: Vec<(String, Written)> = Vec::new();
        for (key, value) in &keys {
            if key.ends_with("_token") && !NAMED.contains(&key.as_str()) && value.is_string() {
                specific.extend(Written::read(value).map(|token| (key.clone(), token)));
            }
        }
        if let Some(Value::Object(by_name)) = keys.get("extra_special_tokens") {
            let named =
                by_name.iter().filter_map(|(name, value)| Some((name.clone(), Written::read(value)?)));
            specific.extend(named.collect::<Vec<_>>());
            keys.remove("extra_special_tokens");
        }
        let list = config.get("added_tokens_decoder");
        if list.value.is_object() {
            for (id, value) in list.object()? {
                let entry = list.get(id);
                let number = id.parse().map_err(|_| entry.expected("a number as its key"))?;
                let token = Written::read(value).filter(|token| token.properties.is_some());
                tokens.listed.insert(number, token.ok_or_else(|| entry.expected("a token"))?);
            }
        } else {
            merge_older(&mut keys, &mut specific, &mut tokens.listed, older)?;
        }
        for role in NAMED {
            let token = match keys.get(role) {
                Some(value) => Written::read(value),
                None => {
                    defaults.iter().find(|default| default.0 == role).map(|default| Written::text(default.1))
                }
            };
            // A token of the list has the properties that are given there.
            let listed =
                |token: Written| tokens.listed.by_content.get(&token.content).cloned().unwrap_or(token);
            tokens.named.push((role.to_owned(), token.map(listed)));
        }
        let extra = keys.get("extra_special_tokens").or_else(|| keys.get("additional_special_tokens"));
        if let Some(Value::Array(list)) = extra {
            tokens.extra = list.iter().filter_map(Written::read).collect();
        }
        for (name, token) in specific {
            match tokens.named.iter_mut().find(|known| known.0 == name) {
                Some(known) => known.1 = Some(token),
                None => tokens.named.push((name, Some(token))),
            }
        }
        Ok(tokens)
    }

    /// The text of the token with a role, such as `bos_token`.
    pub(super) fn named(&self, role: &str) -> Option<&str> {
        let token = self.named.iter().find(|known| known.0 == role)?;
        token.1.as_ref().map(|token| token.content.as_str())
    }

    /// The tokens to add to a tokenizer that has `existing` ones, in order.
    pub(super) fn to_add(&self, existing: &[String]) -> Vec<AddedToken> {
        let mut add: Vec<&Written> = self.listed.by_id.values().collect();
        let listed: HashSet<&str> = add.iter().map(|token| token.content.as_str()).collect();
        let is_known =
            |content: &str| listed.contains(content) || existing.iter().any(|known| known == content);
        let roles = self.named.iter().filter_map(|(_, token)| token.as_ref());
        for token in roles.clone().chain(&self.extra) {
            if !is_known(&token.content) && !add.contains(&token) {
                add.push(token);
            }
        }
        let is_named = |content: &str| roles.clone().any(|token| token.content == content);
        add.into_iter().map(|token| token.added(is_named(&token.content))).collect()
    }

    /// All special tokens once, as plain ones.
    pub(super) fn all_plain(&self) -> Vec<AddedToken> {
        let mut all: Vec<AddedToken> = Vec::new();
        for token in self.named.iter().filter_map(|(_, token)| token.as_ref()).chain(&self.extra) {
            if !all.iter().any(|known| known.content == token.content) {
                all.push(AddedToken::special(0, token.content.as_str()));
            }
        }
        all
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(entries) => entries.is_empty(),
        _ => false,
    }
}

/// Merges the files from before `added_tokens_decoder`.
fn merge_older(
    keys: &mut Map<String, Value>,
    specific: &mut Vec<(String, Written)>,
    listed: &mut Listed,
    older: &OlderFiles<'_>,
) -> Result<()> {
    let mut from_map = Vec::new();
    for (key, value) in older.special_tokens_map.and_then(Value::as_object).into_iter().flatten() {
        let mut value = value.clone();
        match &mut value {
            Value::Object(properties) if key != "extra_special_tokens" => {
                properties.insert("special".to_owned(), Value::Bool(true));
                from_map.push(key.clone());
            }
            Value::Array(list) if key == "extra_special_tokens" => {
                let mut all = match keys.get(key) {
                    Some(Value::Array(existing)) => existing.clone(),
                    _ => Vec::new(),
                };
                for token in list.drain(..) {
                    if !all.contains(&token) {
                        all.push(token);
                    }
                }
                *list = all;
            }
            Value::Object(by_name) => {
                let named =
                    by_name.iter().filter_map(|(name, value)| Some((name.clone(), Written::read(value)?)));
                specific.extend(named.collect::<Vec<_>>());
                keys.remove(key);
                continue;
            }
            _ => {}
        }
        if key.ends_with("_token") && !NAMED.contains(&key.as_str()) {
            specific.extend(Written::read(&value).map(|token| (key.clone(), token)));
        } else {
            keys.insert(key.clone(), value);
        }
    }
    let extra = keys.get("extra_special_tokens").and_then(Value::as_array);
    // What is an object in tokenizer_config.json is not recognised here.
    let special: Vec<String> = NAMED
        .iter()
        .filter_map(|role| Some((from_map.iter().any(|key| key == role), keys.get(*role)?)))
        .chain(extra.into_iter().flatten().map(|value| (false, value)))
        .filter(|(is_from_map, value)| *is_from_map || value.is_string())
        .filter_map(|(_, value)| Some(Written::read(value)?.content))
        .collect();
    for (content, id) in older.added_tokens.and_then(Value::as_object).into_iter().flatten() {
        let Some(id) = id.as_u64() else { continue };
        let is_special = special.contains(content);
        let properties = [("special", is_special), ("normalized", !is_special)];
        let properties = properties.map(|(name, value)| (name.to_owned(), Value::Bool(value)));
        listed.insert(
            id,
            Written { content: content.clone(), properties: Some(properties.into_iter().collect()) },
        );
    }
    for node in older.in_tokenizer.value.as_array().into_iter().flatten() {
        if let (Some(id), Some(token)) = (node.get("id").and_then(Value::as_u64), Written::read(node)) {
            listed.insert(id, token);
        }
    }
    Ok(())
}
