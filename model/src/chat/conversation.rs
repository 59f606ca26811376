//! Conversations as data: every field of every message, and the other variables, reach the template.

use super::{ChatInput, Value};

/// A conversation with all fields of its messages, in the order of its file.
#[derive(Clone, Debug)]
pub struct Conversation {
    /// The messages, each a map with `role`, `content`, `tool_calls` or whatever else the template reads.
    pub messages: Vec<Value>,
    /// The other variables, such as `tools` and `documents`.
    pub variables: Vec<(String, Value)>,
    /// The length of its text, for the template's budget of work.
    pub bytes: usize,
}

/// The names under which a message's reasoning is passed. The first is the standard one.
const REASONING: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];

impl Conversation {
    /// The input with the first `count` messages; `add_generation_prompt` requests the header of the assistant's turn.
    ///
    /// A message with reasoning under any of its usual names gets `reasoning_content` and `thinking`, as in
    /// transformers
    /// 5.23.
    pub fn input(&self, count: usize, add_generation_prompt: bool) -> ChatInput {
        let mut input = ChatInput::new(&[], add_generation_prompt);
        input.bytes += self.bytes + 64 * count;
        for (name, value) in &self.variables {
            if name != "messages" && name != "add_generation_prompt" {
                input.set(name, value.clone());
            }
        }
        let messages = self.messages.iter().take(count).map(with_reasoning);
        input.set("messages", messages.collect());
        input
    }
}

/// The value of `key` in a map; `None` if it is missing or null.
pub fn field(map: &Value, key: &str) -> Option<Value> {
    let Value::Object(items) = map else { return None };
    let (_, value) = items.iter().rfind(|(known, _)| **known == *key)?;
    (!value.is_none()).then(|| value.clone())
}

/// The keys and values of a map, in order.
pub fn fields(map: &Value) -> Vec<(String, Value)> {
    match map {
        Value::Object(items) => items.iter().map(|(key, value)| (key.to_string(), value.clone())).collect(),
        _ => Vec::new(),
    }
}

fn with_reasoning(message: &Value) -> Value {
    let Some(reasoning) = REASONING.iter().find_map(|key| field(message, key)) else {
        return message.clone();
    };
    let mut all = fields(message);
    if !all.iter().any(|(key, _)| key == "thinking") {
        all.insert(0, ("thinking".to_owned(), reasoning.clone()));
    }
    match all.iter_mut().find(|(key, _)| key == REASONING[0]) {
        Some((_, value)) => *value = reasoning,
        None => all.push((REASONING[0].to_owned(), reasoning)),
    }
    Value::from_pairs(all)
}
