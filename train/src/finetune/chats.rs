//! Chats as training sequences: the model reads the whole chat, and only the assistant's messages count in the loss.
//!
//! The checkpoint's chat template renders the text. The positions of the assistant's messages are found by rendering
//! the chat up to each answer. The header of an answer does not count; the answer does, including the token that ends
//! it.

use glassbox_model::chat::{ChatTemplate, Message};
use glassbox_tokenizer::{EncodeOptions, Special, Token, Tokenizer};
use serde::Deserialize;

use super::sequences::TrainingSequence;
use crate::data::DataError;

/// A line of a file of chats.
#[derive(Deserialize)]
struct Chat {
    messages: Vec<Message>,
}

/// Reads the chat in a line of JSON. `place` names the line in errors.
pub(super) fn read(
    line: &str,
    place: &str,
    template: &ChatTemplate,
    tokenizer: &Tokenizer,
) -> Result<TrainingSequence, DataError> {
    let wrong = |problem: String| DataError::Example { place: place.to_owned(), problem };
    let chat: Chat = serde_json::from_str(line)
        .map_err(|error| wrong(format!("expected {{\"messages\": [{{\"role\", \"content\"}}]}}: {error}")))?;
    if !chat.messages.iter().any(|message| message.role == "assistant") {
        return Err(wrong("no message has the role assistant, so there is nothing to train on".into()));
    }
    encode(&chat.messages, template, tokenizer).map_err(wrong)
}

/// The tokens of a chat, and which of them count in the loss.
fn encode(
    messages: &[Message],
    template: &ChatTemplate,
    tokenizer: &Tokenizer,
) -> Result<TrainingSequence, String> {
    let tokens_of = |text: &str| {
        let options = EncodeOptions { special: Special::Parse, add_special_tokens: false };
        tokenizer.encode_with_offsets(text, &options).map_err(|error| error.to_string())
    };
    for message in messages {
        if let Some(token) = tokens_of(&message.content)?.iter().find(|token| tokenizer.is_special(token.id))
        {
            let name = tokenizer.id_to_token(token.id).unwrap_or_default();
            return Err(format!(
                "a message contains the special token {name}, which would end or forge a turn"
            ));
        }
    }
    let render = |count: usize, answer: bool| {
        template.render(&messages[..count], answer).map_err(|error| error.to_string())
    };
    let whole = render(messages.len(), false)?;
    let tokens = tokens_of(&whole)?;
    let mut in_loss = vec![false; tokens.len()];
    for (i, _) in messages.iter().enumerate().filter(|(_, message)| message.role == "assistant") {
        let (before, until) = (render(i, true)?, render(i + 1, false)?);
        if !(whole.starts_with(&until) && until.starts_with(&before)) {
            return Err("the chat template renders earlier turns differently when later ones follow, \
                        so the assistant's messages cannot be located"
                .into());
        }
        let answer = before.len()..until.len();
        let inside = |token: &Token| answer.contains(&token.range.start);
        let first = tokens.partition_point(|token| token.range.start < answer.start);
        let len = tokens[first..].iter().take_while(|token| inside(token)).count();
        // After the token that ends the answer, templates add a line break, which the model never generates.
        let ends = tokens[first..first + len].iter().rposition(|token| tokenizer.is_special(token.id));
        in_loss[first..first + ends.map_or(len, |end| end + 1)].fill(true);
    }
    Ok(TrainingSequence { ids: tokens.iter().map(|token| token.id).collect(), in_loss })
}
