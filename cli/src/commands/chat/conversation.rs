//! The state of a chat: the messages, and what of them is in the KV cache.

use std::fmt;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, anyhow};
use glassbox_model::chat::Message;
use glassbox_model::{GenerationConfig, Runtime, Session, Stop};
use glassbox_sampler::Sampler;
use glassbox_tensor::file::temporary::Temporary;

use super::repetition::repeats;
use super::shown::shown;
use super::typed::Typed;
use super::wrap::Wrap;
use crate::chat_prompt::{ChatPrompt, ChatPrompts};
use crate::continuation::{Continuation, End, Event, Limits, continue_text};
use crate::exit::Interrupted;
use crate::not_finite;
use crate::output::{Out, note};
use crate::sampling::SamplingArgs;
use crate::stop_strings::StopStrings;
use crate::transcript::Transcript;

/// What holds for all answers.
pub(super) struct Settings {
    /// Maximum number of tokens per answer.
    pub(super) tokens: usize,
    pub(super) context: usize,
    /// The tokens that end an answer.
    pub(super) ends: Vec<u32>,
    pub(super) stops: Vec<String>,
    pub(super) let_repeat: bool,
    pub(super) show_prompt: bool,
    /// Whether turns come from a terminal, where Ctrl-C stops only the answer.
    pub(super) interactive: bool,
    /// The terminal's width, if there is one.
    pub(super) wrapped: Option<usize>,
}

/// A turn or a command that cannot be done; the conversation is as before.
#[derive(Debug)]
pub(super) struct Refused(anyhow::Error);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

impl std::error::Error for Refused {}

pub(super) struct Conversation<'a> {
    prompts: ChatPrompts<'a>,
    settings: Settings,
    sampling: SamplingArgs,
    advice: &'a GenerationConfig,
    system: Option<Message>,
    /// Turns and answers, without the system message.
    messages: Vec<Message>,
    /// How many of the oldest messages no longer fit the context.
    left_out: usize,
    /// The sampler and its seed, once there is a turn.
    sampler: Option<(Sampler, u64)>,
    /// The model and its session, once there is a turn.
    session: Option<(Runtime, Session)>,
    /// The tokens in the KV cache and after it: the last prompt and its answer.
    fed: Vec<u32>,
    /// Whether the last answer was cut by the limit.
    cut: bool,
}

