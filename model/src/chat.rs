//! Chat templates: render messages with roles as the text format that a chat model was trained on.
//!
//! A chat model recognises turns only by markers in the text, such as `<|im_start|>user`. Each checkpoint has a Jinja
//! template that writes them. This module renders it as `apply_chat_template` of HF transformers does: the same text,
//! byte for byte, or an error with its position. There is no fallback to another template, because a prompt in the
//! wrong format silently degrades a model's answers.
//!
//! ```
//! use glassbox_model::chat::{ChatTemplate, Message, SpecialTokens};
//!
//! let source = "{% for message in messages %}\
//!     {{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}\
//!     {% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
//! let template = ChatTemplate::parse("chatml", source, SpecialTokens::default())?;
//! let text = template.render(&[Message::new("user", "Hello!")], true)?;
//! assert_eq!(text, "<|im_start|>user\nHello!<|im_end|>\n<|im_start|>assistant\n");
//! # Ok::<(), glassbox_model::chat::Error>(())
//! ```
//!
//! Templates may use all of Jinja that minijinja supports, with loop controls, `namespace` and slices; Python's methods
//! of strings and dicts; `raise_exception`, `strftime_now`, and `tojson` in Python's format; `bos_token`, `eos_token`
//! and the tokenizer's other special tokens; `messages`, `tools`, `documents` and the caller's variables. `{%
//! generation %}` marks the assistant's messages for training ([`ChatTemplate::render_generations`]); the text is as
//! without it.
//!
//! A template is an untrusted program. Its steps and output bytes count against a budget that grows with the
//! conversation, and its run time is limited to a few seconds. It cannot read files.

mod budget;
mod choose;
mod conversation;
mod error;
mod methods;
mod python;
mod source;
mod time;

use std::ops::Range;
use std::time::{SystemTime, UNIX_EPOCH};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Rest};
use minijinja::{AutoEscape, Environment, Error as JinjaError, ErrorKind, State};
use serde::{Deserialize, Serialize};

pub use choose::SpecialTokens;
pub use conversation::{Conversation, field, fields};
pub use error::Error;
pub use minijinja::value::{Value, ValueKind};

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The role. Templates support `system`, `user` and `assistant`, some also `tool` and others.
    pub role: String,
    /// The message's text.
    pub content: String,
}

impl Message {
    /// A message with this role and text.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Message {
        Message { role: role.into(), content: content.into() }
    }

    fn value(&self) -> Value {
        Value::from_pairs([("role", self.role.as_str()), ("content", self.content.as_str())])
    }
}

/// The input of a template: the messages and other variables.
#[derive(Clone, Debug)]
pub struct ChatInput {
    variables: Vec<(String, Value)>,
    bytes: usize,
}

impl ChatInput {
    /// Input with these messages; `add_generation_prompt` requests the header of the assistant's turn.
    pub fn new(messages: &[Message], add_generation_prompt: bool) -> ChatInput {
        let bytes = messages.iter().map(|message| message.role.len() + message.content.len() + 64).sum();
        let variables = vec![
            ("messages".to_owned(), messages.iter().map(Message::value).collect()),
            ("tools".to_owned(), Value::from(())),
            ("documents".to_owned(), Value::from(())),
            ("add_generation_prompt".to_owned(), Value::from(add_generation_prompt)),
        ];
        ChatInput { variables, bytes }
    }

    /// Input with the variables of a JSON object: `messages`, and `tools`, `documents`, `enable_thinking` or others
    /// that the template uses. Keys keep their order, which matters if a template prints them.
    pub fn from_json(json: &str, add_generation_prompt: bool) -> Result<ChatInput, Error> {
        let invalid = |message: String| Error::Json { name: "chat".to_owned(), message };
        let object: Value = serde_json::from_str(json).map_err(|error| invalid(error.to_string()))?;
        if object.kind() != ValueKind::Map {
            return Err(invalid(format!("expected an object with `messages`, found {}", object.kind())));
        }
        let mut input = ChatInput::new(&[], add_generation_prompt);
        input.bytes += json.len();
        for name in object.try_iter().into_iter().flatten() {
            let value = object.get_item(&name).map_err(|error| invalid(error.to_string()))?;
            input.set(name.as_str().unwrap_or(""), value);
        }
        Ok(input)
    }

    /// Sets a variable such as `tools` from JSON text.
    pub fn set_json(&mut self, name: &str, json: &str) -> Result<(), Error> {
        let value: Value = serde_json::from_str(json)
            .map_err(|error| Error::Json { name: name.to_owned(), message: error.to_string() })?;
        self.bytes += json.len();
        self.set(name, value);
        Ok(())
    }

    fn set(&mut self, name: &str, value: Value) {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value));
    }
}

/// A parsed chat template.
#[derive(Clone, Debug)]
pub struct ChatTemplate {
    name: String,
    source: String,
    /// As given.
    original: String,
    tokens: SpecialTokens,
    environment: Environment<'static>,
    seconds: Option<i64>,
}

impl ChatTemplate {
    /// Parses a template. `name` identifies it in errors.
    pub fn parse(name: &str, source: &str, tokens: SpecialTokens) -> Result<ChatTemplate, Error> {
        if source.len() > budget::LONGEST {
            let limit = budget::LONGEST;
            return Err(Error::TooLong { template: name.to_owned(), bytes: source.len(), limit });
        }
        let original = source.to_owned();
        let source = source::prepare(source);
        let environment = environment()?;
        let template = ChatTemplate {
            name: name.to_owned(),
            source,
            original,
            tokens,
            environment: environment.clone(),
            seconds: None,
        };
        let (name, source) = (template.name.clone(), template.source.clone());
        budget::run(&template.name, template.source.len(), 0, move || {
            let parsed = environment.template_from_named_str(&name, &source);
            parsed.map(|_| ()).map_err(|error| Error::of(&name, &source, error))
        })?;
        Ok(template)
    }

