//! The layouts of training data in JSON: what a record says, whatever its keys are called.
//!
//! | layout | keys of a record |
//! |---|---|
//! | `messages` (OpenAI, transformers) | `messages`: a list of `{"role", "content", …}` |
//! | `prompt/completion` (TRL) | `prompt`, `completion`: two texts, or two lists of messages |
//! | `instruction/input/output` (Alpaca) | `instruction`, `output`, optional `input` and `system` |
//! | `conversations` (ShareGPT) | `conversations`: a list of `{"from", "value"}`; optional `system` |
//! | `text` | `text` |
//!
//! All other keys of a record are variables of the chat template, such as `tools` and `documents`; those of
//! `chat_template_kwargs` too, as in TRL.

use std::fmt;

use glassbox_model::chat::{Conversation, Value, ValueKind, field, fields};

/// A layout of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `messages`
    Messages,
    /// `prompt` and `completion`, both texts.
    PromptCompletion,
    /// `prompt` and `completion`, both lists of messages.
    PromptCompletionMessages,
    /// `instruction`, `input` and `output`.
    Alpaca,
    /// `conversations`
    ShareGpt,
    /// `text`
    Text,
}

impl Layout {
    /// Whether its records are chats, which the chat template renders.
    pub fn is_chat(self) -> bool {
        !matches!(self, Layout::PromptCompletion | Layout::Text)
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Layout::Messages => "messages",
            Layout::PromptCompletion => "prompt/completion, texts",
            Layout::PromptCompletionMessages => "prompt/completion, messages",
            Layout::Alpaca => "instruction/input/output (Alpaca)",
            Layout::ShareGpt => "conversations (ShareGPT)",
            Layout::Text => "text",
        })
    }
}

/// What a record says.
#[derive(Debug)]
pub(super) enum Content {
    /// A chat, and for each of its messages whether it is learnt.
    Chat { conversation: Conversation, learnt: Vec<bool> },
    /// A text of which only what follows `prompt` is learnt.
    Text {
        /// What is read.
        prompt: String,
        /// What is learnt.
        completion: String,
        /// The other keys, which have no effect.
        unread: Vec<String>,
    },
}

/// Reads a record.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read(json: &str) -> Result<(Layout, Content), String> {
    let record: Value = serde_json::from_str(json).map_err(|error| format!("not valid JSON: {error}"))?;
    let keys = fields(&record);
    let get = |key: &str| field(&record, key);
    let others = |used: &[&str]| {
        let other = |(key, value): &&(String, Value)| !used.contains(&key.as_str()) && !value.is_none();
        keys.iter().filter(other).map(|(key, _)| key.clone()).collect()
    };
    let (layout, used, content): (Layout, &[&str], _) = if let Some(messages) = get("messages") {
        let (messages, learnt) = chat(&list(&messages, "messages")?, "messages")?;
        (Layout::Messages, &["messages"], Ok((messages, learnt)))
    } else if let Some(turns) = get("conversations") {
        let turns = turns_of(&list(&turns, "conversations")?, get("system"))?;
        (Layout::ShareGpt, &["conversations", "system"], chat(&turns, "conversations"))
    } else if let (Some(prompt), Some(completion)) = (get("prompt"), get("completion")) {
        match (prompt.as_str(), completion.as_str()) {
            (Some(prompt), Some(completion)) => {
                let (prompt, completion) = (prompt.to_owned(), completion.to_owned());
                let unread = others(&["prompt", "completion"]);
                return Ok((Layout::PromptCompletion, Content::Text { prompt, completion, unread }));
            }
            (None, None) => {
                let (mut messages, learnt) = chat(&list(&prompt, "prompt")?, "prompt")?;
                let mut learnt = vec![false; learnt.len()];
                let (answers, learnt_answers) = chat(&list(&completion, "completion")?, "completion")?;
                messages.extend(answers);
                learnt.extend(learnt_answers);
                (Layout::PromptCompletionMessages, &["prompt", "completion"], Ok((messages, learnt)))
            }
            _ => return Err("prompt and completion: expected two texts or two lists of messages".into()),
        }
    } else if let (Some(instruction), Some(output)) = (get("instruction"), get("output")) {
        let messages = alpaca(&instruction, get("input"), get("system"), &output)?;
        let used = &["instruction", "input", "output", "system"];
        (Layout::Alpaca, used, chat(&messages, "instruction"))
    } else if let Some(text) = get("text") {
        let completion = text.as_str().ok_or("text: expected a string")?.to_owned();
        let unread = others(&["text"]);
        return Ok((Layout::Text, Content::Text { prompt: String::new(), completion, unread }));
    } else if get("chosen").is_some() {
        return Err("preference data (chosen, rejected) cannot be learnt from".into());
    } else {
        let found: Vec<&str> = keys.iter().map(|(key, _)| key.as_str()).collect();
        return Err(format!(
            "expected an object with messages, conversations, prompt and completion, instruction and output, or \
             text; found {}",
            if found.is_empty() { "none of them".to_owned() } else { found.join(", ") }
        ));
    };
    let (messages, learnt) = content?;
    let mut variables: Vec<(String, Value)> = Vec::new();
    for (key, value) in keys {
        match key.as_str() {
            key if used.contains(&key) => {}
            "chat_template_kwargs" => variables.extend(fields(&value)),
            // ShareGPT's tools are often a text of JSON.
            "tools" => variables.push((key, tools(&value)?)),
            _ => variables.push((key, value)),
        }
    }
    let conversation = Conversation { messages, variables, bytes: json.len() };
    Ok((layout, Content::Chat { conversation, learnt }))
}

