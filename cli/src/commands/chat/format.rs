//! How a conversation becomes a prompt: by the checkpoint's chat template, or for a base model as a plain document.

use glassbox_model::Checkpoint;
use glassbox_model::chat::{ChatTemplate, SpecialTokens};
use glassbox_tokenizer::Tokenizer;

use crate::chat_prompt::ChatPrompts;

/// The document of a model without a template. A base model has read dialogues in this form.
const PLAIN: &str = "{% for m in messages %}\
{% if m.role == 'system' %}{{ m.content }}\n\n\
{% else %}{{ m.role | capitalize }}: {{ m.content }}\n{% endif %}\
{% endfor %}\
{% if add_generation_prompt %}Assistant:{% endif %}";

/// The format of a conversation.
pub(super) struct Format {
    template: ChatTemplate,
    plain: bool,
}

impl Format {
    /// The checkpoint's template, or the plain format if it has none.
    pub(super) fn of(checkpoint: &Checkpoint) -> anyhow::Result<Format> {
        Ok(match checkpoint.chat_template()? {
            Some(template) => Format { template, plain: false },
            None => Format {
                template: ChatTemplate::parse("plain", PLAIN, SpecialTokens::default())?,
                plain: true,
            },
        })
    }

    /// Whether it is the plain format.
    pub(super) fn is_plain(&self) -> bool {
        self.plain
    }

    /// The texts that end an answer: those of the user, and in the plain format the next speaker's name.
    pub(super) fn stops(&self, wanted: &[String]) -> Vec<String> {
        let names = ["\nUser:", "\nAssistant:"].into_iter().filter(|_| self.plain).map(str::to_owned);
        wanted.iter().cloned().chain(names).collect()
    }

    pub(super) fn prompts<'a>(&'a self, tokenizer: &'a Tokenizer) -> ChatPrompts<'a> {
        // A template writes the tokens that begin a text; a plain document gets those of the tokenizer.
        ChatPrompts { template: &self.template, tokenizer, add_special_tokens: self.plain }
    }
}