    /// Sets the time of `strftime_now`, in seconds since 1970 in the desired time zone. By default it is the current
    /// time in UTC.
    #[must_use]
    pub fn at_time(mut self, seconds: i64) -> ChatTemplate {
        self.seconds = Some(seconds);
        self
    }

    /// Renders messages; `add_generation_prompt` adds the header of the assistant's turn.
    pub fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String, Error> {
        self.render_input(&ChatInput::new(messages, add_generation_prompt))
    }

    /// Renders messages and variables.
    pub fn render_input(&self, input: &ChatInput) -> Result<String, Error> {
        self.render_source(self.source.clone(), input)
    }

    /// Whether the template marks what the assistant generates, with `{% generation %}`.
    pub fn marks_generations(&self) -> bool {
        source::marked(&self.original).is_some()
    }

    /// As [`ChatTemplate::render_input`], with the byte ranges that the template marks as generated, in order.
    ///
    /// # Errors
    /// As [`ChatTemplate::render_input`]; [`Error::Json`] if the text contains one of the two characters that mark the
    /// ranges on the way, which stand for no text in Unicode.
    pub fn render_generations(&self, input: &ChatInput) -> Result<(String, Vec<Range<usize>>), Error> {
        let text = self.render_input(input)?;
        let Some(marked) = source::marked(&self.original) else { return Ok((text, Vec::new())) };
        if text.contains(source::MARKS) {
            let message = "the text contains U+10FFFE or U+10FFFF".to_owned();
            return Err(Error::Json { name: "messages".to_owned(), message });
        }
        let marked = self.render_source(marked, input)?;
        Ok((text, source::ranges(&marked)))
    }

    /// Whether the template's source has this name, as a word.
    pub fn mentions(&self, name: &str) -> bool {
        let word = |c: char| c.is_alphanumeric() || c == '_';
        self.original.match_indices(name).any(|(at, _)| {
            let before = self.original[..at].chars().next_back();
            !before.is_some_and(word) && !self.original[at + name.len()..].starts_with(word)
        })
    }

    fn render_source(&self, source: String, input: &ChatInput) -> Result<String, Error> {
        let mut environment = self.environment.clone();
        let fuel = budget::fuel(self.source.len(), input.bytes);
        environment.set_fuel(Some(fuel));
        let seconds = self.seconds.unwrap_or_else(now);
        environment.add_function("strftime_now", move |format: &str| time::strftime(format, seconds));
        let (name, tokens) = (self.name.clone(), self.tokens.clone());
        let variables = input.variables.clone();
        let work = move || {
            let tokens = tokens.iter().map(|(name, token)| (name.to_owned(), Value::from(token)));
            // As in transformers, the caller's variables take precedence over special tokens.
            let variables = Value::from_pairs(tokens.chain(variables));
            environment
                .template_from_named_str(&name, &source)
                .and_then(|template| template.render(variables))
                .map_err(|error| Error::of(&name, &source, error))
        };
        budget::run(&self.name, self.source.len(), fuel, work)
    }

    /// The name given to [`ChatTemplate::parse`].
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The source, with `\n` line ends, and with plain blocks in place of `{% generation %}`.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The source as it was given.
    pub fn original(&self) -> &str {
        &self.original
    }

    /// The special tokens available to the template.
    pub fn tokens(&self) -> &SpecialTokens {
        &self.tokens
    }
}

/// The Jinja environment, configured as in transformers.
fn environment() -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.map_err(|error| Error::of("syntax", "", error))?);
    environment.set_debug(true); // records the position of errors
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_formatter(|out, state, value| {
        match value.as_str() {
            Some(text) => out.write_str(text)?,
            None => out.write_str(&python::text(state, value)?)?,
        }
        Ok(())
    });
    environment.set_unknown_method_callback(methods::call);
    environment.add_function("raise_exception", |message: Value| -> Result<Value, JinjaError> {
        let raised = error::Raised(message.to_string());
        Err(JinjaError::new(ErrorKind::InvalidOperation, "raised by the template").with_source(raised))
    });
    environment.add_filter(source::MARK, |text: &str| source::mark(text));
    environment.add_filter("tojson", tojson);
    environment.add_filter("string", |state: &State, value: Value| -> Result<Value, JinjaError> {
        if value.as_str().is_some() { Ok(value) } else { Ok(python::text(state, &value)?.into()) }
    });
    environment.add_filter("trim", |value: Value, characters: Option<&str>| -> String {
        methods::strip(&value.to_string(), characters).to_owned()
    });
    Ok(environment)
}

/// `json.dumps(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False)`, arguments in this order.
fn tojson(state: &State, value: Value, positional: Rest<Value>, named: Kwargs) -> Result<String, JinjaError> {
    const NAMES: [&str; 4] = ["ensure_ascii", "indent", "separators", "sort_keys"];
    if positional.len() > NAMES.len() {
        return Err(JinjaError::from(ErrorKind::TooManyArguments));
    }
    let argument = |i: usize| -> Result<Value, JinjaError> {
        match positional.get(i) {
            Some(value) => Ok(value.clone()),
            None => Ok(named.get::<Option<Value>>(NAMES[i])?.unwrap_or_else(|| Value::from(()))),
        }
    };
    let format = python::JsonFormat::new(&argument(0)?, &argument(1)?, &argument(2)?, &argument(3)?)?;
    named.assert_all_used()?;
    python::json(state, &value, &format)
}

fn now() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_secs() as i64,
        Err(before) => -(before.duration().as_secs() as i64),
    }
}
