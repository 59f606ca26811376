//! From conversations to examples: the model reads all of a chat and learns the assistant's words alone.
//!
//! The checkpoint's own template writes the text. Where the assistant's words are in it is found by rendering the chat up
//! to each answer: what opens the answer is not learnt, the answer is, up to and with the token that ends it.

use glassbox_model::chat::{ChatTemplate, Message};
use glassbox_tokenizer::{EncodeOptions, Special, Token, Tokenizer};
use serde::Deserialize;

use super::texts::Text;
use crate::data::DataError;

/// A line of a file of chats.
#[derive(Deserialize)]
struct Chat {
    messages: Vec<Message>,
}

/// The example that a line of JSON stands for. `place` says in errors where it is from.
pub(super) fn read(
    line: &str,
    place: &str,
    template: &ChatTemplate,
    tokenizer: &Tokenizer,
) -> Result<Text, DataError> {
    let wrong = |problem: String| DataError::Example { place: place.to_owned(), problem };
    let chat: Chat = serde_json::from_str(line)
        .map_err(|error| wrong(format!("expected {{\"messages\": [{{\"role\", \"content\"}}]}}: {error}")))?;
    if !chat.messages.iter().any(|message| message.role == "assistant") {
        return Err(wrong("no message has the role assistant, so there is nothing to learn".into()));
    }
    encode(&chat.messages, template, tokenizer).map_err(wrong)
}

/// The tokens of a chat and which of them are to be learnt.
fn encode(messages: &[Message], template: &ChatTemplate, tokenizer: &Tokenizer) -> Result<Text, String> {
    let tokens_of = |text: &str| {
        let options = EncodeOptions { special: Special::Parse, add_special_tokens: false };
        tokenizer.encode_with_offsets(text, &options).map_err(|error| error.to_string())
    };
    for message in messages {
        if let Some(token) = tokens_of(&message.content)?.iter().find(|token| tokenizer.is_special(token.id))
        {
            let name = tokenizer.id_to_token(token.id).unwrap_or_default();
            return Err(format!(
                "a message has the special token {name} in it, which would end or forge a turn"
            ));
        }
    }
    let render = |count: usize, answer: bool| {
        template.render(&messages[..count], answer).map_err(|error| error.to_string())
    };
    let whole = render(messages.len(), false)?;
    let tokens = tokens_of(&whole)?;
    let mut learnt = vec![false; tokens.len()];
    for (i, _) in messages.iter().enumerate().filter(|(_, message)| message.role == "assistant") {
        let (before, until) = (render(i, true)?, render(i + 1, false)?);
        if !(whole.starts_with(&until) && until.starts_with(&before)) {
            return Err("the template writes earlier turns anew when later ones follow, so that the assistant's words \
                        cannot be told from the rest"
                .into());
        }
        let answer = before.len()..until.len();
        let inside = |token: &Token| answer.contains(&token.range.start);
        let first = tokens.partition_point(|token| token.range.start < answer.start);
        let len = tokens[first..].iter().take_while(|token| inside(token)).count();
        // Behind the token that ends the answer templates put a line break, which nobody generates.
        let ends = tokens[first..first + len].iter().rposition(|token| tokenizer.is_special(token.id));
        learnt[first..first + ends.map_or(len, |end| end + 1)].fill(true);
    }
    Ok(Text { ids: tokens.iter().map(|token| token.id).collect(), learnt })
}