fn tools(value: &Value) -> Result<Value, String> {
    match value.as_str() {
        None => Ok(value.clone()),
        Some(text) if text.trim().is_empty() => Ok(Value::from(())),
        Some(text) => serde_json::from_str(text).map_err(|error| format!("tools: not valid JSON: {error}")),
    }
}

fn list(value: &Value, key: &str) -> Result<Vec<Value>, String> {
    match value.kind() {
        ValueKind::Seq => Ok(value.try_iter().into_iter().flatten().collect()),
        kind => Err(format!("{key}: expected a list, found {kind}")),
    }
}

/// Checks messages and brings their content into the form that templates read. Returns them with whether each is
/// learnt: the assistant's, unless their `weight` is 0, as in OpenAI's format.
fn chat(messages: &[Value], key: &str) -> Result<(Vec<Value>, Vec<bool>), String> {
    let mut checked = (Vec::new(), Vec::new());
    for (i, message) in messages.iter().enumerate() {
        let place = |name: &str| format!("{key}[{i}].{name}");
        if message.kind() != ValueKind::Map {
            return Err(format!("{key}[{i}]: expected an object, found {}", message.kind()));
        }
        let role = field(message, "role");
        let role = role.as_ref().and_then(|role| role.as_str());
        let role = role.ok_or_else(|| format!("{}: expected a string", place("role")))?;
        let mut all = fields(message);
        for (name, value) in &mut all {
            if name == "content" {
                *value = content(value, &place("content"))?;
            }
        }
        let weight = match field(message, "weight") {
            None => 1,
            Some(weight) => match weight.as_i64() {
                Some(weight @ (0 | 1)) => weight,
                _ => return Err(format!("{}: expected 0 or 1, found {weight}", place("weight"))),
            },
        };
        checked.0.push(Value::from_pairs(all));
        checked.1.push(role == "assistant" && weight == 1);
    }
    Ok(checked)
}

/// A message's content: a text, nothing, or the texts of a list of parts joined.
fn content(value: &Value, place: &str) -> Result<Value, String> {
    match value.kind() {
        ValueKind::String | ValueKind::None => Ok(value.clone()),
        ValueKind::Seq => {
            let mut text = String::new();
            for (i, part) in list(value, place)?.iter().enumerate() {
                let kind = field(part, "type");
                let kind = kind.as_ref().and_then(|kind| kind.as_str());
                match (part.as_str(), kind, field(part, "text")) {
                    (Some(part), ..) => text.push_str(part),
                    (None, Some("text") | None, Some(part)) if part.as_str().is_some() => {
                        text.push_str(part.as_str().unwrap_or(""));
                    }
                    (_, kind, _) => {
                        let found = kind.map_or("no text".to_owned(), |kind| format!("type {kind:?}"));
                        return Err(format!("{place}[{i}]: expected a part of type \"text\", found {found}"));
                    }
                }
            }
            Ok(text.into())
        }
        kind => Err(format!("{place}: expected a string or a list of parts, found {kind}")),
    }
}

/// The messages of a ShareGPT conversation.
fn turns_of(turns: &[Value], system: Option<Value>) -> Result<Vec<Value>, String> {
    let system =
        system.map(|system| Value::from_pairs([("role", Value::from("system")), ("content", system)]));
    let mut messages: Vec<Value> = system.into_iter().collect();
    for (i, turn) in turns.iter().enumerate() {
        let Some(from) = field(turn, "from") else {
            // The list may as well have messages as transformers names them.
            messages.push(turn.clone());
            continue;
        };
        let role = match from.as_str().unwrap_or("") {
            "human" | "user" => "user",
            "gpt" | "assistant" | "chatgpt" | "bot" | "model" | "function_call" => "assistant",
            "system" => "system",
            "tool" | "observation" | "function_response" => "tool",
            _ => {
                return Err(format!(
                    "conversations[{i}].from: expected human, gpt, system, function_call or observation, found {from}"
                ));
            }
        };
        let rename = |(key, value): (String, Value)| match key.as_str() {
            "from" => ("role".to_owned(), Value::from(role)),
            "value" => ("content".to_owned(), value),
            _ => (key, value),
        };
        messages.push(Value::from_pairs(fields(turn).into_iter().map(rename)));
    }
    Ok(messages)
}

/// The messages of an Alpaca record. The input follows the instruction on a line of its own.
fn alpaca(
    instruction: &Value,
    input: Option<Value>,
    system: Option<Value>,
    output: &Value,
) -> Result<Vec<Value>, String> {
    let text = |value: &Value, key: &str| {
        value
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| format!("{key}: expected a string, found {}", value.kind()))
    };
    let mut user = text(instruction, "instruction")?;
    if let Some(input) = input {
        let input = text(&input, "input")?;
        if !input.is_empty() {
            user = format!("{user}\n{input}");
        }
    }
    let message =
        |role: &str, text: String| Value::from_pairs([("role", role.to_owned()), ("content", text)]);
    let system = system.map(|system| text(&system, "system")).transpose()?;
    let system = system.filter(|system| !system.is_empty()).map(|system| message("system", system));
    let turns = [message("user", user), message("assistant", text(output, "output")?)];
    Ok(system.into_iter().chain(turns).collect())
}