impl<'a> Conversation<'a> {
    pub(super) fn new(
        prompts: ChatPrompts<'a>,
        settings: Settings,
        sampling: SamplingArgs,
        advice: &'a GenerationConfig,
        system: Option<&str>,
    ) -> Conversation<'a> {
        Conversation {
            prompts,
            settings,
            sampling,
            advice,
            system: system.map(|text| Message::new("system", text)),
            messages: Vec::new(),
            left_out: 0,
            sampler: None,
            session: None,
            fed: Vec::new(),
            cut: false,
        }
    }

    /// Loads the model before the first answer.
    pub(super) fn start(
        &mut self,
        load: impl FnOnce() -> anyhow::Result<(Runtime, Session)>,
    ) -> anyhow::Result<()> {
        if self.session.is_none() {
            self.session = Some(load()?);
            let (sampling, seed) = self.sampling.seeded();
            let (sampler, used) = sampling.sampler(self.advice)?;
            if used.is_some() {
                note(format_args!("seed        {seed}"));
            }
            self.sampler = Some((sampler, seed));
        }
        Ok(())
    }

    /// The prompt of the system message alone, for `--show-prompt`.
    pub(super) fn shown_opening(&self) -> anyhow::Result<String> {
        Ok(shown(&self.prompts.prompt(&self.visible(), false)?, self.prompts.tokenizer))
    }

    /// The system message and the messages that fit the context.
    fn visible(&self) -> Vec<Message> {
        self.system.iter().chain(&self.messages[self.left_out..]).cloned().collect()
    }

    /// Does what was typed.
    pub(super) fn obey(&mut self, typed: &Typed, out: &mut Out) -> anyhow::Result<()> {
        let nothing = |what: &str| Err(Refused(anyhow!("there is nothing to {what}")).into());
        match typed {
            Typed::Turn(text) => {
                self.messages.push(Message::new("user", text.as_str()));
                self.answer(out).inspect_err(|_| self.take_back())
            }
            Typed::Reset => {
                self.messages.clear();
                self.changed();
                note("new conversation");
                Ok(())
            }
            Typed::System(text) => {
                self.system = Some(Message::new("system", text.as_str())).filter(|_| !text.is_empty());
                self.changed();
                note(if text.is_empty() { "system message removed" } else { "system message set" });
                Ok(())
            }
            Typed::Undo => {
                let Some(turn) = self.messages.iter().rposition(|message| message.role == "user") else {
                    return nothing("undo");
                };
                note(format_args!("took back: {}", self.messages[turn].content));
                self.messages.truncate(turn);
                self.changed();
                Ok(())
            }
            Typed::Regen => {
                let Some(last) = self.messages.pop_if(|message| message.role == "assistant") else {
                    return nothing("answer again");
                };
                if let Some((sampler, seed)) = &mut self.sampler {
                    *seed = seed.wrapping_add(1);
                    (*sampler, _) = self.sampling.another(*seed).sampler(self.advice)?;
                }
                self.answer(out).inspect_err(|_| self.messages.push(last))
            }
            Typed::Continue if self.cut => self.go_on(out),
            Typed::Continue => nothing("continue: the last answer was not cut"),
            Typed::Save(file) => self.save(Path::new(file)).map_err(|error| Refused(error).into()),
            Typed::Help | Typed::Unknown(_) | Typed::End => Ok(()),
        }
    }

    /// Removes a turn that got no answer.
    fn take_back(&mut self) {
        self.messages.pop_if(|message| message.role == "user");
    }

    /// Notes that the messages are not those of the last prompt.
    fn changed(&mut self) {
        self.left_out = 0;
        self.cut = false;
    }

    /// The prompt of the messages. The oldest turns are left out as far as the context demands.
    fn prompt(&mut self) -> anyhow::Result<ChatPrompt> {
        let context = self.settings.context;
        let reserved = self.settings.tokens.min(context / 4).max(1);
        let before = self.left_out;
        let turns: Vec<usize> =
            (0..self.messages.len()).filter(|&i| self.messages[i].role == "user").collect();
        loop {
            let prompt = self.prompts.prompt(&self.visible(), true)?;
            let length = prompt.tokens.len();
            if length == 0 {
                return Err(anyhow!("the chat template renders these messages to an empty prompt"));
            }
            let next = turns.iter().copied().find(|&turn| turn > self.left_out);
            match next {
                Some(next) if length + reserved > context => self.left_out = next,
                None if length > context => {
                    self.left_out = before;
                    return Err(anyhow!(
                        "the message makes a prompt of {length} tokens, which does not fit a context of {context}"
                    ));
                }
                _ => {
                    if self.left_out > before {
                        note(format_args!(
                            "the context of {context} tokens is full: the model no longer sees the oldest {} \
                             messages",
                            self.left_out
                        ));
                    }
                    return Ok(prompt);
                }
            }
        }
    }

    /// Answers the last turn.
    fn answer(&mut self, out: &mut Out) -> anyhow::Result<()> {
        let prompt = self.prompt().map_err(Refused)?;
        if self.settings.show_prompt {
            note(shown(&prompt, self.prompts.tokenizer).trim_end());
        }
        let ids = prompt.ids();
        let text = self.generate(&ids, out)?;
        let is_plain = self.prompts.add_special_tokens;
        let text = if is_plain { text.trim().to_owned() } else { text };
        self.messages.push(Message::new("assistant", text));
        Ok(())
    }

    /// Continues the last answer.
    fn go_on(&mut self, out: &mut Out) -> anyhow::Result<()> {
        let ids = self.fed.clone();
        if ids.len() >= self.settings.context {
            return Err(Refused(anyhow!("the context of {} tokens is full", self.settings.context)).into());
        }
        let text = self.generate(&ids, out)?;
        if let Some(last) = self.messages.last_mut() {
            last.content.push_str(&text);
        }
        Ok(())
    }

    /// Generates after these tokens, shows the text and returns it.
    fn generate(&mut self, ids: &[u32], out: &mut Out) -> anyhow::Result<String> {
        let Settings { tokens, context, ref stops, ref ends, let_repeat, wrapped, .. } = self.settings;
        let (Some((model, session)), Some((sampler, _))) = (&mut self.session, &mut self.sampler) else {
            return Err(anyhow!("the model is not loaded"));
        };
        let known = ids.iter().zip(&self.fed).take_while(|(a, b)| a == b).count();
        let known = known.min(ids.len() - 1).min(session.positions());
        session.truncate(known);
        sampler.prime(&ids[known..]);
        let mut transcript = Transcript::new(Some(self.prompts.tokenizer), true, StopStrings::new(stops)?);
        if !let_repeat {
            transcript = transcript.until(repeats);
        }
        let limits = Limits { tokens, ends };
        let mut wrap = Wrap::new(wrapped);
        // The space after `Assistant:` is not shown.
        let mut at_start = self.prompts.add_special_tokens;
        let answer = continue_text(session, &ids[known..], &limits, sampler, transcript, false, |event| {
            let Event::Text(text) = event else { return Ok(()) };
            let text = if at_start { text.trim_start() } else { text };
            at_start &= text.is_empty();
            out.stream(&wrap.push(text))
        })
        .map_err(|error| not_finite::located(error, model, ids))?;
        out.stream(&wrap.finish())?;
        out.line("")?;
        out.flush()?;
        self.fed = [ids, &answer.ids].concat();
        self.ended(&answer, context)?;
        Ok(answer.text)
    }

    /// Says why an answer ended, unless it is complete.
    fn ended(&mut self, answer: &Continuation, context: usize) -> anyhow::Result<()> {
        self.cut = answer.end == End::Model(Stop::Length);
        match answer.end {
            End::Interrupted if !self.settings.interactive => return Err(Interrupted.into()),
            End::Model(Stop::Length) => note(format_args!(
                "the answer was cut at {} tokens: /continue goes on, -n sets the limit",
                self.settings.tokens
            )),
            End::Model(Stop::ContextFull) => {
                note(format_args!("the answer was cut: the context of {context} tokens is full"));
            }
            End::StopString if !self.settings.let_repeat && repeats(&answer.ids) => {
                note("the answer repeats itself and was stopped: /regen tries another, --let-repeat lets it");
            }
            _ => {}
        }
        Ok(())
    }

    /// Saves the conversation as a line of JSON, under a temporary name until it is complete.
    fn save(&self, file: &Path) -> anyhow::Result<()> {
        let messages: Vec<&Message> = self.system.iter().chain(&self.messages).collect();
        if self.messages.is_empty() {
            return Err(anyhow!("there is no conversation to save"));
        }
        let line = format!("{{\"messages\": {}}}", serde_json::to_string(&messages)?);
        let write = || -> std::io::Result<()> {
            let (temporary, mut written) = Temporary::beside(file)?;
            writeln!(written, "{line}")?;
            written.sync_all()?;
            drop(written);
            temporary.rename(file)
        };
        write().with_context(|| format!("saving {}", file.display()))?;
        note(format_args!("saved {} messages in {}", messages.len(), file.display()));
        Ok(())
    }
}
